"""What transforms of text share, and the one that makes numbers of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, InstanceOf, PrivateAttr

from specdl.data.tokenizers.kinds import FromFile, TokenizerKind
from specdl.data.tokenizers.vocabulary import Vocabulary
from specdl.data.transforms.base import Transform, fresh
from specdl.diagnostics import Diagnostic, SpecError
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError

if TYPE_CHECKING:
    import torch

    from specdl.data.columns import Ragged
    from specdl.data.tokenizers.base import Limits, Tokenizer

IGNORED = -100
"""A target that a loss leaves out, as PyTorch's losses do by default."""


class OfTokens(Transform):
    """Base of the transforms of token numbers. They know the vocabulary when they run."""

    informed: ClassVar[bool] = False
    """Whether it can't do without the vocabulary."""

    _vocabulary: Vocabulary | None = PrivateAttr(default=None)

    def with_vocabulary(self, vocabulary: Vocabulary) -> Self:
        """The transform with the vocabulary of the field that it reads first."""
        copy = self.model_copy()
        copy._vocabulary = vocabulary
        return copy

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary; without special tokens where the field came without one."""
        return self._vocabulary or Vocabulary(())

    def needs(self) -> tuple[tuple[str, ...], ...]:
        """The parts that tokens of the vocabulary must play: of each group one."""
        return ()

    def holds_tokens(self) -> tuple[bool, ...]:
        """Which of the fields that it writes hold tokens of the vocabulary."""
        return (True,)


def require_tokens(type: TensorType, position: int = 0) -> TensorType:
    """Guards a field of token numbers, `[N, T]`."""
    if type.text:
        help = "make numbers of it first: `tokens = tokenize(text): characters`"
        raise TypeRuleError(
            f"expects numbers of tokens [N, T] int64, got {type}, which is text", help=help, input=position
        )
    if type.rank != 2 or type.dtype not in ("int64", "int32"):
        raise TypeRuleError(f"expects numbers of tokens [N, T] int64, got {type}", input=position)
    return type.with_dtype("int64")


Choice = Literal["start", "end"]

TokenizerArgument = InstanceOf[TokenizerKind]


class Tokenize(OfTokens):
    """Makes numbers of text: `tokens = tokenize(text): characters`.

    `tokens, segments = tokenize(premise, hypothesis)` makes one sequence of two texts, whose `segments` are 0 and 1.
    Of lists of words, `tokens, label = tokenize(words, tags)` gives each word's tag to its first token and -100 to the
    others, which losses leave out.
    """

    name: ClassVar[str] = "tokenize"
    main: ClassVar[str | None] = "tokenizer"
    strings: ClassVar[bool] = True
    fewer: ClassVar[bool] = True

    tokenizer: TokenizerArgument = Field(
        description="`characters`, `bytes`, `words`, `bpe`, `wordpiece`, `unigram` with their arguments, the file of "
        "one (`tokenizers/bert.json`), or `{same_as: source}`: that of an earlier entry."
    )
    max_length: int | None = Field(
        default=None, ge=1, description="Tokens that a text may have, the special ones included; the rest is cut off."
    )
    keep: Choice = Field(default="start", description="Which end of a text is kept where it is too long.")
    special_tokens: bool = Field(
        default=True,
        description="Whether `bos` or `cls` is put before a text and `eos` or `sep` behind it, where the vocabulary "
        "has them (of a file: as it says).",
    )

    _made: Any = PrivateAttr(default=None)
    _masks: bool = PrivateAttr(default=False)

    def limits(self) -> Limits:
        """What is done to a text besides."""
        from specdl.data.tokenizers.base import Limits

        return Limits(self.special_tokens, self.max_length, self.keep, self._masks)

    def with_masks(self) -> Self:
        """The transform for texts in which `<mask>` is to be filled in."""
        copy = self.model_copy()
        copy._masks = True
        return copy

    @property
    def made(self) -> Any:
        """Its tokenizer (`Tokenizer`), where it is at hand."""
        return self._made

    def with_tokenizer(self, tokenizer: Tokenizer) -> Self:
        """The transform with its tokenizer at hand."""
        copy = self.with_vocabulary(tokenizer.vocabulary)
        copy._made = tokenizer
        return copy

    def holds_tokens(self) -> tuple[bool, ...]:
        return True, False

    def recorded(self) -> dict[str, Any]:
        return {"max_length": self.max_length, "keep": self.keep, "special_tokens": self.special_tokens}

    def infer_fields(self, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
        first, *others = types
        if not first.text:
            help = None if first.rank != 2 else "it holds numbers already"
            raise TypeRuleError(f"makes numbers of text, got {first}", input=0, help=help)
        if len(types) > 2:
            raise TypeRuleError(f"takes one text, a pair of them, or words and their tags, got {len(types)} fields")
        tokens = TensorType((first.shape[0], fresh(most=self.max_length)), "int64")
        if not others:
            return (tokens,)
        (other,) = others
        if first.rank == 1 and other.text and other.rank == 1:
            return tokens, tokens
        if first.rank == 2 and other.dtype == "int64" and other.ragged and other.rank == 2:
            return tokens, tokens
        help = "a second field is another text of a pair, or the tags `[T]` of words `[T]`"
        raise TypeRuleError(f"can't take {other} beside {first}", input=1, help=help)

    def apply(self, fields: Sequence[Any], generator: torch.Generator) -> tuple[Any, ...]:
        tokenizer: Tokenizer = self._made
        limits = self.limits()
        texts = fields[0]
        if texts.offsets is not None:
            encoded = tokenizer.encode_words(texts, limits)
            assert encoded.words is not None
            return (encoded.tokens, *(_tagged(encoded.words, tags, texts.offsets) for tags in fields[1:]))
        if len(fields) == 1:
            return (tokenizer.encode(texts.values, limits).tokens,)
        encoded = tokenizer.encode_pairs(texts.values, fields[1].values, limits)
        assert encoded.segments is not None
        return encoded.tokens, encoded.segments


class PaddingMask(OfTokens):
    """Where a batch has tokens and where it is filled up: `attention_mask = padding_mask(tokens)`, true at tokens."""

    name: ClassVar[str] = "padding_mask"

    def holds_tokens(self) -> tuple[bool, ...]:
        return (False,)

    def infer_fields(self, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
        if len(types) != 1:
            raise TypeRuleError(f"takes one field, got {len(types)}", help="write `mask = padding_mask(tokens)`")
        return (require_tokens(types[0]).with_dtype("bool"),)

    def apply(self, fields: Sequence[Any], generator: torch.Generator) -> tuple[Any, ...]:
        import torch

        from specdl.data.columns import Ragged

        column = fields[0]
        if isinstance(column, Ragged):
            return (column.with_values(torch.ones_like(column.values, dtype=torch.bool), padding=0),)
        return (torch.ones_like(column, dtype=torch.bool),)


def _tagged(words: Ragged, tags: Any, offsets: Sequence[int]) -> Ragged:
    """Each word's tag at its first token, -100 elsewhere. Raises `SpecError` where words and tags differ in number."""
    import torch

    from specdl.data.columns import as_ragged

    tags = as_ragged(tags)
    wanted, found = torch.tensor(offsets).diff(), tags.lengths
    if not torch.equal(wanted, found.cpu()):
        at = int((wanted != found.cpu()).nonzero()[0])
        message = f"example {at + 1} has {int(wanted[at])} words, but {int(found[at])} tags"
        raise SpecError([Diagnostic("E0566", message, help="each word has one tag")])
    values = words.values
    before = torch.cat([values.new_full((1,), -2), values[:-1]])
    first = (values >= 0) & ((values != before) | (words.places() == 0))
    at = tags.offsets[:-1][words.owners()] + values
    label = torch.where(first, tags.values[at.clamp(min=0, max=max(len(tags.values) - 1, 0))], IGNORED)
    return words.with_values(label, padding=IGNORED)


def recorded_tokenizer(path: str) -> FromFile:
    """The tokenizer in a file that a run or an export kept."""
    return FromFile(path=path)


__all__ = ["IGNORED", "OfTokens", "PaddingMask", "Tokenize", "recorded_tokenizer", "require_tokens"]
