"""The section `data` becomes `Data`: where examples come from, and what is done to them, checked and typed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from specdl.data.fields import FieldSpec
from specdl.data.paths import located
from specdl.data.sources import SOURCES, Source
from specdl.data.transforms import TRANSFORMS, Transform
from specdl.diagnostics import Diagnostics, Span, did_you_mean
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError
from specdl.source import SpanTree
from specdl.spec.declared import Section, instance, is_mapping, listing, named
from specdl.spec.entries import Entry, parse_entry
from specdl.spec.validate import show, validate


class Split(Section):
    """Which share of the examples is held out, and how it is chosen."""

    validation: float = Field(default=0.0, ge=0, lt=1, description="Share held out for validation.")
    test: float = Field(default=0.0, ge=0, lt=1, description="Share held out for a test at the very end.")
    stratify: str | None = Field(default=None, description="An integer field whose values every part gets alike.")
    seed: int = Field(default=0, ge=0, description="Decides which examples are held out.")

    @model_validator(mode="after")
    def _leaves_some(self) -> Split:
        if self.validation + self.test >= 1:
            raise PydanticCustomError("split", "`validation` and `test` must leave something to train on")
        return self

    def shares(self) -> dict[str, float]:
        """The parts that are held out."""
        return {name: share for name in ("validation", "test") if (share := getattr(self, name)) > 0}


class DataSection(Section):
    """The section `data`."""

    source: Any = Field(description="Where the examples come from: `digits`.")
    fields: dict[str, Any] = Field(
        default_factory=dict, description="The fields of one example, typed like inputs, where the source needs it."
    )
    batch_size: int = Field(default=32, ge=1, description="Examples in a batch.")
    split: Split | None = Field(default=None, description="Which share is held out.")
    transforms: list[Any] = Field(default_factory=list, description="What is done to examples, as entries.")
    batch_transforms: list[Any] = Field(
        default_factory=list, description="What is done to a batch while training, as entries."
    )
    workers: int = Field(
        default=2,
        ge=0,
        le=256,
        description="Threads that decode examples ahead; 0 for none. Results don't depend on it.",
    )


@dataclass(frozen=True, slots=True)
class When:
    """A transform's evaluated `when`: whether it runs while training, and whether it does in evaluation."""

    training: bool
    evaluation: bool


@dataclass(frozen=True, slots=True)
class TransformEntry:
    """A transform with the fields that it reads and writes."""

    transform: Transform
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    when: When
    span: Span


@dataclass(frozen=True, slots=True)
class Data:
    """Where examples come from.

    `raw` are the source's own fields, `fields` those of a batch behind the transforms, `training_fields` those
    behind the batch transforms too. `paths` are the files and folders that the section names, absolute, by where
    they stand in it.
    """

    source: Source
    batch_size: int
    split: Split
    transforms: tuple[TransformEntry, ...]
    raw: Mapping[str, TensorType]
    fields: Mapping[str, TensorType]
    span: Span
    workers: int = 0
    batch_transforms: tuple[TransformEntry, ...] = ()
    training_fields: Mapping[str, TensorType] = field(default_factory=dict)
    paths: Mapping[tuple[Any, ...], str] = field(default_factory=dict)


