"""What a transform declares: what it does to types, so that a network's inputs are checked, and to a batch.

A transform draws its random numbers from the generator that it is given, so that a seed decides all of them, and
the fields that one entry names share the draw: an image and its mask are turned by the same angle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from specdl.ir.types import TensorType
from specdl.objectives.base import Declared
from specdl.ops.base import TypeRuleError

if TYPE_CHECKING:
    import torch


class Transform(Declared):
    """Base of the transforms. Fields have a batch axis; where examples are decoded one by one, it is 1 long."""

    random: ClassVar[bool] = False
    """Whether it draws random numbers."""

    def infer_fields(self, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
        """The types of the fields that it writes, from those that it reads: `infer` of each, unless it says otherwise.

        Raises `TypeRuleError`, whose `input` says which of them doesn't fit.
        """
        found: list[TensorType] = []
        for position, type in enumerate(types):
            try:
                found.append(self.infer(type))
            except TypeRuleError as error:
                raise TypeRuleError(error.message, help=error.help, argument=error.argument, input=position) from error
        return tuple(found)

    def infer(self, type: TensorType) -> TensorType:
        """The type of one field behind the transform. Raises `TypeRuleError`."""
        return require_image(type)

    def evaluation(self) -> tuple[Transform, ...]:
        """What evaluation (and inference) does in its place: nothing where it is random, unless it says otherwise."""
        return () if self.random else (self,)

    def draw(self, tensor: torch.Tensor, generator: torch.Generator) -> Any:
        """What is decided once for all fields of an entry, from the first of them."""
        return None

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        """One field behind the transform."""
        raise NotImplementedError

    def apply(self, fields: Sequence[Any], generator: torch.Generator) -> tuple[Any, ...]:
        """The fields of a batch behind the transform: `change` of each, unless it says otherwise."""
        drawn = self.draw(fields[0], generator) if self.random else None
        return tuple(self.change(field, drawn) for field in fields)


def require_image(type: TensorType) -> TensorType:
    """Guards the rank of an image field."""
    if type.rank != 4:
        raise TypeRuleError(f"expects an image [N, C, H, W], got {type}")
    return type


class Unchanged(Transform):
    """Gives a field another name: what evaluation does where a random transform writes into another field."""

    name: ClassVar[str] = "unchanged"

    def infer(self, type: TensorType) -> TensorType:
        return type

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        return tensor
