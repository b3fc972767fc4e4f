"""Transforms of a whole batch: examples are mixed with one another, and their labels in the same proportion.

A label that was the index of a class becomes probabilities, in training alone; `cross_entropy` takes both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from specdl.data.transforms.base import PAGE, Transform, chance, require_image, whole
from specdl.data.transforms.numbers import one_hot, required_classes
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError

if TYPE_CHECKING:
    import torch


class Mixing(Transform):
    """Base of those that mix each example of a batch with its neighbour."""

    random: ClassVar[bool] = True
    main: ClassVar[str | None] = "alpha"

    alpha: float = Field(default=1.0, gt=0, description="Both parameters of the Beta distribution of the share.")
    p: float = Field(default=1.0, ge=0, le=1, description="The probability that a batch is mixed.")
    num_classes: int | None = Field(
        default=None, ge=1, description="How many classes there are; the data's number unless given."
    )

    def with_classes(self, counts: Sequence[int | None]) -> Transform:
        if self.num_classes is not None or len(counts) != 2 or counts[1] is None:
            return self
        return self.model_copy(update={"num_classes": counts[1]})

    def infer_fields(self, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
        if len(types) != 2:
            help = f"write `image, label = {self.name}(image, label)`"
            raise TypeRuleError(f"mixes images and their labels, got {len(types)} field", help=help)
        image, label = types
        if not require_image(image).floating:
            raise TypeRuleError(f"expects floating-point images, got {image}", input=0)
        if label.dtype == "int64" and label.rank == 1:
            return image, TensorType((label.shape[0], required_classes(self.num_classes)))
        if label.floating and label.rank == 2:
            return types[0], types[1]
        raise TypeRuleError(f"expects labels [N] int64, or probabilities [N, C], got {label}", input=1)

    def apply(self, fields: Sequence[Any], generator: torch.Generator) -> tuple[Any, ...]:
        images, labels = fields
        # Soft labels whether or not this batch is mixed, so that the loss sees one type in training.
        soft = labels if labels.is_floating_point() else one_hot(labels, self.num_classes)
        if not chance(generator, self.p):
            return images, soft
        mixed, share = self.mix(images, self._share(generator), generator)
        return mixed, soft * share + soft.roll(1, 0) * (1 - share)

    def _share(self, generator: torch.Generator) -> float:
        """What an example keeps of itself, from Beta(alpha, alpha)."""
        import numpy as np

        return float(np.random.default_rng(whole(generator, 0, 2**62)).beta(self.alpha, self.alpha))

    def mix(self, images: torch.Tensor, share: float, generator: torch.Generator) -> tuple[torch.Tensor, float]:
        """The images, and the share of themselves that they kept."""
        raise NotImplementedError


class Mixup(Mixing):
    """Each image becomes a weighted mean of itself and its neighbour in the batch, and its label too."""

    name: ClassVar[str] = "mixup"
    reference: ClassVar[str] = PAGE.format("MixUp")

    def mix(self, images: torch.Tensor, share: float, generator: torch.Generator) -> tuple[torch.Tensor, float]:
        return images * share + images.roll(1, 0) * (1 - share), share


class Cutmix(Mixing):
    """A box of each image is replaced by its neighbour's in the batch, and its label in proportion."""

    name: ClassVar[str] = "cutmix"
    reference: ClassVar[str] = PAGE.format("CutMix")

    def mix(self, images: torch.Tensor, share: float, generator: torch.Generator) -> tuple[torch.Tensor, float]:
        height, width = images.shape[2:]
        x, y = whole(generator, 0, width), whole(generator, 0, height)
        reach = 0.5 * math.sqrt(1 - share)
        left, right = max(x - int(reach * width), 0), min(x + int(reach * width), width)
        top, bottom = max(y - int(reach * height), 0), min(y + int(reach * height), height)
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = images.roll(1, 0)[:, :, top:bottom, left:right]
        return mixed, 1 - (right - left) * (bottom - top) / (height * width)