def parse_data(value: Any, spans: SpanTree, diagnostics: Diagnostics) -> Data | None:
    """The section `data`, or None after a mistake that leaves nothing of it; others are recorded."""
    if not is_mapping(value, spans, "data", diagnostics):
        return None
    section = validate(DataSection, value, spans, diagnostics, what="data", code="E0501")
    if section is None:
        return None
    source = named(section.source, spans.child("source"), SOURCES, "data source", diagnostics, folders)
    wanted = _wanted(section.fields, spans.child("fields"), diagnostics)
    if source is None or wanted is None:
        return None
    if wanted:
        try:
            source = source.with_fields(wanted)
        except TypeRuleError as error:
            place = spans.child("fields")
            where = place.key(error.argument) if error.argument in wanted else place.span
            diagnostics.add("E0530", error.message, where, help=error.help)
            return None
    raw = dict(source.fields())
    split = _split(section.split, source, raw, spans.child("split"), diagnostics)
    chain = _Chain(raw, diagnostics)
    chain.entries(section.transforms, spans.child("transforms"))
    chain.compare()
    fields = dict(chain.types[False])
    batch = _Chain(fields, diagnostics)
    batch.entries(section.batch_transforms, spans.child("batch_transforms"), batch=True)
    paths = {("source", source.name, name): path for name, path in located(source)}
    return Data(
        source=source,
        batch_size=section.batch_size,
        split=split,
        transforms=tuple(chain.found),
        raw=raw,
        fields=fields,
        span=spans.span,
        workers=section.workers,
        batch_transforms=tuple(batch.found),
        training_fields=batch.types[True],
        paths=paths,
    )


def folders(cls: type[BaseModel], spans: SpanTree) -> dict[str, str]:
    """For each argument the folder that a path in it is relative to: the one of the file in which it stands."""
    return {name: _folder(spans.at(name)) for name in cls.model_fields}


def _folder(span: Span) -> str:
    """A value from the command line is relative to where the command runs."""
    return "" if span.file.startswith("<") else os.path.dirname(span.file)


def _wanted(fields: Mapping[str, Any], spans: SpanTree, diagnostics: Diagnostics) -> dict[str, FieldSpec] | None:
    """The fields that the section declares, or None after a mistake."""
    found: dict[str, FieldSpec] = {}
    before = len(diagnostics.items)
    for name, item in fields.items():
        tree = spans.child(name)
        if not name.isidentifier() or name == "_":
            help = "names have letters, digits and `_`"
            diagnostics.add("E0106", f"`{name}` is not a name for a field", spans.key(name), help=help)
            continue
        if isinstance(item, list):
            item, tree = {"shape": item}, SpanTree(tree.span, {"shape": tree.span}, {"shape": tree})
        if is_mapping(item, tree, name, diagnostics):
            field = validate(
                FieldSpec, item, tree, diagnostics, what=name, code="E0501", context=folders(FieldSpec, tree)
            )
            if field is not None:
                found[name] = field
    return found if len(diagnostics.items) == before else None


def _split(
    given: Split | None, source: Source, raw: Mapping[str, TensorType], spans: SpanTree, diagnostics: Diagnostics
) -> Split:
    default = source.default_split
    split = given or Split(
        validation=default.validation, test=default.test, stratify=default.stratify, seed=default.seed
    )
    if split.stratify is not None and not _is_class(raw.get(split.stratify)):
        diagnostics.add(
            "E0502",
            f"`stratify` needs an integer field with one number an example, got `{split.stratify}`",
            spans.at("stratify"),
            help=did_you_mean(split.stratify, raw) or listing("fields", [k for k, v in raw.items() if _is_class(v)]),
        )
    return split


def _is_class(type: TensorType | None) -> bool:
    return type is not None and type.rank == 1 and not type.floating


