"""The section `data` becomes `Data`: where examples come from, and what is done to them, checked and typed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, Field, PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from specdl.data.fields import FieldSpec
from specdl.data.paths import located
from specdl.data.sources import SOURCES, Described, Source, Torchvision
from specdl.data.transforms import BATCH_TRANSFORMS, TRANSFORMS, Transform
from specdl.diagnostics import Diagnostics, Span, did_you_mean
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError
from specdl.source import SpanTree
from specdl.spec.declared import Section, instance, is_mapping, listing, named
from specdl.spec.entries import Entry, parse_entry
from specdl.spec.validate import repair, show, validate


class Split(Section):
    """Which share of the examples is held out, and how it is chosen."""

    validation: float = Field(default=0.0, ge=0, lt=1, description="Share held out for validation.")
    test: float = Field(default=0.0, ge=0, lt=1, description="Share held out for a test at the very end.")
    stratify: str | None = Field(default=None, description="An integer field whose values every part gets alike.")
    seed: int = Field(default=0, ge=0, description="Decides which examples are held out.")
    column: str | None = Field(
        default=None, description="A column of the source that says `train`, `validation` or `test`, instead of shares."
    )

    @model_validator(mode="after")
    def _leaves_some(self) -> Split:
        if self.validation + self.test >= 1:
            raise PydanticCustomError("split", "`validation` and `test` must leave something to train on")
        return self

    def shares(self) -> dict[str, float]:
        """The parts that are held out."""
        return {name: share for name in ("validation", "test") if (share := getattr(self, name)) > 0}


class Sampler(Section):
    """In which proportion training sees the examples."""

    weighted: str = Field(
        description="An integer field: its classes are drawn equally often, with replacement, however many have them."
    )


USUAL_SKIP = 0.01


def _skipped(value: Any) -> float:
    if value == "fail":
        return 0.0
    if value == "skip":
        return USUAL_SKIP
    if isinstance(value, Mapping) and set(value) == {"skip"}:
        share = value["skip"]
        if isinstance(share, (int, float)) and not isinstance(share, bool) and 0 < share < 1:
            return float(share)
    raise PydanticCustomError("on_bad", "expected `fail`, `skip` or {skip: 0.01}, the share that may be left out")


OnBad = Annotated[
    float,
    PlainValidator(_skipped),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["fail", "skip"]},
                {
                    "type": "object",
                    "properties": {
                        "skip": {
                            "type": "number",
                            "exclusiveMinimum": 0,
                            "exclusiveMaximum": 1,
                            "description": "The largest share of the examples that may be left out.",
                        }
                    },
                    "required": ["skip"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


def _automatic(value: Any) -> bool | None:
    if value == "auto":
        return None
    if isinstance(value, bool):
        return value
    raise PydanticCustomError("automatic", "expected `auto`, true or false")


Automatic = Annotated[
    bool | None,
    PlainValidator(_automatic),
    WithJsonSchema({"anyOf": [{"enum": ["auto"]}, {"type": "boolean"}]}),
]


class DataSection(Section):
    """The section `data`."""

    source: Any = Field(
        default=None, description="Where the examples come from: `digits`. Without it, `fields` describes one example."
    )
    fields: dict[str, Any] = Field(
        default_factory=dict, description="The fields of one example, typed like inputs, where the source needs it."
    )
    batch_size: int = Field(default=32, ge=1, description="Examples in a batch.")
    split: Split | None = Field(default=None, description="Which share is held out.")
    transforms: list[Any] = Field(default_factory=list, description="What is done to examples, as entries.")
    batch_transforms: list[Any] = Field(
        default_factory=list, description="What is done to a batch while training, as entries."
    )
    sampler: Sampler | None = Field(default=None, description="In which proportion training sees the examples.")
    workers: int = Field(
        default=2, ge=0, le=256, description="Threads that decode examples; 0 for none. Results don't depend on it."
    )
    in_memory: Automatic = Field(
        default=None,
        description="Whether examples from files are decoded once, and kept; `auto` keeps up to 1 GB of them.",
    )
    on_bad: OnBad = Field(
        default=0.0,
        description="What to do with files that can't be read: `fail` unless given, `skip` up to a hundredth of the "
        "examples, or {skip: 0.05} for another share.",
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
    they stand in the spec (or, where a source is named with its defaults alone, all its arguments). `given_split`
    says whether the spec has a `split`; `on_bad` is the share of examples that may be skipped; `sampler` the field
    whose classes are drawn equally often.
    """

    source: Source
    batch_size: int
    split: Split
    transforms: tuple[TransformEntry, ...]
    raw: Mapping[str, TensorType]
    fields: Mapping[str, TensorType]
    span: Span
    workers: int = 0
    in_memory: bool | None = None
    on_bad: float = 0.0
    sampler: str | None = None
    given_split: bool = False
    batch_transforms: tuple[TransformEntry, ...] = ()
    training_fields: Mapping[str, TensorType] = field(default_factory=dict)
    paths: Mapping[tuple[Any, ...], Any] = field(default_factory=dict)


