"""`specdl zoo`: the shipped specs, listed, shown and copied."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specdl.cli.common import human, json_option, on_terminal, print_json
from specdl.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    from specdl.zoo import ZooEntry


@click.group("zoo", invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the specs that come with specdl; `zoo:NAME` names one wherever a spec may stand.

    Example: specdl zoo --json
    """
    if context.invoked_subcommand is not None:
        return
    from specdl.zoo import zoo

    entries = list(zoo().values())
    if as_json:
        print_json({"specs": [_json(entry) for entry in entries]})
        return
    rows = [row for entry in entries for row in _rows(entry)]
    heads = ("spec", "variant", "parameters", "FLOPs", "year", "paper")
    widths = [max(len(line[column]) for line in (heads, *rows)) for column in range(len(heads))]
    if on_terminal(sys.stdout):
        excess = sum(widths) + 2 * (len(widths) - 1) - shutil.get_terminal_size().columns
        widths[-1] = max(len(heads[-1]), widths[-1] - max(excess, 0))
    for line in (heads, *rows):
        click.echo(_line(line, widths))


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Print the spec NAME.

    Example: specdl zoo show resnet
    """
    from specdl.zoo import zoo_file

    click.echo(zoo_file(name).read_text(encoding="utf-8"), nl=False)


@command.command("copy")
@click.argument("name")
@click.argument("folder", default=".", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Write over files that are there.")
def copy(name: str, folder: Path, force: bool) -> None:
    """Copy the spec NAME, and the files that it imports, into FOLDER.

    Example: specdl zoo copy deeplabv3 .
    """
    from specdl.api import load
    from specdl.files import write_text
    from specdl.zoo import zoo_file

    main = zoo_file(name)
    sources = sorted({main, *(Path(file) for file in load(main).spec.texts)})
    targets = {source: folder / _within(os.path.relpath(source, main.parent)) for source in sources}
    there = [target for target in targets.values() if target.exists()]
    if there and not force:
        files = ", ".join(f"`{target}`" for target in there)
        help = "another folder, or `--force` to write over it"
        raise SpecError([Diagnostic("E0031", f"{files} is there already", help=help)])
    for source, target in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, _moved(source, targets))
        click.echo(f"wrote {target}")


def _within(path: str) -> str:
    """Where a file goes that lies above the spec: `../blocks/transformer.yaml` is copied to `blocks`."""
    while path.startswith(f"..{os.sep}"):
        path = path[3:]
    return path


def _moved(source: Path, targets: Mapping[Path, Path]) -> str:
    """The text of a file, whose `imports` and `extends` lead to where the files that they name are copied."""
    from specdl.source import parse_text

    text = source.read_text(encoding="utf-8")
    data = parse_text(text, source.name).data
    for path in [*data.get("imports", ()), *[data[key] for key in ("extends",) if key in data]]:
        target = targets.get(Path(os.path.normpath(source.parent / path)))
        if target is not None:
            new = Path(os.path.relpath(target, targets[source].parent)).as_posix()
            text = re.sub(rf"(?<![\w./]){re.escape(path)}(?![\w./])", new, text)
    return text


def _json(entry: ZooEntry) -> dict[str, Any]:
    counts = {name or "default": {"parameters": pair[0], "flops": pair[1]} for name, pair in entry.counts.items()}
    return {
        "name": entry.name,
        "file": str(entry.file),
        "year": entry.year,
        "paper": entry.paper,
        "link": entry.link,
        "variants": counts,
    }


def _rows(entry: ZooEntry) -> list[tuple[str, ...]]:
    """A line for each variant; the spec as it stands where it has none."""
    counts = dict(entry.counts)
    if len(counts) > 1:
        counts.pop("", None)
    rows: list[tuple[str, ...]] = []
    for variant, (parameters, flops) in counts.items() or [("", (0, 0))]:
        first = not rows
        rows.append(
            (
                entry.name if first else "",
                variant,
                human(parameters),
                human(flops) if isinstance(flops, int) else flops,
                str(entry.year or "") if first else "",
                entry.paper if first else "",
            )
        )
    return rows


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    name, variant, *numbers, year, paper = cells
    left = [name.ljust(widths[0]), variant.ljust(widths[1])]
    right = [cell.rjust(width) for cell, width in zip(numbers, widths[2:4], strict=True)]
    title = paper if len(paper) <= widths[-1] else f"{paper[: widths[-1] - 1]}…"
    return "  ".join([*left, *right, year.ljust(widths[4]), title]).rstrip()
