"""Every example in the documentation compiles, and what is generated is up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from specdl.api import Library, check, compile_source, load
from specdl.diagnostics import SpecError
from specdl.source import parse_text
from tests.conftest import ROOT

EXAMPLE = re.compile(r"((?:^<!-- (?:spec|file): [^\n]* -->\n)*)^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"<!-- file: (.*) -->")


def pages() -> list[Path]:
    return [
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "docs" / "tutorials").glob("*.md")),
    ]


def examples() -> list[tuple[str, str]]:
    """Every YAML example of one file: whole specs as they are, lists of layers under the header in their comment."""
    found: list[tuple[str, str]] = []
    for path in pages():
        for number, match in enumerate(EXAMPLE.finditer(path.read_text(encoding="utf-8"))):
            header, text = match.groups()
            if FILE.search(header):
                continue
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


WRONG = re.compile(r"^```yaml wrong\n(.*?)^```\n\n```text\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_tour_shows_what_is_ejected() -> None:
    before, after = (ROOT / "docs" / "language-tour.md").read_text(encoding="utf-8").split("<!-- ejected -->\n")
    _, spec = EXAMPLE.findall(before)[-1]
    shown = re.match(r"```python\n(.*?)^```", after, re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert shown.group(1) in compile_source(parse_text(spec)).source()


def test_the_tour_shows_what_is_said_of_mistakes() -> None:
    found = WRONG.findall((ROOT / "docs" / "language-tour.md").read_text(encoding="utf-8"))
    assert len(found) == 2
    for spec, shown in found:
        with pytest.raises(SpecError) as error:
            compile_source(parse_text(spec, "spec.yaml"))
        assert str(error.value) + "\n" == shown


def test_the_readme_shows_a_mistake_as_the_tour_does() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8").replace("mine.yaml", "spec.yaml")
    shown = re.search(r"```\n(error\[.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert shown.group(1) in (ROOT / "docs" / "language-tour.md").read_text(encoding="utf-8")


def example_files() -> dict[Path, dict[str, str]]:
    """Of each page, the examples that are files of their own: they may import and extend each other."""
    found: dict[Path, dict[str, str]] = {}
    for path in pages():
        for header, text in EXAMPLE.findall(path.read_text(encoding="utf-8")):
            if name := FILE.search(header):
                found.setdefault(path, {})[name.group(1)] = text
    return found


@pytest.mark.parametrize(("page", "files"), example_files().items(), ids=[page.name for page in example_files()])
def test_examples_of_several_files_compile(page: Path, files: dict[str, str], tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    for name in files:
        model = check(tmp_path / name)
        if isinstance(model, Library):
            continue
        assert model.source()
        assert not model.warnings
        for variant in model.spec.variants:
            assert load(tmp_path / name, variant).parameters


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
    from docs import generate

    return list(generate.pages())


@pytest.mark.parametrize(("path", "text"), generated(), ids=lambda value: value.name if isinstance(value, Path) else "")
def test_generated_pages_are_up_to_date(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run `make docs`"
