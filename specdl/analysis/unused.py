"""Finds what a spec declares and nothing reads: layers, inputs, parameters. Each is a warning.

A layer that nothing reads is built, since its weights are keys of the `state_dict`, but never runs; most often a name
in a later line is another one. Only what stands in the spec's own file is told: what a file that it extends or
imports has to spare is for others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from specdl.diagnostics import Diagnostics, Span
from specdl.ir.program import Function, Node, Program
from specdl.source import SpanTree
from specdl.spec.expressions import ExpressionError, pieces
from specdl.spec.file import Spec

_WORD = re.compile(r"[A-Za-z_]\w*")


def warn_of_unused(program: Program, spec: Spec, diagnostics: Diagnostics) -> None:
    """Records the layers, inputs and parameters of a spec's own file that nothing reads.

    `program` has passed `mark_liveness`.
    """
    _layers(program, spec, diagnostics)
    _inputs(program, spec, diagnostics)
    _parameters(spec, diagnostics)


# ---- layers ------------------------------------------------------------------------------------------


def _layers(program: Program, spec: Spec, diagnostics: Diagnostics) -> None:
    """A line is told where no layer that it makes is read: in no iteration, and in no call of its block."""
    found: dict[Span, Node] = {}
    read: set[Span] = set()
    tied = _tied(program)
    for function in program.functions.values():
        if function.kind in {"step", "sample", "loop"}:
            continue
        shared = _shared(function)
        for node in function.nodes:
            serves = node.name in shared or (function.key, node.name) in tied
            if node.skip and not serves and node.span.file == spec.file:
                found.setdefault(node.span, node)
            else:
                read.add(node.span)
    for span, node in found.items():
        if span not in read:
            what = f"this `{node.callee_name}`" if node.name.isdigit() else f"`{node.name}`"
            message = f"nothing reads the value of {what}, so it never runs"
            help = "remove the line, read its value further down, or list it in `outputs`"
            diagnostics.add("W0012", message, span, severity="warning", help=help)


def _shared(function: Function) -> set[str]:
    """The layers of a function whose weights serve elsewhere too, in a `call`."""
    return {node.shares.split(".")[0] for node in function.nodes if node.shares is not None}


def _tied(program: Program) -> set[tuple[str, str]]:
    """The layers, by function and name, on the way to a weight that is another one too."""
    found: set[tuple[str, str]] = set()
    for function in program.functions.values():
        for path in (key for tie in function.ties for key in (tie.alias, tie.key)):
            here: Function | None = function
            for name in path.split("."):
                node = None if here is None else next((node for node in here.nodes if node.name == name), None)
                if here is None or node is None:
                    break
                found.add((here.key, name))
                here = program.functions.get(node.callee) if isinstance(node.callee, str) else None
    return found


# ---- inputs ------------------------------------------------------------------------------------------


def _inputs(program: Program, spec: Spec, diagnostics: Diagnostics) -> None:
    """The inputs of networks and blocks that no layer, output or expression reads."""
    for network in spec.networks:
        key = program.networks.get(network.name)
        spans = network.spans.child("inputs")
        if key is None or network.origin is not None:
            continue
        raw = spec.data if network.spans is spec.spans else spec.data.get("models", {}).get(network.name, {})
        for name in _unread([program.functions[key]], raw):
            _input(name, f"the network{f' `{network.name}`' if spec.several else ''}", spans, spec, diagnostics)
    made: dict[Span, list[Function]] = {}
    for function in program.functions.values():
        made.setdefault(function.span, []).append(function)
    for block in spec.blocks.values():
        functions = [function for function in made.get(block.span, ()) if function.kind == "block"]
        if block.inputs is None or not functions:
            continue
        spans = spec.spans.child("blocks", block.name, "inputs")
        for name in _unread(functions, spec.data["blocks"][block.name]):
            if name in {item.name for item in block.inputs}:
                place = next(item.span for item in block.inputs if item.name == name)
                _input(name, f"the block `{block.name}`", SpanTree(place), spec, diagnostics)


def _unread(functions: list[Function], raw: Any) -> Iterator[str]:
    """The inputs that none of some functions of one block reads, nor an expression in its text."""
    reads = set(_names(raw))
    found: dict[str, bool] = {}
    for function in functions:
        used = {name for node in function.nodes if not node.skip for name in node.inputs}
        for value in function.inputs:
            found[value.name] = found.get(value.name, False) or value.name in used or value.name in function.outputs
    return (name for name, is_read in found.items() if not is_read and name not in reads)


def _input(name: str, whose: str, spans: SpanTree, spec: Spec, diagnostics: Diagnostics) -> None:
    span = spans.key(name)
    if span.file == spec.file:
        message = f"nothing reads the input `{name}` of {whose}"
        diagnostics.add("W0014", message, span, severity="warning", help="remove it, or read it in a line")


# ---- parameters --------------------------------------------------------------------------------------


def _parameters(spec: Spec, diagnostics: Diagnostics) -> None:
    """The parameters of the file, and of its blocks, that no expression reads."""
    used = set(_names(spec.data))
    for name in spec.params:
        span = spec.params_spans.key(name)
        if name not in used and span.file == spec.file:
            _parameter(name, "the spec", span, diagnostics)
    shared = set(_given_by_use(spec.data))  # blocks that stand for each other have the same parameters
    for block in spec.blocks.values():
        used = shared.union(_names(spec.data["blocks"][block.name]))
        for name in block.params:
            span = block.params_spans.key(name)
            if name not in used and span.file == spec.file:
                _parameter(name, f"the block `{block.name}`", span, diagnostics)


def _parameter(name: str, whose: str, span: Span, diagnostics: Diagnostics) -> None:
    help = f"remove it, or read it: `${name}`"
    message = f"nothing reads the parameter `{name}` of {whose}"
    diagnostics.add("W0013", message, span, severity="warning", help=help)


def _given_by_use(data: Any) -> Iterator[str]:
    """The arguments under `with`, which go to whatever block a `use` names."""
    if isinstance(data, Mapping):
        if isinstance(data.get("with"), Mapping):
            yield from data["with"]
        for value in data.values():
            yield from _given_by_use(value)
    elif isinstance(data, (list, tuple)):
        for value in data:
            yield from _given_by_use(value)


def _names(data: Any) -> Iterator[str]:
    """The names that the expressions in some data read, in keys and in values."""
    if isinstance(data, str):
        if "$" in data:
            yield from _read_in(data)
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from _names(key)
            yield from _names(value)
    elif isinstance(data, (list, tuple)):
        for value in data:
            yield from _names(value)


def _read_in(text: str) -> Iterator[str]:
    """Every word of an expression: the few that are no names only keep a warning back, and nothing is parsed."""
    try:
        parts = pieces(text)
    except ExpressionError:
        return
    for part in parts:
        if part.expression:
            yield from _WORD.findall(part.text)
