"""The tokenizers that a spec may name, with their arguments: what is known of them before any text is read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from specdl.data.paths import FilePath
from specdl.data.tokenizers.vocabulary import Vocabulary, byte_tokens, read_vocabulary, special_tokens, vocabulary_of
from specdl.diagnostics import Diagnostic, SpecError
from specdl.objectives.base import Declared, Listed

if TYPE_CHECKING:
    from specdl.data.tokenizers.base import Tokenizer

Role = Literal["pad", "unk", "bos", "eos", "cls", "sep", "mask"]
Roles = Annotated[tuple[Role, ...], Listed]

_LIBRARY = "https://huggingface.co/docs/tokenizers"
_SPECIAL = (
    "Tokens that stand for no text, in their order: `pad` (fills up a batch), `unk` (what is unknown), `bos` or `cls` "
    "(before a text), `eos` or `sep` (behind it), `mask`."
)
_SENTINELS = "How many tokens there are for spans that are taken out: `<extra_id_0>`, …"
_TRAIN_ON = "The fields of text that its vocabulary is made from; the one that is tokenized unless given."
_VOCABULARY = "How many tokens it may have, the special ones included."
_MIN_COUNT = "How often a token must occur in the training examples."

MAX_FILE = 2**26
"""Bytes of a `tokenizer.json` that is read while a spec is checked."""


class TokenizerKind(Declared):
    """Base of the tokenizers that a spec may name."""

    everything: ClassVar[bool] = False
    """Whether its vocabulary is made from all examples, and not from those for training alone."""

    def known(self) -> Vocabulary | None:
        """The whole vocabulary, where it is known before text is read."""
        return None

    def most(self) -> int | None:
        """How many tokens there are at most, as far as that is known."""
        known = self.known()
        return None if known is None else known.size

    def roles(self) -> frozenset[str] | None:
        """Which tokens play a part, as far as that is known."""
        known = self.known()
        return None if known is None else frozenset((*known.roles, *["sentinels"] * bool(known.sentinels)))

    def fields(self) -> tuple[str, ...]:
        """The fields that its vocabulary is made from, where the spec says so."""
        return ()

    def make(self, texts: Sequence[str]) -> Tokenizer:
        """The tokenizer, its vocabulary made from texts. Raises `SpecError`."""
        raise NotImplementedError


class Trained(TokenizerKind):
    """Base of those whose vocabulary is made from text."""

    special: Roles = Field(default=(), description=_SPECIAL)
    sentinels: int = Field(default=0, ge=0, le=1000, description=_SENTINELS)
    train_on: Annotated[tuple[str, ...], Listed] = Field(default=(), description=_TRAIN_ON)

    def roles(self) -> frozenset[str] | None:
        return frozenset((*self.special, *["sentinels"] * bool(self.sentinels)))

    def fields(self) -> tuple[str, ...]:
        return self.train_on

    def special_tokens(self) -> list[str]:
        """The tokens that stand for no text."""
        return special_tokens(self.special, self.sentinels)

    def vocabulary_of(self, tokens: Sequence[str]) -> Vocabulary:
        """A vocabulary of the special tokens and then others."""
        special = self.special_tokens()
        return vocabulary_of([*special, *tokens], {token: number for number, token in enumerate(special)})


class Characters(Trained):
    """Every character is a token: those that occur in the data, in the order of their code points."""

    name: ClassVar[str] = "characters"
    everything: ClassVar[bool] = True

    lowercase: bool = Field(default=False, description="Whether capitals become small letters.")

    def make(self, texts: Sequence[str]) -> Tokenizer:
        from specdl.data.tokenizers.plain import CharacterTokenizer, characters_of

        vocabulary = self.vocabulary_of(characters_of(texts, lowercase=self.lowercase))
        return CharacterTokenizer(vocabulary, lowercase=self.lowercase)


class Bytes(Trained):
    """Every byte of the text in UTF-8 is a token: 256 of them, the special ones behind. Nothing is unknown."""

    name: ClassVar[str] = "bytes"

    def known(self) -> Vocabulary | None:
        tokens, special = byte_tokens(), self.special_tokens()
        return vocabulary_of([*tokens, *special], {token: len(tokens) + number for number, token in enumerate(special)})

    def make(self, texts: Sequence[str]) -> Tokenizer:
        from specdl.data.tokenizers.plain import ByteTokenizer

        vocabulary = self.known()
        assert vocabulary is not None
        return ByteTokenizer(vocabulary)


class Words(Trained):
    """Words (letters and digits together) and single marks are tokens, the most frequent ones first."""

    name: ClassVar[str] = "words"
    main: ClassVar[str | None] = "vocabulary"

    vocabulary: int = Field(default=20000, ge=2, description=_VOCABULARY)
    min_count: int = Field(default=1, ge=1, description=_MIN_COUNT)
    lowercase: bool = Field(default=False, description="Whether capitals become small letters.")
    special: Roles = Field(default=("pad", "unk"), description=_SPECIAL)

    def most(self) -> int | None:
        return self.vocabulary

    def make(self, texts: Sequence[str]) -> Tokenizer:
        from specdl.data.tokenizers.plain import WordTokenizer, count_words

        special = self.special_tokens()
        counts = [(word, count) for word, count in count_words(texts, lowercase=self.lowercase).items()]
        # Words that occur as often stand in the order of the alphabet, whatever the order of the examples was.
        counts.sort(key=lambda item: (-item[1], item[0]))
        words = [word for word, count in counts if count >= self.min_count and word not in special]
        vocabulary = self.vocabulary_of(words[: max(self.vocabulary - len(special), 0)])
        return WordTokenizer(vocabulary, lowercase=self.lowercase)


class _Learned(Trained):
    """Base of those that the package `tokenizers` learns."""

    main: ClassVar[str | None] = "vocabulary"

    vocabulary: int = Field(default=8000, ge=16, description=_VOCABULARY)

    def most(self) -> int | None:
        return self.vocabulary


class Bpe(_Learned):
    """Byte-pair encoding over bytes, as GPT-2 has it: frequent pairs become tokens. Nothing is unknown."""

    name: ClassVar[str] = "bpe"
    reference: ClassVar[str] = _LIBRARY

    vocabulary: int = Field(default=8000, ge=264, description=_VOCABULARY)
    min_count: int = Field(default=2, ge=1, description="How often a pair must occur to become a token.")
    special: Roles = Field(default=("pad", "bos", "eos"), description=_SPECIAL)

    def make(self, texts: Sequence[str]) -> Tokenizer:
        from specdl.data.tokenizers.huggingface import train_bpe

        return train_bpe(texts, self.vocabulary, self.special_tokens(), self.min_count)


class WordPiece(_Learned):
    """Parts of words, as BERT has them: those that don't begin a word are marked by `##`."""

    name: ClassVar[str] = "wordpiece"
    reference: ClassVar[str] = _LIBRARY

    min_count: int = Field(default=2, ge=1, description=_MIN_COUNT)
    lowercase: bool = Field(default=True, description="Whether capitals become small letters, and accents go.")
    special: Roles = Field(default=("pad", "unk", "cls", "sep", "mask"), description=_SPECIAL)

    def special_tokens(self) -> list[str]:
        return special_tokens(self.special, self.sentinels, brackets=True)

    def make(self, texts: Sequence[str]) -> Tokenizer:
        from specdl.data.tokenizers.huggingface import train_wordpiece

        return train_wordpiece(texts, self.vocabulary, self.special_tokens(), self.min_count, self.lowercase)


