"""Golden cases: what the compiler makes of a spec, and what it says of a wrong one, as text.

`pytest --update-cases` writes the expected files anew; they are read in review.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from specdl.api import compile_source
from specdl.backends.diagram import emit_dot
from specdl.diagnostics import SpecError, render
from specdl.ir.printer import print_program
from specdl.source import parse_text
from tests.conftest import CASES, compare


def cases(folder: str) -> list[Path]:
    return sorted((CASES / folder).glob("*.yaml"))


@pytest.mark.parametrize("path", cases("errors"), ids=lambda path: path.stem)
def test_errors(path: Path, update: bool) -> None:
    text = path.read_text(encoding="utf-8")
    with pytest.raises(SpecError) as error:
        compile_source(parse_text(text, path.name))
    compare(path.with_suffix(".err"), render(error.value.diagnostics, {path.name: text}) + "\n", update)


@pytest.mark.parametrize("path", cases("language"), ids=lambda path: path.stem)
def test_language(path: Path, update: bool) -> None:
    model = compile_source(parse_text(path.read_text(encoding="utf-8"), path.name))
    compare(path.with_suffix(".ir"), print_program(model.program), update)
    compare(path.with_suffix(".py"), model.source(), update)
    compare(path.with_suffix(".dot"), emit_dot(model.program), update)


@pytest.mark.parametrize("path", cases("elaborate"), ids=lambda path: path.stem)
def test_networks(path: Path, update: bool) -> None:
    """The source and the picture of whole networks; tests/parity compares what they compute."""
    model = compile_source(parse_text(path.read_text(encoding="utf-8"), path.name))
    compare(path.with_suffix(".py"), model.source(), update)
    compare(path.with_suffix(".dot"), emit_dot(model.program), update)


@pytest.mark.parametrize("path", cases("diagrams"), ids=lambda path: path.stem)
def test_diagrams(path: Path, update: bool) -> None:
    model = compile_source(parse_text(path.read_text(encoding="utf-8"), path.name))
    compare(path.with_suffix(".dot"), emit_dot(model.program), update)
