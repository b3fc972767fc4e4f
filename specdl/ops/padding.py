"""Padding: an axis gets more places at its ends, all with one number."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from specdl.ir.dims import Dim
from specdl.ir.types import TensorType
from specdl.ops.base import Family, OnnxGraph, Op, TypeRuleError
from specdl.ops.text import expression, literal


def _pairs(value: Any) -> tuple[int, ...]:
    items = value if isinstance(value, (list, tuple)) else ()
    if not items or len(items) % 2 or any(isinstance(item, bool) or not isinstance(item, int) for item in items):
        raise PydanticCustomError("pad", "expected a list of two integers for each axis, from the last one on: [1, 0]")
    return tuple(items)


class Pad(Op):
    """Puts places with one number before and behind an axis: `pad: [1, 0]` one before the last axis.

    Two numbers an axis, from the last axis on, as in PyTorch; negative ones take places away. With one before it, a
    sequence is shifted, and a convolution of width k with k - 1 before sees nothing that comes later.
    """

    operator: ClassVar[str] = "pad"
    family: ClassVar[Family] = "shape"
    main: ClassVar[str | None] = "pad"
    counted: ClassVar[bool] = False
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pad.html"

    pad: Annotated[
        tuple[int, ...],
        PlainValidator(_pairs),
        WithJsonSchema({"type": "array", "items": {"type": "integer"}, "minItems": 2}),
    ] = Field(description="How many places before and behind the last axis, then the one before it, ….")
    value: float | int = Field(default=0.0, allow_inf_nan=False, description="The number in the new places.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        axes = len(self.pad) // 2
        if axes > x.rank:
            raise TypeRuleError(f"{len(self.pad)} numbers are for {axes} axes, but x is {x}", argument="pad")
        if axes == x.rank and any(self.pad[-2:]):
            raise TypeRuleError(
                f"can't pad the batch of {x}", argument="pad", help="two numbers an axis, last axis first"
            )
        shape: list[Dim] = list(x.shape)
        for axis in range(axes):
            size, ends = shape[-1 - axis], self.pad[2 * axis : 2 * axis + 2]
            shape[-1 - axis] = size + sum(ends)
            if isinstance(size, int) and size < -sum(min(end, 0) for end in ends):
                raise TypeRuleError(f"takes more places away than axis {-1 - axis} of {x} has", argument="pad")
        return (x.with_shape(*shape),)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        more = {} if self.value == 0 else {"value": self.value}
        return expression("F.pad", [arguments[0], literal(self.pad)], **more)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (x,) = types
        axes = range(len(self.pad) // 2)
        amounts = [self.pad[2 * axis] for axis in axes] + [self.pad[2 * axis + 1] for axis in axes]
        places = graph.constant([x.rank - 1 - axis for axis in axes], "int64")
        value = graph.constant(self.value, x.dtype)
        return graph.node("Pad", [inputs[0], graph.constant(amounts, "int64"), value, places])

    def title(self) -> str:
        return f"Pad {', '.join(map(str, self.pad))}"


OPS: tuple[type[Op], ...] = (Pad,)
