"""The IR as text: what golden cases compare and `specdl show --ir` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from specdl.ir.program import Function, Node, Program


def print_program(program: Program) -> str:
    """Every function, callees first, then the training steps."""
    blocks = [_function(function) for function in program.functions.values()]
    for step in program.steps:
        terms = ", ".join(term.name if term.weight == 1 else f"{term.weight:g} * {term.name}" for term in step.terms)
        blocks.append(f"step {step.name}: {step.function} updates {', '.join(step.update)} by {terms}")
    networks = ", ".join(f"{name} = @{key}" for name, key in program.networks.items())
    return "\n\n".join([f"program {program.name}: {networks}", *blocks]) + "\n"


def _function(function: Function) -> str:
    inputs = ", ".join(f"%{value.name}: {value.type}" for value in function.inputs)
    bound = f" with {_mapping(function.parameters)}" if function.parameters else ""
    counted = ", counted" if function.counted else ""
    lines = [f"{function.kind} @{function.key}({inputs}){bound}{counted} {{  # line {function.span.line}"]
    lines.extend(f"  {_node(node)}" for node in function.nodes)
    for residual in function.residuals:
        names = [function.nodes[index].name for index in residual.shortcut]
        through = f" through {', '.join(names)}" if names else ""
        lines.append(f"  residual %{residual.source} -> {function.nodes[residual.add].name}{through}")
    inference = len(function.outputs) - function.training_outputs
    results = [
        f"{name}: %{value}{'' if index < inference else ' in training'}"
        for index, (name, value) in enumerate(zip(function.output_names, function.outputs, strict=True))
    ]
    lines.append(f"  return {', '.join(results)}")
    return "\n".join([*lines, "}"])


def _node(node: Node) -> str:
    left = ", ".join(f"%{name}" for name in node.outputs)
    inputs = ", ".join("-" if name is None else f"%{name}" for name in node.inputs)
    if isinstance(node.callee, str):
        callee, arguments = f"@{node.callee}", ""
    else:
        given = node.callee.given()
        callee, arguments = node.callee.operator, f" {_mapping(given)}" if given else ""
    types = ", ".join(map(str, node.types))
    marks = "".join(
        f" {mark}"
        for mark, on in (
            (f"shares {node.shares}", node.shares is not None),
            ("in training", node.training_only),
            ("skipped", node.skip),
        )
        if on
    )
    return f"{left} = {callee}({inputs}){arguments} : {types}{marks}  # {node.name}, line {node.span.line}"


def _mapping(values: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{name}: {_value(value)}" for name, value in values.items()) + "}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, Mapping):
        return _mapping(value)
    return "null" if value is None else str(value)
