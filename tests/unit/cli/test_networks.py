"""The commands on a spec of several networks."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result

from specdl.cli import group
from specdl.diagnostics import SpecError
from tests.conftest import CASES

GAN = str(CASES / "models" / "gan.yaml")


def run(*words: str) -> Result:
    return CliRunner().invoke(group, list(words), catch_exceptions=False)


def test_summary_counts_each_network_and_all() -> None:
    found = json.loads(run("summary", GAN, "--json").stdout)
    assert found["name"] == "gan"
    assert [network["name"] for network in found["networks"]] == ["generator", "discriminator"]
    # 64·64 + 64 twice; 64·64 + 64 and 64 + 1.
    assert [network["parameters"] for network in found["networks"]] == [8320, 4225]
    assert found["parameters"] == 12545
    assert found["layers"] == found["networks"][0]["layers"]
    text = run("summary", GAN).stdout
    assert "gan · discriminator: image [N, 1, 8, 8]" in text
    assert "all networks: 12,545 parameters" in text


@pytest.mark.parametrize("words", [("--network", "discriminator"), ("--step", "generator"), ("--step", "sample")])
def test_each_network_and_step_is_drawn(tmp_path: Path, words: tuple[str, str]) -> None:
    file = tmp_path / "out.dot"
    assert run("diagram", GAN, "-o", str(file), *words).exit_code == 0
    assert f"gan {words[1]} ·" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--network", "generater"), "E0807.*generater"),
        (("--step", "critic"), "E0809.*critic"),
    ],
)
def test_an_unknown_network_or_step_is_told(tmp_path: Path, words: tuple[str, str], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        run("diagram", GAN, "-o", str(tmp_path / "out.dot"), *words)


def test_a_network_is_exported(tmp_path: Path) -> None:
    file = tmp_path / "out.onnx"
    found = json.loads(run("export", GAN, "--network", "discriminator", "-o", str(file), "--json").stdout)
    assert found["verified"] is True
    (given,) = onnx.load(file).graph.input
    assert given.name == "image"


def test_training_of_several_networks_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"E0512.*can't train several networks") as error:
        run("train", GAN, "--folder", str(tmp_path / "run"))
    assert len(error.value.diagnostics) == 1
    assert not (tmp_path / "run").exists()


def test_a_spec_of_one_network_and_one_step_trains(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ["train", str(CASES / "models" / "ddpm.yaml"), "train.max_steps=3", "--folder", str(folder), "--json"]
    found = json.loads(run(*words).stdout.splitlines()[-1])
    assert found["metrics"]["step"] == 3
    assert found["metrics"]["validation/loss"] > 0
