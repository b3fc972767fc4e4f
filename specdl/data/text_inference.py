"""What a trained network of texts needs to be used on others: its tokenizers, how a text becomes its inputs, and what
its output means.

As for images (inference.py), it is kept beside a run's checkpoints and in an ONNX file's metadata. The tokenizers are
files of their own, `tokenizer.json`, beside either; their checksums tell whether they are still the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ValidationError

from specdl.data.columns import Columns, Ragged, Strings, Tensors, collate, strings
from specdl.data.inference import KEY, VERSION, transform_of
from specdl.data.pipeline import Step
from specdl.data.tokenizers.base import Tokenizer
from specdl.data.tokenizers.files import read_tokenizer
from specdl.data.transforms.text import Tokenize, recorded_tokenizer
from specdl.diagnostics import Diagnostic, SpecError

TextKind = Literal["classes", "numbers", "values", "token_classes", "next_token", "masked_token"]
"""What a network says of a text: a class, numbers, other values, a class for each token, or tokens."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """How a network goes on with a text: the `input` that grows, and the token that it starts with, where one does."""

    input: str
    start: int | None = None


@dataclass(frozen=True, slots=True)
class TextInference:
    """How texts become the inputs of a network, and what the output means.

    `sources` are the texts that it is given (two for a pair); the `steps` make the network's `inputs` of them.
    `tokenizers` are by the names of their files; `output` is the one whose tokens the network says. `objectives` are
    the transforms that only trained it, as plain data; `split` are the sources that are lists of words;
    `longest` says how many tokens an input may have, where the network has a bound. `continues` is how it writes text;
    the input that grows isn't among `inputs` where no text tells what it is.
    """

    inputs: tuple[str, ...]
    sources: tuple[str, ...]
    steps: tuple[Step, ...]
    kind: TextKind
    tokenizers: Mapping[str, Tokenizer]
    output: str | None = None
    classes: tuple[str, ...] | None = None
    objectives: tuple[Mapping[str, Any], ...] = ()
    split: tuple[str, ...] = ()
    longest: Mapping[str, int] = field(default_factory=dict)
    ragged: Mapping[str, int | float] = field(default_factory=dict)
    continues: Continuation | None = None
    said: str | None = None
    """The output that tells it; the last one unless named."""

    @property
    def complete(self) -> bool:
        """Whether texts tell all inputs: those of a decoder that is given its own words aren't known."""
        return self.continues is None or self.continues.input in self.inputs

    def columns(self, texts: Sequence[Sequence[str]]) -> Columns:
        """The fields behind the steps, for texts of which each has as many parts as there are sources."""
        import torch

        fields: Columns = {}
        for at, name in enumerate(self.sources):
            given = [text[at] for text in texts]
            fields[name] = strings([text.split() for text in given]) if name in self.split else Strings(given)
        for step in self.steps:
            step.run(fields, torch.Generator())
        fields = {name: self._open(column) if self._goes_on(name) else column for name, column in fields.items()}
        for name, most in self.longest.items():
            fields[name] = self._limited(name, fields[name], most, texts)
        return fields

    def _goes_on(self, name: str) -> bool:
        """Whether the network goes on with the tokens of a field; what its encoder reads is whole."""
        return self.kind == "next_token" and (self.continues is None or self.continues.input == name)

    def _limited(self, name: str, column: Any, most: int, texts: Sequence[Sequence[str]]) -> Any:
        """Tokens that the network takes: the last ones, where it goes on from them. Raises `SpecError` for too many."""
        if not isinstance(column, Ragged):
            return column
        if self._goes_on(name):
            return column.limited(most, end=False)
        for text, length in zip(texts, column.lengths.tolist(), strict=True):
            if length > most:
                message = f"the text `{' '.join(text)[:60]}` has {length:,} tokens, the network takes {most:,} at most"
                raise SpecError([Diagnostic("E0608", message, help="shorten it")])
        return column

    def words(self, text: str) -> tuple[list[str], list[int]] | None:
        """The words of a text and the place of each one's first token; None where its source is no list of words."""
        step = next((step for step in self.steps if step.inputs[0] in self.split), None)
        if step is None or not isinstance(step.transform, Tokenize):
            return None
        words = text.split()
        owners = step.transform.made.encode_words(strings([words]), step.transform.limits()).words.row(0).tolist()
        first = {word: at for at, word in reversed(list(enumerate(owners))) if word >= 0}
        return [words[word] for word in sorted(first)], [first[word] for word in sorted(first)]

    def encode(self, columns: Columns) -> Tensors:
        """The network's inputs, one batch."""
        tensors = collate(columns, self.ragged)
        return {name: tensors[name] for name in self.inputs}

    def _open(self, column: Any) -> Any:
        """Tokens without the one that ends a text: the network is to go on."""
        end = None if self.output is None else self.tokenizers[self.output].vocabulary.end
        if end is None or not isinstance(column, Ragged):
            return column
        last = column.places() == column.lengths.repeat_interleave(column.lengths) - 1
        return column.keep(~(last & (column.values == end)))

    def as_json(self) -> dict[str, Any]:
        """Plain data, from which `from_json` makes it again."""
        names = {id(made): name for name, made in self.tokenizers.items()}
        return {
            "version": VERSION,
            "source": "text",
            "inputs": list(self.inputs),
            "sources": list(self.sources),
            "transforms": [_recorded(step, names) for step in self.steps],
            "output": self.kind,
            **({} if self.classes is None else {"classes": list(self.classes)}),
            **({} if self.output is None else {"vocabulary": self.output}),
            "split": list(self.split),
            "longest": dict(self.longest),
            "tokenizers": {name: checksum(made.text()) for name, made in self.tokenizers.items()},
            "objectives": [dict(item) for item in self.objectives],
            "padding": dict(self.ragged),
            **({} if self.continues is None else {"continues": asdict(self.continues)}),
            **({} if self.said is None else {"said": self.said}),
        }

    def text(self) -> str:
        """`as_json` as the text of a file."""
        return json.dumps(self.as_json(), indent=1, ensure_ascii=False) + "\n"

    def files(self) -> dict[str, str]:
        """The texts of the tokenizers' files."""
        return {name: made.text() for name, made in self.tokenizers.items()}

    def check_place(self, path: Path) -> None:
        """Refuses to write the tokenizers' files over others than those of an earlier export. Raises `SpecError`."""
        try:
            earlier = json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))["tokenizers"].values()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            earlier = ()
        for name, text in self.files().items():
            try:
                found = path.with_name(name).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            if found != text and checksum(found) not in earlier:
                message = f"`{path.with_name(name)}` is another tokenizer, which the export would replace"
                raise SpecError([Diagnostic("E0568", message, help="export into a folder of its own")])

    def metadata(self) -> dict[str, str]:
        """The same as texts for the metadata of an ONNX file."""
        found = {KEY: json.dumps(self.as_json(), ensure_ascii=False)}
        return found if self.classes is None else {**found, "classes": json.dumps(self.classes, ensure_ascii=False)}