class _Chain:
    """Entries of transforms one after another, and the types of all fields behind them in training and evaluation."""

    def __init__(self, fields: Mapping[str, TensorType], diagnostics: Diagnostics) -> None:
        self.types = {True: dict(fields), False: dict(fields)}
        self.found: list[TransformEntry] = []
        self.writer: dict[str, TransformEntry] = {}
        self.diagnostics = diagnostics

    def entries(self, items: list[Any], spans: SpanTree, *, batch: bool = False) -> None:
        """Adds a list of entries."""
        for position, item in enumerate(items):
            entry = parse_entry(item, spans.child(position), self.diagnostics)
            if entry is not None:
                self.entry(entry, batch)

    def entry(self, entry: Entry, batch: bool) -> None:
        """Adds one entry; writes the types behind it."""
        name = entry.operator.value
        transform = instance(
            name, entry.arguments, entry.operator.span, entry.spans, TRANSFORMS, "transform", self.diagnostics, folders
        )
        if transform is None:
            return
        if not entry.inputs or not entry.targets:
            self.diagnostics.add(
                "E0503",
                f"`{name}` needs the fields that it reads and those that it writes",
                entry.span,
                help=f"write `image = {name}(image)`",
            )
            return
        when = When(True, False) if batch else self.when(entry)
        if when is None or not (when.training or when.evaluation):
            return
        inputs, outputs = tuple(str(item.value) for item in entry.inputs), tuple(item.value for item in entry.targets)
        parsed = TransformEntry(transform, inputs, outputs, when, entry.span)
        before = len(self.diagnostics.items)
        for training in (True, False):
            if (when.training if training else when.evaluation) and len(self.diagnostics.items) == before:
                self.infer(parsed, entry, training)
        if len(self.diagnostics.items) == before:
            self.found.append(parsed)
            self.writer.update(dict.fromkeys(outputs, parsed))

    def when(self, entry: Entry) -> When | None:
        """The modes in which an entry runs; None after a mistake."""
        when = entry.when if isinstance(entry.when, When) else When(entry.when, entry.when)
        modes: tuple[Any, ...] = (when.training, when.evaluation)  # any value, until it is checked here
        for value in modes:
            if not isinstance(value, bool):
                self.diagnostics.add(
                    "E0503",
                    f"`when` of a transform is true or false, or asks for `$(training)`, got {show(value)}",
                    entry.when_spans.span if entry.when_spans is not None else entry.span,
                )
                return None
        return when

    def infer(self, parsed: TransformEntry, entry: Entry, training: bool) -> None:
        """Writes the types behind an entry in one mode, or records why it can't be."""
        fields, diagnostics, name = self.types[training], self.diagnostics, entry.operator.value
        assert entry.inputs is not None
        for argument in entry.inputs:
            if argument.value not in fields:
                diagnostics.add(
                    "E0503",
                    f"there is no field `{argument.value}`",
                    argument.span,
                    help=did_you_mean(str(argument.value), fields) or listing("fields", list(fields)),
                )
                return
        chain = (parsed.transform,) if training else parsed.transform.evaluation()
        types = tuple(fields[field] for field in parsed.inputs)
        try:
            for transform in chain:
                types = transform.infer_fields(types)
        except TypeRuleError as error:
            place = entry.inputs[error.input or 0].span
            if error.argument is not None:
                place = entry.spans.at(error.argument)
            diagnostics.add("E0504", f"`{name}` {error.message}", place, help=error.help)
            return
        if len(types) != len(parsed.outputs):
            message = (
                f"`{name}` gives {_count(len(types), 'field')}, but {_count(len(parsed.outputs), 'name')} to write"
            )
            help = f"write `{', '.join(parsed.inputs)} = {name}({', '.join(parsed.inputs)})`"
            diagnostics.add("E0503", message, entry.span, help=help if len(types) == len(parsed.inputs) else None)
            return
        fields.update(zip(parsed.outputs, types, strict=True))

    def compare(self) -> None:
        """Records the fields whose types differ between training and evaluation."""
        training, evaluation = self.types[True], self.types[False]
        for name in dict.fromkeys((*training, *evaluation)):
            types = training.get(name), evaluation.get(name)
            if types[0] == types[1]:
                continue
            before, after = ("missing" if type is None else str(type) for type in types)
            self.diagnostics.add(
                "E0504",
                f"behind the transforms `{name}` is {before} in training, but {after} in evaluation",
                self.writer[name].span,
                help="transform it in evaluation too: leave `when` out (a random crop takes the centre there), or add "
                "an entry with `when: $(not training)`",
            )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


__all__ = ["Data", "DataSection", "Split", "TransformEntry", "When", "parse_data"]
