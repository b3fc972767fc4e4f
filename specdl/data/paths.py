"""Paths in the arguments of sources and transforms: relative to the file that names them.

A run keeps a copy of its spec elsewhere, with these paths made absolute (`located`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ValidationInfo
from pydantic.fields import FieldInfo


class _Path:
    """Marks a field as a path, unless it is one of some words."""

    def __init__(self, *words: str, several: bool = False) -> None:
        self.words, self.several = words, several

    def resolve(self, value: object, info: ValidationInfo) -> object:
        """A path seen from where the file that names it lies; the context has the folder of each argument."""
        if isinstance(value, tuple) and self.several:
            return tuple(self.resolve(item, info) for item in value)
        if not isinstance(value, str) or not value or value in self.words:
            return value
        folder = (info.context or {}).get(info.field_name, "")
        return os.path.normpath(os.path.join(folder, os.path.expanduser(value)))


def path_unless(*words: str) -> tuple[_Path, AfterValidator]:
    """What makes a path of a field that may also be one of some words (or no word at all)."""
    mark = _Path(*words)
    return mark, AfterValidator(mark.resolve)


_MARK, _RESOLVE = path_unless()

FilePath = Annotated[str, _MARK, _RESOLVE]
"""A file or folder, as an argument of a source or a transform."""


_SEVERAL = _Path(several=True)

FilePaths = Annotated[
    str | tuple[str, ...],
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    _SEVERAL,
    AfterValidator(_SEVERAL.resolve),
]
"""Several files or folders, or a pattern of their names."""


def located(declared: BaseModel) -> Iterator[tuple[str, str | list[str]]]:
    """The arguments that are paths, absolute."""
    for name, field in type(declared).model_fields.items():
        value = getattr(declared, name)
        marks = [item for item in _metadata(field) if isinstance(item, _Path)]
        if marks and marks[0].several and isinstance(value, tuple):
            yield name, [os.path.abspath(item) for item in value]
        elif marks and isinstance(value, str) and value not in marks[0].words:
            yield name, os.path.abspath(value)


def _metadata(field: FieldInfo) -> Iterator[Any]:
    """What a field's type is annotated with, also as one of several types (`FilePath | None`)."""
    yield from field.metadata
    for member in get_args(field.annotation):
        yield from getattr(member, "__metadata__", ())
