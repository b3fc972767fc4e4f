"""A folder with a tiny spec, and what it takes to run commands in this process and in their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from specdl.cli import _run
from tests.conftest import ROOT

TINY = """\
specdl: 1
name: tiny
params: {classes: 10, hidden: 16}
variants:
  small: {hidden: 4}
  large: {hidden: 64}
inputs:
  image: [1, 8, 8]
layers:
  - flatten
  - hidden = linear: $hidden
  - relu
  - logits = linear: $classes
data: {source: digits, batch_size: 512}
loss: cross_entropy
metrics: [accuracy]
optimizer: {adamw: {lr: 3e-3}}
train: {epochs: 1, seed: 0}
"""
"""1,210 parameters, three updates an epoch."""

BARE = "specdl: 1\nname: bare\ninputs: {image: [1, 8, 8]}\nlayers: [flatten, linear: 10]\n"
"""A network without anything about training."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def lines(self) -> list[str]:
        """The lines of stdout."""
        return self.out.splitlines()


Command = Callable[..., Done]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with `tiny.yaml` and `bare.yaml`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    (tmp_path / "bare.yaml").write_text(BARE, encoding="utf-8")
    return tmp_path


@pytest.fixture
def specdl(folder: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process, with both of its streams a pipe."""

    def run(*words: object) -> Done:
        capfd.readouterr()
        code = _run([str(word) for word in words])
        written = capfd.readouterr()
        assert "Traceback" not in written.err + written.out
        return Done(code, written.out, written.err)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of `tiny.yaml`; tests that change it take a copy."""
    place = tmp_path_factory.mktemp("trained")
    (place / "tiny.yaml").write_text(TINY, encoding="utf-8")
    assert _run(["train", str(place / "tiny.yaml"), "--folder", str(place / "run")]) == 0
    return place / "run"


def environment(**changed: str | None) -> dict[str, str]:
    """This process's environment with the working tree first on the path, some variables changed or (None) absent."""
    values: Mapping[str, Any] = {**os.environ, "PYTHONPATH": str(ROOT), **changed}
    return {name: value for name, value in values.items() if value is not None}


def process(*words: object, **changed: str | None) -> subprocess.CompletedProcess[bytes]:
    """`python -m specdl` in a process of its own, in the working folder."""
    command = [sys.executable, "-m", "specdl", *map(str, words)]
    return subprocess.run(command, capture_output=True, env=environment(**changed), check=False)


def one_error(done: Done, code: str, *words: str, status: int = 1) -> None:
    """Asserts that a command ended in exactly one coded error, which holds the words."""
    assert (done.code, done.out) == (status, ""), done
    assert done.err.count("error[") == 1, done.err
    assert done.err.startswith(f"error[{code}]: "), done.err
    for word in words:
        assert word in done.err
