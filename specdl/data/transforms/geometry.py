"""Transforms of where things are in an image, on a whole batch at once: sizes, crops, mirrors, turns.

Numbers are interpolated; labels and masks (integers) take the nearest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from specdl.data.transforms.base import Transform, require_image
from specdl.ir.types import TensorType
from specdl.objectives.base import Listed
from specdl.ops.arguments import Size2, spread
from specdl.ops.base import TypeRuleError

if TYPE_CHECKING:
    import torch


PAGE = "https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.v2.{}.html"
"""torchvision's page of a transform."""


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


class CenterCrop(Transform):
    """Cuts the middle out of each image; a smaller image gets a border of zeros first."""

    name: ClassVar[str] = "center_crop"
    main: ClassVar[str | None] = "size"
    reference: ClassVar[str] = PAGE.format("CenterCrop")

    size: Size2 = Field(description="Height and width; one number for both.")

    def infer(self, type: TensorType) -> TensorType:
        return type.with_shape(*require_image(type).shape[:2], *spread(self.size, 2))

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        import torch.nn.functional as F

        height, width = spread(self.size, 2)
        missing = max(height - tensor.shape[2], 0), max(width - tensor.shape[3], 0)
        if any(missing):
            top, left = (lack // 2 for lack in missing)
            tensor = F.pad(tensor, (left, missing[1] - left, top, missing[0] - top))
        # The half pixel that is left goes where torchvision's rounding puts it.
        top, left = round((tensor.shape[2] - height) / 2), round((tensor.shape[3] - width) / 2)
        return tensor[:, :, top : top + height, left : left + width]


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

    def evaluation(self) -> tuple[Transform, ...]:
        return (CenterCrop(size=self.size),)

    def draw(self, tensor: torch.Tensor, generator: torch.Generator) -> Any:
        import torch

        height, width = spread(self.size, 2)
        free = (tensor.shape[2] + 2 * self.padding - height, tensor.shape[3] + 2 * self.padding - width)
        return [torch.randint(0, most + 1, (len(tensor),), generator=generator) for most in free]

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

    def draw(self, tensor: torch.Tensor, generator: torch.Generator) -> Any:
        import torch

        return torch.rand(len(tensor), generator=generator) < self.p

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        import torch

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

    def draw(self, tensor: torch.Tensor, generator: torch.Generator) -> Any:
        import torch

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

        moved = tensor if tensor.is_floating_point() else tensor.float()
        grid = F.affine_grid(drawn.to(moved), list(tensor.shape), align_corners=False)
        mode = "bilinear" if tensor.is_floating_point() else "nearest"
        return F.grid_sample(moved, grid, mode=mode, align_corners=False).to(tensor.dtype)
