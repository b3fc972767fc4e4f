"""A trained language model writes: it goes on with a text, or answers one (an encoder with a decoder).

Text comes out as soon as it is sure: a letter of several bytes waits for its last byte, and what may become one of the
texts to stop at waits for the next token.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from specdl.data.columns import Ragged
from specdl.data.text_inference import Continuation, TextInference, steps_to
from specdl.data.tokenizers.base import Tokenizer
from specdl.diagnostics import Diagnostic, SpecError
from specdl.ir.dims import SymDim, extent, symbols_of
from specdl.passes.piecewise import Obstacle, Piecewise
from specdl.training.decoding import Choice, search, write
from specdl.training.evaluate import load_network
from specdl.training.inference import inference_of, inference_of_run
from specdl.training.model import Model
from specdl.training.speaker import GrowingInputs, Pieces, Whole, cut, in_pieces

TEMPERATURE = 0.8
"""Of a network that goes on with a text; one that answers takes the likeliest tokens."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a text is written. None for `temperature` is what suits the network, for `seed` another one each time."""

    max_tokens: int = 200
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    beam: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(slots=True)
class Generation:
    """A text in the making. Iterating over it writes it, and gives each new part.

    Then `tokens` and `text` are what was written, and `ended` says why it ended: at the token that ends a text
    (`end`), before a text to stop at (`stop`), or because it is long enough (`length`). `score` is that of the best
    beam, `seed` that of the draws, None where nothing is drawn, and `seconds` the time since the first token was asked
    for.
    """

    seed: int | None
    parts: Iterator[str] = field(default_factory=lambda: iter(()), repr=False)
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    ended: str = "length"
    score: float | None = None
    seconds: float = 0.0

    def __iter__(self) -> Iterator[str]:
        return self.parts


