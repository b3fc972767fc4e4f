"""The rules of docs/language.md about names, values and scopes, by the keys and numbers that they lead to."""

from __future__ import annotations

import pytest
import torch

from specdl.diagnostics import SpecError
from tests.conftest import compiled

X = "inputs: {x: [4]}\n"


def layers_of(text: str) -> list[str]:
    """The layers with a `weight`, in the order of the state_dict."""
    keys = compiled(X + text).module().state_dict()
    return [key.removesuffix(".weight") for key in keys if key.endswith("weight")]


def codes(text: str) -> list[str]:
    with pytest.raises(SpecError) as error:
        compiled(X + text)
    return [item.code for item in error.value.diagnostics]


NAMES = {
    "1: operators number themselves": ("layers: [linear: 4, relu, linear: 4]", ["linear", "linear_2"]),
    "1: a block opens a level": (
        "blocks: {b: {layers: [linear: 4, linear: 4]}}\nlayers: [b, b]",
        ["b.linear", "b.linear_2", "b_2.linear", "b_2.linear_2"],
    ),
    "1: a given name pushes the automatic one away": (
        "layers:\n  - linear: 4\n  - linear_2 = linear: 4\n  - linear: 4\n",
        ["linear", "linear_2", "linear_3"],
    ),
    "2: unnamed structure is transparent": (
        "layers:\n  - sequence: [linear: 4]\n  - residual: [linear: 4]\n  - branches: [[linear: 4], []]\n"
        "    merge: add\n  - repeat: 2\n    body: [linear: 4]\n",
        ["linear", "linear_2", "linear_3", "linear_4", "linear_5"],
    ),
    "3: a named sequence counts": (
        "layers:\n  - f = sequence:\n      - linear: 4\n      - own = linear: 4\n      - add(_, x)\n"
        "      - residual: [linear: 4]\n      - branches: [[linear: 4], []]\n        merge: add\n"
        "      - sequence: [linear: 4, relu]\n      - repeat: 2\n        body: [linear: 4]\n"
        "      - compute: _ + 1\n      - linear: 4\n",
        ["f.0", "f.own", "f.2.linear", "f.3.linear", "f.4.0", "f.5", "f.6", "f.7"],
    ),
    "3: what a `when` leaves out uses no number": (
        "layers:\n  - f = sequence:\n      - linear: 4\n      - linear: 4\n        when: false\n      - linear: 4\n",
        ["f.0", "f.1"],
    ),
    "3: a call uses no number": (
        "layers:\n  - f = sequence:\n      - linear: 4\n      - call: f.0\n        when: false\n      - call: '0'\n"
        "      - linear: 4\n",
        ["f.0", "f.1"],
    ),
    "4: a block that is a sequence": (
        "blocks: {b: {layers: [sequence: [linear: 4, relu, linear: 4]]}}\nlayers: [b]",
        ["b.0", "b.2"],
    ),
    "4: not with a name": (
        "blocks: {b: {layers: [s = sequence: [linear: 4]]}}\nlayers: [b]",
        ["b.s.0"],
    ),
    "5: a lone entry takes the number": (
        "layers:\n  - r = repeat: 2\n    body: [linear: 4]\n",
        ["r.0", "r.1"],
    ),
    "5: several open a level": (
        "layers:\n  - r = repeat: 2\n    body: [linear: 4, relu]\n",
        ["r.0.linear", "r.1.linear"],
    ),
    "5: a named one opens a level": (
        "layers:\n  - r = repeat: 2\n    body: [fc = linear: 4]\n",
        ["r.0.fc", "r.1.fc"],
    ),
    "5: paths are numbered": (
        "layers:\n  - b = branches: [[linear: 4], [linear: 4, relu], []]\n    merge: add\n",
        ["b.0", "b.1.linear"],
    ),
    "6: a `when` excludes the other": (
        "params: {deep: true}\nlayers:\n  - f = linear: 4\n    when: $deep\n  - f = linear: 5\n    when: $(not deep)\n",
        ["f"],
    ),
    "6: what has no weights may use a name again": (
        "layers:\n  - y = linear: 4\n  - y = relu\n  - y = compute: y + 1\n  - z = linear(y): 4\n",
        ["y", "z"],
    ),
    "6: the layer with weights keeps the name": (
        "layers:\n  - y = relu\n  - y = linear: 4\n",
        ["y"],
    ),
    "14: columns and nearest loop": (
        "layers:\n  - for: {stage: [1, 2], depth: [1, 2]}\n    body:\n      - layer$stage = repeat: $depth\n"
        "        body: [fc$index = linear: $(4 if last else 6)]\n",
        ["layer1.0.fc0", "layer2.0.fc0", "layer2.1.fc1"],
    ),
}


