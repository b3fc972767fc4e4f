"""What a tokenizer is: texts become numbers of a vocabulary, and numbers texts again.

Our own tokenizers work on all texts at once with numpy; they are written as `tokenizer.json` files that Hugging Face's
`tokenizers` reads to the same effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from specdl.data.columns import Ragged, Strings, concatenate
from specdl.data.tokenizers.vocabulary import Vocabulary
from specdl.diagnostics import Diagnostic, SpecError


@dataclass(frozen=True, slots=True)
class Encoded:
    """Texts as numbers. `segments` tells the texts of a pair apart (0, 1); `words` is which word of its example each
    token is of, -1 for none.
    """

    tokens: Ragged
    segments: Ragged | None = None
    words: Ragged | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What is done to each text besides: tokens around it, and how long it may become.

    `special` puts `bos` or `cls` before it and `eos` or `sep` behind it where the vocabulary has them. What is longer
    than `length`, those included, loses its end, or its start.
    """

    special: bool = True
    length: int | None = None
    keep: str = "start"


class Tokenizer(Protocol):
    """Makes numbers of texts."""

    @property
    def kind(self) -> str:
        """What it is called in a spec."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """Its tokens."""
        ...

    def encode(self, texts: Sequence[str], limits: Limits) -> Encoded:
        """Texts as numbers. Raises `SpecError` for what it has no number for."""
        ...

    def encode_pairs(self, first: Sequence[str], second: Sequence[str], limits: Limits) -> Encoded:
        """Pairs of texts, each as one sequence, with `segments`."""
        ...

    def encode_words(self, words: Strings, limits: Limits) -> Encoded:
        """Texts that are split into words already, with `words`."""
        ...

    def decode(self, numbers: Sequence[int], *, special: bool = False) -> str:
        """The text of some numbers, with or without the tokens that stand for none."""
        ...

    def text(self) -> str:
        """The tokenizer as the text of a `tokenizer.json`."""
        ...


class Plain:
    """Base of our own tokenizers: a subclass knows how one text becomes numbers and back, without further tokens."""

    kind: str
    vocabulary: Vocabulary

    def numbers(self, texts: Sequence[str]) -> Ragged:
        """The numbers of each text alone. Raises `SpecError`."""
        raise NotImplementedError

    def joined(self, tokens: Sequence[str], numbers: Sequence[int]) -> str:
        """The text of tokens that stand for text."""
        raise NotImplementedError

    def parts(self) -> dict[str, Any]:
        """What is particular to its `tokenizer.json`: the model, and what comes before and behind it."""
        raise NotImplementedError

    def encode(self, texts: Sequence[str], limits: Limits) -> Encoded:
        """See `Tokenizer.encode`."""
        return Encoded(self._around(self.numbers(texts), limits))

    def encode_pairs(self, first: Sequence[str], second: Sequence[str], limits: Limits) -> Encoded:
        """See `Tokenizer.encode_pairs`; where a pair is too long, the longer text is cut first."""
        begin, end = self._ends(limits)
        one, other = self.numbers(first), self.numbers(second)
        if limits.length is not None:
            room = max(limits.length - (begin is not None) - 2 * (end is not None), 0)
            one, other = _shortened(one, other, room, end=limits.keep == "start")
        one, other = one.surrounded(begin, end), other.surrounded(None, end)
        tokens = interleaved(one, other)
        segments = interleaved(one.with_values(one.values * 0), other.with_values(other.values * 0 + 1))
        return Encoded(tokens, replace(segments, padding=0))

    def encode_words(self, words: Strings, limits: Limits) -> Encoded:
        """See `Tokenizer.encode_words`."""
        import torch

        assert words.offsets is not None
        pieces = self.numbers(words.values)
        bounds = pieces.offsets[torch.tensor(words.offsets)]
        within = torch.cat([torch.arange(b - a) for a, b in zip(words.offsets, words.offsets[1:], strict=False)])
        tokens = Ragged(pieces.values, bounds, self.vocabulary.padding)
        owners = Ragged(within.repeat_interleave(pieces.lengths), bounds, -1)
        begin, end = self._ends(limits)
        around = (None if begin is None else -1, None if end is None else -1)
        return Encoded(self._around(tokens, limits), words=self._cut(owners, limits).surrounded(*around))

    def decode(self, numbers: Sequence[int], *, special: bool = False) -> str:
        """See `Tokenizer.decode`."""
        hidden = frozenset() if special else self.vocabulary.special
        kept = [number for number in numbers if number not in hidden]
        return self.joined([self.vocabulary.tokens[number] for number in kept], kept)

    def text(self) -> str:
        """See `Tokenizer.text`."""
        from specdl.data.tokenizers.files import written

        return written(self.vocabulary, self.parts())

    def _ends(self, limits: Limits) -> tuple[int | None, int | None]:
        return (self.vocabulary.begin, self.vocabulary.end) if limits.special else (None, None)

    def _cut(self, tokens: Ragged, limits: Limits) -> Ragged:
        if limits.length is None:
            return tokens
        room = limits.length - sum(item is not None for item in self._ends(limits))
        return tokens.limited(max(room, 0), end=limits.keep == "start")

    def _around(self, tokens: Ragged, limits: Limits) -> Ragged:
        cut = self._cut(tokens, limits).surrounded(*self._ends(limits))
        return replace(cut, padding=self.vocabulary.padding)


def interleaved(one: Ragged, other: Ragged) -> Ragged:
    """Each example of one column, and behind it that of another."""
    import torch

    both = concatenate([one, other])
    assert isinstance(both, Ragged)
    order = torch.arange(len(both)).view(2, -1).T.flatten()
    ordered = both.index_select(0, order)
    return replace(ordered, offsets=ordered.offsets[::2])


def _shortened(one: Ragged, other: Ragged, room: int, *, end: bool) -> tuple[Ragged, Ragged]:
    """Pairs that fit: the longer text is cut to what the shorter one leaves, both where that is less than half.

    As `tokenizers` does with `longest_first`.
    """
    import torch

    a, b = one.lengths, other.lengths
    least = torch.minimum(a, b)
    most = torch.maximum(least, room - least)
    over = least + most > room
    least, most = torch.where(over, room // 2, least), torch.where(over, room - room // 2, most)
    swapped, fits = a > b, a + b <= room
    first = torch.where(fits, a, torch.where(swapped, most, least))
    second = torch.where(fits, b, torch.where(swapped, least, most))
    return _limited(one, first, end), _limited(other, second, end)


def _limited(column: Ragged, lengths: Any, end: bool) -> Ragged:
    places = column.places()
    wanted = lengths.repeat_interleave(column.lengths)
    if not end:
        places = column.lengths.repeat_interleave(column.lengths) - 1 - places
    return column.keep(places < wanted)


def unknown(kind: str, found: Sequence[str], example: str) -> SpecError:
    """A tokenizer has no number for something."""
    listed = ", ".join(f"`{item}`" for item in found[:12]) + (f" and {len(found) - 12} more" if len(found) > 12 else "")
    message = f"the tokenizer `{kind}` has no {listed}, which is in `{example[:60]}`"
    help = "give it a token for what it doesn't know: `special: [unk]` among its arguments"
    return SpecError([Diagnostic("E0564", message, help=help)])


__all__ = ["Encoded", "Limits", "Plain", "Tokenizer", "interleaved", "unknown"]
