"""The benchmarks run, and judge as they say. Nothing here looks at how long anything takes."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from tests.benchmarks.__main__ import TOPICS
from tests.benchmarks.harness import BenchmarkFailed, Comparison, Side, Spread, compare, measure, spread
from tests.benchmarks.report import Promise, Topic, at_least, at_most, page
from tests.benchmarks.scale import FORMS, compiling, spec_text
from tests.benchmarks.startup import process
from tests.conftest import ROOT


def run(*arguments: str) -> str:
    """What a quick run prints."""
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_topic_runs() -> None:
    text = run("startup")
    rows = {cells[1].strip(): cells[4].strip() for line in text.splitlines() if len(cells := line.split("|")) == 6}
    assert rows["`specdl --help`"] == rows["`specdl check, ResNet-152`"] == "no"  # torch isn't imported
    assert "`specdl check` of ResNet-152, whole process | at most 0.5 s |" in text


@pytest.mark.slow
def test_all_topics_run() -> None:
    text = run()
    assert "failed" not in text
    assert "equal for 2 of 2 models" in text


def test_every_topic_is_a_module() -> None:
    assert all(callable(importlib.import_module(f"tests.benchmarks.{name}").run) for name in TOPICS)


@pytest.mark.parametrize("form", FORMS)
def test_generated_specs_have_as_many_layers_as_they_say(form: str) -> None:
    from specdl.analysis.cost import cost_rows
    from specdl.api import compile_source
    from specdl.source import parse_text

    model = compile_source(parse_text(spec_text(form, 20), "deep.yaml"))
    layers = [row for row in cost_rows(model.program) if row.operator in {"linear", "relu"}]
    assert len(layers) == 20


def test_sides_take_turns_in_processes_of_their_own() -> None:
    form = next(iter(FORMS))
    sides = [Side(name, compiling, {"form": form, "sizes": [2]}) for name in ("a", "b")]
    found = compare(sides, 1)
    assert list(found.rounds[0]) == ["a", "b"]
    assert found.rounds[0]["a"]["2"] > 0


def test_a_side_that_fails_says_why() -> None:
    side = Side("broken", process, {"command": ["-c", "raise SystemExit('out of luck')"], "bytecode": ""})
    with pytest.raises(BenchmarkFailed, match="out of luck"):
        measure(side)


def test_ratios_are_taken_within_rounds() -> None:
    rounds = [{"a": {"seconds": a}, "b": {"seconds": b}} for a, b in ((1.0, 2.0), (9.0, 3.0), (4.0, 4.0))]
    found = Comparison(rounds)
    assert found.ratio("a", "b") == Spread(median=1.0, low=0.75, high=2.0)
    assert found.spread("a").median == 4.0
    assert spread([3.0]) == Spread(3.0, 3.0, 3.0)


def test_verdicts() -> None:
    assert at_most("it", 1.0, Spread(0.99, 0.9, 1.1)).kept is True
    assert at_most("it", 1.0, Spread(1.01, 0.99, 1.1)).kept is None
    assert at_most("it", 1.0, Spread(1.05, 1.01, 1.1)).kept is False
    assert at_least("it", 10, Spread(11, 9, 12)).kept is True
    assert at_least("it", 10, Spread(9, 8, 11)).kept is None
    assert at_least("it", 10, Spread(9, 8, 9.5)).kept is False


def test_the_page_says_what_was_not_kept() -> None:
    promises = [Promise("this", "1", "2", False), Promise("that", "1", "1", None), Promise("other", "1", "1", True)]
    text = page([Topic("Title", "How.", promises, ["a", "b"], [["1", "2"]])], ["step: it broke"])
    assert "| this | 1 | 2 | **no** |" in text
    assert "Not kept in this run: this." in text
    assert "lies within the spread: that." in text
    assert "**This part of the run failed:** step: it broke" in text
    assert "| 1 | 2 |" in text
