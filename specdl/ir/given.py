"""Decides which optional inputs of the networks are given: what is left has none, and no conditions.

ONNX, costs and diagrams are of a network with its inputs as they are; PyTorch's `forward` alone decides anew in
every call.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from specdl.ir.program import Function, Node, Program


def with_inputs(program: Program, absent: Collection[str] = ()) -> Program:
    """The program without the optional inputs in `absent`, and with all others."""
    if not any(value.optional for function in program.functions.values() for value in function.inputs):
        return program
    decider = _Decider(program)
    networks: dict[str, str] = {}
    for name, key in program.networks.items():
        inputs = program.functions[key].inputs
        networks[name] = decider.decide(key, frozenset(v.name for v in inputs if v.optional and v.name in absent))
    for key in program.functions:
        decider.decide(key, frozenset())
    return replace(program, functions=decider.functions, networks=networks)


class _Decider:
    """Decides functions, each once for every set of inputs that are absent; callees come first."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.functions: dict[str, Function] = {}

    def decide(self, key: str, absent: frozenset[str]) -> str:
        """The key of a function without some of its inputs."""
        new = f"{key}~{'~'.join(sorted(absent))}" if absent else key
        if new not in self.functions:
            made = self.without(self.program.functions[key], absent)
            self.functions[new] = replace(made, key=new)
        return new

    def without(self, function: Function, absent: frozenset[str]) -> Function:
        """A function without some of its inputs, and without what runs only where they are given."""
        names: dict[str, str | None] = {value.name: None for value in function.inputs if value.name in absent}
        nodes: list[Node] = []
        places: dict[int, int] = {}
        for position, node in enumerate(function.nodes):
            inputs = tuple(None if name is None else names.get(name, name) for name in node.inputs)
            present: bool | None = None if isinstance(node.callee, str) else getattr(node.callee, "present", None)
            if present is not None:  # a `choose`
                condition, value, otherwise = inputs
                names[node.outputs[0]] = value if (condition is not None) is present else otherwise
                continue
            runs = node.guard is None or (names.get(node.guard.value, node.guard.value) is not None) == node.guard.given
            if not runs:
                names.update(dict.fromkeys(node.outputs))
            if not runs and absent:
                continue
            places[position] = len(nodes)
            nodes.append(self.node(node, inputs) if runs else self.skipped(node, names))
        return replace(
            function,
            inputs=tuple(replace(value, optional=False) for value in function.inputs if value.name not in absent),
            nodes=tuple(nodes),
            outputs=tuple(names.get(name, name) or name for name in function.outputs),
            residuals=tuple(
                item.moved(places, names.get(item.source)) for item in function.residuals if item.add in places
            ),
        )

    def skipped(self, node: Node, names: dict[str, str | None]) -> Node:
        """A node that doesn't run: its weights are keys all the same."""
        inputs = tuple(None if name is None else names.get(name) or name for name in node.inputs)
        callee = self.decide(node.callee, frozenset()) if isinstance(node.callee, str) else node.callee
        return replace(node, callee=callee, inputs=inputs, guard=None, skip=True)

    def node(self, node: Node, inputs: tuple[str | None, ...]) -> Node:
        """A node that runs; a function that it calls is decided for what is given here."""
        if not isinstance(node.callee, str) or node.network is not None:
            return replace(node, inputs=inputs, guard=None)
        callee = self.program.functions[node.callee]
        left_out = [value.optional and name is None for value, name in zip(callee.inputs, inputs, strict=False)]
        absent = frozenset(value.name for value, out in zip(callee.inputs, left_out, strict=False) if out)
        kept = tuple(name for name, out in zip(inputs, left_out, strict=True) if not out)
        return replace(node, callee=self.decide(node.callee, absent), inputs=kept, guard=None)
