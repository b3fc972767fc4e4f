"""`init:` by pattern and beside layers: which rule wins, what the module holds, and that it is the same each time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from specdl.api import Model, compile_source, load
from specdl.diagnostics import SpecError
from specdl.source import parse_text
from tests.conftest import CASES, compiled

CASE = CASES / "language" / "initial_weights.yaml"


def constants(text: str) -> dict[str, float]:
    """The weights that are filled with one number, by key."""
    state = compiled(text).module().state_dict()
    return {
        key: tensor.flatten()[0].item()
        for key, tensor in state.items()
        if tensor.numel() > 1 and (tensor == tensor.flatten()[0]).all()
    }


def test_what_stands_at_a_layer_wins_and_the_innermost_of_these() -> None:
    torch.manual_seed(0)
    state = load(CASE).module().state_dict()
    for name, gamma in (("first", 0.0), ("second", 0.1), ("third", 0.0)):
        assert (state[f"{name}.bn2.weight"] == gamma).all()
        assert state[f"{name}.conv1.weight"].std() > 0.1  # kaiming, fan out 72: 0.17; the pattern's would be 0.02
        assert state[f"{name}.bn1.weight"].abs().max() <= 2.0
        assert state[f"{name}.bn1.weight"].std() < 0.1  # the pattern's, not ones
    flat = state["third.conv2.weight"].flatten(1)
    assert torch.allclose(flat @ flat.T, torch.eye(8), atol=1e-5)
    assert state["first.conv2.weight"].std() < 0.04
    assert (state["scales.0.weight"] == 0.5).all()
    assert (state["scales.2.bias"] == 0.5).all()
    assert (state["scales.0.bias"] == 0).all()
    assert (state["shift"] == 1).all()
    assert state["token"].abs().max() > 0.02
    for index in range(4):
        assert torch.equal(state[f"repeats.{index}.weight"][:, :16], torch.eye(16))
        assert (state[f"repeats.{index}.bias"] == 0).all()
    square = state["lstm.weight_hh_l0"]
    assert torch.allclose(square.T @ square, torch.eye(4), atol=1e-5)
    assert (state["lstm.bias_hh_l0"] == 0).all()
    assert state["head.weight"].abs().max() <= 0.1
    assert torch.equal(state["alias.weight"], state["head.weight"])


def test_the_same_seed_gives_the_same_weights() -> None:
    model = load(CASE)
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(model.module().state_dict())
    for key, tensor in states[0].items():
        assert torch.equal(tensor, states[1][key]), key


def test_it_is_what_pytorch_makes_with_the_same_seed() -> None:
    text = "inputs: {x: [6]}\nlayers:\n  - a = linear: 8\n  - b = linear: 4\n"
    model = compiled(text + 'init:\n  "*.weight": {xavier_normal: {gain: 2}}\n  "b.*": {uniform: {a: -1, b: 1}}\n')
    torch.manual_seed(5)
    found = model.module().state_dict()
    torch.manual_seed(5)
    layers = {"a": nn.Linear(6, 8), "b": nn.Linear(8, 4)}
    nn.init.xavier_normal_(layers["a"].weight, gain=2)
    nn.init.uniform_(layers["b"].weight, -1, 1)
    nn.init.uniform_(layers["b"].bias, -1, 1)
    for name, layer in layers.items():
        assert torch.equal(found[f"{name}.weight"], layer.weight)
        assert torch.equal(found[f"{name}.bias"], layer.bias)


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        ({"*": 1}, {"a.weight": 1, "a.bias": 1, "g.0.weight": 1, "g.0.bias": 1, "p": 1}),
        ({"*": 1, "*.bias": 2}, {"a.weight": 1, "a.bias": 2, "g.0.weight": 1, "g.0.bias": 2, "p": 1}),
        ({"*.bias": 2, "a*": 1}, {"a.weight": 1, "a.bias": 1, "g.0.bias": 2, "p": 0}),
        ({"a.weight": 1, "p": 3}, {"a.weight": 1, "p": 3}),
        ({"*.0.*": 4}, {"g.0.weight": 4, "g.0.bias": 4, "p": 0}),
        ({"?.weight": 5, "[pq]": 6}, {"a.weight": 5, "p": 6}),
        ({"g.?.weight": {"constant": 7}}, {"g.0.weight": 7, "p": 0}),
        (
            {"g.0.weight": {"constant": {"val": 7}}, "*.bias": "ones"},
            {"g.0.weight": 7, "a.bias": 1, "g.0.bias": 1, "p": 0},
        ),
    ],
)
def test_patterns(patterns: dict[str, Any], wanted: dict[str, float]) -> None:
    text = "inputs: {x: [6]}\nlayers:\n  - a = linear: 4\n  - g = sequence: [linear: 4, relu]\n  - p = parameter: [4]\n"
    assert constants(f"{text}  - compute: g + p\ninit: {patterns!r}\n") == wanted


def test_a_parameter_that_says_how_it_begins_keeps_that() -> None:
    text = "inputs: {x: [4]}\nlayers:\n  - p = parameter: {shape: [4], init: zeros}\n  - q = parameter: [4]\n"
    assert constants(f'{text}  - compute: x + p + q\ninit: {{"*": ones}}\n') == {"p": 0, "q": 1}


def test_numbers_that_differ_make_one_class() -> None:
    model = compiled(
        "inputs: {x: [4]}\nlayers:\n  - h = repeat: 4\n    body:\n      - residual:\n          - linear: 4\n"
        "            init: {weight: {normal: {std: $(0.02 / (index + 1))}}}\n          - relu\n"
    )
    assert model.source().count("class ") == 2
    torch.manual_seed(0)
    state = model.module().state_dict()
    torch.manual_seed(0)
    for index in range(4):
        wanted = nn.init.normal_(nn.Linear(4, 4).weight, std=0.02 / (index + 1))
        assert torch.equal(state[f"h.{index}.linear.weight"], wanted)


def test_every_network_of_several() -> None:
    text = """specdl: 1
