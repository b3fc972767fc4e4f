"""What a transform declares: what it does to types, so that a network's inputs are checked, and to a batch.

A transform draws its random numbers from the generator that it is given, so that a seed decides all of them, and
the fields that one entry names share the draw: an image and its mask are turned by the same angle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from specdl.ir.dims import Dim, symbol
from specdl.ir.types import TensorType
from specdl.objectives.base import Declared
from specdl.ops.base import TypeRuleError

if TYPE_CHECKING:
    import torch

    from specdl.data.columns import Column

PAGE = "https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.v2.{}.html"
"""torchvision's page of a transform."""


class Transform(Declared):
    """Base of the transforms. Fields have a batch axis; where examples are decoded one by one, it is 1 long."""

    random: ClassVar[bool] = False
    """Whether it draws random numbers."""
    strings: ClassVar[bool] = False
    """Whether it takes fields of text."""
    fewer: ClassVar[bool] = False
    """Whether fewer names than it gives fields may be written: the last ones are then left out."""
    objective: ClassVar[bool] = False
    """Whether it only serves training (it makes targets, or blocks of a corpus), so that inference leaves it out."""
    arranged: ClassVar[int] = 0
    """How many columns it arranges the examples of a part into; 0 for a transform of single examples."""

    def arranges(self) -> bool:
        """Whether it makes other examples of all those of a part."""
        return self.arranged > 0

    def varies(self) -> bool:
        """Whether it makes another batch of the same examples each time."""
        return self.random

    def arrange(self, fields: Sequence[Column]) -> tuple[Column, ...]:
        """Makes other examples of all those of a part: blocks of a corpus, pairs. `apply` then takes batches of them.

        Raises `ValueError` where there are too few.
        """
        raise NotImplementedError

    def with_classes(self, counts: Sequence[int | None]) -> Transform:
        """The transform with the number of classes that each of its fields counts, as far as that is known."""
        return self

    def for_outputs(self, count: int) -> Transform:
        """The transform that writes so many fields."""
        return self

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

    def recorded(self) -> dict[str, Any]:
        """All its arguments as plain data, for what is kept with a trained network."""
        values = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values}

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


def fresh(number: int = 1, most: int | None = None) -> Dim:
    """A size that no other field has, and at most so large: what a field's length becomes. The chain names it."""
    return symbol(f"length{number}", None, most)


def require_image(type: TensorType) -> TensorType:
    """Guards the rank of an image field."""
    if type.rank != 4:
        raise TypeRuleError(f"expects an image [N, C, H, W], got {type}")
    return type


def is_mask(type: TensorType) -> bool:
    """Whether the numbers of a field are names (of classes, of instances), which can't be mixed: the nearest is taken.

    Bytes of a picture `[N, C, H, W]` are numbers to compute with.
    """
    return not type.floating and not (type.dtype == "uint8" and type.rank == 4)


def holds_names(tensor: torch.Tensor) -> bool:
    """`is_mask` of a tensor."""
    import torch

    return not tensor.is_floating_point() and not (tensor.dtype == torch.uint8 and tensor.dim() == 4)


class Spatial(Transform):
    """A transform of where things are: of images `[N, C, H, W]` and of masks, which may be `[N, H, W]`."""

    def infer(self, type: TensorType) -> TensorType:
        if type.rank == 3 and is_mask(type):
            n, h, w = type.shape
            moved = self.move(type.with_shape(n, 1, h, w)).shape
            return type.with_shape(moved[0], *moved[2:])
        return self.move(require_image(type))

    def move(self, type: TensorType) -> TensorType:
        """The type of an image behind the transform. Raises `TypeRuleError`."""
        return type

    def apply(self, fields: Sequence[Any], generator: torch.Generator) -> tuple[Any, ...]:
        images = [field.unsqueeze(1) if field.dim() == 3 else field for field in fields]
        drawn = self.draw(images[0], generator) if self.random else None
        moved = [self.change(image, drawn) for image in images]
        return tuple(
            image.squeeze(1) if field.dim() == 3 else image for image, field in zip(moved, fields, strict=True)
        )


class Colour(Transform):
    """A transform of the brightness and the colours of images: floating point in [0, 1], or bytes."""

    def infer(self, type: TensorType) -> TensorType:
        if is_mask(require_image(type)):
            raise TypeRuleError(f"changes colours, which a mask ({type}) has none of", help="leave the mask out")
        return type


class Unchanged(Transform):
    """Gives a field another name: what evaluation does where a random transform writes into another field."""

    name: ClassVar[str] = "unchanged"

    def infer(self, type: TensorType) -> TensorType:
        return type

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        return tensor


def uniform(generator: torch.Generator, low: float, high: float) -> float:
    """A random number between two."""
    import torch

    return float(torch.empty((), dtype=torch.float64).uniform_(low, high, generator=generator))


def chance(generator: torch.Generator, probability: float) -> bool:
    """True that often."""
    return uniform(generator, 0.0, 1.0) < probability


def whole(generator: torch.Generator, low: int, high: int) -> int:
    """A random whole number from `low` up to, and without, `high`."""
    import torch

    return int(torch.randint(low, high, (), generator=generator))
