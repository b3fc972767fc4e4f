"""The shipped vision Transformers learn by their own recipes, made small: pictures of two colours are told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from specdl.api import load
from specdl.training.evaluate import evaluate
from specdl.training.loop import train
from specdl.training.progress import Silent
from tests.conftest import SPECS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard", "ignore::DeprecationWarning:torch")

SMALL = {"image": 32, "patch": 8, "width": 32, "heads": 2, "layers": 2, "classes": 2}
QUICK = {"epochs": 25, "precision": "fp32"}


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen pictures to train on and eight to validate with, warm ones and cold ones."""
    folder = tmp_path_factory.mktemp("colours")
    for part, count in (("train", 8), ("val", 4)):
        for name in ("cold", "warm"):
            (folder / part / name).mkdir(parents=True)
            for at in range(count):
                strong, weak = 160 + 10 * at, 20 * at
                colour = (strong, weak, weak) if name == "warm" else (weak, weak, strong)
                Image.new("RGB", (40, 40), colour).save(folder / part / name / f"{at}.png")
    return folder


@pytest.mark.parametrize(
    ("file", "variant", "changed"),
    [
        ("vit.yaml", "vit_b_16", {"train.accumulate": 1, "train.ema": None}),
        ("deit.yaml", "deit_tiny_patch16_224", {}),
        ("deit.yaml", "deit_tiny_distilled_patch16_224", {}),
    ],
)
def test_it_learns(
    file: str, variant: str, changed: dict[str, Any], colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("specdl.training.loop.draw_curves", lambda *_, **__: None)
    overrides = {
        **{f"params.{key}": value for key, value in SMALL.items()},
        **{f"train.{key}": value for key, value in QUICK.items()},
        "params.images": str(colours),
        "data.batch_size": 16,
        "optimizer.adamw.lr": 3e-3,
        "scheduler.cosine.warmup_steps": 5,
        **changed,
    }
    model = load(SPECS / "vision" / file, variant, overrides)
    train(model, folder=tmp_path / "run", progress=Silent())
    # Chance is a half: the colours are plain enough for all eight.
    assert evaluate(model, tmp_path / "run")["accuracy"] == 1.0
