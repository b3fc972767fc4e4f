"""`specdl weights`: what loading a file would do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import specdl as package
from tests.unit.cli.conftest import Command, one_error


@pytest.fixture
def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in package.load("tiny.yaml").module().state_dict().items()}


def test_a_file_that_fits(specdl: Command, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, "w.safetensors")
    done = specdl("weights", "tiny.yaml", "w.safetensors")
    assert (done.code, done.lines()) == (0, ["w.safetensors", f"  matched     {len(tensors)}", "it fits"])


def test_one_prefix_is_proposed(specdl: Command, tensors: dict[str, torch.Tensor]) -> None:
    torch.save({f"module.{name}": value for name, value in tensors.items()}, "w.pt")
    done = specdl("weights", "tiny.yaml", "w.pt")
    assert done.code == 1
    assert '  this makes all names fit: `rename: {"module.*": "*"}`' in done.lines()
    assert done.lines()[-1] == "strict loading would fail"


def test_json(specdl: Command, tensors: dict[str, torch.Tensor]) -> None:
    name = next(iter(tensors))
    tensors["other"] = tensors.pop(name)
    save_file(tensors, "w.safetensors")
    done = specdl("weights", "tiny.yaml", "w.safetensors", "--json")
    found = json.loads(done.out)
    assert (done.code, found["fits"], found["missing"], found["unexpected"]) == (1, False, [name], ["other"])


def test_the_specs_own_rules_count(specdl: Command, tensors: dict[str, torch.Tensor]) -> None:
    tensors["other"] = torch.ones(2)
    save_file(tensors, "w.safetensors")
    with Path("tiny.yaml").open("a", encoding="utf-8") as file:
        file.write("weights: {load: w.safetensors, ignore: [other]}\n")
    assert specdl("weights", "tiny.yaml").lines()[-1] == "it fits"
    assert specdl("export", "tiny.yaml", "-o", "m.onnx").code == 0


def test_mistakes(specdl: Command) -> None:
    one_error(specdl("weights", "tiny.yaml"), "E0931", "`tiny.yaml` has no `weights`")
    one_error(specdl("weights", "tiny.yaml", "none.pt"), "E0920", "there is no file")
    Path("cut.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    one_error(specdl("weights", "tiny.yaml", "cut.safetensors"), "E0921", "cut off")
