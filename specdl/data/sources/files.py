"""Files that belong together by their names: an image and its mask."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import ClassVar, Self

from pydantic import Field

from specdl.data.examples import Records, Stacked
from specdl.data.fields import Fields
from specdl.data.images import is_image
from specdl.data.paths import FilePath
from specdl.data.sources.base import Source
from specdl.data.sources.image_folder import part_folders
from specdl.data.sources.problems import missing, unusable
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError


class Files(Source):
    """Examples of several files each, found by their names: `fields` gives each a pattern with one `*`.

    `image: {shape: [3, H, W], files: "*.png"}` with `mask: {shape: [H, W], dtype: int64, files: "*_mask.png"}` pairs
    `a.png` with `a_mask.png`; a file that fits two patterns belongs to the longer one. A pattern may begin with a
    folder (`masks/*.png`). Where the folder has `train` and `val` (and `test`), each holds the files of its part.
    """

    name: ClassVar[str] = "files"
    main: ClassVar[str | None] = "root"

    root: FilePath = Field(description="The folder that the patterns start from.")

    def with_fields(self, wanted: Fields) -> Self:
        if not wanted:
            help = 'e.g. `fields: {image: {shape: [3, H, W], files: "*.png"}, mask: {..., files: "*_mask.png"}}`'
            raise TypeRuleError(f"`{self.name}` needs `fields`, each with a pattern of its files", help=help)
        for name, field in wanted.items():
            if field.files is None or field.files.count("*") != 1:
                raise TypeRuleError(f"`{name}` needs `files`: a pattern with one `*`", argument=name)
            if not is_image(field.type):
                help = "an image is `[3, H, W]` or `[1, H, W]`; a mask is `[H, W]` or `[1, H, W]` of integers"
                raise TypeRuleError(f"`{name}` is {field.type}, which image files don't hold", argument=name, help=help)
        return self._with(wanted)

    def fields(self) -> Mapping[str, TensorType]:
        return {name: field.type for name, field in self._wanted.items()}

    def load(self) -> Stacked | Records:
        import torch

        from specdl.data.records import FileRecords

        if not os.path.isdir(self.root):
            raise missing(self.root, "folder")
        patterns = {name: str(field.files) for name, field in self._wanted.items()}
        files: dict[str, list[str]] = {name: [] for name in patterns}
        positions: dict[str, torch.Tensor] = {}
        parts = part_folders(self.root)
        for part, folder in parts.items():
            start = len(next(iter(files.values())))
            for name, found in _pairs(folder, patterns).items():
                files[name] += found
            positions[part] = torch.arange(start, len(next(iter(files.values()))))
        return FileRecords(self.fields(), files, {}, parts=None if "" in parts else positions)


def _pairs(root: str, patterns: Mapping[str, str]) -> dict[str, list[str]]:
    """The files of each field, example by example. Raises `SpecError` for a file without its others."""
    stems = {name: _stems(root, pattern, patterns.values()) for name, pattern in patterns.items()}
    everything = sorted(set().union(*stems.values()))
    if not everything:
        raise unusable(f"no file in `{root}` fits {' or '.join(f'`{item}`' for item in patterns.values())}")
    lonely = [
        f"`{pattern.replace('*', stem)}`"
        for stem in everything
        for name, pattern in patterns.items()
        if stem not in stems[name]
    ]
    if lonely:
        more = f" and {len(lonely) - 8} more" if len(lonely) > 8 else ""
        raise unusable(f"`{root}` lacks {', '.join(lonely[:8])}{more}", "each example needs a file for every field")
    return {
        name: [os.path.join(root, pattern.replace("*", stem)) for stem in everything]
        for name, pattern in patterns.items()
    }


def _stems(root: str, pattern: str, patterns: Iterable[str]) -> set[str]:
    """What stands for the `*` of a pattern, in files that fit no longer pattern."""
    folder, name = os.path.split(pattern)
    longer = [
        os.path.split(other)[1] for other in patterns if os.path.split(other)[0] == folder and len(other) > len(pattern)
    ]
    try:
        found = os.listdir(os.path.join(root, folder))
    except OSError as error:
        raise missing(os.path.join(root, folder), "folder") from error
    return {
        stem
        for file in found
        if not file.startswith(".")
        and (stem := _stem(file, name)) is not None
        and not any(_stem(file, other) is not None for other in longer)
    }


def _stem(file: str, pattern: str) -> str | None:
    before, after = pattern.split("*")
    fits = file.startswith(before) and file.endswith(after) and len(file) > len(before) + len(after)
    return file[len(before) : len(file) - len(after)] if fits else None
