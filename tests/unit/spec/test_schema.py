"""The JSON Schema admits every right spec and refuses what is typically wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from specdl.ops import OPERATORS
from specdl.source import load_source, parse_text
from specdl.spec.schema import json_schema
from tests.conftest import CASES, ROOT, SPECS
from tests.test_docs import examples
from tests.unit.cli.conftest import environment

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema isn't installed: pip install -e '.[dev]'")

RIGHT = [
    *sorted(SPECS.rglob("*.yaml")),
    *(
        path
        for kind in ("language", "elaborate", "diagrams", "models")
        for path in sorted((CASES / kind).glob("*.yaml"))
    ),
]


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def mistakes(validator: Any, data: Any) -> list[str]:
    return [f"{list(error.absolute_path)}: {error.message[:200]}" for error in validator.iter_errors(data)]


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: path.stem)
def test_every_right_spec_validates(path: Path, validator: Any) -> None:
    assert mistakes(validator, load_source(path).data) == []


@pytest.mark.parametrize(("name", "text"), examples(), ids=[name for name, _ in examples()])
def test_every_example_of_the_manual_validates(name: str, text: str, validator: Any) -> None:
    assert mistakes(validator, parse_text(text, name).data) == []


RIGHT_LAYERS = {
    "an expression for a number": "linear: $classes",
    "an expression within a list": "reshape: [$(2 * rows), 8]",
    "an expression for all arguments": "batch_norm2d: $norm",
    "a condition": "{relu: null, when: $(depth > 2)}",
    "a name with an expression": "layer$(index + 1) = conv2d: {out_channels: 8, kernel_size: 3}",
    "a head with inputs": '"concat(a, b)"',
    "several names": '"output, h, c = lstm(x)": 64',
    "a block": "my_block: {width: 3}",
    "a block with a name": "first = my_block: 3",
    "a word for a number": "conv2d: {out_channels: 8, kernel_size: 3, padding: same}",
    "nothing where nothing is needed": "{flatten: null}",
    "a use with its arguments": "{use: $block, with: {width: 3}, when: true}",
    "a path that is a loop": "{branches: [[relu], {for: {w: [1, 2]}, body: [{linear: $w}]}], merge: concat}",
    "the axes of a rearrange": "rearrange: {pattern: b (h w) -> b h w, h: 8}",
}


@pytest.mark.parametrize("layer", RIGHT_LAYERS.values(), ids=RIGHT_LAYERS.keys())
def test_right_layers(layer: str, validator: Any) -> None:
    text = f"specdl: 1\ninputs: {{x: [4]}}\nlayers:\n  - {layer}\n"
    assert mistakes(validator, parse_text(text, "right.yaml").data) == []


RIGHT_DATA = {
    "a folder": "{source: {image_folder: photos}, transforms: [{image = resize(image): 224}]}",
    "torchvision's": "{source: 'torchvision:CIFAR10'}",
    "fields": "{source: {csv: {file: a.csv}}, fields: {image: [3, H, W], y: {shape: [], column: [a], classes: [b]}}}",
    "OpenCV's": "{source: digits, transforms: [{i = cv2.canny(i): {threshold1: 3}}, i = cv2.equalize_hist(i)]}",
    "a batch": "{source: digits, batch_transforms: ['image, label = mixup(image, label)', {image = resize(image): 4}]}",
    "what to do with bad files": "{source: digits, on_bad: {skip: 0.1}, in_memory: auto, workers: 4}",
    "parts": "{source: {csv: a.csv}, fields: {x: []}, split: {column: part}, sampler: {weighted: label}}",
    "no source": "{fields: {image: [3, H, W], label: {shape: [], dtype: int64, classes: imagenet}}}",
}


@pytest.mark.parametrize("data", RIGHT_DATA.values(), ids=RIGHT_DATA.keys())
def test_right_data(data: str, validator: Any) -> None:
    text = f"specdl: 1\ninputs: {{x: [4]}}\nlayers: [relu]\ndata: {data}\n"
    assert mistakes(validator, parse_text(text, "right.yaml").data) == []


WRONG_LAYERS = {
    "an unknown argument": "conv2d: {out_channels: 3, kernel_size: 3, strides: 2}",
    "an inferred argument": "linear: {in_features: 3, out_features: 3}",
    "a missing argument": "conv2d: {out_channels: 3}",
    "a word for a number": "linear: many",
    "a number for a switch": "linear: {out_features: 3, bias: 1}",
    "a number out of range": "dropout: 1.5",
    "a list too long": "max_pool2d: [2, 2, 2]",
    "a word that isn't one of the choices": "conv2d: {out_channels: 3, kernel_size: 3, padding: some}",
    "an argument of a headed operator": "x = linear(y): {units: 3}",
    "a scalar without a main argument": "batch_norm2d: 64",
    "arguments where there are none": "relu: {inplace: true}",
    "a bare operator that needs arguments": "conv2d",
    "the same with a name": '"x = linear"',
    "a colon with nothing behind it": "{linear: null}",
    "two operators": "{linear: 3, relu: null}",
    "two operators with a condition": "{linear: 3, relu: null, when: true}",
    "no operator": "{when: true}",
    "a name without =": "conv1 conv2d: {out_channels: 3, kernel_size: 3}",
    "a loop without a body": "repeat: 3",
    "a mistake in a loop": "{repeat: 3, body: [{linear: {out_features: -1}}]}",
    "a mistake in a path": "branches: [[{dropout: true}]]",
    "a residual's unknown key": "residual: {body: [relu], skip: [relu]}",
    "a negative repeat": "{repeat: -1, body: [relu]}",
    "a number": "3",
    "nothing": "null",
}


@pytest.mark.parametrize("layer", WRONG_LAYERS.values(), ids=WRONG_LAYERS.keys())
def test_wrong_layers(layer: str, validator: Any) -> None:
    text = f"specdl: 1\ninputs: {{x: [4]}}\nlayers:\n  - {layer}\n"
    found = mistakes(validator, parse_text(text, "wrong.yaml").data)
    assert found
    assert all(message.startswith("['layers', 0") for message in found)


WRONG_KEYS = {
    "an unknown key": "epochs: 3",
    "another version": "specdl: 2",
    "an unknown loss": "loss: crossentropy",
    "an unknown optimizer": "optimizer: {adamm: {lr: 1}}",
    "an optimizer's unknown argument": "optimizer: {adamw: {learning_rate: 1}}",
    "two optimizers": "optimizer: {adamw: {lr: 1}, sgd: 0.1}",
    "an unknown scheduler": "scheduler: cosin",
    "an unknown metric": "metrics: [acuracy]",
    "an unknown source": "data: {source: digit}",
    "an unknown transform": "data: {source: digits, transforms: [{image = crop(image): 3}]}",
    "an unknown argument of a source": "data: {source: {image_folder: {folder: photos}}}",
    "an unknown data set of torchvision": "data: {source: 'torchvision:CIFAR'}",
    "a field's unknown dtype": "data: {source: {csv: a.csv}, fields: {x: {shape: [], dtype: long}}}",
    "a field's size": "data: {source: {csv: a.csv}, fields: {x: [0]}}",
    "an argument of OpenCV's": "data: {source: digits, transforms: [{image = cv2.canny(image): {low: 3}}]}",
    "a transform of a batch for one example": "data: {source: digits, transforms: ['x, y = mixup(x, y)']}",
    "a share to skip": "data: {source: digits, on_bad: {skip: 2}}",
    "a wrong batch size": "data: {source: digits, batch_size: 0}",
    "an unknown key of train": "train: {epoch: 3}",
    "a wrong precision": "train: {precision: fp64}",
    "a wrong device": "train: {device: gpu}",
    "a block without layers": "blocks: {b: {params: {}}}",
    "a mistake in a block": "blocks: {b: {layers: [{linear: {units: 3}}]}}",
    "an input's unknown dtype": "inputs: {x: {shape: [4], dtype: float}}",
    "an input's size": "inputs: {x: [0]}",
    "an unknown key of a step": "steps: [{name: s, update: model, losses: [mean(x)], layers: [], evry: 3}]",
    "a step without losses": "steps: [{name: s, update: model, layers: []}]",
    "a mode that is none": "steps: [{name: s, update: model, layers: [], losses: [mean(x)], mode: {model: of}}]",
    "an unknown key of a network": "models: {a: {inputs: {x: [4]}, layers: [relu], update: true}}",
    "an average without decay": "models: {a: {ema: b}}",
    "an average that stays": "models: {a: {ema: b, decay: 1.0}}",
    "a run's unknown key": "models: {a: {from: runs/x, frozen: true}}",
    "samples without layers": "sample: {params: {steps: 3}}",
    "an optimizer of a network that is none": "optimizer: {generator: {adamm: {lr: 1}}}",
}


@pytest.mark.parametrize("line", WRONG_KEYS.values(), ids=WRONG_KEYS.keys())
def test_wrong_keys(line: str, validator: Any) -> None:
    base = {"specdl": 1, "inputs": {"x": [4]}, "layers": ["relu"]}
    assert mistakes(validator, base) == []
    changed = parse_text(line, "line.yaml").data
    assert mistakes(validator, {**base, **changed})


def test_inputs_and_layers_are_needed(validator: Any) -> None:
    assert mistakes(validator, {"specdl": 1, "name": "nothing"})


def test_every_operator_is_one_property_with_words_and_a_link() -> None:
    schema = json_schema()
    properties = schema["definitions"]["layer"]["anyOf"][1]["properties"]
    for name in OPERATORS:
        found = properties[name]
        reference = found["allOf"][0] if "allOf" in found else found
        arguments = schema["definitions"][reference["$ref"].rsplit("/", 1)[-1]]
        assert OPERATORS[name].reference in arguments["markdownDescription"]
        assert arguments["description"]
        shapes = [item for item in arguments.get("anyOf", [arguments]) if "properties" in item]
        assert [set(shape["properties"]) for shape in shapes] == [set(OPERATORS[name].model_fields)]
        for argument in shapes[0]["properties"].values():
            assert OPERATORS[name].reference in argument["markdownDescription"]


def test_the_command_prints_it_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from specdl.cli import _run; code = _run(['schema', '-o', 'schema.json'])\n"
        "sys.exit(code or ('torch' in sys.modules and 7) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(), check=False)
    assert done.returncode == 0
    assert json.loads((tmp_path / "schema.json").read_text(encoding="utf-8")) == json_schema()
    assert (ROOT / "docs" / "specdl.schema.json").read_bytes() == (tmp_path / "schema.json").read_bytes()
