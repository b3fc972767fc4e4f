"""Checkpoints: whole or not there, whatever happens while they are written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from specdl.diagnostics import EnvironmentFailure, SpecError
from specdl.training import checkpoint as module
from specdl.training.checkpoint import (
    Checkpoint,
    find_checkpoint,
    load_checkpoint,
    load_tensors,
    pack_optimizer,
    save_checkpoint,
    save_tensors,
    unpack_optimizer,
)


def made(step: int) -> Checkpoint:
    tensor = torch.full((4,), float(step))
    return Checkpoint({"weight": tensor}, {"moment": tensor + 1}, {"step": step})


def consistent(path: Path) -> int:
    """The step of a checkpoint, after making sure that its files belong together."""
    found = load_checkpoint(path)
    step = int(found.facts["step"])
    assert torch.equal(found.model["weight"], torch.full((4,), float(step)))
    assert torch.equal(found.state["moment"], torch.full((4,), float(step) + 1))
    return step


def test_the_new_one_replaces_the_old_one(tmp_path: Path) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, "last", made(step))
        assert [path.name for path in tmp_path.iterdir()] == ["last"]
        assert consistent(tmp_path / "last") == step


def test_keep_keeps_the_latest(tmp_path: Path) -> None:
    for step in (1, 5, 9, 12):
        save_checkpoint(tmp_path, "last", made(step), keep=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last", "last-00000005", "last-00000009"]
    assert consistent(tmp_path / "last-00000009") == 9


def test_the_same_step_twice_is_one_checkpoint(tmp_path: Path) -> None:
    for _ in range(2):
        save_checkpoint(tmp_path, "last", made(3), keep=3)
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


@pytest.mark.parametrize("call", range(1, 9))
def test_a_crash_at_any_point_leaves_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    save_checkpoint(tmp_path, "last", made(1))
    calls = 0

    class Crash(BaseException):
        pass

    def crashing(function):  # type: ignore[no-untyped-def]
        def wrapped(*args, **kwargs):  # type: ignore[no-untyped-def]
            nonlocal calls
            calls += 1
            if calls == call:
                raise Crash
            return function(*args, **kwargs)

        return wrapped

    monkeypatch.setattr(module, "save_file", crashing(module.save_file))
    monkeypatch.setattr(os, "fsync", crashing(os.fsync))
    monkeypatch.setattr(Path, "rename", crashing(Path.rename))
    # A crash tidies nothing up.
    monkeypatch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)
    with pytest.raises(Crash):
        save_checkpoint(tmp_path, "last", made(2))
    monkeypatch.undo()
    found = find_checkpoint(tmp_path, "last")
    assert found is not None
    assert consistent(found) in {1, 2}
    save_checkpoint(tmp_path, "last", made(3))
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


@pytest.mark.parametrize("delay", [0.0, 0.004, 0.011, 0.023])
def test_a_killed_process_leaves_a_whole_checkpoint(tmp_path: Path, delay: float) -> None:
    code = (
        "import sys, torch; from pathlib import Path\n"
        "from specdl.training.checkpoint import Checkpoint, save_checkpoint\n"
        "step = 0\n"
        "while True:\n"
        "    step += 1; t = torch.full((4,), float(step))\n"
        "    save_checkpoint(Path(sys.argv[1]), 'last', Checkpoint({'weight': t}, {'moment': t + 1}, {'step': step}))\n"
        "    if step == 3: print('ready', flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        until = time.perf_counter() + delay
        while time.perf_counter() < until:
            pass
        process.send_signal(signal.SIGKILL)
    found = find_checkpoint(tmp_path, "last")
    assert found is not None
    assert consistent(found) >= 2


def test_a_full_disk_keeps_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, "last", made(1))

    def full(*args: object, **kwargs: object) -> None:
        raise module.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(EnvironmentFailure, match="disk is full"):
        save_checkpoint(tmp_path, "last", made(2))
    assert [path.name for path in tmp_path.iterdir()] == ["last"]
    assert consistent(tmp_path / "last") == 1


def test_a_disk_that_takes_no_more_keeps_the_old_one(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "last", made(1))
    code = (
        "import resource, sys, torch; from pathlib import Path\n"
        "from specdl.diagnostics import EnvironmentFailure\n"
        "from specdl.training.checkpoint import Checkpoint, save_checkpoint\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "big = {'weight': torch.zeros(100_000)}\n"
        "try: save_checkpoint(Path(sys.argv[1]), 'last', Checkpoint(big, {}, {'step': 2}))\n"
        "except EnvironmentFailure as failure: print(failure)\n"
    )
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "the disk is full" in found.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["last"]
    assert consistent(tmp_path / "last") == 1


def test_a_damaged_file_is_one_clear_error(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "last", made(1))
    file = tmp_path / "last" / "model.safetensors"
    whole = file.read_bytes()
    for damaged in (b"", whole[:20], whole[:-1], b"\xff" * len(whole), whole[:8] + b"{" * 40 + whole[48:]):
        file.write_bytes(damaged)
        with pytest.raises(SpecError, match="damaged"):
            load_checkpoint(tmp_path / "last")


def test_tied_weights_are_stored_once(tmp_path: Path) -> None:
    first, second = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)
    second.weight = first.weight
    network = nn.Sequential(first, second)
    save_tensors(tmp_path / "model.safetensors", network.state_dict())
    assert (tmp_path / "model.safetensors").stat().st_size < 1.2 * 64 * 64 * 4
    found = load_tensors(tmp_path / "model.safetensors")
    assert list(found) == ["0.weight", "1.weight"]
    assert torch.equal(found["1.weight"], first.weight)


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (torch.optim.SGD, {"lr": 0.1}),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
        (torch.optim.AdamW, {"fused": True}),
        (torch.optim.AdamW, {"amsgrad": True}),
        (torch.optim.RMSprop, {"momentum": 0.5, "centered": True}),
    ],
)
def test_an_optimizer_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, cls: type[torch.optim.Optimizer], arguments: dict[str, float]
) -> None:
    def steps(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(3):
            optimizer.zero_grad()
            network(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    optimizer = cls(network.parameters(), **arguments)  # type: ignore[call-arg]
    steps(network, optimizer)
    tensors, numbers = pack_optimizer(optimizer)
    save_tensors(tmp_path / "state", tensors)
    twin = nn.Linear(3, 2)
    twin.load_state_dict(network.state_dict())
    restored = cls(twin.parameters(), **arguments)  # type: ignore[call-arg]
    unpack_optimizer(restored, load_tensors(tmp_path / "state"), numbers)
    steps(network, optimizer)
    steps(twin, restored)
    assert torch.equal(network.weight, twin.weight)
