"""Pairs of texts for translation, one pair a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import Field

from specdl.data.fields import Fields, FieldSpec
from specdl.data.sources.csv_table import Csv
from specdl.ir.types import STRING


class Pairs(Csv):
    """Lines of two texts with a tab between them: the fields `source` and `target`, the first column and the second.

    `fields` may name them otherwise, or take other columns: `{english: {shape: [], dtype: string, column: "0"}}`.
    """

    name: ClassVar[str] = "pairs"
    usual_delimiter: ClassVar[str] = "\t"

    delimiter: str | None = Field(
        default=None, min_length=1, max_length=1, description="What stands between texts; a tab unless given."
    )
    header: bool = Field(default=False, description="Whether the first line names the columns, else called `0`, `1`.")

    def with_fields(self, wanted: Fields) -> Self:
        usual: Mapping[str, FieldSpec] = {
            name: FieldSpec(shape=(), dtype=STRING, column=name if self.header else column)
            for name, column in (("source", "0"), ("target", "1"))
        }
        return super().with_fields(wanted or usual)


__all__ = ["Pairs"]
