"""Functions of two values, element by element: comparison, logic, powers, the larger and the smaller, choice."""

from collections.abc import Sequence
from typing import ClassVar

from specdl.ir.types import DType, TensorType
from specdl.ops.base import Family, OnnxGraph, Op, TypeRuleError
from specdl.ops.broadcasting import Broadcasting, Number, broadcast_shape, operand, result_dtype
from specdl.ops.text import expression

_DOCS = "https://docs.pytorch.org/docs/stable/generated/torch"


class _Extreme(Broadcasting):
    """The larger or smaller of two values; against a number it is written as a clamp."""

    bound: ClassVar[str]

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (found,) = super().infer(*types)
        if found.dtype == "bool" and any(isinstance(type, Number) for type in types):
            raise TypeRuleError("isn't defined between bool and a number", input=0, help="use `&` or `|`")
        for position, type in enumerate(types):
            below = isinstance(type, Number) and isinstance(type.value, int) and type.value < 0
            if below and found.dtype == "uint8" and self.bound == "max":
                raise TypeRuleError("uint8 holds no numbers below zero", input=position, help="`cast` it first")
        return (found,)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        for position, type in enumerate(types):
            if isinstance(type, Number):
                return f"torch.clamp({arguments[1 - position]}, {self.bound}={arguments[position]})"
        return super().torch_function(arguments, *types)

    def combine(self, graph: OnnxGraph, left: str, right: str, dtype: DType) -> str:
        if dtype == "bool":
            return graph.node("Or" if self.bound == "min" else "And", [left, right])[0]
        return graph.node(self.onnx_op, [left, right])[0]


class Maximum(_Extreme):
    """The larger of two values, element by element."""

    operator: ClassVar[str] = "maximum"
    function: ClassVar[str] = "torch.maximum"
    bound: ClassVar[str] = "min"
    onnx_op: ClassVar[str] = "Max"
    reference: ClassVar[str] = f"{_DOCS}.maximum.html"


class Minimum(_Extreme):
    """The smaller of two values, element by element."""

    operator: ClassVar[str] = "minimum"
    function: ClassVar[str] = "torch.minimum"
    bound: ClassVar[str] = "max"
    onnx_op: ClassVar[str] = "Min"
    reference: ClassVar[str] = f"{_DOCS}.minimum.html"


class Pow(Broadcasting):
    """a to the power of b, element by element."""

    operator: ClassVar[str] = "pow"
    symbol: ClassVar[str] = "**"
    onnx_op: ClassVar[str] = "Pow"
    refused: ClassVar[tuple[str, ...]] = ("bool",)
    reference: ClassVar[str] = f"{_DOCS}.pow.html"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (found,) = super().infer(*types)
        exponent = types[1]
        negative = isinstance(exponent, Number) and isinstance(exponent.value, int) and exponent.value < 0
        if negative and not found.floating:
            raise TypeRuleError("integers have no negative powers", input=1, help="`cast` them to a float")
        return (found,)


class FloorDivide(Broadcasting):
    """The quotient rounded down."""

    operator: ClassVar[str] = "floor_divide"
    symbol: ClassVar[str] = "//"
    refused: ClassVar[tuple[str, ...]] = ("bool",)
    reference: ClassVar[str] = f"{_DOCS}.floor_divide.html"

    def combine(self, graph: OnnxGraph, left: str, right: str, dtype: DType) -> str:
        if TensorType((), dtype).floating:
            return graph.node("Floor", graph.node("Div", [left, right]))[0]
        rest = graph.node("Mod", [left, right])  # ONNX's Div rounds toward zero, its Mod has the divisor's sign
        return graph.node("Div", [*graph.node("Sub", [left, *rest]), right])[0]


class Remainder(Broadcasting):
    """What the quotient rounded down leaves; it has the divisor's sign."""

    operator: ClassVar[str] = "remainder"
    symbol: ClassVar[str] = "%"
    refused: ClassVar[tuple[str, ...]] = ("bool",)
    reference: ClassVar[str] = f"{_DOCS}.remainder.html"

    def combine(self, graph: OnnxGraph, left: str, right: str, dtype: DType) -> str:
        if not TensorType((), dtype).floating:
            return graph.node("Mod", [left, right])[0]
        whole = graph.node("Floor", graph.node("Div", [left, right]))
        return graph.node("Sub", [left, *graph.node("Mul", [*whole, right])])[0]


class _Comparison(Broadcasting):
    """A comparison: true or false for each element."""

    def result(self, dtype: DType) -> DType:
        return "bool"

    def working(self, dtype: DType) -> DType:
        return dtype


class _Order(_Comparison):
    """A comparison by size; ONNX knows none between bools."""

    def working(self, dtype: DType) -> DType:
        return "int32" if dtype in ("bool", "uint8", "int8", "int16") else dtype


class Eq(_Comparison):
    """Whether a equals b."""

    operator: ClassVar[str] = "eq"
    symbol: ClassVar[str] = "=="
    onnx_op: ClassVar[str] = "Equal"
    reference: ClassVar[str] = f"{_DOCS}.eq.html"


class Ne(_Comparison):
    """Whether a differs from b."""

    operator: ClassVar[str] = "ne"
    symbol: ClassVar[str] = "!="
    reference: ClassVar[str] = f"{_DOCS}.ne.html"

    def combine(self, graph: OnnxGraph, left: str, right: str, dtype: DType) -> str:
        return graph.node("Not", graph.node("Equal", [left, right]))[0]


