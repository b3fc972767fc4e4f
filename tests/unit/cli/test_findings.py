"""`check --format github|sarif`, and colour: what other programs read, to the letter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from specdl.catalogue import explain
from specdl.cli.findings import Finding, github_lines, sarif
from specdl.diagnostics import Diagnostic, Note, Span
from tests.unit.cli.conftest import Command, process

WRONG = """\
specdl: 1
inputs: {x: [4]}
blocks:
  idle: {layers: [relu]}
layers:
  - lnear: 2
  - fc = linear(x): 3
  - fc = linear(x): 3
"""
"""An error with a help, an error with a note in the file, and a warning."""

WARNING = "specdl: 1\ninputs: {x: [4]}\nblocks:\n  idle: {layers: [relu]}\nlayers: [linear: 2]\n"


def test_github_has_one_command_a_mistake(specdl: Command) -> None:
    Path("wrong.yaml").write_text(WRONG)
    done = specdl("check", "tiny.yaml", "wrong.yaml", "--format", "github")
    assert (done.code, done.err) == (1, "")
    assert done.lines() == [
        "::warning file=wrong.yaml,line=4,col=3,title=W0001%3A A block that nothing uses"
        "::the block `idle` is never used",
        "::error file=wrong.yaml,line=6,col=5,title=E0205%3A An unknown operator or block"
        "::there is no operator or block `lnear`%0Ahelp: did you mean `linear`?",
        "::error file=wrong.yaml,line=8,col=5,title=E0305%3A Two layers with weights have one name"
        "::two layers with weights are called `fc`%0Athe first one is here: wrong.yaml:7:5"
        "%0Ahelp: give one of them another name",
    ]


def test_github_escapes_what_would_end_a_property_or_a_line() -> None:
    span = Span("50%,a:b.yaml", 2, 3, 2, 4)
    (line,) = github_lines([Finding("spec.yaml", Diagnostic("E0201", "100%: a,\r\nb", span))])
    assert line == (
        "::error file=50%25%2Ca%3Ab.yaml,line=2,col=3,title=E0201%3A An unknown argument or key::100%25: a,%0D%0Ab"
    )


def test_a_mistake_without_a_place_names_the_spec(specdl: Command) -> None:
    done = specdl("check", "nowhere.yaml", "--format", "github")
    assert done.lines() == [
        "::error file=nowhere.yaml,title=E0001%3A The file can't be read::there is no file `nowhere.yaml`"
    ]
    done = specdl("check", "tiny.yaml", "params.clases=3", "--format", "github")
    assert done.lines() == [
        "::error file=tiny.yaml,title=E0303%3A An override names no key"
        "::params.clases=3: the spec has no parameter `params.clases`%0Ahelp: did you mean `classes`?"
    ]


def checked_sarif(log: dict[str, Any]) -> dict[str, Any]:
    """The only run of a SARIF 2.1.0 log, after what the published schema requires of it was asserted."""
    assert log["version"] == "2.1.0"
    assert urlsplit(log["$schema"]).scheme == "https"
    assert set(log) == {"$schema", "version", "runs"}
    (run,) = log["runs"]
    assert set(run) == {"tool", "columnKind", "results"}
    assert run["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
    driver = run["tool"]["driver"]
    assert driver["name"] == "specdl"
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(set(ids)) == len(ids)
    for rule in driver["rules"]:
        entry = explain(rule["id"])
        assert entry is not None
        assert rule["shortDescription"] == {"text": entry.title}
        assert rule["fullDescription"] == {"text": entry.explanation}
        assert rule["help"]["text"]
        assert (urlsplit(rule["helpUri"]).scheme, urlsplit(rule["helpUri"]).fragment) == ("https", rule["id"].lower())
        assert rule["defaultConfiguration"]["level"] == entry.severity
    for result in run["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in {"none", "note", "warning", "error"}
        assert result["message"]["text"]
        assert len(result["locations"]) == 1
        related = result.get("relatedLocations", [])
        assert [place["id"] for place in related] == list(range(1, len(related) + 1))
        for place in [*result["locations"], *related]:
            physical = place["physicalLocation"]
            assert " " not in physical["artifactLocation"]["uri"]
            region = physical.get("region", {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1})
            assert all(isinstance(number, int) and number >= 1 for number in region.values())
            assert (region["startLine"], region["startColumn"]) <= (region["endLine"], region["endColumn"])
    return dict(run)


def test_sarif_has_what_its_schema_requires(specdl: Command) -> None:
    Path("wrong one.yaml").write_text(WRONG)
    done = specdl("check", "wrong one.yaml", "nowhere.yaml", "tiny.yaml", "--format", "sarif")
    assert (done.code, done.err) == (1, "")
    run = checked_sarif(json.loads(done.out))
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["E0001", "E0205", "E0305", "W0001"]
    warning, unknown, twice, missing = run["results"]
    assert (warning["level"], unknown["level"]) == ("warning", "error")
    assert unknown["message"]["text"] == "there is no operator or block `lnear`\nhelp: did you mean `linear`?"
    place = unknown["locations"][0]["physicalLocation"]
    assert unquote(place["artifactLocation"]["uri"]) == "wrong one.yaml"
    assert place["region"] == {"startLine": 6, "startColumn": 5, "endLine": 6, "endColumn": 10}
    (first,) = twice["relatedLocations"]
    assert (first["message"]["text"], first["physicalLocation"]["region"]["startLine"]) == ("the first one is here", 7)
    assert missing["locations"] == [{"physicalLocation": {"artifactLocation": {"uri": "nowhere.yaml"}}}]


def test_sarif_of_a_right_spec_is_a_run_without_results(specdl: Command) -> None:
    done = specdl("check", "tiny.yaml", "--format", "sarif")
    assert (done.code, checked_sarif(json.loads(done.out))["results"]) == (0, [])


def test_an_absolute_path_is_an_address_with_a_scheme(tmp_path: Path) -> None:
    file = tmp_path / "a b.yaml"
    span = Span(str(file), 1, 1, 1, 2)
    finding = Finding(str(file), Diagnostic("E0001", "gone", span, notes=(Note("here", Span("<x=1>", 1, 1, 1, 2)),)))
    (result,) = checked_sarif(sarif([finding]))["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == file.as_uri()
    assert "relatedLocations" not in result


@pytest.mark.parametrize("form", ["text", "json", "github", "sarif"])
def test_a_warning_alone_exits_0(specdl: Command, form: str) -> None:
    Path("idle.yaml").write_text(WARNING)
    done = specdl("check", "idle.yaml", "--format", form)
    assert done.code == 0
    assert "W0001" in done.out + done.err


@pytest.mark.parametrize(
    ("changed", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "", "TERM": "xterm"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": ""}, True),
    ],
)
def test_a_pipe_gets_colour_only_by_force(folder: Path, changed: dict[str, str], coloured: bool) -> None:
    settings: dict[str, str | None] = {"NO_COLOR": None, "FORCE_COLOR": None, **changed}
    done = process("check", "nowhere.yaml", **settings)
    assert done.returncode == 1
    assert (b"\x1b[" in done.stderr) == coloured
