"""Functions of one value that treat each element alone: `exp`, `abs`, `clamp`, `logical_not`."""

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import Field, model_validator

from specdl.ir.types import DType, TensorType
from specdl.ops.base import Family, OnnxGraph, Op, TypeRuleError
from specdl.ops.broadcasting import float_dtype, number, operand, require_tensor, result_dtype
from specdl.ops.text import expression, method, prefix

_DOCS = "https://docs.pytorch.org/docs/stable/generated/torch"


class _Unary(Op):
    """Base of the functions of one value; integers stay what they are."""

    family: ClassVar[Family] = "elementwise"
    position_wise: ClassVar[bool] = True
    onnx_op: ClassVar[str]
    takes_bool: ClassVar[bool] = False

    def result(self, dtype: DType) -> DType:
        """The dtype of the output, and the one in which ONNX computes."""
        return dtype

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        require_tensor(types)
        if x.dtype == "bool" and not self.takes_bool:
            raise TypeRuleError("isn't defined for bool", input=0, help="`cast` it to a number first")
        return (x.with_dtype(self.result(x.dtype)),)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return expression(f"torch.{self.operator}", arguments)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node(self.onnx_op, [operand(graph, inputs[0], types[0], self.result(types[0].dtype))])


class _FloatUnary(_Unary):
    """A function whose result is a float, of integers and bools too."""

    takes_bool: ClassVar[bool] = True

    def result(self, dtype: DType) -> DType:
        return float_dtype(dtype)


class Exp(_FloatUnary):
    """e to the power of x."""

    operator: ClassVar[str] = "exp"
    onnx_op: ClassVar[str] = "Exp"
    reference: ClassVar[str] = f"{_DOCS}.exp.html"


class Log(_FloatUnary):
    """The natural logarithm."""

    operator: ClassVar[str] = "log"
    onnx_op: ClassVar[str] = "Log"
    reference: ClassVar[str] = f"{_DOCS}.log.html"


class Sqrt(_FloatUnary):
    """The square root."""

    operator: ClassVar[str] = "sqrt"
    onnx_op: ClassVar[str] = "Sqrt"
    reference: ClassVar[str] = f"{_DOCS}.sqrt.html"


class Rsqrt(_FloatUnary):
    """One over the square root."""

    operator: ClassVar[str] = "rsqrt"
    onnx_op: ClassVar[str] = "Sqrt"
    reference: ClassVar[str] = f"{_DOCS}.rsqrt.html"

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node("Reciprocal", super().onnx(graph, inputs, types))


class Sin(_FloatUnary):
    """The sine of an angle in radians."""

    operator: ClassVar[str] = "sin"
    onnx_op: ClassVar[str] = "Sin"
    reference: ClassVar[str] = f"{_DOCS}.sin.html"


class Cos(_FloatUnary):
    """The cosine of an angle in radians."""

    operator: ClassVar[str] = "cos"
    onnx_op: ClassVar[str] = "Cos"
    reference: ClassVar[str] = f"{_DOCS}.cos.html"


class Reciprocal(_FloatUnary):
    """1 / x."""

    operator: ClassVar[str] = "reciprocal"
    onnx_op: ClassVar[str] = "Reciprocal"
    reference: ClassVar[str] = f"{_DOCS}.reciprocal.html"


class Erf(_FloatUnary):
    """The error function."""

    operator: ClassVar[str] = "erf"
    onnx_op: ClassVar[str] = "Erf"
    reference: ClassVar[str] = f"{_DOCS}.erf.html"


class Abs(_Unary):
    """The absolute value."""

    operator: ClassVar[str] = "abs"
    onnx_op: ClassVar[str] = "Abs"
    reference: ClassVar[str] = f"{_DOCS}.abs.html"


class Neg(_Unary):
    """-x."""

    operator: ClassVar[str] = "neg"
    onnx_op: ClassVar[str] = "Neg"
    reference: ClassVar[str] = f"{_DOCS}.neg.html"

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return prefix("-", arguments[0])

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        if types[0].dtype == "uint8":  # ONNX has no Neg for it; PyTorch wraps around
            (wide,) = graph.node("Neg", [graph.cast(inputs[0], "int32")])
            return (graph.cast(wide, "uint8"),)
        return super().onnx(graph, inputs, types)


class Square(_Unary):
    """x times x."""

    operator: ClassVar[str] = "square"
    onnx_op: ClassVar[str] = "Mul"
    takes_bool: ClassVar[bool] = True
    reference: ClassVar[str] = f"{_DOCS}.square.html"

    def result(self, dtype: DType) -> DType:
        return "int64" if dtype == "bool" else dtype

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        x = operand(graph, inputs[0], types[0], self.result(types[0].dtype))
        return graph.node("Mul", [x, x])


class Sign(_Unary):
    """-1, 0 or 1."""

    operator: ClassVar[str] = "sign"
    onnx_op: ClassVar[str] = "Sign"
    reference: ClassVar[str] = f"{_DOCS}.sign.html"


