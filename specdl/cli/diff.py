"""`specdl diff`: two architectures compared layer by layer."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from specdl.cli.common import colored, human, import_root_option, json_option, load_model, on_terminal, print_json

if TYPE_CHECKING:
    from specdl.analysis.diff import Difference, Side
    from specdl.api import Model

_MARKS = {"added": "+", "removed": "-", "changed": "~", "renamed": ">", "reshaped": "·"}
_COLORS = {"added": "green", "removed": "red", "changed": "yellow", "renamed": "cyan", "reshaped": "bright_black"}


@click.command("diff")
@click.argument("specs", nargs=-1, required=True, metavar="A [KEY=VALUE]... [B [KEY=VALUE]...]")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="The variant of both; twice: A's, then B's.")
@click.option("--network", metavar="NAME", help="Compare this network; the first unless given.")
@click.option("--all", "everything", is_flag=True, help="Show also the layers that only have other shapes.")
@import_root_option
@json_option
def command(
    specs: tuple[str, ...], variants: tuple[str, ...], network: str | None, everything: bool, as_json: bool
) -> int:
    """Compare the architectures A and B. Exit code 1 where they differ.

    One spec with two variants or overrides is compared with itself: what stands behind a spec holds for it.

    Example: specdl diff specs/resnet.yaml --variant resnet18 --variant resnet34
    """
    from specdl.analysis.cost import cost
    from specdl.analysis.diff import compare

    (before, first), (after, second) = _models(specs, variants)
    found = compare(before.program, after.program, network)
    totals = [cost(model.program, network=network) for model in (before, after)]
    if as_json:
        names = ("before", "after")
        print_json(
            {
                "equal": not found,
                **{
                    name: {"name": model.title, "parameters": total.parameters, "flops": _number(total.flops)}
                    for name, model, total in zip(names, (before, after), totals, strict=True)
                },
                "differences": [_json(item) for item in found],
            }
        )
    else:
        color = colored(sys.stdout)
        for line in _text(first, second, found, totals, everything):
            click.echo(line, color=color)
    return int(bool(found))


def _models(words: Sequence[str], variants: Sequence[str]) -> list[tuple[Model, str]]:
    """The two specs, each with the overrides behind it and its variant, and what to call them."""
    sides: list[tuple[str, list[str]]] = []
    for position, word in enumerate(words):
        if position and "=" in word:
            sides[-1][1].append(word)
        else:
            sides.append((word, []))
    if len(sides) > 2:
        raise click.UsageError(f"'{sides[2][0]}' is a third spec; two can be compared")
    if len(variants) > 2:
        raise click.UsageError("`--variant` is given once for both specs, or once for each")
    chosen = [variants[0], variants[-1]] if variants else [None, None]
    if len(sides) == 1:
        if len(set(chosen)) == 1 and not sides[0][1]:
            raise click.UsageError("name a second spec, or two variants of this one")
        # The same spec, as it is and with the overrides.
        sides = [(sides[0][0], []), sides[0]] if len(set(chosen)) == 1 else [sides[0], sides[0]]
    models = [load_model(spec, variant, given) for (spec, given), variant in zip(sides, chosen, strict=True)]
    names = [f"{model.title} {' '.join(given)}".rstrip() for model, (_, given) in zip(models, sides, strict=True)]
    return list(zip(models, names, strict=True))


def _number(value: Any) -> int | str:
    return value if isinstance(value, int) else str(value)


def _json(item: Difference) -> dict[str, Any]:
    def side(value: Side | None) -> dict[str, Any] | None:
        if value is None:
            return None
        return {
            "path": value.path,
            "operator": value.operator,
            "output": value.shape,
            "parameters": value.parameters,
            "flops": _number(value.flops),
            "line": value.line,
        }

    details = [{"what": what, "before": old, "after": new} for what, old, new in item.details]
    return {
        "kind": item.kind,
        "before": side(item.before),
        "after": side(item.after),
        "details": details,
        "times": item.times,
    }


def _text(
    before: str, after: str, found: Sequence[Difference], totals: Sequence[Any], everything: bool
) -> Iterator[str]:
    if not found:
        yield f"{before} and {after} have the same layers"
        return
    yield f"{before} → {after}"
    shown = [item for item in found if everything or item.kind != "reshaped"]
    paths = [_path(item) for item in shown]
    width = max((len(path) for path in paths), default=0)
    limit = shutil.get_terminal_size().columns if on_terminal(sys.stdout) else 0
    for item, path in zip(shown, paths, strict=True):
        line = f"  {_MARKS[item.kind]} {path.ljust(width)}  {_what(item)}".rstrip()
        if limit and len(line) > limit:
            line = f"{line[: limit - 1]}…"
        yield click.style(line, fg=_COLORS[item.kind])
    yield ""
    yield f"parameters  {_change(totals[0].parameters, totals[1].parameters)}"
    yield f"FLOPs       {_change(totals[0].flops, totals[1].flops)}"
    yield _counts(found, everything)


def _path(item: Difference) -> str:
    side = item.after or item.before
    assert side is not None
    path = side.path
    if item.kind == "renamed" and item.before is not None:
        path = f"{item.before.path} → {path}"
    return path if item.times == 1 else f"{path} ×{item.times}"


def _what(item: Difference) -> str:
    one, other = item.before, item.after
    if one is None or other is None:
        side = one or other
        assert side is not None
        weights = f"{side.parameters:,} parameters" if side.parameters else ""
        return ", ".join(filter(None, (side.title, side.shape, weights)))
    words = [other.title if one.operator == other.operator else f"{one.title} → {other.title}"]
    words += [f"{what} {old} → {new}" for what, old, new in item.details]
    if one.shape != other.shape:
        words.append(f"{one.shape} → {other.shape}")
    if one.parameters != other.parameters:
        words.append(f"{one.parameters:,} → {other.parameters:,} parameters")
    return ", ".join(words)


def _change(before: Any, after: Any) -> str:
    words = [human(value) if isinstance(value, int) else str(value) for value in (before, after)]
    if before == after:
        return words[0]
    share = ""
    if isinstance(before, int) and isinstance(after, int) and before:
        share = f"  ({100 * (after - before) / before:+.1f} %)"
    return f"{' → '.join(words)}{share}"


def _counts(found: Sequence[Difference], everything: bool) -> str:
    count = {kind: sum(item.times for item in found if item.kind == kind) for kind in _MARKS}
    told = ", ".join(f"{count[kind]} {kind}" for kind in _MARKS if kind != "reshaped" and count[kind])
    rest = count["reshaped"]
    others = f"{rest} {'layer has' if rest == 1 else 'layers have'} other shapes only" if rest else ""
    hint = "" if everything or not rest else " (--all shows them)"
    return "; ".join(filter(None, (told, others + hint if others else "")))
