"""Makes values of a step ones that a gradient can be taken with respect to.

PyTorch follows only what was marked before it was used, so each value that a `gradient` names is marked where it is
made (or given), and whatever reads it reads the marked one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from specdl.ir.program import Function, Node, Program
from specdl.ir.types import TensorType


def prepare_gradients(program: Program) -> Program:
    """Puts a `differentiable` behind each value that a `gradient` is taken with respect to."""
    functions = {key: _prepare(function) for key, function in program.functions.items()}
    return replace(program, functions=functions)


def _prepare(function: Function) -> Function:
    wanted = {
        str(node.inputs[1])
        for node in function.nodes
        if not isinstance(node.callee, str) and node.callee.operator == "gradient"
    }
    if not wanted:
        return function
    types = function.types()
    marked: dict[str, str] = {}
    nodes = [_mark(value.name, types, function, marked) for value in function.inputs if value.name in wanted]
    places: dict[int, int] = {}
    for node in function.nodes:
        places[len(places)] = len(nodes)
        inputs = tuple(None if name is None else marked.get(name, name) for name in node.inputs)
        nodes.append(replace(node, inputs=inputs))
        nodes.extend(_mark(name, types, function, marked) for name in node.outputs if name in wanted)
    return replace(
        function,
        nodes=tuple(nodes),
        outputs=tuple(marked.get(name, name) for name in function.outputs),
        residuals=tuple(item.moved(places, marked.get(item.source)) for item in function.residuals),
    )


def _mark(name: str, types: Mapping[str, TensorType], function: Function, marked: dict[str, str]) -> Node:
    """The node that marks a value; enters the marked one in `marked`."""
    from specdl.objectives.steps import Differentiable  # only programs with steps need its class

    taken = {*types, *marked.values(), *(node.name for node in function.nodes)}
    new = f"{name}_marked"
    while new in taken:
        new += "_"
    marked[name] = new
    span = next((node.span for node in function.nodes if name in node.outputs), function.span)
    return Node(new, Differentiable(), (name,), (new,), (types[name],), span)
