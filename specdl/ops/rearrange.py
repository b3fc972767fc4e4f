"""`rearrange`, the notation of einops: axes by name, split, joined and reordered.

`b t (h d) -> b h t d` with `h: 8` says what becomes of each axis. It is lowered to what a person would write
with PyTorch's own methods: split, permute, join. Axes that stay together are never split, so that most
patterns only change the view of the memory.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from specdl.ir.dims import Dim, SymDim, product, symbol
from specdl.ir.types import TensorType
from specdl.ops.base import Family, OnnxGraph, Op, TypeRuleError
from specdl.ops.shape import fill_sizes
from specdl.ops.text import dim_text, expression, method, postfix

_TOKEN = re.compile(r"\s*(?:(->)|(\.\.\.|…)|([A-Za-z_]\w*)|(\d+)|([()])|(\S))")
ONE = "1"
ELLIPSIS = "..."


def _size(value: Any) -> Dim:
    if isinstance(value, str) and value.isidentifier():
        return symbol(value)
    if isinstance(value, SymDim) or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise PydanticCustomError("size", "the size of an axis is an integer of at least 1")


AxisSize = Annotated[
    Dim, PlainValidator(_size), WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]})
]


@dataclass(frozen=True, slots=True)
class _Axis:
    """An axis in a pattern, `1`, or `...`; `place` is its offset there."""

    name: str
    place: int

    @property
    def part(self) -> tuple[int, int]:
        """Offset and length, for an error."""
        return self.place, len(self.name)


@dataclass(frozen=True, slots=True)
class _Group:
    """One axis of a tensor as a pattern writes it: a name, or several joined in brackets."""

    axes: tuple[_Axis, ...]
    part: tuple[int, int]
    joined: bool = False


_Side = tuple[_Group, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What happens to one type: split, join what stays together, permute, join, put in axes of 1.

    `pieces` are, for each axis of the input, the sizes it is split into (none for an axis of 1 that goes);
    `units` says how many of the pieces, in order, each moved unit joins; `order` permutes the units; `groups`
    says how many units each axis of the result joins (0 is a new axis of 1).
    """

    pieces: tuple[tuple[Dim, ...], ...]
    units: tuple[int, ...]
    order: tuple[int, ...]
    groups: tuple[int, ...]

    def unit_sizes(self) -> tuple[Dim, ...]:
        """The sizes of the units, in the input's order."""
        flat = [size for pieces in self.pieces for size in pieces]
        found, start = [], 0
        for count in self.units:
            found.append(product(flat[start : start + count]))
            start += count
        return tuple(found)

    def result(self) -> tuple[Dim, ...]:
        """The shape of the result."""
        sizes, found, start = self.unit_sizes(), [], 0
        for count in self.groups:
            found.append(product(sizes[place] for place in self.order[start : start + count]))
            start += count
        return tuple(found)


