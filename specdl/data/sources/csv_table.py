"""A table of comma-separated values: text, paths of images, labels and numbers."""

from __future__ import annotations

import csv
import fnmatch
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from specdl.data.examples import Bad, Records, Stacked
from specdl.data.fields import Fields, FieldSpec, known_names
from specdl.data.images import is_image
from specdl.data.paths import FilePath
from specdl.data.sources.base import Source
from specdl.data.sources.parts import positions
from specdl.data.sources.problems import unusable
from specdl.data.sources.reading import not_utf8, read_bytes
from specdl.data.sources.values import class_indices
from specdl.diagnostics import did_you_mean
from specdl.ir.dims import product
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError

if TYPE_CHECKING:
    import torch

    from specdl.data.columns import Strings


@dataclass(frozen=True, slots=True)
class Table:
    """A table as text: the names of its columns, its rows with their lines in the file, and the lines that are bad."""

    path: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    bad: tuple[Bad, ...] = ()

    def find(self, column: str) -> int:
        """The position of a column. Raises `SpecError` where there is none."""
        if column not in self.header and _NUMBER.match(column) and -len(self.header) <= int(column) < len(self.header):
            return int(column) % len(self.header)
        if column not in self.header:
            other = next((mark for mark in (";", "\t", "|") if len(self.header) == 1 and mark in self.header[0]), None)
            if other is not None:
                mark = {"\t": "\\t"}.get(other, other)
                raise unusable(f"`{self.path}` has one column, `{self.header[0]}`", f'write `delimiter: "{mark}"`')
            listed = ", ".join(f"`{name}`" for name in self.header[:12])
            raise unusable(
                f"`{self.path}` has no column `{column}`", did_you_mean(column, self.header) or f"it has {listed}"
            )
        return self.header.index(column)

    def words(self, column: str) -> list[str]:
        """The cells of a column."""
        at = self.find(column)
        return [row[at] for row in self.rows]


