"""The top-level key `budget`: what a network may cost, checked when the spec is compiled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from specdl.diagnostics import Diagnostics, Span, did_you_mean
from specdl.source import SpanTree
from specdl.spec.validate import show

LIMITS: dict[str, str] = {
    "parameters": "Parameters, shared ones once: `12M`.",
    "flops": "FLOPs of one example, two for a multiply-add: `2G`.",
    "memory": "Bytes of the weights and of all values of one example: `500MB`.",
}
"""What can be limited."""

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgGtT]?)(i?B)?")


@dataclass(frozen=True, slots=True)
class Limit:
    """What may be spent of one kind, as it is written, and where."""

    kind: str
    amount: int
    written: str
    span: Span


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits, and the sizes for which symbolic costs are counted."""

    limits: tuple[Limit, ...]
    sizes: Mapping[str, int]


def parse_budget(data: Any, spans: SpanTree, diagnostics: Diagnostics) -> Budget | None:
    """The section `budget`, its expressions evaluated; None after a mistake was recorded."""
    if not isinstance(data, Mapping):
        help = "e.g. `budget: {parameters: 12M, flops: 2G}`"
        diagnostics.add("E0191", f"`budget` is a mapping of limits, got {show(data)}", spans.span, help=help)
        return None
    limits: list[Limit] = []
    sizes: dict[str, int] = {}
    failed = False
    for key, value in data.items():
        if key == "sizes":
            known = isinstance(value, Mapping) and all(type(size) is int and size > 0 for size in value.values())
            failed |= not known
            if known:
                sizes = {str(name): size for name, size in value.items()}
            else:
                diagnostics.add("E0191", "`sizes` of `budget` has a number for each name", spans.at(key))
        elif key not in LIMITS:
            listing = ", ".join(f"`{name}`" for name in (*LIMITS, "sizes"))
            help = did_you_mean(str(key), (*LIMITS, "sizes")) or f"it takes {listing}"
            diagnostics.add("E0201", f"`budget` has no limit `{key}`", spans.key(key), help=help)
            failed = True
        elif (amount := parse_amount(value)) is None:
            help = "a number, or one with K, M, G or T: `12M`, `1.5G`, for memory also `500MB`, `2GiB`"
            diagnostics.add("E0191", f"`{key}` of `budget` is an amount, got {show(value)}", spans.at(key), help=help)
            failed = True
        else:
            limits.append(Limit(key, amount, str(value), spans.at(key)))
    return None if failed else Budget(tuple(limits), sizes)


def parse_amount(value: Any) -> int | None:
    """`12M` as 12,000,000 and `2GiB` as 2 × 2³⁰; None for what is no amount."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if not isinstance(value, str):
        return int(value) if value > 0 else None
    match = _AMOUNT.fullmatch(value.strip())
    if match is None:
        return None
    number, prefix, unit = match.groups()
    factor = (_BINARY if unit == "iB" else _UNITS)[prefix.lower()]
    return round(float(number) * factor) or None
