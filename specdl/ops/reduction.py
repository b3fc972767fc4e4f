"""Reductions: one or several axes become a number, or a running total."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from specdl.ir.dims import Dim, product
from specdl.ir.types import DType, TensorType
from specdl.ops.axes import Axes, Axis, resolve, resolve_all
from specdl.ops.base import Family, OnnxGraph, Op, TypeRuleError, require_floating
from specdl.ops.broadcasting import float_dtype, operand
from specdl.ops.text import expression, method

_DOCS = "https://docs.pytorch.org/docs/stable/generated/torch"


def _reduced(x: TensorType, axes: Sequence[int], keepdim: bool, dtype: DType) -> TensorType:
    kept = [1 if axis in axes else size for axis, size in enumerate(x.shape) if keepdim or axis not in axes]
    return TensorType(tuple(kept), dtype)


def _reduce(graph: OnnxGraph, op_type: str, x: str, axes: Sequence[int], keepdim: bool) -> tuple[str, ...]:
    if not axes:  # a single number: ONNX reads an empty list as all axes, which is the same
        return graph.node(op_type, [x], keepdims=0)
    return graph.node(op_type, [x, graph.constant(list(axes), "int64")], keepdims=int(keepdim))


class _Reduction(Op):
    """Base of the reductions over one axis, several, or (without `dim`) all."""

    family: ClassVar[Family] = "reduction"
    position_wise: ClassVar[bool] = True
    main: ClassVar[str | None] = "dim"
    onnx_op: ClassVar[str]

    dim: Axes | None = Field(default=None, description="The axis or axes to reduce, the batch being 0; all by default.")
    keepdim: bool = Field(default=False, description="Whether the reduced axes stay, with size 1.")

    def result(self, dtype: DType) -> DType:
        """The dtype of the output, in which ONNX computes too."""
        return dtype

    def guard(self, x: TensorType) -> None:
        """Refuses what PyTorch refuses. Raises `TypeRuleError`."""

    def axes(self, x: TensorType) -> tuple[int, ...]:
        """The axes that go, counted from 0."""
        return resolve_all(self.dim, x)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        self.guard(x)
        return (_reduced(x, self.axes(x), self.keepdim, self.result(x.dtype)),)

    def keywords(self, x: TensorType) -> dict[str, Any]:
        """The arguments as PyTorch wants them: it has no `keepdim` without `dim`."""
        if self.dim is None and self.keepdim:
            return {"dim": tuple(range(x.rank)), "keepdim": True}
        return self.given()

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return method(arguments[0], self.operator, **self.keywords(types[0]))

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (x,) = types
        value = operand(graph, inputs[0], x, self.result(x.dtype))
        return _reduce(graph, self.onnx_op, value, self.axes(x), self.keepdim)


class _FloatReduction(_Reduction):
    """A reduction of floating-point numbers only."""

    def guard(self, x: TensorType) -> None:
        require_floating(x, help="`cast` it to float32")


class Mean(_FloatReduction):
    """The mean."""

    operator: ClassVar[str] = "mean"
    onnx_op: ClassVar[str] = "ReduceMean"
    reference: ClassVar[str] = f"{_DOCS}.mean.html"


class Sum(_Reduction):
    """The sum; of integers and bools it is int64."""

    operator: ClassVar[str] = "sum"
    onnx_op: ClassVar[str] = "ReduceSum"
    reference: ClassVar[str] = f"{_DOCS}.sum.html"

    def result(self, dtype: DType) -> DType:
        return dtype if TensorType((), dtype).floating else "int64"


class _Extremum(_Reduction):
    """The largest or smallest element."""

    def guard(self, x: TensorType) -> None:
        if any(x.shape[axis] == 0 for axis in self.axes(x)):
            raise TypeRuleError(f"nothing to choose from in {x}", input=0)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (x,) = types
        if x.dtype not in ("bool", "int16"):
            return super().onnx(graph, inputs, types)
        (found,) = _reduce(graph, self.onnx_op, graph.cast(inputs[0], "int32"), self.axes(x), self.keepdim)
        return (graph.cast(found, x.dtype),)


class Amax(_Extremum):
    """The largest element."""

    operator: ClassVar[str] = "amax"
    onnx_op: ClassVar[str] = "ReduceMax"
    reference: ClassVar[str] = f"{_DOCS}.amax.html"


class Amin(_Extremum):
    """The smallest element."""

    operator: ClassVar[str] = "amin"
    onnx_op: ClassVar[str] = "ReduceMin"
    reference: ClassVar[str] = f"{_DOCS}.amin.html"


class Logsumexp(_Reduction):
    """The logarithm of the sum of the exponentials, without overflow."""

    operator: ClassVar[str] = "logsumexp"
    onnx_op: ClassVar[str] = "ReduceLogSumExp"
    reference: ClassVar[str] = f"{_DOCS}.logsumexp.html"

    def result(self, dtype: DType) -> DType:
        return float_dtype(dtype)

    def keywords(self, x: TensorType) -> dict[str, Any]:
        return {**super().keywords(x), "dim": tuple(range(x.rank)) if self.dim is None else self.dim}


class _Spread(_FloatReduction):
    """How far the numbers lie apart."""

    correction: int = Field(default=1, ge=0, description="What is taken off the count; 1 is Bessel's correction.")

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (x,) = types
        axes = self.axes(x)
        mean = _reduce(graph, "ReduceMean", inputs[0], axes, True)
        distance = graph.node("Sub", [inputs[0], *mean])
        squares = graph.node("Mul", [*distance, *distance])
        total = _reduce(graph, "ReduceSum", squares[0], axes, self.keepdim)
        return graph.node("Div", [*total, self._count(graph, [x.shape[axis] for axis in axes], x.dtype)])

    def _count(self, graph: OnnxGraph, sizes: Sequence[Dim], dtype: DType) -> str:
        count = product(sizes)
        if isinstance(count, int):
            return graph.constant(float(max(count - self.correction, 0)), dtype)
        known = graph.cast(graph.reshape(graph.shape([count]), []), dtype)
        left = graph.node("Sub", [known, graph.constant(float(self.correction), dtype)])
        return graph.node("Max", [*left, graph.constant(0.0, dtype)])[0]


class Var(_Spread):
    """The variance."""

    operator: ClassVar[str] = "var"
    reference: ClassVar[str] = f"{_DOCS}.var.html"


class Std(_Spread):
    """The standard deviation."""

    operator: ClassVar[str] = "std"
    reference: ClassVar[str] = f"{_DOCS}.std.html"

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node("Sqrt", super().onnx(graph, inputs, types))


class Norm(_FloatReduction):
    """The vector norm: the p-th root of the sum of |x|^p; `.inf` is the largest |x|."""

    operator: ClassVar[str] = "norm"
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.linalg.vector_norm.html"

    p: float | int = Field(default=2, description="The exponent: 2 is the length, 1 the sum of magnitudes.")

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        keywords = self.given()
        order = {"ord": keywords.pop("p")} if "p" in keywords else {}
        return expression("torch.linalg.vector_norm", arguments, **order, **keywords)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (x,) = types
        axes = self.axes(x)
        if self.p in (1, 2):
            return _reduce(graph, f"ReduceL{int(self.p)}", inputs[0], axes, self.keepdim)
        (size,) = graph.node("Abs", inputs)
        if math.isinf(self.p):
            return _reduce(graph, "ReduceMax" if self.p > 0 else "ReduceMin", size, axes, self.keepdim)
        if self.p == 0:
            nonzero = graph.node("Sign", [size])
            return _reduce(graph, "ReduceSum", nonzero[0], axes, self.keepdim)
        powers = graph.node("Pow", [size, graph.constant(float(self.p), x.dtype)])
        total = _reduce(graph, "ReduceSum", powers[0], axes, self.keepdim)
        return graph.node("Pow", [*total, graph.constant(1 / self.p, x.dtype)])


class _Truth(_Reduction):
    """Whether some or all elements are true; a number is true where it isn't 0."""

    def result(self, dtype: DType) -> DType:
        return "uint8" if dtype == "uint8" else "bool"

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (x,) = types
        flags = graph.cast(operand(graph, inputs[0], x, "bool"), "int32")
        (found,) = _reduce(graph, self.onnx_op, flags, self.axes(x), self.keepdim)
        return (graph.cast(found, self.result(x.dtype)),)


