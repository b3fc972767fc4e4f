"""Tables in columns: Parquet files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field

from specdl.data.examples import Records, Stacked
from specdl.data.extras import require
from specdl.data.fields import Fields, known_names
from specdl.data.paths import FilePaths
from specdl.data.sources.base import Source
from specdl.data.sources.problems import unusable
from specdl.data.sources.reading import find_files
from specdl.data.sources.rows import Rows, check_fields, column_of, no_column, stacked
from specdl.ir.types import TensorType


class Parquet(Source):
    """Rows of Parquet files; `fields` says which columns make what, as for `jsonl`.

    It needs the package pyarrow: `pip install 'specdl[data]'`.
    """

    name: ClassVar[str] = "parquet"
    main: ClassVar[str | None] = "files"
    reference: ClassVar[str] = "https://arrow.apache.org/docs/python/parquet.html"

    files: FilePaths = Field(description="A file, a folder, a pattern (`data/*.parquet`), or a list.")
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
        reader = require("pyarrow.parquet", "the data source `parquet`")
        columns = list(dict.fromkeys(column_of(name, item) for name, item in self._wanted.items()))
        if self._part_column is not None and self._part_column not in columns:
            columns.append(self._part_column)
        rows = Rows({column: [] for column in columns}, [])
        for part, files in (("train", self.files), ("validation", self.validation), ("test", self.test)):
            if files is not None:
                start = len(rows.names)
                for path in find_files(files, (".parquet",), "Parquet file"):
                    _read(reader, path, columns, rows)
                rows.parts[part] = list(range(start, len(rows.names)))
        if len(rows.parts) == 1:
            rows.parts = {}
        return stacked(rows, self._wanted, str(self.files), self._part_column)


def _read(reader: Any, path: str, columns: list[str], rows: Rows) -> None:
    try:
        known = list(reader.read_schema(path).names)
        for column in columns:
            if column not in known:
                raise no_column(path, column, known)
        table = reader.read_table(path, columns=columns)
    except (OSError, ValueError) as error:  # pyarrow's own errors derive from these
        raise unusable(f"`{path}` can't be read as a Parquet file: {str(error).splitlines()[0]}") from error
    rows.names += [f"{path}, row {number}" for number in range(1, table.num_rows + 1)]
    for column in columns:
        rows.columns[column] += table.column(column).to_pylist()


__all__ = ["Parquet"]
