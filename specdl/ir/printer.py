"""The IR as text: what golden cases compare and `specdl show --ir` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from specdl.ir.program import Function, LossTerm, Node, Origin, Program


def print_program(program: Program) -> str:
    """Every function, callees first, then the training steps."""
    blocks = [_function(function) for function in program.functions.values()]
    for step in program.steps:
        terms = ", ".join(_term(term) for term in step.terms)
        every = "" if step.every == 1 else f" every {step.every}"
        blocks.append(f"step {step.name}: {step.function}{every} updates {', '.join(step.update)} by {terms}")
        others = ", ".join(f"{name} in {mode} mode" for name, mode in step.modes.items() if mode == "eval")
        evaluation = "" if step.evaluation == step.function else f"evaluated by {step.evaluation}"
        blocks[-1] += "".join(f", {text}" for text in (others, evaluation) if text)
    if program.sample is not None:
        blocks.append(f"sample: {program.sample}")
    blocks.extend(f"network {name}: {_origin(origin)}" for name, origin in program.origins.items())
    networks = ", ".join(f"{name} = @{key}" for name, key in program.networks.items())
    return "\n\n".join([f"program {program.name}: {networks}", *blocks]) + "\n"


def _term(term: LossTerm) -> str:
    if isinstance(term.weight, (int, float)):
        return term.name if term.weight == 1 else f"{term.weight:g} * {term.name}"
    return f"{term.weight.name} {_mapping(term.weight.given())} * {term.name}"


def _origin(origin: Origin) -> str:
    if origin.average_of is not None:
        return f"the average of {origin.average_of} with decay {origin.decay:g}"
    which = "" if origin.network is None else f"{origin.network} of "
    return f"{which}the run {origin.run}{', frozen' if origin.frozen else ''}"


def _function(function: Function) -> str:
    inputs = ", ".join(f"%{value.name}{'?' if value.optional else ''}: {value.type}" for value in function.inputs)
    bound = f" with {_mapping(function.parameters)}" if function.parameters else ""
    counted = ", counted" if function.counted else ""
    lines = [f"{function.kind} @{function.key}({inputs}){bound}{counted} {{  # line {function.span.line}"]
    lines.extend(f"  {_node(node)}" for node in function.nodes)
    for residual in function.residuals:
        names = [function.nodes[index].name for index in residual.shortcut]
        through = f" through {', '.join(names)}" if names else ""
        lines.append(f"  residual %{residual.source} -> {function.nodes[residual.add].name}{through}")
    lines.extend(f"  tie {tie.alias} -> {tie.key}  # line {tie.span.line}" for tie in function.ties)
    lines.extend(f"  init {rule.pattern}: {rule.initializer}  # line {rule.span.line}" for rule in function.init)
    inference = len(function.outputs) - function.training_outputs
    results = [
        f"{name}: %{value}{'' if index < inference else ' in training'}"
        for index, (name, value) in enumerate(zip(function.output_names, function.outputs, strict=True))
    ]
    lines.append(f"  return {', '.join(results)}")
    return "\n".join([*lines, "}"])


def _node(node: Node) -> str:
    left = ", ".join(f"%{name}" for name in node.outputs)
    last = max((place for place, name in enumerate(node.inputs) if name is not None), default=-1)
    inputs = ", ".join("-" if name is None else f"%{name}" for name in node.inputs[: last + 1])
    if isinstance(node.callee, str):
        callee, arguments = f"{node.network or ''}@{node.callee}", ""
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
            (
                f"if %{node.guard.value}{'' if node.guard.given else ' is absent'}" if node.guard else "",
                bool(node.guard),
            ),
            (f"init {{{', '.join(f'{rule.pattern}: {rule.initializer}' for rule in node.init)}}}", bool(node.init)),
        )
        if on
    )
    if node.loop is not None:
        columns = "".join(f" {_column(column)}" for column in node.loop.columns)
        arguments = f" {node.loop.count} times, {node.loop.carried} carried{',' if columns else ''}{columns}"
    return f"{left} = {callee}({inputs}){arguments} : {types}{marks}  # {node.name}, line {node.span.line}"


def _column(values: Sequence[Any]) -> str:
    shown = [*values[:3], "…", values[-1]] if len(values) > 5 else values
    return f"[{', '.join(map(_value, shown))}]"


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
