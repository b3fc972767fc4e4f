"""Tokenizers of Hugging Face's `tokenizers`: byte-pair encoding, WordPiece, unigram, and any `tokenizer.json`.

The package is an extra (`text`), imported when such a tokenizer is made or read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch

from specdl.data.columns import Ragged, Strings, of_lengths
from specdl.data.extras import require
from specdl.data.tokenizers.base import Encoded, Limits
from specdl.data.tokenizers.template import template
from specdl.data.tokenizers.vocabulary import Vocabulary, vocabulary_of


class HuggingFaceTokenizer:
    """Any tokenizer of `tokenizers`. `kind` is what a spec calls it."""

    def __init__(self, implementation: Any, kind: str) -> None:
        self._it, self.kind = implementation, kind
        self._it.no_padding()

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Its tokens; those that were added to it are the special ones."""
        numbers = self._it.get_vocab(with_added_tokens=True)
        tokens = [""] * (max(numbers.values(), default=-1) + 1)
        for token, number in numbers.items():
            tokens[number] = token
        added = {item.content: number for number, item in self._it.get_added_tokens_decoder().items() if item.special}
        return vocabulary_of(tokens, added)

    def encode(self, texts: Sequence[str], limits: Limits) -> Encoded:
        """See `Tokenizer.encode`."""
        return Encoded(self._columns(self._run(list(texts), limits), "ids", self.vocabulary.padding))

    def encode_pairs(self, first: Sequence[str], second: Sequence[str], limits: Limits) -> Encoded:
        """See `Tokenizer.encode_pairs`."""
        found = self._run(list(zip(first, second, strict=True)), limits)
        return Encoded(self._columns(found, "ids", self.vocabulary.padding), self._columns(found, "type_ids", 0))

    def encode_words(self, words: Strings, limits: Limits) -> Encoded:
        """See `Tokenizer.encode_words`."""
        found = self._run([words.row(at) for at in range(len(words))], limits, is_pretokenized=True)
        lengths = torch.tensor([len(item.ids) for item in found], dtype=torch.int64)
        owners = [-1 if word is None else word for item in found for word in item.word_ids]
        numbers = torch.tensor(owners, dtype=torch.int64)
        return Encoded(
            self._columns(found, "ids", self.vocabulary.padding), words=of_lengths(numbers, lengths, padding=-1)
        )

    def decode(self, numbers: Sequence[int], *, special: bool = False) -> str:
        """See `Tokenizer.decode`."""
        found: str = self._it.decode(list(numbers), skip_special_tokens=not special)
        return found

    def text(self) -> str:
        """See `Tokenizer.text`; without the limits of the last use."""
        self._it.no_truncation()
        found: str = self._it.to_str(pretty=True)
        return found + "\n"

    def _run(self, texts: list[Any], limits: Limits, **options: Any) -> list[Any]:
        if limits.length is None:
            self._it.no_truncation()
        else:
            direction = "right" if limits.keep == "start" else "left"
            self._it.enable_truncation(limits.length, strategy="longest_first", direction=direction)
        found: list[Any] = self._it.encode_batch(texts, add_special_tokens=limits.special, **options)
        return found

    @staticmethod
    def _columns(found: Sequence[Any], name: str, padding: int) -> Ragged:
        rows = [getattr(item, name) for item in found]
        values = torch.tensor([number for row in rows for number in row], dtype=torch.int64)
        return of_lengths(values, torch.tensor([len(row) for row in rows], dtype=torch.int64), padding)


def read(text: str, kind: str, where: str) -> HuggingFaceTokenizer:
    """A tokenizer from the text of a `tokenizer.json`. Raises `ValueError` for anything else."""
    package = require("tokenizers", f"the tokenizer {where}")
    try:
        return HuggingFaceTokenizer(package.Tokenizer.from_str(text), kind)
    except Exception as error:  # the package raises plain exceptions of its own
        raise ValueError(str(error)) from error


