"""The section `data` becomes `Data`: where examples come from, and what is done to them, checked and typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from specdl.data.examples import BatchSize, Budget
from specdl.data.fields import FieldSpec, companions
from specdl.data.paths import located
from specdl.data.sources import SOURCES, Described, Source, Torchvision
from specdl.diagnostics import Diagnostics, Span, did_you_mean
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError
from specdl.source import SpanTree
from specdl.spec.chain import Chain, TransformEntry, When, folders
from specdl.spec.declared import Section, is_mapping, listing, named
from specdl.spec.validate import repair, validate


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

    weighted: str | None = Field(
        default=None,
        description="An integer field: its classes are drawn equally often, with replacement, however many have them.",
    )
    bucket: str | None = Field(
        default=None, description="A field that differs in length: examples of about one length share a batch."
    )

    @model_validator(mode="after")
    def _one(self) -> Sampler:
        if (self.weighted is None) == (self.bucket is None):
            raise PydanticCustomError("sampler", "`sampler` takes either `weighted` or `bucket`")
        return self


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


def _batch_size(value: Any) -> BatchSize:
    if isinstance(value, Budget):
        return value
    if isinstance(value, Mapping) and len(value) == 1:
        ((field, tokens),) = value.items()
        if isinstance(field, str) and _is_count(tokens):
            return Budget(field, tokens)
    elif _is_count(value):
        return int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        raise PydanticCustomError("batch_size", "must be at least 1")
    raise PydanticCustomError(
        "batch_size", "expected a number of examples from 1, or {tokens: 4096}: at most so many tokens of a field"
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


GivenSize = Annotated[
    BatchSize,
    PlainValidator(_batch_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {
                    "type": "object",
                    "additionalProperties": {"type": "integer", "minimum": 1},
                    "minProperties": 1,
                    "maxProperties": 1,
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
    batch_size: GivenSize = Field(
        default=32,
        description="Examples in a batch; or {tokens: 4096}: as many as have at most so many tokens of that field, "
        "what fills the shorter ones up included.",
    )
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
class Data:
    """Where examples come from.

    `raw` are the source's own fields, `fields` those of a batch behind the transforms, `training_fields` those
    behind the batch transforms too. `brought` are those of `fields` that come with padding (`words_mask`,
    `words_length`). `texts` are the fields of text that no transform made numbers of, which no network
    takes; `vocabularies` say, for each field of tokens, which of the `transforms` made them. `paths` are the files and
    folders that the section names, absolute, by where they stand in the spec (or, where a source is named with its
    defaults alone, all its arguments). `given_split` says whether the spec has a `split`; `on_bad` is the share of
    examples that may be skipped; `sampler` the field whose classes are drawn equally often, `bucket` the one whose
    lengths decide which examples share a batch.
    """

    source: Source
    batch_size: BatchSize
    split: Split
    transforms: tuple[TransformEntry, ...]
    raw: Mapping[str, TensorType]
    fields: Mapping[str, TensorType]
    span: Span
    workers: int = 0
    in_memory: bool | None = None
    on_bad: float = 0.0
    sampler: str | None = None
    bucket: str | None = None
    brought: Mapping[str, TensorType] = field(default_factory=dict)
    texts: Mapping[str, TensorType] = field(default_factory=dict)
    vocabularies: Mapping[str, int] = field(default_factory=dict)
    given_split: bool = False
    batch_transforms: tuple[TransformEntry, ...] = ()
    training_fields: Mapping[str, TensorType] = field(default_factory=dict)
    paths: Mapping[tuple[Any, ...], Any] = field(default_factory=dict)

    @property
    def paddings(self) -> dict[str, int | float]:
        """The fields that a batch is padded in, with what fills them up where the source gives them."""
        wanted = self.source.wanted
        own = {name: type for name, type in self.fields.items() if name not in self.brought}
        return {name: wanted[name].padding if name in wanted else 0 for name, type in own.items() if type.ragged}


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
    source = source.with_shares(split.shares())
    sampler = section.sampler or Sampler.model_construct()
    _check_class(sampler.weighted, raw, "weighted", spans.at("sampler", "weighted"), diagnostics)
    counts = {name: len(names) for name in raw if (names := source.classes(name)) is not None}
    chain = Chain(raw, counts, diagnostics)
    chain.entries(section.transforms, spans.child("transforms"))
    chain.compare()
    behind = chain.types[False]
    chain.check_sampler(sampler.weighted, sampler.bucket, spans.child("sampler"))
    if isinstance(section.batch_size, Budget):
        chain.check_budget(section.batch_size.field, spans.at("batch_size"))
        if section.sampler is not None:
            message = "a `batch_size` in tokens decides which examples share a batch, so there is no `sampler`"
            diagnostics.add("E0502", message, spans.at("sampler"), help="leave `sampler` out")
    fields = {name: type for name, type in behind.items() if not type.text}
    batch = Chain(fields, counts, diagnostics)
    batch.entries(section.batch_transforms, spans.child("batch_transforms"), batch=True)
    return Data(
        source=source,
        batch_size=section.batch_size,
        split=split,
        transforms=tuple(chain.found),
        raw=raw,
        fields={**fields, **companions(fields)},
        brought=companions(fields),
        span=spans.span,
        workers=section.workers,
        in_memory=section.in_memory,
        on_bad=section.on_bad,
        sampler=sampler.weighted,
        bucket=sampler.bucket,
        texts={name: type for name, type in behind.items() if type.text},
        vocabularies=chain.vocabularies,
        given_split=section.split is not None,
        batch_transforms=tuple(batch.found),
        training_fields={**batch.types[True], **companions(batch.types[True])},
        paths={**_paths(source, section.source, wanted), **chain.paths},
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
        elif isinstance(item, str):
            item, tree = {"shape": [], "dtype": item}, SpanTree(tree.span, {"dtype": tree.span}, {"dtype": tree})
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


__all__ = ["Data", "DataSection", "Split", "TransformEntry", "When", "parse_data"]
