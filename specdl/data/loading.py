"""Reading examples from files before a run: all of them into memory, or a look at each; and what can't be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from specdl.data.columns import Column, Columns, Ragged, Strings, concatenate, one, ragged, strings
from specdl.data.examples import Bad, Records
from specdl.data.images import Unreadable
from specdl.data.pipeline import Step
from specdl.diagnostics import Diagnostic, Note, Span, SpecError
from specdl.ir.dims import product
from specdl.ir.types import TensorType

MEMORY = 2**30
"""Bytes that examples may take where nothing is said about it."""

SHOWN = 100
"""Files that a message lists."""


Result = TypeVar("Result")


def each(function: Callable[[int], Result], positions: Iterable[int], workers: int) -> Iterator[Result]:
    """The function's results in order, worked out by that many threads."""
    if not workers:
        yield from map(function, positions)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="specdl-data") as executor:
        try:
            yield from executor.map(function, positions)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def find_bad(records: Records, workers: int, *, decode: bool) -> list[Bad]:
    """The examples that can't be used: decoded one by one, or only looked at."""

    def look(position: int) -> Bad | None:
        try:
            if decode:
                records.get(position)
            else:
                records.inspect(position)
        except Unreadable as error:
            return Bad(position, records.name(position), str(error))
        return None

    return [bad for bad in each(look, range(len(records)), workers) if bad is not None]


def fits_memory(types: dict[str, TensorType], count: int, limit: int = MEMORY) -> bool:
    """Whether that many examples of these types (in a batch) can be kept: of one size, and not too many."""
    total = 0
    for type in types.values():
        if type.text:
            continue
        elements = product(type.shape[1:])
        if not isinstance(elements, int):
            return False
        total += elements * getattr(torch, type.dtype).itemsize
    return total * count <= limit


def decode_all(records: Records, steps: Sequence[Step], workers: int) -> tuple[Columns, list[Bad]]:
    """All examples behind some steps, stacked, and those that can't be used, whose rows are zeros or empty.

    Raises `SpecError` where examples differ in size.
    """
    generator = torch.Generator()

    def make(position: int) -> Columns | Bad:
        try:
            fields: Columns = {name: one(value) for name, value in records.get(position).items()}
        except Unreadable as error:
            return Bad(position, records.name(position), str(error))
        for step in steps:
            step.run(fields, generator)
        return fields

    stacked: dict[str, torch.Tensor] = {}
    others: dict[str, dict[int, Column]] = {}
    bad: list[Bad] = []
    for position, found in enumerate(each(make, range(len(records)), workers)):
        if isinstance(found, Bad):
            bad.append(found)
            continue
        for name, value in found.items():
            if not isinstance(value, torch.Tensor):
                others.setdefault(name, {})[position] = value
                continue
            if name not in stacked:
                stacked[name] = torch.zeros((len(records), *value.shape[1:]), dtype=value.dtype)
            if stacked[name].shape[1:] != value.shape[1:]:
                raise SpecError([different_sizes(name, value[0], stacked[name][0])])
            stacked[name][position] = value[0]
    return stacked | {name: _joined(columns, len(records)) for name, columns in others.items()}, bad


def _joined(columns: Mapping[int, Column], count: int) -> Column:
    """Columns of single examples as one; those that are absent are empty."""
    first = next(iter(columns.values()))
    empty = first
    if isinstance(first, Ragged):
        empty = ragged([first.values[:0]], first.padding)
    elif isinstance(first, Strings):
        empty = strings([""] if first.offsets is None else [[]])
    return concatenate([columns.get(position, empty) for position in range(count)])


def different_sizes(name: str, one: torch.Tensor, other: torch.Tensor) -> Diagnostic:
    """Examples can't be one batch."""
    message = f"`{name}` is {list(other.shape)} in one example and {list(one.shape)} in another"
    help = f"bring them to one size: `{name} = resize({name}): [224, 224]`, or a crop behind a `resize`"
    return Diagnostic("E0535", message, help=help)


def bad_files(bad: Sequence[Bad], count: int, span: Span | None, *, allowed: float = 0.0) -> SpecError:
    """The error that lists them."""
    notes = [Note(f"`{item.name}` {item.reason}") for item in bad[:SHOWN]]
    if len(bad) > SHOWN:
        notes.append(Note(f"and {len(bad) - SHOWN:,} more; `specdl data --json` lists all"))
    share = f", more than the {allowed:.1%} that may be skipped" if allowed else ""
    noun = "example" if count == 1 else "examples"
    message = f"{len(bad):,} of {count:,} {noun} can't be read{share}"
    help = "mend or remove them, or let a share of them be left out: `data: {on_bad: {skip: 0.01}}`"
    return SpecError([Diagnostic("E0532", message, span, notes=tuple(notes), help=None if allowed else help)])
