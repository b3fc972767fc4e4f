"""Opens a recipe's data: loads the source, divides it, prepares the transforms."""

from __future__ import annotations

import torch

from specdl.data.examples import Examples, Stacked
from specdl.data.lazy import LazyExamples
from specdl.data.memory import MemoryExamples
from specdl.data.pipeline import Step
from specdl.data.split import split_indices
from specdl.diagnostics import Diagnostic, SpecError
from specdl.spec.recipe import Data, Recipe


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
    steps = [
        Step(entry.transform, entry.inputs, entry.outputs, entry.when.training, entry.when.evaluation)
        for entry in data.transforms
    ]
    if isinstance(loaded, Stacked):
        return MemoryExamples(loaded.fields, parts, steps, device=device, seed=recipe.train.seed)
    return LazyExamples(loaded, parts, steps, device=device, seed=recipe.train.seed, workers=data.workers)
