"""Takes away what flows into a group that doesn't read it: its layers name other values.

Whatever made that value may then be needed by nothing, and isn't run (`mark_liveness`).
"""

from __future__ import annotations

from dataclasses import replace

from specdl.ir.program import Function, Node, Program


def drop_unread_inputs(program: Program) -> Program:
    """Removes inputs of groups that nothing in them reads, in their calls too. A block keeps what it declares."""
    functions: dict[str, Function] = {}
    unread: dict[str, frozenset[int]] = {}
    for key, function in program.functions.items():  # callees first, so that one removal may lead to the next
        if any(node.callee in unread for node in function.nodes if isinstance(node.callee, str)):
            function = replace(function, nodes=tuple(_call(node, unread) for node in function.nodes))
        if function.kind in {"group", "iteration"}:
            places = _unread(function)
            if places:
                unread[key] = places
                kept = (value for index, value in enumerate(function.inputs) if index not in places)
                function = replace(function, inputs=tuple(kept))
        functions[key] = function
    return replace(program, functions=functions) if unread else program


def _call(node: Node, unread: dict[str, frozenset[int]]) -> Node:
    places = unread.get(node.callee) if isinstance(node.callee, str) else None
    if places is None:
        return node
    return replace(node, inputs=tuple(name for index, name in enumerate(node.inputs) if index not in places))


def _unread(function: Function) -> frozenset[int]:
    """The positions of the inputs that nothing in a function reads."""
    read = set(function.outputs)
    for node in function.nodes:
        read.update(name for name in node.inputs if name is not None)
        read.update(() if node.guard is None else (node.guard.value,))
    return frozenset(index for index, value in enumerate(function.inputs) if value.name not in read)
