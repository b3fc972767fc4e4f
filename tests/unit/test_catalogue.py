"""The catalogue of errors agrees with the code that emits them, and its examples do what they say."""

from __future__ import annotations

import re

import pytest

from specdl.catalogue import Explanation, codes, everything, explain, nearest_code
from tests.conftest import ROOT

CODE = re.compile(r'"([EW]\d{4})"')
ENTRIES = list(everything())
IDS = [entry.code for entry in ENTRIES]


def emitted() -> set[str]:
    """Every code that stands in the source as a string."""
    return {code for path in (ROOT / "specdl").rglob("*.py") for code in CODE.findall(path.read_text("utf-8"))}


def test_every_code_is_explained_and_every_explanation_is_used() -> None:
    assert set(codes()) == emitted()


@pytest.mark.parametrize("entry", ENTRIES, ids=IDS)
def test_an_entry_is_whole(entry: Explanation) -> None:
    assert entry.title[0].isupper()
    assert not entry.title.endswith(".")
    assert entry.explanation.endswith(".")
    assert (entry.wrong is None) == (entry.mended is None)
    assert (entry.mended is None) == bool(entry.remedy)
    assert bool(entry.message) == (entry.wrong is None or bool(entry.command))
    assert entry.shown().startswith(f"{entry.severity}[{entry.code}]: ")


SPECS = [entry for entry in ENTRIES if entry.wrong is not None]


@pytest.mark.parametrize("entry", SPECS, ids=[entry.code for entry in SPECS])
def test_a_wrong_example_has_one_mistake_and_the_mended_one_none(entry: Explanation) -> None:
    assert entry.wrong is not None
    assert entry.mended is not None
    # What only another command meets, `check` doesn't see.
    assert [item.code for item in entry.wrong.diagnostics()] == ([] if entry.command else [entry.code])
    assert entry.mended.diagnostics() == ()
    assert entry.mended.compile().source()


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("e0204", "E0204"),
        ("E204", "E0204"),
        ("0204", "E0204"),
        ("E0207", "E0206"),
        ("W1", "W0001"),
        ("frobnicate", None),
    ],
)
def test_the_nearest_code(word: str, code: str | None) -> None:
    assert nearest_code(word) == code


def test_an_unknown_code_has_no_entry() -> None:
    assert explain("E9999") is None
    assert explain("") is None
