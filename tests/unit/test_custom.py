"""Layers of the user's own: never without permission, right with it, and kept with a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import specdl
from specdl.diagnostics import SpecError
from tests.unit.cli.conftest import environment

LAYERS = """
import pathlib, torch
from torch import nn
pathlib.Path(__file__).with_name("ran").touch()

class Gate(nn.Module):
    def __init__(self, width, scale=1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.full((width,), float(scale)))
        self.register_buffer("offset", torch.zeros(width))
        self.proj = nn.Linear(width, width)
    def forward(self, x):
        return x * torch.sigmoid(self.proj(x) * self.scale + self.offset)

class Both(nn.Module):
    def forward(self, x, y):
        return torch.cat([x, y], 1), (x.mean(1) + y.mean(1))

class Double(nn.Module):
    def forward(self, x):
        return torch.cat([x, x[:, :1], x], 1)

class Squares(nn.Module):
    def forward(self, x):
        return x @ x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)

class Flat(nn.Module):
    def forward(self, x):
        return x.flatten(1).repeat(1, x.shape[1])

class Text(nn.Module):
    def forward(self, x):
        return "no tensor"

class NoModule:
    pass
"""

SPEC = """specdl: 1
name: own
inputs: {x: [8]}
layers:
  - linear: 6
  - gate = custom: {layer: own.Gate, arguments: {width: 6, scale: 0.5}}
  - linear: 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(LAYERS, encoding="utf-8")
    return tmp_path


def write(folder: Path, text: str = SPEC) -> Path:
    path = folder / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def layer(folder: Path, inputs: str, entry: str, **options: Any) -> specdl.Model:
    text = f"specdl: 1\ninputs: {inputs}\nlayers:\n  - {entry}\n"
    return specdl.load(write(folder, text), allow_python=True, **options)


class TestPermission:
    def test_nothing_runs_without_it(self, folder: Path) -> None:
        with pytest.raises(SpecError, match="E0901"):
            specdl.load(write(folder))
        assert not (folder / "ran").exists()

    def test_a_declared_output_is_checked_without_running_anything(self, folder: Path) -> None:
        model = specdl.load(write(folder, SPEC.replace("scale: 0.5}", "scale: 0.5}, output: [6]")))
        assert [item.code for item in model.warnings] == ["W0020"]
        assert model.source()
        model.diagram(folder / "m.dot")
        with pytest.raises(SpecError, match="E0901"):
            model.module()
        assert not (folder / "ran").exists()

    def test_a_spec_cant_grant_it(self, folder: Path) -> None:
        with pytest.raises(SpecError, match="E0201"):
            specdl.load(write(folder, SPEC + "allow_python: true\n"))

    def test_it_ends_with_the_call(self, folder: Path) -> None:
        assert specdl.load(write(folder), allow_python=True)
        with pytest.raises(SpecError, match="E0901"):
            specdl.load(write(folder))

    @pytest.mark.parametrize("name", ["os.path.Gate", "sub.missing.Gate"])
    def test_files_from_elsewhere_are_never_looked_for(self, folder: Path, name: str) -> None:
        with pytest.raises(SpecError, match="E0903"):
            specdl.load(write(folder, SPEC.replace("own.Gate", name)), allow_python=True)

    def test_a_link_out_of_the_folder_is_refused(self, folder: Path) -> None:
        inner = folder / "inner"
        inner.mkdir()
        (inner / "own.py").symlink_to(folder / "own.py")
        with pytest.raises(SpecError, match=r"E0903.*leads out"):
            specdl.load(write(inner), allow_python=True)


