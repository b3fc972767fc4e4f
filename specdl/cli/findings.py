"""Mistakes in the forms that other programs read: plain data, GitHub's workflow commands, SARIF 2.1.0.

Each finding is a mistake together with the spec that was checked, since a mistake on the command line or in a file
that can't be read has no place in a file of its own, and a reader still wants to know where to look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import specdl
from specdl.catalogue import explain
from specdl.diagnostics import Diagnostic, Note, Span

FORMATS = ("text", "json", "github", "sarif")
"""What `--format` takes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake, and the spec in which (or for which) it was found."""

    spec: str
    diagnostic: Diagnostic

    @property
    def span(self) -> Span | None:
        """Where it is in a file; None for an override, whose text is its own file `<params.x=3>`."""
        return _in_file(self.diagnostic.span)

    @property
    def message(self) -> str:
        """The message with its notes' words and its help, a line each."""
        item = self.diagnostic
        where = item.span
        message = (
            f"{where.file.strip('<>')}: {item.message}" if where is not None and self.span is None else item.message
        )
        notes = [_note(note) for note in item.notes]
        return "\n".join([message, *notes, *([f"help: {item.help}"] if item.help else [])])


def _in_file(span: Span | None) -> Span | None:
    return None if span is None or span.file.startswith("<") else span


def _note(note: Note) -> str:
    return note.message if note.span is None else f"{note.message}: {note.span}"


# ---- GitHub ------------------------------------------------------------------------------------------


def github_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """Workflow commands, which a run on GitHub shows beside the line.

    https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    """
    for finding in findings:
        item, span = finding.diagnostic, finding.span
        properties = {"file": finding.spec if span is None else span.file}
        if span is not None:
            properties |= {"line": str(span.line), "col": str(span.column)}
        properties["title"] = _title(item.code)
        written = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
        yield f"::{item.severity} {written}::{_data(finding.message)}"


def _title(code: str) -> str:
    entry = explain(code)
    return code if entry is None else f"{code}: {entry.title}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


# ---- SARIF -------------------------------------------------------------------------------------------


def sarif(findings: Sequence[Finding]) -> dict[str, Any]:
    """A SARIF log of one run, with a rule for each code that was found.

    https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
    """
    codes = sorted({finding.diagnostic.code for finding in findings})
    driver = {
        "name": "specdl",
        "version": specdl.__version__,
        "semanticVersion": specdl.__version__,
        "rules": [_rule(code) for code in codes],
    }
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, codes) for finding in findings],
            }
        ],
    }


def _rule(code: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"id": code, "defaultConfiguration": {"level": "warning" if code[0] == "W" else "error"}}
    entry = explain(code)
    if entry is not None:
        rule |= {
            "shortDescription": {"text": entry.title},
            "fullDescription": {"text": entry.explanation},
            "help": {"text": f"specdl explain {code}"},
            "helpUri": entry.link,
        }
    return rule


def _result(finding: Finding, codes: Sequence[str]) -> dict[str, Any]:
    item = finding.diagnostic
    result: dict[str, Any] = {
        "ruleId": item.code,
        "ruleIndex": codes.index(item.code),
        "level": item.severity,
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": _location(finding.span, finding.spec)}],
    }
    related = [(note.message, span) for note in item.notes if (span := _in_file(note.span)) is not None]
    if related:
        result["relatedLocations"] = [
            {"id": number, "message": {"text": message}, "physicalLocation": _location(span, span.file)}
            for number, (message, span) in enumerate(related, 1)
        ]
    return result


def _location(span: Span | None, file: str) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": _uri(file if span is None else span.file)}}
    if span is not None:
        location["region"] = {
            "startLine": span.line,
            "startColumn": span.column,
            "endLine": span.end_line,
            "endColumn": span.end_column,
        }
    return location


def _uri(file: str) -> str:
    """A file's address: relative as it was given, or absolute with its scheme."""
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
