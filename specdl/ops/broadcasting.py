"""Operators that broadcast their inputs against each other and bring them to one dtype, as PyTorch does.

The result's dtype follows `torch.result_type`: tensors with axes decide, then single numbers in a tensor,
then Python's numbers, and a lower rank only counts where it is of a higher kind (bool, integer, float).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from specdl.ir.dims import Dim, SymDim
from specdl.ir.types import BATCH, DType, ShapeMismatch, TensorType, broadcast, promote
from specdl.ops.base import Family, OnnxGraph, Op, TypeRuleError
from specdl.ops.text import expression, infix


@dataclass(frozen=True, slots=True)
class Number(TensorType):
    """A Python number where a tensor could stand (`add(x, 1)`); it may be a size that is known at run time."""

    value: bool | float | SymDim = 0


def number(value: bool | float | SymDim) -> Number:
    """The type of a Python number."""
    dtype: DType = "bool" if isinstance(value, bool) else "float32" if isinstance(value, float) else "int64"
    return Number((), dtype, value)


def result_dtype(types: Sequence[TensorType]) -> DType:
    """The dtype of an operation on some tensors and numbers, as `torch.result_type` says."""
    numbers = _joined([type.dtype for type in types if isinstance(type, Number)])
    single = _joined([type.dtype for type in types if not isinstance(type, Number) and not type.rank])
    tensors = _joined([type.dtype for type in types if type.rank])
    found = _decided(tensors, _decided(single, numbers))
    assert found is not None
    return found


def _joined(dtypes: Sequence[DType]) -> DType | None:
    found: DType | None = None
    for dtype in dtypes:
        found = dtype if found is None else promote(found, dtype)
    return found


def _is_float(dtype: DType) -> bool:
    return TensorType((), dtype).floating


def _decided(higher: DType | None, lower: DType | None) -> DType | None:
    if higher is None or lower is None:
        return higher or lower
    if not _is_float(higher) and (higher == "bool" or _is_float(lower)):
        return promote(higher, lower)
    return higher


def float_dtype(dtype: DType) -> DType:
    """The dtype of a function such as `exp` or `/`, which makes floats of integers."""
    return dtype if _is_float(dtype) else "float32"


def broadcast_shape(types: Sequence[TensorType]) -> tuple[Dim, ...]:
    """The common shape. Raises `TypeRuleError`, also where a batch axis meets another kind of axis."""
    for position, type in enumerate(types):
        if type.batched:
            _guard_batch(position, type, types)
    shape: tuple[Dim, ...] = ()
    for position, type in enumerate(types):
        try:
            shape = broadcast(shape, type.shape)
        except ShapeMismatch as mismatch:
            others = " and ".join(str(other) for other in types if other.rank)
            places = f"axis {mismatch.axis}, {mismatch.left} against {mismatch.right}"
            message = f"shapes don't match: {others} differ at {places}"
            against = next((at for at, other in enumerate(types) if _size(other, mismatch.axis) == mismatch.left), None)
            raise TypeRuleError(message, input=position, against=against) from None
    return shape


def _size(type: TensorType, axis: int) -> Dim | None:
    """The size of an axis counted from the last, -1; None where the value has fewer axes."""
    return type.shape[axis] if -axis <= type.rank else None


def _guard_batch(position: int, batched: TensorType, types: Sequence[TensorType]) -> None:
    """Guards that the batch axis of a value meets only the batch, or nothing."""
    for against, other in enumerate(types):
        missing = other.rank - batched.rank
        if missing > 0 and other.shape[missing] != BATCH:
            places = ", ".join([":", *["None"] * missing])
            raise TypeRuleError(
                f"the batch axis of {batched} would meet axis {missing} of {other}, which mixes the examples",
                input=position,
                against=against,
                help=f"give it the axes that it lacks: `name[{places}]` in a `compute`",
            )


def operand(graph: OnnxGraph, name: str, type: TensorType, dtype: DType) -> str:
    """An input of an ONNX node in the dtype that the operation works in."""
    if isinstance(type, Number):
        if isinstance(type.value, SymDim):
            scalar = graph.reshape(graph.shape([type.value]), [])
            return scalar if dtype == "int64" else graph.cast(scalar, dtype)
        return graph.constant(type.value, dtype)
    return name if type.dtype == dtype else graph.cast(name, dtype)


def require_tensor(types: Sequence[TensorType]) -> None:
    """Guards that not all inputs are plain numbers."""
    if all(isinstance(type, Number) for type in types):
        raise TypeRuleError("expects a tensor among its inputs, got only numbers", input=0, help="write `$( … )`")


class Broadcasting(Op):
    """Base of operators over two tensors (or more) of broadcastable shapes."""

    inputs: ClassVar[tuple[str, ...]] = ("a", "b")
    symbol: ClassVar[str] = ""
    """Python's own sign for it."""
    function: ClassVar[str] = ""
    """PyTorch's function, where Python has no sign."""
    onnx_op: ClassVar[str] = ""
    refused: ClassVar[tuple[str, ...]] = ()
    """Dtypes of the operation that PyTorch refuses."""
    family: ClassVar[Family] = "elementwise"
    counted: ClassVar[bool] = False
    takes_numbers: ClassVar[bool] = True
    position_wise: ClassVar[bool] = True

    def result(self, dtype: DType) -> DType:
        """The dtype of the output, from the inputs' common one."""
        return dtype

    def working(self, dtype: DType) -> DType:
        """The dtype in which ONNX computes, from the inputs' common one."""
        return self.result(dtype)

    @property
    def element_wise(self) -> bool:
        return True

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        variadic = self.inputs[0].startswith("*")
        if len(types) < 2 or (len(types) > 2 and not variadic):
            raise TypeRuleError(f"expects {'at least ' if variadic else ''}two inputs, got {len(types)}")
        require_tensor(types[:2])
        broadcast_shape(types)
        found = types[0]
        for other in types[1:]:  # Python works from left to right, and each step has its own dtype
            common = result_dtype([found, other])
            if common in self.refused:
                raise TypeRuleError(f"isn't defined for {common}", input=0, help="`cast` to another dtype")
            found = TensorType(broadcast_shape([found, other]), self.result(common))
        return (found,)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        if not self.symbol:
            return expression(self.function, arguments)
        text = arguments[0]
        for argument in arguments[1:]:
            text = infix(self.symbol, text, argument)
        return text

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        result, found = inputs[0], types[0]
        for name, other in zip(inputs[1:], types[1:], strict=True):
            common = result_dtype([found, other])
            dtype = self.working(common)
            left, right = operand(graph, result, found, dtype), operand(graph, name, other, dtype)
            result = self.combine(graph, left, right, dtype)
            found = TensorType(broadcast_shape([found, other]), self.result(common))
        return (result,)

    def combine(self, graph: OnnxGraph, left: str, right: str, dtype: DType) -> str:
        """The ONNX nodes for two operands of one dtype."""
        return graph.node(self.onnx_op, [left, right])[0]