class Rearrange(Op):
    """Splits, joins and reorders named axes, in einops' notation: `b t (h d) -> b h t d` with `h: 8`.

    Brackets join axes on the right and split them on the left, where the sizes of all but one axis are given
    beside the pattern. `1` is an axis of size 1, `...` any number of axes. The batch is an axis like the others.
    `like` is a value that has the sizes that x lacks.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, AxisSize]

    operator: ClassVar[str] = "rearrange"
    family: ClassVar[Family] = "shape"
    position_wise: ClassVar[bool] = True
    main: ClassVar[str | None] = "pattern"
    inputs: ClassVar[tuple[str, ...]] = ("x", "like?")
    counted: ClassVar[bool] = False
    reference: ClassVar[str] = "https://einops.rocks/api/rearrange/"

    pattern: str = Field(description="The axes before and after, e.g. `n c h w -> n (h w) c`; sizes are further keys.")

    @property
    def sizes(self) -> dict[str, Dim]:
        """The sizes of axes that the spec gives."""
        return dict(self.__pydantic_extra__ or {})

    def given(self) -> dict[str, Any]:
        return {"pattern": self.pattern, **self.sizes}

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x = types[0]
        plan = self._plan(x)
        values = [(f"x{place}", type) for place, type in enumerate(types)]
        self._render(values, plan)  # a size that none of them has is found here
        return (x.with_shape(*plan.result()),)

    def _plan(self, x: TensorType) -> _Plan:
        """What happens to this type. Raises `TypeRuleError` at the place in the pattern."""
        left, right = _parse(self.pattern)
        self._check_names(left, right)
        left, right = _without_ellipsis(left, right, x)
        sizes = [self._split(group, x, axis) for axis, group in enumerate(left)]
        names = [[axis.name for axis in group.axes if axis.name != ONE] for group in left]
        wanted = [[axis.name for axis in group.axes if axis.name != ONE] for group in right]
        return _planned(names, sizes, wanted)

    def _check_names(self, left: _Side, right: _Side) -> None:
        """Guards that both sides have the same axes, each once, and that given sizes are of one of them."""
        names: list[dict[str, _Axis]] = []
        for side in (left, right):
            seen: dict[str, _Axis] = {}
            for axis in (axis for group in side for axis in group.axes if axis.name != ONE):
                if axis.name in seen:
                    raise _wrong(f"names the axis `{axis.name}` twice on one side", axis.part)
                seen[axis.name] = axis
            names.append(seen)
        for name, axis in names[0].items():
            if name not in names[1]:
                help = "`rearrange` keeps every element; `mean`, `amax` and others take an axis away"
                raise _wrong(f"has the axis `{name}` on the left only", axis.part, help)
        for name, axis in names[1].items():
            if name not in names[0]:
                help = "`rearrange` keeps every element; a `1` and then `expand` repeats them"
                raise _wrong(f"has the axis `{name}` on the right only", axis.part, help)
        for name in self.sizes:
            if name not in names[0]:
                listing = ", ".join(f"`{axis}`" for axis in names[0] if axis != ELLIPSIS)
                raise TypeRuleError(f"has no axis `{name}`", argument=name, help=f"the pattern has {listing}")

    def _split(self, group: _Group, x: TensorType, place: int) -> tuple[Dim, ...]:
        """The sizes of the axes that an axis of x consists of."""
        size = x.shape[place]
        axes = [axis for axis in group.axes if axis.name != ONE]
        if not axes:
            if size != 1:
                raise _wrong(f"expects an axis of size 1, but axis {place} of {x} has {size}", group.part)
            return ()
        known = self.sizes
        open = [axis for axis in axes if axis.name not in known]
        if len(open) > 1:
            help = f"give all but one, e.g. `{open[0].name}: 8` beside the pattern"
            raise _wrong(f"can't tell the sizes of {_and(open)}", group.part, help)
        wanted = [known.get(axis.name, -1) for axis in axes]
        try:
            return fill_sizes(wanted, size, f"axis {place} of {x}")
        except TypeRuleError:
            if len(axes) == 1:
                message = f"gives `{axes[0].name}` the size {wanted[0]}, but axis {place} of {x} has {size}"
            else:
                sizes = "·".join(str(known.get(axis.name, axis.name)) for axis in axes)
                message = f"can't split axis {place} of {x}, of size {size}, into {sizes}"
            raise _wrong(message, group.part) from None

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return self._render(list(zip(arguments, types, strict=True)), self._plan(types[0]))

    def _render(self, values: Sequence[tuple[str, TensorType]], plan: _Plan) -> str:
        """The chain of PyTorch's methods on the first of the values."""
        text = values[0][0]
        gone = tuple(axis for axis, pieces in enumerate(plan.pieces) if not pieces)
        if gone:
            text = method(text, "squeeze", gone[0] if len(gone) == 1 else gone)
        kept = [pieces for pieces in plan.pieces if pieces]
        for axis in reversed(range(len(kept))):
            if len(kept[axis]) > 1:
                sizes = ", ".join(_split_texts(kept[axis], values))
                text = expression(f"{postfix(text)}.unflatten", [str(axis), f"({sizes})"])
        text = _joined(text, plan.units)
        text = _permuted(text, plan.order)
        groups = [count for count in plan.groups if count]
        text = _joined(text, groups)
        new = [axis for axis, count in enumerate(plan.groups) if not count]
        if len(new) == 1:
            return method(text, "unsqueeze", new[0])
        if new:
            index = ", ".join("None" if axis in new else ":" for axis in range(new[-1] + 1))
            return f"{postfix(text)}[{index}]"
        return text

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        plan = self._plan(types[0])
        value, shape = inputs[0], plan.unit_sizes()
        if shape != types[0].shape:
            value = graph.reshape(value, shape)
        if plan.order != tuple(range(len(plan.order))):
            (value,) = graph.node("Transpose", [value], perm=list(plan.order))
            shape = tuple(shape[place] for place in plan.order)
        if shape != plan.result():
            value = graph.reshape(value, plan.result())
        return (value,) if value != inputs[0] else graph.node("Identity", [value])

    def title(self) -> str:
        return "Rearrange"

    def details(self) -> str:
        return " ".join(self.pattern.split())


