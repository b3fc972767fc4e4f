"""Several values become one: arithmetic between them, concatenation, stacking, the matrix product."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from specdl.ir.dims import Dim
from specdl.ir.types import BATCH, DType, TensorType
from specdl.ops.axes import Axis, resolve
from specdl.ops.base import Family, OnnxGraph, Op, TypeRuleError
from specdl.ops.broadcasting import Broadcasting, Number, broadcast_shape, float_dtype, operand, result_dtype
from specdl.ops.text import dim_text, expression, infix, postfix


class Add(Broadcasting):
    """The sum of two values or more, broadcast against each other."""

    operator: ClassVar[str] = "add"
    family: ClassVar[Family] = "merge"
    inputs: ClassVar[tuple[str, ...]] = ("*xs",)
    symbol: ClassVar[str] = "+"
    onnx_op: ClassVar[str] = "Add"
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.add.html"

    def combine(self, graph: OnnxGraph, left: str, right: str, dtype: DType) -> str:
        return graph.node("Or" if dtype == "bool" else "Add", [left, right])[0]

    def title(self) -> str:
        return "+"


class Mul(Broadcasting):
    """The product of two values or more, element by element."""

    operator: ClassVar[str] = "mul"
    family: ClassVar[Family] = "merge"
    inputs: ClassVar[tuple[str, ...]] = ("*xs",)
    symbol: ClassVar[str] = "*"
    onnx_op: ClassVar[str] = "Mul"
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.mul.html"

    def combine(self, graph: OnnxGraph, left: str, right: str, dtype: DType) -> str:
        return graph.node("And" if dtype == "bool" else "Mul", [left, right])[0]

    def title(self) -> str:
        return "×"


class Sub(Broadcasting):
    """The difference of two values."""

    operator: ClassVar[str] = "sub"
    family: ClassVar[Family] = "merge"
    symbol: ClassVar[str] = "-"
    onnx_op: ClassVar[str] = "Sub"
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.sub.html"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        found = super().infer(*types)
        for position, type in enumerate(types):
            if type.dtype == "bool":
                raise TypeRuleError("isn't defined for bool", input=position, help="`logical_not` (`~`) inverts a mask")
        return found

    def title(self) -> str:
        return "−"


class Div(Broadcasting):
    """The quotient of two values; of integers too it is a float."""

    operator: ClassVar[str] = "div"
    family: ClassVar[Family] = "merge"
    symbol: ClassVar[str] = "/"
    onnx_op: ClassVar[str] = "Div"
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.div.html"

    def result(self, dtype: DType) -> DType:
        return float_dtype(dtype)

    def title(self) -> str:
        return "÷"


class _Joining(Op):
    """Values of equal rank side by side, in one dtype."""

    family: ClassVar[Family] = "merge"
    position_wise: ClassVar[bool] = True
    inputs: ClassVar[tuple[str, ...]] = ("*xs",)
    counted: ClassVar[bool] = False

    def _guard(self, types: Sequence[TensorType]) -> None:
        if not types:
            raise TypeRuleError("expects at least one input")
        for position, type in enumerate(types):
            if isinstance(type, Number):
                raise TypeRuleError("expects tensors, got a number", input=position)


class Concat(_Joining):
    """The inputs one behind the other along an existing axis; the other axes must agree.

    A batch axis of 1 is stretched to the batch, so that a learned token can simply be put in front.
    """

    operator: ClassVar[str] = "concat"
    main: ClassVar[str | None] = "dim"
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.cat.html"

    dim: Axis = Field(default=1, description="The axis along which the inputs are joined; the batch is 0.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        self._guard(types)
        first = types[0]
        if not first.rank:
            raise TypeRuleError("can't join values that have no axes", input=0, help="use `stack`")
        axis = resolve(self.dim, first.rank, shape=first)
        joined: Dim = 0
        for position, type in enumerate(types):
            if type.rank != first.rank:
                raise TypeRuleError(f"needs inputs of equal rank, got {first} and {type}", input=position, against=0)
            joined = joined + type.shape[axis]
        batch = self._batch(types)
        for position, type in enumerate(types):
            for other in range(first.rank):
                if other == axis or (other == 0 and batch is not None and type.shape[0] in (1, BATCH)):
                    continue
                if type.shape[other] != first.shape[other]:
                    raise TypeRuleError(
                        f"needs equal sizes but at axis {axis}: {first} and {type} differ at axis {other}, "
                        f"{first.shape[other]} against {type.shape[other]}",
                        input=position,
                        against=0,
                    )
        shape = [joined if place == axis else size for place, size in enumerate(first.shape)]
        if batch is not None:
            shape[0] = BATCH
        return (TensorType(tuple(shape), result_dtype(types)),)

    def _batch(self, types: Sequence[TensorType]) -> int | None:
        """The first input with the batch, where others must be stretched to it."""
        if self.dim in (0, -types[0].rank) or all(type.shape[0] == types[0].shape[0] for type in types):
            return None
        return next((position for position, type in enumerate(types) if type.batched), None)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        items = list(arguments)
        batch = self._batch(types)
        if batch is not None:
            size = dim_text(BATCH, [(arguments[batch], types[batch])])
            keep = ", ".join(["-1"] * (types[0].rank - 1))
            for position, type in enumerate(types):
                if not type.batched:
                    items[position] = expression(f"{postfix(arguments[position])}.expand", [size, keep])
        return _joined("torch.cat", items, self.dim)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        axis = resolve(self.dim, types[0].rank)
        dtype = result_dtype(types)
        batch = self._batch(types)
        operands: list[str] = []
        for name, type in zip(inputs, types, strict=True):
            value = operand(graph, name, type, dtype)
            if batch is not None and not type.batched:
                (value,) = graph.node("Expand", [value, graph.shape([BATCH, *type.shape[1:]])])
            operands.append(value)
        return graph.node("Concat", operands, axis=axis)


class Stack(_Joining):
    """The inputs, all of one shape, along a new axis; by default, as in PyTorch, before the batch."""

    operator: ClassVar[str] = "stack"
    main: ClassVar[str | None] = "dim"
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.stack.html"

    dim: Axis = Field(default=0, description="The place of the new axis; the batch is 0.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        self._guard(types)
        shape = types[0].shape
        for position, type in enumerate(types):
            if type.shape != shape:
                raise TypeRuleError(f"needs inputs of one shape, got {types[0]} and {type}", input=position, against=0)
        axis = resolve(self.dim, len(shape) + 1)
        return (TensorType((*shape[:axis], len(types), *shape[axis:]), result_dtype(types)),)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return _joined("torch.stack", arguments, self.dim)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        axis = resolve(self.dim, types[0].rank + 1)
        dtype = result_dtype(types)
        place = graph.constant([axis], "int64")
        rows = [
            graph.node("Unsqueeze", [operand(graph, name, type, dtype), place])[0]
            for name, type in zip(inputs, types, strict=True)
        ]
        return graph.node("Concat", rows, axis=axis)


def _joined(function: str, items: Sequence[str], dim: int) -> str:
    keywords = {} if dim == 0 else {"dim": dim}
    return expression(function, [f"[{', '.join(items)}]"], **keywords)


class Matmul(Op):
    """The matrix product over the last two axes; the axes before them are broadcast."""

    operator: ClassVar[str] = "matmul"
    family: ClassVar[Family] = "merge"
    position_wise: ClassVar[bool] = True
    inputs: ClassVar[tuple[str, ...]] = ("a", "b")
    counted: ClassVar[bool] = False
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.matmul.html"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        left, right = types
        for position, type in enumerate(types):
            if isinstance(type, Number) or not type.rank:
                raise TypeRuleError(f"expects matrices or vectors, got {type}", input=position)
            if type.dtype == "bool":
                raise TypeRuleError("isn't defined for bool", input=position, help="`cast` to a float")
        if left.dtype != right.dtype:
            message = f"needs equal dtypes, got {left.dtype} and {right.dtype}"
            raise TypeRuleError(message, input=1, against=0, help="`cast` one")
        inner = right.shape[-2] if right.rank > 1 else right.shape[0]
        if left.shape[-1] != inner:
            raise TypeRuleError(
                f"the last axis of {left} must equal the {'last but one' if right.rank > 1 else 'only'} axis of "
                f"{right}: {left.shape[-1]} against {inner}",
                input=1,
                against=0,
                help="`transpose` one of them",
            )
        batch = broadcast_shape([_outer(left), _outer(right)])
        rows = left.shape[-2:-1]
        columns = right.shape[-1:] if right.rank > 1 else ()
        return (left.with_shape(*batch, *rows, *columns),)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return infix("@", arguments[0], arguments[1])

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node("MatMul", inputs)

    def flops(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> Dim:
        return 2 * outputs[0].elements * inputs[0].shape[-1]

    def title(self) -> str:
        return "Matmul"


def _outer(type: TensorType) -> TensorType:
    """What is broadcast of a factor: all but its matrix."""
    return type.with_shape(*type.shape[:-2])


OPS: tuple[type[Op], ...] = (Add, Mul, Sub, Div, Concat, Stack, Matmul)
