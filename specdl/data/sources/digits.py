"""The handwritten digits that are shipped with the package."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from importlib import resources
from typing import ClassVar

from specdl.data.examples import Stacked
from specdl.data.sources.base import DefaultSplit, Source
from specdl.ir.dims import BATCH
from specdl.ir.types import TensorType


class Digits(Source):
    """1,797 handwritten digits of 8 × 8 pixels, brightness in [0, 1]; shipped with the package."""

    name: ClassVar[str] = "digits"
    reference: ClassVar[str] = "https://doi.org/10.24432/C50P49"
    default_split: ClassVar[DefaultSplit] = DefaultSplit(validation=0.2, stratify="label")

    def fields(self) -> Mapping[str, TensorType]:
        return {"image": TensorType((BATCH, 1, 8, 8)), "label": TensorType((BATCH,), "int64")}

    def classes(self, field: str) -> tuple[str, ...] | None:
        return tuple("0123456789") if field == "label" else None

    def load(self) -> Stacked:
        import torch

        packed = resources.files("specdl.data").joinpath("assets/digits.gz").read_bytes()
        rows = torch.frombuffer(bytearray(gzip.decompress(packed)), dtype=torch.uint8).view(-1, 65)
        image, label = rows[:, :64].reshape(-1, 1, 8, 8).to(torch.float32) / 16, rows[:, 64].to(torch.int64)
        return Stacked({"image": image, "label": label})
