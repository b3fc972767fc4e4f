"""Indexing as `compute` writes it: `x[:, 0]`, `places[:, None]`, `x[..., ::2]`, `table[t]`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import PlainValidator

from specdl.ir.dims import Dim, SymDim, extent
from specdl.ir.types import TensorType
from specdl.ops.base import Family, OnnxGraph, Op, TypeRuleError
from specdl.ops.broadcasting import Number
from specdl.ops.text import postfix

_END = 2**63 - 1
"""What ONNX reads as the end of an axis."""


@dataclass(frozen=True, slots=True)
class Slice:
    """`start:stop:step`; a bound may be a size that is known at run time."""

    start: Dim | None = None
    stop: Dim | None = None
    step: int = 1


Item = Slice | int | None | Literal["...", "tensor"]
"""A part of an index: a slice, one place, a new axis, `...`, or a tensor of integers that picks places."""


@dataclass(frozen=True, slots=True)
class _Part:
    """An item of an index with the axis of the input that it reads (None for a new axis)."""

    item: Item
    axis: int | None


class Index(Op):
    """Picks parts of a value.

    Its inputs are the value, and then, in the order of `items`, each tensor and each bound that is a size
    known at run time.
    """

    operator: ClassVar[str] = "index"
    family: ClassVar[Family] = "shape"
    inputs: ClassVar[tuple[str, ...]] = ("*xs",)
    takes_numbers: ClassVar[bool] = True
    counted: ClassVar[bool] = False
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/tensor_view.html"

    items: Annotated[tuple[Any, ...], PlainValidator(tuple)]

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x, *picks = types
        shape: list[Dim] = []
        tensors = iter([pick for pick in picks if not _is_bound(pick)])
        for part in self._parts(x):
            if part.axis is None:
                shape.append(1)
            elif part.item == "tensor":
                shape.extend(self._picked(next(tensors)).shape)
            elif isinstance(part.item, int):
                _guard_place(part.item, x, part.axis)
            elif isinstance(part.item, Slice):
                shape.append(_length(part.item, x, part.axis))
        return (x.with_shape(*shape),)

    def _picked(self, pick: TensorType) -> TensorType:
        if pick.dtype not in ("int64", "int32"):
            raise TypeRuleError(
                f"an index is made of integers (int64 or int32), got {pick}",
                help="choose by a condition with `where`" if pick.dtype == "bool" else "`cast` it to int64",
            )
        return pick

    def _parts(self, x: TensorType) -> list[_Part]:
        """The items, `...` filled in, each with its axis. Raises `TypeRuleError` for too many."""
        reads = sum(item is not None and item != "..." for item in self.items)
        if reads > x.rank:
            raise TypeRuleError(f"{reads} places are too many for {x}, which has {x.rank} axes", input=0)
        tensors = self.items.count("tensor")
        if tensors > 1 or (tensors and any(isinstance(item, int) for item in self.items)):
            raise TypeRuleError("can be indexed by one tensor, with slices beside it", help="index twice")
        rest: list[Item] = [Slice()] * (x.rank - reads)
        items: list[Item] = []
        for item in self.items if "..." in self.items else (*self.items, "..."):
            items.extend(rest if item == "..." else [item])
        parts: list[_Part] = []
        axis = 0
        for item in items:
            parts.append(_Part(item, None if item is None else axis))
            axis += item is not None
        return parts

    def works_position_wise(self, types: Sequence[TensorType], length: SymDim) -> bool:
        x = types[0]
        return all(part.axis is None or x.shape[part.axis] != length or part.item == Slice() for part in self._parts(x))

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        others = iter(arguments[1:])
        texts = [self._text(item, others) for item in self.items]
        return f"{postfix(arguments[0])}[{', '.join(texts)}]"

    def _text(self, item: Item, others: Any) -> str:
        if not isinstance(item, Slice):
            return str(next(others)) if item == "tensor" else str(item)
        bounds = [
            "" if bound is None else str(next(others)) if isinstance(bound, SymDim) else str(bound)
            for bound in (item.start, item.stop)
        ]
        return ":".join(bounds if item.step == 1 else [*bounds, str(item.step)])

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        parts = self._parts(types[0])
        value = inputs[0]
        slices = [part for part in parts if isinstance(part.item, Slice) and part.item != Slice()]
        if slices:
            value = self._slice(graph, value, slices)
        tensors = [(name, type) for name, type in zip(inputs[1:], types[1:], strict=True) if not _is_bound(type)]
        for part in reversed(parts):  # from the last axis on, so that the places of the others stay
            if part.item == "tensor":
                (value,) = graph.node("Gather", [value, tensors[0][0]], axis=part.axis)
            elif isinstance(part.item, int):
                (value,) = graph.node("Gather", [value, graph.constant(part.item, "int64")], axis=part.axis)
        new: list[int] = []
        place = 0
        for part in parts:
            if part.axis is None:
                new.append(place)
            place += tensors[0][1].rank if part.item == "tensor" else not isinstance(part.item, int)
        return graph.node("Unsqueeze", [value, graph.constant(new, "int64")]) if new else (value,)

    def _slice(self, graph: OnnxGraph, value: str, parts: Sequence[_Part]) -> str:
        slices = [part.item for part in parts if isinstance(part.item, Slice)]
        starts: list[Dim] = [0 if item.start is None else item.start for item in slices]
        stops: list[Dim] = [_END if item.stop is None else item.stop for item in slices]
        axes = graph.constant([part.axis for part in parts], "int64")
        steps = graph.constant([item.step for item in slices], "int64")
        return graph.node("Slice", [value, _bounds(graph, starts), _bounds(graph, stops), axes, steps])[0]


def _bounds(graph: OnnxGraph, bounds: Sequence[Dim]) -> str:
    if not any(isinstance(bound, SymDim) for bound in bounds):
        return graph.constant(list(bounds), "int64")
    return graph.shape(bounds)


def _is_bound(type: TensorType) -> bool:
    """Whether an input is a size (a number), rather than a tensor."""
    return isinstance(type, Number)


def _guard_place(place: int, x: TensorType, axis: int) -> None:
    size = x.shape[axis]
    if isinstance(size, int) and not -size <= place < size:
        raise TypeRuleError(f"there is no place {place} on axis {axis} of {x}, which has {size}", input=0)


def _length(part: Slice, x: TensorType, axis: int) -> Dim:
    """How many places a slice keeps."""
    size = x.shape[axis]
    start, stop = part.start, part.stop
    if isinstance(size, int) and not isinstance(start, SymDim) and not isinstance(stop, SymDim):
        return len(range(*slice(start, stop, part.step).indices(size)))
    begin = 0 if start is None else _bound(start, size, x, axis)
    end = size if stop is None else _bound(stop, size, x, axis)
    return (end - begin + (part.step - 1)) // part.step


def _bound(bound: Dim, size: Dim, x: TensorType, axis: int) -> Dim:
    """A bound counted from the start, where it is sure to lie within the axis."""
    if isinstance(bound, SymDim):
        return bound
    # Every size is at least 1, so an axis of T + 1 has at least 2 places.
    if abs(bound) > max(extent(size)[0], 1):
        symbols = sorted(size.symbols()) if isinstance(size, SymDim) else []
        raise TypeRuleError(
            f"axis {axis} of {x} may be shorter than {abs(bound)}, so the length of the slice isn't known",
            input=0,
            help=f"say how short it may be: `sizes: {{{symbols[0]}: {{min: {abs(bound)}}}}}`" if symbols else None,
        )
    return bound if bound >= 0 else size + bound
