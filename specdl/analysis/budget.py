"""Compares what a spec's networks cost with its `budget`, and names what costs most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from specdl.analysis.cost import CostRow, cost_rows, total_cost
from specdl.diagnostics import Diagnostics, Note, Span, human
from specdl.ir.dims import Dim, evaluate
from specdl.ir.program import Program
from specdl.spec.budget import Budget, Limit

_NAMED = 5


def check_budget(program: Program, budget: Budget, bounds: Mapping[str, int], diagnostics: Diagnostics) -> None:
    """Records each limit that is exceeded. `bounds` are the largest values of symbolic sizes, where declared."""
    sizes = {**bounds, **budget.sizes}
    total = total_cost(program, sizes)
    spent: dict[str, Dim] = {
        "parameters": total.parameters,
        "flops": total.flops,
        "memory": total.activation_bytes + total.parameter_bytes,
    }
    for limit in budget.limits:
        found = spent[limit.kind]
        if not isinstance(found, int):
            names = sorted(found.symbols())
            help = f"say for which sizes: `sizes: {{{', '.join(f'{name}: 512' for name in names)}}}` under `budget`"
            message = f"the {_word(limit)} depend on {' and '.join(f'`{name}`' for name in names)}"
            diagnostics.add("E0192", message, limit.span, help=help)
        elif found > limit.amount:
            unit = "B" if limit.kind == "memory" else ""
            over = f"{human(found, unit)} {'' if unit else _word(limit)}".strip()
            diagnostics.add(
                "E0190",
                f"the network {'needs' if unit else 'has'} {over}, its budget is {limit.written}",
                limit.span,
                notes=_contributors(program, limit, sizes, found),
                help="narrower or fewer layers where most of it goes, or a larger budget",
            )


def _word(limit: Limit) -> str:
    return {"parameters": "parameters", "flops": "FLOPs", "memory": "bytes of memory"}[limit.kind]


@dataclass
class _Line:
    """What the layers of one line of the spec cost together."""

    span: Span
    path: str
    amount: int = 0
    layers: int = 0


def _contributors(program: Program, limit: Limit, sizes: Mapping[str, int], total: int) -> list[Note]:
    """The lines of the spec that cost most."""
    lines: dict[Span, _Line] = {}
    several = len(program.networks) > 1
    for network in program.networks:
        rows = cost_rows(program, dict(sizes), network)
        for index, row in enumerate(rows):
            if index + 1 < len(rows) and rows[index + 1].depth > row.depth:
                continue  # its layers are counted themselves
            amount = _amount(row, limit.kind, sizes)
            if amount:
                path = f"{network}.{row.path}" if several else row.path
                line = lines.setdefault(row.span, _Line(row.span, path))
                line.amount += amount
                line.layers += 1
    worth_naming = [line for line in lines.values() if 100 * line.amount >= total]
    largest = sorted(worth_naming, key=lambda line: -line.amount)[:_NAMED]
    return [
        Note(
            f"{line.amount / total:.0%}: `{line.path}`"
            + (f" and {line.layers - 1} more of this line" if line.layers > 1 else ""),
            line.span,
        )
        for line in largest
    ]


def _amount(row: CostRow, kind: str, sizes: Mapping[str, int]) -> int:
    found: Dim = row.parameters
    if kind == "flops":
        found = evaluate(row.flops, sizes)
    elif kind == "memory":
        found = evaluate(row.type.elements * 4, {"N": 1, **sizes}) + 4 * row.parameters
    return found if isinstance(found, int) else 0
