"""The values of a field over many examples: a tensor, numbers of another length in each example, or strings.

A column has the examples on its first axis and knows how to give some of them (`index_select`, as a tensor does) and
how to move to a device, so what serves batches treats all kinds alike. `collate` makes tensors of a batch: what
differs in length is padded to the longest, and a mask and the lengths come with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Ragged:
    """Numbers of another length in each example: those of example i are `values[offsets[i]:offsets[i + 1]]`.

    `values` is `[total, ...]`, `offsets` `[examples + 1]`; `padding` fills up a batch.
    """

    values: torch.Tensor
    offsets: torch.Tensor
    padding: int | float = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> torch.Tensor:
        """How long each example is, `[examples]`."""
        return self.offsets.diff()

    def row(self, position: int) -> torch.Tensor:
        """The numbers of one example."""
        return self.values[int(self.offsets[position]) : int(self.offsets[position + 1])]

    def rows(self) -> tuple[torch.Tensor, ...]:
        """The numbers of each example."""
        found: tuple[torch.Tensor, ...] = self.values.split(self.lengths.tolist())  # type: ignore[no-untyped-call]
        return found

    def owners(self) -> torch.Tensor:
        """The example that each value belongs to, `[total]`."""
        import torch

        examples = torch.arange(len(self), device=self.offsets.device)
        return examples.repeat_interleave(self.lengths, output_size=len(self.values))

    def places(self) -> torch.Tensor:
        """The position of each value in its example, `[total]`."""
        import torch

        starts = self.offsets[:-1].repeat_interleave(self.lengths, output_size=len(self.values))
        return torch.arange(len(self.values), device=self.values.device) - starts

    def index_select(self, dim: int, indices: torch.Tensor) -> Ragged:
        """Some of the examples, in the order of the indices."""
        import torch

        assert dim == 0
        starts = self.offsets[indices]
        offsets = _offsets(self.offsets[indices + 1] - starts)
        total = int(offsets[-1])
        moved = (starts - offsets[:-1]).repeat_interleave(offsets.diff(), output_size=total)
        return replace(self, values=self.values[torch.arange(total, device=moved.device) + moved], offsets=offsets)

    def to(self, device: torch.device) -> Ragged:
        """The same on a device."""
        return replace(self, values=self.values.to(device), offsets=self.offsets.to(device))

    def with_values(self, values: torch.Tensor, padding: int | float | None = None) -> Ragged:
        """Other values of the same lengths."""
        return Ragged(values, self.offsets, self.padding if padding is None else padding)

    def keep(self, kept: torch.Tensor) -> Ragged:
        """Without the values where `kept` (bool, `[total]`) is false."""
        import torch

        counts = torch.zeros(len(self.values) + 1, dtype=torch.int64, device=kept.device)
        counts[1:] = kept.cumsum(0)
        return replace(self, values=self.values[kept], offsets=counts[self.offsets])

    def limited(self, length: int, *, end: bool = True) -> Ragged:
        """Each example cut to a length: at its end, or at its start."""
        if not len(self) or int(self.lengths.max()) <= length:
            return self
        places = self.places()
        if not end:
            places = self.lengths.repeat_interleave(self.lengths, output_size=len(places)) - 1 - places
        return self.keep(places < length)

    def surrounded(self, before: int | float | None, after: int | float | None) -> Ragged:
        """Each example with a value before it, and one behind it, where they are given."""
        import torch

        extra = (before is not None) + (after is not None)
        if not extra:
            return self
        offsets = self.offsets + extra * torch.arange(len(self.offsets), device=self.offsets.device)
        values = self.values.new_empty((int(offsets[-1]), *self.values.shape[1:]))
        inner = torch.arange(len(self.values), device=self.values.device) + extra * self.owners()
        values[inner + (before is not None)] = self.values
        if before is not None:
            values[offsets[:-1]] = before
        if after is not None:
            values[offsets[1:] - 1] = after
        return replace(self, values=values, offsets=offsets)

    def padded(self) -> torch.Tensor:
        """One tensor `[examples, longest, ...]`."""
        found = self.values.new_full((*self.mask().shape, *self.values.shape[1:]), self.padding)
        found[self.mask()] = self.values
        return found

    def mask(self) -> torch.Tensor:
        """Where `padded` has values of the examples: bool `[examples, longest]`."""
        import torch

        lengths = self.lengths
        longest = int(lengths.max()) if len(lengths) else 0
        return torch.arange(longest, device=lengths.device) < lengths[:, None]


@dataclass(frozen=True, slots=True)
class Strings:
    """Texts: one an example, or several with `offsets`: those of example i are `values[offsets[i]:offsets[i + 1]]`."""

    values: Sequence[str]
    offsets: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    def row(self, position: int) -> str | list[str]:
        """The text of one example, or its texts."""
        if self.offsets is None:
            return self.values[position]
        return list(self.values[self.offsets[position] : self.offsets[position + 1]])

    def index_select(self, dim: int, indices: torch.Tensor) -> Strings:
        """Some of the examples, in the order of the indices."""
        assert dim == 0
        if self.offsets is None:
            return Strings([self.values[at] for at in indices.tolist()])
        return strings([self.row(at) for at in indices.tolist()])

    def to(self, device: torch.device) -> Strings:
        """Texts are on no device."""
        return self


@dataclass(frozen=True, slots=True)
class Windows:
    """Stretches of one long sequence, the examples of a corpus that is cut: where each starts in `stream`.

    `first` and `last` are where each could start, for a start that is drawn, or what it is within; `documents` numbers
    the documents that `stream` is made of, value by value; `table` is what else batches are made with.
    """

    stream: torch.Tensor
    starts: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor
    documents: torch.Tensor | None = None
    table: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.starts)

    def index_select(self, dim: int, indices: torch.Tensor) -> Windows:
        """Some of the examples, in the order of the indices."""
        assert dim == 0
        return replace(self, starts=self.starts[indices], first=self.first[indices], last=self.last[indices])

    def to(self, device: torch.device) -> Windows:
        """The same on a device."""
        return Windows(
            self.stream.to(device),
            self.starts.to(device),
            self.first.to(device),
            self.last.to(device),
            None if self.documents is None else self.documents.to(device),
            None if self.table is None else self.table.to(device),
        )


@dataclass(frozen=True, slots=True)
class Chosen:
    """Some examples of a column that is kept whole, since others of it may be drawn: those at `indices`."""

    items: Ragged
    indices: torch.Tensor

    def __len__(self) -> int:
        return len(self.indices)

    def index_select(self, dim: int, indices: torch.Tensor) -> Chosen:
        """Some of the examples, in the order of the indices."""
        assert dim == 0
        return replace(self, indices=self.indices[indices])

    def to(self, device: torch.device) -> Chosen:
        """The same on a device."""
        return Chosen(self.items.to(device), self.indices.to(device))


if TYPE_CHECKING:
    Column = Union[torch.Tensor, Ragged, Strings, Windows, Chosen]
    """The values of a field."""

    Columns = dict[str, Column]
    Tensors = dict[str, torch.Tensor]
else:
    Column = Columns = Tensors = Any  # torch is not imported before it is needed


HIDDEN = "#"
"""What is in the name of a column that is no field: what an arrangement keeps for the step behind it."""


def _offsets(lengths: torch.Tensor) -> torch.Tensor:
    import torch

    found = lengths.new_zeros(len(lengths) + 1)
    torch.cumsum(lengths, 0, out=found[1:])
    return found


def ragged(rows: Sequence[torch.Tensor], padding: int | float = 0) -> Ragged:
    """Rows of any lengths as one column. There must be one at least."""
    import torch

    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    return Ragged(torch.cat(list(rows)), _offsets(lengths), padding)


def of_lengths(values: torch.Tensor, lengths: torch.Tensor, padding: int | float = 0) -> Ragged:
    """Values one example after another, with the length of each."""
    return Ragged(values, _offsets(lengths), padding)


def as_ragged(column: Column) -> Ragged:
    """A column of numbers as one of any lengths: each row of a tensor `[N, T, ...]` is as long as all others."""
    import torch

    if isinstance(column, Ragged):
        return column
    assert isinstance(column, torch.Tensor)
    length = column.shape[1]
    offsets = torch.arange(len(column) + 1, device=column.device) * length
    return Ragged(column.reshape(-1, *column.shape[2:]), offsets)


def strings(rows: Sequence[str | Sequence[str]]) -> Strings:
    """Texts, or lists of texts, as one column."""
    if all(isinstance(row, str) for row in rows):
        return Strings([str(row) for row in rows])
    offsets = [0]
    for row in rows:
        offsets.append(offsets[-1] + len(row))
    return Strings([text for row in rows for text in row], tuple(offsets))


def one(value: object) -> Column:
    """The value of one example as a column of it alone."""
    import torch

    if isinstance(value, torch.Tensor):
        return value[None]
    if isinstance(value, (str, list, tuple)):
        return strings([value])
    raise TypeError(f"a field is a tensor or text, got {type(value).__name__}")


def concatenate(columns: Sequence[Column], padding: int | float | None = None) -> Column:
    """Columns one after another. With a `padding`, tensors may differ in length; else `ValueError` is raised."""
    import torch

    first = columns[0]
    if isinstance(first, torch.Tensor):
        tensors = [column for column in columns if isinstance(column, torch.Tensor)]
        if all(tensor.shape[1:] == first.shape[1:] for tensor in tensors):
            return torch.cat(tensors)
        if padding is None:
            raise ValueError("tensors of several sizes")
        return ragged([row for tensor in tensors for row in tensor], padding)
    if isinstance(first, Ragged):
        rows = [column for column in columns if isinstance(column, Ragged)]
        lengths = torch.cat([column.lengths for column in rows])
        return Ragged(torch.cat([column.values for column in rows]), _offsets(lengths), first.padding)
    assert isinstance(first, Strings)
    return strings([column.row(at) for column in columns if isinstance(column, Strings) for at in range(len(column))])


def collate(batch: Mapping[str, Column], wanted: Mapping[str, int | float]) -> Tensors:
    """The tensors of a batch: `wanted` are the fields that differ in length, with what fills them up.

    Each of those brings `<name>_mask` (bool, true = real) and `<name>_length` with it, unless the batch has a field of
    that name. Texts are left out: no network takes them.
    """
    import torch

    found: Tensors = {}
    for name, column in batch.items():
        if HIDDEN in name:
            continue
        if isinstance(column, torch.Tensor):
            found[name] = column
        if isinstance(column, Ragged) or (isinstance(column, torch.Tensor) and name in wanted):
            rows = as_ragged(column)
            if isinstance(column, Ragged):
                found[name] = rows.padded()
            _add(found, batch, f"{name}_mask", rows.mask())
            _add(found, batch, f"{name}_length", rows.lengths)
    return found


def _add(found: Tensors, batch: Iterable[str], name: str, value: torch.Tensor) -> None:
    if name not in batch:
        found[name] = value


__all__ = [
    "Chosen",
    "Column",
    "Columns",
    "Ragged",
    "Strings",
    "Tensors",
    "Windows",
    "as_ragged",
    "collate",
    "concatenate",
    "of_lengths",
    "one",
    "ragged",
    "strings",
]
