"""What people call the parts of a data set, in folders and in tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from specdl.data.sources.problems import unusable

if TYPE_CHECKING:
    import torch

PARTS: dict[str, str] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""Their names, in small letters."""


def positions(words: Sequence[str], column: str) -> Mapping[str, torch.Tensor]:
    """The positions of each part from a column of words. Raises `SpecError` for another word."""
    import torch

    found: dict[str, list[int]] = {}
    for position, word in enumerate(words):
        part = PARTS.get(word.strip().lower())
        if part is None:
            help = "an example is of `train`, `validation` (`val`, `valid`, `dev`) or `test`"
            raise unusable(f"example {position + 1} has `{word}` in the column `{column}`, which is no part", help)
        found.setdefault(part, []).append(position)
    if "train" not in found:
        raise unusable(f"the column `{column}` has no example of `train`")
    return {part: torch.tensor(listed) for part, listed in found.items()}
