"""Pairs of sentences that follow each other, or don't: what BERT learns beside masked tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from specdl.data.transforms.base import Transform, fresh
from specdl.data.transforms.text import OfTokens, TokenizerArgument, require_tokens
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError

if TYPE_CHECKING:
    import torch

    from specdl.data.columns import Chosen, Column


class NextSentence(OfTokens):
    """Two sentences as one sequence, and whether the second follows the first: `tokens, segments, label =
    next_sentence(tokens, document)`.

    Examples are sentences in their order, as `text` gives them with `unit: line`; `document` says which belong
    together. The label is 0 where the second one follows, 1 where it was drawn from elsewhere, as in `transformers`.
    """

    name: ClassVar[str] = "next_sentence"
    main: ClassVar[str | None] = "max_length"
    reference: ClassVar[str] = "https://arxiv.org/abs/1810.04805"
    arranged: ClassVar[int] = 2
    random: ClassVar[bool] = True
    informed: ClassVar[bool] = True
    objective: ClassVar[bool] = True

    max_length: int = Field(default=128, ge=4, description="Tokens that a pair may have, the special ones included.")
    probability: float = Field(
        default=0.5, ge=0, le=1, description="How often the second sentence is another than the one that follows."
    )

    def evaluation(self) -> tuple[Transform, ...]:
        return (self,)

    def holds_tokens(self) -> tuple[bool, ...]:
        return True, False, False

    def infer_fields(self, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
        tokens = require_tokens(types[0])
        if len(types) > 2 or (len(types) == 2 and (types[1].rank != 1 or types[1].floating)):
            help = "write `next_sentence(tokens, document)`, with `source: {text: {unit: line}}`"
            raise TypeRuleError("takes tokens, and the number of the document that each sentence is of", help=help)
        pair = tokens.with_shape(tokens.shape[0], fresh(most=self.max_length))
        return pair, pair, TensorType((tokens.shape[0],), "int64")

    def arrange(self, fields: Sequence[Column]) -> tuple[Column, ...]:
        import torch

        from specdl.data.columns import Chosen, as_ragged

        sentences = as_ragged(fields[0])
        for end in (self.vocabulary.begin, self.vocabulary.end):
            if end is not None:
                sentences = sentences.keep(sentences.values != end)
        count = len(sentences)
        places = torch.arange(count, device=sentences.offsets.device)
        first = places[:-1]
        # What the other sentence isn't drawn from: the document, or (where all are one) the pair itself.
        starts, ends = first, first + 2
        if len(fields) == 2:
            documents = fields[1]
            assert isinstance(documents, torch.Tensor)
            first = first[documents[:-1] == documents[1:]]
            begins = torch.cat([places[:1] == 0, documents[1:] != documents[:-1]]).cumsum(0) - 1
            bounds = torch.cat([torch.bincount(begins).cumsum(0).new_zeros(1), torch.bincount(begins).cumsum(0)])
            starts, ends = bounds[begins[first]], bounds[begins[first] + 1]
            if len(bounds) == 2:
                starts, ends = first, first + 2
        if not len(first) or count < 3:
            raise ValueError("has no two sentences of one document, and a third to draw")
        return Chosen(sentences, first), torch.stack([starts, ends], dim=1)

    def apply(self, fields: Sequence[Any], generator: torch.Generator) -> tuple[Any, ...]:
        import torch

        from specdl.data.tokenizers.pairs import join_pairs

        chosen: Chosen = fields[0]
        bounds: torch.Tensor = fields[1]
        first, (starts, ends) = chosen.indices, bounds.unbind(1)
        elsewhere = torch.rand(len(first), generator=generator) < self.probability
        drawn = torch.rand(len(first), generator=generator, dtype=torch.float64).to(first.device)
        outside = len(chosen.items) - (ends - starts)
        other = torch.minimum((drawn * outside).long(), outside - 1)
        other = torch.where(other < starts, other, other + ends - starts)
        label = elsewhere.long().to(first.device)
        second = torch.where(label == 1, other, first + 1)
        pairs = join_pairs(
            chosen.items.index_select(0, first),
            chosen.items.index_select(0, second),
            (self.vocabulary.begin, self.vocabulary.end),
            self.max_length,
            self.vocabulary.padding,
        )
        return *pairs, label


class SentencePair(OfTokens):
    """Pairs of sentences straight from text: `tokens, segments, label = sentence_pair(text): {tokenizer: wordpiece}`.

    Short for `tokenize` and `next_sentence` behind it. Sentences are of one document where the source's `document`
    says so, as that of `text_pairs` does.
    """

    name: ClassVar[str] = "sentence_pair"
    main: ClassVar[str | None] = "tokenizer"
    strings: ClassVar[bool] = True
    arranged: ClassVar[int] = NextSentence.arranged
    objective: ClassVar[bool] = True

    tokenizer: TokenizerArgument = Field(description="As that of `tokenize`.")
    max_length: int = Field(default=128, ge=4, description="Tokens that a pair may have, the special ones included.")
    share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        alias="random",
        description="How often the second sentence is another than the one that follows.",
    )


__all__ = ["NextSentence", "SentencePair"]
