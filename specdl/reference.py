"""What `specdl explain conv2d` and the reference page say: each word of the language with its arguments and an example.

Everything comes from the classes that declare the words; only the values in an example are chosen here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from specdl.data.sources import SOURCES
from specdl.data.transforms import BATCH_TRANSFORMS, TRANSFORMS
from specdl.objectives.losses import LOSSES
from specdl.objectives.metrics import METRICS
from specdl.objectives.optimizers import OPTIMIZERS
from specdl.objectives.schedulers import SCHEDULERS
from specdl.objectives.steps import STEP_OPS
from specdl.ops import OPERATORS
from specdl.spec.data import DataSection
from specdl.spec.recipe import Train
from specdl.spec.schema import STRUCTURE


@dataclass(frozen=True, slots=True)
class ArgumentEntry:
    """One argument: its type and its default in a spec's words; `default` is None for a required one."""

    name: str
    type: str
    default: str | None
    description: str
    main: bool

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is None


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the language: an operator, a loss, an optimizer, …"""

    name: str
    kind: str
    description: str
    arguments: tuple[ArgumentEntry, ...]
    inputs: tuple[str, ...] | None
    outputs: tuple[str, ...]
    link: str
    example: str


_TABLES: tuple[tuple[str, Mapping[str, type[BaseModel]]], ...] = (
    ("operator", OPERATORS),
    ("operator of training steps", STEP_OPS),
    ("loss", LOSSES),
    ("optimizer", OPTIMIZERS),
    ("scheduler", SCHEDULERS),
    ("metric", METRICS),
    ("data source", SOURCES),
    ("transform", TRANSFORMS),
    ("batch transform", BATCH_TRANSFORMS),
)


def word_names() -> tuple[str, ...]:
    """Every word that can be explained, in alphabetical order."""
    names = {name for _, table in _TABLES for name in table}
    return tuple(sorted(names | STRUCTURE.keys() | _SECTIONS.keys()))


def explain_word(name: str) -> tuple[Word, ...]:
    """All that a word means: `linear` is an operator and a scheduler."""
    found = [_word(name, kind, table[name]) for kind, table in _TABLES if name in table]
    if name in STRUCTURE and name not in OPERATORS:
        found.append(Word(name, "structure", STRUCTURE[name], (), None, ("output",), "", _STRUCTURES[name]))
    sections: dict[str, type[BaseModel]] = {"data": DataSection, "train": Train}
    if name in sections:
        found.append(_word(name, "section", sections[name]))
    return tuple(found)


def summaries() -> Iterator[tuple[str, str]]:
    """Every word with the first sentence about it, without building its arguments."""
    tables = dict(pair for _, table in reversed(_TABLES) for pair in table.items())
    for name in word_names():
        text = " ".join((tables[name].__doc__ or "").split()) if name in tables else STRUCTURE.get(name, "A section.")
        yield name, re.split(r"(?<=[.:;])\s", text)[0]


def _word(name: str, kind: str, cls: type[BaseModel]) -> Word:
    inputs = getattr(cls, "inputs", None)
    outputs = tuple(getattr(cls, "outputs", ("output",)))
    family = getattr(cls, "family", None)
    return Word(
        name=name,
        kind=f"{kind}, {family}" if kind == "operator" and family else kind,
        description=" ".join((cls.__doc__ or "").split()),
        arguments=arguments(cls),
        inputs=None if inputs is None or kind == "data source" else tuple(inputs),
        outputs=outputs,
        link=getattr(cls, "reference", ""),
        example=_example(name, kind, cls),
    )


# ---- arguments ---------------------------------------------------------------------------------------


def arguments(cls: type[BaseModel]) -> tuple[ArgumentEntry, ...]:
    """The fields of a class, in their order."""
    if not cls.model_fields:
        return ()
    schema = cls.model_json_schema(by_alias=True)
    main = getattr(cls, "main", None)
    return tuple(
        ArgumentEntry(
            name=field.alias or name,
            type=type_words(schema["properties"].get(field.alias or name, {})),
            default=None if field.is_required() else plain(field.get_default(call_default_factory=True)),
            description=field.description or "",
            main=name == main,
        )
        for name, field in cls.model_fields.items()
    )


def plain(value: Any) -> str:
    """A default as YAML writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, BaseModel):
        given = {name: plain(getattr(value, name)) for name in type(value).model_fields}
        return "{" + ", ".join(f"{name}: {item}" for name, item in given.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(plain, value)) + "]"
    if isinstance(value, float):
        return re.sub(r"e-0", "e-", repr(value))
    return str(getattr(value, "name", value))


