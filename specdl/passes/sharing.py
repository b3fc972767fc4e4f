"""Equal functions become one: the iterations of a loop, equal groups of different blocks.

Two functions are equal when they do the same with the same types under the same names; then they are
emitted once, drawn once and counted once.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from specdl.ir.program import Function, Program


def share_functions(program: Program) -> Program:
    """Points every call to the first of the functions that are equal to its callee."""
    kept: dict[str, Function] = {}
    known: dict[Hashable, str] = {}
    renamed: dict[str, str] = {}
    for key, function in program.functions.items():
        nodes = tuple(
            replace(node, callee=renamed[node.callee]) if isinstance(node.callee, str) else node
            for node in function.nodes
        )
        function = replace(function, nodes=nodes)
        first = known.setdefault(_form(function), key)
        renamed[key] = first
        if first == key:
            kept[key] = function
    networks = {name: renamed[key] for name, key in program.networks.items()}
    steps = tuple(
        replace(step, function=renamed[step.function], evaluation=renamed[step.evaluation]) for step in program.steps
    )
    sample = None if program.sample is None else renamed[program.sample]
    return replace(program, functions=kept, networks=networks, steps=steps, sample=sample)


def _form(function: Function) -> Hashable:
    """What a function does, apart from its key, its place and the names of its values."""
    if function.kind in {"network", "step", "sample"}:
        return function.key
    numbers = {value.name: index for index, value in enumerate(function.inputs)}
    nodes: list[Hashable] = []
    for node in function.nodes:
        inputs = tuple(None if name is None else numbers[name] for name in node.inputs)
        for name in node.outputs:
            numbers[name] = len(numbers)
        init = tuple(rule.meaning for rule in node.init)
        guard = None if node.guard is None else (numbers[node.guard.value], node.guard.given)
        nodes.append(
            (node.name, node.callee, inputs, len(node.outputs), node.shares, node.network, node.loop, init, guard)
        )
    return (
        # A block keeps its name in the ejected source; a group's name is its caller's business.
        function.name if function.kind == "block" else function.kind,
        tuple((value.type, value.optional) for value in function.inputs),
        tuple(nodes),
        tuple(numbers[name] for name in function.outputs),
        function.counted,
        tuple((tie.alias, tie.key) for tie in function.ties),
        tuple(rule.meaning for rule in function.init),
    )
