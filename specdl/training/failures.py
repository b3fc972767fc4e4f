"""What a run says when it fails: where, what came before, and what to change first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from specdl.data.examples import Budget
from specdl.spec.recipe import Recipe
from specdl.training.errors import TrainingFailed
from specdl.training.model import StepFunction, Tensors


@dataclass(frozen=True, slots=True)
class Trouble:
    """A loss that is not a number any more, and what is known about the steps before.

    The gradients of the parameters are still those of the update before; `clipped_norm` is their norm from
    before they were clipped.
    """

    loss: float
    step: int
    epoch: int
    losses: tuple[float, ...]
    clipped_norm: float | None
    named_parameters: tuple[tuple[str, nn.Parameter], ...]
    lr: float
    kept: tuple[Path, ...]


def describe_failure(trouble: Trouble, recipe: Recipe) -> str:
    """The message of the failure, in lines."""
    what = "infinite" if math.isinf(trouble.loss) else "NaN"
    lines = [f"the loss became {what} at step {trouble.step} (epoch {trouble.epoch + 1})"]
    if trouble.losses:
        lines.append(f"  losses before it: {', '.join(f'{loss:.4g}' for loss in trouble.losses)}")
    norms = {
        name: float(parameter.grad.detach().norm())
        for name, parameter in trouble.named_parameters
        if parameter.grad is not None
    }
    if norms:
        total = math.hypot(*norms.values()) if trouble.clipped_norm is None else trouble.clipped_norm
        largest = max(norms, key=lambda name: math.inf if math.isnan(norms[name]) else norms[name])
        lines.append(f"  gradient norm before it: {total:.4g}, the largest is `{largest}` with {norms[largest]:.4g}")
    place = recipe.optimizer.lr_span
    where = "the default, as the spec gives none" if place is None else str(place)
    advice = "a tenth of it" if recipe.train.clip else "a tenth of it, or `clip: {norm: 1.0}` under `train`"
    lines.append(
        f"  first suspect: the learning rate {recipe.optimizer.optimizer.lr:g} ({where}), {trouble.lr:.3g} at this "
        f"step; try {advice}"
    )
    lines.append(f"  kept: {', '.join(map(str, trouble.kept))}" if trouble.kept else "  no checkpoint was written yet")
    return "\n".join(lines)


def explained(function: StepFunction) -> StepFunction:
    """The step, with what PyTorch says against a batch (a label out of range, say) as `TrainingFailed`."""

    def step(
        networks: Mapping[str, nn.Module], batch: Tensors
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        try:
            return function(networks, batch)
        except (RuntimeError, IndexError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            first = (str(error).strip().splitlines() or [""])[0]
            lines = [f"PyTorch can't compute a step: {type(error).__name__}: {first}"]
            lines += [f"  {note}" for note in getattr(error, "__notes__", ())]
            raise TrainingFailed("\n".join(lines)) from error

    return step


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device's memory ran out; PyTorch has no type of error for the CPU's."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def out_of_memory(recipe: Recipe, device: torch.device) -> str:
    """What to do when a device's memory doesn't suffice. The batch size is never changed by itself."""
    assert recipe.data is not None
    size, accumulate = recipe.data.batch_size, recipe.train.accumulate
    peak = ""
    if device.type == "cuda":
        peak = f" (peak {torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB)"
    shown = size if isinstance(size, int) else f"{{{size.field}: {size.tokens}}}"
    lines = [f"memory ran out on {device}{peak} with `batch_size: {shown}`"]
    if isinstance(size, Budget):
        lines.append(f"  fewer tokens at a time need less: `batch_size: {{{size.field}: {size.tokens // 2}}}`")
    elif size > 1:
        half = f"`batch_size: {size // 2}` with `accumulate: {accumulate * 2}`"
        lines.append(f"  half at a time gives the same updates: {half}")
    if recipe.train.precision == "fp32":
        lines.append("  `precision: bf16` halves what activations take")
    return "\n".join(lines)
