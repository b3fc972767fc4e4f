"""What a spec says of a source's fields (`data: {fields: {...}}`): one example, typed like the network's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from specdl.data.paths import path_unless
from specdl.diagnostics import Diagnostic, SpecError, nearest
from specdl.ir.dims import BATCH, Dim, symbol
from specdl.ir.types import DTYPES, STRING, DType, TensorType
from specdl.objectives.base import Declared, Listed

MAX_SIZE = 2**31 - 1


def _size(value: Any) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_SIZE:
        return value
    if isinstance(value, str) and value.isidentifier() and value not in {"N", "None"}:
        return value
    raise PydanticCustomError("size", "a size is a number from 1, or a name such as `H` for a size known at run time")


Size = Annotated[int | str, PlainValidator(_size), WithJsonSchema({"type": ["integer", "string"], "minimum": 1})]


def _dtype(value: Any) -> str:
    if isinstance(value, str) and value in DTYPES:
        return value
    other = {"long": "int64", "int": "int64", "float": "float32", "double": "float64"}.get(str(value))
    close = other or nearest(str(value), DTYPES)
    words = f"`{close}`" if close else f"one of {', '.join(DTYPES)}"
    raise PydanticCustomError("dtype", "expected a type of numbers: {words}", {"words": words})


AnyDType = Annotated[DType, PlainValidator(_dtype), WithJsonSchema({"enum": list(DTYPES)})]


FIELD_TYPES = (*DTYPES, STRING)
"""The types that a field may have."""


def _field_dtype(value: Any) -> str:
    if value in ("str", "text"):
        raise PydanticCustomError("dtype", "expected a type: `string` is that of text")
    return STRING if value == STRING else _dtype(value)


FieldDType = Annotated[DType, PlainValidator(_field_dtype), WithJsonSchema({"enum": list(FIELD_TYPES)})]


def _words(value: Any) -> str | tuple[str, ...] | None:
    if value is None or (isinstance(value, str) and value):
        return value
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, (str, int)) for item in value):
        return tuple(str(item) for item in value)
    raise PydanticCustomError("words", "expected a word or a list of words")


_WORDS = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1},
            {"type": "null"},
        ]
    }
)
Words = Annotated[str | tuple[str, ...] | None, PlainValidator(_words), _WORDS]
_MARK, _RESOLVE = path_unless("imagenet")


class FieldSpec(Declared):
    """A field of one example."""

    shape: Annotated[tuple[Size, ...], Listed] = Field(
        description="Sizes of one example, without the batch; `[]` for one number, a name for a size that varies."
    )
    dtype: FieldDType = Field(
        default="float32", description="The type of its numbers; `string` for text, which `tokenize` makes numbers of."
    )
    column: str | Annotated[tuple[str, ...], Listed] | None = Field(
        default=None,
        description="Where the source has it: a column of a table, an array; the field's name unless given.",
    )
    padding: int | float = Field(
        default=0, description="What fills up a field `[T]`, which differs in length, to the longest of a batch."
    )
    files: str | None = Field(
        default=None, description="Of the source `files`: a pattern with one `*`, such as `*_mask.png`."
    )
    classes: Annotated[Words, _MARK, _RESOLVE] = Field(
        default=None,
        description="Names of the classes that an int64 counts: a list, a file with one a line, or `imagenet`.",
    )

    @property
    def type(self) -> TensorType:
        """The type of the field in a batch."""
        sizes: list[Dim] = [symbol(size) if isinstance(size, str) else size for size in self.shape]
        return TensorType((BATCH, *sizes), self.dtype)

    @property
    def is_class(self) -> bool:
        """Whether it is one integer, the index of a class."""
        return not self.shape and self.dtype == "int64"


Fields = Mapping[str, FieldSpec]


def companions(fields: Mapping[str, TensorType]) -> dict[str, TensorType]:
    """The fields that padding brings: for each field `words` of texts' lengths `words_mask` and `words_length`."""
    found: dict[str, TensorType] = {}
    for name, type in fields.items():
        if type.ragged and not type.text:
            found[f"{name}_mask"] = TensorType(type.shape[:2], "bool")
            found[f"{name}_length"] = TensorType(type.shape[:1], "int64")
    return {name: type for name, type in found.items() if name not in fields}


def known_names(field: FieldSpec | None) -> tuple[str, ...] | None:
    """The names of a field's classes, as far as the spec has them; only their number is right for named lists.

    Raises `SpecError` where they stand in a file that can't be read.
    """
    if field is None or field.classes is None:
        return None
    if field.classes == "imagenet":
        return tuple(str(number) for number in range(1000))
    if isinstance(field.classes, str):
        return _read_names(field.classes)
    return field.classes


def real_names(field: FieldSpec | None) -> tuple[str, ...] | None:
    """The names of a field's classes. ImageNet's are torchvision's. Raises `SpecError`."""
    if field is not None and field.classes == "imagenet":
        from specdl.data.extras import require

        models = require("torchvision.models", "the names of ImageNet's classes")
        return tuple(models.MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"])
    return known_names(field)


@cache
def _read_names(path: str) -> tuple[str, ...]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = "doesn't exist" if isinstance(error, FileNotFoundError) else f"can't be read: {error}"
        help = "`classes` is a list, `imagenet`, or a text file with one name a line"
        raise SpecError([Diagnostic("E0531", f"the file of classes `{path}` {problem}", help=help)]) from error
    return tuple(line.strip() for line in text.splitlines() if line.strip())
