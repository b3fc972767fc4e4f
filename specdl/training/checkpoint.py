"""Checkpoints: the weights and everything that a run needs to go on as if it had never stopped.

A checkpoint is a folder: `model.safetensors` (the weights that inference uses), `state.safetensors` (optimizer,
random generators, averages) and `state.json` (counters and sums); nothing is pickled. It is written under
another name, synced to disk and renamed, and the one before is removed only then: at any moment at least one
whole checkpoint exists, under its name or, between the two renames, as `<name>-<step>`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from specdl.diagnostics import Diagnostic, Note, SpecError
from specdl.training.run_folder import full_disk_explained

MODEL_FILE, STATE_FILE, FACTS_FILE = "model.safetensors", "state.safetensors", "state.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is saved: `model` are the weights, `state` other tensors, `facts` plain numbers and words."""

    model: Mapping[str, torch.Tensor]
    state: Mapping[str, torch.Tensor]
    facts: Mapping[str, Any]


def save_checkpoint(folder: Path, name: str, checkpoint: Checkpoint, *, keep: int = 1) -> None:
    """Writes `folder/name`, whole or not at all; `keep - 1` earlier ones stay as `name-<step>`.

    Raises `EnvironmentFailure` when the disk is full; the checkpoint before then stays as it is.
    """
    target = folder / name
    temporary = folder / f".{name}.{os.getpid()}"
    try:
        with full_disk_explained(target):
            folder.mkdir(parents=True, exist_ok=True)
            for abandoned in folder.glob(f".{name}.*"):  # by a process that was killed
                shutil.rmtree(abandoned, ignore_errors=True)
            temporary.mkdir()
            save_tensors(temporary / MODEL_FILE, checkpoint.model)
            save_tensors(temporary / STATE_FILE, checkpoint.state)
            _write(temporary / FACTS_FILE, json.dumps(checkpoint.facts, indent=1))
            _sync_folder(temporary)
            if target.exists():
                earlier = folder / f"{name}-{_step_of(target):08d}"
                shutil.rmtree(earlier, ignore_errors=True)
                target.rename(earlier)
            temporary.rename(target)
            _sync_folder(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    same = f"{name}-{checkpoint.facts['step']:08d}"  # the end of a run saves the last step once more
    shutil.rmtree(folder / same, ignore_errors=True)
    for old in _earlier(folder, name)[keep - 1 :]:
        shutil.rmtree(old, ignore_errors=True)


def find_checkpoint(folder: Path, name: str) -> Path | None:
    """The checkpoint of that name; where a crash fell between two renames, the latest earlier one."""
    if (folder / name / FACTS_FILE).exists():
        return folder / name
    return next(iter(_earlier(folder, name)), None)


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint. Raises `SpecError` where a file of it is missing or damaged."""
    try:
        facts = json.loads((path / FACTS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path / FACTS_FILE, error) from error
    return Checkpoint(load_tensors(path / MODEL_FILE), load_tensors(path / STATE_FILE), facts)


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Writes a safetensors file and syncs it. A tensor under two names is stored once, the alias noted beside it."""
    stored: dict[str, torch.Tensor] = {}
    first: dict[tuple[Any, ...], str] = {}
    aliases: dict[str, str] = {}
    for name, tensor in tensors.items():
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and key in first:
            aliases[name] = first[key]
        else:
            first[key] = name
            stored[name] = tensor.detach().contiguous()
    # safetensors writes several entries of metadata in an order that changes, and the same run gives the same bytes.
    facts = {"aliases": json.dumps(aliases)} if aliases else {"format": "pt"}
    try:
        save_file(stored, path, metadata=facts)
    except SafetensorError as error:  # safetensors writes by itself and hides the operating system's error number
        code = re.search(r"os error (\d+)", str(error))
        raise OSError(int(code.group(1)) if code else 5, str(error)) from error
    with path.open("rb") as file:
        os.fsync(file.fileno())


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Reads a safetensors file. Raises `SpecError` where it is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            aliases = json.loads((file.metadata() or {}).get("aliases", "{}"))
    except (OSError, SafetensorError, ValueError) as error:
        raise _damaged(path, error) from error
    return {**tensors, **{name: tensors[original] for name, original in aliases.items() if original in tensors}}


def load_weights(network: nn.Module, weights: Mapping[str, torch.Tensor], where: str, help: str | None = None) -> None:
    """Puts weights into a network. Raises `SpecError` with every tensor that doesn't fit."""
    wanted = network.state_dict()
    notes = [
        *(f"the network has no `{name}`" for name in weights if name not in wanted),
        *(f"`{name}` is missing" for name in wanted if name not in weights),
        *(
            f"`{name}` is {list(weights[name].shape)}, the network's is {list(tensor.shape)}"
            for name, tensor in wanted.items()
            if name in weights and weights[name].shape != tensor.shape
        ),
    ]
    if notes:
        shown = [
            *notes[:_SHOWN_MISFITS],
            *([f"and {len(notes) - _SHOWN_MISFITS} more"] * (len(notes) > _SHOWN_MISFITS)),
        ]
        message = f"{where} doesn't fit this network"
        raise SpecError([Diagnostic("E0602", message, notes=tuple(Note(note) for note in shown), help=help)])
    network.load_state_dict(dict(weights))


_SHOWN_MISFITS = 5


def _damaged(path: Path, error: Exception) -> SpecError:
    problem = f"there is no `{path}`" if not path.exists() else f"`{path}` is damaged: {error}"
    return SpecError([Diagnostic("E0601", problem, help="put back a copy of the checkpoint, or train again")])


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name == "nt":  # Windows can't open a folder, and keeps renames by itself
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _step_of(path: Path) -> int:
    try:
        return int(json.loads((path / FACTS_FILE).read_text(encoding="utf-8"))["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _earlier(folder: Path, name: str) -> list[Path]:
    """Earlier checkpoints of that name, the latest first."""
    pattern = re.compile(re.escape(name) + r"-(\d{8,})\Z")
    found = [path for path in folder.iterdir() if pattern.match(path.name)] if folder.exists() else []
    return sorted(found, key=lambda path: int(path.name.rsplit("-", 1)[1]), reverse=True)


def pack_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """An optimizer's state as tensors (`optimizer.<parameter>.<name>`) and plain numbers."""
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, Any] = {}
    for position, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{position}.{name}"] = value
            elif value is not None:
                numbers[f"{position}.{name}"] = value
    return tensors, numbers


def unpack_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], numbers: Mapping[str, Any]
) -> None:
    """Gives an optimizer the state that `pack_optimizer` took. Its groups stay as the spec says."""
    state: dict[int, dict[str, Any]] = {}
    packed = {
        name.removeprefix("optimizer."): value for name, value in tensors.items() if name.startswith("optimizer.")
    }
    for name, value in {**packed, **numbers}.items():
        position, _, key = name.partition(".")
        state.setdefault(int(position), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    try:
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    except (ValueError, KeyError, RuntimeError) as error:
        raise SpecError([Diagnostic("E0602", f"the saved optimizer doesn't fit this network: {error}")]) from error
