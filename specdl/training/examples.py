"""Opens a recipe's data: loads the source, divides it, prepares the transforms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from specdl.analysis.classes import check_classes
from specdl.data.examples import Examples, Records, Stacked
from specdl.data.lazy import LazyExamples
from specdl.data.loading import MEMORY, Bad, bad_files, decode_all, find_bad, fits_memory
from specdl.data.memory import MemoryExamples
from specdl.data.pipeline import Pipeline, Step
from specdl.data.split import split_indices
from specdl.data.transforms.base import Unchanged
from specdl.diagnostics import Diagnostic, Diagnostics, SpecError
from specdl.ir.types import TensorType
from specdl.spec.data import Data, TransformEntry
from specdl.spec.recipe import Recipe
from specdl.training.model import Model


@dataclass(frozen=True, slots=True)
class Opened:
    """The examples of a recipe; the names of classes as the data has them; and what was left out."""

    examples: Examples
    classes: Mapping[str, tuple[str, ...]]
    skipped: tuple[Bad, ...] = ()


def require_data(recipe: Recipe | None) -> tuple[Recipe, Data]:
    """The recipe with its data. Raises `SpecError` for a spec that only describes a network."""
    if recipe is None or recipe.data is None:
        help = "e.g. `data: {source: digits, batch_size: 64}`"
        raise SpecError([Diagnostic("E0507", "a spec needs `data` to be trained or evaluated", help=help)])
    return recipe, recipe.data


def open_examples(recipe: Recipe, data: Data, device: torch.device) -> Examples:
    """The examples of a recipe on a device; see `open_data`."""
    return open_data(recipe, data, device).examples


def open_data(recipe: Recipe, data: Data, device: torch.device) -> Opened:
    """Opens the data on a device.

    Raises `SpecError` where it can't be found or read, where the split leaves a part empty, and where more files
    than the spec allows are bad: all of them are listed.
    """
    loaded, pipeline, skipped = load(data)
    parts, weights = divide(data, loaded, skipped)
    classes = {**{name: names for name in data.raw if (names := data.source.classes(name))}, **loaded.classes}
    examples: Examples
    if isinstance(loaded, Stacked):
        examples = MemoryExamples(
            loaded.fields, parts, pipeline, device=device, seed=recipe.train.seed, weights=weights
        )
    else:
        examples = LazyExamples(
            loaded,
            parts,
            pipeline,
            device=device,
            seed=recipe.train.seed,
            weights=weights,
            workers=data.workers,
            span=data.span,
        )
    return Opened(examples, classes, tuple(skipped))


def check_opened(model: Model, data: Data, classes: Mapping[str, tuple[str, ...]], diagnostics: Diagnostics) -> None:
    """Records where the data turned out to have more classes than a loss scores."""
    found = {name: names for name, names in classes.items() if data.source.classes(name) is None}
    if found:
        check_classes(model.program, data, diagnostics, found)


def open_source(data: Data) -> Stacked | Records:
    """What the source gives. Raises `SpecError` at the place of the section `data`."""
    try:
        return data.source.load()
    except SpecError as error:
        placed = [item if item.span else replace(item, span=data.span) for item in error.diagnostics]
        raise SpecError(placed, error.texts) from error


def load(data: Data) -> tuple[Stacked | Records, Pipeline, list[Bad]]:
    """What the source gives, what is still to be done to it, and the examples that are to be left out.

    Examples from files are decoded here once and kept, where they are few enough. Raises `SpecError`.
    """
    loaded, pipeline = open_source(data), open_pipeline(data)
    if isinstance(loaded, Stacked):
        return loaded, pipeline, []
    fixed, rest = pipeline.apart()
    types = _behind(data.raw, fixed)
    if data.in_memory or (data.in_memory is None and fits_memory(types, len(loaded))):
        fields, bad = decode_all(loaded, fixed, data.workers)
        _allow(bad, len(loaded), data)
        return Stacked(fields, loaded.parts, loaded.classes), rest, bad
    if data.in_memory is None:
        loaded.keep(MEMORY)
    # To leave examples out, all that are bad must be known before; else a look at each tells the plain cases.
    bad = find_bad(loaded, data.workers, decode=data.on_bad > 0)
    _allow(bad, len(loaded), data)
    return loaded, pipeline, bad


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
    left_out[[item.position for item in skipped]] = True
    given = {name: positions[~left_out[positions]] for name, positions in (loaded.parts or {}).items()}
    shares = split.shares()
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


def open_pipeline(data: Data) -> Pipeline:
    """The transforms as steps."""
    return Pipeline(
        _steps(data.transforms, training=True),
        _steps(data.transforms, training=False),
        _steps(data.batch_transforms, training=True),
    )


def _steps(entries: Iterable[TransformEntry], *, training: bool) -> tuple[Step, ...]:
    found: list[Step] = []
    for entry in entries:
        if not (entry.when.training if training else entry.when.evaluation):
            continue
        chain = (entry.transform,) if training else entry.transform.evaluation()
        if not chain and entry.inputs != entry.outputs:
            chain = (Unchanged(),)
        found += [Step(chain[0], entry.inputs, entry.outputs)] if chain else []
        found += [Step(transform, entry.outputs, entry.outputs) for transform in chain[1:]]
    return tuple(found)
