"""`specdl explain`: what a code means, with a wrong spec and the mended one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from specdl.catalogue import SPEC, Example, Explanation, everything, explain, nearest_code
from specdl.cli.common import json_option, print_json


@click.command("explain")
@click.argument("code", required=False)
@json_option
def command(code: str | None, as_json: bool) -> None:
    """Explain the CODE of an error or warning; without one, list all codes.

    Example: specdl explain E0204
    """
    if code is None:
        listed = list(everything())
        if as_json:
            print_json({"codes": [{"code": entry.code, "title": entry.title} for entry in listed]})
            return
        for entry in listed:
            click.echo(f"{entry.code}  {entry.title}")
        return
    found = explain(code.upper())
    if found is None:
        close = nearest_code(code)
        hint = f"did you mean {close}?" if close else "`specdl explain` lists all codes"
        raise click.UsageError(f"there is no code '{code}'; {hint}")
    if as_json:
        print_json(_json(found))
        return
    click.echo("\n".join(_text(found)))


def _text(entry: Explanation) -> Iterator[str]:
    yield f"{entry.code}: {entry.title}"
    yield ""
    yield entry.explanation
    if entry.wrong is not None:
        yield from _example("wrong", entry.wrong)
    yield ""
    yield f"what `{entry.command}` says:" if entry.command else "the message:"
    yield ""
    yield from _indented(entry.shown())
    if entry.mended is not None:
        yield from _example("mended", entry.mended)
    if entry.remedy:
        yield ""
        yield entry.remedy


def _example(word: str, example: Example) -> Iterator[str]:
    yield ""
    yield f"{word}, with `{' '.join(example.arguments)}`:" if example.arguments else f"{word}:"
    yield ""
    for name, text in example.files.items():
        yield f"    # {name}"
        yield from _indented(text)
        yield ""
    if example.files:
        yield f"    # {SPEC}"
    yield from _indented(example.text)


def _indented(text: str) -> Iterator[str]:
    for line in text.rstrip("\n").splitlines():
        yield f"    {line}".rstrip()


def _json(entry: Explanation) -> dict[str, Any]:
    return {
        "code": entry.code,
        "severity": entry.severity,
        "title": entry.title,
        "explanation": entry.explanation,
        "wrong": None if entry.wrong is None else entry.wrong.text,
        "files": {} if entry.wrong is None else dict(entry.wrong.files),
        "arguments": [] if entry.wrong is None else list(entry.wrong.arguments),
        "command": entry.command or None,
        "message": entry.shown(),
        "mended": None if entry.mended is None else entry.mended.text,
        "mended_files": {} if entry.mended is None else dict(entry.mended.files),
        "mended_arguments": [] if entry.mended is None else list(entry.mended.arguments),
        "remedy": entry.remedy or None,
        "link": entry.link,
    }
