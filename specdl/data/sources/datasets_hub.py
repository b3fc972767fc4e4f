"""Data sets that Hugging Face's `datasets` opens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field

from specdl.data.examples import Records, Stacked
from specdl.data.extras import require
from specdl.data.fields import Fields, FieldSpec, known_names
from specdl.data.sources.base import Source
from specdl.data.sources.parts import PARTS
from specdl.data.sources.rows import Rows, check_fields, column_of, no_column, stacked
from specdl.diagnostics import Diagnostic, SpecError
from specdl.ir.types import TensorType


class Datasets(Source):
    """A data set of Hugging Face's hub, or a folder that `save_to_disk` wrote; `fields` says which columns make what.

    Its own splits are kept: `train`, `validation` and `test` by their usual names, others are left out. Labels keep
    the names that it has. It needs the package datasets: `pip install 'specdl[data]'`.
    """

    name: ClassVar[str] = "datasets"
    main: ClassVar[str | None] = "path"
    reference: ClassVar[str] = "https://huggingface.co/docs/datasets/package_reference/loading_methods"

    path: str = Field(min_length=1, description="The name on the hub (`stanfordnlp/imdb`), or a folder.")
    config: str | None = Field(default=None, description="Which of its configurations.")
    revision: str | None = Field(default=None, description="A branch, tag or commit of it on the hub.")

    def with_fields(self, wanted: Fields) -> Self:
        check_fields(wanted, self.name)
        return self._with(wanted)

    def fields(self) -> Mapping[str, TensorType]:
        return {name: field.type for name, field in self._wanted.items()}

    def classes(self, field: str) -> tuple[str, ...] | None:
        return known_names(self._wanted.get(field))

    def load(self) -> Stacked | Records:
        package = require("datasets", "the data source `datasets`")
        found = self._open(package)
        splits = {"train": found} if not hasattr(found, "keys") else _parts(found)
        columns = list(dict.fromkeys(column_of(name, item) for name, item in self._wanted.items()))
        rows = Rows({column: [] for column in columns}, [])
        wanted = dict(self._wanted)
        for part, data in splits.items():
            for column in columns:
                if column not in data.column_names:
                    raise no_column(self.path, column, data.column_names)
            start = len(rows.names)
            rows.names += [f"{self.path}, {part}, row {number}" for number in range(1, len(data) + 1)]
            for column in columns:
                rows.columns[column] += data[column][:]
            rows.parts[part] = list(range(start, len(rows.names)))
            wanted = {name: _with_names(item, data.features[column_of(name, item)]) for name, item in wanted.items()}
        if len(rows.parts) == 1:
            rows.parts = {}
        return stacked(rows, wanted, self.path)

    def _open(self, package: Any) -> Any:
        try:
            if os.path.isdir(self.path) and _saved(self.path):
                return package.load_from_disk(self.path)
            return package.load_dataset(self.path, self.config, revision=self.revision)
        except (
            OSError,
            ValueError,
            RuntimeError,
        ) as error:  # its own errors and those of the network derive from these
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            help = "download it where there is internet (`save_to_disk`), and name the folder"
            raise SpecError(
                [Diagnostic("E0567", f"`datasets` can't open `{self.path}`: {reason}", help=help)]
            ) from error


def _saved(path: str) -> bool:
    return any(os.path.exists(os.path.join(path, name)) for name in ("dataset_info.json", "dataset_dict.json"))


def _parts(found: Mapping[str, Any]) -> dict[str, Any]:
    """The splits of a data set by what they are for. Raises `SpecError` where none is to train on."""
    splits = {PARTS[name]: found[name] for name in found if name in PARTS}
    if "train" not in splits:
        listed = ", ".join(f"`{name}`" for name in found)
        raise SpecError([Diagnostic("E0567", f"the data set has no split `train`, only {listed}")])
    return splits


def _with_names(item: FieldSpec, feature: Any) -> FieldSpec:
    """A field of classes with the names that the data set has, unless the spec has some."""
    names = getattr(feature, "names", None)
    if not names or item.classes is not None or not item.is_class:
        return item
    return item.model_copy(update={"classes": tuple(names)})


__all__ = ["Datasets"]