class Unigram(_Learned):
    """The likeliest way to cut a text into pieces, as T5 has it; spaces are written as `▁`."""

    name: ClassVar[str] = "unigram"
    reference: ClassVar[str] = _LIBRARY

    special: Roles = Field(default=("pad", "eos", "unk"), description=_SPECIAL)

    def make(self, texts: Sequence[str]) -> Tokenizer:
        from specdl.data.tokenizers.huggingface import train_unigram

        return train_unigram(texts, self.vocabulary, self.special_tokens())


class FromFile(TokenizerKind):
    """A `tokenizer.json`, as Hugging Face's `tokenizers` and specdl write it."""

    name: ClassVar[str] = "file"
    main: ClassVar[str | None] = "path"
    reference: ClassVar[str] = _LIBRARY

    path: FilePath = Field(description="The file.")

    @cached_property
    def _read(self) -> Vocabulary | None:
        try:
            if os.path.getsize(self.path) > MAX_FILE:
                return None
            return read_vocabulary(Path(self.path).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None  # told when the data is opened

    def known(self) -> Vocabulary | None:
        return self._read

    def make(self, texts: Sequence[str]) -> Tokenizer:
        from specdl.data.tokenizers.files import read_tokenizer

        try:
            return read_tokenizer(Path(self.path).read_text(encoding="utf-8"), f"`{self.path}`")
        except (OSError, ValueError) as error:
            problem = "doesn't exist" if isinstance(error, FileNotFoundError) else f"can't be used: {error}"
            help = "a tokenizer's file is the `tokenizer.json` that Hugging Face's models have, or one that a run kept"
            raise SpecError([Diagnostic("E0561", f"the tokenizer `{self.path}` {problem}", help=help)]) from error


class SameAs(TokenizerKind):
    """The tokenizer of an earlier entry, named by the field that it wrote: two fields share one vocabulary."""

    name: ClassVar[str] = "same_as"
    main: ClassVar[str | None] = "field"

    field: str = Field(description="The field that the other entry wrote.")


TOKENIZERS: dict[str, type[TokenizerKind]] = {
    kind.name: kind for kind in (Characters, Bytes, Words, Bpe, WordPiece, Unigram, FromFile, SameAs)
}
"""Tokenizers by their name in a spec."""

__all__ = ["TOKENIZERS", "FromFile", "SameAs", "TokenizerKind", "Trained"]
