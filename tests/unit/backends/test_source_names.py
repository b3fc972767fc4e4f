"""Names that the ejected source means something else by: its imports, `self`, the variable of its loops, keywords."""

from __future__ import annotations

import keyword
from pathlib import Path

import pytest

from specdl.api import compile_source
from specdl.backends.torch_source.text import class_name, free_variable
from specdl.source import parse_text
from tests.conftest import compiled

WORDS = ["F", "OrderedDict", "Tensor", "layer", "math", "nn", "range", "self", "super", "torch", "lambda"]


def check(text: str, folder: Path) -> str:
    """The model's source, after its module was compared with ONNX Runtime."""
    model = compiled(text)
    assert model.export_onnx(folder / "m.onnx").verified
    return model.source()


@pytest.mark.parametrize("word", WORDS)
def test_inputs(word: str, tmp_path: Path) -> None:
    text = f"inputs: {{{word}: [4], {word}_: [4]}}\nlayers:\n  - y = linear({word}): 4\n  - gelu\n"
    source = check(f"{text}  - add({word}, _)\n  - add({word}_, _)\n", tmp_path)
    assert f"def forward(self, {word}__, {word}_)" in source


@pytest.mark.parametrize("word", WORDS)
def test_values(word: str, tmp_path: Path) -> None:
    layers = f"  - {word} = linear: 4\n  - gelu\n  - add({word}, _)\n  - relu\n  - add(_, {word})\n"
    check(f"inputs: {{x: [4]}}\nlayers:\n{layers}", tmp_path)


@pytest.mark.parametrize("word", WORDS)
def test_parameters_of_a_block(word: str, tmp_path: Path) -> None:
    block = f"    params: {{{word}: 3}}\n    layers:\n      - linear: ${word}\n      - gelu\n      - linear: 4\n"
    check(f"inputs: {{x: [4]}}\nblocks:\n  part:\n{block}layers:\n  - part: 4\n  - part: 5\n", tmp_path)


@pytest.mark.parametrize("word", ["f", "F", "none", "true_", "tensor", "ordered_dict", "nn", "torch"])
def test_classes(word: str, tmp_path: Path) -> None:
    used = "      - gelu\n      - linear: 4\n      - compute: abs(_)\n"
    block = f"blocks:\n  {word}:\n    layers:\n{used}layers:\n  - {word}\n  - gelu\n"
    check(f"inputs: {{x: [4]}}\n{block}", tmp_path)
    group = f"layers:\n  - {word} = sequence:\n{used}  - gelu\n"
    check(f"inputs: {{x: [4]}}\n{group}", tmp_path)
    model = compiled(f"inputs: {{x: [4]}}\nlayers:\n{used}", f"specdl: 1\nname: '{word}'\n")
    assert model.export_onnx(tmp_path / "m.onnx").verified


def test_a_value_called_like_the_variable_of_a_loop(tmp_path: Path) -> None:
    block = "  part:\n    inputs: [x, layer]\n    layers:\n      - linear(x): 4\n      - add(_, layer)\n"
    body = "  - body = repeat: 4\n    body:\n      - part(_, layer)\n"
    source = check(f"inputs: {{x: [4], layer: [4]}}\nblocks:\n{block}layers:\n{body}", tmp_path)
    assert "for layer in self:\n            x = layer(x, layer_)" in source


def test_class_names_are_free() -> None:
    for word in ("f", "none", "true", "false", "tensor", "ordered_dict", "3d"):
        name = class_name(word)
        assert name.isidentifier()
        assert not keyword.iskeyword(name)
        assert name not in WORDS
    assert class_name("conv_norm_act") == "ConvNormAct"


def test_free_variables() -> None:
    assert free_variable("x", ()) == "x"
    assert free_variable("x", {"x", "x_"}) == "x__"
    assert free_variable("class", {"class_"}) == "class__"
    assert free_variable("__class__", ()) == "class___"
    assert free_variable("__", ()) == "value_"


@pytest.mark.parametrize("word", ["in", "class", "lambda"])
@pytest.mark.parametrize("kind", ["parameter", "buffer"])
def test_stored_values_of_keywords_names(kind: str, word: str, tmp_path: Path) -> None:
    text = f"inputs: {{x: [4]}}\nlayers:\n  - linear: 4\n  - {word} = {kind}: [4]\n  - add(x, {word})\n"
    assert f'getattr(self, "{word}")' in check(text, tmp_path)
    assert word in compiled(text).module().state_dict()


def test_a_files_name_ends_no_docstring() -> None:
    model = compile_source(parse_text("specdl: 1\ninputs: {x: [4]}\nlayers: [relu]\n", 'a"""\\.yaml'))
    compile(model.source(), "model.py", "exec")
    assert model.source().splitlines()[0] == '"""model, from a____.yaml."""'