# ---- the pattern -----------------------------------------------------------------------------------------


def _wrong(message: str, part: tuple[int, int], help: str | None = None) -> TypeRuleError:
    """A mistake at a place in the pattern."""
    return TypeRuleError(message, argument="pattern", part=part, help=help)


def _and(axes: Sequence[_Axis]) -> str:
    names = [f"`{axis.name}`" for axis in axes]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _parse(pattern: str) -> tuple[_Side, _Side]:
    """Both sides of a pattern. Raises `TypeRuleError` at the place of a mistake."""
    sides: list[list[_Group]] = [[]]
    inside: list[_Axis] | None = None
    opened = 0
    for match in _TOKEN.finditer(pattern):
        arrow, dots, name, number, bracket, other = match.groups()
        place = match.end() - len(match.group().lstrip())
        part = (place, match.end() - place)
        if other:
            raise _wrong(f"can't read `{other}`", part, "a pattern is like `b t (h d) -> b h t d`")
        if arrow:
            if inside is not None:
                raise _wrong("never closes this bracket", (opened, 1))
            if len(sides) == 2:
                raise _wrong("has a second `->`", part)
            sides.append([])
        elif bracket == "(":
            if inside is not None:
                raise _wrong("has a bracket within a bracket", part, "brackets join axes; write all of them in one")
            inside, opened = [], place
        elif bracket == ")":
            if inside is None:
                raise _wrong("closes a bracket that isn't open", part)
            sides[-1].append(_Group(tuple(inside), (opened, place + 1 - opened), joined=True))
            inside = None
        else:
            if number and number != ONE:
                help = f"give it a name, and its size beside the pattern: `h: {number}`"
                raise _wrong(f"has a number, {number}, where only 1 can stand", part, help)
            axis = _Axis(ELLIPSIS if dots else name or ONE, place)
            if dots and inside is not None and len(sides) == 1:
                raise _wrong("can't split `...`", part, "name the axes within brackets on the left")
            if inside is not None:
                inside.append(axis)
            else:
                sides[-1].append(_Group((axis,), part))
    if inside is not None:
        raise _wrong("never closes this bracket", (opened, 1))
    if len(sides) == 1:
        help = "write the axes before and after: `b t (h d) -> b h t d`"
        raise _wrong("has no `->`", (0, len(pattern)), help)
    return tuple(sides[0]), tuple(sides[1])


