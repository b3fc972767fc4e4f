"""What specdl says when something is wrong, and how it is shown.

Every mistake is a `Diagnostic`: a stable code, one sentence, the place in the file, and what to do.
Stages collect diagnostics instead of raising at the first one, so that one run shows every independent
mistake; `SpecError` carries them to the caller.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Severity = Literal["error", "warning"]

MAX_QUOTED = 120
"""Characters of the user's text that a message quotes."""
MAX_COLUMNS = 160
"""Characters of a line that are shown with a caret."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a file: lines and columns count from 1, the end column is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def part(self, offset: int, length: int) -> Span:
        """The `length` characters that begin `offset` characters into this span (one line only)."""
        column = self.column + offset
        return Span(self.file, self.line, column, self.line, column + max(length, 1))

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Note:
    """A further fact about a mistake, with a place of its own where it has one."""

    message: str
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake. `label` stands beside the caret; `help` says what to write instead."""

    code: str
    message: str
    span: Span | None = None
    label: str = ""
    notes: tuple[Note, ...] = ()
    help: str | None = None
    severity: Severity = "error"

    def as_json(self) -> dict[str, Any]:
        """A plain mapping with the fields of the diagnostic, for `--format json`."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "label": self.label,
            **_place(self.span),
            "notes": [{"message": note.message, **_place(note.span)} for note in self.notes],
            "help": self.help,
        }


def _place(span: Span | None) -> dict[str, Any]:
    if span is None:
        return {"file": None, "line": None, "column": None, "end_line": None, "end_column": None}
    return {
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }


class SpecError(Exception):
    """The spec (or something that it names) is wrong.

    `diagnostics` holds every mistake that was found, `texts` the files that they point into.
    """

    def __init__(self, diagnostics: Sequence[Diagnostic], texts: Mapping[str, str] | None = None) -> None:
        self.diagnostics = tuple(diagnostics)
        self.texts = dict(texts or {})
        super().__init__(render(self.diagnostics, self.texts))


class EnvironmentFailure(Exception):
    """The machine failed, not the spec: the disk is full, memory ran out, a tool is missing."""


@dataclass(slots=True)
class Diagnostics:
    """Collects mistakes during one run; the same mistake at the same place is kept once."""

    texts: dict[str, str] = field(default_factory=dict)
    items: list[Diagnostic] = field(default_factory=list)
    _seen: set[tuple[str, str, Span | None]] = field(default_factory=set)

    def add(
        self,
        code: str,
        message: str,
        span: Span | None = None,
        *,
        label: str = "",
        notes: Iterable[Note] = (),
        help: str | None = None,
        severity: Severity = "error",
    ) -> None:
        """Records one mistake."""
        key = (code, message, span)
        if key not in self._seen:
            self._seen.add(key)
            self.items.append(Diagnostic(code, _shortened(message), span, label, tuple(notes), help, severity))

    def take(self, error: SpecError, note: Note) -> None:
        """Records the mistakes of another file, each with a note that says how one got there."""
        self.texts.update(error.texts)
        for item in error.diagnostics:
            self.items.append(replace(item, notes=(*item.notes, note)))

    @property
    def failed(self) -> bool:
        """Whether an error (not only a warning) was recorded."""
        return any(item.severity == "error" for item in self.items)

    def sorted(self) -> tuple[Diagnostic, ...]:
        """The mistakes in the order of the file."""
        return tuple(sorted(self.items, key=lambda item: _order(item.span)))

    def raise_if_failed(self) -> None:
        """Raises `SpecError` with everything recorded so far if there was an error."""
        if self.failed:
            raise SpecError(self.sorted(), self.texts)


def _shortened(message: str) -> str:
    """The message on one line, with what it quotes of the user's text cut to a readable length."""
    return re.sub(rf"`([^`]{{{MAX_QUOTED}}})[^`]+`", r"`\1…`", " ".join(message.split("\n")))


def _order(span: Span | None) -> tuple[str, int, int]:
    return ("", 0, 0) if span is None else (span.file, span.line, span.column)


