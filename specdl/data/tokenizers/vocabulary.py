"""The tokens of a tokenizer, and which of them play a part of their own (`pad`, `eos`, `mask`, …).

Nothing here needs the tokenizer's package, nor torch: a spec is checked with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

ROLES = ("pad", "unk", "bos", "eos", "cls", "sep", "mask")
"""The parts that a token may play."""

NAMES: Mapping[str, tuple[str, ...]] = {
    "pad": ("<pad>", "[PAD]", "<|pad|>", "<|padding|>", "<|finetune_right_pad_id|>"),
    "unk": ("<unk>", "[UNK]", "<|unk|>"),
    "bos": ("<bos>", "<s>", "[BOS]", "<|begin_of_text|>", "<|startoftext|>", "<|im_start|>"),
    "eos": ("<eos>", "</s>", "[EOS]", "<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "<|eot_id|>"),
    "cls": ("<cls>", "[CLS]"),
    "sep": ("<sep>", "[SEP]"),
    "mask": ("<mask>", "[MASK]"),
}
"""What such tokens are called: first as we call them, then as others do."""

SENTINEL = "<extra_id_{}>"
"""What stands for the span of that number that was taken out of a text."""


_QUOTES = "\"'”’)"


@dataclass(frozen=True)
class Vocabulary:
    """The tokens by their numbers; the numbers of those that play a part, and of the sentinels."""

    tokens: Sequence[str]
    roles: Mapping[str, int] = field(default_factory=dict)
    sentinels: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return len(self.tokens)

    @cached_property
    def special(self) -> frozenset[int]:
        """The numbers that stand for no text."""
        return frozenset((*self.roles.values(), *self.sentinels))

    @cached_property
    def sentence_ends(self) -> list[int]:
        """The tokens that end a sentence."""
        return [number for number, token in enumerate(self.tokens) if token.rstrip(_QUOTES)[-1:] in (".", "!", "?")]

    @property
    def padding(self) -> int:
        """What fills up a batch: `pad`, or 0 where there is none."""
        return self.roles.get("pad", 0)

    @property
    def begin(self) -> int | None:
        """What a text begins with: `cls` or `bos`."""
        return self.roles.get("cls", self.roles.get("bos"))

    @property
    def end(self) -> int | None:
        """What a text ends with: `sep` or `eos`."""
        return self.roles.get("sep", self.roles.get("eos"))

    @cached_property
    def ends(self) -> frozenset[int]:
        """The tokens at which a text that is written ends: `end`, and all that are called as others call it.

        A model that answers in turns ends them by another token than texts (`<|im_end|>` beside `<|endoftext|>`).
        """
        found = {number for number, token in enumerate(self.tokens) if token in NAMES["eos"]}
        return frozenset(found if self.end is None else found | {self.end})


def vocabulary_of(tokens: Sequence[str], special: Mapping[str, int] | None = None) -> Vocabulary:
    """A vocabulary whose parts are known by their names. `special` are tokens that stand for no text, where known."""
    numbers = special if special is not None else {token: number for number, token in enumerate(tokens)}
    roles = {
        role: number
        for role, names in NAMES.items()
        if (number := next((numbers[name] for name in names if name in numbers), None)) is not None
    }
    sentinels: list[int] = []
    while (number := numbers.get(SENTINEL.format(len(sentinels)))) is not None:
        sentinels.append(number)
    return Vocabulary(tuple(tokens), roles, tuple(sentinels))


BYTES = 256


def byte_tokens() -> list[str]:
    """A visible character for each byte, as GPT-2 writes bytes: printable ones are themselves."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    shifted = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(shifted)) for byte in range(BYTES)]


def special_tokens(roles: Sequence[str], sentinels: int, *, brackets: bool = False) -> list[str]:
    """The tokens of some parts, as a tokenizer that is made here calls them."""
    return [NAMES[role][1 if brackets else 0] for role in roles] + [SENTINEL.format(at) for at in range(sentinels)]


def read_vocabulary(text: str) -> Vocabulary | None:
    """The vocabulary of a `tokenizer.json` from its text alone, None where that doesn't tell. Raises `ValueError`."""
    try:
        data = json.loads(text)
        vocabulary = data["model"]["vocab"]
        added = {item["content"]: item["id"] for item in data.get("added_tokens") or []}
        if isinstance(vocabulary, list):  # of a unigram: pairs with scores
            numbers = {item[0]: number for number, item in enumerate(vocabulary)}
        else:
            numbers = dict(vocabulary)
        numbers |= added
        tokens = [""] * (max(numbers.values(), default=-1) + 1)
        for token, number in numbers.items():
            tokens[number] = token
        return vocabulary_of(tokens, added)
    except (KeyError, TypeError, AttributeError, IndexError):
        return None


__all__ = [
    "BYTES",
    "NAMES",
    "ROLES",
    "SENTINEL",
    "Vocabulary",
    "byte_tokens",
    "read_vocabulary",
    "special_tokens",
    "vocabulary_of",
]
