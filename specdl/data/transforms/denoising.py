"""Objectives that damage a text for the network to restore it: T5's spans, BART's infilling, and the shift to the right
with which a decoder is trained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, PrivateAttr

from specdl.data.tokenizers.vocabulary import Vocabulary
from specdl.data.transforms.base import Transform, fresh, whole
from specdl.data.transforms.language import Role, one_field
from specdl.data.transforms.text import IGNORED, OfTokens
from specdl.ir.dims import extent
from specdl.ir.types import TensorType

if TYPE_CHECKING:
    import numpy as np
    import torch

    from specdl.data.columns import Ragged


class ShiftRight(OfTokens):
    """A decoder's input and its label: `target, label = shift_right(target)`, teacher forcing.

    The input is the label with a token before it and without its last one; the network sees the right tokens up to
    each place, and says the next. Tokens that begin with that token already (`bos`) don't get a second one.
    `target = shift_right(label)` leaves the label as it is.
    """

    name: ClassVar[str] = "shift_right"
    main: ClassVar[str | None] = "start"
    objective: ClassVar[bool] = True

    fewer: ClassVar[bool] = True

    start: Role | Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="The token that a text begins with, by its part or its number: `bos`, `cls`, or else `pad`, "
        "unless given.",
    )
    _alone: bool = PrivateAttr(default=False)

    ignore: int = Field(default=IGNORED, description="What fills the label up, which losses leave out.")

    def needs(self) -> tuple[tuple[str, ...], ...]:
        if isinstance(self.start, int):
            return ()
        return (("bos", "cls", "pad") if self.start is None else (self.start,),)

    def holds_tokens(self) -> tuple[bool, ...]:
        return True, True

    def for_outputs(self, count: int) -> Self:
        copy = self.model_copy()
        copy._alone = count == 1
        return copy

    def infer_fields(self, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
        tokens = one_field(types, self.name)
        if self._alone:
            return (tokens,)
        most = extent(tokens.shape[1])[1]
        label = tokens.with_shape(tokens.shape[0], fresh(most=None if math.isinf(most) else int(most)))
        return label, label

    def apply(self, fields: Sequence[Any], generator: torch.Generator) -> tuple[Any, ...]:
        from specdl.data.columns import as_ragged

        start = self.begins(self.vocabulary)
        tokens = replace(as_ragged(fields[0]), padding=self.vocabulary.padding)
        places = tokens.places()
        label = tokens if self._alone else tokens.keep(~((places == 0) & (tokens.values == start)))
        target = label.surrounded(start, None)
        ends = target.lengths.repeat_interleave(target.lengths, output_size=len(target.values)) - 1
        return target.keep(target.places() < ends), replace(label, padding=self.ignore)

    def begins(self, vocabulary: Vocabulary) -> int:
        """The number of the token that a text begins with."""
        if isinstance(self.start, int):
            return self.start
        roles = vocabulary.roles
        wanted = (self.start,) if self.start is not None else ("bos", "cls", "pad")
        return next(roles[role] for role in wanted if role in roles)


class Shift(ShiftRight):
    """`shift_right` by another name: `target, label = shift(target)`."""

    name: ClassVar[str] = "shift"


class _Damaged(OfTokens):
    """Base of those that take each text apart and put it together anew, one by one."""

    random: ClassVar[bool] = True
    informed: ClassVar[bool] = True
    objective: ClassVar[bool] = True

    def evaluation(self) -> tuple[Transform, ...]:
        return (self,)

    def holds_tokens(self) -> tuple[bool, ...]:
        return True, True

    def infer_fields(self, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
        tokens = one_field(types, self.name)
        batch = tokens.shape[0]
        return tokens.with_shape(batch, fresh(1)), tokens.with_shape(batch, fresh(2))

    def apply(self, fields: Sequence[Any], generator: torch.Generator) -> tuple[Any, ...]:
        import numpy as np
        import torch

        from specdl.data.columns import as_ragged, of_lengths

        tokens = as_ragged(fields[0])
        # One draw of torch's generator decides all of numpy's for this batch.
        random = np.random.default_rng(whole(generator, 0, 2**62))
        made = [self.damage(row, random) for row in _without_ends(tokens, self.vocabulary.begin, self.vocabulary.end)]
        found: list[Any] = []
        for at, padding in ((0, self.vocabulary.padding), (1, IGNORED)):
            rows = [pair[at] for pair in made]
            values = torch.from_numpy(np.concatenate(rows)) if rows else torch.zeros(0)
            lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
            found.append(of_lengths(values.to(tokens.values), lengths.to(tokens.offsets.device), padding))
        return tuple(found)

    def damage(
        self, tokens: np.ndarray[Any, Any], random: np.random.Generator
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The input and the label of one text, which comes without the tokens around it."""
        raise NotImplementedError

    def _end(self) -> list[int]:
        return [] if self.vocabulary.end is None else [self.vocabulary.end]


