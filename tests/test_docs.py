"""Every example in the documentation compiles, and what is generated is up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from specdl.api import compile_source
from specdl.source import parse_text
from tests.conftest import ROOT

EXAMPLE = re.compile(r"((?:^<!-- spec: [^\n]* -->\n)*)^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, str]]:
    """Every YAML example: whole specs as they are, lists of layers under the header in the comment above."""
    found: list[tuple[str, str]] = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for number, match in enumerate(EXAMPLE.finditer(path.read_text(encoding="utf-8"))):
            header, text = match.groups()
            if not text.startswith("specdl:"):
                keys = re.findall(r"<!-- spec: (.*) -->", header)
                indented = "".join(f"  {line}\n" for line in text.splitlines())
                text = "\n".join(["specdl: 1", *keys, "layers:", indented])
            found.append((f"{path.name}:{number}", text))
    return found


@pytest.mark.parametrize(("name", "text"), examples(), ids=[name for name, _ in examples()])
def test_examples_compile(name: str, text: str) -> None:
    model = compile_source(parse_text(text, name))
    assert model.source()
    for variant in model.spec.variants:
        assert compile_source(parse_text(text, name), variant).parameters


def test_the_readme_shows_the_demo_as_it_is() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    spec = (ROOT / "specs" / "digits_cnn.yaml").read_text(encoding="utf-8")
    body = "".join(line for line in spec.splitlines(keepends=True) if not line.startswith("#"))
    assert f"```yaml\n{body}```" in readme


def test_links_lead_somewhere() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", path.read_text(encoding="utf-8")):
            name = target[0] or target[1]
            if "://" not in name:
                assert (path.parent / name).exists(), f"{path.name} links to {name}"


def generated() -> list[tuple[Path, str]]:
    from docs.generate import pages

    return list(pages())


@pytest.mark.parametrize(("path", "text"), generated(), ids=lambda value: value.name if isinstance(value, Path) else "")
def test_generated_pages_are_up_to_date(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run `make docs`"
