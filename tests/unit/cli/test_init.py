"""`specdl init`: projects that check, train and validate; nothing is overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from specdl.cli.common import load_model
from specdl.spec.schema import json_schema
from specdl.templates import MODELINE, SCHEMA, template_names
from tests.unit.cli.conftest import Command

NAMES = template_names()


@pytest.mark.parametrize("name", NAMES)
def test_a_project_checks_and_trains(name: str, specdl: Command) -> None:
    done = specdl("init", "mine", "--template", name)
    assert (done.code, done.err) == (0, "")
    assert specdl("check", "mine/spec.yaml").err == ""  # no warnings either
    model = load_model("mine/spec.yaml", None, ())
    assert model.name == "mine"
    for variant in model.spec.variants:
        assert specdl("check", "mine/spec.yaml", "--variant", variant).code == 0
    done = specdl("train", "mine/spec.yaml", "train.epochs=null", "train.max_steps=1", "--folder", "run")
    assert done.code == 0, done.err


@pytest.mark.parametrize("name", NAMES)
def test_a_project_has_its_schema_and_the_next_commands(name: str, specdl: Command, folder: Path) -> None:
    specdl("init", "deep/mine", "--template", name)
    place = folder / "deep" / "mine"
    spec = (place / "spec.yaml").read_text(encoding="utf-8")
    first, second, *rest = spec.splitlines()
    assert first + "\n" == MODELINE == f"# yaml-language-server: $schema={SCHEMA}\n"
    assert second.startswith("# ")
    assert sum("#" in line for line in rest) >= 5  # it is explained
    assert json.loads((place / SCHEMA).read_text(encoding="utf-8")) == json_schema()
    assert "specdl train spec.yaml" in (place / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_a_project_validates(name: str, specdl: Command, folder: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema isn't installed: pip install -e '.[dev]'")
    from specdl.source import load_source

    specdl("init", "mine", "--template", name)
    jsonschema.Draft7Validator(json_schema()).validate(load_source(folder / "mine" / "spec.yaml").data)


def test_the_commands_of_the_readme_exist(specdl: Command, folder: Path) -> None:
    specdl("init", "mine")
    page = (folder / "mine" / "README.md").read_text(encoding="utf-8")
    commands = {line.split()[1] for line in page.splitlines() if line.startswith("specdl ")}
    assert commands >= {"check", "train", "eval", "export"}
    assert all(specdl(command, "--help").code == 0 for command in commands)


def test_nothing_is_overwritten(specdl: Command, folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "notes.txt").write_text("mine")
    done = specdl("init", "mine")
    assert (done.code, done.out) == (2, "")
    assert "nothing was written" in done.err
    assert [path.name for path in (folder / "mine").iterdir()] == ["notes.txt"]
    assert specdl("init", "tiny.yaml").code == 2  # a file


def test_an_empty_folder_is_filled(specdl: Command, folder: Path) -> None:
    (folder / "mine").mkdir()
    assert specdl("init", "mine").code == 0
    assert specdl("init", "mine").code == 2


@pytest.mark.parametrize("name", ["3layers", "true", "null", "a b", "-x", "a:b"])
def test_names_that_are_none(name: str, specdl: Command, folder: Path) -> None:
    done = specdl("init", "--", name)
    assert done.code == 2
    assert "is not a name for a model" in done.err
    assert not (folder / name).exists()


def test_an_unknown_template_is_answered_with_those_that_exist(specdl: Command) -> None:
    done = specdl("init", "mine", "--template", "gan")
    assert done.code == 2
    assert all(name in done.err for name in NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_project_learns(name: str, specdl: Command) -> None:
    """After the epochs that the template has, nine of ten digits are right: each reaches 0.95 or more.

    The autoencoder's loss is 0.018, of which a third is the divergence; the mean image of all digits alone has 0.073.
    A character of English prose, guessed by its frequency alone, has a perplexity of about 20; the GPT reaches 6.
    """
    specdl("init", "mine", "--template", name)
    assert specdl("train", "mine/spec.yaml", "--folder", "run").code == 0
    metrics = json.loads(specdl("eval", "run", "--json").out)["metrics"]
    if name in {"vae", "gpt"}:
        assert metrics["loss"] < {"vae": 0.03, "gpt": 2.3}[name]  # e ** 2.3 is a perplexity of ten
    else:
        assert metrics["accuracy"] > 0.9
