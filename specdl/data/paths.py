"""Paths in the arguments of sources and transforms: relative to the file that names them.

A run keeps a copy of its spec elsewhere, with these paths made absolute (`located`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ValidationInfo


class _Path:
    """Marks a field as a path."""


def _resolve(value: str, info: ValidationInfo) -> str:
    # The context has the folder of the file in which each argument stands.
    folder = (info.context or {}).get(info.field_name, "")
    return os.path.normpath(os.path.join(folder, os.path.expanduser(value))) if value else value


FilePath = Annotated[str, _Path(), AfterValidator(_resolve)]
"""A file or folder, as an argument of a source or a transform."""


def located(declared: BaseModel) -> Iterator[tuple[str, str]]:
    """The arguments that are paths, absolute."""
    for name, field in type(declared).model_fields.items():
        value = getattr(declared, name)
        if isinstance(value, str) and any(isinstance(item, _Path) for item in field.metadata):
            yield name, os.path.abspath(value)