class Generator:
    """A network that writes texts, and how it is used.

    `obstacle` says what keeps it from working piece by piece; None where it does, or where `cache` is False.
    """

    def __init__(self, model: Model, network: nn.Module, inference: TextInference, *, cache: bool = True) -> None:
        if inference.continues is None:
            raise _refused("it doesn't say what follows a text")
        self.inference, self.continues = inference, inference.continues
        self.tokenizer = inference.tokenizers[str(inference.output)]
        grows, self.fixed, bound = _inputs(model, inference, self.continues)
        self.answers = bool(self.fixed)
        made = cut(model.program, grows, self.fixed)
        self.obstacle = made if cache and isinstance(made, Obstacle) else None
        if isinstance(made, Piecewise) and made.limit is not None:
            bound = made.limit if bound is None else min(bound, made.limit)
        self.speaker: Whole | Pieces
        if cache and isinstance(made, Piecewise):
            self.speaker = Pieces(in_pieces(made, network), grows, bound, made.once)
        else:
            self.speaker = Whole(network.eval(), grows, bound)

    @property
    def cached(self) -> bool:
        """Whether it keeps what it worked out for the tokens before."""
        return isinstance(self.speaker, Pieces)

    def __call__(self, prompt: str, options: Options | None = None) -> Generation:
        """The text that follows a prompt, whole. Raises `SpecError` for a prompt that can't be used."""
        made = self.stream(prompt, options)
        for _ in made:
            pass
        return made

    def stream(self, prompt: str, options: Options | None = None) -> Generation:
        """The text that follows a prompt, to be written. Raises `SpecError` for a prompt that can't be used."""
        options = options or Options()
        begin, fixed = self._begin(prompt)
        made = Generation(None)
        if options.beam is None and self._temperature(options) > 0:
            made.seed = secrets.randbelow(2**31) if options.seed is None else options.seed
        made.parts = self._parts(made, options, begin, fixed)
        return made

    def _parts(self, made: Generation, options: Options, begin: Tensor, fixed: Mapping[str, Tensor]) -> Iterator[str]:
        """Writes, and gives the parts of the text."""
        begun = time.perf_counter()
        self.speaker.begin(fixed)
        ends = self.tokenizer.vocabulary.ends
        reader = _Reader(self.tokenizer, options.stop)
        for token in self._tokens(made, options, begin, ends):
            made.tokens.append(token)
            new = "" if token in ends else reader.add(token)
            made.ended = "end" if token in ends else "stop" if reader.stopped else "length"
            made.text += new
            made.seconds = time.perf_counter() - begun
            if new:
                yield new
            if reader.stopped:
                break
        rest = reader.rest()
        made.text += rest
        if rest:
            yield rest

    def _tokens(self, made: Generation, options: Options, begin: Tensor, ends: frozenset[int]) -> Iterator[int]:
        """The tokens, as they are chosen or found."""
        most = options.max_tokens
        if self.answers and self.speaker.limit is not None:  # it can't go on without where it began
            most = min(most, self.speaker.limit - begin.shape[1] + 1)
        speaker = _Known(self.speaker, self.tokenizer.vocabulary.size)
        if options.beam is not None:
            best = search(speaker, begin, most, options.beam, ends)[0]
            made.score = best.score
            return iter(best.tokens)
        choice = Choice(self._temperature(options), options.top_k, options.top_p)
        return write(speaker, begin, most, choice, torch.Generator().manual_seed(made.seed or 0), ends)

    def _temperature(self, options: Options) -> float:
        """That of the options, or what suits the network."""
        if options.temperature is not None:
            return options.temperature
        return 0.0 if self.answers else TEMPERATURE

    def _begin(self, prompt: str) -> tuple[Tensor, dict[str, Tensor]]:
        """The tokens `[1, T]` that are there at first, and the inputs that stay the same."""
        sources = self.inference.sources
        if not self.answers:
            tokens = _row(self.inference.columns([[prompt]])[self.continues.input])
            if not prompt and not len(tokens) and "\n" in self.tokenizer.vocabulary.tokens:
                return self._begin("\n")
            if not len(tokens):
                help = "the vocabulary has no token that a text begins with, so give it some: `--prompt`"
                raise SpecError([Diagnostic("E0608", "the prompt has no tokens", help=help)])
            return tokens[None], {}
        told = [name for name in sources if name not in self._own_sources()]
        parts = prompt.split("\t") if len(told) > 1 else [prompt]
        if len(parts) != len(told):
            wanted = " and ".join(f"`{name}`" for name in told)
            message = f"the prompt has {len(parts)} parts, not {len(told)}: {wanted} have a tab between them"
            raise SpecError([Diagnostic("E0608", message)])
        texts = dict(zip(told, parts, strict=True))
        columns = self.inference.columns([[texts.get(name, "") for name in sources]])
        own = _row(columns[self.continues.input]).tolist() if self.continues.input in columns else []
        start = [] if self.continues.start is None else [self.continues.start]
        if self.continues.start is not None and own[:1] == start:
            own = own[1:]
        if not [*start, *own]:
            raise _refused("nothing says what an answer begins with: give the vocabulary a `bos`")
        tensors = self.inference.encode(columns)
        return torch.tensor([[*start, *own]]), {name: tensors[name] for name in self.fixed}

    def _own_sources(self) -> set[str]:
        """The texts that tell only what the network says itself."""
        _, own = steps_to([self.continues.input], self.inference.steps)
        names = {name.removesuffix("_mask").removesuffix("_length") for name in self.fixed}
        _, others = steps_to(names, self.inference.steps)
        return own - others


def _row(column: object) -> Tensor:
    """The tokens of the only example."""
    return column.row(0) if isinstance(column, Ragged) else torch.as_tensor(column)[0]


class _Known:
    """A speaker that says only tokens which there are: a network may have room for more."""

    def __init__(self, speaker: Whole | Pieces, size: int) -> None:
        self.speaker, self.size = speaker, size

    def scores(self, tokens: Tensor) -> Tensor:
        return self.speaker.scores(tokens)[:, : self.size]

    def reorder(self, rows: Tensor) -> None:
        self.speaker.reorder(rows)


