"""What is in a spec's data, before anything is trained on it: counts, sizes, ranges, and what is wrong with it."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from specdl.data.columns import one
from specdl.data.examples import Bad, Records, Stacked
from specdl.data.images import Unreadable
from specdl.data.loading import each
from specdl.data.pipeline import EVALUATION, seed_of
from specdl.diagnostics import Diagnostics
from specdl.ir.types import TensorType
from specdl.spec.data import Data
from specdl.spec.recipe import Recipe
from specdl.training.examples import Opened, check_opened, divide, open_loaded, open_pipeline, open_source
from specdl.training.model import Model
from specdl.training.text_report import TextReport, decoded_batch, text_reports

CHANNELS = 8
"""A field with more channels than this has its mean and deviation told for all of them together."""


@dataclass(slots=True)
class FieldReport:
    """The numbers of one field over all examples. `mean` and `std` are for each channel, or one for all."""

    type: str
    low: float = math.inf
    high: float = -math.inf
    smallest: tuple[int, ...] | None = None
    largest: tuple[int, ...] | None = None
    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Examples with the same first field. `parts` and `labels` are those that they are spread over."""

    names: tuple[str, ...]
    parts: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DataReport:
    """What `specdl data` tells. `classes` are, by field, the counts of each class in each part."""

    source: str
    parts: Mapping[str, int]
    fields: Mapping[str, FieldReport]
    behind: Mapping[str, FieldReport]
    classes: Mapping[str, Mapping[str, Mapping[str, int]]]
    unreadable: tuple[Bad, ...]
    duplicates: tuple[Duplicates, ...]
    problems: tuple[str, ...]
    texts: tuple[TextReport, ...] = ()
    batch: Sequence[Mapping[str, str]] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain data."""

        def fields(items: Mapping[str, FieldReport]) -> dict[str, Any]:
            return {
                name: {
                    "type": item.type,
                    "low": _finite(item.low),
                    "high": _finite(item.high),
                    "smallest": item.smallest,
                    "largest": item.largest,
                    "mean": item.mean,
                    "std": item.std,
                }
                for name, item in items.items()
            }

        return {
            "source": self.source,
            "parts": dict(self.parts),
            "fields": fields(self.fields),
            "behind_transforms": fields(self.behind),
            "classes": {name: {key: dict(row) for key, row in table.items()} for name, table in self.classes.items()},
            "unreadable": [{"name": item.name, "reason": item.reason} for item in self.unreadable],
            "duplicates": [
                {"names": list(item.names), "parts": list(item.parts), "labels": list(item.labels)}
                for item in self.duplicates
            ],
            "problems": list(self.problems),
            "texts": [item.as_json() for item in self.texts],
            "batch": [dict(row) for row in self.batch],
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


class _Statistics:
    """Sums over examples of one field, from which a `FieldReport` comes."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf
        self.smallest: tuple[int, ...] | None = None
        self.largest: tuple[int, ...] | None = None
        self.count = 0
        self.sums = self.squares = torch.zeros(1, dtype=torch.float64)

    def add(self, value: torch.Tensor) -> None:
        """One example, without the batch axis."""
        shape = tuple(value.shape)
        self.smallest = shape if self.smallest is None else tuple(map(min, self.smallest, shape))
        self.largest = shape if self.largest is None else tuple(map(max, self.largest, shape))
        if not value.numel():
            return
        numbers = value.to(torch.float64)
        self.low, self.high = min(self.low, float(numbers.min())), max(self.high, float(numbers.max()))
        apart = value.dim() == 3 and value.is_floating_point() and len(value) <= CHANNELS
        rows = numbers.flatten(1) if apart else numbers.reshape(1, -1)
        if self.sums.shape[0] != len(rows):
            self.sums, self.squares = (torch.zeros(len(rows), dtype=torch.float64) for _ in range(2))
        self.sums = self.sums + rows.sum(1)
        self.squares = self.squares + rows.square().sum(1)
        self.count += rows.shape[1]

    def report(self, type: TensorType) -> FieldReport:
        """The field's report."""
        if not self.count:
            return FieldReport(str(type))
        mean = self.sums / self.count
        spread = (self.squares / self.count - mean.square()).clamp(min=0).sqrt()
        return FieldReport(str(type), self.low, self.high, self.smallest, self.largest, mean.tolist(), spread.tolist())


