"""MNIST and its relatives, from the files in which they are published."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from specdl.data.examples import Records, Stacked
from specdl.data.paths import FilePath
from specdl.data.sources.base import DefaultSplit, Source
from specdl.data.sources.problems import missing, unusable
from specdl.ir.dims import BATCH
from specdl.ir.types import TensorType

if TYPE_CHECKING:
    import torch


class Mnist(Source):
    """MNIST's 60,000 + 10,000 handwritten digits of 28 × 28 pixels, brightness in [0, 1].

    They are read from its four files (`train-images-idx3-ubyte.gz` and so on, packed or not), which are not
    downloaded. Its 10,000 test images are the part `test`. Other data in the same files works too, as far as its
    images have that size and its classes count from 0 to 9.
    """

    name: ClassVar[str] = "mnist"
    main: ClassVar[str | None] = "root"
    reference: ClassVar[str] = "http://yann.lecun.com/exdb/mnist/"
    default_split: ClassVar[DefaultSplit] = DefaultSplit(validation=0.1, stratify="label")
    words: ClassVar[tuple[str, ...]] = tuple("0123456789")

    root: FilePath = Field(description="The folder with the files.")

    def fields(self) -> Mapping[str, TensorType]:
        return {"image": TensorType((BATCH, 1, 28, 28)), "label": TensorType((BATCH,), "int64")}

    def classes(self, field: str) -> tuple[str, ...] | None:
        return self.words if field == "label" else None

    def load(self) -> Stacked | Records:
        import torch

        parts = {part: self._part(prefix) for part, prefix in (("train", "train"), ("test", "t10k"))}
        counts = [len(labels) for _, labels in parts.values()]
        images = torch.cat([images for images, _ in parts.values()]).to(torch.float32).div_(255)
        labels = torch.cat([labels for _, labels in parts.values()]).to(torch.int64)
        positions = {"train": torch.arange(counts[0]), "test": torch.arange(counts[0], sum(counts))}
        return Stacked({"image": images.unsqueeze(1), "label": labels}, positions)

    def _part(self, prefix: str) -> tuple[torch.Tensor, torch.Tensor]:
        images = self._read(f"{prefix}-images-idx3-ubyte", f"{prefix}-images.idx3-ubyte")
        labels = self._read(f"{prefix}-labels-idx1-ubyte", f"{prefix}-labels.idx1-ubyte")
        if images.shape[1:] != (28, 28) or labels.dim() != 1 or len(images) != len(labels):
            shapes = f"{list(images.shape)} and {list(labels.shape)}"
            raise unusable(f"`{self.root}` has images and labels of {shapes}, not [n, 28, 28] and [n]")
        most = int(labels.max())
        if most >= len(self.words):
            raise unusable(f"`{self.root}` has the label {most}, `{self.name}` has {len(self.words)} classes")
        return images, labels

    def _read(self, *names: str) -> torch.Tensor:
        for name in names:
            for ending, opener in ((".gz", gzip.open), ("", open)):
                path = os.path.join(self.root, name + ending)
                if os.path.isfile(path):
                    try:
                        with opener(path, "rb") as file:
                            return _parse(file.read(), path)
                    except (OSError, EOFError) as error:
                        raise unusable(f"`{path}` can't be unpacked: {error}") from error
        if not os.path.isdir(self.root):
            raise missing(self.root, "folder")
        raise unusable(f"`{self.root}` has no `{names[0]}.gz`", "the four files of the data set lie in `root`")


def _parse(data: bytes, path: str) -> torch.Tensor:
    """An array of bytes in the IDX format: two zeros, the type, the number of axes, their sizes, the bytes."""
    import torch

    if len(data) < 4 or data[:3] != b"\0\0\x08" or not 1 <= data[3] <= 4 or len(data) < 4 + 4 * data[3]:
        raise unusable(f"`{path}` is no IDX file of bytes")
    start = 4 + 4 * data[3]
    shape = struct.unpack(f">{data[3]}I", data[4:start])
    count = 1
    for size in shape:
        count *= size
    if count == 0 or count != len(data) - start:
        raise unusable(
            f"`{path}` is cut off: it should have {count:,} bytes behind its head, and has {len(data) - start:,}"
        )
    return torch.frombuffer(bytearray(data[start:]), dtype=torch.uint8).view(shape)


class FashionMnist(Mnist):
    """Fashion-MNIST's 60,000 + 10,000 pictures of clothes, 28 × 28 pixels, brightness in [0, 1].

    They are read from its four files (`train-images-idx3-ubyte.gz` and so on, packed or not), which are not
    downloaded; Debian's package `dataset-fashion-mnist` puts them where `root` looks by itself. Its 10,000 test
    images are the part `test`.
    """

    name: ClassVar[str] = "fashion_mnist"
    reference: ClassVar[str] = "https://github.com/zalandoresearch/fashion-mnist"
    words: ClassVar[tuple[str, ...]] = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )

    root: FilePath = Field(default="/usr/share/datasets/fashion-mnist", description="The folder with the files.")
