"""What a run is at a moment, to and from a checkpoint: networks, optimizer, random generators and sums."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from specdl.diagnostics import Diagnostic, SpecError
from specdl.training.checkpoint import Checkpoint, load_weights, pack_optimizer, unpack_optimizer
from specdl.training.engine import Engine, bare

FORMAT = 1
"""Version of the layout of a checkpoint."""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its folder, and the measures of its best checkpoint."""

    folder: Path
    metrics: dict[str, float]


@dataclass(slots=True)
class Position:
    """Where a run is, and what it has summed up since it last reported.

    `step` counts updates, `batch` the batches of the epoch that are done; `recent` sums belong to reports of
    steps, the others to validations; `stale` counts validations without improvement.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    recent_sum: float = 0.0
    recent_count: int = 0
    best: float | None = None
    best_row: dict[str, float] = field(default_factory=dict)
    stale: int = 0
    finished: bool = False


def pack(
    used: nn.Module,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: AveragedModel | None,
    position: Position,
    engine: Engine,
) -> Checkpoint:
    """A checkpoint of all that. `used` is the network that inference takes: the average where there is one."""
    state, numbers = pack_optimizer(optimizer)
    state["random.cpu"] = torch.get_rng_state()
    if engine.device.type == "cuda":
        state["random.cuda"] = torch.cuda.get_rng_state(engine.device)
    if average is not None:
        state["averaged"] = average.n_averaged
        state.update({f"network.{name}": tensor for name, tensor in bare(network).state_dict().items()})
    facts: dict[str, Any] = {"format": FORMAT, **asdict(position), "optimizer": numbers, "engine": engine.facts()}
    return Checkpoint(used.state_dict(), state, facts)


def unpack(
    checkpoint: Checkpoint,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: AveragedModel | None,
    engine: Engine,
) -> Position:
    """Puts everything back. Raises `SpecError` where the checkpoint belongs to another network or version."""
    facts, state = checkpoint.facts, checkpoint.state
    if facts.get("format") != FORMAT:
        message = f"the checkpoint has format {facts.get('format')}; this version reads {FORMAT}"
        raise SpecError([Diagnostic("E0602", message)])
    raw = {name.removeprefix("network."): tensor for name, tensor in state.items() if name.startswith("network.")}
    help = "resume with the spec that the run began with"
    load_weights(bare(network), checkpoint.model if average is None else raw, "the checkpoint", help)
    try:
        if average is not None:
            load_weights(average.module, checkpoint.model, "the checkpoint", help)
            average.n_averaged.copy_(state["averaged"])
        unpack_optimizer(optimizer, state, facts["optimizer"])
        torch.set_rng_state(state["random.cpu"])
        if engine.device.type == "cuda" and "random.cuda" in state:
            torch.cuda.set_rng_state(state["random.cuda"], engine.device)
        engine.restore(facts["engine"])
        return Position(**{name: facts[name] for name in asdict(Position())})
    except (KeyError, TypeError, RuntimeError) as error:
        message = f"the checkpoint is damaged: it lacks, or holds a wrong, {error}"
        raise SpecError([Diagnostic("E0601", message, help="put back a copy of it, or train again")]) from error
