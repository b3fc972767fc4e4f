"""ImageNet as it is passed on: a folder of images for each of its 1,000 classes, in `train` and `val`."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from specdl.data.examples import Bad, Records, Stacked
from specdl.data.fields import FieldSpec, known_names, real_names
from specdl.data.sources.image_folder import ImageFolder
from specdl.data.sources.problems import unusable
from specdl.ir.types import TensorType

if TYPE_CHECKING:
    import torch

_CLASSES = FieldSpec(shape=(), dtype="int64", classes="imagenet")
BORDER = 256 / 224
"""The shorter side that an image is scaled to, in sizes of the square that is cut out of it."""


class Imagenet(ImageFolder):
    """ImageNet's folders, `train` and `val` with one for each of the 1,000 classes, which are numbered in their order.

    Each image is scaled, its shorter side to 256, and the middle 224 × 224 are taken; `size: null` leaves images as
    they are, for transforms of one's own. In the order of the folders' names (WordNet's ids) classes have the numbers
    that torchvision's weights know, and torchvision's names where it is installed.
    """

    name: ClassVar[str] = "imagenet"
    reference: ClassVar[str] = "https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.ImageNet.html"

    size: int | None = Field(
        default=224, ge=1, description="Height and width of images; null for those of the files, which differ."
    )

    def fields(self) -> Mapping[str, TensorType]:
        fields = dict(super().fields())
        if self.size is None or "image" in self._wanted:
            return fields
        image = fields["image"]
        return {**fields, "image": image.with_shape(*image.shape[:2], self.size, self.size)}

    def classes(self, field: str) -> tuple[str, ...] | None:
        return known_names(self._wanted.get("label", _CLASSES)) if field == "label" else None

    def load(self) -> Stacked | Records:
        # The files themselves have any size.
        found = self.model_copy(update={"size": None}).with_fields(self._wanted)._folders_read()
        if self.size is None or "image" in self._wanted:
            return found
        assert not isinstance(found, Stacked)
        return _Squares(found, self.size)

    def _folders_read(self) -> Stacked | Records:
        found = super().load()
        names = found.classes["label"]
        if len(names) != 1000 and "label" not in self._wanted:
            help = "other images in a folder for each class are an `image_folder`"
            raise unusable(f"`{self.root}` has {len(names):,} classes, ImageNet 1,000", help)
        if "label" not in self._wanted and importlib.util.find_spec("torchvision") is not None:
            known = real_names(_CLASSES)
            assert known is not None
            found.classes["label"] = known  # type: ignore[index]
        return found


class _Squares:
    """`Records` (see examples.py) whose images are scaled, and cut to a square of one size."""

    def __init__(self, records: Records, size: int) -> None:
        from specdl.data.transforms.geometry import CenterCrop, Resize

        self._records = records
        self._steps = Resize(size=round(size * BORDER)), CenterCrop(size=size)

    @property
    def parts(self) -> Mapping[str, torch.Tensor] | None:
        """The positions of each part."""
        return self._records.parts

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the classes."""
        return self._records.classes

    @property
    def bad(self) -> Sequence[Bad]:
        """What could not be read."""
        return self._records.bad

    def __len__(self) -> int:
        return len(self._records)

    def get(self, position: int) -> dict[str, Any]:
        """One example. Raises `Unreadable`."""
        found = self._records.get(position)
        image = found["image"][None]
        for step in self._steps:
            image = step.change(image, None)
        return {**found, "image": image[0]}

    def keep(self, room: int) -> None:
        """Keeps decoded images from now on, as long as they take no more bytes than that."""
        self._records.keep(room)

    def inspect(self, position: int) -> None:
        """Looks whether an example can be used. Raises `Unreadable`."""
        self._records.inspect(position)

    def name(self, position: int) -> str:
        """The file of an example."""
        return self._records.name(position)

    def column(self, field: str) -> torch.Tensor | None:
        """All values of a field without decoding."""
        return self._records.column(field)

    def texts(self, field: str) -> Sequence[str] | None:
        """All texts of a field without decoding."""
        return self._records.texts(field)


__all__ = ["Imagenet"]
