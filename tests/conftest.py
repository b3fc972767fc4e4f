"""Options and fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from specdl.api import Model, compile_source
from specdl.source import parse_text

ROOT = Path(__file__).parent.parent
SPECS = ROOT / "specs"
CASES = ROOT / "tests" / "cases"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-cases", action="store_true", help="write the golden cases' expected files anew")


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written anew."""
    return bool(request.config.getoption("--update-cases"))


def compare(path: Path, text: str, update: bool) -> None:
    """Compares text with a golden file, or writes the file."""
    if update:
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path.name} is missing: run pytest with --update-cases and read what it writes"
    assert text == path.read_text(encoding="utf-8")


def shipped_specs() -> list[Path]:
    """The files of the zoo that have a network; those under `blocks` are libraries."""
    return sorted(path for path in SPECS.rglob("*.yaml") if "blocks" not in path.parts)


def compiled(text: str, header: str = "specdl: 1\nname: test\n") -> Model:
    """The model of a spec's text, below a header."""
    return compile_source(parse_text(header + text, "test.yaml"))


# The first example of a test may import torch; a deadline would time the import.
settings.register_profile("specdl", deadline=None)
settings.load_profile("specdl")
