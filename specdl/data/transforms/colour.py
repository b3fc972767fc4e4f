"""Transforms of brightness and colours, and those that torchvision's functions do: the draws are ours.

Each image of a batch gets a draw of its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from specdl.data.extras import require
from specdl.data.transforms.base import (
    PAGE,
    Colour,
    Spatial,
    Transform,
    chance,
    holds_names,
    require_image,
    uniform,
    whole,
)
from specdl.data.transforms.geometry import Range, Share
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError

if TYPE_CHECKING:
    import torch


def functional(name: str) -> Any:
    """torchvision's functions on images. Raises `SpecError` where it isn't installed."""
    return require("torchvision.transforms.v2.functional", f"the transform `{name}`")


def _span(least: float, centre: float) -> Any:
    def check(value: Any) -> tuple[float, float]:
        items = (
            value if isinstance(value, (list, tuple)) else (centre - value, centre + value) if _number(value) else ()
        )
        if len(items) != 2 or not all(map(_number, items)) or not least <= items[0] <= items[1]:
            message = "expected a number, or [low, high] from {least}"
            raise PydanticCustomError("span", message, {"least": least})
        return max(float(items[0]), least), float(items[1])

    def number(value: Any) -> tuple[float, float]:
        if _number(value) and value >= 0:
            return max(centre - float(value), least), centre + float(value)
        return check(value)

    return number


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_SPAN_SCHEMA = WithJsonSchema({"type": ["number", "array"], "items": {"type": "number"}, "minItems": 2, "maxItems": 2})
Factor = Annotated[tuple[float, float], PlainValidator(_span(0.0, 1.0)), _SPAN_SCHEMA]
"""`0.4` is a factor from 0.6 to 1.4."""
Shift = Annotated[tuple[float, float], PlainValidator(_span(-0.5, 0.0)), _SPAN_SCHEMA]
"""`0.1` is a shift from -0.1 to 0.1."""
Angles = Annotated[tuple[float, float], PlainValidator(_span(-360.0, 0.0)), _SPAN_SCHEMA]


def _require_colours(type: TensorType) -> TensorType:
    if require_image(type).shape[1] not in {1, 3}:
        raise TypeRuleError(f"expects an image of one or three channels, got {type}")
    return type


class EachColour(Colour):
    """One torchvision function an image, with arguments drawn for each."""

    random: ClassVar[bool] = True

    def infer(self, type: TensorType) -> TensorType:
        return _require_colours(super().infer(type))

    def draw(self, tensor: torch.Tensor, generator: torch.Generator) -> Any:
        return [self.draw_one(image, generator) for image in tensor]

    def draw_one(self, image: torch.Tensor, generator: torch.Generator) -> Any:
        """What is decided for one image `[C, H, W]`."""
        raise NotImplementedError

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        import torch

        return torch.stack([self.change_one(image, one) for image, one in zip(tensor, drawn, strict=True)])

    def change_one(self, image: torch.Tensor, drawn: Any) -> torch.Tensor:
        """One image behind the transform."""
        raise NotImplementedError


class ColorJitter(EachColour):
    """Changes brightness, contrast, saturation and hue by random amounts, in random order."""

    name: ClassVar[str] = "color_jitter"
    reference: ClassVar[str] = PAGE.format("ColorJitter")

    brightness: Factor = Field(default=(1.0, 1.0), description="Largest change of the factor, or [low, high].")
    contrast: Factor = Field(default=(1.0, 1.0), description="Largest change of the factor, or [low, high].")
    saturation: Factor = Field(default=(1.0, 1.0), description="Largest change of the factor, or [low, high].")
    hue: Shift = Field(default=(0.0, 0.0), description="Largest turn of the colour wheel, up to 0.5, or [low, high].")

    def infer(self, type: TensorType) -> TensorType:
        if self.hue[1] > 0.5:
            raise TypeRuleError("turns the colour wheel by at most 0.5, which is half of it", argument="hue")
        return super().infer(type)

    def draw_one(self, image: torch.Tensor, generator: torch.Generator) -> Any:
        import torch

        amounts = {name: uniform(generator, *getattr(self, name)) for name in ("brightness", "contrast", "saturation")}
        amounts["hue"] = uniform(generator, *self.hue)
        order = torch.randperm(4, generator=generator).tolist()
        return [(name, amounts[name]) for name in (list(amounts)[at] for at in order)]

    def change_one(self, image: torch.Tensor, drawn: Any) -> torch.Tensor:
        adjust = functional(self.name)
        for name, amount in drawn:
            low, high = getattr(self, name)
            if not low == high == (0.0 if name == "hue" else 1.0):
                image = getattr(adjust, f"adjust_{name}")(image, amount)
        return image


class RandomGrayscale(EachColour):
    """Takes the colours away with probability `p`; the channels stay."""

    name: ClassVar[str] = "random_grayscale"
    main: ClassVar[str | None] = "p"
    reference: ClassVar[str] = PAGE.format("RandomGrayscale")

    p: Share = Field(default=0.1, description="The probability.")

    def draw_one(self, image: torch.Tensor, generator: torch.Generator) -> Any:
        return chance(generator, self.p)

    def change_one(self, image: torch.Tensor, drawn: Any) -> torch.Tensor:
        if not drawn or len(image) == 1:
            return image
        grey: torch.Tensor = functional(self.name).rgb_to_grayscale(image, num_output_channels=3)
        return grey


class Grayscale(Colour):
    """Takes the colours away: one channel of brightness, or three alike."""

    name: ClassVar[str] = "grayscale"
    main: ClassVar[str | None] = "num_output_channels"
    reference: ClassVar[str] = PAGE.format("Grayscale")

    num_output_channels: Literal[1, 3] = Field(default=1, description="Channels afterwards: 1 or 3.")

    def infer(self, type: TensorType) -> TensorType:
        n, _, h, w = _require_colours(super().infer(type)).shape
        return type.with_shape(n, self.num_output_channels, h, w)

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        grey: torch.Tensor = functional(self.name).rgb_to_grayscale(tensor, self.num_output_channels)
        return grey


class GaussianBlur(EachColour):
    """Blurs images; where `sigma` is a range, by a random amount, and only while training."""

    name: ClassVar[str] = "gaussian_blur"
    main: ClassVar[str | None] = "kernel_size"
    reference: ClassVar[str] = PAGE.format("GaussianBlur")

    kernel_size: int = Field(ge=1, description="Pixels that are averaged, in each direction: an odd number.")
    sigma: float | Range = Field(default=(0.1, 2.0), description="The Gaussian's standard deviation, or [low, high].")

    def infer(self, type: TensorType) -> TensorType:
        if self.kernel_size % 2 == 0:
            raise TypeRuleError(f"needs an odd `kernel_size`, got {self.kernel_size}", argument="kernel_size")
        return super().infer(type)

    def evaluation(self) -> tuple[Transform, ...]:
        return () if isinstance(self.sigma, tuple) else (self,)

    def draw_one(self, image: torch.Tensor, generator: torch.Generator) -> Any:
        return uniform(generator, *self.sigma) if isinstance(self.sigma, tuple) else self.sigma

    def change_one(self, image: torch.Tensor, drawn: Any) -> torch.Tensor:
        size = [self.kernel_size] * 2
        blurred: torch.Tensor = functional(self.name).gaussian_blur(image, kernel_size=size, sigma=[drawn] * 2)
        return blurred


class RandomErasing(EachColour):
    """Blanks a random box of each image, with probability `p`."""

    name: ClassVar[str] = "random_erasing"
    main: ClassVar[str | None] = "p"
    reference: ClassVar[str] = PAGE.format("RandomErasing")

    p: Share = Field(default=0.5, description="The probability.")
    scale: Range = Field(default=(0.02, 0.33), description="Smallest and largest share of the image's area.")
    ratio: Range = Field(default=(0.3, 3.3), description="Smallest and largest height in widths.")
    value: float | Literal["random"] = Field(default=0.0, description="What the box is filled with, or `random` noise.")

    def infer(self, type: TensorType) -> TensorType:
        return Colour.infer(self, type)

    def draw_one(self, image: torch.Tensor, generator: torch.Generator) -> Any:
        import torch

        if not chance(generator, self.p):
            return None
        height, width = image.shape[1:]
        low, high = (math.log(bound) for bound in self.ratio)
        for _ in range(10):
            area = height * width * uniform(generator, *self.scale)
            aspect = math.exp(uniform(generator, low, high))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < h < height and 0 < w < width:
                fill = torch.full((len(image), 1, 1), 0.0 if self.value == "random" else float(self.value))
                if self.value == "random":
                    fill = torch.randn((len(image), h, w), generator=generator)
                return whole(generator, 0, height - h + 1), whole(generator, 0, width - w + 1), h, w, fill
        return None

    def change_one(self, image: torch.Tensor, drawn: Any) -> torch.Tensor:
        if drawn is None:
            return image
        top, left, h, w, fill = drawn
        found = image.clone()
        found[:, top : top + h, left : left + w] = fill.to(image)
        return found


class RandomRotation(Spatial):
    """Turns each image about its centre by a random angle; what comes into view is `fill`."""

    name: ClassVar[str] = "random_rotation"
    main: ClassVar[str | None] = "degrees"
    random: ClassVar[bool] = True
    reference: ClassVar[str] = PAGE.format("RandomRotation")

    degrees: Angles = Field(description="Largest angle either way, or [low, high].")
    fill: float = Field(default=0.0, description="The number that comes into view.")

    def draw(self, tensor: torch.Tensor, generator: torch.Generator) -> Any:
        return [uniform(generator, *self.degrees) for _ in tensor]

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        import torch

        turn = functional(self.name)
        mode = _interpolation(turn, tensor)
        return torch.stack(
            [
                turn.rotate(image, angle, interpolation=mode, fill=[self.fill])
                for image, angle in zip(tensor, drawn, strict=True)
            ]
        )


class RandomPerspective(Spatial):
    """Shows each image as if seen at a slant, with probability `p`."""

    name: ClassVar[str] = "random_perspective"
    main: ClassVar[str | None] = "distortion_scale"
    random: ClassVar[bool] = True
    reference: ClassVar[str] = PAGE.format("RandomPerspective")

    distortion_scale: Share = Field(default=0.5, description="How far corners move at most, in half the image's sides.")
    p: Share = Field(default=0.5, description="The probability.")
    fill: float = Field(default=0.0, description="The number that comes into view.")

    def draw(self, tensor: torch.Tensor, generator: torch.Generator) -> Any:
        height, width = tensor.shape[2:]
        return [self._corners(height, width, generator) if chance(generator, self.p) else None for _ in tensor]

    def _corners(self, height: int, width: int, generator: torch.Generator) -> list[list[int]]:
        """Where the corners go: each inwards, by up to `distortion_scale` of half a side."""
        right, down = int(self.distortion_scale * (width // 2)) + 1, int(self.distortion_scale * (height // 2)) + 1
        places = []
        for x, y in ((0, 0), (1, 0), (1, 1), (0, 1)):
            inwards = whole(generator, 0, right), whole(generator, 0, down)
            places.append([width - 1 - inwards[0] if x else inwards[0], height - 1 - inwards[1] if y else inwards[1]])
        return places

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        import torch

        turn = functional(self.name)
        mode = _interpolation(turn, tensor)
        height, width = tensor.shape[2:]
        corners = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
        return torch.stack(
            [
                image
                if places is None
                else turn.perspective(image, corners, places, interpolation=mode, fill=[self.fill])
                for image, places in zip(tensor, drawn, strict=True)
            ]
        )


def _interpolation(functional: Any, tensor: torch.Tensor) -> Any:
    return functional.InterpolationMode.NEAREST if holds_names(tensor) else functional.InterpolationMode.BILINEAR