class TestFacts:
    def test_weights_are_the_modules(self, folder: Path) -> None:
        model = specdl.load(write(folder), allow_python=True)
        module = model.module()
        assert model.parameters == sum(parameter.numel() for parameter in module.parameters())
        assert [key for key in module.state_dict() if key.startswith("gate.")] == [
            "gate.scale", "gate.offset", "gate.proj.weight", "gate.proj.bias",
        ]  # fmt: skip
        x = torch.randn(4, 8)
        gate = module.gate
        h = module.linear(x)
        assert torch.equal(module(x), module.linear_2(h * torch.sigmoid(gate.proj(h) * 0.5)))

    def test_several_inputs_and_outputs(self, folder: Path) -> None:
        model = layer(folder, "{a: [4], b: [5]}", '"wide, mean = custom(a, b)": own.Both\n  - identity(wide)')
        assert str(model.program.main.output_types()[0]) == "[N, 9]"

    def test_symbolic_sizes_are_followed(self, folder: Path) -> None:
        model = layer(folder, "{x: {shape: [T, 4]}}", "custom: own.Double")
        assert [str(type) for type in model.program.main.output_types()] == ["[N, 2*T+1, 4]"]
        assert model.module()(torch.randn(2, 5, 4)).shape == (2, 11, 4)

    def test_a_size_that_isnt_linear_must_be_declared(self, folder: Path) -> None:
        with pytest.raises(SpecError, match=r"E0905.*axis 1"):
            layer(folder, "{x: {shape: [T, T]}}", "custom: own.Flat")

    @pytest.mark.parametrize(
        ("entry", "code", "words"),
        [
            ("custom: own.Gatee", "E0903", "isn't in `own.py`"),
            ("custom: own.NoModule", "E0903", "is no `nn.Module`"),
            ("custom: {layer: own.Gate, arguments: {wide: 3}}", "E0905", "can't be made: TypeError"),
            ("custom: {layer: own.Gate, arguments: {width: 5}}", "E0905", "can't take [N, 8]: RuntimeError"),
            ("custom: own.Text", "E0905", "something else than tensors"),
            ("custom: Gate", "E0203", "`layer` of `custom`"),
            ("custom: {layer: own.Gate, arguments: {width: {a: 1}}}", "E0203", "expected numbers"),
        ],
    )
    def test_mistakes_have_their_place(self, folder: Path, entry: str, code: str, words: str) -> None:
        with pytest.raises(SpecError) as caught:
            layer(folder, "{x: [8]}", entry)
        (item,) = caught.value.diagnostics
        assert item.code == code
        assert words in item.message
        assert item.span is not None
        assert item.span.line == 4

    def test_a_file_with_a_mistake_says_its_line(self, folder: Path) -> None:
        (folder / "own.py").write_text("from torch import nn\nclass Gate(nn.Modul): pass\n", encoding="utf-8")
        with pytest.raises(SpecError, match=r"E0904.*AttributeError.*\(own.py, line 2\)"):
            specdl.load(write(folder), allow_python=True)

    def test_a_changed_file_is_read_anew(self, folder: Path) -> None:
        import os

        before = specdl.load(write(folder), allow_python=True).parameters
        text = LAYERS.replace("self.proj = nn.Linear(width, width)", "self.proj = nn.Linear(width, width, bias=False)")
        (folder / "own.py").write_text(text, encoding="utf-8")
        os.utime(folder / "own.py", ns=(1, 1))
        assert specdl.load(write(folder), allow_python=True).parameters == before - 6


def test_two_folders_may_have_files_of_one_name(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "own.py").write_text(LAYERS.replace("torch.sigmoid", "torch.tanh"), encoding="utf-8")
    torch.manual_seed(0)
    one = specdl.load(write(folder), allow_python=True).module()
    torch.manual_seed(0)
    two = specdl.load(write(other), allow_python=True).module()
    x = torch.randn(2, 8)
    assert not torch.equal(one(x), two(x))
    assert "own" not in sys.modules


def test_the_ejected_source_runs_beside_the_file(folder: Path) -> None:
    model = specdl.load(write(folder), allow_python=True)
    (folder / "net.py").write_text(model.source(), encoding="utf-8")
    code = "import torch, net; print(net.Own()(torch.zeros(2, 8)).shape)"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "torch.Size([2, 3])"


def test_onnx_is_written_by_pytorch_and_compared(folder: Path) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript isn't installed: pip install -e '.[dev]'")
    found = specdl.load(write(folder), allow_python=True).export_onnx(folder / "m.onnx")
    assert found.verified
    assert {sizes["N"] for sizes in found.sizes} == {1, 3}


TRAINED = (
    SPEC.replace("x: [8]", "image: [1, 8, 8]")
    .replace("- linear: 6", "- flatten\n  - linear: 6")
    .replace("linear: 3", "linear: 10")
    + "data: {source: digits}\nloss: cross_entropy\ntrain: {max_steps: 2}\n"
)


def test_a_run_keeps_the_file_and_needs_permission_again(folder: Path) -> None:
    write(folder, TRAINED)

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "specdl", *words]
        return subprocess.run(line, cwd=folder, env=environment(), capture_output=True, text=True, check=False)

    assert command("train", "spec.yaml", "--folder", "run").returncode == 1
    assert command("train", "spec.yaml", "--folder", "run", "--allow-python").returncode == 0
    assert (folder / "run" / "own.py").read_text(encoding="utf-8") == LAYERS
    (folder / "own.py").unlink()
    refused = command("eval", "run")
    assert (refused.returncode, "E0901" in refused.stderr) == (1, True)
    done = command("eval", "run", "--allow-python", "--json")
    assert json.loads(done.stdout)["metrics"]["loss"] > 0
