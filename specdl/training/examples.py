"""Opens a recipe's data: loads the source, divides it, prepares the transforms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from specdl.analysis.classes import check_classes
from specdl.analysis.vocabularies import check_vocabularies
from specdl.data.columns import HIDDEN
from specdl.data.examples import Bad, Examples, Records, Stacked
from specdl.data.lazy import LazyExamples
from specdl.data.loading import MEMORY, bad_files, decode_all, find_bad, fits_memory
from specdl.data.memory import MemoryExamples
from specdl.data.pipeline import Arrangement, Pipeline, Step
from specdl.data.split import split_indices
from specdl.data.transforms.base import Transform, Unchanged
from specdl.data.transforms.text import OfTokens, Tokenize
from specdl.diagnostics import Diagnostic, Diagnostics, SpecError
from specdl.ir.types import TensorType
from specdl.spec.chain import TransformEntry
from specdl.spec.data import Data
from specdl.spec.recipe import Recipe
from specdl.training.model import Model
from specdl.training.tokenizers import Tokenizers, kept_tokenizers, make_tokenizers


@dataclass(frozen=True, slots=True)
class Opened:
    """The examples of a recipe; the names of classes as the data has them; and what was left out.

    `tokenizers` are those of the transforms, by the position of their entry.
    """

    examples: Examples
    classes: Mapping[str, tuple[str, ...]]
    skipped: tuple[Bad, ...] = ()
    tokenizers: Tokenizers = field(default_factory=dict)


def require_data(recipe: Recipe | None) -> tuple[Recipe, Data]:
    """The recipe with its data. Raises `SpecError` for a spec that only describes a network."""
    if recipe is None or recipe.data is None:
        help = "e.g. `data: {source: digits, batch_size: 64}`"
        raise SpecError([Diagnostic("E0507", "a spec needs `data` to be trained or evaluated", help=help)])
    return recipe, recipe.data


def open_examples(recipe: Recipe, data: Data, device: torch.device, folder: Path | None = None) -> Examples:
    """The examples of a recipe on a device; see `open_data`."""
    return open_data(recipe, data, device, folder).examples


def open_data(recipe: Recipe, data: Data, device: torch.device, folder: Path | None = None) -> Opened:
    """Opens the data on a device. `folder` is that of a run, whose tokenizers are used again.

    Raises `SpecError` where it can't be found or read, where the split leaves a part empty, and where more files
    than the spec allows are bad: all of them are listed.
    """
    try:
        return _opened(recipe, data, device, folder)
    except SpecError as error:
        placed = [item if item.span else replace(item, span=data.span) for item in error.diagnostics]
        raise SpecError(placed, error.texts) from error


def open_loaded(recipe: Recipe, data: Data, loaded: Stacked) -> Opened:
    """The same of examples that are in memory already, on the CPU. Raises `SpecError`."""
    return _opened(recipe, data, torch.device("cpu"), None, loaded)


def _opened(
    recipe: Recipe, data: Data, device: torch.device, folder: Path | None, given: Stacked | None = None
) -> Opened:
    loaded, pipeline, skipped, tokenizers = load(data, folder, given)
    parts, weights = divide(data, loaded, skipped)
    classes = {**{name: names for name in data.raw if (names := data.source.classes(name))}, **loaded.classes}
    shared: dict[str, Any] = {
        "device": device,
        "seed": recipe.train.seed,
        "weights": weights,
        "bucket": data.bucket,
        "ragged": data.paddings,
    }
    examples: Examples
    if isinstance(loaded, Stacked):
        examples = MemoryExamples(loaded.fields, parts, pipeline, **shared)
    else:
        examples = LazyExamples(loaded, parts, pipeline, workers=data.workers, span=data.span, **shared)
    return Opened(examples, classes, tuple(skipped), tokenizers)


def check_opened(
    model: Model,
    data: Data,
    classes: Mapping[str, tuple[str, ...]],
    tokenizers: Tokenizers,
    diagnostics: Diagnostics,
) -> None:
    """Records where the data has more classes than a loss scores, or its text more tokens than the network knows."""
    found = {name: names for name, names in classes.items() if data.source.classes(name) is None}
    if found:
        check_classes(model.program, data, diagnostics, found)
    sizes = {at: made.vocabulary.size for at, made in tokenizers.items()}
    check_vocabularies(model.program, data, sizes, diagnostics)


def open_source(data: Data) -> Stacked | Records:
    """What the source gives. Raises `SpecError` at the place of the section `data`."""
    try:
        return data.source.load()
    except SpecError as error:
        placed = [item if item.span else replace(item, span=data.span) for item in error.diagnostics]
        raise SpecError(placed, error.texts) from error


def load(
    data: Data, folder: Path | None = None, given: Stacked | None = None
) -> tuple[Stacked | Records, Pipeline, list[Bad], Tokenizers]:
    """What the source gives, what is still to be done to it, the examples that are left out, and the tokenizers.

    `given` is what the source gave, where that is at hand. Examples from files are decoded here once and kept, where
    they are few enough. Raises `SpecError`.
    """
    loaded: Stacked | Records = given if given is not None else open_source(data)
    if given is None:
        _allow(loaded.bad, len(loaded) + len(loaded.bad), data)
    tokenizers: Tokenizers = {}
    if any(isinstance(entry.transform, Tokenize) for entry in data.transforms):
        # Bad images are not known yet, so a vocabulary may be made from the captions of some.
        parts, _ = divide(data, loaded, ())
        tokenizers = kept_tokenizers(data, folder) or make_tokenizers(data, loaded, parts)
    pipeline = open_pipeline(data, tokenizers)
    if isinstance(loaded, Stacked):
        return loaded, pipeline, list(loaded.bad), tokenizers
    fixed, rest = pipeline.apart()
    types = _behind(data.raw, fixed)
    if data.in_memory or (data.in_memory is None and fits_memory(types, len(loaded))):
        fields, bad = decode_all(loaded, fixed, data.workers)
        _allow(bad, len(loaded), data)
        return Stacked(fields, loaded.parts, loaded.classes), rest, [*loaded.bad, *bad], tokenizers
    if data.in_memory is None:
        loaded.keep(MEMORY)
    # To leave examples out, all that are bad must be known before; else a look at each tells the plain cases.
    bad = find_bad(loaded, data.workers, decode=data.on_bad > 0)
    _allow(bad, len(loaded), data)
    return loaded, pipeline, [*loaded.bad, *bad], tokenizers


def _behind(raw: Mapping[str, TensorType], steps: Iterable[Step]) -> dict[str, TensorType]:
    """The types of all fields behind some steps."""
    fields = dict(raw)
    for step in steps:
        types = step.transform.infer_fields([fields[name] for name in step.inputs])
        fields.update(zip(step.outputs, types, strict=True))
    return fields


def _allow(bad: Sequence[Bad], count: int, data: Data) -> None:
    if len(bad) > count * data.on_bad:
        raise bad_files(bad, count, data.span, allowed=data.on_bad)


def divide(
    data: Data, loaded: Stacked | Records, skipped: Sequence[Bad]
) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
    """The positions of each part, and the weights of a sampler. Raises `SpecError`."""
    split, count = data.split, len(loaded)
    left_out = torch.zeros(count, dtype=torch.bool)
    left_out[[item.position for item in skipped if item.position is not None]] = True
    given = {name: positions[~left_out[positions]] for name, positions in (loaded.parts or {}).items()}
    shares = {} if isinstance(loaded, Stacked) and loaded.divided else split.shares()
    doubled = [name for name in shares if name in given]
    if doubled and data.given_split:
        message = f"the data has a part `{doubled[0]}` of its own, and `split` holds out another"
        raise SpecError([Diagnostic("E0534", message, data.span, help=f"leave `{doubled[0]}` out of `split`")])
    shares = {name: share for name, share in shares.items() if name not in given}
    pool = given.pop("train", torch.arange(count)[~left_out])
    labels = None if split.stratify is None else _column(loaded, split.stratify)
    try:
        found = split_indices(len(pool), shares, labels=None if labels is None else labels[pool], seed=split.seed)
    except ValueError as error:
        raise SpecError([Diagnostic("E0508", str(error), data.span)]) from error
    parts = {name: pool[positions] for name, positions in found.items()} | given
    for name, positions in parts.items():
        if not len(positions):
            raise SpecError([Diagnostic("E0508", f"there is no example for `{name}`", data.span)])
    if data.sampler is None:
        return parts, None
    values, positions = torch.unique(_column(loaded, data.sampler), return_inverse=True)
    training = torch.bincount(positions[parts["train"]], minlength=len(values))
    return parts, torch.where(training > 0, 1.0 / training.clamp(min=1), 0.0)[positions]


def _column(loaded: Stacked | Records, field: str) -> torch.Tensor:
    found = loaded.column(field)
    assert found is not None, field
    return found


def open_pipeline(data: Data, tokenizers: Tokenizers | None = None) -> Pipeline:
    """The transforms as steps, with their tokenizers."""
    entries = [_with_tokenizer(entry, tokenizers or {}) for entry in data.transforms]
    batch = _steps(data.batch_transforms, training=True)
    at = next((at for at, entry in enumerate(entries) if entry.transform.arranges()), None)
    if at is None:
        return Pipeline(_steps(entries, training=True), _steps(entries, training=False), batch)
    before, entry, rest = entries[:at], entries[at], entries[at + 1 :]
    names = tuple(f"{entry.outputs[0]}{HIDDEN}{number}" for number in range(entry.transform.arranged))
    taken = [replace(entry, inputs=names), *rest]
    # What arranges is the same in training and in evaluation: they differ in what is made of a batch.
    return Pipeline(
        _steps(taken, training=True),
        _steps(taken, training=False),
        batch,
        _steps(before, training=True),
        Arrangement(entry.transform, entry.inputs, names),
    )


def steps_of(entries: Iterable[TransformEntry], tokenizers: Tokenizers, *, training: bool) -> tuple[Step, ...]:
    """Some transforms as steps, with their tokenizers."""
    return _steps([_with_tokenizer(entry, tokenizers) for entry in entries], training=training)


def _with_tokenizer(entry: TransformEntry, tokenizers: Tokenizers) -> TransformEntry:
    made = None if entry.tokenizer is None else tokenizers.get(entry.tokenizer)
    transform = entry.transform
    if made is not None and isinstance(transform, Tokenize):
        return replace(entry, transform=transform.with_tokenizer(made))
    if made is not None and isinstance(transform, OfTokens):
        return replace(entry, transform=transform.with_vocabulary(made.vocabulary))
    return entry


def _steps(entries: Iterable[TransformEntry], *, training: bool) -> tuple[Step, ...]:
    found: list[Step] = []
    for entry in entries:
        if not (entry.when.training if training else entry.when.evaluation):
            continue
        chain: tuple[Transform, ...] = (entry.transform,) if training else entry.transform.evaluation()
        if not chain and entry.inputs != entry.outputs:
            chain = (Unchanged(),)
        found += [Step(chain[0], entry.inputs, entry.outputs)] if chain else []
        found += [Step(transform, entry.outputs, entry.outputs) for transform in chain[1:]]
    return tuple(found)
