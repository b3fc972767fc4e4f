"""A loaded source becomes a `Spec`: every key known, every entry parsed, overrides and variant applied.

Nothing is computed here: expressions stay text until the spec is elaborated.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from specdl.diagnostics import Diagnostics, Span
from specdl.source import SpanTree
from specdl.spec.entries import STRUCTURAL, Entry, parse_entries
from specdl.spec.extends import Flat
from specdl.spec.habits import file_hint
from specdl.spec.models import (
    NETWORK,
    NetworkSpec,
    SampleSpec,
    StepSpec,
    parse_models,
    parse_sample,
    parse_steps,
)
from specdl.spec.overrides import REQUIRED, apply_override, apply_variant
from specdl.spec.tied import TieSpec, parse_ties
from specdl.spec.validate import repair, show, validate

LANGUAGE_VERSION = 1

_MODEL_NAME = re.compile(r"\w[\w +.()-]*")
"""It stands in the ejected source and in names of folders, so quotes, slashes and line breaks have no place in it."""


class SpecFile(BaseModel):
    """The top-level keys of a spec."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    specdl: int = Field(description="Version of the language: 1.")
    imports: list[str] | None = Field(
        default=None, description="Files whose blocks, or whose whole network, are callable here."
    )
    extends: str | None = Field(default=None, description="A spec to start from; the keys here are laid over its own.")
    name: str = Field(default="model", description="Name of the model: of its class, its runs and its diagram.")
    description: str | None = Field(default=None, description="One sentence for people.")
    params: dict[str, Any] = Field(default_factory=dict, description="Parameters with their default values.")
    variants: dict[str, dict[str, Any] | None] = Field(
        default_factory=dict, description="Named sets of parameter values."
    )
    inputs: dict[str, Any] | None = Field(
        default=None, description="The network's inputs: shapes without the batch, or {shape, dtype}."
    )
    sizes: dict[str, Any] | None = Field(
        default=None, description="Bounds of sizes that are known at run time: {T: {min: 1, max: 512}}."
    )
    outputs: Any = Field(
        default=None, description="What inference gives: names of values; the last value unless given."
    )
    blocks: dict[str, Any] = Field(default_factory=dict, description="Reusable blocks, called like operators.")
    layers: list[Any] | None = Field(default=None, description="The network, a list of layers.")
    models: dict[str, Any] | None = Field(
        default=None, description="Several networks, in place of `inputs` and `layers`."
    )
    steps: list[Any] | None = Field(default=None, description="Training steps: graphs over the batch and the networks.")
    sample: Any = Field(default=None, description="How samples are made of the trained networks.")
    tie: Any = Field(default=None, description="Weights that are one: a list of `alias: weight`, both keys.")
    init: Any = Field(
        default=None, description="How weights begin: patterns of their keys with initializers; later ones win."
    )
    weights: Any = Field(
        default=None, description="Where weights come from: {load: FILE, rename, transpose, skip, ignore}."
    )
    freeze: Any = Field(
        default=None, description="Patterns of parameters that stay as they are; later ones win, `!` frees again."
    )
    budget: Any = Field(
        default=None, description="What it may cost: {parameters: 12M, flops: 2G, memory: 500MB}; checked."
    )
    data: Any = Field(default=None, description="Where examples come from, and in which batches.")
    loss: Any = Field(default=None, description="The loss of the last output against the label.")
    losses: list[Any] | None = Field(default=None, description="Terms of the loss, as entries over values and fields.")
    metrics: list[Any] | None = Field(default=None, description="What is measured on validation data.")
    optimizer: Any = Field(default=None, description="The optimizer and its arguments.")
    scheduler: Any = Field(default=None, description="How the learning rate changes.")
    train: Any = Field(default=None, description="Epochs, seed, precision and the like.")


