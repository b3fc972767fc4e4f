"""Marks what nothing needs, and what only training needs (LANGUAGE rule 10).

A layer whose value is never read keeps its weights (they are keys of the `state_dict`) but is not run. In a
network, what only the losses read runs in training alone.
"""

from __future__ import annotations

from dataclasses import replace

from specdl.ir.program import Function, Node, Program


def mark_liveness(program: Program) -> Program:
    """Sets `skip` and `training_only` on every node."""
    functions = {key: _mark(function) for key, function in program.functions.items()}
    return replace(program, functions=functions)


def _mark(function: Function) -> Function:
    inference = len(function.outputs) - function.training_outputs
    always = _needed(function, function.outputs[:inference])
    ever = _needed(function, function.outputs)
    nodes = tuple(_node(node, index in always, index in ever) for index, node in enumerate(function.nodes))
    return replace(function, nodes=nodes)


def _node(node: Node, always: bool, ever: bool) -> Node:
    return replace(node, skip=not ever, training_only=ever and not always)


def _needed(function: Function, outputs: tuple[str, ...]) -> set[int]:
    """The positions of the nodes that some values depend on."""
    wanted = set(outputs)
    found: set[int] = set()
    for index in range(len(function.nodes) - 1, -1, -1):
        node = function.nodes[index]
        if wanted.intersection(node.outputs):
            found.add(index)
            wanted.update(name for name in node.inputs if name is not None)
    return found