def _without_ends(tokens: Ragged, begin: int | None, end: int | None) -> list[np.ndarray[Any, Any]]:
    """Each text without the token before it and the one behind it."""
    found = []
    for row in tokens.rows():
        numbers = row.cpu().numpy()
        if begin is not None and len(numbers) and numbers[0] == begin:
            numbers = numbers[1:]
        if end is not None and len(numbers) and numbers[-1] == end:
            numbers = numbers[:-1]
        found.append(numbers)
    return found


class SpanCorruption(_Damaged):
    """Takes spans out of a text, a sentinel in the place of each; the label is what was taken, behind its sentinels.

    `source, label = span_corruption(tokens)`, as T5 is trained; `target, label = shift_right(label)` gives the
    decoder's input. The share and the number of spans follow from the length of a text, their places are drawn.
    """

    name: ClassVar[str] = "span_corruption"
    main: ClassVar[str | None] = "density"
    reference: ClassVar[str] = "https://arxiv.org/abs/1910.10683"

    density: float = Field(default=0.15, gt=0, lt=1, description="The share of the tokens that is taken out.")
    mean_length: float = Field(default=3.0, ge=1, description="Tokens that a span has on average.")
    length: int | None = Field(
        default=None, ge=3, description="Tokens that the input may have, `eos` included; a longer text loses its end."
    )

    def needs(self) -> tuple[tuple[str, ...], ...]:
        return (("sentinels",),)

    def infer_fields(self, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
        source, label = super().infer_fields(types)
        return source.with_shape(source.shape[0], fresh(1, self.length)), label

    def damage(
        self, tokens: np.ndarray[Any, Any], random: np.random.Generator
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        import numpy as np

        end = np.array(self._end(), dtype=np.int64)
        tokens = tokens[: self._fitting(len(tokens))]
        count = len(tokens)
        if count < 2:  # there is nothing to take and something to leave
            return np.concatenate([tokens, end]), end
        taken, spans = self._amounts(count)
        kept, gone = _partition(count - taken, spans, random), _partition(taken, spans, random)
        source: list[np.ndarray[Any, Any]] = []
        label: list[np.ndarray[Any, Any]] = []
        at = 0
        for number, (stay, leave) in enumerate(zip(kept, gone, strict=True)):
            sentinel = np.array([self.vocabulary.sentinels[number]])
            source += [tokens[at : at + stay], sentinel]
            label += [sentinel, tokens[at + stay : at + stay + leave]]
            at += stay + leave
        return np.concatenate([*source, end]), np.concatenate([*label, end])

    def _amounts(self, count: int) -> tuple[int, int]:
        """Of so many tokens, at least two: how many are taken out, and in how many spans."""
        taken = min(max(round(count * self.density), 1), count - 1)
        return taken, min(max(round(taken / self.mean_length), 1), taken, count - taken, len(self.vocabulary.sentinels))

    def _fitting(self, count: int) -> int:
        """How many of a text's tokens give an input of at most `length`."""
        if self.length is None:
            return count
        room = self.length - len(self._end())
        while count >= 2:
            taken, spans = self._amounts(count)
            over = count - taken + spans - room
            if over <= 0:
                break
            count -= max(over, 1)
        return count


def _partition(total: int, parts: int, random: np.random.Generator) -> list[int]:
    """So many numbers from 1 that add up to a total, every way to do so as likely."""
    import numpy as np

    cuts = np.sort(random.choice(total - 1, parts - 1, replace=False)) + 1 if parts > 1 else np.zeros(0, dtype=int)
    return np.diff(np.concatenate([[0], cuts, [total]])).tolist()  # type: ignore[no-any-return]


class Denoise(_Damaged):
    """Puts the sentences of a text in another order and one mask token in the place of each of some spans.

    `source, label = denoise(tokens)`, as BART is trained: the label is the whole text, `target, label =
    shift_right(label)` gives the decoder's input. Lengths of spans are drawn from a Poisson distribution; one of 0
    puts a mask where nothing was taken.
    """

    name: ClassVar[str] = "denoise"
    main: ClassVar[str | None] = "density"
    reference: ClassVar[str] = "https://arxiv.org/abs/1910.13461"

    density: float = Field(default=0.3, ge=0, lt=1, description="The share of the tokens that masks replace.")
    mean_length: float = Field(default=3.0, gt=0, le=100, description="Mean of the spans' lengths.")
    permute_sentences: bool = Field(default=True, description="Whether sentences change places.")

    def needs(self) -> tuple[tuple[str, ...], ...]:
        return (("mask",),)

    def infer_fields(self, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
        tokens = one_field(types, self.name)
        most = extent(tokens.shape[1])[1]
        if math.isinf(most):
            return super().infer_fields(types)
        # A begin and an end may be new; at worst all spans are empty, and each mask makes the text longer.
        label = int(most) + 2
        source = label + round(int(most) * self.density)
        return tokens.with_shape(tokens.shape[0], fresh(1, source)), tokens.with_shape(tokens.shape[0], fresh(2, label))

    def damage(
        self, tokens: np.ndarray[Any, Any], random: np.random.Generator
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        import numpy as np

        begin = [] if self.vocabulary.begin is None else [self.vocabulary.begin]
        around = np.array(begin, dtype=np.int64), np.array(self._end(), dtype=np.int64)
        changed = self._permuted(tokens, random) if self.permute_sentences else tokens
        changed = self._infilled(changed, random)
        return np.concatenate([around[0], changed, around[1]]), np.concatenate([around[0], tokens, around[1]])

    def _permuted(self, tokens: np.ndarray[Any, Any], random: np.random.Generator) -> np.ndarray[Any, Any]:
        import numpy as np

        ends = np.isin(tokens, self.vocabulary.sentence_ends).nonzero()[0] + 1
        sentences = [piece for piece in np.split(tokens, ends) if len(piece)]
        if len(sentences) < 2:
            return tokens
        return np.concatenate([sentences[at] for at in random.permutation(len(sentences))])

    def _infilled(self, tokens: np.ndarray[Any, Any], random: np.random.Generator) -> np.ndarray[Any, Any]:
        import numpy as np

        budget = round(len(tokens) * self.density)
        lengths: list[int] = []
        while budget > 0:
            length = min(int(random.poisson(self.mean_length)), budget)
            lengths.append(length)
            budget -= max(length, 1)
        if not lengths:
            return tokens
        # The spans and the tokens that stay, in an order in which every arrangement is as likely.
        stay = len(tokens) - sum(lengths)
        is_span = np.zeros(stay + len(lengths), dtype=bool)
        is_span[random.choice(len(is_span), len(lengths), replace=False)] = True
        steps = np.ones(len(is_span), dtype=np.int64)
        steps[is_span] = random.permutation(lengths)
        starts = np.cumsum(steps) - steps
        mask = self.vocabulary.roles["mask"]
        return np.where(is_span, mask, tokens[np.minimum(starts, max(len(tokens) - 1, 0))])


__all__ = ["Denoise", "Shift", "ShiftRight", "SpanCorruption"]
