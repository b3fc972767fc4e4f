"""What a program costs: parameters, FLOPs and memory, from the IR alone.

Each function is counted once and its count reused for every call, so a thousand equal layers cost one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from specdl.diagnostics import Span
from specdl.ir.dims import Dim, evaluate
from specdl.ir.given import with_inputs
from specdl.ir.program import Function, Node, Program
from specdl.ir.state import find, parameter_keys
from specdl.ir.types import TensorType
from specdl.ops.base import Op

_BYTES = {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2, "int16": 2}


@dataclass(frozen=True, slots=True)
class CostRow:
    """One layer: `parameters` and `flops` include what is inside it. `title` is its name in a diagram."""

    path: str
    operator: str
    title: str
    type: TensorType
    parameters: int
    flops: Dim
    span: Span
    depth: int
    trainable_parameters: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a network for one example (or for the sizes that were given).

    FLOPs count two for a multiply-add, as `torch.utils.flop_counter` does. `parameter_bytes` includes
    buffers; `activation_bytes` sums the outputs of all layers, which training keeps.
    """

    parameters: int
    trainable_parameters: int
    flops: Dim
    parameter_bytes: int
    activation_bytes: Dim


@dataclass(frozen=True, slots=True)
class _Total:
    parameters: int
    flops: Dim
    bytes: int
    activations: Dim


def cost(program: Program, sizes: Mapping[str, int] | None = None, network: str | None = None) -> Cost:
    """The cost of a network at inference; `sizes` gives the symbols' values, `N` is 1 unless given.

    Optional inputs are given.
    """
    program = with_inputs(program)
    total = _function(program, program.network(network), _known(sizes), {})
    still = sum(frozen_sizes(program, network).values())
    origin = program.origins.get(network or next(iter(program.networks)))
    fixed = origin is not None and (origin.frozen or origin.average_of is not None)
    return Cost(total.parameters, 0 if fixed else total.parameters - still, total.flops, total.bytes, total.activations)


def total_cost(program: Program, sizes: Mapping[str, int] | None = None) -> Cost:
    """The cost of all networks together, each run once; an average of another has weights of its own."""
    first, *others = [cost(program, sizes, name) for name in program.networks]
    for other in others:
        first = Cost(
            first.parameters + other.parameters,
            first.trainable_parameters + other.trainable_parameters,
            first.flops + other.flops,
            first.parameter_bytes + other.parameter_bytes,
            first.activation_bytes + other.activation_bytes,
        )
    return first


def cost_rows(
    program: Program, sizes: Mapping[str, int] | None = None, network: str | None = None
) -> tuple[CostRow, ...]:
    """The cost of every layer, in order, one row for each call: this grows with the depth, `cost` doesn't."""
    program = with_inputs(program)
    rows: list[CostRow] = []
    _rows(program, program.network(network), _known(sizes), {}, "", 0, rows)
    origin = program.origins.get(network or next(iter(program.networks)))
    if origin is not None and (origin.frozen or origin.average_of is not None):
        return tuple(rows)
    below: dict[str, int] = {}
    for name, size in frozen_sizes(program, network).items():
        steps = name.split(".")
        for end in range(1, len(steps) + 1):
            path = ".".join(steps[:end])
            below[path] = below.get(path, 0) + size
    return tuple(replace(row, trainable_parameters=row.parameters - below.get(row.path, 0)) for row in rows)


def frozen_sizes(program: Program, network: str | None = None) -> dict[str, int]:
    """The frozen parameters of a network, by name, with their numbers of elements."""
    name = network or next(iter(program.networks))
    frozen = program.frozen.get(name)
    if not frozen:
        return {}
    known = parameter_keys(program.functions, program.network(name))
    return {key: math.prod(known[key][1].weight.shape) for key in known if key in frozen}


def node_cost(program: Program, node: Node, types: Mapping[str, TensorType]) -> tuple[int, Dim]:
    """The parameters of one layer and its FLOPs for one example; `types` are those of its function's values."""
    part = _node(program, node, types, _known(None), {})
    return part.parameters, part.flops


def _known(sizes: Mapping[str, int] | None) -> dict[str, Dim]:
    return {"N": 1, **(sizes or {})}


