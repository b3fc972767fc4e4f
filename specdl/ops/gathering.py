"""Picking elements by a tensor of places that is as large as the result."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from specdl.ir.dims import Dim
from specdl.ir.types import ShapeMismatch, TensorType, broadcast
from specdl.ops.axes import Axis, resolve
from specdl.ops.base import Family, OnnxGraph, Op, TypeRuleError
from specdl.ops.text import expression

_DOCS = "https://docs.pytorch.org/docs/stable/generated/torch"


class _ByPlaces(Op):
    """Base: the elements of x at the places in `index`, along one axis."""

    family: ClassVar[Family] = "shape"
    main: ClassVar[str | None] = "dim"
    inputs: ClassVar[tuple[str, ...]] = ("x", "index")
    counted: ClassVar[bool] = False

    dim: Axis = Field(description="The axis whose places the index holds; the batch is 0.")

    def _axis(self, x: TensorType, index: TensorType) -> int:
        """The axis, once both inputs fit. Raises `TypeRuleError`."""
        if index.dtype != "int64":
            raise TypeRuleError(f"expects an index of int64, got {index}", input=1, help="`cast` it to int64")
        if x.rank != index.rank or not x.rank:
            raise TypeRuleError(
                f"needs an index with as many axes as x, got {x} and {index}",
                input=1,
                against=0,
                help="give it the axes that it lacks: `index[:, None]` in a `compute`",
            )
        return resolve(self.dim, x.rank, shape=x)


class Gather(_ByPlaces):
    """The elements of x at the places in `index`, along one axis; the result has the shape of the index.

    The other axes of the index begin where those of x do; `take_along_dim` stretches them.
    """

    operator: ClassVar[str] = "gather"
    reference: ClassVar[str] = f"{_DOCS}.gather.html"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x, index = types
        axis = self._axis(x, index)
        for place, (size, wanted) in enumerate(zip(x.shape, index.shape, strict=True)):
            if place != axis and not _fits(wanted, size):
                raise TypeRuleError(
                    f"needs an index that isn't larger than x, but axis {place} has {wanted} against {size}",
                    input=1,
                    against=0,
                    axis=place,
                )
        return (x.with_shape(*index.shape),)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return expression("torch.gather", [arguments[0], str(self.dim), arguments[1]])

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node("GatherElements", inputs, axis=self._axis(*types))


def _fits(wanted: Dim, size: Dim) -> bool:
    """Whether an axis of the index is sure to lie within that of x."""
    return wanted in (1, size) or (isinstance(wanted, int) and isinstance(size, int) and wanted <= size)


class TakeAlongDim(_ByPlaces):
    """The elements of x at the places in `index`, along one axis; the other axes are stretched as in arithmetic.

    `take_along_dim(x, last[:, None, None], dim=1)` in a `compute` is each example's vector at its own last place.
    """

    operator: ClassVar[str] = "take_along_dim"
    reference: ClassVar[str] = f"{_DOCS}.take_along_dim.html"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x, index = types
        axis = self._axis(x, index)
        rest = [[size for place, size in enumerate(type.shape) if place != axis] for type in (x, index)]
        try:
            shape = broadcast(*rest)
        except ShapeMismatch as mismatch:
            raise TypeRuleError(
                f"needs axes that match beside axis {self.dim}: {mismatch.left} against {mismatch.right} "
                f"in {x} and {index}",
                input=1,
                against=0,
            ) from None
        return (x.with_shape(*shape[:axis], index.shape[axis], *shape[axis:]),)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return expression("torch.take_along_dim", arguments, dim=self.dim)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        x, index = types
        (output,) = self.infer(*types)
        axis = self._axis(x, index)
        value, places = inputs
        if index.shape != output.shape:
            (places,) = graph.node("Expand", [places, graph.shape(output.shape)])
        whole = [
            size if place == axis else wanted
            for place, (size, wanted) in enumerate(zip(x.shape, output.shape, strict=True))
        ]
        if list(x.shape) != whole:
            (value,) = graph.node("Expand", [value, graph.shape(whole)])
        return graph.node("GatherElements", [value, places], axis=axis)


OPS: tuple[type[Op], ...] = (Gather, TakeAlongDim)
