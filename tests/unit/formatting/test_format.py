"""Canonical style keeps data and comments, and is its own canonical style."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specdl.diagnostics import SpecError
from specdl.formatting import format_text
from specdl.formatting.nodes import read_comments, read_nodes
from specdl.source import parse_text
from tests.conftest import CASES, ROOT, compare

RIGHT = sorted(path for path in CASES.rglob("*.yaml") if path.parent.name != "fmt")


def test_an_untidy_spec(update: bool) -> None:
    text = (CASES / "fmt" / "untidy.yaml").read_text(encoding="utf-8")
    compare(CASES / "fmt" / "untidy.out", format_text(text), update)


@pytest.mark.parametrize("path", RIGHT, ids=[str(path.relative_to(CASES)) for path in RIGHT])
def test_every_case_keeps_its_meaning(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    try:
        before = parse_text(text).data
    except SpecError:
        return
    after = format_text(text)
    assert repr(parse_text(after).data) == repr(before)
    assert format_text(after) == after


def test_the_shipped_specs_are_in_style() -> None:
    for path in sorted((ROOT / "specs").rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        assert format_text(text) == text, path.name


PLAIN = st.sampled_from(["1", "x", "'a # b'", '"c"', "1e-3", "$width", "$(a + 1)", "null", "a word"])
COMMENT = st.sampled_from(["", "", "  # why", " #"])
LEAD = st.sampled_from(["", "", "# above\n", "\n", "\n\n# two\n# lines\n"])


def _indented(text: str, by: str) -> str:
    return "".join(f"{by}{line}\n" if line.strip() else "\n" for line in text.splitlines())


@st.composite
def blocks(draw: st.DrawFn, depth: int = 0) -> str:
    """Some lines of a mapping, untidy, with comments wherever YAML lets one be."""
    lines: list[str] = []
    step = " " * draw(st.integers(1, 5))
    for index in range(draw(st.integers(1, 3))):
        lines.append(draw(LEAD))
        key = f"k{index}"
        kind = draw(st.integers(0, 3 if depth < 3 else 1))
        if kind == 0:
            lines.append(f"{key}:  {draw(PLAIN)}{draw(COMMENT)}\n")
        elif kind == 1:
            lines.append(f"{key}: [{draw(PLAIN)},{draw(PLAIN)}  ,{{a: {draw(PLAIN)}}}]{draw(COMMENT)}\n")
        elif kind == 2:
            lines.append(f"{key}:{draw(COMMENT)}\n{_indented(draw(blocks(depth + 1)), step)}")
        else:
            inner = _indented(draw(blocks(depth + 1)).strip("\n"), "  ").strip("\n")
            lead = "- " if inner.lstrip().startswith("k") else "-\n"
            body = inner.lstrip() if lead == "- " else inner
            lines.append(f"{key}:{draw(COMMENT)}\n{_indented(f'{lead}{body}', step)}")
    return "".join(lines)


@given(blocks())
def test_random_texts_keep_data_and_comments(text: str) -> None:
    try:
        before = parse_text(text).data
    except SpecError:
        return
    after = format_text(text)
    assert repr(parse_text(after).data) == repr(before)
    kept = [
        sorted(item.text for item in read_comments(source, read_nodes(source)) if item.text) for source in (text, after)
    ]
    assert kept[0] == kept[1]
    assert format_text(after) == after


def test_what_is_no_yaml_is_an_error() -> None:
    with pytest.raises(SpecError, match="E0152"):
        format_text("a: [1\n")
