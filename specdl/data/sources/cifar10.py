"""CIFAR-10 from its binary files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from specdl.data.examples import Stacked
from specdl.data.paths import FilePath
from specdl.data.sources.base import DefaultSplit, Source
from specdl.diagnostics import Diagnostic, SpecError
from specdl.ir.dims import BATCH
from specdl.ir.types import TensorType


class Cifar10(Source):
    """CIFAR-10's 50,000 training images of 32 × 32 pixels in colour, brightness in [0, 1], of ten classes.

    They are read from its "binary version", which is not downloaded: `root` is the folder that holds its
    `data_batch_1.bin` to `data_batch_5.bin`, or their folder `cifar-10-batches-bin`.
    """

    name: ClassVar[str] = "cifar10"
    main: ClassVar[str | None] = "root"
    reference: ClassVar[str] = "https://www.cs.toronto.edu/~kriz/cifar.html"
    default_split: ClassVar[DefaultSplit] = DefaultSplit(validation=0.1, stratify="label")

    root: FilePath = Field(description="The folder with the files.")

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