class _Reader:
    """Makes text of tokens as they come, up to one of the texts to stop at."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str]) -> None:
        self.tokenizer, self.stop = tokenizer, [text for text in stop if text]
        self.hidden = frozenset(tokenizer.vocabulary.roles.values())
        self.tokens: list[int] = []
        self.shown = self.read = 0
        self.waiting = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """The text that a further token makes sure."""
        if token in self.hidden:
            return ""
        self.tokens.append(token)
        before = self._text(self.shown, self.read)
        now = self._text(self.shown, len(self.tokens))
        if len(now) <= len(before) or now.endswith("\ufffd"):  # a letter lacks some of its bytes
            return ""
        self.shown, self.read = self.read, len(self.tokens)
        self.waiting += now[len(before) :]
        return self._sure()

    def rest(self) -> str:
        """What was waiting, at the end."""
        if self.stopped:
            return ""
        before = self._text(self.shown, self.read)
        left = self._text(self.shown, len(self.tokens))[len(before) :]
        found, self.waiting = self.waiting + left, ""
        return found

    def _text(self, start: int, end: int) -> str:
        return self.tokenizer.decode(self.tokens[start:end], special=True)

    def _sure(self) -> str:
        """The waiting text up to a text to stop at, without what may be the beginning of one."""
        at = min((place for text in self.stop if (place := self.waiting.find(text)) >= 0), default=-1)
        if at >= 0:
            self.stopped = True
            return self.waiting[:at]
        held = max(
            (size for text in self.stop for size in range(1, len(text)) if self.waiting.endswith(text[:size])),
            default=0,
        )
        cut = len(self.waiting) - held
        found, self.waiting = self.waiting[:cut], self.waiting[cut:]
        return found


def _inputs(
    model: Model, inference: TextInference, continues: Continuation
) -> tuple[GrowingInputs, tuple[str, ...], int | None]:
    """The inputs that grow with the text, those that stay the same, and how many tokens the network takes.

    Raises `SpecError` where another input would have to grow.
    """
    types = {value.name: value for value in model.program.main.inputs}
    size = types[continues.input].type.shape[1]
    symbols = size.symbols() if isinstance(size, SymDim) else frozenset()
    masks: list[str] = []
    length: str | None = None
    fixed: list[str] = []
    for name, value in types.items():
        if name == continues.input:
            continue
        moves = bool(symbols & symbols_of(value.type.shape))
        if name == f"{continues.input}_length":
            length = None if value.optional else name
        elif value.optional and (moves or name not in inference.inputs):
            continue
        elif moves and value.type.dtype == "bool" and value.type.rank == 2:
            masks.append(name)
        elif not moves and name in inference.inputs:
            fixed.append(name)
        else:
            raise _refused(f"nothing says what its input `{name}` is for tokens that it writes itself")
    bound = extent(size)[1]
    limit = None if bound == float("inf") else int(bound)
    return GrowingInputs(continues.input, tuple(masks), length), tuple(fixed), limit


def of_run(model: Model, folder: str | Path, *, cache: bool = True) -> Generator:
    """The network of a run, at its best checkpoint. Raises `SpecError` where it writes no text."""
    path = Path(folder)
    return _generator(model, load_network(model, path), inference_of_run(model, path), cache)


def of_spec(model: Model, network: nn.Module, *, cache: bool = True) -> Generator:
    """A network of a spec with its weights. Raises `SpecError` where it writes no text."""
    return _generator(model, network.eval(), inference_of(model), cache)


def _generator(model: Model, network: nn.Module, inference: object, cache: bool) -> Generator:
    if not isinstance(inference, TextInference) or inference.kind != "next_token":
        raise _refused("it doesn't say what follows a text")
    return Generator(model, network, inference, cache=cache)


def _refused(reason: str) -> SpecError:
    help = "a network that writes learned with `next_token`, or with `shift_right` for its decoder"
    return SpecError([Diagnostic("E0610", f"this network can't go on with a text: {reason}", help=help)])


__all__ = ["Generation", "Generator", "Options", "of_run", "of_spec"]
