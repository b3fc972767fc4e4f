"""Objectives that learn a vector for each word from its neighbours: skip-gram, CBOW, and GloVe's counts.

The texts of a part are laid end to end, without special and unknown tokens; no window reaches from one text into
another. An example is a place in them, and what is drawn there differs from epoch to epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from specdl.data.transforms.base import Transform, fresh
from specdl.data.transforms.language import one_field
from specdl.data.transforms.text import OfTokens
from specdl.ir.types import TensorType

if TYPE_CHECKING:
    import torch

    from specdl.data.columns import Column, Ragged, Windows

POWER = 0.75
"""What frequencies are raised to where words are drawn that are no neighbours (Mikolov and others, 2013)."""


class _Neighbours(OfTokens):
    """Base of those that draw words around a place."""

    arranged: ClassVar[int] = 1
    random: ClassVar[bool] = True
    informed: ClassVar[bool] = True
    objective: ClassVar[bool] = True
    main: ClassVar[str | None] = "window"
    reference: ClassVar[str] = "https://arxiv.org/abs/1310.4546"

    window: int = Field(
        default=5, ge=1, le=1000, description="How far a neighbour may be. Near ones are drawn more often."
    )
    negatives: int = Field(
        default=5,
        ge=0,
        description="Words that are no neighbours, drawn for each example by their frequency to the "
        "power of 0.75; 0 for none, and a softmax over all words.",
    )
    subsample: float | None = Field(
        default=None, gt=0, lt=1, description="The frequency beyond which a word is left out at random: 1e-3, say."
    )

    def evaluation(self) -> tuple[Transform, ...]:
        return (self,)

    def arrange(self, fields: Sequence[Column]) -> tuple[Column, ...]:
        import torch

        from specdl.data.columns import Windows, as_ragged

        texts = _ordinary(as_ragged(fields[0]), self.vocabulary.special)
        counts = torch.bincount(texts.values, minlength=max(self.vocabulary.size, 1)).double()
        if self.subsample is not None:
            texts = _subsampled(texts, counts, self.subsample)
        places, lengths = texts.places(), texts.lengths.repeat_interleave(texts.lengths)
        starts = (lengths > 1).nonzero().flatten()
        if not len(starts):
            raise ValueError("has no text of two words")
        firsts = starts - places[starts]
        noise = counts.pow(POWER).cumsum(0)
        return (Windows(texts.values, starts, firsts, firsts + lengths[starts] - 1, table=noise / noise[-1]),)

    def _with_others(
        self, words: torch.Tensor, table: torch.Tensor | None, generator: torch.Generator
    ) -> tuple[torch.Tensor, ...]:
        """Words `[N]` with others behind them, `[N, 1 + negatives]`, and which of them are meant (1, then 0)."""
        import torch

        if not self.negatives:
            return (words,)
        assert table is not None
        drawn = _draw(table, (len(words), self.negatives), generator)
        again = _draw(table, (len(words), self.negatives), generator)
        others = torch.where(drawn == words[:, None], again, drawn)
        label = torch.zeros(len(words), 1 + self.negatives, device=words.device)
        label[:, 0] = 1
        return torch.cat([words[:, None], others], dim=1), label

    def _types(self, batch: Any) -> tuple[TensorType, ...]:
        if not self.negatives:
            return (TensorType((batch,), "int64"),)
        return TensorType((batch, 1 + self.negatives), "int64"), TensorType((batch, 1 + self.negatives))


class SkipGram(_Neighbours):
    """A word and one of its neighbours: `word, context, label = skip_gram(tokens)`.

    With `negatives`, `context` is `[1 + negatives]`: the neighbour and then words that are none, and `label` says so
    (1, 0, …) for `bce_with_logits`. Without, `word, context = skip_gram(tokens): {negatives: 0}`.
    """

    name: ClassVar[str] = "skip_gram"

    def holds_tokens(self) -> tuple[bool, ...]:
        return True, True, False

    def infer_fields(self, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
        batch = one_field(types, self.name).shape[0]
        return TensorType((batch,), "int64"), *self._types(batch)

    def apply(self, fields: Sequence[Any], generator: torch.Generator) -> tuple[Any, ...]:
        import torch

        windows: Windows = fields[0]
        at = windows.starts
        left, right = at - windows.first, windows.last - at
        # A word at distance d lies within a window of random size as often as window - d + 1.
        shares = torch.arange(self.window, 0, -1, dtype=torch.float64).cumsum(0)
        distance = _draw(shares / shares[-1], (len(at),), generator).to(at.device) + 1
        distance = torch.minimum(distance, torch.maximum(left, right))
        backward = (torch.rand(len(at), generator=generator) < 0.5).to(at.device)
        backward = torch.where(backward, distance <= left, distance > right)
        context = windows.stream[torch.where(backward, at - distance, at + distance)]
        return windows.stream[at], *self._with_others(context, windows.table, generator)


class Cbow(_Neighbours):
    """A word and all its neighbours: `context, word, label = cbow(tokens)`.

    `context` are the words within a window of random size. With `negatives`, `word` is `[1 + negatives]`: the word and
    then others, and `label` says so (1, 0, …). Without, `context, word = cbow(tokens): {negatives: 0}`.
    """

    name: ClassVar[str] = "cbow"

    def holds_tokens(self) -> tuple[bool, ...]:
        return True, True, False

    def infer_fields(self, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
        batch = one_field(types, self.name).shape[0]
        return TensorType((batch, fresh(most=2 * self.window)), "int64"), *self._types(batch)

    def apply(self, fields: Sequence[Any], generator: torch.Generator) -> tuple[Any, ...]:
        import torch

        from specdl.data.columns import of_lengths

        windows: Windows = fields[0]
        at = windows.starts
        reach = torch.randint(1, self.window + 1, (len(at),), generator=generator).to(at.device)
        steps = torch.arange(-self.window, self.window + 1, device=at.device)
        places = at[:, None] + steps
        within = (steps != 0) & (steps.abs() <= reach[:, None])
        within &= (places >= windows.first[:, None]) & (places <= windows.last[:, None])
        context = of_lengths(windows.stream[places[within]], within.sum(1), self.vocabulary.padding)
        return context, *self._with_others(windows.stream[at], windows.table, generator)


class Cooccurrence(OfTokens):
    """How often two words stand near each other, as GloVe counts: `word, context, count = cooccurrence(tokens): 10`.

    An example is a pair of words that occurs; a pair at distance d counts 1/d, in both directions.
    """

    name: ClassVar[str] = "cooccurrence"
    main: ClassVar[str | None] = "window"
    reference: ClassVar[str] = "https://nlp.stanford.edu/pubs/glove.pdf"
    arranged: ClassVar[int] = 3
    informed: ClassVar[bool] = True
    objective: ClassVar[bool] = True

    window: int = Field(default=10, ge=1, le=1000, description="How far the other word may be.")

    def holds_tokens(self) -> tuple[bool, ...]:
        return True, True, False

    def infer_fields(self, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
        batch = one_field(types, self.name).shape[0]
        word = TensorType((batch,), "int64")
        return word, word, TensorType((batch,))

    def arrange(self, fields: Sequence[Column]) -> tuple[Column, ...]:
        import torch

        from specdl.data.columns import as_ragged

        texts = _ordinary(as_ragged(fields[0]), self.vocabulary.special)
        words, owners, size = texts.values, texts.owners(), max(self.vocabulary.size, 1)
        keys = words.new_zeros(0)
        sums = torch.zeros(0, dtype=torch.float64, device=words.device)
        for distance in range(1, min(self.window, max(len(words) - 1, 0)) + 1):
            near = owners[distance:] == owners[:-distance]
            first, second = words[:-distance][near], words[distance:][near]
            both = torch.cat([first * size + second, second * size + first])
            found, counts = torch.unique(both, return_counts=True)
            # Summed up distance by distance: all pairs at once would take the window times the memory.
            keys, places = torch.unique(torch.cat([keys, found]), return_inverse=True)
            amounts = torch.cat([sums, counts.double() / distance])
            sums = torch.zeros(len(keys), dtype=torch.float64, device=words.device).index_add_(0, places, amounts)
        if not len(keys):
            raise ValueError("has no text of two words")
        return keys // size, keys % size, sums.float()

    def apply(self, fields: Sequence[Any], generator: torch.Generator) -> tuple[Any, ...]:
        return tuple(fields)


def _ordinary(texts: Ragged, special: frozenset[int]) -> Ragged:
    """Texts without the tokens that stand for none."""
    import torch

    unwanted = torch.tensor(sorted(special), dtype=torch.int64, device=texts.values.device)
    return texts.keep(~torch.isin(texts.values, unwanted))


def _subsampled(texts: Ragged, counts: torch.Tensor, limit: float) -> Ragged:
    """Texts without some of their frequent words, decided once: of word2vec's program, not of its paper."""
    import torch

    frequency = counts / counts.sum().clamp(min=1)
    kept = ((frequency / limit).sqrt() + 1) * limit / frequency.clamp(min=1e-12)
    drawn = torch.rand(len(texts.values), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return texts.keep(drawn.to(texts.values.device) < kept[texts.values])


def _draw(table: torch.Tensor, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Numbers drawn by a cumulative distribution that ends in 1."""
    import torch

    drawn = torch.rand(shape, generator=generator, dtype=torch.float64).to(table.device)
    return torch.searchsorted(table, drawn, right=True).clamp(max=len(table) - 1)


__all__ = ["Cbow", "Cooccurrence", "SkipGram"]