@dataclass(frozen=True, slots=True)
class _Look:
    """What one example shows."""

    digest: bytes
    raw: Mapping[str, Any]
    behind: Mapping[str, Any]


def report(
    model: Model, recipe: Recipe, data: Data, *, tell: Callable[[int, int], None] | None = None
) -> tuple[DataReport, Stacked | Records]:
    """Decodes all examples once and tells what they are; also gives them. `tell` hears how many are done, of how many.

    Raises `SpecError` where there is no data to look at.
    """
    loaded = open_source(data)
    texts = isinstance(loaded, Stacked) and any(type.text for type in data.raw.values())
    steps = () if texts else open_pipeline(data).evaluation

    def look(position: int) -> _Look | Bad:
        try:
            raw = example(loaded, position)
        except Unreadable as error:
            assert not isinstance(loaded, Stacked)
            return Bad(position, loaded.name(position), str(error))
        fields = dict(raw)
        generator = torch.Generator().manual_seed(seed_of(recipe.train.seed, EVALUATION, position))
        for step in steps:
            step.run(fields, generator)
        return _Look(_digest(next(iter(raw.values()))), raw, fields)

    raw_numbers = {name: _Statistics() for name in data.raw}
    numbers = {name: _Statistics() for name in data.fields}
    same: dict[bytes, list[int]] = {}
    bad: list[Bad] = []
    for position, found in enumerate(each(look, range(len(loaded)), data.workers)):
        if isinstance(found, Bad):
            bad.append(found)
            continue
        same.setdefault(found.digest, []).append(position)
        for statistics, fields in ((raw_numbers, found.raw), (numbers, found.behind)):
            for name, value in fields.items():
                if name in statistics and isinstance(value, torch.Tensor):
                    statistics[name].add(value[0])
        if tell is not None and (position + 1) % 100 == 0:
            tell(position + 1, len(loaded))
    parts, _ = divide(data, loaded, bad)
    total = len(loaded) + len(loaded.bad)
    opened: Opened | None = None
    told: tuple[TextReport, ...] = ()
    if texts and isinstance(loaded, Stacked):
        opened = open_loaded(recipe, data, loaded)
        told = text_reports(data, loaded, parts, opened)
        _add_batches(numbers, opened, data)
        bad = list(loaded.bad)
    classes = {**{name: names for name in data.raw if (names := data.source.classes(name))}, **loaded.classes}
    counts = {name: _counts(loaded, name, parts, classes.get(name)) for name in _class_fields(data, classes)}
    doubled = _duplicates(loaded, same, parts, counts, classes)
    return (
        DataReport(
            source=data.source.name,
            parts={name: len(positions) for name, positions in parts.items()},
            fields={name: raw_numbers[name].report(type) for name, type in data.raw.items()},
            behind={name: _behind(numbers[name], name, type, data) for name, type in data.fields.items()},
            classes=counts,
            unreadable=tuple(bad),
            duplicates=doubled,
            problems=tuple(_problems(model, data, classes, opened, bad, total, doubled, counts)),
            texts=told,
            batch=() if opened is None else decoded_batch(recipe, data, opened),
        ),
        loaded,
    )


def _behind(statistics: _Statistics, name: str, type: TensorType, data: Data) -> FieldReport:
    """A field behind the transforms. Numbers of tokens have no mean."""
    found = statistics.report(type)
    return replace(found, mean=[], std=[]) if name in data.vocabularies else found


LOOKED = 200
"""Batches of each part whose numbers are told, where batches are made of all examples."""


def _add_batches(numbers: Mapping[str, _Statistics], opened: Opened, data: Data) -> None:
    """Adds what is in batches of all parts: of fields that hold tokens only the sizes, since padding fills them up."""
    for part in opened.examples.parts:
        for batch in itertools.islice(opened.examples.batches(part, data.batch_size), LOOKED):
            for name, tensor in batch.items():
                lengths = batch.get(f"{name}_length") if f"{name}_length" in data.brought else None
                for row, value in enumerate(tensor if name in numbers and name not in data.brought else ()):
                    numbers[name].add(value if lengths is None else value[: int(lengths[row])])