models:
  one: {inputs: {x: [4]}, layers: [fc = linear: 4, out = linear: 2]}
  two: {inputs: {x: [4]}, layers: [fc = linear: 4]}
  slow: {ema: one, decay: 0.9}
init: {"*": zeros, "one.fc.weight": ones, "two.*.bias": 2, "out.*": 3}
"""
    modules = compile_source(parse_text(text, "test.yaml")).modules()
    assert (modules["one"].fc.weight == 1).all()
    assert (modules["two"].fc.weight == 0).all()
    assert (modules["one"].fc.bias == 0).all()
    assert (modules["two"].fc.bias == 2).all()
    assert (modules["one"].out.weight == 3).all()


def write(folder: Path, main: str, inner: str) -> Model:
    (folder / "inner.yaml").write_text(f"specdl: 1\nname: inner\n{inner}")
    (folder / "main.yaml").write_text(f"specdl: 1\nimports: [inner.yaml]\n{main}")
    return load(folder / "main.yaml")


INNER = """params: {bias: 2}
inputs: {x: [4]}
layers:
  - a = linear: 4
    init: {weight: {constant: 9}}
  - b = linear: 4
  - c = linear: 4
tie: [b.weight: c.weight]
init: {"*.bias": $bias, "c.weight": 5, "b.bias": 6}
"""


def test_an_imported_network_begins_as_it_says_unless_the_spec_says_otherwise(tmp_path: Path) -> None:
    main = "inputs: {x: [4]}\nlayers:\n  - p = inner: {bias: 3}\n  - q = inner\n"
    state = write(tmp_path, main, INNER).module().state_dict()
    assert [(key, tensor.flatten()[0].item()) for key, tensor in state.items()] == [
        *((f"p.{key}", value) for key, value in (("a.weight", 9), ("a.bias", 3), ("b.weight", 5), ("b.bias", 6))),
        *((f"p.{key}", value) for key, value in (("c.weight", 5), ("c.bias", 3))),
        *((f"q.{key}", value) for key, value in (("a.weight", 9), ("a.bias", 2), ("b.weight", 5), ("b.bias", 6))),
        *((f"q.{key}", value) for key, value in (("c.weight", 5), ("c.bias", 2))),
    ]
    # A tied weight goes by the key that stores it, though PyTorch gives its first name.
    more = 'init: {"p.*": 1, "*.c.weight": 7, "*.c.bias": 8}\n'
    state = write(tmp_path, main + more, INNER).module().state_dict()
    found = {key: tensor.flatten()[0].item() for key, tensor in state.items()}
    assert {key: value for key, value in found.items() if key.startswith("p.")} == {
        "p.a.weight": 9, "p.a.bias": 1, "p.b.weight": 7, "p.b.bias": 1, "p.c.weight": 7, "p.c.bias": 8,
    }  # fmt: skip
    assert {found[key] for key in ("q.b.weight", "q.c.weight")} == {7}
    assert found["q.b.bias"] == 6


def test_layers_that_are_not_built_have_no_patterns(tmp_path: Path) -> None:
    main = "inputs: {x: [4]}\nlayers:\n  - p = inner: {outputs: [a]}\n"
    state = write(tmp_path, main, INNER).module().state_dict()
    assert {key: tensor.flatten()[0].item() for key, tensor in state.items()} == {"p.a.weight": 9, "p.a.bias": 2}


def test_a_pattern_that_changes_nothing_is_a_warning() -> None:
    text = 'inputs: {x: [4]}\nlayers: [linear: 4]\ninit: {"*.bias": zeros, "*": ones}\n'
    assert [item.code for item in compiled(text).warnings] == ["W0011"]


def test_a_spec_of_ten_thousand_layers_is_checked_in_linear_time() -> None:
    text = 'inputs: {x: [4]}\nlayers:\n  - h = repeat: 5000\n    body: [linear: 4, relu]\ninit: {"*.bias": zeros}\n'
    assert compiled(text).program.main.init


def test_gpt2s_standard_deviations() -> None:
    layers = 12
    text = (
        "inputs: {tokens: {shape: [T], dtype: int64}}\nlayers:\n"
        "  - wte = embedding: {num_embeddings: 512, embedding_dim: 64}\n  - c_proj = linear: 64\n"
        f'  - ln_1 = layer_norm\nparams: {{layers: {layers}}}\ninit:\n  "*.weight": {{normal: {{std: 0.02}}}}\n'
        '  "*c_proj.weight": {normal: {std: $(0.02 / (2 * layers) ** 0.5)}}\n'
        '  "*.bias": zeros\n  "*ln_*.weight": ones\n'
    )
    torch.manual_seed(0)
    state = compiled(text).module().state_dict()
    # A standard deviation of n numbers is off by a share of 1/sqrt(2n): 0.4 % and 1.1 % here; four of these.
    assert math.isclose(state["wte.weight"].std().item(), 0.02, rel_tol=0.016)
    assert math.isclose(state["c_proj.weight"].std().item(), 0.02 / math.sqrt(24), rel_tol=0.045)
    assert (state["c_proj.bias"] == 0).all()
    assert (state["ln_1.weight"] == 1).all()


def test_a_mistake_in_init_does_not_hide_one_in_tie() -> None:
    text = "inputs: {x: [4]}\nlayers: [fc = linear: 4]\ntie: [a.weight: fcc.weight]\ninit: {fcc.weight: zeros}\n"
    with pytest.raises(SpecError) as error:
        compiled(text)
    assert [item.code for item in error.value.diagnostics] == ["E0360", "E0364"]