def _function(program: Program, function: Function, sizes: Mapping[str, Dim], totals: dict[str, _Total]) -> _Total:
    found = totals.get(function.key)
    if found is None:
        types = function.types()
        parameters, size = 0, 0
        flops: Dim = 0
        activations: Dim = 0
        for node in function.nodes:
            part = _node(program, node, types, sizes, totals)
            parameters += part.parameters
            size += part.bytes
            flops = flops + part.flops
            activations = activations + part.activations
        for elements, bytes in tied_weights(program, function).values():
            parameters -= elements
            size -= bytes
        found = totals[function.key] = _Total(parameters, flops, size, activations)
    return found


def _node(
    program: Program, node: Node, types: Mapping[str, TensorType], sizes: Mapping[str, Dim], totals: dict[str, _Total]
) -> _Total:
    """The cost of one node: shared weights count where they were made, and what isn't run costs no FLOPs."""
    runs = not (node.skip or node.training_only)
    if isinstance(node.callee, str):
        inner = _function(program, program.functions[node.callee], sizes, totals)
        weights, size = (inner.parameters, inner.bytes) if node.shares is None else (0, 0)
        return _Total(weights, inner.flops if runs else 0, size, inner.activations if runs else 0)
    given = [types[name] for name in node.inputs if name is not None]
    parameters, size = (0, 0) if node.shares is not None else _weights(node.callee, given)
    if not runs:
        return _Total(parameters, 0, size, 0)
    flops = evaluate(node.callee.flops(given, node.types), sizes)
    activations: Dim = 0
    for type in node.types:
        activations = activations + evaluate(type.elements * _BYTES.get(type.dtype, 1), sizes)
    return _Total(parameters, flops, size, activations)


def _weights(op: Op, types: list[TensorType]) -> tuple[int, int]:
    """The parameters of an operator, and the bytes of these and its buffers."""
    parameters = size = 0
    for weight in op.weights(*types):
        elements = math.prod(weight.shape)
        size += elements * _BYTES.get(weight.dtype, 1)
        parameters += 0 if weight.buffer else elements
    return parameters, size


def tied_weights(program: Program, function: Function) -> dict[str, tuple[int, int]]:
    """Of each key below a function that it ties to another: the parameters and bytes that are no further ones."""
    found: dict[str, tuple[int, int]] = {}
    for tie in function.ties:
        weight = find(program.functions, function, tie.alias)
        if weight is not None:
            elements = math.prod(weight.shape)
            found[tie.alias] = elements, elements * _BYTES.get(weight.dtype, 1)
    return found


def _rows(
    program: Program,
    function: Function,
    sizes: Mapping[str, Dim],
    totals: dict[str, _Total],
    prefix: str,
    depth: int,
    rows: list[CostRow],
    runs: bool = True,
    tied: Mapping[str, int] | None = None,
) -> None:
    """Adds the layers of a function; in one that isn't run at inference all cost no FLOPs.

    `tied` are keys below it that a function around it ties to others, with their parameters.
    """
    types = function.types()
    tied = {**(tied or {}), **{alias: elements for alias, (elements, _) in tied_weights(program, function).items()}}
    for node in function.nodes:
        part = _node(program, node, types, sizes, totals)
        inner = {key.partition(".")[2]: size for key, size in tied.items() if key.partition(".")[0] == node.name}
        callee = program.functions[node.callee] if isinstance(node.callee, str) else node.callee
        if isinstance(callee, Op):
            operator, title = callee.operator, " ".join(filter(None, (callee.title(), callee.details())))
        else:
            operator = title = callee.name if callee.kind == "block" else "sequence"
        path, flops = f"{prefix}{node.name}", part.flops if runs else 0
        parameters = part.parameters - (sum(inner.values()) if node.shares is None else 0)
        title += ", tied" if inner and isinstance(callee, Op) else ""
        rows.append(CostRow(path, operator, title, node.types[0], parameters, flops, node.span, depth))
        if isinstance(callee, Function) and node.shares is None:
            inside = runs and not (node.skip or node.training_only)
            _rows(program, callee, sizes, totals, f"{path}.", depth + 1, rows, inside, inner)
