"""The vectors that a run learned for the tokens of its text, and which of them are near each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from specdl.data.tokenizers.base import Limits, Tokenizer
from specdl.diagnostics import Diagnostic, SpecError, did_you_mean
from specdl.training.evaluate import load_network
from specdl.training.model import Model
from specdl.training.run_folder import write_atomically
from specdl.training.tokenizers import kept_tokenizers


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A word and the cosine of the angle between its vector and the one that was asked for."""

    word: str
    cosine: float


@dataclass(frozen=True)
class WordVectors:
    """A vector for each token of a vocabulary: `vectors` is `[V, D]`, in the order of the tokenizer."""

    tokenizer: Tokenizer
    vectors: torch.Tensor

    def __getitem__(self, word: str) -> torch.Tensor:
        """The vector `[D]` of a word. Raises `SpecError` for one that isn't a single token."""
        return self.vectors[self._number(word)]

    def near(self, vector: torch.Tensor, top: int = 8, *, without: Sequence[str] = ()) -> list[Neighbour]:
        """The words whose vectors point most nearly where `vector` `[D]` does, nearest first."""
        cosines = self._directions @ nn.functional.normalize(vector, dim=0)
        for number in (*self.tokenizer.vocabulary.special, *map(self._number, without)):
            cosines[number] = -torch.inf
        values, numbers = cosines.topk(min(top, int(cosines.isfinite().sum())))
        tokens = self.tokenizer.vocabulary.tokens
        pairs = zip(numbers.tolist(), values.tolist(), strict=True)
        return [Neighbour(tokens[number], cosine) for number, cosine in pairs]

    def neighbours(self, word: str, top: int = 8) -> list[Neighbour]:
        """The words nearest to a word, itself left out. Raises `SpecError` for one that isn't a single token."""
        return self.near(self[word], top, without=[word])

    def save(self, path: str | Path) -> None:
        """Writes word2vec's text format: a line with both sizes, then a word and its numbers a line.

        Tokens that hold white space can't stand in it and are left out, as those that stand for no text are.
        """
        special, rows = self.tokenizer.vocabulary.special, self.vectors.tolist()
        lines = [
            " ".join([token, *(f"{value:.6g}" for value in row)])
            for number, (token, row) in enumerate(zip(self.tokenizer.vocabulary.tokens, rows, strict=True))
            if number not in special and len(token.split()) == 1 and token.strip() == token
        ]
        write_atomically(Path(path), "\n".join([f"{len(lines)} {self.vectors.shape[1]}", *lines, ""]))

    def _number(self, word: str) -> int:
        vocabulary = self.tokenizer.vocabulary
        numbers = self.tokenizer.encode([word], Limits(special=False)).tokens.row(0).tolist()
        if len(numbers) == 1 and numbers[0] not in vocabulary.special:
            return int(numbers[0])
        if len(numbers) > 1 and not vocabulary.special.intersection(numbers):
            help = "a vector belongs to a token: name one of " + ", ".join(
                f"`{vocabulary.tokens[at]}`" for at in numbers
            )
            raise SpecError([Diagnostic("E0640", f"`{word}` is {len(numbers)} tokens", help=help)])
        near = did_you_mean(word, vocabulary.tokens)
        raise SpecError([Diagnostic("E0640", f"the vocabulary has no `{word}`", help=near)])

    @cached_property
    def _directions(self) -> torch.Tensor:
        return nn.functional.normalize(self.vectors, dim=1)


def word_vectors(model: Model, folder: str | Path, tables: Sequence[str] = ()) -> WordVectors:
    """The vectors of a run's tokens, at its best checkpoint; `model` is its spec, compiled.

    They are the rows of the network's first table that has one for each token, or those of the `tables` that are
    named by their layers, added up (as GloVe's authors add words and contexts). Raises `SpecError` where there is no
    such table, or no tokenizer.
    """
    folder = Path(folder)
    data = None if model.recipe is None else model.recipe.data
    tokenizers = {} if data is None else kept_tokenizers(data, folder)
    if not tokenizers:
        raise SpecError([Diagnostic("E0640", f"`{folder}` has no tokenizer: its network reads no text")])
    tokenizer = next(iter(tokenizers.values()))
    size = tokenizer.vocabulary.size
    found = {
        name: module.weight.detach()
        for name, module in load_network(model, folder).named_modules()
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.num_embeddings >= size
    }
    if not found:
        message = f"the network of `{folder}` has no embedding with a row for each of {size:,} tokens"
        raise SpecError([Diagnostic("E0640", message)])
    wrong = [name for name in tables if name not in found]
    if wrong:
        known = ", ".join(f"`{name}`" for name in found)
        raise SpecError([Diagnostic("E0640", f"no table of vectors is called `{wrong[0]}`", help=f"known: {known}")])
    chosen = [found[name] for name in tables or list(found)[:1]]
    if len({table.shape[1] for table in chosen}) > 1:
        sizes = ", ".join(f"`{name}` {found[name].shape[1]}" for name in tables)
        raise SpecError([Diagnostic("E0640", f"vectors of several lengths can't be added: {sizes}")])
    return WordVectors(tokenizer, torch.stack([table[:size] for table in chosen]).sum(0))


__all__ = ["Neighbour", "WordVectors", "word_vectors"]