def _without_ellipsis(left: _Side, right: _Side, x: TensorType) -> tuple[_Side, _Side]:
    """Both sides with `...` replaced by axes of its own. Raises `TypeRuleError` where the rank doesn't fit."""
    named = [group for group in left if group.joined or group.axes[0].name != ELLIPSIS]
    open = len(named) < len(left)
    if x.rank < len(named) or (x.rank > len(named) and not open):
        last = left[-1].part if left else (0, 1)
        part = (left[0].part[0] if left else 0, sum(last) - (left[0].part[0] if left else 0))
        axes = "axis" if len(named) == 1 else "axes"
        raise _wrong(f"names {len(named)} {axes}, but {x} has {x.rank}", part)
    more = [f"{ELLIPSIS}{index}" for index in range(x.rank - len(named))]

    def replaced(side: _Side) -> _Side:
        found: list[_Group] = []
        for group in side:
            axes: list[_Axis] = []
            for axis in group.axes:
                axes.extend([_Axis(name, axis.place) for name in more] if axis.name == ELLIPSIS else [axis])
            if group.joined or group.axes[0].name != ELLIPSIS:
                found.append(_Group(tuple(axes), group.part, group.joined))
            else:
                found.extend(_Group((axis,), group.part) for axis in axes)
        return tuple(found)

    return replaced(left), replaced(right)


# ---- the plan --------------------------------------------------------------------------------------------


def _planned(left: Sequence[Sequence[str]], sizes: Sequence[Sequence[Dim]], right: Sequence[Sequence[str]]) -> _Plan:
    """The plan for axes by name: those that stay neighbours within one axis of the result move as one unit."""
    known = {name: size for names, own in zip(left, sizes, strict=True) for name, size in zip(names, own, strict=True)}
    after = {first: second for group in right for first, second in pairwise(group)}
    order = [name for group in left for name in group]
    units: list[list[str]] = []
    for index, name in enumerate(order):
        if index and after.get(order[index - 1]) == name:
            units[-1].append(name)
        else:
            units.append([name])
    unit_of = {name: index for index, unit in enumerate(units) for name in unit}
    pieces: list[tuple[Dim, ...]] = []
    counts = [0] * len(units)
    for group in left:
        runs: list[tuple[int, Dim]] = []
        for name in group:
            unit = unit_of[name]
            if runs and runs[-1][0] == unit:
                runs[-1] = (unit, runs[-1][1] * known[name])
            else:
                runs.append((unit, known[name]))
                counts[unit] += 1
        pieces.append(tuple(size for _, size in runs))
    moved = [list(dict.fromkeys(unit_of[name] for name in group)) for group in right]
    return _Plan(
        tuple(pieces),
        tuple(counts),
        tuple(unit for group in moved for unit in group),
        tuple(len(group) for group in moved),
    )


# ---- text ------------------------------------------------------------------------------------------------


def _split_texts(sizes: Sequence[Dim], values: Sequence[tuple[str, TensorType]]) -> list[str]:
    """The sizes that an axis is split into; PyTorch works out one that is symbolic."""
    symbolic = [index for index, size in enumerate(sizes) if isinstance(size, SymDim)]
    free = symbolic[0] if symbolic else None
    return ["-1" if index == free else dim_text(size, values) for index, size in enumerate(sizes)]


def _joined(text: str, counts: Sequence[int]) -> str:
    """Neighbouring axes joined: so many for each axis of the result."""
    for place in reversed(range(len(counts))):
        if counts[place] > 1:
            start = sum(counts[:place])
            last = place == len(counts) - 1
            text = method(
                text,
                "flatten",
                *(() if last and not start else (start,) if last else (start, start + counts[place] - 1)),
            )
    return text


def _permuted(text: str, order: Sequence[int]) -> str:
    moved = [axis for axis, source in enumerate(order) if axis != source]
    if not moved:
        return text
    return method(text, "transpose", *moved) if len(moved) == 2 else method(text, "permute", *order)


OPS: tuple[type[Op], ...] = (Rearrange,)
