"""What every program must satisfy, checked after elaboration and after each pass.

A failure here is a defect of the compiler, never of a spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from specdl.ir.program import Function, Node, Program
from specdl.ir.types import TensorType

if TYPE_CHECKING:
    from specdl.ops.base import Op


class InvalidProgram(AssertionError):
    """The IR is not well-formed."""


def verify(program: Program) -> Program:
    """The program itself, if it is well-formed. Raises `InvalidProgram`."""
    seen: set[str] = set()
    for key, function in program.functions.items():
        _check(key == function.key, function, f"is filed under `{key}`")
        _function(program, function, seen)
        seen.add(key)
    for name, key in program.networks.items():
        if key not in program.functions:
            raise InvalidProgram(f"network `{name}`: there is no function `{key}`")
    for step in program.steps:
        for key in (step.function, step.evaluation):
            if key not in program.functions:
                raise InvalidProgram(f"step `{step.name}`: there is no function `{key}`")
        for network in step.update:
            if network not in program.networks:
                raise InvalidProgram(f"step `{step.name}` updates `{network}`, which is no network")
        names = program.functions[step.function].output_names
        if tuple(term.name for term in step.terms) != names[: len(step.terms)]:
            raise InvalidProgram(f"step `{step.name}`: its terms are not its function's first outputs")
    return program


def _function(program: Program, function: Function, seen: set[str]) -> None:
    types = {value.name: value.type for value in function.inputs}
    _check(len(types) == len(function.inputs), function, "has two inputs of one name")
    layers: dict[str, Node] = {}
    for node in function.nodes:
        where = f"node `{node.name}`"
        _check(node.name not in layers, function, f"{where} stands twice")
        for value in node.inputs:
            _check(value is None or value in types, function, f"{where} reads `{value}` before it is made")
        _check(len(node.outputs) == len(node.types), function, f"{where} has as many types as outputs")
        _check(not (node.skip and node.training_only), function, f"{where} is skipped, and runs in training")
        given = tuple(types[value] for value in node.inputs if value is not None)
        if isinstance(node.callee, str):
            # Callees come first, so there is no recursion.
            _check(node.callee in seen, function, f"{where} calls `{node.callee}`, which does not come before it")
            callee = program.functions[node.callee]
            _check(tuple(value.type for value in callee.inputs) == given, function, f"{where} gives other input types")
            _check(callee.output_types()[: len(node.types)] == node.types, function, f"{where} has other output types")
        else:
            _check(_inferred(node.callee, given) == node.types, function, f"{where} has other types than its operator")
        if node.shares is not None:
            shared = _layer(program, layers, node.shares)
            _check(shared is not None, function, f"{where} shares `{node.shares}`, which does not come before it")
            same = shared is not None and shared.callee == node.callee
            _check(same, function, f"{where} shares `{node.shares}`, which is another layer")
        layers[node.name] = node
        for value, type in zip(node.outputs, node.types, strict=True):
            _check(value not in types, function, f"{where} makes `{value}` a second time")
            types[value] = type
    for value in function.outputs:
        _check(value in types, function, f"returns `{value}`, which nothing makes")
    _check(len(function.outputs) == len(function.output_names), function, "has as many names as outputs")
    # In a step a loss term may be called like an output of the network.
    unique = function.kind == "step" or len(set(function.output_names)) == len(function.output_names)
    _check(unique, function, "has two outputs of one name")
    # What a block or group gives is for its caller to judge; only a network knows what is for training.
    most = len(function.outputs) if function.kind == "network" else 0
    _check(0 <= function.training_outputs <= most, function, f"has {function.training_outputs} outputs in training")
    for residual in function.residuals:
        nodes = (*residual.body, *residual.shortcut, residual.add)
        inside = all(0 <= index < len(function.nodes) for index in nodes) and residual.source in types
        _check(inside, function, "has a residual between nodes or values that it lacks")


def _inferred(op: Op, given: tuple[TensorType, ...]) -> tuple[TensorType, ...] | None:
    """The types that an operator gives; None where it refuses its inputs."""
    try:
        return op.infer(*given)
    except Exception:  # noqa: BLE001 - operators lie above the IR, which doesn't know what they raise
        return None


def _layer(program: Program, layers: Mapping[str, Node], path: str) -> Node | None:
    """The layer at a path below a function; `layers` are those of its level so far."""
    first, *rest = path.split(".")
    node = layers.get(first)
    for step in rest:
        if node is None or not isinstance(node.callee, str):
            return None
        inner = program.functions[node.callee].nodes
        node = next((item for item in inner if item.name == step), None)
    return node


def _check(condition: bool, function: Function, message: str) -> None:
    if not condition:
        raise InvalidProgram(f"function `{function.key}`: {message}")
