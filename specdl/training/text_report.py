"""What `specdl data` tells of text: how long it is, in characters and in tokens, what of the vocabulary it uses, and
what a batch of training holds, in words again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from specdl.data.columns import Columns, Ragged, Strings
from specdl.data.examples import Stacked
from specdl.data.tokenizers.base import Tokenizer
from specdl.data.tokenizers.vocabulary import Vocabulary
from specdl.data.transforms.text import IGNORED, Tokenize
from specdl.spec.data import Data
from specdl.spec.recipe import Recipe
from specdl.training.examples import Opened, steps_of

FREQUENT = 12
"""Tokens that are listed."""

ROWS, WIDTH = 3, 160
"""Examples of a batch that are shown, and tokens of each."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long texts are: `most` is what all but one in twenty don't exceed."""

    shortest: int
    median: int
    mean: float
    most: int
    longest: int
    total: int


@dataclass(frozen=True, slots=True)
class TextReport:
    """One field of tokens. `unknown` and `used` are shares by part: of tokens, and of the vocabulary but
    for its special tokens.

    `cut` is the share of the texts that are as long as they may be, so that most of them lost something.
    """

    field: str
    source: str
    tokenizer: str
    vocabulary: int
    characters: Lengths
    tokens: Lengths
    used: Mapping[str, float]
    unknown: Mapping[str, float]
    cut: float | None
    frequent: tuple[tuple[str, int], ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def lengths_of(numbers: torch.Tensor) -> Lengths:
    """The lengths of texts, told."""
    if not len(numbers):
        return Lengths(0, 0, 0.0, 0, 0, 0)
    ordered = numbers.sort().values
    most = int(ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)])
    total = int(ordered.sum())
    return Lengths(
        int(ordered[0]), int(ordered[len(ordered) // 2]), total / len(ordered), most, int(ordered[-1]), total
    )


def text_reports(
    data: Data, loaded: Stacked, parts: Mapping[str, torch.Tensor], opened: Opened
) -> tuple[TextReport, ...]:
    """A report of what each `tokenize` entry makes. Those behind an entry that draws, or makes examples, have none."""
    columns: Columns = dict(loaded.fields)
    found: list[TextReport] = []
    generator = torch.Generator()
    for entry in data.transforms:
        if entry.transform.arranges() or entry.transform.random or entry.transform.varies():
            break
        if not entry.when.training:
            continue
        text = columns.get(entry.inputs[0])
        for step in steps_of([entry], opened.tokenizers, training=True):
            step.run(columns, generator)
        if isinstance(entry.transform, Tokenize) and isinstance(text, Strings) and entry.tokenizer is not None:
            tokens = columns[entry.outputs[0]]
            assert isinstance(tokens, Ragged)
            tokenizer = opened.tokenizers[entry.tokenizer]
            found.append(_report(entry.outputs[0], entry.inputs[0], text, tokens, tokenizer, entry.transform, parts))
    return tuple(found)


def _report(
    field: str,
    source: str,
    text: Strings,
    tokens: Ragged,
    tokenizer: Tokenizer,
    transform: Tokenize,
    parts: Mapping[str, torch.Tensor],
) -> TextReport:
    vocabulary = tokenizer.vocabulary
    counts = {
        name: torch.bincount(tokens.index_select(0, positions).values, minlength=vocabulary.size)
        for name, positions in parts.items()
    }
    total = sum(counts.values(), torch.zeros(vocabulary.size, dtype=torch.int64))
    often = total.argsort(descending=True, stable=True)[:FREQUENT].tolist()
    unknown = vocabulary.roles.get("unk")
    return TextReport(
        field=field,
        source=source,
        tokenizer=tokenizer.kind,
        vocabulary=vocabulary.size,
        characters=lengths_of(torch.tensor([len(item) for item in text.values])),
        tokens=lengths_of(tokens.lengths),
        used={name: _used(item, vocabulary) for name, item in counts.items()},
        unknown={name: _share(item, unknown) for name, item in counts.items()},
        cut=None if transform.max_length is None else float((tokens.lengths >= transform.max_length).float().mean()),
        frequent=tuple((vocabulary.tokens[at], int(total[at])) for at in often if total[at]),
    )


def _used(counts: torch.Tensor, vocabulary: Vocabulary) -> float:
    """The share of the vocabulary that occurs, without the tokens that stand for no text."""
    seen = set((counts > 0).nonzero().flatten().tolist()) - vocabulary.special
    return len(seen) / max(vocabulary.size - len(vocabulary.special), 1)


def _share(counts: torch.Tensor, token: int | None) -> float:
    return 0.0 if token is None else int(counts[token]) / max(int(counts.sum()), 1)


def decoded_batch(recipe: Recipe, data: Data, opened: Opened) -> list[dict[str, str]]:
    """The first examples of the first batch of training, tokens as text; `·` is what a loss leaves out."""
    batch = next(opened.examples.training(0, range(1), data.batch_size))
    rows = min(ROWS, len(next(iter(batch.values()))))
    shown = [name for name in batch if name not in data.brought]
    return [{name: _told(name, batch, row, data, opened) for name in shown} for row in range(rows)]


def _told(name: str, batch: Mapping[str, torch.Tensor], row: int, data: Data, opened: Opened) -> str:
    value, at = batch[name][row], data.vocabularies.get(name)
    mask = batch.get(f"{name}_mask")
    if mask is not None and name in data.paddings and f"{name}_mask" in data.brought:
        value = value[mask[row]]
    numbers = value.flatten()[:WIDTH].tolist()
    names = opened.classes.get(name)
    if names is not None and value.dim() == 0 and 0 <= numbers[0] < len(names):
        return str(names[numbers[0]])
    if at is None:
        return " ".join(f"{number:g}" if isinstance(number, float) else str(number) for number in numbers)
    tokenizer = opened.tokenizers[at]
    return _text(numbers, tokenizer)


def _text(numbers: Sequence[int], tokenizer: Tokenizer) -> str:
    """Tokens as text, with a dot for each that a loss leaves out."""
    pieces: list[str] = []
    run: list[int] = []
    for number in [*numbers, None]:
        if number is not None and number != IGNORED:
            run.append(number)
            continue
        if run:
            pieces.append(tokenizer.decode(run, special=True))
            run = []
        if number is not None:
            pieces.append("·")
    return "".join(pieces)


__all__ = ["Lengths", "TextReport", "decoded_batch", "text_reports"]