class Lt(_Order):
    """Whether a is smaller than b."""

    operator: ClassVar[str] = "lt"
    symbol: ClassVar[str] = "<"
    onnx_op: ClassVar[str] = "Less"
    reference: ClassVar[str] = f"{_DOCS}.lt.html"


class Le(_Order):
    """Whether a is at most b."""

    operator: ClassVar[str] = "le"
    symbol: ClassVar[str] = "<="
    onnx_op: ClassVar[str] = "LessOrEqual"
    reference: ClassVar[str] = f"{_DOCS}.le.html"


class Gt(_Order):
    """Whether a is larger than b."""

    operator: ClassVar[str] = "gt"
    symbol: ClassVar[str] = ">"
    onnx_op: ClassVar[str] = "Greater"
    reference: ClassVar[str] = f"{_DOCS}.gt.html"


class Ge(_Order):
    """Whether a is at least b."""

    operator: ClassVar[str] = "ge"
    symbol: ClassVar[str] = ">="
    onnx_op: ClassVar[str] = "GreaterOrEqual"
    reference: ClassVar[str] = f"{_DOCS}.ge.html"


class _Logical(Broadcasting):
    """A logical operation; an element is true where it isn't 0."""

    takes_numbers: ClassVar[bool] = False

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        if any(isinstance(type, Number) for type in types):
            raise TypeRuleError("expects tensors, got a number", input=0)
        return super().infer(*types)

    def result(self, dtype: DType) -> DType:
        return "bool"


class LogicalAnd(_Logical):
    """Whether both are true."""

    operator: ClassVar[str] = "logical_and"
    function: ClassVar[str] = "torch.logical_and"
    onnx_op: ClassVar[str] = "And"
    reference: ClassVar[str] = f"{_DOCS}.logical_and.html"


class LogicalOr(_Logical):
    """Whether at least one is true."""

    operator: ClassVar[str] = "logical_or"
    function: ClassVar[str] = "torch.logical_or"
    onnx_op: ClassVar[str] = "Or"
    reference: ClassVar[str] = f"{_DOCS}.logical_or.html"


class LogicalXor(_Logical):
    """Whether exactly one is true."""

    operator: ClassVar[str] = "logical_xor"
    function: ClassVar[str] = "torch.logical_xor"
    onnx_op: ClassVar[str] = "Xor"
    reference: ClassVar[str] = f"{_DOCS}.logical_xor.html"


class _Bitwise(Broadcasting):
    """An operation on the bits of integers, or on bools."""

    refused: ClassVar[tuple[str, ...]] = ("float16", "bfloat16", "float32", "float64")
    bool_op: ClassVar[str]

    def combine(self, graph: OnnxGraph, left: str, right: str, dtype: DType) -> str:
        return graph.node(self.bool_op if dtype == "bool" else self.onnx_op, [left, right])[0]


class BitwiseAnd(_Bitwise):
    """a & b: of bools, whether both are true."""

    operator: ClassVar[str] = "bitwise_and"
    symbol: ClassVar[str] = "&"
    onnx_op: ClassVar[str] = "BitwiseAnd"
    bool_op: ClassVar[str] = "And"
    reference: ClassVar[str] = f"{_DOCS}.bitwise_and.html"


class BitwiseOr(_Bitwise):
    """a | b: of bools, whether at least one is true."""

    operator: ClassVar[str] = "bitwise_or"
    symbol: ClassVar[str] = "|"
    onnx_op: ClassVar[str] = "BitwiseOr"
    bool_op: ClassVar[str] = "Or"
    reference: ClassVar[str] = f"{_DOCS}.bitwise_or.html"


class BitwiseXor(_Bitwise):
    """a ^ b: of bools, whether exactly one is true."""

    operator: ClassVar[str] = "bitwise_xor"
    symbol: ClassVar[str] = "^"
    onnx_op: ClassVar[str] = "BitwiseXor"
    bool_op: ClassVar[str] = "Xor"
    reference: ClassVar[str] = f"{_DOCS}.bitwise_xor.html"


class Where(Op):
    """a where the condition is true, else b."""

    operator: ClassVar[str] = "where"
    family: ClassVar[Family] = "elementwise"
    position_wise: ClassVar[bool] = True
    inputs: ClassVar[tuple[str, ...]] = ("condition", "a", "b")
    counted: ClassVar[bool] = False
    takes_numbers: ClassVar[bool] = True
    reference: ClassVar[str] = f"{_DOCS}.where.html"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        condition = types[0]
        if isinstance(condition, Number) or condition.dtype != "bool":
            raise TypeRuleError(
                f"the condition must be bool, got {condition}", input=0, help="compare it, e.g. `x > 0`"
            )
        return (TensorType(broadcast_shape(types), result_dtype(types[1:])),)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return expression("torch.where", arguments)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        dtype = result_dtype(types[1:])
        branches = [operand(graph, inputs[place], types[place], dtype) for place in (1, 2)]
        return graph.node("Where", [inputs[0], *branches])


OPS: tuple[type[Op], ...] = (
    Maximum,
    Minimum,
    Pow,
    FloorDivide,
    Remainder,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    LogicalAnd,
    LogicalOr,
    LogicalXor,
    BitwiseAnd,
    BitwiseOr,
    BitwiseXor,
    Where,
)
