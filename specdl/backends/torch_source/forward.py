"""The body of `forward`: one line a node, with the variable names that a person would choose.

A value that only flows on is called `x` and its name is used again, which reads well and frees memory
early; a value that the spec names and needs later keeps its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from specdl.backends.torch_source.text import free_variable, variable_name
from specdl.diagnostics import Span
from specdl.ir.program import Function, Guard, Node
from specdl.ir.types import TensorType
from specdl.ops.base import Op
from specdl.ops.choose import Choose

_FLOWING = ("x", "y", "z", "u", "v", "w")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of `forward` without indentation; `comment` is a shape, shown where it is the same for every use."""

    text: str
    span: Span
    comment: str = ""
    training_only: bool = False
    indent: int = 0


@dataclass(frozen=True, slots=True)
class Forward:
    """The parameters of `forward` and its lines. `outputs` are the expressions of what it gives."""

    inputs: tuple[str, ...]
    lines: tuple[Line, ...]
    outputs: tuple[str, ...] = ()


def parameter_names(function: Function) -> tuple[str, ...]:
    """What `forward` calls its inputs: a group's first input is `x`, whatever it was called outside."""
    names = [value.name for value in function.inputs]
    if function.kind in {"group", "iteration"} and names and "x" not in names:
        names[0] = "x"
    for index, name in enumerate(names):
        names[index] = free_variable(name, names[:index] + names[index + 1 :])
    return tuple(names)


class _Variables:
    """Which value each Python variable holds while lines are written."""

    def __init__(self, function: Function, run: Sequence[Node]) -> None:
        self.last_use: dict[str, int] = {}
        for position, node in enumerate(run):
            for name in (*node.inputs, None if node.guard is None else node.guard.value):
                if name is not None:
                    self.last_use[name] = position
        self.last_use.update(dict.fromkeys(function.outputs, len(run)))
        self.crowded = {name for node in run if len(_given(node)) > 2 for name in _given(node)}
        self.held: dict[str, str] = {}
        for value, name in zip(function.inputs, parameter_names(function), strict=True):
            self.held[value.name] = name

    def alive(self, position: int) -> set[str]:
        """The variables whose values are read after `position`."""
        return {variable for value, variable in self.held.items() if self.last_use.get(value, -1) > position}

    def assign(self, value: str, node: Node, position: int, first: bool) -> str:
        """The variable for a value that the node at `position` makes."""
        if value not in self.last_use:
            return "_"
        taken = self.alive(position)
        named = not first or not _automatic(node) or (len(node.outputs) > 1 and value != node.name)
        kept = self.last_use[value] > position + 1 or not first or value in self.crowded
        if named and kept and variable_name(value) and value not in taken:
            variable = value
        else:
            variable = next((name for name in _FLOWING if name not in taken), free_variable(value, taken))
        self.held = {key: held for key, held in self.held.items() if held != variable}
        self.held[value] = variable
        return variable


def _given(node: Node) -> list[str]:
    """The inputs of a node without those that were left out."""
    return [name for name in node.inputs if name is not None]


def _automatic(node: Node) -> bool:
    """Whether the layer's name came from its operator or block, not from the spec; a group is always named."""
    if isinstance(node.callee, str) and "/" in node.callee:
        return node.name.isdigit()
    return node.name.isdigit() or re.fullmatch(rf"{re.escape(node.callee_name)}(_\d+)?", node.name) is not None


def write_forward(
    function: Function, attributes: Mapping[str, str], loops: Mapping[int, int], *, returned: bool = True
) -> Forward:
    """The forward of a function; without a `return` where the caller writes that, from `outputs`.

    `attributes` gives the Python expression of each node's module (`self.conv1`) where it has one. `loops`
    maps the position of a node that begins a run of equal calls to the length of the run.
    """
    run = [node for node in function.nodes if not node.skip]
    variables = _Variables(function, run)
    types = function.types()
    lines: list[Line] = []
    position = 0
    while position < len(run):
        node = run[position]
        if _condition(node) is not None:
            end = _region(run, position)
            _conditional(run, position, end, attributes, variables, types, lines)
            position = end
            continue
        count = loops.get(position, 1)
        if count > 1:
            _loop(run, position, count, attributes, variables, types, lines)
            position += count
            continue
        if _in_place(node, attributes, variables):
            position += 1
            continue
        arguments = ["None" if name is None else variables.held[name] for name in node.inputs]
        expression = _expression(node, arguments, attributes, types)
        last = returned and position == len(run) - 1
        if last and len(function.outputs) == 1 and node.outputs[0] == function.outputs[0] and not node.training_only:
            unused = len(node.outputs) > 1
            if not unused:
                lines.append(Line(f"return {expression}", node.span, _comment(node, types)))
                return Forward(parameter_names(function), tuple(lines))
        several = isinstance(node.callee, str) and len(node.outputs) > 1  # an LSTM gives `output, (h, c)`
        if last and several and node.outputs == function.outputs and not function.training_outputs:
            lines.append(Line(f"return {expression}", node.span))
            return Forward(parameter_names(function), tuple(lines))
        targets = [variables.assign(name, node, position, index == 0) for index, name in enumerate(node.outputs)]
        left = node.callee.torch_targets(targets) if isinstance(node.callee, Op) else ", ".join(targets)
        if f"{left}" != expression:
            lines.append(Line(f"{left} = {expression}", node.span, _comment(node, types), node.training_only))
        position += 1
    if returned:
        lines.extend(_returns(function, variables))
    outputs = tuple(variables.held[value] for value in function.outputs)
    return Forward(parameter_names(function), tuple(lines), outputs)


