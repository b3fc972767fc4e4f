"""Cells and arrays become the numbers of a field: as they are, or as the index of a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from specdl.data.fields import FieldSpec, real_names
from specdl.data.sources.problems import unusable
from specdl.diagnostics import did_you_mean

if TYPE_CHECKING:
    import torch

MAX_CLASSES = 100_000


def class_indices(
    words: Sequence[str], field: FieldSpec, where: str, rows: str = "row"
) -> tuple[torch.Tensor, tuple[str, ...] | None]:
    """The index of each word's class, and the names of the classes where they are known.

    Whole numbers are indices as they are; other words are names: those that the spec lists, else those that occur,
    in the order of the alphabet. `where` and `rows` say what is read in messages. Raises `SpecError`.
    """
    import torch

    words = [word.strip() for word in words]
    names = real_names(field)
    empty = [str(number + 1) for number, word in enumerate(words) if not word]
    if empty:
        raise unusable(f"{where} has nothing in {rows} {_listed(empty)}", "fill it in, or remove the row")
    if names is None or not set(words) <= set(names):
        numbers = _whole(words)
        if numbers is not None:
            return _counted(numbers, names, where), names
    if names is None:
        names = tuple(sorted(set(words)))
        if len(names) > MAX_CLASSES:
            raise unusable(f"{where} has {len(names):,} different words, which are no classes")
    index = {name: position for position, name in enumerate(names)}
    unknown = sorted(set(words) - set(index))
    if unknown:
        help = did_you_mean(unknown[0], names) or f"the spec's `classes` are {', '.join(names[:8])}"
        raise unusable(f"{where} has {_listed([f'`{word}`' for word in unknown])}, which the spec's classes lack", help)
    return torch.tensor([index[word] for word in words]), names


def _whole(words: Sequence[str]) -> list[int] | None:
    try:
        return [int(word) for word in words]
    except ValueError:
        return None


def _counted(numbers: list[int], names: tuple[str, ...] | None, where: str) -> torch.Tensor:
    import torch

    least, most = min(numbers), max(numbers)
    if least < 0 or most >= 2**63:
        raise unusable(f"{where} has {least if least < 0 else most}; the index of a class counts from 0")
    if names is not None and most >= len(names):
        raise unusable(f"{where} has the class {most}, but the spec names {len(names)} classes, counted from 0")
    return torch.tensor(numbers)


def _listed(items: Sequence[str], most: int = 8) -> str:
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


__all__ = ["class_indices"]
