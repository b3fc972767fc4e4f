"""The entries under `transforms` become a chain: each transform with the fields that it reads and writes, checked.

The types of all fields are followed through the chain, in training and in evaluation, and so is which tokenizer made
a field's tokens.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from specdl.data.paths import located
from specdl.data.tokenizers import TOKENIZERS, FromFile, SameAs, TokenizerKind, Trained
from specdl.data.transforms import ANY_TRANSFORMS, BATCH_TRANSFORMS, TRANSFORMS, Transform
from specdl.data.transforms.sentences import NextSentence, SentencePair
from specdl.data.transforms.text import OfTokens, Tokenize
from specdl.diagnostics import Diagnostics, Note, Span, did_you_mean
from specdl.ir.dims import Dim, Symbol, SymDim, symbol
from specdl.ir.types import TensorType, substitute
from specdl.ops.base import TypeRuleError
from specdl.source import SpanTree
from specdl.spec.declared import instance, listing, named
from specdl.spec.entries import Argument, Entry, Text, parse_entry
from specdl.spec.validate import choose, show


@dataclass(frozen=True, slots=True)
class When:
    """A transform's evaluated `when`: whether it runs while training, and whether it does in evaluation."""

    training: bool
    evaluation: bool


@dataclass(frozen=True, slots=True)
class TransformEntry:
    """A transform with the fields that it reads and writes.

    `tokenizer` is the position, among all entries, of the one whose tokenizer made what it reads first; of `tokenize`,
    of the one whose tokenizer it has, which is mostly itself.
    """

    transform: Transform
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    when: When
    span: Span
    tokenizer: int | None = None


def folders(cls: type[BaseModel], spans: SpanTree) -> dict[str, str]:
    """For each argument the folder that a path in it is relative to: the one of the file in which it stands."""
    return {name: _folder(spans.at(name)) for name in cls.model_fields}


def _folder(span: Span) -> str:
    """A value from the command line is relative to where the command runs."""
    return "" if span.file.startswith("<") else os.path.dirname(span.file)


