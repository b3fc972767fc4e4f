"""Opens a recipe's data: loads the source, divides it, prepares the transforms."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from specdl.data.examples import Examples, Stacked
from specdl.data.lazy import LazyExamples
from specdl.data.memory import MemoryExamples
from specdl.data.pipeline import Pipeline, Step
from specdl.data.split import split_indices
from specdl.data.transforms.base import Unchanged
from specdl.diagnostics import Diagnostic, SpecError
from specdl.spec.data import Data, TransformEntry
from specdl.spec.recipe import Recipe


def require_data(recipe: Recipe | None) -> tuple[Recipe, Data]:
    """The recipe with its data. Raises `SpecError` for a spec that only describes a network."""
    if recipe is None or recipe.data is None:
        help = "e.g. `data: {source: digits, batch_size: 64}`"
        raise SpecError([Diagnostic("E0507", "a spec needs `data` to be trained or evaluated", help=help)])
    return recipe, recipe.data


def open_examples(recipe: Recipe, data: Data, device: torch.device) -> Examples:
    """The examples of a recipe on a device. Raises `SpecError` where the split leaves a part empty."""
    loaded = data.source.load()
    labels = None if data.split.stratify is None else loaded.column(data.split.stratify)
    try:
        parts = split_indices(len(loaded), data.split.shares(), labels=labels, seed=data.split.seed)
    except ValueError as error:
        raise SpecError([Diagnostic("E0508", str(error), data.span)]) from error
    pipeline, seed = open_pipeline(data), recipe.train.seed
    if isinstance(loaded, Stacked):
        return MemoryExamples(loaded.fields, parts, pipeline, device=device, seed=seed)
    return LazyExamples(loaded, parts, pipeline, device=device, seed=seed, workers=data.workers)


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
