"""Rows of plain values (of JSON, of a table in columns) become the columns of fields; a row that doesn't fit is bad."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from specdl.data.examples import Bad, Stacked
from specdl.data.fields import Fields, FieldSpec
from specdl.data.images import is_image
from specdl.data.sources.parts import positions
from specdl.data.sources.problems import unusable
from specdl.data.sources.values import class_indices
from specdl.diagnostics import did_you_mean
from specdl.ops.base import TypeRuleError

if TYPE_CHECKING:
    from specdl.data.columns import Column

_WORDS = {bool: "true or false", str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}


@dataclass(slots=True)
class Rows:
    """Values by column, and what messages call each row. `parts` are the rows of each part, where files say so."""

    columns: dict[str, list[Any]]
    names: list[str]
    bad: list[Bad] = field(default_factory=list)
    parts: dict[str, list[int]] = field(default_factory=dict)


class Absent:
    """What stands for a value that a row lacks."""


ABSENT = Absent()


def check_fields(fields: Fields, what: str) -> None:
    """Raises `TypeRuleError` for a field that rows of values can't give."""
    if not fields:
        help = "e.g. `fields: {text: string, label: int64}`"
        raise TypeRuleError(f"`{what}` needs `fields`: what its columns are", help=help)
    for name, item in fields.items():
        type = item.type
        if isinstance(item.column, tuple):
            raise TypeRuleError(f"`{what}` has one column for a field", argument=name)
        if len(item.shape) >= 2 and is_image(type) and not type.ragged and type.rank == 4:
            continue
        if not (type.ragged or all(isinstance(size, int) for size in item.shape)):
            help = "a list of any length is `[T]`"
            raise TypeRuleError(f"`{name}` is {type}, which `{what}` doesn't hold", argument=name, help=help)
        if type.text and len(item.shape) > 1:
            raise TypeRuleError(f"`{name}` is {type}: text is `[]`, a list of words `[T]`", argument=name)


def stacked(rows: Rows, fields: Fields, where: str, part_column: str | None = None) -> Stacked:
    """The examples of some rows. Rows whose values don't fit are told as bad. Raises `SpecError`."""
    good, bad = _sound(rows, fields)
    if not good and not bad and not rows.bad:
        raise unusable(f"`{where}` has no examples")
    found: dict[str, Column] = {}
    classes: dict[str, tuple[str, ...]] = {}
    for name, item in fields.items():
        values = rows.columns[column_of(name, item)]
        found[name], names = _column([values[at] for at in good], item, f"`{name}` of `{where}`")
        if names is not None:
            classes[name] = names
    return Stacked(found, _parts(rows, good, part_column), classes, [*rows.bad, *bad])


def _parts(rows: Rows, good: Sequence[int], part_column: str | None) -> Mapping[str, Any] | None:
    import torch

    if part_column is not None:
        return positions([str(rows.columns[part_column][at]) for at in good], part_column)
    if not rows.parts:
        return None
    place = {at: number for number, at in enumerate(good)}
    return {
        part: torch.tensor([place[at] for at in listed if at in place], dtype=torch.int64)
        for part, listed in rows.parts.items()
    }


def column_of(name: str, item: FieldSpec) -> str:
    """Where a field stands."""
    return str(item.column or name)


def _sound(rows: Rows, fields: Fields) -> tuple[list[int], list[Bad]]:
    """The rows whose values fit all fields, and the others with what is wrong."""
    checks = [(name, rows.columns[column_of(name, item)], _check(item)) for name, item in fields.items()]
    good: list[int] = []
    bad: list[Bad] = []
    for at, where in enumerate(rows.names):
        for name, values, check in checks:
            reason = check(values[at])
            if reason is not None:
                bad.append(Bad(None, where, f"has {reason} in `{name}`"))
                break
        else:
            good.append(at)
    return good, bad


def _check(item: FieldSpec) -> Callable[[Any], str | None]:
    """What says why a value is not one of a field; None where it is."""
    if item.type.text:
        return _check_text if not item.shape else _check_texts
    if item.is_class:
        return _check_class
    number = _check_bool if item.dtype == "bool" else _check_number if item.type.floating else _check_whole
    return lambda value: _check_numbers(value, item.shape, number)


def told(value: Any) -> str:
    """A value as a message calls it."""
    if value is ABSENT:
        return "nothing"
    if value is None:
        return "null"
    word = _WORDS.get(type(value), type(value).__name__)
    return word if isinstance(value, (list, dict)) else f"{word} ({str(value)[:40]})"


def _check_text(value: Any) -> str | None:
    return None if isinstance(value, str) else f"{told(value)} instead of text"


def _check_texts(value: Any) -> str | None:
    if not isinstance(value, list):
        return f"{told(value)} instead of a list of texts"
    wrong = next((item for item in value if not isinstance(item, str)), "")
    return f"{told(wrong)} among texts" if wrong != "" else None


def _check_class(value: Any) -> str | None:
    right = (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and value.strip())
    return None if right or isinstance(value, bool) else f"{told(value)} instead of a class"


def _check_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _check_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _check_numbers(value: Any, shape: Sequence[int | str], number: Callable[[Any], bool]) -> str | None:
    if not shape:
        return None if number(value) else f"{told(value)} instead of a number"
    if not isinstance(value, list):
        return f"{told(value)} instead of a list"
    if isinstance(shape[0], int) and len(value) != shape[0]:
        return f"{len(value)} numbers instead of {shape[0]}"
    if len(shape) == 1:
        wrong = next((item for item in value if not number(item)), None)
        return f"{told(wrong)} among numbers" if wrong is not None or None in value else None
    return next((reason for item in value if (reason := _check_numbers(item, shape[1:], number)) is not None), None)


def _column(values: list[Any], item: FieldSpec, where: str) -> tuple[Column, tuple[str, ...] | None]:
    import torch

    from specdl.data.columns import of_lengths, strings

    dtype = None if item.type.text else getattr(torch, item.dtype)
    if item.type.text:
        return strings(values), None
    if item.is_class:
        words = [str(int(value) if isinstance(value, bool) else value) for value in values]
        return class_indices(words, item, where)
    if item.type.ragged:
        lengths = torch.tensor([len(value) for value in values], dtype=torch.int64)
        flat = [number for value in values for number in value]
        inner = [size for size in item.shape[1:] if isinstance(size, int)]
        return of_lengths(torch.tensor(flat, dtype=dtype).reshape(-1, *inner), lengths, item.padding), None
    sizes = [size for size in item.shape if isinstance(size, int)]
    return torch.tensor(values, dtype=dtype).reshape(len(values), *sizes), None


def no_column(where: str, column: str, known: Sequence[str]) -> Exception:
    """There is no such column."""
    listed = ", ".join(f"`{name}`" for name in known[:12])
    return unusable(f"`{where}` has no column `{column}`", did_you_mean(column, known) or f"it has {listed}")


__all__ = ["ABSENT", "Rows", "check_fields", "column_of", "no_column", "stacked", "told"]
