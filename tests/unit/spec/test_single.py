"""One file in place of several: it compiles to the same layers, and nothing in it reads a parameter of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from specdl.api import compile_source, load
from specdl.diagnostics import SpecError
from specdl.elaborate import file_params
from specdl.formatting import format_text
from specdl.ir.program import same_layers
from specdl.source import parse_text
from specdl.spec.binding import Unbindable, bind_text
from specdl.spec.single import single_file
from tests.conftest import CASES, SPECS, compiled, shipped_specs

KINDS = ("language", "elaborate", "diagrams", "models", "imports")
RIGHT = [
    *shipped_specs(),
    *(path for kind in KINDS for pattern in ("*.yaml", "*/spec.yaml") for path in sorted((CASES / kind).glob(pattern))),
]
TWO_OF_ONE_NAME = {"transitive"}
"""Cases in which two files have different blocks of one name, called without names: one file can't say that."""


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_one_file_says_the_same(path: Path) -> None:
    model = load(path)
    if path.parent.name in TWO_OF_ONE_NAME:
        with pytest.raises(SpecError, match="E0021"):
            model.bound_text()
        return
    text = model.bound_text()  # compares the layers itself
    data = parse_text(text).data
    assert not {"params", "variants", "imports", "extends"} & data.keys()
    found = compile_source(parse_text(text))
    assert found.parameters == model.parameters
    # A block that nothing else may stand for any more can have a parameter to spare.
    assert all(item.code == "W0013" for item in found.warnings) or model.warnings
    assert [step.name for step in found.program.steps] == [step.name for step in model.program.steps]
    assert format_text(text) == text


@pytest.mark.parametrize("variant", ["resnet18", "resnet50", "resnet152"])
def test_a_variant_is_chosen(variant: str) -> None:
    text = load(SPECS / "resnet.yaml", variant).bound_text()
    assert ("bottleneck:" in text, "basic:" in text) == (variant != "resnet18", variant == "resnet18")
    assert "$block" not in text


def test_layers_that_differ_are_seen() -> None:
    one = compiled("inputs: {x: [4]}\nlayers: [linear: 4, relu]\n").program
    for other in (
        "[linear: 4, tanh]",
        "[linear: 8, relu]",
        "[linear: 4]",
        "[a = linear: 4, relu]",
        "[linear: 4, relu(x)]",
    ):
        assert not same_layers(one, compiled(f"inputs: {{x: [4]}}\nlayers: {other}\n").program), other
    assert same_layers(one, compiled("inputs: {x: [4]}\nlayers: [linear: 4, y = relu]\n").program) is False
    assert same_layers(one, compiled("inputs: {y: [4]}\nlayers: [linear: 4, relu]\n").program)


def test_a_block_hides_a_parameter_of_the_file() -> None:
    model = compiled(
        "params: {width: 8, depth: 2}\ninputs: {x: [4]}\nblocks:\n  wide:\n    params: {width: 16}\n"
        "    layers: [linear: $width, {repeat: $depth, body: [linear: $(width * (index + depth))]}]\n"
        "layers: [linear: $width, wide]\n"
    )
    blocks = single_file(model.spec, file_params, model.program.functions)["blocks"]
    assert blocks == {
        "wide": {
            "params": {"width": 16},
            "layers": [{"linear": "$width"}, {"repeat": 2, "body": [{"linear": "$(width * (index + 2))"}]}],
        }
    }


VALUES = {"n": 3, "low": -2, "rate": 0.5, "words": ("a", "b"), "on": True, "none": None, "map": {"eps": 1}}


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("$n", 3),
        ("$words", ("a", "b")),
        ("$map", {"eps": 1}),
        ("$(2 * n)", 6),
        ("$(2 * n + index)", "$(2 * 3 + index)"),
        ("layer$n = relu", "layer3 = relu"),
        ("layer$(index + n)", "layer$(index + 3)"),
        ("$index", "$index"),
        ("$(words[index])", "$(['a', 'b'][index])"),
        ("$(index if on else none)", "$(index if true else null)"),
        ("$([n + i for i in range(n)])", [3, 4, 5]),
        ("$([n * index for n in range(2)])", "$([n * index for n in range(2)])"),
        ("$(x.channels // n)", "$(x.channels // 3)"),
        ("plain", "plain"),
    ],
)
def test_what_binding_leaves(text: str, bound: object) -> None:
    assert bind_text(text, VALUES) == bound


def test_a_negative_number_keeps_its_sign_in_arithmetic() -> None:
    assert bind_text("x ** 2 - $low ** 2", VALUES, arithmetic=True) == "x ** 2 - (-2) ** 2"


@pytest.mark.parametrize("text", ["x$words", "$(map['eps'] + index)"])
def test_what_cant_stand_in_text(text: str) -> None:
    with pytest.raises(Unbindable):
        bind_text(text, VALUES)
