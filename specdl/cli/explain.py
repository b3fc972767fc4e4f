"""`specdl explain`: what a code means, with a wrong spec and the mended one; what a word of the language takes."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from specdl.catalogue import SPEC, Example, Explanation, everything, explain, nearest_code
from specdl.cli.common import json_option, print_json

if TYPE_CHECKING:
    from specdl.reference import ArgumentEntry, Word


@click.command("explain")
@click.argument("word", required=False)
@json_option
def command(word: str | None, as_json: bool) -> None:
    """Explain a WORD: the code of an error, an operator, a loss, an optimizer, …; without one, list all codes.

    Example: specdl explain conv2d
    """
    if word is None:
        listed = list(everything())
        if as_json:
            print_json({"codes": [{"code": entry.code, "title": entry.title} for entry in listed]})
            return
        for entry in listed:
            click.echo(f"{entry.code}  {entry.title}")
        return
    found = explain(word.upper())
    if found is not None:
        if as_json:
            print_json(_json(found))
        else:
            click.echo("\n".join(_text(found)))
        return
    from specdl.reference import explain_word

    words = explain_word(word)
    if not words:
        raise click.UsageError(_unknown(word))
    if as_json:
        print_json({"words": [asdict(item) for item in words]})
        return
    click.echo("\n\n\n".join("\n".join(_word(item)) for item in words))


def _unknown(word: str) -> str:
    if re.fullmatch(r"[EWew]?\d+", word):
        return f"there is no code '{word}'; did you mean {nearest_code(word)}?"
    from specdl.reference import word_names
    from specdl.spec.habits import operator_help

    help = operator_help(word, word_names())
    return f"'{word}' is no code and no word of the language; " + (help or "`specdl explain` lists all codes")


# ---- words -------------------------------------------------------------------------------------------


def _word(word: Word) -> Iterator[str]:
    yield f"{word.name}: {word.kind}"
    yield ""
    yield word.description
    facts = []
    if word.inputs is not None:
        facts.append(f"inputs: {', '.join(word.inputs) or 'none'}")
    if word.outputs != ("output",):
        facts.append(f"outputs: {', '.join(word.outputs)}")
    if word.link:
        facts.append(word.link)
    if facts:
        yield ""
        yield from facts
    if word.arguments:
        yield ""
        yield from _table(word.arguments)
    yield ""
    yield "example:"
    yield ""
    yield from _indented(word.example)


def _table(arguments: Sequence[ArgumentEntry]) -> Iterator[str]:
    """The arguments in columns; what they mean stands beneath where a line would be too long."""
    rows = [(item.name, item.type.replace("`", ""), item.default or "required") for item in arguments]
    heads = ("argument", "type", "default")
    widths = [min(max(len(row[column]) for row in (heads, *rows)), 28) for column in range(3)]
    yield "  ".join(f"{head:{width}}" for head, width in zip(heads, widths, strict=True)).rstrip()
    for item, row in zip(arguments, rows, strict=True):
        line = "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True))
        meaning = item.description + (" The main argument: it may stand alone behind the colon." if item.main else "")
        yield line.rstrip()
        yield from textwrap.wrap(meaning, 96, initial_indent="    ", subsequent_indent="    ")


# ---- codes -------------------------------------------------------------------------------------------


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
