"""What a training step makes of a number that stands for a value: `bce_with_logits(real, 1.0)`, `model(x, 3)`.

Neither is written in a spec by name; the elaborator puts them where a head's parentheses hold a number.
"""

from collections.abc import Sequence
from typing import ClassVar

from specdl.ir.types import BATCH, DType, TensorType
from specdl.ops.axes import Sizes
from specdl.ops.base import Family, Op, TypeRuleError
from specdl.ops.broadcasting import number
from specdl.ops.text import dim_text, expression, literal, postfix


class NumberOp(Op):
    """A Python number, written where it is used."""

    operator: ClassVar[str] = "number"
    family: ClassVar[Family] = "parameter"
    inputs: ClassVar[tuple[str, ...]] = ()
    counted: ClassVar[bool] = False
    inline: ClassVar[bool] = True

    value: bool | int | float

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return (number(self.value),)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return literal(self.value)

    def title(self) -> str:
        return literal(self.value)


class Full(Op):
    """A number for each example of the batch; `like` is any value that has the batch."""

    operator: ClassVar[str] = "full"
    family: ClassVar[Family] = "parameter"
    inputs: ClassVar[tuple[str, ...]] = ("number", "like")
    counted: ClassVar[bool] = False
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.full.html"

    shape: Sizes = ()
    dtype: DType

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        if not types[1].batched:
            raise TypeRuleError("needs a value of the batch, to know how many examples there are", input=1)
        self._sizes("x", types[1])
        return (TensorType((BATCH, *self.shape), self.dtype),)

    def _sizes(self, name: str, like: TensorType) -> list[str]:
        return [dim_text(size, [(name, like)]) for size in (BATCH, *self.shape)]

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        number, like = arguments
        sizes = self._sizes(like, types[1])
        shape = f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
        device = f"device={postfix(like)}.device"
        return expression("torch.full", [shape, number, f"dtype=torch.{self.dtype}", device])