class Chain:
    """Entries one after another, and the types of all fields behind them in training and evaluation."""

    def __init__(self, fields: Mapping[str, TensorType], counts: Mapping[str, int], diagnostics: Diagnostics) -> None:
        self.counts = counts
        self.types = {True: dict(fields), False: dict(fields)}
        self.found: list[TransformEntry] = []
        self.writer: dict[str, TransformEntry] = {}
        self.vocabularies: dict[str, int] = {}
        self.paths: dict[tuple[Any, ...], Any] = {}
        self.diagnostics = diagnostics
        self.lost: set[str] = set()
        self.broken = False
        self._arranging: TransformEntry | None = None

    def entries(self, items: list[Any], spans: SpanTree, *, batch: bool = False) -> None:
        """Adds a list of entries."""
        for position, item in enumerate(items):
            entry = parse_entry(item, spans.child(position), self.diagnostics)
            self.broken |= entry is None
            if entry is not None:
                head = next((key for key in item if key != "when"), "") if isinstance(item, Mapping) else ""
                before = len(self.diagnostics.items)
                if not self.lost.intersection(str(argument.value) for argument in entry.inputs or ()):
                    self.entry(entry, batch, ("data", "transforms", position, head))
                else:
                    self._lose(entry)
                if len(self.diagnostics.items) > before:
                    self._lose(entry)

    def _lose(self, entry: Entry) -> None:
        """Notes that what a wrong entry would have written isn't known: nothing more is said of it."""
        self.lost.update(target.value for target in entry.targets if target.value not in self.types[True])

    def entry(self, entry: Entry, batch: bool, place: tuple[Any, ...] = ()) -> None:
        """Adds one entry, which stands at a `place` of the spec; writes the types behind it."""
        name = entry.operator.value
        table = ANY_TRANSFORMS if batch else TRANSFORMS
        if name in BATCH_TRANSFORMS and not batch:
            help = "put it under `batch_transforms`, which run on whole batches in training"
            self.diagnostics.add("E0503", f"`{name}` mixes the examples of a batch", entry.operator.span, help=help)
            return
        if batch and name in TRANSFORMS and name not in table:
            help = "put it under `transforms`, which run on examples"
            self.diagnostics.add("E0503", f"`{name}` needs single examples of text", entry.operator.span, help=help)
            return
        if entry.inputs is None and entry.targets:  # `german = tokenize: words` reads what it writes
            inputs = tuple(Argument(target.value, None, target.span) for target in entry.targets)
            entry = replace(entry, inputs=inputs)
        arguments, spans = entry.arguments, entry.spans
        if TRANSFORMS.get(name) is SentencePair:
            self._sentence_pair(entry, place)
            return
        if TRANSFORMS.get(name) is Tokenize:
            made = self._tokenizer(entry, place)
            if made is None:
                return
            arguments, spans = made
        elif choose(name, table, entry.operator.span, self.diagnostics, what="transform") is None:
            return
        transform = instance(name, arguments, entry.operator.span, spans, table, "transform", self.diagnostics, folders)
        if transform is None:
            return
        if not entry.inputs or not entry.targets:
            self.diagnostics.add(
                "E0503",
                f"`{name}` needs the fields that it reads and those that it writes",
                entry.span,
                help=f"write `image = {name}(image)`"
                if not _of_text(transform)
                else f"write `tokens = {name}(tokens)`",
            )
            return
        self._add_entry(entry, transform, batch)

    def _add_entry(self, entry: Entry, transform: Transform, batch: bool = False) -> None:
        """Adds the transform of an entry with its fields."""
        assert entry.inputs is not None
        when = When(True, False) if batch else self.when(entry)
        if when is None or not (when.training or when.evaluation):
            return
        inputs, outputs = tuple(str(item.value) for item in entry.inputs), tuple(item.value for item in entry.targets)
        transform = transform.with_classes([self.counts.get(field) for field in inputs]).for_outputs(len(outputs))
        parsed = TransformEntry(transform, inputs, outputs, when, entry.span, self._made_by(transform, inputs))
        before = len(self.diagnostics.items)
        self._check_place(parsed, entry)
        self._check_vocabulary(parsed, entry)
        names: dict[str, Dim] = {}
        for training in (True, False):
            if (when.training if training else when.evaluation) and len(self.diagnostics.items) == before:
                self.infer(parsed, entry, training, names)
        if len(self.diagnostics.items) == before:
            self._add(parsed)

    def _add(self, parsed: TransformEntry) -> None:
        self.found.append(parsed)
        self.lost.difference_update(parsed.outputs)
        self.writer.update(dict.fromkeys(parsed.outputs, parsed))
        if parsed.transform.arranges():
            self._arranging = parsed
            self.vocabularies.clear()
        for field in parsed.outputs:
            self.vocabularies.pop(field, None)
        if isinstance(parsed.transform, OfTokens) and parsed.tokenizer is not None:
            holding = zip(parsed.outputs, parsed.transform.holds_tokens(), strict=False)
            self.vocabularies.update({field: parsed.tokenizer for field, holds in holding if holds})

    def _sentence_pair(self, entry: Entry, place: tuple[Any, ...]) -> None:
        """Adds `tokenize` and `next_sentence` for an entry that is short for both."""
        made = self._tokenizer(entry, place)
        if made is None:
            return
        name, operator = entry.operator.value, entry.operator
        pair = instance(name, made[0], operator.span, made[1], TRANSFORMS, "transform", self.diagnostics, folders)
        if pair is None:
            return
        assert isinstance(pair, SentencePair)
        if entry.inputs is None or len(entry.inputs) not in (1, 2) or len(entry.targets) < 1:
            message = f"`{name}` takes a field of sentences, and the number of the document of each"
            help = f"write `tokens, segments, label = {name}(text)`"
            self.diagnostics.add("E0503", message, entry.span, help=help)
            return
        text, *documents = entry.inputs
        if not documents and "document" in self.types[True]:
            documents = [replace(text, value="document")]
        hidden = f"{text.value} tokens"  # no name that a spec can have
        bare = replace(entry, spans=SpanTree(entry.spans.span))
        before = len(self.diagnostics.items)
        tokenize = replace(bare, targets=(Text(hidden, text.span),), operator=replace(operator, value=Tokenize.name))
        self._add_entry(replace(tokenize, inputs=(text,)), Tokenize(tokenizer=pair.tokenizer))
        if len(self.diagnostics.items) > before:
            return
        joined = replace(bare, inputs=(replace(text, value=hidden), *documents))
        self._add_entry(joined, NextSentence(max_length=pair.max_length, probability=pair.share))

    # ---- tokenizers ----------------------------------------------------------------------------------

    def _tokenizer(self, entry: Entry, place: tuple[Any, ...]) -> tuple[dict[str, Any], SpanTree] | None:
        """The arguments of `tokenize` with the tokenizer that they name in them. None after a mistake."""
        written, spans = entry.arguments, entry.spans
        if written is None:
            written, spans = {}, SpanTree(entry.operator.span)
        elif not isinstance(written, Mapping) or (len(written) == 1 and next(iter(written)) in TOKENIZERS):
            written = {"tokenizer": written}
            spans = SpanTree(spans.span, {"tokenizer": spans.span}, {"tokenizer": spans})
        else:
            place = (*place, "tokenizer")
        value = written.get("tokenizer")
        tree = spans.child("tokenizer")
        if value is None:
            kinds = ", ".join(f"`{name}`" for name in TOKENIZERS)
            message = "`tokenize` needs `tokenizer`: what makes numbers of text"
            self.diagnostics.add("E0560", message, spans.span, help=f"one of {kinds}, or a file `tokenizer.json`")
            return None
        if isinstance(value, str) and value not in TOKENIZERS and (value.endswith(".json") or "/" in value):
            value, tree = {FromFile.name: value}, SpanTree(tree.span, {}, {FromFile.name: tree})
        made = named(value, tree, TOKENIZERS, "tokenizer", self.diagnostics, folders)
        if made is None:
            return None
        if isinstance(made, FromFile):
            self.paths[place] = {FromFile.name: dict(located(made))["path"]}
        if isinstance(made, SameAs) and made.field not in self.vocabularies:
            known = list(self.vocabularies)
            help = did_you_mean(made.field, known) or listing("fields of tokens", known)
            message = f"no entry above makes the tokens `{made.field}`"
            self.diagnostics.add("E0560", message, tree.at(SameAs.name), help=help)
            return None
        for field in made.fields():
            type = self.types[True].get(field)
            if type is None or not type.text:
                texts = [name for name, item in self.types[True].items() if item.text]
                message = f"`train_on` names fields of text, and `{field}` is none"
                help = did_you_mean(field, texts) or listing("fields of text", texts)
                self.diagnostics.add("E0560", message, tree.at(made.name, "train_on"), help=help)
                return None
        return {**written, "tokenizer": made}, spans

    def kind_of(self, tokenizer: int) -> TokenizerKind:
        """The tokenizer of an entry."""
        transform = self.found[tokenizer].transform
        assert isinstance(transform, Tokenize)
        return transform.tokenizer

    def _made_by(self, transform: Transform, inputs: tuple[str, ...]) -> int | None:
        if isinstance(transform, Tokenize):
            same = transform.tokenizer
            return self.vocabularies[same.field] if isinstance(same, SameAs) else len(self.found)
        return self.vocabularies.get(inputs[0]) if inputs else None

    def _check_vocabulary(self, parsed: TransformEntry, entry: Entry) -> None:
        """Records a transform whose vocabulary lacks a token that it needs."""
        transform = parsed.transform
        if not isinstance(transform, OfTokens) or isinstance(transform, Tokenize):
            return
        name = transform.name
        if parsed.tokenizer is None:
            if transform.informed or transform.needs():
                message = f"`{name}` needs to know the vocabulary, and no tokenizer made `{parsed.inputs[0]}`"
                help = "make it with `tokenize`, as in `tokens = tokenize(text): words`"
                self.diagnostics.add("E0563", message, entry.span, help=help)
            return
        kind = self.kind_of(parsed.tokenizer)
        roles = kind.roles()
        for group in transform.needs():
            if roles is not None and not roles.intersection(group):
                wanted = (
                    "sentinels" if group[0] == "sentinels" else "a token " + " or ".join(f"`{role}`" for role in group)
                )
                message = f"`{name}` needs {wanted}, which the tokenizer of `{parsed.inputs[0]}` lacks"
                listed = ", ".join((*getattr(kind, "special", ()), group[0]))
                added = "sentinels: 100" if group[0] == "sentinels" else f"special: [{listed}]"
                mend = f"write `tokenizer: {{{kind.name}: {{{added}}}}}`" if isinstance(kind, Trained) else None
                notes = [Note("the tokenizer is here", self.found[parsed.tokenizer].span)]
                self.diagnostics.add("E0563", message, entry.span, help=mend, notes=notes)

    # ---- order ---------------------------------------------------------------------------------------

    def _check_place(self, parsed: TransformEntry, entry: Entry) -> None:
        """Records a transform that makes examples anew where that can't be."""
        if not parsed.transform.arranges():
            return
        name = entry.operator.value
        if self._arranging is not None:
            message = f"`{name}` makes examples anew, which `{self._arranging.transform.name}` did already"
            help = "one of them is enough"
        elif not (parsed.when.training and parsed.when.evaluation):
            message, help = f"`{name}` makes other examples, in training and in evaluation alike", "leave `when` out"
        else:
            above = next((item for item in self.found if _differs(item)), None)
            if above is None:
                return
            message = f"`{name}` makes other examples before training, so nothing random can stand above it"
            help = f"put `{above.transform.name}` below it"
        self.diagnostics.add("E0562", message, entry.span, help=help)

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

    # ---- types ---------------------------------------------------------------------------------------

    def infer(self, parsed: TransformEntry, entry: Entry, training: bool, names: dict[str, Dim]) -> None:
        """Writes the types behind an entry in one mode, or records why it can't be.

        `names` are those of the sizes that the entry makes, the same in both modes.
        """
        fields, diagnostics, name = self.types[training], self.diagnostics, entry.operator.value
        assert entry.inputs is not None
        for argument in entry.inputs:
            if argument.value not in fields:
                self._no_field(str(argument.value), argument.span, fields)
                return
        chain = (parsed.transform,) if training else parsed.transform.evaluation()
        types = tuple(fields[field] for field in parsed.inputs)
        try:
            for transform in chain:
                if not transform.strings and not isinstance(transform, OfTokens):
                    _refuse_text(types)
                types = transform.infer_fields(types)
        except TypeRuleError as error:
            place = entry.inputs[error.input or 0].span
            if error.argument is not None:
                place = entry.spans.at(error.argument)
            diagnostics.add("E0504", f"`{name}` {error.message}", place, help=error.help)
            return
        if parsed.transform.fewer:
            types = types[: len(parsed.outputs)]
        if len(types) != len(parsed.outputs):
            message = (
                f"`{name}` gives {_count(len(types), 'field')}, but {_count(len(parsed.outputs), 'name')} to write"
            )
            help = f"write `{', '.join(parsed.inputs)} = {name}({', '.join(parsed.inputs)})`"
            diagnostics.add("E0503", message, entry.span, help=help if len(types) == len(parsed.inputs) else None)
            return
        written = dict(zip(parsed.outputs, self._named(types, parsed.outputs, names), strict=True))
        if parsed.transform.arranges():
            fields.clear()  # what belonged to the examples before belongs to none of the new ones
        fields.update(written)

    def _no_field(self, name: str, span: Span, fields: Mapping[str, TensorType]) -> None:
        if self.broken:
            return  # what the entry that can't be read would have written isn't known
        help = did_you_mean(name, fields) or listing("fields", list(fields))
        notes = []
        if self._arranging is not None:
            notes = [Note("this makes examples anew, so the fields above it are gone", self._arranging.span)]
        self.diagnostics.add("E0503", f"there is no field `{name}`", span, help=help, notes=notes)

    def _named(
        self, types: Iterable[TensorType], outputs: Iterable[str], names: dict[str, Dim]
    ) -> Iterable[TensorType]:
        """The types with names for the sizes that the entry made: `T` for those of `tokens`."""
        used = {str(size) for items in self.types.values() for type in items.values() for size in _symbols(type)}
        used |= {str(name) for name in names.values()}
        for type, output in zip(types, outputs, strict=True):
            for size in _symbols(type):
                if size.startswith("length") and str(size) not in names:
                    most = size.high if isinstance(size, Symbol) else None
                    names[str(size)] = symbol(_letter(output, used), None, most)
                    used.add(str(names[str(size)]))
            yield substitute(type, names)

    def compare(self) -> None:
        """Records the fields whose types differ between training and evaluation."""
        training, evaluation = self.types[True], self.types[False]
        for name in dict.fromkeys((*training, *evaluation)):
            if name in self.lost:
                continue
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

    def check_sampler(self, weighted: str | None, bucket: str | None, spans: SpanTree) -> None:
        """Records a sampler that the fields don't allow."""
        if weighted is not None and self._arranging is not None:
            message = f"`weighted` draws examples, which `{self._arranging.transform.name}` makes anew"
            notes = [Note("it is here", self._arranging.span)]
            self.diagnostics.add("E0502", message, spans.at("weighted"), notes=notes)
        if bucket is not None:
            self._check_lengths(bucket, "bucket", spans.at("bucket"))

    def check_budget(self, field: str, span: Span) -> None:
        """Records a batch size in tokens of a field that has none."""
        self._check_lengths(field, "batch_size", span)

    def _check_lengths(self, field: str, word: str, span: Span) -> None:
        type = self.types[False].get(field)
        unknown = field in self.lost or (self.broken and type is None)
        if not unknown and (type is None or not type.ragged):
            fitting = [name for name, item in self.types[False].items() if item.ragged and not item.text]
            got = f"`{field}`" if type is None else f"`{field}`, which is {type}"
            help = did_you_mean(field, fitting) or listing("such fields", fitting)
            message = f"`{word}` needs a field that differs in length, got {got}"
            self.diagnostics.add("E0502", message, span, help=help)


def _of_text(transform: Transform) -> bool:
    return transform.strings or isinstance(transform, OfTokens)


def _differs(entry: TransformEntry) -> bool:
    """Whether an entry doesn't do the same every time, in training and in evaluation."""
    transform = entry.transform
    return transform.random or transform.varies() or entry.when.training != entry.when.evaluation


def _refuse_text(types: Iterable[TensorType]) -> None:
    for position, type in enumerate(types):
        if type.text:
            help = "make numbers of it first: `tokens = tokenize(text): characters`"
            raise TypeRuleError(f"takes no text ({type})", input=position, help=help)


def _symbols(type: TensorType) -> list[str]:
    """The symbols in the sizes of a type, without the batch."""
    return [name for size in type.shape[1:] if isinstance(size, SymDim) for name in sorted(size.symbols())]


def _letter(field: str, used: Iterable[str]) -> str:
    """A name for the length of a field that no other has: the letter that it begins with, and a number behind it."""
    first = next((letter for letter in field.upper() if letter.isalpha() and letter != "N"), "L")
    number = 1
    while (name := first if number == 1 else f"{first}{number}") in used:
        number += 1
    return name


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


__all__ = ["Chain", "TransformEntry", "When", "folders"]