class _Rounding(_Unary):
    """A rounding: integers are round already."""

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return super().onnx(graph, inputs, types) if types[0].floating else graph.node("Identity", inputs)


class Floor(_Rounding):
    """The largest integer that isn't above x."""

    operator: ClassVar[str] = "floor"
    onnx_op: ClassVar[str] = "Floor"
    reference: ClassVar[str] = f"{_DOCS}.floor.html"


class Ceil(_Rounding):
    """The smallest integer that isn't below x."""

    operator: ClassVar[str] = "ceil"
    onnx_op: ClassVar[str] = "Ceil"
    reference: ClassVar[str] = f"{_DOCS}.ceil.html"


class Round(_Rounding):
    """The nearest integer; halves go to the even one."""

    operator: ClassVar[str] = "round"
    onnx_op: ClassVar[str] = "Round"
    reference: ClassVar[str] = f"{_DOCS}.round.html"


class _Like(_Unary):
    """One number in the shape and dtype of a value."""

    value: ClassVar[int]
    takes_bool: ClassVar[bool] = True
    onnx_op: ClassVar[str] = "Expand"

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (x,) = types
        filled = bool(self.value) if x.dtype == "bool" else self.value
        return graph.node("Expand", [graph.constant(filled, x.dtype), graph.shape(x.shape)])


class ZerosLike(_Like):
    """Zeros in the shape and dtype of x."""

    operator: ClassVar[str] = "zeros_like"
    value: ClassVar[int] = 0
    reference: ClassVar[str] = f"{_DOCS}.zeros_like.html"


class OnesLike(_Like):
    """Ones in the shape and dtype of x."""

    operator: ClassVar[str] = "ones_like"
    value: ClassVar[int] = 1
    reference: ClassVar[str] = f"{_DOCS}.ones_like.html"


class StopGradient(_Unary):
    """x, but no gradient flows back through it (`Tensor.detach`)."""

    operator: ClassVar[str] = "stop_gradient"
    onnx_op: ClassVar[str] = "Identity"
    takes_bool: ClassVar[bool] = True
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.Tensor.detach.html"

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return method(arguments[0], "detach")


class LogicalNot(_Unary):
    """Whether it is false (or 0)."""

    operator: ClassVar[str] = "logical_not"
    onnx_op: ClassVar[str] = "Not"
    takes_bool: ClassVar[bool] = True
    reference: ClassVar[str] = f"{_DOCS}.logical_not.html"

    def result(self, dtype: DType) -> DType:
        return "bool"


class BitwiseNot(_Unary):
    """~x: of bools, what is false."""

    operator: ClassVar[str] = "bitwise_not"
    onnx_op: ClassVar[str] = "BitwiseNot"
    takes_bool: ClassVar[bool] = True
    reference: ClassVar[str] = f"{_DOCS}.bitwise_not.html"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        if types[0].floating:
            raise TypeRuleError(f"isn't defined for {types[0].dtype}", input=0, help="use `logical_not`")
        return super().infer(*types)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return prefix("~", arguments[0])

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node("Not", inputs) if types[0].dtype == "bool" else super().onnx(graph, inputs, types)


class Clamp(Op):
    """x, kept between `min` and `max`; one of them may be left out."""

    operator: ClassVar[str] = "clamp"
    family: ClassVar[Family] = "elementwise"
    position_wise: ClassVar[bool] = True
    reference: ClassVar[str] = f"{_DOCS}.clamp.html"

    min: float | int | None = Field(default=None, description="The lowest value.")
    max: float | int | None = Field(default=None, description="The highest value.")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("needs `min`, `max` or both")
        return self

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        require_tensor(types)
        return (x.with_dtype(self._dtype(x)),)

    def _dtype(self, x: TensorType) -> DType:
        return result_dtype([x, *(number(bound) for bound in (self.min, self.max) if bound is not None)])

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        if self.min is not None and self.max is not None:
            return expression("torch.clamp", [*arguments, str(self.min), str(self.max)])
        return expression("torch.clamp", arguments, **self.given())

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        dtype = self._dtype(types[0])
        result = operand(graph, inputs[0], types[0], dtype)
        # Max and Min rather than Clip: where the bounds cross, PyTorch says max, and Clip leaves it open.
        if self.min is not None:
            (result,) = graph.node("Max", [result, graph.constant(self.min, dtype)])
        if self.max is not None:
            (result,) = graph.node("Min", [result, graph.constant(self.max, dtype)])
        return (result,)


OPS: tuple[type[Op], ...] = (
    Exp,
    Log,
    Sqrt,
    Rsqrt,
    Sin,
    Cos,
    Reciprocal,
    Erf,
    Abs,
    Neg,
    Square,
    Sign,
    Floor,
    Ceil,
    Round,
    ZerosLike,
    OnesLike,
    StopGradient,
    Clamp,
    LogicalNot,
    BitwiseNot,
)
