"""Transforms of where things are in an image, on a whole batch at once: sizes, crops, mirrors, turns.

Numbers are interpolated; masks take the nearest. All of them are plain PyTorch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from specdl.data.transforms.base import PAGE, Spatial, Transform, holds_names
from specdl.ir.types import TensorType
from specdl.objectives.base import Listed
from specdl.ops.arguments import Size2, spread
from specdl.ops.base import TypeRuleError

if TYPE_CHECKING:
    import torch

Positive = Annotated[float, Field(gt=0)]
Range = Annotated[tuple[Positive, Positive], Listed]
Share = Annotated[float, Field(ge=0, le=1)]


class Resize(Spatial):
    """Scales images: one number is the length of the shorter side, two are height and width.

    Bilinear, antialiased when shrinking; masks take the nearest.
    """

    name: ClassVar[str] = "resize"
    main: ClassVar[str | None] = "size"
    reference: ClassVar[str] = PAGE.format("Resize")

    size: Size2 = Field(description="The shorter side, or [height, width].")
    interpolation: Literal["nearest", "bilinear", "bicubic"] = Field(
        default="bilinear", description="How numbers between pixels are found."
    )

    def move(self, type: TensorType) -> TensorType:
        n, c, h, w = type.shape
        if isinstance(self.size, tuple):
            return type.with_shape(n, c, *self.size)
        if isinstance(h, int) and isinstance(w, int):
            return type.with_shape(n, c, *self._target(h, w))
        return type

    def _target(self, height: int, width: int) -> tuple[int, int]:
        """Height and width behind the transform."""
        if isinstance(self.size, tuple):
            return self.size
        if height <= width:
            return self.size, int(self.size * width / height)
        return int(self.size * height / width), self.size

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        return scaled(tensor, self._target(*tensor.shape[2:]), self.interpolation)


def scaled(tensor: torch.Tensor, size: tuple[int, int], interpolation: str = "bilinear") -> torch.Tensor:
    """Images `[N, C, H, W]` in another size; bytes are rounded, masks take the nearest."""
    import torch.nn.functional as F

    if tuple(tensor.shape[2:]) == tuple(size):
        return tensor
    numbers = tensor if tensor.is_floating_point() else tensor.float()
    if interpolation == "nearest" or holds_names(tensor):
        return F.interpolate(numbers, size=size, mode="nearest-exact").to(tensor.dtype)
    found = F.interpolate(numbers, size=size, mode=interpolation, antialias=True)
    return found if tensor.is_floating_point() else found.round().clamp(0, 255).to(tensor.dtype)


class Pad(Spatial):
    """Adds a border around images."""

    name: ClassVar[str] = "pad"
    main: ClassVar[str | None] = "padding"
    reference: ClassVar[str] = PAGE.format("Pad")

    padding: int = Field(ge=1, description="Pixels on each side.")
    fill: float = Field(default=0.0, description="What the border is filled with.")

    def move(self, type: TensorType) -> TensorType:
        n, c, h, w = type.shape
        return type.with_shape(n, c, h + 2 * self.padding, w + 2 * self.padding)

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        import torch.nn.functional as F

        return F.pad(tensor, (self.padding,) * 4, value=self.fill)


class CenterCrop(Spatial):
    """Cuts the middle out of each image; a smaller image gets a border of zeros first."""

    name: ClassVar[str] = "center_crop"
    main: ClassVar[str | None] = "size"
    reference: ClassVar[str] = PAGE.format("CenterCrop")

    size: Size2 = Field(description="Height and width; one number for both.")

    def move(self, type: TensorType) -> TensorType:
        return type.with_shape(*type.shape[:2], *spread(self.size, 2))

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


class RandomCrop(Spatial):
    """Cuts a part out of each image at a random place; in evaluation, the middle."""

    name: ClassVar[str] = "random_crop"
    main: ClassVar[str | None] = "size"
    random: ClassVar[bool] = True
    reference: ClassVar[str] = PAGE.format("RandomCrop")

    size: Size2 = Field(description="Height and width; one number for both.")
    padding: int = Field(default=0, ge=0, description="Pixels added on each side first.")
    padding_mode: Literal["constant", "reflect", "edge"] = Field(
        default="constant", description="What is added: zeros, the image mirrored, its last pixels again."
    )

    def move(self, type: TensorType) -> TensorType:
        size = spread(self.size, 2)
        for wanted, given in zip(size, type.shape[2:], strict=True):
            if isinstance(given, int) and wanted > given + 2 * self.padding:
                raise TypeRuleError(f"can't cut {size[0]} × {size[1]} out of {type}", argument="size")
        return type.with_shape(*type.shape[:2], *size)

    def evaluation(self) -> tuple[Transform, ...]:
        return (CenterCrop(size=self.size),)

    def draw(self, tensor: torch.Tensor, generator: torch.Generator) -> Any:
        import torch

        size = zip(tensor.shape[2:], spread(self.size, 2), strict=True)
        # An image of another size than the type says may be too small: it gets a border first.
        free = [max(given + 2 * self.padding - wanted, 0) for given, wanted in size]
        return [torch.randint(0, most + 1, (len(tensor),), generator=generator) for most in free]

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        import torch
        import torch.nn.functional as F

        height, width = spread(self.size, 2)
        mode = {"edge": "replicate"}.get(self.padding_mode, self.padding_mode)
        padded = tensor
        if self.padding:
            numbers = tensor if mode == "constant" else tensor.to(torch.float64)  # the other modes take no integers
            padded = F.pad(numbers, (self.padding,) * 4, mode=mode).to(tensor.dtype)
        missing = max(height - padded.shape[2], 0), max(width - padded.shape[3], 0)
        if any(missing):
            padded = F.pad(padded, (0, missing[1], 0, missing[0]))
        top, left = (offset.to(tensor.device) for offset in drawn)
        rows = (top[:, None] + torch.arange(height, device=tensor.device))[:, None, :, None]
        columns = (left[:, None] + torch.arange(width, device=tensor.device))[:, None, None, :]
        examples = torch.arange(len(tensor), device=tensor.device)[:, None, None, None]
        channels = torch.arange(tensor.shape[1], device=tensor.device)[None, :, None, None]
        return padded[examples, channels, rows, columns]


class RandomResizedCrop(Spatial):
    """Cuts a part of random size and shape out of each image, and scales it to the size wanted.

    In evaluation the shorter side is scaled to 8/7 of the size (256 for 224), and the middle is cut out.
    """

    name: ClassVar[str] = "random_resized_crop"
    main: ClassVar[str | None] = "size"
    random: ClassVar[bool] = True
    reference: ClassVar[str] = PAGE.format("RandomResizedCrop")

    size: Size2 = Field(description="Height and width; one number for both.")
    scale: Range = Field(default=(0.08, 1.0), description="Smallest and largest share of the image's area.")
    ratio: Range = Field(default=(3 / 4, 4 / 3), description="Smallest and largest width in heights.")

    def move(self, type: TensorType) -> TensorType:
        return type.with_shape(*type.shape[:2], *spread(self.size, 2))

    def evaluation(self) -> tuple[Transform, ...]:
        return Resize(size=round(min(spread(self.size, 2)) * 8 / 7)), CenterCrop(size=self.size)

    def draw(self, tensor: torch.Tensor, generator: torch.Generator) -> Any:
        return [box(tensor.shape[2], tensor.shape[3], self.scale, self.ratio, generator) for _ in tensor]

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        import torch

        height, width = spread(self.size, 2)
        cut = [
            scaled(image[None, :, top : top + h, left : left + w], (height, width))
            for image, (top, left, h, w) in zip(tensor, drawn, strict=True)
        ]
        return torch.cat(cut)


def box(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float], generator: torch.Generator
) -> tuple[int, int, int, int]:
    """A random part of an image: top, left, height and width, as torchvision's `RandomResizedCrop` draws it."""
    import torch

    low, high = (math.log(bound) for bound in ratio)
    for _ in range(10):
        share, shape = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        area = height * width * (scale[0] + (scale[1] - scale[0]) * share)
        aspect = math.exp(low + (high - low) * shape)
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top = int(torch.randint(0, height - h + 1, (), generator=generator))
            left = int(torch.randint(0, width - w + 1, (), generator=generator))
            return top, left, h, w
    # The shapes asked for don't fit: the middle, as near to them as can be.
    if width / height < ratio[0]:
        w, h = width, min(round(width / ratio[0]), height)
    elif width / height > ratio[1]:
        w, h = min(round(height * ratio[1]), width), height
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


