"""What a tokenizer is: texts become numbers of a vocabulary, and numbers texts again.

Our own tokenizers work on all texts at once with numpy; they are written as `tokenizer.json` files that Hugging Face's
`tokenizers` reads to the same effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from specdl.data.columns import Ragged, Strings, ragged
from specdl.data.tokenizers.pairs import join_pairs
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
    than `length`, those included, loses its end, or its start. With `masks`, `<mask>` in a text is the mask token.
    """

    special: bool = True
    length: int | None = None
    keep: str = "start"
    masks: bool = False


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
        numbers = self._with_masks(texts) if limits.masks else self.numbers(texts)
        return Encoded(self._around(numbers, limits))

    def _with_masks(self, texts: Sequence[str]) -> Ragged:
        """The numbers of texts in which the mask token stands as it is called."""
        import torch

        number = self.vocabulary.roles["mask"]
        pieces = [text.split(self.vocabulary.tokens[number]) for text in texts]
        rows = iter(self.numbers([piece for text in pieces for piece in text]).rows())
        mask = torch.tensor([number])
        found = [torch.cat([item for _ in text for item in (mask, next(rows))][1:]) for text in pieces]
        return ragged(found, self.vocabulary.padding)

    def encode_pairs(self, first: Sequence[str], second: Sequence[str], limits: Limits) -> Encoded:
        """See `Tokenizer.encode_pairs`; where a pair is too long, the longer text is cut first."""
        return Encoded(
            *join_pairs(
                self.numbers(first),
                self.numbers(second),
                self._ends(limits),
                limits.length,
                self.vocabulary.padding,
                keep_start=limits.keep == "start",
            )
        )

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


def unknown(kind: str, found: Sequence[str], example: str) -> SpecError:
    """A tokenizer has no number for something."""
    listed = ", ".join(f"`{item}`" for item in found[:12]) + (f" and {len(found) - 12} more" if len(found) > 12 else "")
    message = f"the tokenizer `{kind}` has no {listed}, which is in `{example[:60]}`"
    help = "give it a token for what it doesn't know: `special: [unk]` among its arguments"
    return SpecError([Diagnostic("E0564", message, help=help)])


__all__ = ["Encoded", "Limits", "Plain", "Tokenizer", "unknown"]
