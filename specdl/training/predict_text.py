"""What a network says about texts: one that was trained, one with weights from elsewhere, or an ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from specdl.data.columns import Columns, Ragged
from specdl.data.sources.reading import read_lines
from specdl.data.text_inference import TextInference
from specdl.data.tokenizers.base import Tokenizer
from specdl.diagnostics import Diagnostic, SpecError
from specdl.training.guesses import Guess, best

_BATCH = 64

TextNetwork = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]
"""Inputs by name give the last output."""


@dataclass(frozen=True, slots=True)
class TextPrediction:
    """What a network says about a text.

    `top` are the likeliest classes, best first: of the text, or the tokens that may follow it. `tokens` has guesses for
    single tokens: their classes, or what may stand for each mask. `output` is the last output for this text alone,
    without the batch axis and what was padded.
    """

    text: str
    top: tuple[Guess, ...]
    output: torch.Tensor
    tokens: tuple[tuple[str, tuple[Guess, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class TextPredictor:
    """A network of texts and how it is used."""

    network: TextNetwork
    inference: TextInference

    def __call__(self, texts: Sequence[str], *, top: int = 3) -> list[TextPrediction]:
        """What it says about each text, with the `top` likeliest classes. Parts of a pair have a tab between them.

        Raises `SpecError` for a text that can't be used.
        """
        parts = [_parts(text, self.inference.sources) for text in texts]
        found: list[TextPrediction] = []
        for start in range(0, len(parts), _BATCH):
            columns = self.inference.columns(parts[start : start + _BATCH])
            outputs = self.network(self.inference.encode(columns))
            for at, text in enumerate(texts[start : start + _BATCH]):
                found.append(self._prediction(text, columns, at, outputs[at], top))
        return found

    def _prediction(self, text: str, columns: Columns, at: int, output: torch.Tensor, top: int) -> TextPrediction:
        inference = self.inference
        numbers = _tokens(columns, at)
        if inference.kind in ("token_classes", "next_token", "masked_token"):
            if numbers is None or not len(numbers):
                raise _unusable(text, "has no tokens")
            output = output[: len(numbers)]
        if inference.kind == "classes":
            return TextPrediction(text, best(output, inference.classes, top), output)
        if inference.kind not in ("token_classes", "next_token", "masked_token"):
            return TextPrediction(text, (), output)
        assert numbers is not None
        if inference.kind == "token_classes":
            return TextPrediction(text, (), output, tuple(self._classes(text, numbers, output, top)))
        tokenizer = inference.tokenizers[str(inference.output)]
        vocabulary = tokenizer.vocabulary
        if inference.kind == "next_token":
            return TextPrediction(text, _likely(output[-1], tokenizer, top), output)
        places = (numbers == vocabulary.roles["mask"]).nonzero().flatten().tolist()
        if not places:
            mask = vocabulary.tokens[vocabulary.roles["mask"]]
            raise _unusable(text, f"has no `{mask}` for the network to fill in")
        tokens = tuple((f"{place}", _likely(output[place], tokenizer, top)) for place in places)
        return TextPrediction(text, (), output, tokens)

    def _classes(
        self, text: str, numbers: torch.Tensor, output: torch.Tensor, top: int
    ) -> Iterator[tuple[str, tuple[Guess, ...]]]:
        """The classes of each word, told by its first token; of each token where the text is no list of words."""
        words = self.inference.words(text)
        if words is None:
            vocabulary = next(iter(self.inference.tokenizers.values())).vocabulary
            shown = [at for at, number in enumerate(numbers.tolist()) if number not in vocabulary.special]
            words = [vocabulary.tokens[int(numbers[at])] for at in shown], shown
        for word, at in zip(*words, strict=True):
            yield word, best(output[at], self.inference.classes, top)


def similar(predictions: Sequence[TextPrediction], top: int) -> list[tuple[tuple[TextPrediction, float], ...]]:
    """For each text whose output is a vector, the `top` other ones most like it, with the cosine of the two vectors."""
    vectors = torch.nn.functional.normalize(torch.stack([item.output.float() for item in predictions]), dim=1)
    found = []
    for at, row in enumerate(vectors @ vectors.T):
        order = [other for other in row.argsort(descending=True, stable=True).tolist() if other != at]
        found.append(tuple((predictions[other], float(row[other])) for other in order[:top]))
    return found


def _likely(scores: torch.Tensor, tokenizer: Tokenizer, top: int) -> tuple[Guess, ...]:
    """The likeliest tokens as they read in a text."""
    known = scores[: tokenizer.vocabulary.size]  # a network may have room for more tokens than there are
    guesses = best(known, None, top)
    texts = [tokenizer.decode([int(guess.label)], special=True) for guess in guesses]
    return tuple(Guess(text, guess.probability) for text, guess in zip(texts, guesses, strict=True))


def _tokens(columns: Columns, at: int) -> torch.Tensor | None:
    """The tokens of an example."""
    column = next((column for column in columns.values() if isinstance(column, Ragged)), None)
    return None if column is None else column.row(at)


def _parts(text: str, sources: Sequence[str]) -> list[str]:
    parts = text.split("\t") if len(sources) > 1 else [text]
    if len(parts) != len(sources):
        wanted = " and ".join(f"`{name}`" for name in sources)
        raise _unusable(text, f"has {len(parts)} parts, not {len(sources)}: {wanted} have a tab between them")
    return parts


def _unusable(text: str, reason: str) -> SpecError:
    return SpecError([Diagnostic("E0608", f"the text `{text[:60]}` {reason}")])


def texts_of(files: Sequence[str | Path]) -> list[str]:
    """The texts in some files, one a line, blank lines left out. Raises `SpecError`."""
    found: list[str] = []
    for file in files:
        lines, bad = read_lines(str(file))
        if bad:
            raise SpecError([Diagnostic("E0608", f"can't read `{item.name}`: it {item.reason}") for item in bad])
        found += [line for _, line in lines]
    return found


__all__ = ["TextPrediction", "TextPredictor", "similar", "texts_of"]
