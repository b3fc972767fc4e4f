"""A fuzzer guided by coverage: `python -m tests.fuzz.specs CORPUS -max_total_time=60`, with libFuzzer's options.

Bytes become a spec's text, which must compile, or be refused with coded errors that can be shown in every form.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["specdl"]):
    from specdl.api import compile_source
    from specdl.cli.findings import Finding, github_lines, sarif
    from specdl.diagnostics import SpecError, render
    from specdl.ops import all_ops
    from specdl.source import parse_text

    # Imported where they are needed, so that a small spec is checked at once: here, so that they count.
    for name in ("backends.torch_source", "elaborate.library", "elaborate.networks", "elaborate.steps", "spec.recipe"):
        importlib.import_module(f"specdl.{name}")
    all_ops()

from tests.conftest import CASES, SPECS

MAX_SEED = 3_000
"""Bytes of a seed; from long ones a fuzzer learns little."""


def check(data: bytes) -> None:
    """One input. Raises whatever isn't a `SpecError` with a code and a place."""
    text = data.decode("utf-8", "replace")
    try:
        model = compile_source(parse_text(text, "spec.yaml"))
    except SpecError as error:
        found = error.diagnostics
        assert found
    else:
        assert model.source()
        found = model.warnings
    for item in found:
        assert item.code[0] in "EW"
        assert len(item.code) == 5
        assert item.message
    assert not found or found[0].code in render(found, {"spec.yaml": text}, color=True)
    findings = [Finding("spec.yaml", item) for item in found]
    assert sarif(findings)["runs"]
    assert len(list(github_lines(findings))) == len(findings)


def fill(corpus: Path) -> None:
    """Seeds: the shipped specs and the golden cases that aren't long."""
    corpus.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate([*sorted(SPECS.rglob("*.yaml")), *sorted(CASES.rglob("*.yaml"))]):
        text = path.read_bytes()
        if len(text) <= MAX_SEED:
            (corpus / f"seed{number}").write_bytes(text)


def words() -> str:
    """libFuzzer's dictionary: the words and the signs of the language."""
    from specdl.reference import word_names
    from specdl.spec.file import SpecFile

    signs = ["$(", "- ", ": ", "{", "}", "[", "]", " = ", "(_, ", "$", "when: ", "body:", "'", '\\"', "\\x0a  - "]
    return "\n".join(f'"{word}"' for word in [*word_names(), *SpecFile.model_fields, *signs]) + "\n"


def main() -> None:
    """Runs the fuzzer over a folder."""
    corpus = Path(sys.argv[1])
    fill(corpus)
    dictionary = corpus.parent / "words.dict"
    dictionary.write_text(words(), encoding="utf-8")
    atheris.Setup([sys.argv[0], str(corpus), f"-dict={dictionary}", *sys.argv[2:]], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
