"""The tutorials in short: their scripts run, and their specs learn within seconds on a little data.

A bound of a loss lies between what nothing learned gives and what the run reached when it was written.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from specdl.api import load
from specdl.data.sources.corpus import python_topics
from specdl.training.generate import Options, of_run
from specdl.training.loop import train
from specdl.training.progress import Silent
from tests.conftest import ROOT

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard", "ignore::DeprecationWarning:torch")

FILE = re.compile(r"^<!-- file: (.*?) -->\n```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
SCRIPT = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def unpacked(page: str, folder: Path) -> list[str]:
    """Writes a page's specs into a folder; gives its pieces of Python."""
    text = (ROOT / "docs" / "tutorials" / page).read_text(encoding="utf-8")
    for name, spec in FILE.findall(text):
        (folder / name).write_text(spec, encoding="utf-8")
    return SCRIPT.findall(text)


def execute(script: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True)


def trained(spec: Path, **settings: Any) -> dict[str, float]:
    """The last measures of a short run in `run` beside the spec."""
    overrides: dict[str, Any] = {"train.validate": {"every": 10_000, "unit": "step"}}
    for key, value in settings.items():
        overrides[key.replace("__", ".")] = value
    run = spec.parent / f"run-{spec.stem}"
    train(load(spec, overrides=overrides), folder=run, progress=Silent())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {key: value for row in rows for key, value in row.items()}


def test_character_gpt(tmp_path: Path) -> None:
    unpacked("character-gpt.md", tmp_path)
    (tmp_path / "tinyshakespeare.txt").write_text("".join(python_topics())[:30_000], encoding="utf-8")
    spec = tmp_path / "shakespeare.yaml"
    measures = trained(spec, params__vocabulary=128, train__max_steps=80)
    assert measures["validation/loss"] < 3.2  # ln 128 = 4.9 to begin with; 2.78 when this was written
    run = tmp_path / "run-shakespeare"
    again = [of_run(load(run / "spec.yaml"), run)("The ", Options(max_tokens=40, seed=1)).text for _ in range(2)]
    assert len(again[0]) == 40
    assert again[0] == again[1]


def test_the_same_seed_trains_the_same_gpt(tmp_path: Path) -> None:
    losses = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        unpacked("character-gpt.md", tmp_path / name)
        text = "".join(python_topics())[:20_000]
        (tmp_path / name / "tinyshakespeare.txt").write_text(text, encoding="utf-8")
        spec = tmp_path / name / "shakespeare.yaml"
        losses.append(trained(spec, params__vocabulary=128, train__max_steps=10)["validation/loss"])
    assert losses[0] == losses[1]


def test_translation_of_dates(tmp_path: Path) -> None:
    (script,) = unpacked("translation.md", tmp_path)
    execute(script, tmp_path)
    table = tmp_path / "dates.tsv"
    lines = table.read_text().splitlines()
    assert len({line.split("\t")[0] for line in lines}) == len(lines) == 20_000
    assert all(re.fullmatch(r"[^\t]{6,40}\t(19|20)\d\d-\d\d-\d\d", line) for line in lines)
    table.write_text("\n".join(lines[:1000]))
    measures = trained(tmp_path / "dates.yaml", train__epochs=None, train__max_steps=60)
    assert measures["validation/loss"] < 2.6  # ln 64 = 4.2 to begin with; 2.1 when this was written


MESSAGES = {
    "ham": ["are you home at {}?", "see you at {} then", "ok, call me after {}"],
    "spam": ["WIN a prize! text {} now", "free entry, claim {} today", "urgent! your code is {}, call"],
}


def test_spam(tmp_path: Path) -> None:
    (script,) = unpacked("spam.md", tmp_path)
    lines = [
        f"{label}\t{text.format(number)}" for number in range(60) for label, texts in MESSAGES.items() for text in texts
    ]
    (tmp_path / "SMSSpamCollection").write_text("\n".join([*lines, *lines[:100]]) + "\n")
    execute(script, tmp_path)
    assert (tmp_path / "messages.tsv").read_text().splitlines() == lines
    for name in ("lstm", "gru", "cnn", "encoder"):
        measures = trained(tmp_path / f"{name}.yaml", params__width=32, train__epochs=10, scheduler="constant")
        assert measures["validation/f1"] > 0.95  # a third to begin with; 1 when this was written


def test_word_vectors(tmp_path: Path) -> None:
    prepare, _ = unpacked("word-vectors.md", tmp_path)
    (tmp_path / "package").mkdir()
    tagged = "\tThe/at jury/nn further/rbr said/vbd ,/, ``/`` in/in term-end/nn 1961/cd ''/'' ./.\n\n\n"
    (tmp_path / "package" / "ca01").write_text(f"\n{tagged * 60}\tWho/wps put/vbd and\\/or/cc here/rb ?/.\n")
    (tmp_path / "package" / "README").write_text("nothing/nn of/in the/at corpus/nn\n")
    execute(prepare, tmp_path)
    lines = (tmp_path / "brown.txt").read_text().splitlines()
    assert lines == ["The jury further said in term-end 1961"] * 60 + ["Who put and\\/or here"]
    small = {"params__subsample": None, "train__epochs": 12, "data__batch_size": 32}
    nothing = 11 * torch.tensor(2.0).log().item()  # eleven words, each as likely as not
    assert trained(tmp_path / "brown.yaml", **small)["train/loss"] < 0.8 * nothing
    assert trained(tmp_path / "cbow.yaml", **small)["train/loss"] < 0.8 * nothing
    # Few pairs, whose counts are large: the first steps fit most of them.
    first = trained(tmp_path / "glove.yaml", train__epochs=1)["train/loss"]
    (tmp_path / "run-glove").rename(tmp_path / "run-before")
    assert trained(tmp_path / "glove.yaml", train__epochs=30)["train/loss"] < 0.5 * first