@pytest.mark.parametrize(("text", "names"), NAMES.values(), ids=NAMES)
def test_names(text: str, names: list[str]) -> None:
    assert layers_of(text) == names


def test_7_a_parameter_is_its_own_key() -> None:
    module = compiled(
        X + "layers:\n  - g = sequence:\n      - scale = parameter: [4]\n      - mul(x, scale)\n"
    ).module()
    assert list(module.state_dict()) == ["g.scale"]


def test_6_several_names_name_values_only() -> None:
    module = compiled("inputs: {x: [5, 4]}\nlayers:\n  - out, h = gru: 3\n  - add(out, _)\n").module()
    assert all(key.startswith("gru.") for key in module.state_dict())


WRONG = {
    "6: two layers of one name": ("layers:\n  - f = linear: 4\n  - f = linear: 4\n", "E0305"),
    "6: in a loop": ("layers:\n  - repeat: 2\n    body: [f = linear: 4]\n", "E0305"),
    "6: on a numbered level": (
        "layers:\n  - f = sequence: [a = linear: 4, a = linear: 4]\n",
        "E0305",
    ),
    "8: a value of a block": (
        "blocks: {b: {layers: [inner = linear: 4]}}\nlayers:\n  - b\n  - add(_, inner)\n",
        "E0306",
    ),
    "13: a value of the caller": ("blocks: {b: {layers: ['add(_, y)']}}\nlayers:\n  - y = relu\n  - b\n", "E0306"),
    "13: a loop variable of the caller": (
        "blocks: {b: {layers: [linear: $index]}}\nlayers:\n  - repeat: 2\n    body: [b]\n",
        "E0401",
    ),
    "13: a parameter of the caller": (
        "blocks:\n  a: {params: {w: 3}, layers: [b]}\n  b: {layers: [linear: $w]}\nlayers: [a]\n",
        "E0401",
    ),
    "15: a later parameter in a default": (
        "blocks: {b: {params: {v: $w, w: 3}, layers: [linear: $v]}}\nlayers: [b]\n",
        "E0401",
    ),
    "14: no loop": ("layers:\n  - linear: $index\n", "E0401"),
    "14: columns of other lengths": ("layers:\n  - for: {a: [1], b: [1, 2]}\n    body: [linear: $a]\n", "E0404"),
    "14: a loop too long": ("layers:\n  - repeat: 1000000000\n    body: [relu]\n", "E0210"),
    "14: loops too long together": (
        "layers:\n  - repeat: 400\n    body:\n      - repeat: 400\n        body: [relu]\n",
        "E0210",
    ),
    "9: an optional input that isn't there": (
        "blocks: {b: {inputs: {a: required, m: optional}, layers: ['linear(m)': 3]}}\nlayers: ['b(x)']\n",
        "E0307",
    ),
    "9: one of several that isn't there": (
        "blocks: {b: {inputs: {a: required, m: optional}, layers: ['add(a, m)']}}\nlayers: ['b(x)']\n",
        "E0307",
    ),
    "9: one that a block requires": (
        "blocks:\n  b: {inputs: {a: required, m: optional}, layers: ['c(m)']}\n"
        "  c: {inputs: {a: required}, layers: [relu]}\nlayers: ['b(x)']\n",
        "E0307",
    ),
    "9: one that a residual adds to": (
        "blocks: {b: {inputs: {a: required, m: optional}, layers: ['residual(m)': [relu]]}}\nlayers: ['b(x)']\n",
        "E0307",
    ),
    "9: one that branches share": (
        "blocks: {b: {inputs: {a: required, m: optional}, layers: [{'branches(m)': [[], []], merge: add}]}}\n"
        "layers: ['b(x)']\n",
        "E0307",
    ),
    "call: below": ("layers:\n  - call: fc\n  - fc = linear: 4\n", "E0312"),
    "call: around a group": ("layers:\n  - fc = linear: 4\n  - g = sequence: [call: fc]\n", "E0312"),
    "call: another size": ("layers:\n  - fc = linear: 3\n  - call: fc\n", "E0204"),
}


