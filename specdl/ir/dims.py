"""Sizes of tensor axes: an integer, or a normalised polynomial over symbols such as `N` and `T`.

`T // 2 + 1` and `S + T` are compared, printed and computed with as numbers are. The form is kept normal
(terms sorted, floor divisions split off as atoms), so equal sizes are equal objects; nothing is solved.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Union

MAX_TERMS = 64
MAX_DEPTH = 16
MAX_SIZE = 2**63
"""What PyTorch's 64-bit sizes can't hold."""


class Symbol(str):
    """The name of a size, with its declared bounds; sizes are at least 1 in any case."""

    low: int | None = None
    high: int | None = None


@dataclass(frozen=True)
class FloorDiv:
    """The atom `numerator // denominator`, where the division isn't exact."""

    numerator: SymDim
    denominator: int

    def __str__(self) -> str:
        inner = str(self.numerator)
        return f"{inner}//{self.denominator}" if inner.isidentifier() else f"({inner})//{self.denominator}"


Atom = Union[str, FloorDiv]
Monomial = tuple[Atom, ...]  # the empty monomial is the constant


@dataclass(frozen=True, eq=False)
class SymDim:
    """A size known at run time: a sum of integer multiples of products of atoms."""

    terms: tuple[tuple[Monomial, int], ...]

    @cached_property
    def _hash(self) -> int:
        return hash(self.terms)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, SymDim) and self.terms == other.terms)

    def __add__(self, other: Dim) -> Dim:
        return _build([*self.terms, *_terms(other)])

    __radd__ = __add__

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + (-1 * other)

    def __rsub__(self, other: int) -> Dim:
        return other + (self * -1)

    def __mul__(self, other: Dim) -> Dim:
        if isinstance(other, int):
            # Most products are of this kind (elements of a shape, FLOPs), and the terms stay in order.
            return SymDim(tuple((monomial, factor * other) for monomial, factor in self.terms)) if other else 0
        return _build(
            (tuple(sorted((*left, *right), key=_atom_order)), a * b)
            for left, a in self.terms
            for right, b in _terms(other)
        )

    __rmul__ = __mul__

    def __floordiv__(self, other: int) -> Dim:
        """Floor division by a positive integer: multiples of it are divided, the rest stays an atom."""
        whole: list[tuple[Monomial, int]] = []
        rest: list[tuple[Monomial, int]] = []
        for monomial, factor in self.terms:
            if monomial:
                (rest if factor % other else whole).append((monomial, factor if factor % other else factor // other))
            else:
                whole.append(((), factor // other))
                if factor % other:
                    rest.append(((), factor % other))
        if not any(monomial for monomial, _ in rest):
            return _build(whole)
        remainder = _build(rest)
        assert isinstance(remainder, SymDim)
        divisions = [
            monomial[0]
            for monomial, factor in remainder.terms
            if factor == 1 and len(monomial) == 1 and isinstance(monomial[0], FloorDiv)
        ]
        if len(divisions) == 1:
            # (x // d + r) // e is (x + d * r) // (d * e) for whole d, e and r.
            (inner,) = divisions
            others = _build((monomial, factor) for monomial, factor in remainder.terms if monomial != (inner,))
            return (inner.numerator + inner.denominator * others) // (inner.denominator * other) + _build(whole)
        return _build([*whole, ((FloorDiv(remainder, other),), 1)])

    def __mod__(self, other: int) -> Dim:
        return self - (self // other) * other

    @cached_property
    def depth(self) -> int:
        """How deep floor divisions are nested in this size."""
        inner = [
            atom.numerator.depth + 1 for monomial, _ in self.terms for atom in monomial if not isinstance(atom, str)
        ]
        return max(inner, default=0)

    def symbols(self) -> frozenset[str]:
        """The symbols that this size depends on."""
        found: set[str] = set()
        for monomial, _ in self.terms:
            for atom in monomial:
                found |= {atom} if isinstance(atom, str) else atom.numerator.symbols()
        return frozenset(found)

    def evaluate(self, sizes: Mapping[str, Dim]) -> Dim:
        """This size with the given symbols replaced; a number once all are given."""
        total: Dim = 0
        for monomial, factor in self.terms:
            product: Dim = factor
            for atom in monomial:
                if isinstance(atom, str):
                    product = product * sizes.get(atom, SymDim((((atom,), 1),)))
                else:
                    product = product * (atom.numerator.evaluate(sizes) // atom.denominator)
            total = total + product
        return total

    def __str__(self) -> str:
        parts: list[str] = []
        for monomial, factor in self.terms:
            text = "*".join(_wrapped(atom) if len(monomial) > 1 or abs(factor) != 1 else str(atom) for atom in monomial)
            size = abs(factor)
            body = text if text and size == 1 else f"{size}*{text}" if text else str(size)
            sign = "-" if factor < 0 else "+" if parts else ""
            parts.append(f"{sign}{body}")
        return "".join(parts)

    __repr__ = __str__


Dim = Union[int, SymDim]


def _wrapped(atom: Atom) -> str:
    return atom if isinstance(atom, str) else f"({atom})"


def _atom_order(atom: Atom) -> tuple[int, str]:
    return (0, atom) if isinstance(atom, str) else (1, str(atom))


def _term_order(monomial: Monomial) -> tuple[int, list[tuple[int, str]]]:
    return (-len(monomial), [_atom_order(atom) for atom in monomial])


def _terms(dim: Dim) -> tuple[tuple[Monomial, int], ...]:
    return dim.terms if isinstance(dim, SymDim) else (((), dim),)


def _build(terms: Iterable[tuple[Monomial, int]]) -> Dim:
    sums: dict[Monomial, int] = {}
    for monomial, factor in terms:
        sums[monomial] = sums.get(monomial, 0) + factor
    kept = {monomial: factor for monomial, factor in sums.items() if factor}
    if not kept:
        return 0
    if len(kept) == 1 and () in kept:
        return kept[()]
    return SymDim(tuple(sorted(kept.items(), key=lambda term: _term_order(term[0]))))


def symbol(name: str, low: int | None = None, high: int | None = None) -> SymDim:
    """The size that is called `name`, within bounds where they are declared."""
    if low is None and high is None:
        return SymDim((((name,), 1),))
    atom = Symbol(name)
    atom.low, atom.high = low, high
    return SymDim((((atom,), 1),))


def multiple(dim: Dim) -> tuple[str, int] | None:
    """The symbol and the factor of a size that is a multiple of one, such as `8*H` or `T`; else None."""
    if not isinstance(dim, SymDim) or len(dim.terms) != 1:
        return None
    monomial, factor = dim.terms[0]
    return (monomial[0], factor) if factor > 0 and len(monomial) == 1 and isinstance(monomial[0], str) else None


def extent(dim: Dim) -> tuple[float, float]:
    """Bounds within which a size certainly lies, whatever its symbols are; infinite where none is known."""
    if not isinstance(dim, SymDim):
        return dim, dim
    low: float = 0
    high: float = 0
    for monomial, factor in dim.terms:
        bounds = [_atom_extent(atom) for atom in monomial]
        if any(bound[0] < 0 for bound in bounds):
            return -math.inf, math.inf
        ends = math.prod(bound[0] for bound in bounds), _product(bound[1] for bound in bounds)
        low += factor * ends[0 if factor > 0 else 1]
        high += factor * ends[1 if factor > 0 else 0]
    return low, high


def _atom_extent(atom: Atom) -> tuple[float, float]:
    if isinstance(atom, FloorDiv):
        low, high = extent(atom.numerator)
        # Whole numbers stay whole: sizes are larger than floats can count.
        ends = [end if math.isinf(end) else int(end) // atom.denominator for end in (low, high)]
        return ends[0], ends[1]
    least = atom.low if isinstance(atom, Symbol) else None
    most = atom.high if isinstance(atom, Symbol) else None
    return 1 if least is None else least, math.inf if most is None else most


def _product(ends: Iterable[float]) -> float:
    total: float = 1
    for end in ends:
        if not end:
            return 0
        total *= end
    return total


def corners(dim: Dim) -> list[dict[str, Dim]]:
    """The smallest and the largest sizes that the symbols of `dim` may have, where all of these are declared."""
    symbols = [atom for atom in _symbols(dim) if atom != BATCH_NAME]
    found: list[dict[str, Dim]] = []
    for end in ("low", "high"):
        ends: dict[str, Dim] = {atom: bound for atom in symbols if isinstance(bound := getattr(atom, end, None), int)}
        if ends and len(ends) == len(symbols):
            found.append(ends)
    return found


def _symbols(dim: Dim) -> list[str]:
    """The symbols of a size, with what is known of them."""
    found: dict[str, str] = {}
    for monomial, _ in dim.terms if isinstance(dim, SymDim) else ():
        for atom in monomial:
            for inner in [atom] if isinstance(atom, str) else _symbols(atom.numerator):
                found.setdefault(inner, inner)
    return list(found)


def product(dims: Iterable[Dim]) -> Dim:
    """The product of some sizes: the number of elements of a shape."""
    total: Dim = 1
    for dim in dims:
        total = total * dim
    return total


def evaluate(dim: Dim, sizes: Mapping[str, Dim]) -> Dim:
    """`dim` with symbols replaced by the given sizes."""
    return dim.evaluate(sizes) if isinstance(dim, SymDim) else dim


def too_complicated(dim: Dim) -> bool:
    """Whether a size has grown past what any network needs: computing with it would take too long."""
    if isinstance(dim, SymDim):
        return len(dim.terms) > MAX_TERMS or dim.depth > MAX_DEPTH or any(len(m) > MAX_TERMS for m, _ in dim.terms)
    return dim >= MAX_SIZE


def symbols_of(dims: Iterable[Dim]) -> frozenset[str]:
    """All symbols that occur in some sizes."""
    return frozenset().union(*(dim.symbols() for dim in dims if isinstance(dim, SymDim)))


BATCH_NAME = "N"
BATCH = symbol(BATCH_NAME)
"""The batch axis of every network's inputs."""