class AnyTrue(_Truth):
    """Whether any element is true."""

    operator: ClassVar[str] = "any"
    onnx_op: ClassVar[str] = "ReduceMax"
    reference: ClassVar[str] = f"{_DOCS}.any.html"


class AllTrue(_Truth):
    """Whether all elements are true."""

    operator: ClassVar[str] = "all"
    onnx_op: ClassVar[str] = "ReduceMin"
    reference: ClassVar[str] = f"{_DOCS}.all.html"


class _OneAxis(_Reduction):
    """A reduction over one axis or all, but not over a few."""

    dim: Axis | None = Field(default=None, description="The axis to reduce, the batch being 0; all by default.")


class Prod(_OneAxis):
    """The product; of integers and bools it is int64."""

    operator: ClassVar[str] = "prod"
    onnx_op: ClassVar[str] = "ReduceProd"
    reference: ClassVar[str] = f"{_DOCS}.prod.html"

    def result(self, dtype: DType) -> DType:
        return dtype if TensorType((), dtype).floating else "int64"

    def guard(self, x: TensorType) -> None:
        if self.dim is None and self.keepdim:
            raise TypeRuleError("`keepdim` needs a `dim`", argument="keepdim")


class _ArgExtremum(_OneAxis):
    """The place of the largest or smallest element; over all axes, its place in the flattened value."""

    def result(self, dtype: DType) -> DType:
        return "int64"

    def guard(self, x: TensorType) -> None:
        if x.dtype == "bool":
            raise TypeRuleError("isn't defined for bool", input=0, help="`cast` it to a number first")

    def keywords(self, x: TensorType) -> dict[str, Any]:
        return self.given()

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (x,) = types
        value = graph.cast(inputs[0], "int32") if x.dtype == "int16" else inputs[0]
        if self.dim is not None and x.rank:
            return graph.node(self.onnx_op, [value], axis=resolve(self.dim, x.rank), keepdims=int(self.keepdim))
        flat = graph.reshape(value, [x.elements])
        found = graph.node(self.onnx_op, [flat], axis=0, keepdims=0)
        return (graph.reshape(found[0], [1] * x.rank),) if self.keepdim else found


