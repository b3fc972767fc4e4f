"""Random values, fresh on every run. Shapes leave the batch out: `randn: [64]` is 64 numbers an example."""

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import Field, model_validator

from specdl.ir.types import BATCH, DType, TensorType
from specdl.ops.axes import Sizes
from specdl.ops.base import Family, OnnxGraph, Op, TypeRuleError, require_floating
from specdl.ops.text import dim_text, expression, postfix

_DOCS = "https://docs.pytorch.org/docs/stable/generated/torch"


class _RandomLike(Op):
    """Random numbers in the shape and dtype of a value."""

    family: ClassVar[Family] = "random"
    random: ClassVar[bool] = True
    onnx_op: ClassVar[str]

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        require_floating(types[0])
        return (types[0],)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return expression(f"torch.{self.operator}", arguments)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node(self.onnx_op, inputs)


class RandnLike(_RandomLike):
    """Normally distributed numbers (mean 0, variance 1) in the shape of x."""

    operator: ClassVar[str] = "randn_like"
    onnx_op: ClassVar[str] = "RandomNormalLike"
    reference: ClassVar[str] = f"{_DOCS}.randn_like.html"


class RandLike(_RandomLike):
    """Evenly distributed numbers from 0 to 1 in the shape of x."""

    operator: ClassVar[str] = "rand_like"
    onnx_op: ClassVar[str] = "RandomUniformLike"
    reference: ClassVar[str] = f"{_DOCS}.rand_like.html"


class _Random(Op):
    """Random numbers for each example of the batch; `like` is any value that has the batch."""

    family: ClassVar[Family] = "random"
    main: ClassVar[str | None] = "shape"
    inputs: ClassVar[tuple[str, ...]] = ("like?",)
    random: ClassVar[bool] = True
    onnx_op: ClassVar[str] = "RandomUniformLike"
    dtype: ClassVar[DType] = "float32"

    shape: Sizes = Field(default=(), description="The shape without the batch; by default one number an example.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        if not types or not types[0].batched:
            raise TypeRuleError(
                "needs a value of the batch, to know how many examples there are",
                input=0 if types else None,
                help=f"name one: `{self.operator}(x): …`",
            )
        self._sizes("x", types[0])
        return (TensorType((BATCH, *self.shape), self.dtype),)

    def _sizes(self, name: str, like: TensorType) -> list[str]:
        return [dim_text(size, [(name, like)]) for size in (BATCH, *self.shape)]

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        sizes = self._sizes(arguments[0], types[0])
        return expression(f"torch.{self.operator}", [*sizes, f"device={postfix(arguments[0])}.device"])

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        shape = graph.shape((BATCH, *self.shape))
        return graph.node(self.onnx_op, graph.node("Expand", [graph.constant(0.0, "float32"), shape]))


class Randn(_Random):
    """Normally distributed numbers: mean 0, variance 1."""

    operator: ClassVar[str] = "randn"
    onnx_op: ClassVar[str] = "RandomNormalLike"
    reference: ClassVar[str] = f"{_DOCS}.randn.html"


class Rand(_Random):
    """Evenly distributed numbers from 0 (included) to 1 (excluded)."""

    operator: ClassVar[str] = "rand"
    reference: ClassVar[str] = f"{_DOCS}.rand.html"


class Randint(_Random):
    """Evenly distributed integers from `low` (included) to `high` (excluded)."""

    operator: ClassVar[str] = "randint"
    main: ClassVar[str | None] = "high"
    dtype: ClassVar[DType] = "int64"
    reference: ClassVar[str] = f"{_DOCS}.randint.html"

    low: int = Field(default=0, description="The smallest integer.")
    high: int = Field(description="One above the largest integer.")

    @model_validator(mode="after")
    def _some_between(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"`low` {self.low} must be below `high` {self.high}")
        return self

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        sizes = self._sizes(arguments[0], types[0])
        shape = f"({', '.join(sizes)},)" if len(sizes) == 1 else f"({', '.join(sizes)})"
        bounds = [str(bound) for bound in ((self.low, self.high) if self.low else (self.high,))]
        return expression("torch.randint", [*bounds, shape, f"device={postfix(arguments[0])}.device"])

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (share,) = super().onnx(graph, inputs, types)
        # A float32 share of the range may round up to its end, hence float64 and the Min.
        span = graph.constant(float(self.high - self.low), "float64")
        (place,) = graph.node("Floor", graph.node("Mul", [graph.cast(share, "float64"), span]))
        shifted = graph.node("Add", [graph.cast(place, "int64"), graph.constant(self.low, "int64")])
        return graph.node("Min", [*shifted, graph.constant(self.high - 1, "int64")])


OPS: tuple[type[Op], ...] = (RandnLike, RandLike, Randn, Rand, Randint)
