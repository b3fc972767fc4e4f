"""`specdl data`: what is in a spec's data, before training."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from specdl.cli.common import json_option, load_model, on_terminal, print_json, spec_arguments

if TYPE_CHECKING:
    from specdl.training.data_report import DataReport, FieldReport
    from specdl.training.text_report import TextReport

SHOWN = 20
"""Classes, files and duplicates that are listed as text; `--json` lists all."""


@click.command("data")
@spec_arguments
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Where to draw some examples.")
@json_option
def command(spec: str, overrides: tuple[str, ...], variant: str | None, output: Path | None, as_json: bool) -> int:
    """Look at the data of SPEC: counts, sizes, ranges, unreadable and double examples.

    With -o, some examples are drawn as their files have them and as training sees them. The exit code is 1 where
    something is wrong with the data.

    Example: specdl data specs/digits_cnn.yaml -o sheet.png
    """
    model = load_model(spec, variant, overrides)

    from specdl.training.data_report import report
    from specdl.training.examples import require_data

    recipe, data = require_data(model.recipe)
    found, loaded = report(model, recipe, data, tell=_tell if on_terminal(sys.stderr) else None)
    drawn = False
    if output is not None:
        from specdl.training.contact_sheet import choose, draw_sheet
        from specdl.training.examples import divide

        parts, _ = divide(data, loaded, found.unreadable)
        names = {name: tuple(table) for name, table in found.classes.items()}
        label = next(iter(found.classes), None)
        positions = choose(loaded, parts["train"], label, recipe.train.seed)
        drawn = draw_sheet(data, loaded, positions, recipe.train.seed, output, names)
    if as_json:
        print_json({**found.as_json(), "sheet": str(output) if drawn else None})
    else:
        for line in _text(found):
            click.echo(line)
        if output is not None:
            click.echo(f"drew {output}" if drawn else f"nothing to draw: no field of `{found.source}` is an image")
    return 1 if found.problems else 0


def _tell(done: int, count: int) -> None:
    click.echo(f"\r{done:,} of {count:,} examples", nl=False, err=True)
    if count - done < 100:
        click.echo("\r" + " " * 40 + "\r", nl=False, err=True)


def _text(found: DataReport) -> Iterator[str]:
    total = sum(found.parts.values())
    parts = ", ".join(f"{name} {count:,}" for name, count in found.parts.items())
    yield f"{found.source}: {total:,} examples: {parts}"
    for name, table in found.classes.items():
        yield ""
        yield from _class_table(name, table, list(found.parts))
    yield ""
    yield from _field_table("as the source gives them", found.fields)
    if _differ(found.fields, found.behind):
        yield ""
        yield from _field_table("behind the transforms, in evaluation", found.behind)
    for text in found.texts:
        yield ""
        yield from _text_table(text)
    if found.batch:
        yield ""
        yield "a batch of training, its first examples:"
        for row in found.batch:
            for name, value in row.items():
                yield f"  {name}: {json.dumps(value, ensure_ascii=False)}"
            yield ""
    if found.unreadable:
        yield ""
        yield f"unreadable: {len(found.unreadable):,}"
        yield from _listed([f"  {item.name}: it {item.reason}" for item in found.unreadable])
    if found.duplicates:
        yield ""
        yield f"equal examples: {_count(len(found.duplicates), 'group')}"
        lines = [
            f"  {' = '.join(item.names[:4])}{' = …' if len(item.names) > 4 else ''} ({', '.join(item.parts)})"
            for item in sorted(found.duplicates, key=lambda item: -len(item.parts))
        ]
        yield from _listed(lines)
    for problem in found.problems:
        yield ""
        yield f"problem: {problem}"


def _listed(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:SHOWN]
    if len(lines) > SHOWN:
        yield f"  … and {len(lines) - SHOWN:,} more; --json lists all"


def _class_table(field: str, table: Mapping[str, Mapping[str, int]], parts: list[str]) -> Iterator[str]:
    rows = [(name, *(f"{row[part]:,}" for part in parts)) for name, row in table.items()]
    shown = rows[:SHOWN]
    yield from _table((field, *parts), shown)
    if len(rows) > SHOWN:
        counts = [sum(row.values()) for row in table.values()]
        yield f"… {len(rows):,} classes of {min(counts):,} to {max(counts):,} examples; --json lists all"


def _field_table(title: str, fields: Mapping[str, FieldReport]) -> Iterator[str]:
    rows = [
        (name, item.type, _sizes(item), _range(item), _numbers(item.mean), _numbers(item.std))
        for name, item in fields.items()
    ]
    yield f"{title}:"
    yield from _table(("field", "type", "sizes", "range", "mean", "deviation"), rows)


def _text_table(text: TextReport) -> Iterator[str]:
    yield f"{text.field} (of `{text.source}`, tokenizer {text.tokenizer}, {text.vocabulary:,} tokens):"
    rows = [
        (
            name,
            f"{item.shortest:,}",
            f"{item.median:,}",
            f"{item.mean:,.1f}",
            f"{item.most:,}",
            f"{item.longest:,}",
            f"{item.total:,}",
        )
        for name, item in (("characters", text.characters), ("tokens", text.tokens))
    ]
    yield from _table(("length in", "least", "median", "mean", "95 %", "most", "total"), rows)
    for name, share in text.used.items():
        missing = f", {text.unknown[name]:.2%} of its tokens are unknown" if text.unknown[name] else ""
        yield f"{name}: {share:.1%} of the vocabulary occur{missing}"
    if text.cut:
        yield f"{text.cut:.1%} of the texts are as long as `max_length` allows: they may have lost their end"
    yield "most frequent: " + ", ".join(
        f"{json.dumps(token, ensure_ascii=False)} {count:,}" for token, count in text.frequent
    )


def _differ(before: Mapping[str, FieldReport], after: Mapping[str, FieldReport]) -> bool:
    def told(fields: Mapping[str, FieldReport]) -> list[tuple[str, str, list[float]]]:
        return [(name, item.type, item.mean) for name, item in fields.items()]

    return told(before) != told(after)


def _sizes(item: FieldReport) -> str:
    if not item.smallest or item.largest is None:
        return ""
    least, most = ("×".join(map(str, shape)) for shape in (item.smallest, item.largest))
    return least if least == most else f"{least} to {most}"


def _range(item: FieldReport) -> str:
    return f"{item.low:.4g} to {item.high:.4g}" if item.mean else ""


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    yield "  ".join(cell.ljust(width) for cell, width in zip(heads, widths, strict=True)).rstrip()
    for row in rows:
        cells = [
            cell.rjust(width) if cell.replace(",", "").isdigit() and column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
