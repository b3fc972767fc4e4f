"""The shipped Sentence-BERT learns from pairs, made small: numbers in words find themselves in another language."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from specdl.api import load
from specdl.training.loop import train
from specdl.training.predict import of_run
from specdl.training.predict_text import TextPredictor
from specdl.training.progress import Silent
from tests.conftest import SPECS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard", "ignore::DeprecationWarning:torch")

ENGLISH = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SPANISH = ["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"]
PAIRS = [
    (f"{ENGLISH[a]} and {ENGLISH[b]} or {ENGLISH[c]}", f"{SPANISH[a]} y {SPANISH[b]} o {SPANISH[c]}")
    for a in range(10)
    for b in range(10)
    for c in range(0, 10, 3)
]
SMALL = {"width": 32, "layers": 1, "heads": 2, "vocabulary": 64, "length": 32, "max_length": 32, "dropout": 0.0}


def test_partners_find_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specdl.training.loop.draw_curves", lambda *_, **__: None)
    order = torch.randperm(len(PAIRS), generator=torch.Generator().manual_seed(0)).tolist()
    known, unseen = [PAIRS[at] for at in order[:-40]], [PAIRS[at] for at in order[-40:]]
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"{one}\t{other}\n" for one, other in known))
    overrides = {
        **{f"params.{key}": value for key, value in SMALL.items()},
        "params.pairs": str(file),
        "optimizer.adamw.lr": 1e-2,
        "scheduler.cosine.warmup_steps": 10,
        "train.epochs": 12,
    }
    model = load(SPECS / "text" / "sentence_bert.yaml", overrides=overrides)
    train(model, folder=tmp_path / "run", progress=Silent())
    predictor = of_run(model, tmp_path / "run")
    assert isinstance(predictor, TextPredictor)
    ours, theirs = (
        torch.stack([item.output for item in predictor(list(texts))]) for texts in zip(*unseen, strict=True)
    )
    found = (ours @ theirs.T).argmax(1)
    # Of 40 that it never saw; by chance it would be one.
    assert (found == torch.arange(40)).float().mean() > 0.9
