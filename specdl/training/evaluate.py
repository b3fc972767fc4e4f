"""Measures the trained network of a run on a part of its data."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from specdl.analysis.metrics import usual_inputs
from specdl.analysis.soft_labels import soft_labels
from specdl.diagnostics import Diagnostic, SpecError, did_you_mean
from specdl.training.checkpoint import MODEL_FILE, find_checkpoint, load_tensors, load_weights
from specdl.training.engine import pick_device
from specdl.training.examples import open_examples, require_data
from specdl.training.model import Model
from specdl.training.scoring import Scorer


def evaluate(
    model: Model, folder: Path, split: str = "validation", *, checkpoint: str | None = None
) -> dict[str, float]:
    """`loss` and the metrics of a run on `validation`, `test` or `train`, always in float32.

    `model` is the spec of the run, compiled (`folder/spec.yaml`); `checkpoint` is `best` unless given, or `last`
    where no best was kept. Raises `SpecError` for an unknown part or a damaged checkpoint.
    """
    recipe, data = require_data(model.recipe)
    device = pick_device(recipe.train.device)
    examples = open_examples(recipe, data, device, folder)
    if split not in examples.parts:
        known = ", ".join(f"`{part}`" for part in examples.parts)
        help = did_you_mean(split, examples.parts) or f"known: {known}"
        raise SpecError([Diagnostic("E0606", f"the data has no part `{split}`", help=help)])
    network = load_network(model, folder, checkpoint).to(device)
    functions = model.step_functions()
    scorer = Scorer(
        [(step, functions[step.name]) for step in model.program.steps],
        recipe.metrics,
        usual_inputs(model.input_names, model.output_names, data.fields),
        soft_labels(model.program),
    )
    networks = {next(iter(model.program.networks)): network}
    return scorer.score(networks, examples.batches(split, data.batch_size))


def load_network(model: Model, folder: Path, checkpoint: str | None = None, *, network: str | None = None) -> nn.Module:
    """The trained network of a run, in eval mode on the CPU. Raises `SpecError` where there is none to load.

    `network` must be its name where it is given: a run has a single network so far.
    """
    if network is not None:
        model.program.network(network)
    names = (checkpoint,) if checkpoint else ("best", "last")
    path = next((found for name in names if (found := find_checkpoint(folder / "checkpoints", name))), None)
    if path is None:
        message = f"`{folder}` has no checkpoint {' or '.join(f'`{name}`' for name in names)}"
        raise SpecError([Diagnostic("E0605", message, help="name the folder that `specdl train` printed")])
    module = model.module(weights=False)
    load_weights(module, load_tensors(path / MODEL_FILE), f"`{path}`", help="the run's `spec.yaml` was changed")
    return module.eval()
