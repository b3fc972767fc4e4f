"""`specdl fmt`: specs in canonical style, their comments kept."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

import click

from specdl.cli.common import show_diagnostics
from specdl.diagnostics import SpecError


@click.command("fmt")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if a file isn't in this style.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
def command(specs: tuple[str, ...], check: bool, diff: bool) -> int:
    """Format SPECs in place; `-` reads stdin and writes stdout, a folder means the specs in it.

    Example: specdl fmt specs/resnet.yaml
    """
    from specdl.files import write_text
    from specdl.formatting import format_text

    failed = False
    changed = 0
    files = [file for name in specs for file in _files(name)]
    for file in files:
        try:
            before = _read(file)
            after = format_text(before, file)
        except SpecError as error:
            show_diagnostics(error)
            failed = True
            continue
        if file == "-" and not (check or diff):
            click.echo(after, nl=False)
            continue
        if after == before:
            continue
        changed += 1
        if diff:
            lines = difflib.unified_diff(before.splitlines(), after.splitlines(), file, file, lineterm="")
            click.echo("\n".join(lines))
        elif check:
            click.echo(f"would change {file}")
        else:
            write_text(file, after)
            click.echo(f"formatted {file}")
    if len(files) > 1 or not changed:
        same = len(files) - changed
        click.echo(f"{changed} changed, {same} already in style", err=True)
    return int(failed or (changed > 0 and (check or diff)))


def _files(name: str) -> list[str]:
    """The specs that a word names."""
    path = Path(name)
    if name == "-" or not path.is_dir():
        return [name]
    return sorted(str(file) for ending in ("*.yaml", "*.yml") for file in path.rglob(ending) if file.is_file())


def _read(file: str) -> str:
    from specdl.source import load_source, parse_text

    if file == "-":
        text = sys.stdin.read()
        return parse_text(text, "<stdin>").text
    load_source(file)  # its limits, and what is wrong with it
    return Path(file).read_text(encoding="utf-8-sig")
