"""A parameter's value counts where it is written: its path is relative to that file, its mistake is shown there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from specdl.api import load
from specdl.diagnostics import SpecError

BASE = """
specdl: 1
name: base
params: {file: own.tsv, size: 8}
variants: {other: {file: other.tsv}}
inputs: {tokens: {shape: [T], dtype: int64}}
layers:
  - embedding: {num_embeddings: 30, embedding_dim: $size}
  - gru: 4
  - compute: _[:, -1]
  - linear: 2
data:
  source: {csv: {file: $file, header: false}}
  fields: {text: {shape: [], dtype: string, column: "1"}, label: {shape: [], dtype: int64, column: "0"}}
  transforms:
    - tokens = tokenize(text): {words: {vocabulary: 30}}
  batch_size: $size
loss: cross_entropy
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "base.yaml").write_text(BASE)
    for name in ("base/own.tsv", "base/other.tsv", "mine.tsv"):
        (tmp_path / name).write_text("0\ta cat\n1\ta dog\n" * 8)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def source(path: str, variant: str | None = None, **overrides: str) -> str:
    """The file that a spec's data comes from."""
    model = load(path, variant, {f"params.{key}": value for key, value in overrides.items()})
    assert model.recipe is not None
    assert model.recipe.data is not None
    return str(model.recipe.data.source.model_dump()["file"])


def test_a_path_is_relative_to_the_file_that_names_it(folder: Path) -> None:
    (folder / "mine.yaml").write_text("extends: base/base.yaml\nparams: {file: mine.tsv}\n")
    (folder / "as_it_is.yaml").write_text("extends: base/base.yaml\n")
    assert source("base/base.yaml") == "base/own.tsv"
    assert source("base/base.yaml", "other") == "base/other.tsv"
    assert source("base/base.yaml", file="mine.tsv") == "mine.tsv"
    assert source("mine.yaml") == "mine.tsv"
    assert source("as_it_is.yaml") == "base/own.tsv"


def test_a_mistake_is_shown_where_the_value_is_written(folder: Path) -> None:
    (folder / "mine.yaml").write_text("extends: base/base.yaml\nparams:\n  size: 0\n")
    with pytest.raises(SpecError) as error:
        load("mine.yaml")
    wrong = [item for item in error.value.diagnostics if "batch_size" in item.message]
    assert [(item.span.file, item.span.line) for item in wrong if item.span is not None] == [("mine.yaml", 3)]


def test_a_run_finds_a_file_that_an_extending_spec_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "mine.yaml").write_text("extends: base/base.yaml\nparams: {file: mine.tsv}\n")
    (folder / "run").mkdir()
    for name, text in load("mine.yaml").resolved_files().items():
        (folder / "run" / name).write_text(text)
    monkeypatch.chdir(folder / "base")
    assert source("../run/spec.yaml") == str(folder / "mine.tsv")


SOURCES = {
    "text": "text: mine.txt",
    "text for each part": "text: {files: mine.txt, validation: [held.txt, more.txt]}",
    "jsonl": "jsonl: {files: mine.jsonl, validation: held.jsonl}",
    "csv": "csv: {file: mine.tsv, root: pictures}",
}


@pytest.mark.parametrize("written", SOURCES.values(), ids=SOURCES)
def test_a_run_keeps_every_path_of_a_source_absolute(written: str, folder: Path) -> None:
    text = BASE.replace("csv: {file: $file, header: false}", written).replace('column: "1"', "column: text")
    if not written.startswith("csv"):
        text = "\n".join(line for line in text.splitlines() if "fields" not in line and "loss" not in line)
    if written.startswith("jsonl"):
        text = text.replace("  transforms", "  fields: {text: string}\n  transforms")
    (folder / "spec.yaml").write_text(text)
    (kept,) = load("spec.yaml").resolved_files().values()
    given = next(iter(yaml.safe_load(text)["data"]["source"].values()))
    found = next(iter(yaml.safe_load(kept)["data"]["source"].values()))
    arguments = {"files": given} if isinstance(given, str) else given
    for name, value in arguments.items():
        wanted = [str(folder / item) for item in value] if isinstance(value, list) else str(folder / value)
        assert found[name] == wanted
