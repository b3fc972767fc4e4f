"""Transforms of examples, written as operations on a whole batch of tensors.

A transform declares what it does to a type, so that the network's inputs are checked against it, and draws
its random numbers from the generator that it is given, so that a seed decides all of them. The fields that one
entry names share the draw: an image and its mask are turned by the same angle. Random transforms draw while
training; in evaluation `random_crop` takes the centre and the others leave the field alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from specdl.ir.types import TensorType
from specdl.objectives.base import Declared, Listed
from specdl.ops.arguments import Size2, spread
from specdl.ops.base import TypeRuleError

if TYPE_CHECKING:
    import torch

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Transform(Declared):
    """Base of the transforms. All of them work on images `[N, C, H, W]`."""

    random: ClassVar[bool] = False
    """Whether it draws random numbers while training."""

    def infer(self, type: TensorType) -> TensorType:
        """The type behind the transform. Raises `TypeRuleError`."""
        return require_image(type)

    def draw(self, tensor: torch.Tensor, generator: torch.Generator | None) -> Any:
        """What is decided once for all fields of an entry; without a generator, as in evaluation."""
        return None

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        """The field behind the transform."""
        raise NotImplementedError

    def apply(
        self, tensors: Sequence[torch.Tensor], generator: torch.Generator, *, training: bool
    ) -> tuple[torch.Tensor, ...]:
        """The fields of a batch behind the transform."""
        drawn = self.draw(tensors[0], generator if training and self.random else None)
        return tuple(self.change(tensor, drawn) for tensor in tensors)


def require_image(type: TensorType) -> TensorType:
    """Guards the rank of an image field."""
    if type.rank != 4:
        raise TypeRuleError(f"expects an image [N, C, H, W], got {type}")
    return type


class Resize(Transform):
    """Scales images to a size; bilinear (antialiased when shrinking), labels and masks to the nearest."""

    name: ClassVar[str] = "resize"
    main: ClassVar[str | None] = "size"

    size: Size2 = Field(description="Height and width; one number for both.")

    def infer(self, type: TensorType) -> TensorType:
        return type.with_shape(*require_image(type).shape[:2], *spread(self.size, 2))

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        import torch.nn.functional as F

        size = spread(self.size, 2)
        if not tensor.is_floating_point():
            return F.interpolate(tensor.float(), size=size, mode="nearest-exact").to(tensor.dtype)
        return F.interpolate(tensor, size=size, mode="bilinear", antialias=True)


def _statistics(value: Any) -> Any:
    if value == "imagenet":
        return "imagenet"
    items = value if isinstance(value, (list, tuple)) else [value]
    if not items or any(isinstance(item, bool) or not isinstance(item, (int, float)) for item in items):
        raise PydanticCustomError("statistics", "expected `imagenet`, a number or a list of numbers")
    return tuple(float(item) for item in items)


Statistics = Annotated[
    tuple[float, ...] | Literal["imagenet"],
    PlainValidator(_statistics),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["imagenet"]},
                {"type": "number"},
                {"type": "array", "items": {"type": "number"}, "minItems": 1},
            ]
        }
    ),
]


class Normalize(Transform):
    """(x - mean) / std, for each channel. `normalize(image): imagenet` uses ImageNet's numbers."""

    name: ClassVar[str] = "normalize"
    main: ClassVar[str | None] = "mean"

    mean: Statistics = Field(description="Mean of each channel, one number for all, or `imagenet`.")
    std: Statistics = Field(default=(1.0,), description="Standard deviation of each channel, or one for all.")

    def _numbers(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        mean = _IMAGENET[0] if isinstance(self.mean, str) else self.mean
        given = self.std if not (isinstance(self.mean, str) and self.std == (1.0,)) else "imagenet"
        return mean, _IMAGENET[1] if isinstance(given, str) else given

    def infer(self, type: TensorType) -> TensorType:
        channels = require_image(type).shape[1]
        if not type.floating:
            raise TypeRuleError(f"expects floating-point numbers, got {type}")
        for name, numbers in zip(("mean", "std"), self._numbers(), strict=True):
            if len(numbers) not in {1, channels}:
                raise TypeRuleError(f"`{name}` has {len(numbers)} numbers, {type} has {channels} channels")
            if name == "std" and any(number <= 0 for number in numbers):
                raise TypeRuleError("`std` must be greater than 0", argument="std")
        return type

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        mean, std = (tensor.new_tensor(numbers).view(1, -1, 1, 1) for numbers in self._numbers())
        return (tensor - mean) / std


class Pad(Transform):
    """Adds a border around images."""

    name: ClassVar[str] = "pad"
    main: ClassVar[str | None] = "padding"

    padding: int = Field(ge=1, description="Pixels on each side.")
    value: float = Field(default=0.0, description="What the border is filled with.")

    def infer(self, type: TensorType) -> TensorType:
        n, c, h, w = require_image(type).shape
        return type.with_shape(n, c, h + 2 * self.padding, w + 2 * self.padding)

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        import torch.nn.functional as F

        return F.pad(tensor, (self.padding,) * 4, value=self.value)


class RandomCrop(Transform):
    """Cuts a part of each image at a random place; in evaluation, the centre."""

    name: ClassVar[str] = "random_crop"
    main: ClassVar[str | None] = "size"
    random: ClassVar[bool] = True

    size: Size2 = Field(description="Height and width; one number for both.")
    padding: int = Field(default=0, ge=0, description="Pixels of zeros added on each side first.")

    def infer(self, type: TensorType) -> TensorType:
        size = spread(self.size, 2)
        for wanted, given in zip(size, require_image(type).shape[2:], strict=True):
            if isinstance(given, int) and wanted > given + 2 * self.padding:
                raise TypeRuleError(f"can't cut {size[0]} × {size[1]} out of {type}", argument="size")
        return type.with_shape(*type.shape[:2], *size)

    def draw(self, tensor: torch.Tensor, generator: torch.Generator | None) -> Any:
        import torch

        count = len(tensor)
        height, width = spread(self.size, 2)
        free = (tensor.shape[2] + 2 * self.padding - height, tensor.shape[3] + 2 * self.padding - width)
        if generator is None:
            return [torch.full((count,), most // 2) for most in free]
        return [torch.randint(0, most + 1, (count,), generator=generator) for most in free]

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        import torch
        import torch.nn.functional as F

        height, width = spread(self.size, 2)
        padded = F.pad(tensor, (self.padding,) * 4) if self.padding else tensor
        top, left = (offset.to(tensor.device) for offset in drawn)
        rows = (top[:, None] + torch.arange(height, device=tensor.device))[:, None, :, None]
        columns = (left[:, None] + torch.arange(width, device=tensor.device))[:, None, None, :]
        examples = torch.arange(len(tensor), device=tensor.device)[:, None, None, None]
        channels = torch.arange(tensor.shape[1], device=tensor.device)[None, :, None, None]
        return padded[examples, channels, rows, columns]


class RandomHorizontalFlip(Transform):
    """Mirrors images left to right with probability `p`."""

    name: ClassVar[str] = "random_horizontal_flip"
    main: ClassVar[str | None] = "p"
    random: ClassVar[bool] = True

    p: float = Field(default=0.5, ge=0, le=1, description="The probability.")

    def draw(self, tensor: torch.Tensor, generator: torch.Generator | None) -> Any:
        import torch

        return None if generator is None else torch.rand(len(tensor), generator=generator) < self.p

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        import torch

        if drawn is None:
            return tensor
        return torch.where(drawn.to(tensor.device)[:, None, None, None], tensor.flip(-1), tensor)


class RandomAffine(Transform):
    """Turns, shifts and scales images about their centre by random amounts, drawn evenly for each image."""

    name: ClassVar[str] = "random_affine"
    main: ClassVar[str | None] = "degrees"
    random: ClassVar[bool] = True

    degrees: float = Field(ge=0, le=180, description="Largest angle either way.")
    translate: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="Largest shift either way, as a share of height and width."
    )
    scale: Annotated[tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]], Listed] = Field(
        default=(1.0, 1.0), description="Smallest and largest scale."
    )

    def draw(self, tensor: torch.Tensor, generator: torch.Generator | None) -> Any:
        import torch

        if generator is None:
            return None
        angle, size, right, down = torch.rand((4, len(tensor)), generator=generator)
        angle = (2 * angle - 1) * math.radians(self.degrees)
        low, high = self.scale
        inverse = 1 / (low + (high - low) * size)  # the grid says for each output pixel where it comes from
        height, width = tensor.shape[2:]
        cos, sin = torch.cos(angle) * inverse, torch.sin(angle) * inverse
        # Grid coordinates run from -1 to 1 on both axes, so the turn of a non-square image is corrected.
        row_x = torch.stack([cos, -sin * (height / width), (2 * right - 1) * 2 * self.translate], dim=1)
        row_y = torch.stack([sin * (width / height), cos, (2 * down - 1) * 2 * self.translate], dim=1)
        return torch.stack([row_x, row_y], dim=1)

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        import torch.nn.functional as F

        if drawn is None:
            return tensor
        moved = tensor if tensor.is_floating_point() else tensor.float()
        grid = F.affine_grid(drawn.to(moved), list(tensor.shape), align_corners=False)
        mode = "bilinear" if tensor.is_floating_point() else "nearest"
        return F.grid_sample(moved, grid, mode=mode, align_corners=False).to(tensor.dtype)


TRANSFORMS: dict[str, type[Transform]] = {
    transform.name: transform for transform in (Resize, Normalize, Pad, RandomCrop, RandomHorizontalFlip, RandomAffine)
}
"""Transforms by their name in a spec."""