def parse_data(value: Any, spans: SpanTree, diagnostics: Diagnostics) -> Data | None:
    """The section `data`, or None after a mistake that leaves nothing of it; others are recorded."""
    if not is_mapping(value, spans, "data", diagnostics):
        return None
    section = validate(DataSection, value, spans, diagnostics, what="data", code="E0501")
    if section is None:  # what is right of it is checked all the same
        value, spans, _ = repair(DataSection, value, spans)
        section = DataSection.model_validate(value)
    source = _source(section, spans, diagnostics)
    wanted = _wanted(section.fields, spans.child("fields"), diagnostics)
    if source is None or wanted is None:
        return None
    place = spans.child("fields")
    try:
        source = source.with_fields(wanted)
        if section.split is not None and section.split.column is not None:
            place = spans.child("split", "column")
            source = source.with_parts(section.split.column)
    except TypeRuleError as error:
        where = place.key(error.argument) if error.argument in wanted else place.span
        diagnostics.add("E0530", error.message, where, help=error.help)
        return None
    raw = dict(source.fields())
    split = _split(section.split, source, raw, spans.child("split"), diagnostics)
    sampler = None if section.sampler is None else section.sampler.weighted
    _check_class(sampler, raw, "weighted", spans.at("sampler", "weighted"), diagnostics)
    counts = {name: len(names) for name in raw if (names := source.classes(name)) is not None}
    chain = _Chain(raw, counts, diagnostics)
    chain.entries(section.transforms, spans.child("transforms"))
    chain.compare()
    fields = dict(chain.types[False])
    batch = _Chain(fields, counts, diagnostics)
    batch.entries(section.batch_transforms, spans.child("batch_transforms"), batch=True)
    paths = _paths(source, section.source, wanted)
    return Data(
        source=source,
        batch_size=section.batch_size,
        split=split,
        transforms=tuple(chain.found),
        raw=raw,
        fields=fields,
        span=spans.span,
        workers=section.workers,
        in_memory=section.in_memory,
        on_bad=section.on_bad,
        sampler=sampler,
        given_split=section.split is not None,
        batch_transforms=tuple(batch.found),
        training_fields=batch.types[True],
        paths=paths,
    )


def _source(section: DataSection, spans: SpanTree, diagnostics: Diagnostics) -> Source | None:
    """The source, or None after the mistake was recorded; `torchvision:NAME` is short for its only argument."""
    written, place = section.source, spans.child("source")
    if written is None:
        if section.fields:
            return Described()
        description = DataSection.model_fields["source"].description
        diagnostics.add("E0202", "`data` needs `source`", spans.span, help=f"`source`: {description}")
        return None
    prefix = f"{Torchvision.name}:"
    if isinstance(written, str) and written.startswith(prefix):
        span = place.span
        tree = SpanTree(span, {}, {Torchvision.name: SpanTree(span)})
        return named(
            {Torchvision.name: written.removeprefix(prefix)}, tree, SOURCES, "data source", diagnostics, folders
        )
    return named(written, place, SOURCES, "data source", diagnostics, folders)


def _paths(source: Source, written: Any, wanted: Mapping[str, FieldSpec]) -> dict[tuple[Any, ...], Any]:
    """The paths of the section, absolute, by where they stand in the spec."""
    found: dict[tuple[Any, ...], Any] = {}
    own = dict(located(source))
    if own and isinstance(written, str):
        given = source.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        found["data", "source"] = {source.name: {**given, **own}}
    elif own and not isinstance(written[source.name], Mapping):
        given = source.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        found["data", "source", source.name] = {**given, **own}
    else:
        found |= {("data", "source", source.name, name): path for name, path in own.items()}
    for name, spec in wanted.items():
        found |= {("data", "fields", name, argument): path for argument, path in located(spec)}
    return found


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
    _check_class(split.stratify, raw, "stratify", spans.at("stratify"), diagnostics)
    return split


def _check_class(
    name: str | None, raw: Mapping[str, TensorType], word: str, span: Span, diagnostics: Diagnostics
) -> None:
    if name is not None and not _is_class(raw.get(name)):
        diagnostics.add(
            "E0502",
            f"`{word}` needs an integer field with one number an example, got `{name}`",
            span,
            help=did_you_mean(name, raw) or listing("fields", [key for key, type in raw.items() if _is_class(type)]),
        )


def _is_class(type: TensorType | None) -> bool:
    return type is not None and type.rank == 1 and not type.floating


class _Chain:
    """Entries of transforms one after another, and the types of all fields behind them in training and evaluation."""

    def __init__(self, fields: Mapping[str, TensorType], counts: Mapping[str, int], diagnostics: Diagnostics) -> None:
        self.counts = counts
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
        table = TRANSFORMS | BATCH_TRANSFORMS if batch else TRANSFORMS
        if name in BATCH_TRANSFORMS and not batch:
            help = "put it under `batch_transforms`, which run on whole batches in training"
            self.diagnostics.add("E0503", f"`{name}` mixes the examples of a batch", entry.operator.span, help=help)
            return
        transform = instance(
            name, entry.arguments, entry.operator.span, entry.spans, table, "transform", self.diagnostics, folders
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
        transform = transform.with_classes([self.counts.get(field) for field in inputs])
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
