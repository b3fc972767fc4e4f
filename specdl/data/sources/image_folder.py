"""A folder with a folder of images for each class, as torchvision's `ImageFolder` reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Self

from pydantic import Field

from specdl.data.examples import Records, Stacked
from specdl.data.fields import Fields, FieldSpec, known_names, real_names
from specdl.data.images import EXTENSIONS, is_image
from specdl.data.paths import FilePath
from specdl.data.sources.base import DefaultSplit, Source
from specdl.data.sources.parts import PARTS
from specdl.data.sources.problems import missing, unusable
from specdl.ir.types import TensorType
from specdl.objectives.base import Listed
from specdl.ops.base import TypeRuleError


class ImageFolder(Source):
    """Images in one folder for each class, whose name is the class's; folders within are searched too.

    Where the folders are called `train`, `val` and `test`, each holds the folders of the classes for that part.
    The image has three channels and any size unless `fields` says otherwise; classes count in the order of names.
    """

    name: ClassVar[str] = "image_folder"
    main: ClassVar[str | None] = "root"
    reference: ClassVar[str] = "https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.ImageFolder.html"
    default_split: ClassVar[DefaultSplit] = DefaultSplit(validation=0.1, stratify="label")

    root: FilePath = Field(description="The folder with the classes' folders.")
    extensions: Annotated[tuple[str, ...], Listed] = Field(
        default=EXTENSIONS, description="Endings of the files that count; other files are passed over."
    )

    def with_fields(self, wanted: Fields) -> Self:
        for name, field in wanted.items():
            if name not in {"image", "label"}:
                raise TypeRuleError(f"`{self.name}` gives `image` and `label`, not `{name}`", argument=name)
            if name == "label" and not field.is_class:
                raise TypeRuleError("the label of an image folder is one int64", argument=name)
            if name == "image" and not is_image(field.type):
                raise TypeRuleError("an image is `[1, H, W]`, `[3, H, W]` or `[4, H, W]`", argument=name)
        return self._with(wanted)

    def fields(self) -> Mapping[str, TensorType]:
        return {name: self._wanted.get(name, usual).type for name, usual in _USUAL.items()}

    def classes(self, field: str) -> tuple[str, ...] | None:
        return known_names(self._wanted.get("label")) if field == "label" else None

    def load(self) -> Stacked | Records:
        import torch

        from specdl.data.records import FileRecords

        if not os.path.isdir(self.root):
            raise missing(self.root, "folder")
        parts = part_folders(self.root)
        names = self._names(parts)
        paths: list[str] = []
        labels: list[int] = []
        positions: dict[str, torch.Tensor] = {}
        for part, folder in parts.items():
            start = len(paths)
            for label, name in enumerate(names):
                found = list(self._images(os.path.join(folder, name)))
                paths += found
                labels += [label] * len(found)
            positions[part] = torch.arange(start, len(paths))
            if start == len(paths):
                raise unusable(f"`{folder}` has no images in its folders", self._endings())
        counts = torch.bincount(torch.tensor(labels), minlength=len(names))
        empty = [name for name, count in zip(names, counts.tolist(), strict=True) if not count]
        if empty:
            listed = ", ".join(f"`{name}`" for name in empty)
            raise unusable(f"`{self.root}` has classes without an image: {listed}", self._endings())
        return FileRecords(
            self.fields(),
            {"image": paths},
            {"label": torch.tensor(labels)},
            parts=None if "" in parts else positions,
            classes={"label": names},
        )

    def _endings(self) -> str:
        shown = ", ".join(self.extensions[:4])
        return f"files count whose names end in {shown}{', …' if len(self.extensions) > 4 else ''} (`extensions`)"

    def _names(self, parts: Mapping[str, str]) -> tuple[str, ...]:
        """The classes in order. Raises `SpecError` where the parts, or the spec, have others."""
        found: dict[str, list[str]] = {part: _folders(folder) for part, folder in parts.items()}
        names = sorted({name for listed in found.values() for name in listed})
        if not names:
            help = f"put each class's images into a folder of its own: `{self.root}/cat/1.jpg`"
            raise unusable(f"`{self.root}` has no folders, which are the classes", help)
        for part, listed in found.items():
            lacking = [name for name in names if name not in listed]
            if lacking and part in {"", "train"}:
                raise unusable(f"`{parts[part]}` has no folder `{lacking[0]}`, which is a class elsewhere")
        declared = self._wanted.get("label")
        if declared is None or declared.classes is None:
            return tuple(names)
        wanted = real_names(declared)
        assert wanted is not None
        odd = [f"`{name}`" for name in sorted(set(names) ^ set(wanted))]
        if odd:
            message = f"the classes that the spec names and the folders of `{self.root}` differ in {', '.join(odd[:8])}"
            raise unusable(message)
        return wanted

    def _images(self, folder: str) -> Iterator[str]:
        endings = tuple(ending.lower() for ending in self.extensions)
        for parent, folders, files in os.walk(folder, followlinks=True):
            folders.sort()
            yield from (
                os.path.join(parent, file)
                for file in sorted(files)
                if file.lower().endswith(endings) and not file.startswith(".")
            )


def part_folders(root: str) -> dict[str, str]:
    """The folder of each part, where the folders in a folder are `train` and others like it; else itself, as `""`."""
    folders = _folders(root)
    parts = [PARTS.get(name.lower()) for name in folders]
    if "train" in parts and all(parts):
        doubled = [f"`{name}`" for part, name in zip(parts, folders, strict=True) if parts.count(part) > 1]
        if doubled:
            raise unusable(f"`{root}` has {' and '.join(doubled)}, which are one part", "merge or rename them")
        return {str(part): os.path.join(root, name) for part, name in zip(parts, folders, strict=True)}
    return {"": root}


def _folders(root: str) -> list[str]:
    """The names of the folders in a folder, sorted, hidden ones left out."""
    with os.scandir(root) as entries:
        return sorted(item.name for item in entries if item.is_dir() and not item.name.startswith("."))


_USUAL = {"image": FieldSpec(shape=(3, "H", "W")), "label": FieldSpec(shape=(), dtype="int64")}