def train_bpe(texts: Sequence[str], size: int, special: Sequence[str], min_count: int) -> HuggingFaceTokenizer:
    """Byte-pair encoding over bytes, as GPT-2 has it: nothing is unknown."""
    package = require("tokenizers", "the tokenizer `bpe`")
    made = package.Tokenizer(package.models.BPE())
    made.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = package.decoders.ByteLevel()
    trainer = package.trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_count,
        special_tokens=list(special),
        initial_alphabet=sorted(package.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    return _trained(package, made, trainer, _pieces(texts), "bpe")


def train_wordpiece(
    texts: Sequence[str], size: int, special: Sequence[str], min_count: int, lowercase: bool
) -> HuggingFaceTokenizer:
    """WordPiece, as BERT has it: parts of words, those that don't begin one marked by `##`."""
    package = require("tokenizers", "the tokenizer `wordpiece`")
    made = package.Tokenizer(package.models.WordPiece(unk_token="[UNK]"))
    made.normalizer = package.normalizers.BertNormalizer(lowercase=lowercase)
    made.pre_tokenizer = package.pre_tokenizers.BertPreTokenizer()
    made.decoder = package.decoders.WordPiece()
    # The trainer numbers the letters within words in the order of a hash table, which changes from run to run, and
    # merges by those numbers where counts are equal. Named beforehand, they have one order.
    letters = sorted({letter for piece in _pieces(texts) for letter in made.normalizer.normalize_str(piece)})
    inner = [f"##{letter}" for letter in letters if not letter.isspace()]
    trainer = package.trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=min_count, special_tokens=[*special, *inner], show_progress=False
    )

    def mend(data: dict[str, Any]) -> None:
        data["added_tokens"] = [item for item in data["added_tokens"] if item["content"] in special]

    return _trained(package, made, trainer, _pieces(texts), "wordpiece", mend)


def train_unigram(texts: Sequence[str], size: int, special: Sequence[str]) -> HuggingFaceTokenizer:
    """Unigram, as T5 has it: the likeliest way to cut a text into pieces, white space written as `▁`."""
    package = require("tokenizers", "the tokenizer `unigram`")
    normal = package.normalizers
    made = package.Tokenizer(package.models.Unigram())
    made.normalizer = normal.Sequence([normal.NFKC(), normal.Replace(package.Regex(r"\s+"), " "), normal.Strip()])
    made.pre_tokenizer = package.pre_tokenizers.Metaspace()
    made.decoder = package.decoders.Metaspace()
    trainer = package.trainers.UnigramTrainer(
        vocab_size=size, special_tokens=list(special), unk_token="<unk>", show_progress=False
    )

    def mend(data: dict[str, Any]) -> None:
        first = len(special)
        data["model"]["vocab"] = [*data["model"]["vocab"][:first], *_settled(data["model"]["vocab"][first:])]

    return _trained(package, made, trainer, _pieces(texts), "unigram", mend)


DIGITS = 6
"""Decimals that a piece's score is kept with. Its last ones depend on the order in which threads added up."""


STEP = 1e-4
"""What the trainer adds to the score of each letter in turn that it must keep but found of no use."""


def _settled(pieces: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Pieces with scores that are the same in every run: rounded, and rare letters scored in the alphabet's order.

    The trainer gives letters that it must keep the least score, and from one to the next a little more, in the order
    of a hash table.
    """
    least = min((score for _, score in pieces), default=0.0)
    rare: list[tuple[str, float]] = []
    for piece, score in sorted(pieces, key=lambda item: item[1]):
        if len(piece) == 1 and abs(score - least - len(rare) * STEP) < STEP / 10:
            rare.append((piece, score))
    given = dict(zip(sorted(piece for piece, _ in rare), (score for _, score in rare), strict=True))
    found = [[piece, round(given.get(piece, score), DIGITS)] for piece, score in pieces]
    return sorted(found, key=lambda item: (-item[1], item[0]))


def _pieces(texts: Sequence[str]) -> list[str]:
    """Texts cut before line breaks, where no token crosses: many short pieces are learned from in parallel."""
    return [piece for text in texts for piece in _BREAK.split(text)]


_BREAK = re.compile(r"(?<=\S)(?=\n)")


def _trained(
    package: Any,
    made: Any,
    trainer: Any,
    texts: Sequence[str],
    kind: str,
    mend: Callable[[dict[str, Any]], None] = lambda data: None,
) -> HuggingFaceTokenizer:
    made.train_from_iterator(texts, trainer=trainer, length=len(texts))
    data = json.loads(made.to_str())
    mend(data)
    data["post_processor"] = template(HuggingFaceTokenizer(made, kind).vocabulary)
    return HuggingFaceTokenizer(package.Tokenizer.from_str(json.dumps(data)), kind)
