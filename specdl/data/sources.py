"""Sources of examples: each declares its fields as types, so a spec is checked before any data is read.

`load` gives the fields as tensors with the examples on axis 0. Sources that fit in memory are served by
slicing those tensors, which costs a tenth of what a data loader costs on small batches.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, ClassVar

from specdl.ir.dims import BATCH
from specdl.ir.types import TensorType
from specdl.objectives.base import Declared

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class DefaultSplit:
    """The shares that are held out where the spec says nothing."""

    validation: float
    test: float = 0.0
    stratify: str | None = None
    seed: int = 0


class Source(Declared):
    """Base of the sources of examples."""

    default_split: ClassVar[DefaultSplit] = DefaultSplit(validation=0.1)

    def fields(self) -> Mapping[str, TensorType]:
        """The fields of a batch, before transforms."""
        raise NotImplementedError

    def classes(self, field: str) -> tuple[str, ...] | None:
        """The names of the classes that an integer field counts, or None for a field that is no class."""
        return None

    def load(self) -> dict[str, torch.Tensor]:
        """All examples, each field one tensor."""
        raise NotImplementedError


class Digits(Source):
    """1,797 handwritten digits of 8 × 8 pixels, brightness in [0, 1]; shipped with the package."""

    name: ClassVar[str] = "digits"
    reference: ClassVar[str] = "https://doi.org/10.24432/C50P49"
    default_split: ClassVar[DefaultSplit] = DefaultSplit(validation=0.2, stratify="label")

    def fields(self) -> Mapping[str, TensorType]:
        return {"image": TensorType((BATCH, 1, 8, 8)), "label": TensorType((BATCH,), "int64")}

    def classes(self, field: str) -> tuple[str, ...] | None:
        return tuple("0123456789") if field == "label" else None

    def load(self) -> dict[str, torch.Tensor]:
        import torch

        packed = resources.files("specdl.data").joinpath("assets/digits.gz").read_bytes()
        rows = torch.frombuffer(bytearray(gzip.decompress(packed)), dtype=torch.uint8).view(-1, 65)
        return {
            "image": rows[:, :64].reshape(-1, 1, 8, 8).to(torch.float32) / 16,
            "label": rows[:, 64].to(torch.int64),
        }


SOURCES: dict[str, type[Source]] = {source.name: source for source in (Digits,)}
"""Sources by their name in a spec."""