def human(number: int | float, unit: str = "") -> str:
    """A count as people write it: 512, 4,096, 11.69 M, 4.09 GB."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K")):
        if number >= max(size, 1e4):
            digits = 2 if number < 100 * size else 1
            return f"{number / size:.{digits}f} {prefix}{unit}"
    return f"{number:,} {unit}".rstrip()


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `word`, or None when none is close."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """`did you mean ...?` for the nearest known name, or None."""
    close = nearest(word, known)
    return f"did you mean `{close}`?" if close else None


def render(diagnostics: Iterable[Diagnostic], texts: Mapping[str, str], *, color: bool = False) -> str:
    """The diagnostics as text: message, place, the line itself with a caret, notes and help."""
    lines = {name: text.splitlines() for name, text in texts.items()}
    return "\n\n".join(_render_one(item, lines, _PAINT if color else _PLAIN) for item in diagnostics)


_PLAIN: dict[str, str] = {"error": "", "warning": "", "frame": "", "bold": "", "help": "", "end": ""}
_PAINT: dict[str, str] = {
    "error": "\x1b[1;31m",
    "warning": "\x1b[1;33m",
    "frame": "\x1b[1;34m",
    "bold": "\x1b[1m",
    "help": "\x1b[1;36m",
    "end": "\x1b[0m",
}


def _render_one(item: Diagnostic, lines: Mapping[str, Sequence[str]], paint: Mapping[str, str]) -> str:
    frame, end, bold = paint["frame"], paint["end"], paint["bold"]
    out = [f"{paint[item.severity]}{item.severity}[{item.code}]{end}{bold}: {item.message}{end}"]
    places = [span for span in (item.span, *(note.span for note in item.notes)) if span is not None]
    width = max((len(str(span.line)) for span in places), default=1)
    if item.span is not None:
        out.extend(_excerpt(item.span, item.label, lines, width, paint, "-->", paint[item.severity]))
    elif item.label:
        out.append(f"{' ' * width} {frame}={end} {item.label}")
    for note in item.notes:
        if note.span is None:
            out.append(f"{' ' * width} {frame}={end} {note.message}")
        else:
            out.append(f"{' ' * width} {frame}={end} {note.message}:")
            out.extend(_excerpt(note.span, "", lines, width, paint, "-->", paint["frame"]))
    if item.help:
        out.append(f"{' ' * width} {frame}={end} {paint['help']}help{end}: {item.help}")
    return "\n".join(out)


def _excerpt(
    span: Span,
    label: str,
    lines: Mapping[str, Sequence[str]],
    width: int,
    paint: Mapping[str, str],
    arrow: str,
    caret_color: str,
) -> list[str]:
    frame, end = paint["frame"], paint["end"]
    pad = " " * width
    out = [f"{pad}{frame}{arrow}{end} {os.fspath(span.file)}:{span.line}:{span.column}"]
    source = lines.get(span.file)
    if source is None or not 0 < span.line <= len(source):
        return [*out, f"{pad} {frame}={end} {label}"] if label else out
    text = source[span.line - 1].replace("\t", " ")
    stop = span.end_column if span.end_line == span.line else len(text.rstrip()) + 1
    length = max(1, min(stop, len(text) + 1) - span.column)
    indent = span.column - 1
    if len(text) > MAX_COLUMNS:
        # A window of a long line, which begins some words before the mistake.
        cut = max(0, min(indent - MAX_COLUMNS // 4, len(text) - MAX_COLUMNS))
        rest = "…" if cut + MAX_COLUMNS < len(text) else ""
        text, indent = ("…" if cut else "") + text[cut : cut + MAX_COLUMNS] + rest, indent - cut + bool(cut)
        length = max(1, min(length, len(text) - indent))
    marks = f"{' ' * indent}{caret_color}{'^' * length}{f' {label}' if label else ''}{end}"
    out.append(f"{pad} {frame}|{end}")
    out.append(f"{frame}{span.line:>{width}} |{end} {text}")
    out.append(f"{pad} {frame}|{end} {marks}")
    return out