def example(loaded: Stacked | Records, position: int) -> dict[str, Any]:
    """One example as the source gives it, its fields with a batch axis of 1. Raises `Unreadable`."""
    if isinstance(loaded, Stacked):
        chosen = torch.tensor([position])
        return {name: column.index_select(0, chosen) for name, column in loaded.fields.items()}
    return {name: one(value) for name, value in loaded.get(position).items()}


def name_of(loaded: Stacked | Records, position: int) -> str:
    """What people call an example: its file, or its number."""
    return f"example {position}" if isinstance(loaded, Stacked) else loaded.name(position)


def _digest(value: Any) -> bytes:
    if isinstance(value, torch.Tensor):
        text = f"{tuple(value.shape)} {value.dtype}".encode()
        return hashlib.blake2b(text + value.contiguous().numpy().tobytes(), digest_size=16).digest()
    return hashlib.blake2b(repr(value).encode(), digest_size=16).digest()


def _class_fields(data: Data, classes: Mapping[str, tuple[str, ...]]) -> list[str]:
    raw = {name: type for name, type in data.raw.items() if not type.text}
    return [name for name, type in raw.items() if name in classes or (type.rank == 1 and not type.floating)]


def _counts(
    loaded: Stacked | Records, name: str, parts: Mapping[str, torch.Tensor], names: Sequence[str] | None
) -> dict[str, dict[str, int]]:
    """How many examples of each class each part has."""
    values = loaded.column(name)
    if values is None:
        return {}
    most = int(values.max()) + 1 if len(values) else 0
    if names is None:
        names = [str(number) for number in range(most)]
    names = [*names, *(f"{number} (beyond)" for number in range(len(names), most))]
    found = {part: torch.bincount(values[at], minlength=len(names)).tolist() for part, at in parts.items()}
    return {word: {part: found[part][index] for part in parts} for index, word in enumerate(names)}


def _duplicates(
    loaded: Stacked | Records,
    same: Mapping[bytes, Sequence[int]],
    parts: Mapping[str, torch.Tensor],
    counts: Mapping[str, Any],
    classes: Mapping[str, tuple[str, ...]],
) -> tuple[Duplicates, ...]:
    part_of = {position: part for part, positions in parts.items() for position in positions.tolist()}
    columns = {name: column for name in counts if (column := loaded.column(name)) is not None}
    found: list[Duplicates] = []
    for positions in same.values():
        if len(positions) < 2:
            continue
        labels = {_word(int(column[at]), classes.get(name)) for name, column in columns.items() for at in positions}
        spread = {part_of[at] for at in positions if at in part_of}
        names_of = tuple(name_of(loaded, at) for at in positions)
        found.append(Duplicates(names_of, tuple(part for part in parts if part in spread), tuple(sorted(labels))))
    return tuple(found)


def _word(value: int, names: Sequence[str] | None) -> str:
    return names[value] if names is not None and value < len(names) else str(value)


def _problems(
    model: Model,
    data: Data,
    classes: Mapping[str, tuple[str, ...]],
    opened: Opened | None,
    bad: Sequence[Bad],
    count: int,
    doubled: Iterable[Duplicates],
    counts: Mapping[str, Mapping[str, Mapping[str, int]]],
) -> Iterable[str]:
    """What stands in the way of training, or makes its measures wrong, in sentences."""
    diagnostics = Diagnostics()
    check_opened(model, data, classes, {} if opened is None else opened.tokenizers, diagnostics)
    yield from (item.message for item in diagnostics.items)
    if len(bad) > count * data.on_bad:
        yield f"{len(bad):,} of {count:,} examples can't be read"
    across = [item for item in doubled if len(item.parts) > 1]
    if across:
        yield f"equal examples lie in several parts, so the measures are too good (groups: {len(across):,})"
    several = len(data.raw) == 2 and len(counts) == 1
    torn = [item for item in doubled if several and len(item.labels) > 1]
    if torn:
        yield f"equal examples have different labels (groups: {len(torn):,})"
    for name, table in counts.items():
        lacking = [word for word, row in table.items() if row.get("train") == 0 and any(row.values())]
        if lacking:
            yield f"training has no example of the {name} {', '.join(f'`{word}`' for word in lacking[:8])}"


__all__ = ["DataReport", "Duplicates", "FieldReport", "example", "name_of", "report"]