class Csv(Source):
    """Rows of a table with a header, one an example; `fields` says which columns make what.

    A field of `string` is the text of its column; a field `[3, H, W]` is an image whose path stands there; an int64
    `[]` is a class, by number or by name; other fields are numbers, from one column, from a list of them, from all that
    fit a pattern (`pixel*`) or from a slice of their positions (`:-1`, all but the last). A position may stand for a
    name. Paths are relative to the table. A file that ends in `.gz` is unpacked, one in `.tsv` is separated by tabs
    and has no quotes.
    """

    name: ClassVar[str] = "csv"
    main: ClassVar[str | None] = "file"
    usual_delimiter: ClassVar[str] = ","

    file: FilePath = Field(description="The table.")
    delimiter: str | None = Field(
        default=None, min_length=1, max_length=1, description="What stands between cells; `,` unless given."
    )
    header: bool = Field(
        default=True, description="Whether the first row names the columns; without, they are called `0`, `1`, …"
    )
    quotes: bool | None = Field(
        default=None,
        description='Whether `"` around a cell is no part of it, so that it may hold the delimiter; not with tabs.',
    )
    root: FilePath | None = Field(default=None, description="What paths in the table are relative to.")

    def with_fields(self, wanted: Fields) -> Self:
        if not wanted:
            raise TypeRuleError(
                f"`{self.name}` needs `fields`: what its columns are",
                help="e.g. `fields: {text: string, label: int64}`, or `image: [3, H, W]` for paths of images",
            )
        for name, field in wanted.items():
            _check_field(name, field)
        return self._with(wanted)

    def with_parts(self, column: str) -> Self:
        copy = self.model_copy()
        copy._part_column = column
        return copy

    def fields(self) -> Mapping[str, TensorType]:
        return {name: field.type for name, field in self._wanted.items()}

    def classes(self, field: str) -> tuple[str, ...] | None:
        return known_names(self._wanted.get(field))

    def load(self) -> Stacked | Records:
        from specdl.data.columns import Strings
        from specdl.data.records import FileRecords

        table = self.table()
        files: dict[str, list[str]] = {}
        columns: dict[str, torch.Tensor | Strings] = {}
        classes: dict[str, tuple[str, ...]] = {}
        for name, field in self._wanted.items():
            if field.type.text:
                columns[name] = Strings(table.words(str(field.column or name)))
            elif _from_files(field):
                files[name] = self._paths(table, name, field)
            elif field.is_class:
                columns[name], names = class_indices(
                    table.words(str(field.column or name)),
                    field,
                    f"the column `{field.column or name}` of `{table.path}`",
                )
                if names is not None:
                    classes[name] = names
            else:
                columns[name] = _numbers(table, name, field)
        parts = None if self._part_column is None else positions(table.words(self._part_column), self._part_column)
        if not files:
            return Stacked(columns, parts, classes, table.bad)
        return FileRecords(self.fields(), files, columns, parts=parts, classes=classes, bad=table.bad)

    def table(self) -> Table:
        """Reads the file. Raises `SpecError` where it isn't a table."""
        try:
            rows = list(self._read())
        except csv.Error as error:
            raise unusable(f"`{self.file}` can't be read as a table: {error}") from error
        if not rows:
            raise unusable(f"`{self.file}` is empty")
        header = tuple(word.strip() for word in rows[0][1]) if self.header else tuple(map(str, range(len(rows[0][1]))))
        doubled = [name for name in header if header.count(name) > 1]
        if doubled:
            raise unusable(f"two columns of `{self.file}` are called `{doubled[0]}`", "or it has no `header`")
        rows = rows[1:] if self.header else rows
        if not rows:
            raise unusable(f"`{self.file}` has a header and no rows")
        bad = {line: reason for line, row in rows if (reason := _wrong(row, header)) is not None}
        if len(bad) == len(rows):
            reason = next(iter(bad.values()))
            help = "is the `delimiter` right?" if len(header) == 1 else None
            raise unusable(f"no row of `{self.file}` fits its first one: line {next(iter(bad))} {reason}", help)
        good = [(line, row) for line, row in rows if line not in bad]
        return Table(
            self.file,
            header,
            tuple(row for _, row in good),
            tuple(line for line, _ in good),
            tuple(Bad(None, f"{self.file}:{line}", reason) for line, reason in bad.items()),
        )

    def _read(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """The rows with the lines that they end in. What is no UTF-8 is kept in a form that `_wrong` finds."""
        _, ending = os.path.splitext(self.file.removesuffix(".gz"))
        delimiter = self.delimiter or ("\t" if ending.lower() == ".tsv" else self.usual_delimiter)
        quotes = delimiter != "\t" if self.quotes is None else self.quotes
        text = read_bytes(self.file).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
        limit = csv.field_size_limit(LONGEST)
        try:
            lines = io.StringIO(text, newline="")
            reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE)
            for row in reader:
                if row:
                    yield reader.line_num, tuple(row)
        finally:
            csv.field_size_limit(limit)

    def _paths(self, table: Table, name: str, field: FieldSpec) -> list[str]:
        folder = self.root or os.path.dirname(self.file)
        column = str(field.column or name)
        words = table.words(column)
        for line, word in zip(table.lines, words, strict=True):
            if not word.strip():
                raise unusable(f"line {line} of `{table.path}` has no path in the column `{column}`")
        return [os.path.normpath(os.path.join(folder, word.strip())) for word in words]


LONGEST = 2**30
"""Characters that a cell may have."""


def _wrong(row: Sequence[str], header: Sequence[str]) -> str | None:
    """Why a row can't be used."""
    if len(row) != len(header):
        return f"has {len(row)} cells, the first row {len(header)}"
    for cell in row:
        if not cell.isascii():
            try:
                cell.encode("utf-8")
            except UnicodeEncodeError:
                raw = cell.encode("utf-8", "surrogateescape")
                try:
                    raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    return not_utf8(error)
    return None


