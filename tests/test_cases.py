"""Golden cases: what the compiler makes of a spec, and what it says of a wrong one, as text.

`pytest --update-cases` writes the expected files anew; they are read in review.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from specdl.api import check, compile_source, load
from specdl.backends.diagram import emit_dot
from specdl.backends.torch_source import emit_torch
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


@pytest.mark.parametrize("path", cases("warnings"), ids=lambda path: path.stem)
def test_warnings(path: Path, update: bool) -> None:
    text = path.read_text(encoding="utf-8")
    model = compile_source(parse_text(text, path.name))
    compare(path.with_suffix(".err"), render(model.warnings, {path.name: text}) + "\n", update)


@pytest.mark.parametrize("path", cases("language"), ids=lambda path: path.stem)
def test_language(path: Path, update: bool) -> None:
    model = compile_source(parse_text(path.read_text(encoding="utf-8"), path.name))
    compare(path.with_suffix(".ir"), print_program(model.program), update)
    compare(path.with_suffix(".py"), model.source(), update)
    compare(path.with_suffix(".dot"), emit_dot(model.program), update)


@pytest.mark.parametrize("path", cases("rules"), ids=lambda path: path.stem)
def test_rules(path: Path, update: bool) -> None:
    """The rules of names, values and scopes, one case each; rule 12 is about several files: see `imports/network`."""
    model = compile_source(parse_text(path.read_text(encoding="utf-8"), path.name))
    assert not model.warnings
    keys = "".join(f"{name}: {list(value.shape)}\n" for name, value in model.module().state_dict().items())
    compare(path.with_suffix(".keys"), keys, update)
    compare(path.with_suffix(".ir"), print_program(model.program), update)
    compare(path.with_suffix(".py"), model.source(), update)


@pytest.mark.parametrize("path", cases("models"), ids=lambda path: path.stem)
def test_models(path: Path, update: bool) -> None:
    """Several networks and steps: the program, one source for all networks, a picture of each network and step."""
    program = compile_source(parse_text(path.read_text(encoding="utf-8"), path.name)).program
    compare(path.with_suffix(".ir"), print_program(program), update)
    compare(path.with_suffix(".py"), emit_torch(program).text, update)
    steps = [*(step.name for step in program.steps), *(["sample"] if program.sample else [])]
    pictures = [emit_dot(program, network=name) for name in program.networks]
    pictures += [emit_dot(program, step=name) for name in steps]
    compare(path.with_suffix(".dot"), "\n".join(pictures), update)


def folders(folder: str) -> list[Path]:
    """Cases of several files: a folder each, in which `spec.yaml` is what is compiled."""
    return sorted(path.parent for path in (CASES / folder).glob("*/spec.yaml"))


@pytest.mark.parametrize("path", folders("imports"), ids=lambda path: path.name)
def test_imports(path: Path, update: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path)
    model = load("spec.yaml")
    assert not model.warnings
    compare(path / "spec.ir", print_program(model.program), update)
    compare(path / "spec.py", model.source(), update)


@pytest.mark.parametrize("path", folders("imports/errors"), ids=lambda path: path.name)
def test_errors_of_several_files(path: Path, update: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path)
    check_it = check if path.name == "library_alone" else load
    with pytest.raises(SpecError) as error:
        check_it("spec.yaml")
    compare(path / "spec.err", render(error.value.diagnostics, error.value.texts) + "\n", update)


@pytest.mark.parametrize("path", cases("elaborate"), ids=lambda path: path.stem)
def test_networks(path: Path, update: bool) -> None:
    """The source and the picture of whole networks; tests/parity compares what they compute."""
    model = compile_source(parse_text(path.read_text(encoding="utf-8"), path.name))
    compare(path.with_suffix(".py"), model.source(), update)
    compare(path.with_suffix(".dot"), emit_dot(model.program), update)


@pytest.mark.parametrize("path", cases("text"), ids=lambda path: path.stem)
def test_language_models(path: Path, update: bool) -> None:
    """BERT, Llama and T5: the source, and the picture as it is drawn."""
    test_networks(path, update)


@pytest.mark.parametrize("path", cases("diagrams"), ids=lambda path: path.stem)
def test_diagrams(path: Path, update: bool) -> None:
    model = compile_source(parse_text(path.read_text(encoding="utf-8"), path.name))
    compare(path.with_suffix(".dot"), emit_dot(model.program), update)
