"""Frozen parameters stay as they are, byte for byte, and the batch norms among them too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import specdl
from specdl.diagnostics import SpecError
from specdl.training.checkpoint import load_tensors

SPEC = """specdl: 1
name: frozen
inputs: {image: [1, 8, 8]}
layers:
  - backbone = sequence:
      - conv2d: {out_channels: 4, kernel_size: 3}
      - batch_norm2d
      - relu
      - flatten
  - norm = batch_norm1d
  - head = linear: 10
data: {source: digits, batch_size: 64}
loss: cross_entropy
train: {max_steps: 5, seed: 0}
"""


def spec(folder: Path, text: str) -> Path:
    path = folder / "spec.yaml"
    path.write_text(SPEC + text, encoding="utf-8")
    return path


def trained(path: Path, folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The weights before and after a run."""
    torch.manual_seed(0)
    before = specdl.load(path).module().state_dict()
    run = specdl.train(path, folder=folder)
    return before, load_tensors(run.folder / "checkpoints" / "last" / "model.safetensors")


def test_only_the_head_learns(tmp_path: Path) -> None:
    before, after = trained(spec(tmp_path, 'freeze: ["*", "!head.*"]\n'), tmp_path / "run")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.weight", "head.bias"}  # no running statistics either


def test_a_norm_that_learns_keeps_counting(tmp_path: Path) -> None:
    before, after = trained(spec(tmp_path, "freeze: backbone.*\n"), tmp_path / "run")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if not name.startswith("backbone.")}


def test_the_summary_counts_what_learns(tmp_path: Path) -> None:
    model = specdl.load(spec(tmp_path, 'freeze: ["*", "!head.*"]\n'))
    head = 10 * 4 * 36 + 10
    assert (model.cost.trainable_parameters, model.cost.parameters - head) == (head, model.parameters - head)
    module = model.module()
    total = sum(parameter.numel() for parameter in module.parameters())
    assert model.parameters == total
    assert model.program.frozen["model"] == {
        name for name, _ in module.named_parameters() if not name.startswith("head.")
    }


@pytest.mark.parametrize(
    "text",
    [
        "optimizer:\n  sgd: {lr: 0.1}\n  groups: [{match: 'head.*', lr: 0.0}, {match: [norm.*], weight_decay: 0.5}]\n",
        "optimizer: {sgd: {lr: 0.1, groups: [{match: 'head.*', lr: 0.0}, {match: [norm.*], weight_decay: 0.5}]}}\n",
    ],
    ids=["beside", "among the arguments"],
)
def test_groups_have_rates_of_their_own(tmp_path: Path, text: str) -> None:
    path = spec(tmp_path, text)
    recipe = specdl.load(path).recipe
    assert recipe is not None
    assert [(group.match, group.lr, group.weight_decay) for group in recipe.optimizer.groups] == [
        (("head.*",), 0.0, None),
        (("norm.*",), None, 0.5),
    ]
    before, after = trained(path, tmp_path / "run")
    assert torch.equal(before["head.weight"], after["head.weight"])
    assert not torch.equal(before["norm.weight"], after["norm.weight"])


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="E0930"):
        specdl.train(spec(tmp_path, 'freeze: "*"\n'), folder=tmp_path / "run")


def test_a_resumed_run_stays_frozen_and_needs_no_file(tmp_path: Path) -> None:
    torch.manual_seed(1)
    weights = specdl.load(spec(tmp_path, "")).module().state_dict()
    torch.save(weights, tmp_path / "w.pt")
    text = 'weights: {load: w.pt}\nfreeze: ["*", "!head.*"]\n'
    whole = specdl.train(spec(tmp_path, text), folder=tmp_path / "whole")
    part = specdl.train(spec(tmp_path, text), overrides={"train.max_steps": 2}, folder=tmp_path / "part")
    (tmp_path / "w.pt").unlink()
    kept = part.folder / "spec.yaml"
    kept.write_text(kept.read_text(encoding="utf-8").replace("max_steps: 2", "max_steps: 5"), encoding="utf-8")
    model = specdl.load(kept)
    from specdl.training.loop import train

    facts = part.folder / "checkpoints" / "last" / "state.json"
    facts.write_text(
        facts.read_text(encoding="utf-8").replace('"finished": true', '"finished": false'), encoding="utf-8"
    )
    train(model, resume=part.folder)
    files = [run / "checkpoints" / "last" / "model.safetensors" for run in (whole.folder, part.folder)]
    one, other = map(load_tensors, files)
    assert all(torch.equal(value, weights[name]) for name, value in other.items() if name.startswith("backbone"))
    assert one.keys() == other.keys()