@pytest.mark.parametrize(("text", "code"), WRONG.values(), ids=WRONG)
def test_mistakes(text: str, code: str) -> None:
    assert codes(text) == [code]


# ---- values ------------------------------------------------------------------------------------------


def run(text: str, value: float = 2.0) -> object:
    """What the model makes of four numbers: the first number of each output."""
    made = compiled(X + text).module().eval()(torch.full((1, 4), value))
    return [item.flatten()[0].item() for item in made] if isinstance(made, tuple) else made.flatten()[0].item()


VALUES = {
    "8: the newest": ("layers:\n  - y = compute: x + 1\n  - y = compute: y * 10\n  - compute: y + 0\n", 30),
    "8: groups share": (
        "layers:\n  - g = sequence:\n      - y = compute: x + 1\n      - compute: y * 10\n  - compute: y + _\n",
        33,
    ),
    "8: a group changes a value": (
        "layers:\n  - y = compute: x + 1\n  - g = sequence:\n      - y = compute: y * 10\n  - compute: y + x\n",
        32,
    ),
    "8: loops carry values on": (
        "layers:\n  - total = compute: x * 0\n  - repeat: 3\n    body:\n      - total = compute: total + $(index + 1)\n"
        "  - compute: total + 0\n",
        6,
    ),
    "8: named loops too": (
        "layers:\n  - total = compute: x * 0\n  - r = repeat: 3\n    body:\n"
        "      - total = compute: total + $(index + 1)\n      - relu\n  - compute: total + 0\n",
        6,
    ),
    "8: by path": (
        "layers:\n  - f = sequence:\n      - relu\n      - own = compute: _ * 3\n      - neg\n"
        "  - compute: f.0 + f.own + f\n",
        2,
    ),
    "8: all iterations in order": (
        "layers:\n  - r = repeat: 3\n    body: [relu]\n  - z = stack(r.*): {dim: 0}\n  - compute: z[2]\n",
        2,
    ),
    "8: the deepest group reads the outermost": (
        "layers:\n  - y = compute: x + 1\n  - a = sequence:\n      - b = sequence:\n"
        "          - c = sequence: [relu, 'add(_, y)']\n",
        6,
    ),
    "9: outputs in order, the first flows on": (
        "blocks: {b: {outputs: [p, q], layers: [p = compute: input_ * 2, q = compute: input_ * 3], "
        "inputs: [input_]}}\nlayers:\n  - one, two = b(x)\n  - three = b(two)\n  - compute: one + two + three.q + _\n",
        4 + 6 + 18 + 12,
    ),
    "9: branches without a merge give a block several values": (
        "blocks: {b: {layers: [branches: [[compute: _ * 2], [compute: _ * 3]]]}}\nlayers:\n  - p, q = b\n"
        "  - compute: p * 10 + q\n",
        46,
    ),
    "9: another input by default": (
        "blocks: {b: {inputs: {a: required, m: a}, layers: ['add(a, m)']}}\nlayers:\n  - y = b(x)\n  - b(x, m=y)\n",
        6,
    ),
    "9: an absent input passed on": (
        "blocks:\n  inner: {inputs: {a: required, m: optional}, layers: [compute: 'a * $(10 if given(m) else 1)']}\n"
        "  outer: {inputs: {a: required, m: optional}, layers: ['inner(a, m=m)']}\n"
        "layers:\n  - y = outer(x)\n  - z = outer(x, m=y)\n  - compute: y + z\n",
        22,
    ),
    "11: `when` false evaluates nothing": (
        "layers:\n  - f = nothing_like_it(nowhere): $unknown\n    when: $(1 > 2)\n  - compute: _ * 2\n",
        4,
    ),
    "13: a block sees its file's parameters": (
        "params: {k: 5}\nblocks: {b: {inputs: [a], layers: [compute: a * $k]}}\nlayers: ['b(x)']\n",
        10,
    ),
    "15: a parameter hides the file's": (
        "params: {k: 5}\nblocks: {b: {inputs: [a], params: {k: $(k + 1)}, layers: [compute: a * $k]}}\n"
        "layers: ['b(x)']\n",
        12,
    ),
    "15: a scalar sets the first parameter": (
        "blocks: {b: {inputs: [a], params: {k: 1, l: $(k * 2)}, layers: [compute: a * $l]}}\nlayers: ['b(x)': 3]\n",
        12,
    ),
    "15: the arguments of `use` in a parameter": (
        "params: {with_: {k: 4}, name: b}\nblocks: {b: {params: {k: 1}, inputs: [a], layers: [compute: a * $k]}}\n"
        "layers:\n  - use: $name\n    with: $with_\n",
        8,
    ),
    "16: types of inputs in defaults": (
        "blocks: {b: {inputs: [a], params: {k: $(a.features)}, layers: [compute: a * $k]}}\nlayers: ['b(x)']\n",
        8,
    ),
    "call: a layer that is run nowhere else": (
        "layers:\n  - d = dropout: 0.5\n  - g = sequence: [e = dropout: 0.5, linear(x): 3]\n"
        "  - y = call(x): d\n  - z = call(y): g.e\n  - compute: z * 3\n",
        6,
    ),
    "branches: an empty path is the identity": (
        "layers:\n  - branches: [[], [compute: _ * 3]]\n    merge: mul\n",
        12,
    ),
    "branches: a loop makes one path a row": (
        "layers:\n  - branches:\n      - for: {k: [1, 2, 3]}\n        body: [compute: _ * $k]\n    merge: add\n",
        12,
    ),
    "residual: an empty body": ("layers:\n  - residual: []\n", 4),
    "an empty sequence": ("layers:\n  - f = sequence: []\n  - neg\n", -2),
    "no iterations": ("layers:\n  - f = repeat: 0\n    body: [neg]\n  - compute: _ * 3\n", 6),
    "outputs: in their order": (
        "layers:\n  - a = neg\n  - b = compute: x * 3\noutputs: {one: b, two: a, three: x}\n",
        None,
    ),
}


@pytest.mark.parametrize(("text", "expected"), VALUES.values(), ids=VALUES)
def test_values(text: str, expected: float | None) -> None:
    # Small whole numbers are exact in float32.
    assert run(text) == (expected if expected is not None else [6, -2, 2])


def test_6_weights_are_shared_by_call_only() -> None:
    module = compiled(X + "layers:\n  - a = linear: 4\n  - b = call: a\n  - c = linear: 4\n").module()
    assert sorted(module.state_dict()) == ["a.bias", "a.weight", "c.bias", "c.weight"]
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    a, c = module.get_submodule("a"), module.get_submodule("c")
    assert torch.equal(module(x), c(a(a(x))))
