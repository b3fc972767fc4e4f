"""Python text as a person writes it: literals, calls and operators with only the brackets they need.

Operators that are functions render themselves with these helpers. The arguments they get may be names or
whole expressions (a `compute` nests them), so brackets are decided by parsing what stands there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from specdl.ir.dims import Dim, FloorDiv, SymDim, multiple
from specdl.ir.types import TensorType
from specdl.ops.base import Call, TypeRuleError

COMPARISON, OR, XOR, AND, SUM, PRODUCT, UNARY, POWER, ATOM = range(1, 10)
"""How tightly an expression binds, from the loosest to the tightest, as in Python's grammar."""

_BINDING: dict[type[ast.AST], int] = {
    ast.BitOr: OR,
    ast.BitXor: XOR,
    ast.BitAnd: AND,
    ast.Add: SUM,
    ast.Sub: SUM,
    ast.Mult: PRODUCT,
    ast.Div: PRODUCT,
    ast.FloorDiv: PRODUCT,
    ast.Mod: PRODUCT,
    ast.MatMult: PRODUCT,
    ast.Pow: POWER,
}

_SYMBOLS: dict[str, int] = {
    "==": COMPARISON,
    "!=": COMPARISON,
    "<": COMPARISON,
    "<=": COMPARISON,
    ">": COMPARISON,
    ">=": COMPARISON,
    "|": OR,
    "^": XOR,
    "&": AND,
    "+": SUM,
    "-": SUM,
    "*": PRODUCT,
    "/": PRODUCT,
    "//": PRODUCT,
    "%": PRODUCT,
    "@": PRODUCT,
    "**": POWER,
}


def literal(value: Any) -> str:
    """A Python literal; floats as short as they are read (`1e-6`), lists as tuples."""
    if isinstance(value, Call):
        return call(value.function, *value.arguments, **dict(value.keywords))
    if isinstance(value, str):
        return f'"{value}"' if value.isprintable() and not set(value) & {'"', "\\"} else repr(value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return f'float("{value}")'
        return re.sub(r"e([+-]?)0+(\d)", r"e\1\2", repr(value)).replace("e+", "e")
    if isinstance(value, (list, tuple)):
        items = ", ".join(literal(item) for item in value)
        return f"({items},)" if len(value) == 1 else f"({items})"
    return str(value)


def call(function: str, *arguments: Any, **keywords: Any) -> str:
    """`function(arguments, key=value)`, all of them literals or nested calls."""
    return expression(function, [literal(item) for item in arguments], **keywords)


def expression(function: str, arguments: Sequence[str], **keywords: Any) -> str:
    """`function(arguments, key=value)`; the arguments are Python text already, the keywords are literals."""
    named = [f"{name}={literal(value)}" for name, value in keywords.items()]
    return f"{function}({', '.join([*arguments, *named])})"


def method(value: str, name: str, *arguments: Any, **keywords: Any) -> str:
    """`value.name(arguments, key=value)`, the value in brackets where it needs them."""
    return call(f"{postfix(value)}.{name}", *arguments, **keywords)


def postfix(value: str) -> str:
    """The text of `value` such that `.name` or `[...]` can follow it."""
    return value if _binding(value) == ATOM and not value[0].isdigit() else f"({value})"


def infix(symbol: str, left: str, right: str) -> str:
    """`left symbol right`, with brackets only where Python's precedence asks for them."""
    own = _SYMBOLS[symbol]
    if symbol == "**":
        return f"{_bracketed(left, own + 1)} ** {_bracketed(right, UNARY)}"
    lowest = own + 1 if own == COMPARISON else own
    return f"{_bracketed(left, lowest)} {symbol} {_bracketed(right, own + 1)}"


def prefix(symbol: str, operand: str) -> str:
    """`-operand` or `~operand`."""
    return f"{symbol}{_bracketed(operand, UNARY)}"


def dim_text(dim: Dim, values: Sequence[tuple[str, TensorType]]) -> str:
    """The Python text of a size, its symbols read from the shapes of some named values.

    Raises `TypeRuleError` when none of them has an axis of that size.
    """
    if not isinstance(dim, SymDim):
        return str(dim)
    for name, type in values:
        if dim in type.shape:
            return f"{postfix(name)}.shape[{type.shape.index(dim)}]"
    total = ""
    for monomial, factor in dim.terms:
        factors = [_atom_text(atom, values, dim) for atom in monomial]
        if abs(factor) != 1 or not factors:
            factors.insert(0, str(abs(factor)))
        term = factors[0]
        for item in factors[1:]:
            term = infix("*", term, item)
        if total:
            total = infix("-" if factor < 0 else "+", total, term)
            continue
        total = prefix("-", term) if factor < 0 else term
    return total


def _atom_text(atom: str | FloorDiv, values: Sequence[tuple[str, TensorType]], whole: SymDim) -> str:
    if isinstance(atom, FloorDiv):
        return infix("//", dim_text(atom.numerator, values), str(atom.denominator))
    single = SymDim((((atom,), 1),))
    if single != whole:
        return dim_text(single, values)
    for name, type in values:
        for axis, size in enumerate(type.shape):
            if (counted := multiple(size)) is not None and counted[0] == atom:
                return infix("//", f"{postfix(name)}.shape[{axis}]", str(counted[1]))
    raise TypeRuleError(
        f"the size `{whole}` isn't an axis of its inputs, so it can't be known when the model runs",
        help=f"give it a value that has the axis `{whole}`",
    )


def _bracketed(text: str, lowest: int) -> str:
    return text if _binding(text) >= lowest else f"({text})"


@lru_cache(maxsize=4096)
def _binding(text: str) -> int:
    if text.isidentifier():
        return ATOM
    tree = ast.parse(text, mode="eval").body
    if isinstance(tree, ast.BinOp):
        return _BINDING[type(tree.op)]
    if isinstance(tree, ast.UnaryOp):
        return UNARY
    if isinstance(tree, ast.Compare):
        return COMPARISON
    return ATOM if isinstance(tree, (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.Constant, ast.Tuple)) else 0