_NUMBER, _SLICE = re.compile(r"-?\d+\Z"), re.compile(r"(-?\d+)?:(-?\d+)?\Z")


def _several(field: FieldSpec) -> bool:
    """Whether a field comes from several columns."""
    column = field.column or ""
    return isinstance(column, tuple) or "*" in column or _SLICE.match(column) is not None


def _from_files(field: FieldSpec) -> bool:
    """Whether a field is read from the files that one column names."""
    return not _several(field) and len(field.shape) >= 2 and is_image(field.type)


def _check_field(name: str, field: FieldSpec) -> None:
    """Raises `TypeRuleError` for a field that a table can't hold."""
    if field.type.text:
        if field.shape or isinstance(field.column, tuple):
            raise TypeRuleError(f"`{name}` is {field.type}: text is one cell, `[]`", argument=name)
        return
    if _from_files(field):
        return
    size = product(field.type.shape[1:])
    if not isinstance(size, int):
        raise TypeRuleError(
            f"`{name}` is {field.type}: a table has as many numbers in every row",
            argument=name,
            help="an image, whose path a column holds, is `[3, H, W]` or `[1, H, W]`, a mask `[H, W]` of integers",
        )
    if isinstance(field.column, tuple) and len(field.column) != size:
        raise TypeRuleError(f"`{name}` has {size} numbers, but {len(field.column)} columns", argument=name)
    if size > 1 and not _several(field):
        raise TypeRuleError(
            f"`{name}` has {size} numbers, which one column can't hold",
            argument=name,
            help='list the columns, or write a pattern (`column: pixel*`) or a slice (`column: ":-1"`)',
        )


def _numbers(table: Table, name: str, field: FieldSpec) -> torch.Tensor:
    """The numbers of a field. Raises `SpecError` for cells that hold none."""
    import numpy as np
    import torch

    places = _places(table, name, field)
    size = product(field.type.shape[1:])
    if len(places) != size:
        raise unusable(f"`{name}` has {size} numbers, but {len(places)} columns of `{table.path}` fit `{field.column}`")
    cells = [[row[at] for at in places] for row in table.rows]
    try:
        numbers = np.array(cells, dtype=np.float64)
    except ValueError:
        numbers = np.full((len(cells), len(places)), np.nan)
    if not np.isfinite(numbers).all():
        raise _no_number(table, cells, [table.header[at] for at in places])
    if not field.type.floating and (numbers != np.round(numbers)).any():
        raise unusable(f"`{name}` is {field.dtype}, but `{table.path}` has fractions there")
    found = torch.from_numpy(numbers).to(getattr(torch, field.dtype))
    return found.reshape(len(cells), *(size for size in field.shape if isinstance(size, int)))


def _places(table: Table, name: str, field: FieldSpec) -> list[int]:
    column = field.column or name
    if isinstance(column, tuple):
        return [table.find(item) for item in column]
    if sliced := _SLICE.match(column):
        first, last = (None if number is None else int(number) for number in sliced.groups())
        return list(range(len(table.header)))[first:last]
    if "*" in column:
        return [at for at, item in enumerate(table.header) if fnmatch.fnmatchcase(item, column)]
    return [table.find(column)]


def _no_number(table: Table, cells: Sequence[Sequence[str]], names: Sequence[str]) -> Exception:
    """The first cells that are no number, as an error."""
    wrong: list[str] = []
    for line, row in zip(table.lines, cells, strict=True):
        for name, cell in zip(names, row, strict=True):
            if not _is_number(cell):
                wrong.append(f"line {line} has `{cell.strip()}` in `{name}`")
    shown = "; ".join(wrong[:8]) + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else "")
    return unusable(f"cells of `{table.path}` hold no number: {shown}", "fill them in, or remove their rows")


def _is_number(cell: str) -> bool:
    try:
        return float(cell) - float(cell) == 0
    except ValueError:
        return False
