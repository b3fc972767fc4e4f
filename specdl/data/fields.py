"""What a spec says of a source's fields (`data: {fields: {...}}`): one example, typed like the network's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from specdl.ir.dims import BATCH, Dim, symbol
from specdl.ir.types import DType, TensorType
from specdl.objectives.base import Declared, Listed

MAX_SIZE = 2**31 - 1


def _size(value: Any) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_SIZE:
        return value
    if isinstance(value, str) and value.isidentifier() and value not in {"N", "None"}:
        return value
    raise PydanticCustomError("size", "a size is a number from 1, or a name such as `H` for a size known at run time")


Size = Annotated[int | str, PlainValidator(_size), WithJsonSchema({"type": ["integer", "string"], "minimum": 1})]


class FieldSpec(Declared):
    """A field of one example."""

    shape: Annotated[tuple[Size, ...], Listed] = Field(
        description="Sizes of one example, without the batch; `[]` for one number, a name for a size that varies."
    )
    dtype: DType = Field(default="float32", description="The type of its numbers.")
    column: str | Annotated[tuple[str, ...], Listed] | None = Field(
        default=None,
        description="Where the source has it: a column of a table, an array; the field's name unless given.",
    )
    files: str | None = Field(
        default=None, description="Of the source `files`: a pattern with one `*`, such as `*_mask.png`."
    )
    classes: str | Annotated[tuple[str, ...], Listed] | None = Field(
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
