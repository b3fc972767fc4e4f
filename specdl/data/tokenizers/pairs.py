"""Two texts as one sequence: what stands around them, which of them loses tokens, and which token is of which."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from specdl.data.columns import Ragged, concatenate

if TYPE_CHECKING:
    import torch


def join_pairs(
    one: Ragged,
    other: Ragged,
    ends: tuple[int | None, int | None],
    length: int | None,
    padding: int,
    *,
    keep_start: bool = True,
) -> tuple[Ragged, Ragged]:
    """The sequences, and 0 or 1 for each token: `ends` stand before the first text, and behind both.

    With a `length`, the longer text is cut to what the shorter one leaves, both where that is less than half: as
    `tokenizers` does with `longest_first`.
    """
    begin, end = ends
    if length is not None:
        room = max(length - (begin is not None) - 2 * (end is not None), 0)
        one, other = _shortened(one, other, room, keep_start)
    one, other = one.surrounded(begin, end), other.surrounded(None, end)
    tokens = _interleaved(one, other)
    segments = _interleaved(one.with_values(one.values * 0), other.with_values(other.values * 0 + 1))
    return replace(tokens, padding=padding), replace(segments, padding=0)


def _interleaved(one: Ragged, other: Ragged) -> Ragged:
    """Each example of one column, and behind it that of another."""
    import torch

    both = concatenate([one, other])
    assert isinstance(both, Ragged)
    order = torch.arange(len(both), device=both.offsets.device).view(2, -1).T.flatten()
    ordered = both.index_select(0, order)
    return replace(ordered, offsets=ordered.offsets[::2])


def _shortened(one: Ragged, other: Ragged, room: int, keep_start: bool) -> tuple[Ragged, Ragged]:
    import torch

    a, b = one.lengths, other.lengths
    least = torch.minimum(a, b)
    most = torch.maximum(least, room - least)
    over = least + most > room
    least, most = torch.where(over, room // 2, least), torch.where(over, room - room // 2, most)
    swapped, fits = a > b, a + b <= room
    first = torch.where(fits, a, torch.where(swapped, most, least))
    second = torch.where(fits, b, torch.where(swapped, least, most))
    return _limited(one, first, keep_start), _limited(other, second, keep_start)


def _limited(column: Ragged, lengths: torch.Tensor, keep_start: bool) -> Ragged:
    places = column.places()
    wanted = lengths.repeat_interleave(column.lengths)
    if not keep_start:
        places = column.lengths.repeat_interleave(column.lengths) - 1 - places
    return column.keep(places < wanted)


__all__ = ["join_pairs"]
