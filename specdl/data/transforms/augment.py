"""Augmentation by drawn sequences of simple operations: AutoAugment, RandAugment, TrivialAugment and AugMix.

An operation has a strength from 0 to 1, of which each method makes an amount of its own. The operations are
torchvision's functions; which of them are applied, and how strongly, is drawn here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from specdl.data.extras import require
from specdl.data.transforms.base import PAGE, chance, whole
from specdl.data.transforms.colour import EachColour, functional

if TYPE_CHECKING:
    import torch

Operation = tuple[str, float]
"""An operation by its name, and its amount."""


@dataclass(frozen=True, slots=True)
class Space:
    """The operations that a method draws from, by their names in the papers, and the amount of each at full strength.

    `shift` is that of moving an image, from its side; `bits` are those that posterising keeps at no strength and how
    many it takes away at full.
    """

    names: tuple[str, ...]
    shear: float = 0.3
    shift: Callable[[int], float] = lambda side: 150 / 331 * side
    turn: float = 30.0
    factor: float = 0.9
    bits: tuple[int, int] = (8, 4)

    def amount(self, name: str, strength: float, height: int, width: int, negative: bool) -> float:
        """The amount of an operation; `negative` is whether one that has two directions goes the other way."""
        if name == "Posterize":
            return float(round(self.bits[0] - self.bits[1] * strength))
        if name == "Solarize":
            return 1.0 - strength
        full = self._full(name, height, width)
        return -full * strength if negative else full * strength

    def _full(self, name: str, height: int, width: int) -> float:
        if name.startswith("Shear"):
            return self.shear
        if name.startswith("Translate"):
            return self.shift(width if name.endswith("X") else height)
        return self.turn if name == "Rotate" else self.factor if name in SIGNED else 0.0


SIGNED = frozenset(
    ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness")
)
"""Operations that have two directions, of which one is drawn."""

_MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
_COLOURS = ("Brightness", "Color", "Contrast", "Sharpness")
_PLAIN = ("Posterize", "Solarize", "AutoContrast", "Equalize")

AUTO = Space((*_MOVES, *_COLOURS, *_PLAIN, "Invert"))
RAND = Space(("Identity", *_MOVES, *_COLOURS, *_PLAIN))
TRIVIAL = Space(RAND.names, shear=0.99, shift=lambda _: 32.0, turn=135.0, factor=0.99, bits=(8, 6))
MIX = Space((*_MOVES, *_PLAIN, *_COLOURS), shift=lambda side: side / 3, bits=(4, 4))


def operate(image: torch.Tensor, operation: Operation, *, bilinear: bool = False) -> torch.Tensor:
    """An image `[C, H, W]` (brightness in [0, 1], or bytes) behind one operation."""
    name, amount = operation
    found: torch.Tensor = _OPERATIONS[name](functional("augmentation"), image, amount, bilinear)
    return found


def _affine(f: Any, image: Any, bilinear: bool, **changed: Any) -> Any:
    mode = f.InterpolationMode.BILINEAR if bilinear else f.InterpolationMode.NEAREST
    plain = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    return f.affine(image, **{**plain, **changed}, interpolation=mode)


def _lean(amount: float) -> float:
    """A shear's amount is a slope; torchvision wants the angle."""
    return math.degrees(math.atan(amount))


def _rotate(f: Any, image: Any, amount: float, bilinear: bool) -> Any:
    mode = f.InterpolationMode.BILINEAR if bilinear else f.InterpolationMode.NEAREST
    return f.rotate(image, amount, interpolation=mode)


def _solarize(f: Any, image: Any, amount: float, _: bool) -> Any:
    return f.solarize(image, threshold=(1.0 if image.is_floating_point() else 255.0) * amount)


_OPERATIONS: Mapping[str, Callable[[Any, Any, float, bool], Any]] = {
    "Identity": lambda f, image, amount, bilinear: image,
    "ShearX": lambda f, image, amount, bilinear: _affine(f, image, bilinear, shear=[_lean(amount), 0.0], center=[0, 0]),
    "ShearY": lambda f, image, amount, bilinear: _affine(f, image, bilinear, shear=[0.0, _lean(amount)], center=[0, 0]),
    "TranslateX": lambda f, image, amount, bilinear: _affine(f, image, bilinear, translate=[int(amount), 0]),
    "TranslateY": lambda f, image, amount, bilinear: _affine(f, image, bilinear, translate=[0, int(amount)]),
    "Rotate": _rotate,
    "Brightness": lambda f, image, amount, _: f.adjust_brightness(image, 1.0 + amount),
    "Color": lambda f, image, amount, _: f.adjust_saturation(image, 1.0 + amount),
    "Contrast": lambda f, image, amount, _: f.adjust_contrast(image, 1.0 + amount),
    "Sharpness": lambda f, image, amount, _: f.adjust_sharpness(image, 1.0 + amount),
    "Posterize": lambda f, image, amount, _: f.posterize(image, int(amount)),
    "Solarize": _solarize,
    "AutoContrast": lambda f, image, amount, _: f.autocontrast(image),
    "Equalize": lambda f, image, amount, _: f.equalize(image),
    "Invert": lambda f, image, amount, _: f.invert(image),
}


