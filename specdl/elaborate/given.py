"""The keys `weights` and `freeze`, bound to the networks of a spec.

Among several networks `weights` is by network, and a pattern of `freeze` that begins with a network's name is for that
one, any other for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from specdl.diagnostics import Diagnostics, did_you_mean
from specdl.ir.program import Program
from specdl.ir.state import aliases, parameter_keys
from specdl.spec.file import Spec
from specdl.spec.weights import Weights, frozen_names, parse_weights


def bind_weights(data: Any, spec: Spec, program: Program, diagnostics: Diagnostics) -> dict[str, Weights]:
    """The section `weights` by network. Mistakes are recorded."""
    if data is None:
        return {}
    spans, span = spec.spans.child("weights"), spec.spans.key("weights")
    if not spec.several:
        found = parse_weights(data, spans, span, diagnostics)
        return {} if found is None else {next(iter(program.networks)): found}
    if not isinstance(data, Mapping) or any(name not in program.networks for name in data):
        listing = ", ".join(f"`{name}`" for name in program.networks)
        wrong = [name for name in data if name not in program.networks] if isinstance(data, Mapping) else []
        help = (did_you_mean(str(wrong[0]), program.networks) if wrong else None) or f"there are {listing}"
        place = spans.key(wrong[0]) if wrong else spans.span
        diagnostics.add("E0927", "among several networks `weights` is by network", place, help=help)
        return {}
    parsed = {name: parse_weights(item, spans.child(name), spans.key(name), diagnostics) for name, item in data.items()}
    return {name: weights for name, weights in parsed.items() if weights is not None}


def freeze(patterns: Any, spec: Spec, program: Program, diagnostics: Diagnostics) -> Program:
    """The program with its frozen parameters. Patterns that fit nothing are recorded."""
    if patterns is None:
        return program
    names: dict[str, list[str]] = {}
    for network, key in program.networks.items():
        function = program.functions[key]
        tied = aliases(program.functions, function)
        names[network] = [name for name in parameter_keys(program.functions, function) if name not in tied]
    several = len(names) > 1
    shown = [f"{network}.{name}" if several else name for network, own in names.items() for name in own]
    if several and isinstance(patterns, (list, tuple)):
        patterns = [_for_all(item, names) for item in patterns]
    found = frozen_names(patterns, shown, spec.spans.child("freeze"), diagnostics)
    if several:
        frozen = {
            network: frozenset(name for name in own if f"{network}.{name}" in found) for network, own in names.items()
        }
    else:
        frozen = dict.fromkeys(names, found)
    return replace(program, frozen={network: own for network, own in frozen.items() if own})


def _for_all(pattern: Any, networks: Mapping[str, Any]) -> Any:
    """A pattern that names no network, as one for all of them."""
    if not isinstance(pattern, str):
        return pattern
    free, rest = ("!", pattern[1:]) if pattern.startswith("!") else ("", pattern)
    first, dot, _ = rest.partition(".")
    return pattern if dot and first in networks else f"{free}*.{rest.removeprefix('*.') if rest != '*' else '*'}"