class BlockFile(BaseModel):
    """The keys of a block."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    description: str | None = Field(default=None, description="One sentence for people.")
    params: dict[str, Any] = Field(
        default_factory=dict, description="Parameters; `required` for one without a default."
    )
    inputs: list[Any] | dict[str, Any] | None = Field(
        default=None, description="Names of the inputs, where there are several."
    )
    outputs: list[Any] | dict[str, Any] | None = Field(
        default=None, description="Which values it gives; the last one unless given."
    )
    layers: list[Any] = Field(description="The layers.")


@dataclass(frozen=True, slots=True)
class BlockInput:
    """An input of a block: required, optional, or another input by default."""

    name: str
    optional: bool
    default: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a spec, its entries parsed."""

    name: str
    params: Mapping[str, Any]
    params_spans: SpanTree
    inputs: tuple[BlockInput, ...] | None
    outputs: Any
    outputs_spans: SpanTree
    layers: tuple[Entry, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Spec:
    """A parsed spec. `sections` are the raw sections about data and training.

    `text` is that of its file and of those that it extends. `imported` are the names that `imports` brings in,
    `imports` the files; it is `incomplete` where one of them couldn't be read.
    """

    name: str
    file: str
    text: str
    params: Mapping[str, Any]
    params_spans: SpanTree
    variant: str | None
    variants: tuple[str, ...]
    networks: tuple[NetworkSpec, ...]
    steps: tuple[StepSpec, ...] | None
    sample: SampleSpec | None
    blocks: Mapping[str, Block]
    losses: tuple[Entry, ...] | None
    loss: Any
    ties: tuple[TieSpec, ...]
    init: Mapping[str, Any]
    sizes: Mapping[str, Any]
    sections: Mapping[str, Any]
    data: Mapping[str, Any]
    spans: SpanTree
    texts: Mapping[str, str] = field(default_factory=dict)
    imported: Mapping[str, Imported] = field(default_factory=dict)
    imports: tuple[Spec, ...] = ()
    incomplete: bool = False

    @property
    def library(self) -> bool:
        """Whether there are only blocks, to be imported."""
        return is_library(self.data)

    @property
    def several(self) -> bool:
        """Whether its networks stand under `models`."""
        return self.data.get("models") is not None

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The inputs of its only network."""
        return self.networks[0].inputs

    @property
    def outputs(self) -> Any:
        """What its only network gives."""
        return self.networks[0].outputs

    @property
    def layers(self) -> tuple[Entry, ...]:
        """The layers of its only network."""
        return self.networks[0].layers


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brings in under one name: a block of a library, or (`block` is None) a spec's whole network."""

    spec: Spec
    block: Block | None
    span: Span


SECTIONS = ("weights", "freeze", "budget", "data", "metrics", "optimizer", "scheduler", "train")


def parse_file(
    flat: Flat,
    diagnostics: Diagnostics,
    *,
    variant: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Spec | None:
    """Checks the structure of a spec, without what it imports. Mistakes go to `diagnostics`; None when nothing can be
    made of it.
    """
    source, spans = flat.sources[0], flat.spans
    data: Mapping[str, Any] = dict(flat.data)
    data, spans = apply_variant(data, spans, variant, diagnostics)
    for key, value in (overrides or {}).items():
        data, spans = apply_override(data, spans, key, value, _OVERRIDABLE, diagnostics)
    if "specdl" not in data:
        diagnostics.add(
            "E0111",
            "the first line must say which language this is",
            spans.span.part(0, 1),
            help="write `specdl: 1` on top",
        )
        data = {**data, "specdl": LANGUAGE_VERSION}
    file = validate(SpecFile, data, spans, diagnostics, what="a spec", code="E0112", noun="key", hint=file_hint)
    told: frozenset[str] = frozenset()
    if file is None:
        data, spans, told = repair(SpecFile, data, spans)
        if "specdl" in told:
            return None
        file = SpecFile.model_validate(data)
    if file.specdl != LANGUAGE_VERSION:
        diagnostics.add(
            "E0111",
            f"this is version {file.specdl} of the language; version {LANGUAGE_VERSION} is known",
            spans.at("specdl"),
        )
    if not _MODEL_NAME.fullmatch(file.name):
        diagnostics.add(
            "E0106",
            "this is not a name for a model",
            spans.at("name"),
            help="names have letters, digits, spaces and `_ - + . ( )`",
        )
    _exclude(data, spans, diagnostics)
    blocks = {
        name: block
        for name, item in file.blocks.items()
        if (block := _block(name, item, spans.child("blocks", name), spans.child("blocks").key(name), diagnostics))
        is not None
    }
    return Spec(
        name=file.name,
        file=source.file,
        text="\n".join(item.text for item in flat.sources),
        params=file.params,
        params_spans=spans.child("params"),
        variant=variant,
        variants=tuple(file.variants),
        networks=_networks(file, data, spans, told, diagnostics),
        steps=None if file.steps is None else parse_steps(file.steps, spans.child("steps"), diagnostics),
        sample=None
        if file.sample is None
        else parse_sample(file.sample, spans.child("sample"), spans.key("sample"), diagnostics),
        blocks=blocks,
        losses=None
        if file.losses is None
        else parse_entries(file.losses, spans.child("losses"), diagnostics, where="losses"),
        loss=file.loss,
        ties=() if file.tie is None else parse_ties(file.tie, spans.child("tie"), diagnostics),
        init=_init(file.init, spans, diagnostics),
        sizes=file.sizes or {},
        sections={key: data[key] for key in SECTIONS if data.get(key) is not None},
        data=data,
        spans=spans,
        texts=dict(diagnostics.texts),
    )


_OVERRIDABLE = tuple(name for name in SpecFile.model_fields if name not in {"imports", "extends"})


_LIBRARY = frozenset({"specdl", "name", "description", "params", "blocks"})


def is_library(data: Mapping[str, Any]) -> bool:
    """Whether a spec's data has only blocks, which other specs import."""
    return bool(data.get("blocks")) and _LIBRARY.issuperset(data)


def _exclude(data: Mapping[str, Any], spans: SpanTree, diagnostics: Diagnostics) -> None:
    """Records keys that say the same thing in two ways."""
    pairs = [
        ("loss", "losses", "E0114", "`loss` is short for one term of `losses`"),
        *((key, "models", "E0701", "a network under `models` has its own") for key in ("inputs", "layers", "outputs")),
        *((key, "steps", "E0702", "a step has `losses` of its own") for key in ("loss", "losses")),
    ]
    for key, other, code, help in pairs:
        if data.get(key) is None or data.get(other) is None:
            continue
        if spans.key(key).file != spans.key(other).file:
            help = f"take the base's away: `{key}: null` or `{other}: null`"
        diagnostics.add(code, f"`{key}` and `{other}` exclude each other", spans.key(key), help=help)


def _networks(
    file: SpecFile, data: Mapping[str, Any], spans: SpanTree, told: Collection[str], diagnostics: Diagnostics
) -> tuple[NetworkSpec, ...]:
    """The networks under `models`, or the one that the spec itself is; what is wrong with the keys `told` is said."""
    if file.models is not None:
        return parse_models(file.models, spans.child("models"), diagnostics)
    for key in () if is_library(data) else ("inputs", "layers"):
        if not data.get(key) and key not in told and "models" not in told:
            diagnostics.add(
                "E0113",
                f"a spec needs `{key}`",
                spans.key(key) if key in data else spans.span.part(0, 1),
                help=_REQUIRED_HELP[key],
            )
    layers = parse_entries(file.layers, spans.child("layers"), diagnostics, where="layers")
    return (NetworkSpec(NETWORK, file.inputs or {}, file.outputs, layers, spans, spans.key("layers")),)


def _init(data: Any, spans: SpanTree, diagnostics: Diagnostics) -> Mapping[str, Any]:
    if data is None or isinstance(data, Mapping):
        return data or {}
    message = f"`init` maps patterns of keys to initializers, got {show(data)}"
    diagnostics.add("E0171", message, spans.at("init"), help='e.g. `init: {"*.weight": {normal: {std: 0.02}}}`')
    return {}


_REQUIRED_HELP = {"inputs": "e.g. `inputs: {image: [3, 224, 224]}`", "layers": "a list with one layer a line"}


def _block(name: str, item: Any, spans: SpanTree, span: Span, diagnostics: Diagnostics) -> Block | None:
    if not name.isidentifier():
        diagnostics.add("E0106", f"`{name}` is not a name for a block", span, help="names have letters, digits and `_`")
        return None
    if name in STRUCTURAL:
        diagnostics.add("E0115", f"`{name}` is a word of the language, not a name for a block", span)
        return None
    if not isinstance(item, Mapping):
        diagnostics.add("E0113", f"the block `{name}` needs `layers`", span)
        return None
    parsed = validate(
        BlockFile, item, spans, diagnostics, what=f"the block `{name}`", code="E0112", noun="key", hint=file_hint
    )
    if parsed is None:
        item, spans, told = repair(BlockFile, item, spans)
        if "layers" in told:
            return None
        parsed = BlockFile.model_validate(item)
    return Block(
        name=name,
        params=parsed.params,
        params_spans=spans.child("params"),
        inputs=_block_inputs(parsed.inputs, spans.child("inputs"), diagnostics),
        outputs=parsed.outputs,
        outputs_spans=spans.child("outputs"),
        layers=parse_entries(parsed.layers, spans.child("layers"), diagnostics, where="layers"),
        span=span,
    )


def _block_inputs(inputs: Any, spans: SpanTree, diagnostics: Diagnostics) -> tuple[BlockInput, ...] | None:
    if inputs is None:
        return None
    entries = inputs.items() if isinstance(inputs, Mapping) else ((name, REQUIRED) for name in inputs)
    found: list[BlockInput] = []
    for index, (name, kind) in enumerate(entries):
        span = spans.key(name) if isinstance(inputs, Mapping) else spans.at(index)
        if not isinstance(name, str) or not name.isidentifier() or name == "_":
            diagnostics.add(
                "E0106", f"`{name}` is not a name for an input", span, help="names have letters, digits and `_`"
            )
        elif any(name == earlier.name for earlier in found):
            diagnostics.add("E0350", f"two inputs are called `{name}`", span, help="give one of them another name")
            # Counted all the same, so that the block's calls aren't mistakes as well.
            found.append(BlockInput(f"{name}_{index + 1}", kind == "optional", None, span))
        elif kind in (REQUIRED, "optional"):
            found.append(BlockInput(name, kind == "optional", None, span))
        elif isinstance(kind, str) and any(kind == earlier.name for earlier in found):
            found.append(BlockInput(name, False, kind, span))
        else:
            diagnostics.add(
                "E0116",
                f"an input is `required`, `optional` or has an earlier input as default, got {show(kind)}",
                spans.at(name),
            )
            # Known all the same, so that neither its readers nor the block's calls are mistakes as well.
            found.append(BlockInput(name, False, found[0].name if found else None, span))
    return tuple(found)
