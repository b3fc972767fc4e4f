"""Operators that make a tensor from nothing take batch size and device of a value of their level."""

from __future__ import annotations

from pathlib import Path

import pytest

import specdl

SPEC = """
specdl: 1
name: model
inputs: {{image: [8], places: {{shape: [T], dtype: int64}}}}
layers:
{layers}
"""


def _source(tmp_path: Path, *layers: str) -> str:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC.format(layers="\n".join(f"  - {layer}" for layer in layers)))
    return specdl.load(path).source()


@pytest.mark.parametrize(
    ("layers", "line"),
    [
        (
            ["x = linear(image): 4", "noise = randn: [4]", "add(x, noise)"],
            "torch.randn(x.shape[0], 4, device=x.device)",
        ),
        (
            [
                "x = linear(image): 4",
                "token = parameter: {shape: [1, 4]}",
                "row = expand(token): [N, -1]",
                "add(x, row)",
            ],
            ".expand(x.shape[0], -1)",
        ),
        (["x = linear(image): 4", "rate = compute: arange(4) / 4", "mul(x, rate)"], "torch.arange(4, device=x.device)"),
        (["x = linear(image): 4", "compute: x * rand([1])"], "torch.rand(x.shape[0], 1, device=x.device)"),
    ],
    ids=["randn", "expand", "compute", "rand in compute"],
)
def test_the_value_above(tmp_path: Path, layers: list[str], line: str) -> None:
    assert line in _source(tmp_path, *layers)


def test_pieces_are_named(tmp_path: Path) -> None:
    source = _source(tmp_path, "x = linear(image): 6", "a, b, c = chunk: {chunks: 3, dim: -1}", "compute: a * b + c")
    assert ".chunk(3, dim=-1)" in source


def test_an_unknown_batch_is_told(tmp_path: Path) -> None:
    with pytest.raises(specdl.SpecError, match="isn't an axis of its inputs"):
        _source(tmp_path, "x = linear(image): 4", "expand(x): [M, -1, -1]")
