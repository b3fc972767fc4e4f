"""`specdl explain`, and the messages of the catalogue that only a command can give."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from specdl.catalogue import SPEC, Explanation, everything
from tests.unit.cli.conftest import TINY, Command

COMMANDS = [entry for entry in everything() if entry.command]


@pytest.mark.parametrize("entry", COMMANDS, ids=[entry.code for entry in COMMANDS])
def test_a_command_says_what_the_catalogue_shows(
    specdl: Command, trained: Path, folder: Path, entry: Explanation
) -> None:
    shutil.copytree(trained, folder / "run")
    (folder / SPEC).write_text(TINY if entry.wrong is None else entry.wrong.text, encoding="utf-8")
    done = specdl(*shlex.split(entry.command)[1:])
    assert (done.code, done.err.rstrip("\n")) == (1, entry.shown())


def test_an_explanation_has_both_specs_and_the_message(specdl: Command) -> None:
    done = specdl("explain", "E0201")
    assert (done.code, done.err) == (0, "")
    assert done.lines()[0] == "E0201: An unknown argument or key"
    wrong, message, mended = (
        done.out.index(text) for text in ("{filters: 8", "error[E0201]: `conv2d` has no", "{out_channels: 8")
    )
    assert wrong < message < mended


def test_what_stands_behind_the_spec_is_shown(specdl: Command) -> None:
    assert "wrong, with `--variant smal`:" in specdl("explain", "E0302").lines()
    assert "what `specdl train spec.yaml` says:" in specdl("explain", "E0507").lines()


def test_a_code_in_small_letters(specdl: Command) -> None:
    assert specdl("explain", "e0004").lines()[0] == "E0004: The text isn't YAML"


def test_an_explanation_as_json(specdl: Command) -> None:
    done = specdl("explain", "E0303", "--json")
    found = json.loads(done.out)
    assert (found["code"], found["severity"], found["arguments"]) == ("E0303", "error", ["params.widht=4"])
    assert found["message"].startswith("error[E0303]: ")
    assert found["wrong"].startswith("specdl: 1\n")
    assert found["link"].endswith("#e0303")
    assert found["remedy"] is None


def test_without_a_code_all_are_listed(specdl: Command) -> None:
    lines = specdl("explain").lines()
    assert [line.split()[0] for line in lines] == [entry.code for entry in everything()]
    listed = json.loads(specdl("explain", "--json").out)["codes"]
    assert [f"{item['code']}  {item['title']}" for item in listed] == lines


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("E0207", "there is no code 'E0207'; did you mean E0206?"),
        ("frobnicate", "'frobnicate' is no code and no word of the language; `specdl explain` lists all codes"),
        ("conv2", "'conv2' is no code and no word of the language; did you mean `conv2d`?"),
        ("nn.Conv2d", "it is called `conv2d` here"),
        ("Dense", "it is called `linear` here"),
    ],
)
def test_an_unknown_word_is_a_usage_error(specdl: Command, word: str, told: str) -> None:
    done = specdl("explain", word)
    assert (done.code, done.out) == (2, "")
    assert told in done.err


def test_an_operator_is_explained_with_its_arguments_and_an_example(specdl: Command) -> None:
    done = specdl("explain", "conv2d")
    assert (done.code, done.err) == (0, "")
    lines = done.lines()
    assert lines[0] == "conv2d: operator, convolution"
    assert "    - conv2d: {out_channels: 32, kernel_size: 3}" in lines
    rows = {line.split()[0]: line for line in lines if line and not line.startswith(" ")}
    assert rows["out_channels"].split() == ["out_channels", "integer", "required"]
    assert rows["padding_mode"].endswith("zeros")
    assert any("torch.nn.Conv2d.html" in line for line in lines)
    assert max(map(len, lines)) <= 120


def test_a_word_of_several_meanings_has_all_of_them(specdl: Command) -> None:
    heads = [line for line in specdl("explain", "linear").lines() if line.startswith("linear: ")]
    assert heads == ["linear: operator, linear", "linear: scheduler"]
    found = json.loads(specdl("explain", "linear", "--json").out)["words"]
    assert [item["kind"] for item in found] == ["operator, linear", "scheduler"]
    assert found[0]["arguments"][0]["name"] == "out_features"
