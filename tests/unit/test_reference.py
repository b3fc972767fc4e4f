"""The reference: every word has its arguments, and an example that the classes and the compiler take."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from specdl.api import compile_source
from specdl.diagnostics import Diagnostics, SpecError
from specdl.ops import OPERATORS
from specdl.reference import Word, explain_word, summaries, word_names
from specdl.source import parse_text
from specdl.spec.entries import parse_entries
from specdl.spec.recipe import parse_recipe

WORDS = [word for name in word_names() for word in explain_word(name)]

INPUTS = """\
specdl: 1
params: {block: linear_block}
inputs:
  IN
  x: [16, 8]
  y: [16, 8]
  a: AB
  b: AB
  condition: {shape: [8, 8], dtype: bool}
  query: [4, 16, 8]
  key: [4, 16, 8]
  value: [4, 16, 8]
  left: [16]
  right: [16]
  mu: [16]
  logvar: [16]
  noise: [16]
blocks:
  linear_block: {params: {width: 8}, layers: [{linear: $width}]}
layers:
"""

FIRST = (
    "[16]",
    "[32, 16]",
    "[16, 8, 8]",
    "[32, 4, 8, 8]",
    "[1, 8]",
    "{shape: [16], dtype: int64}",
    "[4, 1]",
    "{shape: [8, 8], dtype: bool}",
)
SAME = ("[8, 8]", "{shape: [8, 8], dtype: bool}")
"""Inputs of several ranks and dtypes: an operator's example works on one of them."""


def test_every_word_is_explained_and_summarised() -> None:
    assert {word.name for word in WORDS} == set(word_names()) == {name for name, _ in summaries()}
    assert set(OPERATORS) <= set(word_names())
    for _, text in summaries():
        assert text
        assert "\\n" not in text


@pytest.mark.parametrize("word", WORDS, ids=[f"{word.name}-{word.kind.split()[0]}" for word in WORDS])
def test_an_entry_is_whole(word: Word) -> None:
    assert word.description.endswith((".", "`", ")")), word.description
    for argument in word.arguments:
        assert argument.type
        assert argument.description.endswith((".", "?", "…", ")")), argument
    assert sum(argument.main for argument in word.arguments) <= 1
    required = [argument.name for argument in word.arguments if argument.required]
    if len(required) > 1:
        assert all(f"{name}: " in word.example for name in required)


LAYERS = [word for word in WORDS if word.kind.startswith("operator,") or word.kind == "structure"]


@pytest.mark.parametrize("word", LAYERS, ids=[word.name for word in LAYERS])
def test_an_example_of_layers_compiles(word: Word) -> None:
    body = "".join(f"  {line}\n" for line in word.example.splitlines())
    told = []
    for first, both in product(FIRST, SAME):
        try:
            compile_source(parse_text(INPUTS.replace("IN", f"first: {first}").replace("AB", both) + body))
        except SpecError as error:
            told.append(error.diagnostics[0].message)
        else:
            return
    pytest.fail("\n".join(told))


OTHERS = [word for word in WORDS if word not in LAYERS and word.kind not in {"loss", "operator of training steps"}]


@pytest.mark.parametrize("word", OTHERS, ids=[f"{word.name}-{word.kind}" for word in OTHERS])
def test_an_example_of_a_section_is_understood(word: Word, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments are valid; a source's file needn't be there."""
    monkeypatch.chdir(tmp_path)
    diagnostics = Diagnostics()
    if word.kind.endswith("transform"):
        lines = "".join(f"  {line}\n" for line in word.example.splitlines())
        source = parse_text(f"data:\n  source: digits\n{lines}")
    else:
        source = parse_text(f"{word.example}\n")
    parse_recipe(source.data, source.spans, diagnostics, ["model"])
    wrong = [item for item in diagnostics.items if item.code in {"E0201", "E0202", "E0203", "E0206", "E0501"}]
    assert not wrong, wrong


LOSSES = [word for word in WORDS if word.kind in {"loss", "operator of training steps"}]


@pytest.mark.parametrize("word", LOSSES, ids=[word.name for word in LOSSES])
def test_an_example_of_a_loss_is_an_entry(word: Word) -> None:
    diagnostics = Diagnostics()
    source = parse_text(word.example)
    (entry,) = parse_entries(source.data, source.spans, diagnostics, where="losses")
    assert not diagnostics.items
    assert entry.operator.value == word.name
    assert len(entry.inputs or ()) == len(word.inputs or ())
