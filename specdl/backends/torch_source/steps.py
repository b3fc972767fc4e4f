"""A training step, or `sample`, as Python functions of the networks and a batch.

A step owns no weights, so the blocks and groups that it calls are written in place, one flat list of lines. The body
of a run-time loop is a function of its own, which `__run_loop` calls once an iteration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from specdl.backends.torch_source.forward import parameter_names, write_forward
from specdl.backends.torch_source.support import support_class
from specdl.backends.torch_source.text import free_variable, literal
from specdl.ir.program import Function, Node, Program, Step
from specdl.ir.types import TensorType
from specdl.ops.base import Op

LAYERS = "__layers"
"""The list, in a step's source, of modules that PyTorch has no function for. No value of a spec begins like that."""

_HEADER = """import math

import torch
import torch.nn.functional as F
from torch import nn
"""

_RUN_LOOP = '''
def __run_loop(body, models, carried, fixed, rows):
    """The outputs of the last iteration; the first of them, as many as are carried, go into the next."""
    count, outputs = len(carried), carried
    for row in rows:
        outputs = body(models, *outputs[:count], *fixed, *row)
    return outputs
'''


@dataclass(frozen=True, slots=True)
class StepSource:
    """Python text; `entry` is the function in it, of the networks and a batch (mappings by name)."""

    text: str
    entry: str


def emit_step(program: Program, step: Step, key: str) -> StepSource:
    """A training step, for its function or the one of evaluation: it gives loss terms and measured values by name."""
    function = program.functions[key]
    values = len(program.functions[step.function].outputs) - len(step.terms)
    if key == step.evaluation and key != step.function:
        values -= sum(_training_outputs(program, node) for node in program.functions[step.function].nodes)
    count = len(function.outputs) - values
    writer = _Writer(program)
    lines, outputs = writer.body(function)
    pairs = [f'"{name}": {value}' for name, value in zip(function.output_names, outputs, strict=True)]
    lines.append(f"return {{{', '.join(pairs[:count])}}}, {{{', '.join(pairs[count:])}}}")
    return writer.source(function, lines)


def emit_sample(program: Program) -> StepSource:
    """How samples are made: it gives the outputs by name. Raises `KeyError` for a program without `sample`."""
    if program.sample is None:
        raise KeyError("sample")
    function = program.functions[program.sample]
    writer = _Writer(program)
    lines, outputs = writer.body(function)
    pairs = [f'"{name}": {value}' for name, value in zip(function.output_names, outputs, strict=True)]
    lines.append(f"return {{{', '.join(pairs)}}}")
    return writer.source(function, lines)


def _training_outputs(program: Program, node: Node) -> int:
    return 0 if node.network is None else program.functions[str(node.callee)].training_outputs


class _Writer:
    """Writes the functions of a step; `layers` are the modules without weights that it needs."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.layers: list[str] = []
        self.loops: list[str] = []
        self.support: dict[str, None] = {}

    def source(self, function: Function, lines: list[str]) -> StepSource:
        """The text with the entry function that `lines` are the body of."""
        entry = f"step_{function.name}"
        models, batch = _own_names(function)
        inputs = zip(function.inputs, parameter_names(function), strict=True)
        reads = [f'{name} = {batch}["{value.name}"]' for value, name in inputs]
        parts = [_HEADER, *(support_class(name) for name in self.support)]
        parts += [_RUN_LOOP] * bool(self.loops)
        parts += [f"{LAYERS} = [{', '.join(self.layers)}]"] * bool(self.layers)
        parts += [*self.loops, _definition(entry, f"{models}, {batch}", [*reads, *lines])]
        return StepSource("\n\n".join(parts), entry)

    def body(self, function: Function) -> tuple[list[str], list[str]]:
        """The lines of a function, and the expressions of its outputs."""
        flat = flatten(self.program, function)
        types = flat.types()
        models, _ = _own_names(function)
        attributes: dict[str, str] = {}
        for node in flat.nodes:
            if node.network is not None:
                attributes[node.name] = f'{models}["{node.network}"]'
            elif isinstance(node.callee, Op):
                given = [types[name] for name in node.inputs if name is not None]
                if node.callee.torch_function(["x"] * len(given), *given) is None:
                    attributes[node.name] = self.layer(node.callee, given)
            else:
                attributes[node.name] = self.loop(node, models)
        forward = write_forward(flat, attributes, {}, returned=False)
        return [line.text for line in forward.lines], list(forward.outputs)

    def layer(self, op: Op, given: Sequence[TensorType]) -> str:
        """A module that PyTorch has no function for; it has no weights."""
        made = op.torch_module(*given)
        assert made is not None
        self.support.update(dict.fromkeys(op.support))
        self.layers.append(literal(made))
        return f"{LAYERS}[{len(self.layers) - 1}]"

    def loop(self, node: Node, models: str) -> str:
        """What to call for a loop: it takes the node's inputs."""
        function = self.program.functions[str(node.callee)]
        assert node.loop is not None
        lines, outputs = self.body(function)
        lines.append(f"return {', '.join(outputs)}{',' if len(outputs) == 1 else ''}")
        name = f"__loop_{len(self.loops)}"
        self.loops.append(_definition(name, ", ".join([_own_names(function)[0], *parameter_names(function)]), lines))
        count, carried = node.loop.count, node.loop.carried
        columns = ", ".join(literal(column) for column in node.loop.columns)
        rows = f"zip({columns})" if columns else f"[()] * {count}"
        single = "[0]" if len(node.outputs) == 1 else ""
        return f"(lambda *values: __run_loop({name}, {models}, values[:{carried}], values[{carried}:], {rows}){single})"


def _definition(name: str, parameters: str, lines: list[str]) -> str:
    return "\n".join([f"def {name}({parameters}):", *(f"    {line}" for line in lines)]) + "\n"


def _own_names(function: Function) -> tuple[str, str]:
    """What the networks and the batch are called: names that no value of the function has."""
    taken = set(function.types())
    return free_variable("models", taken), free_variable("batch", taken)


def flatten(program: Program, function: Function) -> Function:
    """The function with the blocks and groups that it calls in place; networks and loops are still calls."""
    nodes: list[Node] = []
    names: set[str] = set(function.types()) | {node.name for node in function.nodes}
    values = {name: name for name in function.types()}
    _inline(program, function, values, nodes, names, top=True)
    outputs = tuple(values[name] for name in function.outputs)
    return replace(function, nodes=tuple(nodes), outputs=outputs, residuals=())


def _inline(
    program: Program, function: Function, values: dict[str, str], nodes: list[Node], names: set[str], *, top: bool
) -> None:
    """Adds the nodes of a function; `values` maps its values to those of the flat function."""
    for node in function.nodes:
        if node.skip:
            continue
        inputs = tuple(None if name is None else values[name] for name in node.inputs)
        if isinstance(node.callee, str) and node.network is None and node.loop is None:
            callee = program.functions[node.callee]
            given = [name for name in inputs if name is not None]
            inner: dict[str, str] = dict(zip((value.name for value in callee.inputs), given, strict=True))
            _inline(program, callee, inner, nodes, names, top=False)
            values.update(zip(node.outputs, (inner[name] for name in callee.outputs), strict=False))
            continue
        if not top:
            values.update({name: _free(name, names) for name in node.outputs})
        outputs = tuple(values[name] for name in node.outputs)
        name = node.name if top else _free(node.name, names)
        nodes.append(replace(node, name=name, inputs=inputs, outputs=outputs))


def _free(name: str, taken: set[str]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found


__all__ = ["StepSource", "emit_sample", "emit_step", "flatten"]