def type_words(schema: Mapping[str, Any]) -> str:
    """A type in a few words, from its JSON Schema."""
    if "$ref" in schema:
        return "mapping"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_words(item) for item in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{item}`" for item in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    name = schema.get("type", "any")
    if name == "array":
        return "list"
    words = {"integer": "integer", "number": "number", "boolean": "true/false", "string": "word", "object": "mapping"}
    return words.get(str(name), str(name))


# ---- examples ----------------------------------------------------------------------------------------

_VALUES: dict[str, str] = {
    "chunks": "2",
    "degrees": "10",
    "dim": "1",
    "dim0": "1",
    "dim1": "2",
    "dims": "[0, 2, 1]",
    "downscale_factor": "2",
    "dtype": "float32",
    "embedding_dim": "64",
    "end": "1.0",
    "features": "64",
    "file": "data.csv",
    "gamma": "0.95",
    "hidden_size": "128",
    "high": "10",
    "kernel_size": "3",
    "ksize": "3",
    "mean": "imagenet",
    "milestones": "[30, 60, 90]",
    "num_embeddings": "1000",
    "num_groups": "4",
    "num_heads": "8",
    "op": "open",
    "pad": "[1, 0]",
    "out_channels": "32",
    "out_features": "10",
    "output_size": "1",
    "padding": "4",
    "pattern": "n c h w -> n (h w) c",
    "root": "data",
    "set": "MNIST",
    "shape": "[-1, 8]",
    "size": "32",
    "sizes": "[4, 8, 8]",
    "split_size_or_sections": "2",
    "start": "0.0",
    "step_size": "30",
    "steps": "10",
    "unflattened_size": "[4, 4]",
    "upscale_factor": "2",
    "value": "0.5",
    "warmup_steps": "100",
}
"""What an example gives to a required argument."""

_OF_WORDS: dict[tuple[str, str], str] = {
    ("datasets", "path"): "rotten_tomatoes",
    ("custom", "layer"): "my_layers.Swish2",
    ("custom", "output"): "[8]",
    ("jsonl", "files"): "data.jsonl",
    ("parallel_text", "files"): "data",
    ("parquet", "files"): "data.parquet",
    ("tokenize", "tokenizer"): "characters",
    ("sentence_pair", "tokenizer"): "wordpiece",
    ("chunk", "dim"): "1",
    ("clamp", "min"): "0",
    ("interpolate", "scale_factor"): "2",
    ("split", "dim"): "1",
    ("buffer", "shape"): "[1, 8]",
    ("expand", "sizes"): "[N, 4, 8]",
    ("npz", "file"): "data.npz",
    ("parameter", "shape"): "[1, 8]",
    ("random_rotation", "degrees"): "[-10, 10]",
    ("squeeze", "dim"): "2",
}
"""The same, where a word needs another value, or one more."""

_SECTIONS: dict[str, str] = {
    "data": "data: {source: digits, batch_size: 64}",
    "train": "train: {epochs: 10, seed: 0}",
}

_STRUCTURES: dict[str, str] = {
    "branches": "- branches:\n    - [conv2d: {out_channels: 8, kernel_size: 1}]\n    - []\n  merge: concat",
    "call": "- a = linear(left): 8\n- b = call(right): a",
    "compute": "- z = compute: mu + exp(0.5 * logvar) * noise",
    "for": "- for: {width: [16, 32]}\n  body:\n    - linear: $width\n    - relu",
    "repeat": "- repeat: 3\n  body:\n    - linear: 16\n    - relu",
    "residual": "- residual:\n    - linear: 16\n    - relu",
    "sequence": "- head = sequence:\n    - flatten\n    - linear: 10",
    "use": "- use: $block\n  with: {width: 16}",
}
"""An example of each structural entry."""


def _example(name: str, kind: str, cls: type[BaseModel]) -> str:
    """A line, or a few, that use a word."""
    if kind == "section":
        return _SECTIONS[name]
    if own := getattr(cls, "example", ""):
        return str(own)
    required = {key: field.alias or key for key, field in cls.model_fields.items() if field.is_required()}
    given = {alias: _OF_WORDS.get((name, key), _VALUES.get(key, "1")) for key, alias in required.items()}
    given |= {key: value for (word, key), value in _OF_WORDS.items() if word == name}
    value: str | None = "{" + ", ".join(f"{key}: {item}" for key, item in given.items()) + "}"
    if not given:
        value = None
    elif list(given) == [getattr(cls, "main", None)]:
        (value,) = given.values()
    short = name if value is None else f"{{{name}: {value}}}"
    if kind in {"optimizer", "scheduler"}:
        return f"{kind}: {{{name}: {value or ('{lr: 1e-3}' if kind == 'optimizer' else '{}')}}}"
    if kind in {"metric", "data source"}:
        return f"metrics: [{short}]" if kind == "metric" else f"data: {{source: {short}}}"
    behind = "" if value is None else f": {value}"
    if kind == "batch transform":
        return f"batch_transforms:\n  - image, label = {name}(image, label){behind}"
    if kind == "transform":
        return f"transforms:\n  - image = {name}(image){behind}"
    return f"- {name}{_inputs(getattr(cls, 'inputs', ()), kind)}{behind}"


def _inputs(ports: Iterable[str], kind: str) -> str:
    """The inputs in parentheses, where they must be listed."""
    plain_ports = [port for port in ports if not port.endswith("?")]
    if kind == "loss":
        return "(prediction, label)"
    if any(port.startswith("*") for port in plain_ports):
        return "(x, y)"
    return f"({', '.join(plain_ports)})" if len(plain_ports) > 1 else ""
