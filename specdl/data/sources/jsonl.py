"""Objects of JSON, one a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field

from specdl.data.examples import Bad, Records, Stacked
from specdl.data.fields import Fields, known_names
from specdl.data.paths import FilePaths
from specdl.data.sources.base import Source
from specdl.data.sources.problems import unusable
from specdl.data.sources.reading import find_files, read_lines
from specdl.data.sources.rows import ABSENT, Rows, check_fields, column_of, no_column, stacked, told
from specdl.ir.types import TensorType


class Jsonl(Source):
    """Lines of JSON, an object each; `fields` says which keys make what.

    A field of `string` is text, `[T]` a list of any length, an int64 `[]` a class by number or by name. A key within
    another is written `outer.inner`. A file that ends in `.gz` is unpacked.
    """

    name: ClassVar[str] = "jsonl"
    main: ClassVar[str | None] = "files"

    files: FilePaths = Field(description="A file, a folder, a pattern (`data/*.jsonl`), or a list.")
    validation: FilePaths | None = Field(default=None, description="Files for validation, instead of a share.")
    test: FilePaths | None = Field(default=None, description="Files for the test, instead of a share.")

    def with_fields(self, wanted: Fields) -> Self:
        check_fields(wanted, self.name)
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
        columns = [column_of(name, item) for name, item in self._wanted.items()]
        if self._part_column is not None:
            columns.append(self._part_column)
        rows = Rows({column: [] for column in columns}, [])
        seen: dict[str, None] = {}
        for part, files in (("train", self.files), ("validation", self.validation), ("test", self.test)):
            if files is not None:
                start = len(rows.names)
                for path in find_files(files, (".jsonl", ".ndjson"), "file of JSON lines"):
                    _read(path, rows, seen)
                rows.parts[part] = list(range(start, len(rows.names)))
        if len(rows.parts) == 1:
            rows.parts = {}
        for column in columns:
            if rows.names and all(value is ABSENT for value in rows.columns[column]):
                raise no_column(str(self.files), column, list(seen))
        return stacked(rows, self._wanted, str(self.files), self._part_column)


def _read(path: str, rows: Rows, seen: dict[str, None]) -> None:
    lines, bad = read_lines(path)
    rows.bad += bad
    for number, line in lines:
        name = f"{path}:{number}"
        try:
            data = json.loads(line, parse_constant=_refused)
        except (ValueError, RecursionError) as error:
            if number == lines[0][0] and line.lstrip().startswith("["):
                help = "one object a line is wanted: `jq -c '.[]' FILE` writes them so"
                raise unusable(f"`{path}` is one array, not an object a line", help) from error
            rows.bad.append(Bad(None, name, f"is no JSON: {_reason(error)}"))
            continue
        if not isinstance(data, dict):
            rows.bad.append(Bad(None, name, f"is {told(data)}, not an object"))
            continue
        if len(seen) < 64:
            seen.update(dict.fromkeys(data))
        rows.names.append(name)
        for column, values in rows.columns.items():
            values.append(_value(data, column))


def _refused(word: str) -> Any:
    raise ValueError(f"`{word}` is no number of JSON")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg[:1].lower()}{error.msg[1:]} at column {error.colno}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _value(data: Mapping[str, Any], column: str) -> Any:
    if column in data:
        return data[column]
    found: Any = data
    for step in column.split("."):
        if not isinstance(found, Mapping) or step not in found:
            return ABSENT
        found = found[step]
    return found


__all__ = ["Jsonl"]
