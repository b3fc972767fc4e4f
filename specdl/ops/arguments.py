"""Argument types that several operators share, with messages a reader of the spec understands.

A union of pydantic types reports one error for each member; a single validator here reports one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError


def _size(count: int, minimum: int, words: tuple[str, ...] = ()) -> Any:
    expected = f"an integer or a list of {count} integers" if count > 1 else "an integer"
    if words:
        expected = f"{', '.join(repr(word) for word in words)}, {expected}"

    def validate(value: Any) -> int | str | tuple[int, ...]:
        if isinstance(value, str) and value in words:
            return value
        items = value if isinstance(value, (list, tuple)) else (value,)
        if any(isinstance(item, bool) or not isinstance(item, int) for item in items) or (
            isinstance(value, (list, tuple)) and len(items) != count
        ):
            raise PydanticCustomError("size", "expected {expected}", {"expected": expected})
        if any(item < minimum for item in items):
            raise PydanticCustomError("size", "must be at least {minimum}", {"minimum": minimum})
        return tuple(items) if isinstance(value, (list, tuple)) and count > 1 else items[0]

    return validate


def _schema(count: int, minimum: int, words: tuple[str, ...] = ()) -> WithJsonSchema:
    number: dict[str, Any] = {"type": "integer", "minimum": minimum}
    options: list[dict[str, Any]] = [number]
    if count > 1:
        options.append({"type": "array", "items": number, "minItems": count, "maxItems": count})
    if words:
        options.append({"enum": list(words)})
    return WithJsonSchema(options[0] if len(options) == 1 else {"anyOf": options})


Size1 = Annotated[int, PlainValidator(_size(1, 1)), _schema(1, 1)]
Size2 = Annotated[int | tuple[int, int], PlainValidator(_size(2, 1)), _schema(2, 1)]
Size3 = Annotated[int | tuple[int, int, int], PlainValidator(_size(3, 1)), _schema(3, 1)]
Offset1 = Annotated[int, PlainValidator(_size(1, 0)), _schema(1, 0)]
Offset2 = Annotated[int | tuple[int, int], PlainValidator(_size(2, 0)), _schema(2, 0)]
Offset3 = Annotated[int | tuple[int, int, int], PlainValidator(_size(3, 0)), _schema(3, 0)]


def _target(count: int) -> Any:
    number = _size(1, 1)

    def validate(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return number(value)
        if len(value) != count:
            raise PydanticCustomError("size", "expected a list of {count} sizes", {"count": count})
        return tuple(None if item is None else number(item) for item in value)

    return validate


def _target_schema(count: int) -> WithJsonSchema:
    number: dict[str, Any] = {"type": "integer", "minimum": 1}
    size = {"anyOf": [number, {"type": "null"}]}
    several = {"type": "array", "items": size, "minItems": count, "maxItems": count}
    return WithJsonSchema({"anyOf": [number, several]})


# Sizes of the output; in a list, null keeps the input's.
Target2 = Annotated[int | tuple[int | None, int | None], PlainValidator(_target(2)), _target_schema(2)]
Target3 = Annotated[int | tuple[int | None, int | None, int | None], PlainValidator(_target(3)), _target_schema(3)]

_PADDING_WORDS = ("same", "valid")
Padding1 = Annotated[
    int | Literal["same", "valid"], PlainValidator(_size(1, 0, _PADDING_WORDS)), _schema(1, 0, _PADDING_WORDS)
]
Padding2 = Annotated[
    int | tuple[int, int] | Literal["same", "valid"],
    PlainValidator(_size(2, 0, _PADDING_WORDS)),
    _schema(2, 0, _PADDING_WORDS),
]
Padding3 = Annotated[
    int | tuple[int, int, int] | Literal["same", "valid"],
    PlainValidator(_size(3, 0, _PADDING_WORDS)),
    _schema(3, 0, _PADDING_WORDS),
]


def spread(value: int | tuple[int, ...], count: int) -> tuple[int, ...]:
    """An argument for each of `count` axes."""
    return value if isinstance(value, tuple) else (value,) * count
