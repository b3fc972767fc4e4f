"""The catalogue of everything that specdl may find wrong: a code, what it means, a wrong spec and the mended one.

The entries are data, `specdl/errors/<first three characters of the code>.yaml`; `specdl explain`, `docs/errors.md`
and the rules of a SARIF report are made of them. A test holds that they agree with the codes that are emitted.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from specdl.diagnostics import Diagnostic, SpecError, nearest, render

if TYPE_CHECKING:
    from specdl.api import Model

PAGE = "https://specdl.readthedocs.io/en/latest/errors.html"
"""Where `docs/errors.md` is published; an entry's heading is its anchor."""

SPEC = "spec.yaml"
"""What the file of an example is called in its message."""


@dataclass(frozen=True, slots=True)
class Example:
    """A spec, what stands behind its name on the command line (`params.width=4`), and the files that it names."""

    text: str
    arguments: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def compile(self) -> Model:
        """The compiled example. Raises `SpecError`."""
        from specdl.api import compile_source, load
        from specdl.source import parse_text
        from specdl.spec.overrides import parse_override

        words = list(self.arguments)
        variant = words.pop(words.index("--variant") + 1) if "--variant" in words else None
        overrides = dict(parse_override(word) for word in words if word != "--variant")
        if not self.files:
            return compile_source(parse_text(self.text, SPEC), variant, overrides)
        with TemporaryDirectory() as folder, chdir(folder):
            for name, text in {**self.files, SPEC: self.text}.items():
                Path(name).write_text(text, encoding="utf-8")
            return load(SPEC, variant, overrides)

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What is wrong with the example, warnings included."""
        try:
            return self.compile().warnings
        except SpecError as error:
            return error.diagnostics


@dataclass(frozen=True, slots=True)
class Explanation:
    """One code of the catalogue.

    Where the mistake is in a spec, `wrong` and `mended` are that spec before and after. `command` is what meets the
    mistake where `check` doesn't; `message` is written here only where no spec alone gives it, with a `remedy`.
    """

    code: str
    title: str
    explanation: str
    wrong: Example | None
    mended: Example | None
    command: str
    message: str
    remedy: str

    @property
    def severity(self) -> str:
        """`error` or `warning`."""
        return "warning" if self.code.startswith("W") else "error"

    @property
    def link(self) -> str:
        """The entry in the published documentation."""
        return f"{PAGE}#{self.code.lower()}"

    def shown(self) -> str:
        """The message as a user sees it: of the wrong example, where `check` finds it, else as it is written down."""
        if self.message or self.wrong is None:
            return self.message.rstrip("\n")
        try:
            found = self.wrong.compile()
        except SpecError as error:
            return render(error.diagnostics, error.texts)
        return render(found.warnings, found.spec.texts)


def codes() -> tuple[str, ...]:
    """Every code, in order."""
    return tuple(sorted(code for prefix in _prefixes() for code in _entries(prefix)))


def explain(code: str) -> Explanation | None:
    """The entry of a code, or None for an unknown one."""
    prefix = code[:3]
    return _entries(prefix).get(code) if prefix in _prefixes() else None


def everything() -> Iterable[Explanation]:
    """All entries, in the order of their codes."""
    for prefix in _prefixes():
        yield from _entries(prefix).values()


def nearest_code(word: str) -> str | None:
    """The code that an unknown one may stand for: another spelling, or the closest number of its kind."""
    known = codes()
    digits = "".join(letter for letter in word if letter.isdigit())
    kind = "W" if word[:1].upper() == "W" else "E"
    if digits and len(digits) <= 4:
        wanted = int(digits)
        alike = [code for code in known if code[0] == kind] or list(known)
        return min(alike, key=lambda code: abs(int(code[1:]) - wanted))
    return nearest(word.upper(), known)


@cache
def _prefixes() -> tuple[str, ...]:
    folder = resources.files("specdl").joinpath("errors")
    return tuple(sorted(item.name[:3] for item in folder.iterdir() if item.name.endswith(".yaml")))


@cache
def _entries(prefix: str) -> dict[str, Explanation]:
    from specdl.source import parse_text

    text = resources.files("specdl").joinpath("errors", f"{prefix}.yaml").read_text(encoding="utf-8")
    data: dict[str, dict[str, Any]] = parse_text(text, f"{prefix}.yaml").data
    return {code: _entry(code, item) for code, item in data.items()}


def _entry(code: str, item: dict[str, Any]) -> Explanation:
    return Explanation(
        code=code,
        title=item["title"],
        explanation=item["explanation"],
        wrong=_example(item, "wrong", "arguments"),
        mended=_example(item, "mended", "mended_arguments"),
        command=item.get("command", ""),
        message=item.get("message", ""),
        remedy=item.get("remedy", ""),
    )


def _example(item: dict[str, Any], key: str, arguments: str) -> Example | None:
    if key not in item:
        return None
    files = item.get(f"{key}_files", item.get("files", {}))
    return Example(item[key], tuple(shlex.split(item.get(arguments, ""))), files)
