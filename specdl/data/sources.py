"""Sources of examples: each declares its fields as types, so a spec is checked before any data is read.

`load` gives the examples stacked, as tensors in memory, or one by one; see examples.py.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from specdl.data.examples import Records, Stacked
from specdl.diagnostics import Diagnostic, SpecError
from specdl.ir.dims import BATCH
from specdl.ir.types import TensorType
from specdl.objectives.base import Declared


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

    def load(self) -> Stacked | Records:
        """The examples: in memory, or to be decoded one by one."""
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

    def load(self) -> Stacked:
        import torch

        packed = resources.files("specdl.data").joinpath("assets/digits.gz").read_bytes()
        rows = torch.frombuffer(bytearray(gzip.decompress(packed)), dtype=torch.uint8).view(-1, 65)
        image, label = rows[:, :64].reshape(-1, 1, 8, 8).to(torch.float32) / 16, rows[:, 64].to(torch.int64)
        return Stacked({"image": image, "label": label})


class Cifar10(Source):
    """CIFAR-10's 50,000 training images of 32 × 32 pixels in colour, brightness in [0, 1], of ten classes.

    They are read from its "binary version", which is not downloaded: `root` is the folder that holds its
    `data_batch_1.bin` to `data_batch_5.bin`, or their folder `cifar-10-batches-bin`.
    """

    name: ClassVar[str] = "cifar10"
    main: ClassVar[str | None] = "root"
    reference: ClassVar[str] = "https://www.cs.toronto.edu/~kriz/cifar.html"
    default_split: ClassVar[DefaultSplit] = DefaultSplit(validation=0.1, stratify="label")

    root: str = Field(description="The folder with the files.")

    def fields(self) -> Mapping[str, TensorType]:
        return {"image": TensorType((BATCH, 3, 32, 32)), "label": TensorType((BATCH,), "int64")}

    def classes(self, field: str) -> tuple[str, ...] | None:
        words = "airplane automobile bird cat deer dog frog horse ship truck"
        return tuple(words.split()) if field == "label" else None

    def load(self) -> Stacked:
        import torch

        parts = [torch.frombuffer(bytearray(self._part(number)), dtype=torch.uint8) for number in range(1, 6)]
        rows = torch.cat(parts).view(-1, _CIFAR_ROW)
        images = rows[:, 1:].reshape(-1, 3, 32, 32).to(torch.float32) / 255
        return Stacked({"image": images, "label": rows[:, 0].to(torch.int64)})

    def _part(self, number: int) -> bytes:
        """The bytes of one file: rows of a label and an image. Raises `SpecError` where it is missing or cut."""
        name = f"data_batch_{number}.bin"
        for folder in (Path(self.root), Path(self.root) / "cifar-10-batches-bin"):
            path = folder / name
            if path.is_file():
                found = path.read_bytes()
                if not found or len(found) % _CIFAR_ROW or any(label > 9 for label in found[::_CIFAR_ROW]):
                    raise SpecError([Diagnostic("E0515", f"`{path}` is no file of CIFAR-10's binary version")])
                return found
        help = "unpack `cifar-10-binary.tar.gz` there"
        raise SpecError([Diagnostic("E0515", f"`{self.root}` has no `{name}`", help=help)])


_CIFAR_ROW = 1 + 3 * 32 * 32

SOURCES: dict[str, type[Source]] = {source.name: source for source in (Digits, Cifar10)}
"""Sources by their name in a spec."""
