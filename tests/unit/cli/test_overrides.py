"""`KEY=VALUE` and `--variant` as every command that takes a spec takes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command, one_error

TAKES_A_SPEC = {
    "check": ("check",),
    "summary": ("summary",),
    "eject": ("eject", "-o", "out.py"),
    "diagram": ("diagram", "-o", "out.dot"),
    "export": ("export", "-o", "out.onnx"),
    "train": ("train", "--folder", "run"),
}

WRONG: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "an unknown parameter": ("params.clases=3", "E0303", ("params.clases", "did you mean `classes`?")),
    "an unknown key of a section": ("train.epoch=3", "E0201", ("no argument `epoch`", "did you mean `epochs`?")),
    "an alias of a section": ("train.validat=3", "E0201", ("did you mean `validate`?",)),
    "an unknown section": ("trian.epochs=3", "E0303", ("did you mean `train`?",)),
    "a value of the wrong type": ("train.epochs=many", "E0501", ("expected an integer", "<train.epochs=many>:1:14")),
    "a value out of bounds": ("train.epochs=0", "E0501", ("at least 1",)),
    "a parameter of another kind": ("params.hidden=many", "E0304", ("is a number (16), got `many`",)),
    "a value that isn't YAML": ("train.epochs=[1", "E0152", ("`train.epochs=[1`",)),
    "no key": ("=3", "E0303", ("names no key",)),
    "nothing": ("name=", "E0112", ("expected a word",)),
    "an object tag": ("name=!!python/name:os.system", "E0007", ("plain data",)),
    "two lengths": ("train.max_steps=3", "E0501", ("exclude each other",)),
    "two optimizers": ("optimizer.sgd.lr=0.1", "E0501", ("one optimizer",)),
    "an input that the data doesn't give": ("inputs.image=[1, 5, 5]", "E0204", ("[N, 1, 8, 8]",)),
}


@pytest.mark.parametrize("words", TAKES_A_SPEC.values(), ids=TAKES_A_SPEC.keys())
def test_every_command_refuses_a_wrong_override_and_an_unknown_variant(specdl: Command, words: tuple[str, ...]) -> None:
    command, *options = words
    before = sorted(Path().iterdir())
    one_error(specdl(command, "tiny.yaml", *options, "params.clases=3"), "E0303", "did you mean `classes`?")
    one_error(specdl(command, "tiny.yaml", *options, "--variant", "lage"), "E0302", "did you mean `large`?")
    one_error(specdl(command, "nowhere.yaml", *options), "E0001", "there is no file `nowhere.yaml`")
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize("words", [words for name, words in TAKES_A_SPEC.items() if name != "check"])
def test_a_second_spec_is_a_mistake_of_usage(specdl: Command, words: tuple[str, ...]) -> None:
    command, *options = words
    done = specdl(command, "tiny.yaml", "bare.yaml", *options)
    assert (done.code, done.out) == (2, "")
    assert "'bare.yaml' is not KEY=VALUE" in done.err


@pytest.mark.parametrize(("override", "code", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_override(specdl: Command, override: str, code: str, words: tuple[str, ...]) -> None:
    one_error(specdl("check", "tiny.yaml", override), code, *words)


@pytest.mark.parametrize(
    ("overrides", "parameters"),
    [
        ((), 1210),
        (("params.hidden=8",), 610),
        (("--variant", "large"), 4810),
        (("--variant", "large", "params.hidden=8"), 610),
        (("params.hidden=8", "--variant", "large"), 610),
        (("layers.1={hidden = linear: 8}",), 610),
        (("params={classes: 11, hidden: 8}",), 619),
        (("name=other", "train.epochs=2", "optimizer=sgd", "scheduler.cosine.warmup_steps=2"), 1210),
        (("train.max_steps=2", "train.epochs=null"), 1210),
        (("params.hidden=4", "params.hidden=8"), 610),
    ],
)
def test_right_overrides(specdl: Command, overrides: tuple[str, ...], parameters: int) -> None:
    done = specdl("summary", "tiny.yaml", "--json", *overrides)
    assert done.code == 0, done.err
    assert json.loads(done.out)["parameters"] == parameters


def test_overrides_reach_training(specdl: Command) -> None:
    words = ("train.epochs=2", "params.hidden=8", "name=other", "optimizer.adamw.lr=1e-2", "data.batch_size=1000")
    done = specdl("train", "tiny.yaml", *words, "--folder", "run", "--json")
    assert done.code == 0
    kept = specdl("summary", "run/spec.yaml", "--json")
    assert (json.loads(kept.out)["name"], json.loads(kept.out)["parameters"]) == ("other", 610)
    rows = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [(row["epoch"], row["step"], row["lr"]) for row in rows] == [(1, 2, 1e-2), (2, 4, 1e-2)]


def test_the_variant_of_a_run_is_kept(specdl: Command) -> None:
    done = specdl("train", "tiny.yaml", "--variant", "small", "--folder", "run", "--json")
    assert done.code == 0
    assert json.loads(specdl("summary", "run/spec.yaml", "--json").out)["parameters"] == 310
    assert specdl("eval", "run").code == 0
