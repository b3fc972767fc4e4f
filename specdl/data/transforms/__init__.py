"""Transforms of examples by their names in a spec: those that torchvision has go by its v2 names."""

from __future__ import annotations

from specdl.data.transforms.base import Transform
from specdl.data.transforms.geometry import (
    CenterCrop,
    Pad,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    Resize,
)
from specdl.data.transforms.numbers import Normalize

TRANSFORMS: dict[str, type[Transform]] = {
    transform.name: transform
    for transform in (Resize, Normalize, Pad, CenterCrop, RandomCrop, RandomHorizontalFlip, RandomAffine)
}
"""Transforms by their name in a spec."""

__all__ = ["TRANSFORMS", "RandomAffine", "RandomCrop", "Resize", "Transform"]