class _Flip(Spatial):
    """Mirrors each image with probability `p`."""

    random: ClassVar[bool] = True
    main: ClassVar[str | None] = "p"
    axis: ClassVar[int]

    p: Share = Field(default=0.5, description="The probability.")

    def draw(self, tensor: torch.Tensor, generator: torch.Generator) -> Any:
        import torch

        return torch.rand(len(tensor), generator=generator) < self.p

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        import torch

        if len(drawn) == 1:
            return tensor.flip(self.axis) if drawn.item() else tensor
        return torch.where(drawn.to(tensor.device)[:, None, None, None], tensor.flip(self.axis), tensor)


class RandomHorizontalFlip(_Flip):
    """Mirrors images left to right with probability `p`."""

    name: ClassVar[str] = "random_horizontal_flip"
    reference: ClassVar[str] = PAGE.format("RandomHorizontalFlip")
    axis: ClassVar[int] = -1


class RandomVerticalFlip(_Flip):
    """Mirrors images top to bottom with probability `p`."""

    name: ClassVar[str] = "random_vertical_flip"
    reference: ClassVar[str] = PAGE.format("RandomVerticalFlip")
    axis: ClassVar[int] = -2


class RandomAffine(Spatial):
    """Turns, shifts, scales and shears images about their centre by random amounts, drawn evenly for each image."""

    name: ClassVar[str] = "random_affine"
    main: ClassVar[str | None] = "degrees"
    random: ClassVar[bool] = True
    reference: ClassVar[str] = PAGE.format("RandomAffine")

    degrees: float = Field(ge=0, le=180, description="Largest angle either way.")
    translate: Share = Field(default=0.0, description="Largest shift either way, as a share of height and width.")
    scale: Range = Field(default=(1.0, 1.0), description="Smallest and largest scale.")
    shear: float = Field(default=0.0, ge=0, lt=90, description="Largest angle by which upright lines lean either way.")
    fill: float = Field(default=0.0, description="The number that comes into view: 1 where pictures stand on white.")

    def draw(self, tensor: torch.Tensor, generator: torch.Generator) -> Any:
        import torch

        angle, size, right, down = torch.rand((4, len(tensor)), generator=generator)
        angle = (2 * angle - 1) * math.radians(self.degrees)
        low, high = self.scale
        inverse = 1 / (low + (high - low) * size)  # the grid says for each output pixel where it comes from
        height, width = tensor.shape[2:]
        cos, sin = torch.cos(angle) * inverse, torch.sin(angle) * inverse
        # Grid coordinates run from -1 to 1 on both axes, so the turn of a non-square image is corrected.
        across, up = cos, -sin
        if self.shear:
            lean = torch.rand(len(tensor), generator=generator)
            slope = torch.tan((2 * lean - 1) * math.radians(self.shear))
            across, up = cos + slope * sin, slope * cos - sin
        row_x = [across, up * (height / width), (2 * right - 1) * 2 * self.translate]
        row_y = [sin * (width / height), cos, (2 * down - 1) * 2 * self.translate]
        return torch.stack([torch.stack(row_x, dim=1), torch.stack(row_y, dim=1)], dim=1)

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        import torch.nn.functional as F

        moved = tensor if tensor.is_floating_point() else tensor.float()
        grid = F.affine_grid(drawn.to(moved), list(tensor.shape), align_corners=False)
        mode = "nearest" if holds_names(tensor) else "bilinear"
        # What lies outside is 0 to `grid_sample`.
        moved = moved - self.fill if self.fill else moved
        found = F.grid_sample(moved, grid, mode=mode, align_corners=False)
        found = found + self.fill if self.fill else found
        return found if tensor.is_floating_point() else found.round().to(tensor.dtype)


__all__ = [
    "CenterCrop",
    "Pad",
    "RandomAffine",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomVerticalFlip",
    "Resize",
    "box",
    "scaled",
]