class _Sequence(EachColour):
    """Operations one after another."""

    def change_one(self, image: torch.Tensor, drawn: Any) -> torch.Tensor:
        for operation in drawn:
            image = operate(image, operation)
        return image


class AutoAugment(_Sequence):
    """Applies one of 25 pairs of operations that were found to help on the data that `policy` names.

    It expects brightness in [0, 1] or bytes, so it stands before `normalize`.
    """

    name: ClassVar[str] = "auto_augment"
    main: ClassVar[str | None] = "policy"
    reference: ClassVar[str] = PAGE.format("AutoAugment")

    policy: Literal["imagenet", "cifar10", "svhn"] = Field(default="imagenet", description="What they were found on.")

    def draw_one(self, image: torch.Tensor, generator: torch.Generator) -> Any:
        height, width = image.shape[1:]
        pairs = _policies(self.policy)
        drawn: list[Operation] = []
        for name, probability, level in pairs[whole(generator, 0, len(pairs))]:
            if chance(generator, probability):
                negative = chance(generator, 0.5)
                drawn.append((name, AUTO.amount(name, (level or 0) / 9, height, width, negative)))
        return drawn


def _policies(policy: str) -> Any:
    """The pairs of operations with their probabilities and levels from 0 to 9, as torchvision has them."""
    transforms = require("torchvision.transforms.v2", "the transform `auto_augment`")
    return transforms.AutoAugment(transforms.AutoAugmentPolicy(policy))._policies


class RandAugment(_Sequence):
    """Applies `num_ops` random operations, all of one strength.

    It expects brightness in [0, 1] or bytes, so it stands before `normalize`.
    """

    name: ClassVar[str] = "rand_augment"
    main: ClassVar[str | None] = "magnitude"
    reference: ClassVar[str] = PAGE.format("RandAugment")

    num_ops: int = Field(default=2, ge=0, le=32, description="How many operations.")
    magnitude: int = Field(default=9, ge=0, le=30, description="Their strength, from 0 to 30.")

    def draw_one(self, image: torch.Tensor, generator: torch.Generator) -> Any:
        height, width = image.shape[1:]
        return [
            (name, RAND.amount(name, self.magnitude / 30, height, width, chance(generator, 0.5)))
            for name in (RAND.names[whole(generator, 0, len(RAND.names))] for _ in range(self.num_ops))
        ]


class TrivialAugmentWide(_Sequence):
    """Applies one random operation of random strength: nothing to tune.

    It expects brightness in [0, 1] or bytes, so it stands before `normalize`.
    """

    name: ClassVar[str] = "trivial_augment_wide"
    reference: ClassVar[str] = PAGE.format("TrivialAugmentWide")

    def draw_one(self, image: torch.Tensor, generator: torch.Generator) -> Any:
        height, width = image.shape[1:]
        name = TRIVIAL.names[whole(generator, 0, len(TRIVIAL.names))]
        strength = whole(generator, 0, 31) / 30
        return [(name, TRIVIAL.amount(name, strength, height, width, chance(generator, 0.5)))]


class Augmix(EachColour):
    """Mixes each image with several chains of random operations over it, for robustness.

    It expects brightness in [0, 1] or bytes, so it stands before `normalize`.
    """

    name: ClassVar[str] = "augmix"
    main: ClassVar[str | None] = "severity"
    reference: ClassVar[str] = PAGE.format("AugMix")

    severity: int = Field(default=3, ge=1, le=10, description="The largest strength of an operation, of 10.")
    mixture_width: int = Field(default=3, ge=1, le=16, description="How many chains.")
    chain_depth: int | None = Field(default=None, ge=1, le=16, description="Operations in a chain; 1 to 3 at random.")
    alpha: float = Field(default=1.0, gt=0, description="Parameter of the distributions of the weights.")
    all_ops: bool = Field(default=True, description="Whether brightness, colour, contrast and sharpness change too.")

    def draw_one(self, image: torch.Tensor, generator: torch.Generator) -> Any:
        import numpy as np

        height, width = image.shape[1:]
        random = np.random.default_rng(whole(generator, 0, 2**62))
        own = float(random.beta(self.alpha, self.alpha))
        weights = random.dirichlet([self.alpha] * self.mixture_width).tolist()
        names = MIX.names if self.all_ops else MIX.names[: -len(_COLOURS)]
        chains: list[tuple[float, list[Operation]]] = []
        for weight in weights:
            depth = self.chain_depth or whole(generator, 1, 4)
            drawn = [(names[whole(generator, 0, len(names))], whole(generator, 0, self.severity)) for _ in range(depth)]
            chain = [(name, MIX.amount(name, at / 9, height, width, chance(generator, 0.5))) for name, at in drawn]
            chains.append(((1 - own) * weight, chain))
        return own, chains

    def change_one(self, image: torch.Tensor, drawn: Any) -> torch.Tensor:
        own, chains = drawn
        mixed = own * image
        for weight, chain in chains:
            augmented = image
            for operation in chain:
                augmented = operate(augmented, operation, bilinear=True)
            mixed = mixed + weight * augmented
        found: torch.Tensor = mixed if image.is_floating_point() else mixed.round().clamp(0, 255).to(image.dtype)
        return found


__all__ = ["AUTO", "MIX", "RAND", "TRIVIAL", "Augmix", "AutoAugment", "RandAugment", "TrivialAugmentWide", "operate"]