def _in_place(node: Node, attributes: Mapping[str, str], variables: _Variables) -> bool:
    """Whether the node's value is written where it is used: a parameter, a number."""
    if isinstance(node.callee, Op) and (node.callee.stored or node.callee.inline):
        text = attributes[node.name] if node.callee.stored else str(node.callee.torch_function(()))
        variables.held[node.outputs[0]] = text
        return True
    return False


def _condition(node: Node) -> Guard | None:
    """What a node depends on: its guard, or the condition of a `choose`."""
    if isinstance(node.callee, Choose):
        return Guard(str(node.inputs[0]), node.callee.present)
    return node.guard


def _region(run: Sequence[Node], start: int) -> int:
    """The end of the run of nodes that depend on the same condition."""
    first, end = run[start], start + 1
    while (
        end < len(run) and _condition(run[end]) == _condition(first) and run[end].training_only == first.training_only
    ):
        end += 1
    return end


def _conditional(
    run: Sequence[Node],
    start: int,
    end: int,
    attributes: Mapping[str, str],
    variables: _Variables,
    types: Mapping[str, TensorType],
    lines: list[Line],
) -> None:
    """Nodes that run only where an optional input is given (or isn't), as the body of an `if`.

    A `choose` is the variable of the value from before, which the body may give the new one.
    """
    condition = _condition(run[start])
    assert condition is not None
    test = f"if {variables.held[condition.value]} is {'not ' if condition.given else ''}None:"
    before: list[Line] = []
    inside: list[Line] = []
    training = run[start].training_only
    chosen = {str(node.inputs[1]): node for node in reversed(run[start:end]) if isinstance(node.callee, Choose)}

    def settle(node: Node, position: int) -> str:
        """The variable of a `choose`."""
        result, old = node.outputs[0], str(node.inputs[2])
        variable = variables.held.get(result)
        if variable is None:
            kept = variables.held[old]
            if kept.isidentifier() and variables.last_use[old] <= run.index(node):
                variables.held[result] = variable = kept
            else:
                variable = variables.assign(result, node, start - 1, True)
                before.append(Line(f"{variable} = {kept}", node.span, training_only=training))
        return variable

    for position in range(start, end):
        node = run[position]
        if isinstance(node.callee, Choose):
            variable = settle(node, position)
            value = variables.held[str(node.inputs[1])]
            if value != variable:
                inside.append(Line(f"{variable} = {value}", node.span, training_only=training, indent=1))
            continue
        if _in_place(node, attributes, variables):
            continue
        arguments = ["None" if name is None else variables.held[name] for name in node.inputs]
        expression = _expression(node, arguments, attributes, types)
        targets: list[str] = []
        for index, name in enumerate(node.outputs):
            if name in chosen:
                targets.append(settle(chosen[name], position))
                variables.held[name] = targets[-1]
                continue
            targets.append(variables.assign(name, node, position, index == 0))
            if any(name in later.inputs and _condition(later) != condition for later in run[end:]):
                before.append(Line(f"{targets[-1]} = None", node.span, training_only=training))
        left = node.callee.torch_targets(targets) if isinstance(node.callee, Op) else ", ".join(targets)
        comment = _comment(node, types)
        inside.append(Line(f"{left} = {expression}", node.span, comment, training, indent=1))
    lines.extend(before)
    if inside:
        lines.append(Line(test, run[start].span, training_only=training))
        lines.extend(inside)


