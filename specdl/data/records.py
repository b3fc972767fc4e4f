"""Examples as rows of a table: some fields are numbers at hand, others are image files that are read when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from specdl.data.columns import Strings
from specdl.data.examples import Bad
from specdl.data.images import Unreadable, inspect_image, read_packed, size_of, unpack
from specdl.ir.dims import SymDim
from specdl.ir.types import TensorType


class FileRecords:
    """`Records` (see examples.py). `types` are the fields' types in a batch, `files` the paths of those in files."""

    def __init__(
        self,
        types: Mapping[str, TensorType],
        files: Mapping[str, Sequence[str]],
        columns: Mapping[str, torch.Tensor | Strings],
        *,
        parts: Mapping[str, torch.Tensor] | None = None,
        classes: Mapping[str, tuple[str, ...]] | None = None,
        bad: Sequence[Bad] = (),
    ) -> None:
        self._types, self._files, self._columns = types, files, columns
        self.parts, self.classes, self.bad = parts, classes or {}, bad
        self._kept: dict[int, dict[str, torch.Tensor]] = {}
        self._room = 0

    def __len__(self) -> int:
        return len(next(iter(self._files.values())))

    def get(self, position: int) -> dict[str, Any]:
        """One example. Raises `Unreadable`."""
        packed = self._kept.get(position)
        if packed is None:
            packed = self._decode(position)
            # Several threads may find room at once and pass it by an image each, which doesn't matter.
            size = sum(tensor.nbytes for tensor in packed.values())
            if size <= self._room:
                self._room -= size
                self._kept[position] = packed
        return {
            name: unpack(packed[name], type) if name in packed else self._at_hand(name, position)
            for name, type in self._types.items()
        }

    def _at_hand(self, name: str, position: int) -> Any:
        column = self._columns[name]
        return column.row(position) if isinstance(column, Strings) else column[position]

    def keep(self, room: int) -> None:
        """Keeps decoded images from now on, as long as they take no more bytes than that."""
        self._room = room

    def _decode(self, position: int) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        for name, paths in self._files.items():
            try:
                found[name] = read_packed(paths[position], self._types[name])
            except Unreadable as error:
                raise Unreadable(self._told(name, position, error)) from error
        self._compare(found)
        return found

    def inspect(self, position: int) -> None:
        """Looks at an example's files without decoding them. Raises `Unreadable`."""
        for name, paths in self._files.items():
            try:
                inspect_image(paths[position])
            except Unreadable as error:
                raise Unreadable(self._told(name, position, error)) from error

    def name(self, position: int) -> str:
        """What messages call an example: its first file."""
        return next(iter(self._files.values()))[position]

    def _told(self, field: str, position: int, error: Unreadable) -> str:
        path = self._files[field][position]
        return str(error) if path == self.name(position) else f"its {field} `{path}` {error}"

    def column(self, field: str) -> torch.Tensor | None:
        """All numbers of a field that is at hand."""
        found = self._columns.get(field)
        return found if isinstance(found, torch.Tensor) else None

    def texts(self, field: str) -> Sequence[str] | None:
        """All texts of a field that is at hand."""
        found = self._columns.get(field)
        return found.values if isinstance(found, Strings) else None

    def _compare(self, found: Mapping[str, torch.Tensor]) -> None:
        """Sizes with one name are one size: an image and its mask. Raises `Unreadable`."""
        sizes: dict[str, tuple[int, str]] = {}
        for name in self._files:
            type = self._types[name]
            for size, got in zip(type.shape[-2:], size_of(found[name], type), strict=True):
                if isinstance(size, SymDim):
                    wanted, other = sizes.setdefault(str(size), (got, name))
                    if wanted != got:
                        raise Unreadable(
                            f"doesn't fit its {name}: `{size}` is {wanted} in `{other}`, {got} in `{name}`"
                        )
