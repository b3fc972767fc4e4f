"""Tokenizers that need no training beyond counting: characters, bytes and words.

Each works on all texts at once. What they write as `tokenizer.json` gives the same numbers in Hugging Face's
`tokenizers`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch

from specdl.data.columns import Ragged, of_lengths
from specdl.data.tokenizers.base import Plain, unknown
from specdl.data.tokenizers.vocabulary import BYTES, Vocabulary

if TYPE_CHECKING:
    import numpy as np

WORD = r"\w+|[^\w\s]"
"""What a word is: letters and digits together, any other mark by itself."""


class CharacterTokenizer(Plain):
    """Every character is a token."""

    kind = "characters"

    def __init__(self, vocabulary: Vocabulary, *, lowercase: bool = False) -> None:
        self.vocabulary, self.lowercase = vocabulary, lowercase

    @cached_property
    def _table(self) -> np.ndarray[Any, Any]:
        """The number of each code point, -1 where it has none."""
        import numpy as np

        points = {
            ord(token): number
            for number, token in enumerate(self.vocabulary.tokens)
            if len(token) == 1 and number not in self.vocabulary.special
        }
        table = np.full(max(points, default=0) + 2, -1, dtype=np.int64)
        for point, number in points.items():
            table[point] = number
        return table

    def numbers(self, texts: Sequence[str]) -> Ragged:
        import numpy as np

        texts = [text.lower() for text in texts] if self.lowercase else texts
        points = code_points(texts)
        # A code point beyond the table takes its last entry, which is -1.
        found = self._table[np.minimum(points, len(self._table) - 1)]
        if found.size and found.min() < 0:
            missing = self.vocabulary.roles.get("unk")
            if missing is None:
                lacking = [chr(point) for point in np.unique(points[found < 0])]
                example = next(text for text in texts if any(letter in text for letter in lacking))
                raise unknown(self.kind, lacking, example)
            found = np.where(found < 0, missing, found)
        lengths = torch.tensor([len(text) for text in texts], dtype=torch.int64)
        return of_lengths(torch.from_numpy(found), lengths, self.vocabulary.padding)

    def joined(self, tokens: Sequence[str], numbers: Sequence[int]) -> str:
        return "".join(tokens)

    def parts(self) -> dict[str, Any]:
        return {
            "normalizer": {"type": "Lowercase"} if self.lowercase else None,
            "pre_tokenizer": _split(r"[\s\S]", "Isolated", invert=False),
            "model": _word_level(self.vocabulary),
            "decoder": {"type": "Fuse"},
        }


class ByteTokenizer(Plain):
    """Every byte of a text's UTF-8 is a token: 256 of them, and the special ones behind."""

    kind = "bytes"

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def numbers(self, texts: Sequence[str]) -> Ragged:
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        lengths = torch.tensor([len(item) for item in encoded], dtype=torch.int64)
        joined = bytearray(b"".join(encoded))
        values = torch.frombuffer(joined, dtype=torch.uint8) if joined else torch.zeros(0)
        return of_lengths(values.to(torch.int64), lengths, self.vocabulary.padding)

    def joined(self, tokens: Sequence[str], numbers: Sequence[int]) -> str:
        parts: list[bytes] = []
        for token, number in zip(tokens, numbers, strict=True):
            parts.append(bytes([number]) if number < BYTES else token.encode())
        return b"".join(parts).decode("utf-8", "replace")

    def parts(self) -> dict[str, Any]:
        return {
            "pre_tokenizer": {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": False,
                "use_regex": False,
            },
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": {token: number for number, token in enumerate(self.vocabulary.tokens)},
                "merges": [],
            },
            "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        }


class WordTokenizer(Plain):
    """Words and marks are tokens; rare ones are unknown."""

    kind = "words"

    def __init__(self, vocabulary: Vocabulary, *, lowercase: bool = False) -> None:
        self.vocabulary, self.lowercase = vocabulary, lowercase

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        special = self.vocabulary.special
        return {token: number for number, token in enumerate(self.vocabulary.tokens) if number not in special}

    def numbers(self, texts: Sequence[str]) -> Ragged:
        split = [split_words(text, lowercase=self.lowercase) for text in texts]
        table, missing = self._numbers, self.vocabulary.roles.get("unk", -1)
        found = torch.tensor([table.get(word, missing) for word in chain.from_iterable(split)], dtype=torch.int64)
        if missing < 0 and len(found) and int(found.min()) < 0:
            lacking = sorted({word for word in chain.from_iterable(split) if word not in table})
            raise unknown(self.kind, lacking, next(text for text in texts if lacking[0] in text.lower()))
        return of_lengths(found, torch.tensor([len(words) for words in split]), self.vocabulary.padding)

    def joined(self, tokens: Sequence[str], numbers: Sequence[int]) -> str:
        return " ".join(tokens)

    def parts(self) -> dict[str, Any]:
        return {
            "normalizer": {"type": "Lowercase"} if self.lowercase else None,
            "pre_tokenizer": _split(WORD, "Removed", invert=True),
            "model": _word_level(self.vocabulary),
        }


def code_points(texts: Sequence[str]) -> np.ndarray[Any, Any]:
    """The code points of all texts one after another, `uint32`."""
    import numpy as np

    return np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def characters_of(texts: Sequence[str], *, lowercase: bool = False) -> list[str]:
    """The characters that occur, in the order of their code points."""
    import numpy as np

    texts = [text.lower() for text in texts] if lowercase else texts
    return [chr(point) for point in np.unique(code_points(texts))]


def split_words(text: str, *, lowercase: bool = False) -> list[str]:
    """The words of a text."""
    return _WORDS.findall(text.lower() if lowercase else text)


_WORDS = re.compile(WORD)


def count_words(texts: Iterable[str], *, lowercase: bool = False) -> Counter[str]:
    """How often each word occurs."""
    found: Counter[str] = Counter()
    for text in texts:
        found.update(split_words(text, lowercase=lowercase))
    return found


def _split(pattern: str, behaviour: str, *, invert: bool) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behaviour, "invert": invert}


def _word_level(vocabulary: Vocabulary) -> dict[str, Any]:
    unknown_number = vocabulary.roles.get("unk")
    return {
        "type": "WordLevel",
        "vocab": {token: number for number, token in enumerate(vocabulary.tokens)},
        "unk_token": "<unk>" if unknown_number is None else vocabulary.tokens[unknown_number],
    }


__all__ = ["WORD", "ByteTokenizer", "CharacterTokenizer", "WordTokenizer", "characters_of", "count_words"]