def _returns(function: Function, variables: _Variables) -> list[Line]:
    names = [variables.held[value] for value in function.outputs]
    inference = names[: len(names) - function.training_outputs]
    lines: list[Line] = []
    if function.training_outputs:
        lines.append(Line(f"return {', '.join(names)}", function.span, training_only=True))
    lines.append(Line(f"return {', '.join(inference)}", function.span))
    return lines


def _expression(
    node: Node, arguments: Sequence[str], attributes: Mapping[str, str], types: Mapping[str, TensorType]
) -> str:
    module = attributes.get(node.name)
    if isinstance(node.callee, Op):
        given = [types[name] for name in node.inputs if name is not None]
        if module is None:
            expression = node.callee.torch_function(arguments, *given)
            assert expression is not None
            return expression
    while arguments and arguments[-1] == "None":
        arguments = arguments[:-1]
    if isinstance(node.callee, Op) and "None" in arguments:
        # What follows an input that was left out is given by its name.
        first = arguments.index("None")
        ports = (port.rstrip("?") for port in node.callee.inputs[first:])
        named = zip(ports, arguments[first:], strict=False)
        arguments = [*arguments[:first], *(f"{port}={value}" for port, value in named if value != "None")]
    return f"{module}({', '.join(arguments)})"


def _comment(node: Node, types: Mapping[str, TensorType]) -> str:
    """The shape, beside a line that changes it."""
    before = types[node.inputs[0]].shape if node.inputs and node.inputs[0] is not None else None
    after = node.types[0]
    return "" if before == after.shape else str(after)


def _loop(
    run: Sequence[Node],
    position: int,
    count: int,
    attributes: Mapping[str, str],
    variables: _Variables,
    types: Mapping[str, TensorType],
    lines: list[Line],
) -> None:
    """A run of equal calls, each taking the one before: a Python loop over the modules."""
    first, last = run[position], run[position + count - 1]
    container, index = attributes[first.name].rsplit("[", 1)
    start = int(index.rstrip("]"))
    whole = start == 0 and not any(
        attributes.get(node.name, "").startswith(f"{container}[")
        for node in [*run[:position], *run[position + count :]]
    )
    items = container if whole else f"{container}[{start}:{start + count}]"
    flow = "" if first.inputs[0] is None else variables.held[first.inputs[0]]
    others = ["None" if name is None else variables.held[name] for name in first.inputs[1:]]
    outputs_variable = variables.assign(last.outputs[0], last, position + count - 1, True)
    if outputs_variable != flow:
        lines.append(Line(f"{outputs_variable} = {flow}", first.span))
    lines.append(Line(f"for layer in {items}:", first.span))
    call = f"layer({', '.join([outputs_variable, *others])})"
    lines.append(Line(f"{outputs_variable} = {call}", first.span, _comment(last, types), indent=1))


def equal_runs(function: Function, same: Mapping[str, str], attributes: Mapping[str, str]) -> dict[int, int]:
    """Runs of three or more calls `x = layer(x, mask)` of equal layers that stand in a list.

    `same` maps a function's key to the class that it became.
    """
    run = [node for node in function.nodes if not node.skip]
    uses: dict[str, int] = {}
    for node in run:
        for name in node.inputs:
            if name is not None:
                uses[name] = uses.get(name, 0) + 1
    for name in function.outputs:
        uses[name] = uses.get(name, 0) + 1
    found: dict[int, int] = {}
    position = 0
    while position < len(run):
        length = 1
        while position + length < len(run) and _continues(
            run[position + length - 1], run[position + length], uses, same, attributes
        ):
            length += 1
        if length >= 3 and "[" in attributes.get(run[position].name, ""):
            found[position] = length
        position += length
    return found


def _continues(
    before: Node, after: Node, uses: Mapping[str, int], same: Mapping[str, str], attributes: Mapping[str, str]
) -> bool:
    if not (isinstance(before.callee, str) and isinstance(after.callee, str)):
        return False
    return (
        same[before.callee] == same[after.callee]
        and len(before.outputs) == len(after.outputs) == 1
        and bool(after.inputs)
        and after.inputs[0] == before.outputs[0]
        and uses[before.outputs[0]] == 1
        and after.inputs[1:] == before.inputs[1:]
        and _index(attributes, before.name) + 1 == _index(attributes, after.name)
        and before.shares is None
        and after.shares is None
        and before.training_only == after.training_only
        and before.guard is None
        and after.guard is None
    )


def _index(attributes: Mapping[str, str], name: str) -> int:
    match = re.fullmatch(r".*\[(\d+)\]", attributes.get(name, ""))
    return int(match.group(1)) if match else -10