class Argmax(_ArgExtremum):
    """The place of the largest element."""

    operator: ClassVar[str] = "argmax"
    onnx_op: ClassVar[str] = "ArgMax"
    reference: ClassVar[str] = f"{_DOCS}.argmax.html"


class Argmin(_ArgExtremum):
    """The place of the smallest element."""

    operator: ClassVar[str] = "argmin"
    onnx_op: ClassVar[str] = "ArgMin"
    reference: ClassVar[str] = f"{_DOCS}.argmin.html"


class _Running(Op):
    """A running total along one axis: the shape stays."""

    family: ClassVar[Family] = "reduction"
    main: ClassVar[str | None] = "dim"

    dim: Axis = Field(description="The axis along which it runs; the batch is 0.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        resolve(self.dim, x.rank, shape=x)
        return (x.with_dtype(self._dtype(x)),)

    def _dtype(self, x: TensorType) -> DType:
        return x.dtype if x.floating else "int64"

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return method(arguments[0], self.operator, dim=self.dim)


class Cumsum(_Running):
    """The sum of all elements up to each one; of integers it is int64."""

    operator: ClassVar[str] = "cumsum"
    reference: ClassVar[str] = f"{_DOCS}.cumsum.html"

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (x,) = types
        value = operand(graph, inputs[0], x, self._dtype(x))
        if not x.rank:
            return graph.node("Identity", [value])
        return graph.node("CumSum", [value, graph.constant(resolve(self.dim, x.rank), "int64")])


class Cumprod(_Running):
    """The product of all elements up to each one; of integers it is int64."""

    operator: ClassVar[str] = "cumprod"
    reference: ClassVar[str] = f"{_DOCS}.cumprod.html"

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        # ONNX has no running product: every row of a triangle holds the factors so far, and ones behind them.
        (x,) = types
        dtype = self._dtype(x)
        value = operand(graph, inputs[0], x, dtype)
        if not x.rank:
            return graph.node("Identity", [value])
        axis = resolve(self.dim, x.rank)
        length = x.shape[axis]
        last = [*(place for place in range(x.rank) if place != axis), axis]
        moved = graph.node("Transpose", [value], perm=last) if axis != x.rank - 1 else (value,)
        rows = graph.node("Unsqueeze", [*moved, graph.constant([x.rank - 1], "int64")])
        square = graph.node("Expand", [graph.constant(1, "int64"), graph.shape([length, length])])
        so_far = graph.cast(graph.node("Trilu", square, upper=0)[0], "bool")
        factors = graph.node("Where", [so_far, *rows, graph.constant(1, dtype)])
        (found,) = graph.node("ReduceProd", [*factors, graph.constant([-1], "int64")], keepdims=0)
        if axis == x.rank - 1:
            return (found,)
        return graph.node("Transpose", [found], perm=[last.index(place) for place in range(x.rank)])


OPS: tuple[type[Op], ...] = (
    Mean,
    Sum,
    Amax,
    Amin,
    Logsumexp,
    Var,
    Std,
    Norm,
    AnyTrue,
    AllTrue,
    Prod,
    Argmax,
    Argmin,
    Cumsum,
    Cumprod,
)