def checksum(text: str) -> str:
    """What tells a file's text from others."""
    return hashlib.sha256(text.encode()).hexdigest()


def _recorded(step: Step, names: Mapping[int, str]) -> dict[str, Any]:
    arguments = step.transform.recorded()
    if isinstance(step.transform, Tokenize):
        arguments["tokenizer"] = names[id(step.transform.made)]
    return {
        "transform": step.transform.name,
        "inputs": list(step.inputs),
        "outputs": list(step.outputs),
        "arguments": arguments,
    }


def is_text(data: Any) -> bool:
    """Whether recorded data is of a network of texts."""
    return isinstance(data, Mapping) and data.get("source") == "text"


def from_json(data: Any, folder: Path) -> TextInference:
    """The inverse of `TextInference.as_json`; the tokenizers are in `folder`. Raises `ValueError` for anything else."""
    try:
        if data["version"] != VERSION:
            raise ValueError(f"it has version {data['version']}, this program reads {VERSION}")
        tokenizers = {name: _read(folder, name, wanted) for name, wanted in data["tokenizers"].items()}
        masks = data["output"] == "masked_token"
        steps = tuple(_step(item, tokenizers, masks) for item in data["transforms"])
        classes = None if data.get("classes") is None else tuple(map(str, data["classes"]))
        if data["output"] not in get_args(TextKind):
            raise ValueError(f"its output is `{data['output']}`, which this program doesn't know")
        return TextInference(
            tuple(data["inputs"]),
            tuple(data["sources"]),
            steps,
            data["output"],
            tokenizers,
            data.get("vocabulary"),
            classes,
            tuple(data.get("objectives", ())),
            tuple(data["split"]),
            dict(data["longest"]),
            dict(data.get("padding", {})),
            None if data.get("continues") is None else Continuation(**data["continues"]),
            data.get("said"),
        )
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise ValueError(f"it lacks, or holds a wrong, {error}") from error


def _read(folder: Path, name: str, wanted: str) -> Tokenizer:
    path = folder / name
    if path.parent != folder:
        raise ValueError(f"`{name}` is not the name of a file beside it")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"its tokenizer `{path}` can't be read: {getattr(error, 'strerror', error)}") from error
    if checksum(text) != wanted:
        raise ValueError(f"`{path}` is another tokenizer than the one that it was trained with")
    try:
        return read_tokenizer(text, f"`{path}`")
    except ValueError as error:
        raise ValueError(f"its tokenizer `{path}`: {error}") from error


def _step(item: Mapping[str, Any], tokenizers: Mapping[str, Tokenizer], masks: bool) -> Step:
    arguments = dict(item["arguments"])
    if item["transform"] == Tokenize.name:
        name = arguments.pop("tokenizer")
        transform = Tokenize(tokenizer=recorded_tokenizer(name), **arguments).with_tokenizer(tokenizers[name])
        transform = transform.with_masks() if masks else transform
        return Step(transform, tuple(item["inputs"]), tuple(item["outputs"]))
    return Step(transform_of(item["transform"], arguments), tuple(item["inputs"]), tuple(item["outputs"]))


def steps_to(targets: Iterable[str], steps: Sequence[Step]) -> tuple[tuple[Step, ...], set[str]]:
    """Those of some steps that make some fields, and the fields that these are made of."""
    needed, found = set(targets), []
    for step in reversed(steps):
        if needed.intersection(step.outputs):
            needed = (needed - set(step.outputs)) | set(step.inputs)
            found.append(step)
    return tuple(reversed(found)), needed


__all__ = ["Continuation", "TextInference", "TextKind", "checksum", "from_json", "is_text", "steps_to"]
