"""`specdl summary`: a tree of layers with shapes, parameters and FLOPs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from typing import Any

import click

from specdl.analysis.cost import Cost, cost, cost_rows
from specdl.cli.common import human, json_option, load_model, on_terminal, print_json, spec_arguments
from specdl.ir.program import Program


@click.command("summary")
@spec_arguments
@click.option("--depth", type=click.IntRange(min=1), help="How many levels to show.")
@json_option
def command(spec: str, overrides: tuple[str, ...], variant: str | None, depth: int | None, as_json: bool) -> None:
    """Show the layers of SPEC. FLOPs count two for a multiply-add, for one example.

    Example: specdl summary specs/resnet.yaml --variant resnet50 --depth 2
    """
    model = load_model(spec, variant, overrides)
    if as_json:
        print_json(_json(model))
        return
    for line in _text(model, depth):
        click.echo(line)


def _json(model: Any) -> dict[str, Any]:
    """The totals of all networks, and the first one's layers; where there are several, each under `networks`."""
    total = model.cost
    names = list(model.program.networks)
    networks = [_network_json(model.program, name) for name in names]
    totals = {
        "name": model.name,
        "variant": model.spec.variant,
        "parameters": total.parameters,
        "trainable_parameters": total.trainable_parameters,
        "flops": _number(total.flops),
    }
    return {**networks[0], **totals, **({"networks": networks} if len(names) > 1 else {})}


def _network_json(program: Program, name: str) -> dict[str, Any]:
    total, network = cost(program, network=name), program.network(name)
    return {
        "name": name,
        "parameters": total.parameters,
        "trainable_parameters": total.trainable_parameters,
        "flops": _number(total.flops),
        "inputs": [
            {
                "name": item.name,
                "shape": _shape(item.type.shape),
                "dtype": item.type.dtype,
                **({"optional": True} if item.optional else {}),
            }
            for item in network.inputs
        ],
        "outputs": [
            {"name": name, "shape": _shape(type.shape), "dtype": type.dtype}
            for name, type in zip(network.output_names, network.output_types(), strict=True)
        ],
        "layers": [
            {
                "path": row.path,
                "operator": row.operator,
                "output_shape": _shape(row.type.shape),
                "parameters": row.parameters,
                "trainable_parameters": row.trainable_parameters,
                "flops": _number(row.flops),
                "line": row.span.line,
            }
            for row in cost_rows(program, network=name)
        ],
    }


def _number(value: Any) -> int | str:
    return value if isinstance(value, int) else str(value)


def _shape(shape: tuple[Any, ...]) -> list[int | str]:
    return [_number(size) for size in shape]


def _text(model: Any, depth: int | None) -> Iterator[str]:
    title = model.name if model.spec.variant is None else f"{model.name} · {model.spec.variant}"
    program: Program = model.program
    if len(program.networks) == 1:
        yield from _network_text(program, None, title, depth)
        return
    for name in program.networks:
        yield from _network_text(program, name, f"{title} · {name}", depth)
        yield ""
    yield f"all networks: {_totals(model.cost)}"


def _network_text(program: Program, network: str | None, title: str, depth: int | None) -> Iterator[str]:
    rows = [row for row in cost_rows(program, network=network) if depth is None or row.depth < depth]
    last = _last_children(rows)
    table: list[tuple[str, str, str, str, str]] = []
    open_levels: list[bool] = []
    for index, row in enumerate(rows):
        open_levels = open_levels[: row.depth]
        stem = "".join("   " if closed else "│  " for closed in open_levels)
        branch = "└─ " if last[index] else "├─ "
        open_levels.append(last[index])
        flops = human(row.flops) if isinstance(row.flops, int) else str(row.flops)
        table.append(
            (
                f"{stem}{branch}{row.path.rsplit('.', 1)[-1]}",
                row.title,
                str(row.type),
                _parameters(row),
                flops if row.flops else "",
            )
        )
    heads = ("layer", "operator", "output", "parameters", "FLOPs")
    widths = [max(len(head), *(len(line[column]) for line in table)) for column, head in enumerate(heads)]
    if on_terminal(sys.stdout):  # the operator gives way, so that no line is broken
        excess = sum(widths) + 2 * (len(widths) - 1) - shutil.get_terminal_size().columns
        widths[1] -= max(0, min(excess, widths[1] - len(heads[1])))
    values = program.network(network).inputs
    inputs = ", ".join(f"{value.name} {value.type}{' (optional)' if value.optional else ''}" for value in values)
    yield f"{title}: {inputs}"
    yield _row(heads, widths)
    yield "─" * (sum(widths) + 2 * (len(widths) - 1))
    for line in table:
        yield _row(line, widths)
    yield "─" * (sum(widths) + 2 * (len(widths) - 1))
    yield _totals(cost(program, network=network))


def _parameters(row: Any) -> str:
    """A row's parameters, and whether they are frozen."""
    if not row.parameters:
        return ""
    frozen = row.parameters - row.trainable_parameters
    mark = "" if not frozen else " frozen" if frozen == row.parameters else " partly"
    return f"{row.parameters:,}{mark}"


def _totals(cost: Cost) -> str:
    flops = human(cost.flops) if isinstance(cost.flops, int) else str(cost.flops)
    frozen = cost.parameters - cost.trainable_parameters
    extra = f" ({frozen:,} frozen)" if frozen else ""
    weights = f"{human(cost.parameter_bytes, 'B')} of weights"
    return f"{cost.parameters:,} parameters{extra} · {flops} FLOPs an example · {weights}"


def _row(cells: tuple[str, ...], widths: list[int]) -> str:
    left = [_cut(cell, width).ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
    return "  ".join([*left, *right]).rstrip()


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else f"{cell[: width - 1]}…"


def _last_children(rows: list[Any]) -> list[bool]:
    """Whether each row is the last of its level."""
    last: list[bool] = []
    for index, row in enumerate(rows):
        following = next((other.depth for other in rows[index + 1 :] if other.depth <= row.depth), -1)
        last.append(following < row.depth)
    return last
