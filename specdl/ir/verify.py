"""What every program must satisfy, checked after elaboration and after each pass.

A failure here is a defect of the compiler, never of a spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from specdl.ir.program import Function, Guard, Node, Program
from specdl.ir.state import find
from specdl.ir.types import TensorType, bind_symbols, substitute

if TYPE_CHECKING:
    from specdl.ops.base import Op


class InvalidProgram(AssertionError):
    """The IR is not well-formed."""


def verify(program: Program) -> Program:
    """The program itself, if it is well-formed. Raises `InvalidProgram`."""
    for name, key in program.networks.items():
        if key not in program.functions:
            raise InvalidProgram(f"network `{name}`: there is no function `{key}`")
    seen: set[str] = set()
    for key, function in program.functions.items():
        _check(key == function.key, function, f"is filed under `{key}`")
        _function(program, function, seen)
        seen.add(key)
    for step in program.steps:
        for key in (step.function, step.evaluation):
            if key not in program.functions:
                raise InvalidProgram(f"step `{step.name}`: there is no function `{key}`")
        for network in step.update:
            if network not in program.networks:
                raise InvalidProgram(f"step `{step.name}` updates `{network}`, which is no network")
        for network in step.modes:
            if network not in program.networks:
                raise InvalidProgram(f"step `{step.name}` has a mode for `{network}`, which is no network")
        if step.every < 1:
            raise InvalidProgram(f"step `{step.name}` runs every {step.every} updates")
        names = program.functions[step.function].output_names
        if tuple(term.name for term in step.terms) != names[: len(step.terms)]:
            raise InvalidProgram(f"step `{step.name}`: its terms are not its function's first outputs")
    if program.sample is not None and program.sample not in program.functions:
        raise InvalidProgram(f"there is no function `{program.sample}` to make samples")
    for name, origin in program.origins.items():
        if name not in program.networks:
            raise InvalidProgram(f"`{name}` has an origin, but is no network")
        of = origin.average_of
        if of is not None and program.networks.get(of) != program.networks[name]:
            raise InvalidProgram(f"network `{name}`: its function isn't that of `{of}`, which it averages")
    return program


def _function(program: Program, function: Function, seen: set[str]) -> None:
    types = {value.name: value.type for value in function.inputs}
    optional = {value.name for value in function.inputs if value.optional}
    maybe: dict[str, Guard] = {name: Guard(name, True) for name in optional}
    _check(len(types) == len(function.inputs), function, "has two inputs of one name")
    layers: dict[str, Node] = {}
    for node in function.nodes:
        where = f"node `{node.name}`"
        _check(node.name not in layers, function, f"{where} stands twice")
        for value in node.inputs:
            _check(value is None or value in types, function, f"{where} reads `{value}` before it is made")
        _check(node.guard is None or node.guard.value in optional, function, f"{where} depends on no optional input")
        _check(len(node.outputs) == len(node.types), function, f"{where} has as many types as outputs")
        _check(not (node.skip and node.training_only), function, f"{where} is skipped, and runs in training")
        given = tuple(types[value] for value in node.inputs if value is not None)
        if isinstance(node.callee, str):
            # Callees come first, so there is no recursion.
            _check(node.callee in seen, function, f"{where} calls `{node.callee}`, which does not come before it")
            _call(program, function, node, given)
        else:
            _check(_inferred(node.callee, given) == node.types, function, f"{where} has other types than its operator")
        _presence(program, function, node, maybe)
        if node.shares is not None:
            shared = _layer(program, layers, node.shares)
            _check(shared is not None, function, f"{where} shares `{node.shares}`, which does not come before it")
            same = shared is not None and shared.callee == node.callee
            _check(same, function, f"{where} shares `{node.shares}`, which is another layer")
        layers[node.name] = node
        if node.guard is not None:
            maybe.update(dict.fromkeys(node.outputs, node.guard))
        for value, type in zip(node.outputs, node.types, strict=True):
            _check(value not in types, function, f"{where} makes `{value}` a second time")
            types[value] = type
    for value in function.outputs:
        _check(value in types, function, f"returns `{value}`, which nothing makes")
        _check(value not in maybe or function.kind != "network", function, f"returns `{value}`, which may be absent")
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
    _ties(program, function)


def _ties(program: Program, function: Function) -> None:
    """Checks that what is tied is one kind of weight, and that no key is tied twice."""
    keys = {tie.alias for tie in function.ties}
    _check(len(keys) == len(function.ties), function, "ties one key twice")
    for tie in function.ties:
        where = f"the tie of `{tie.alias}`"
        kept, owned = (find(program.functions, function, key) for key in (tie.key, tie.alias))
        _check(tie.key not in keys, function, f"{where} leads to another alias")
        _check(kept is not None and not kept.buffer, function, f"{where} leads to no parameter")
        same = owned is None or kept is None or (owned.shape, owned.dtype) == (kept.shape, kept.dtype)
        _check(same, function, f"{where} joins weights of other shapes or dtypes")


def _presence(program: Program, function: Function, node: Node, maybe: Mapping[str, Guard]) -> None:
    """Checks that a node reads values that may be absent only where it may, or where they are not."""
    if isinstance(node.callee, str):
        allowed = [value.optional for value in program.functions[node.callee].inputs]
    else:
        allowed = [port.rstrip("?") in node.callee.may_be_absent for port in node.callee.inputs]
        if len(allowed) < len(node.inputs):  # any number of inputs
            allowed = [False] * len(node.inputs)
    for value, may in zip(node.inputs, allowed, strict=False):
        absent = value is not None and value in maybe and maybe[value] != node.guard
        _check(not absent or may, function, f"node `{node.name}` reads `{value}`, which may be absent")


def _call(program: Program, function: Function, node: Node, given: tuple[TensorType, ...]) -> None:
    """Checks the types of a node that calls a function."""
    where, callee = f"node `{node.name}`", program.functions[str(node.callee)]
    wanted, made = tuple(value.type for value in callee.inputs), callee.output_types()
    if node.network is not None:
        _check(program.networks.get(node.network) == node.callee, function, f"{where} is not its network's function")
        # A network may be called with sizes for its symbols, and without its optional inputs.
        left_out = [value.optional and name is None for value, name in zip(callee.inputs, node.inputs, strict=True)]
        wanted = tuple(type for type, out in zip(wanted, left_out, strict=True) if not out)
        fits = len(wanted) == len(given)
        sizes = bind_symbols(wanted, given) if fits else None
        _check(sizes is not None, function, f"{where} gives other input types")
        made = tuple(substitute(type, sizes or {}) for type in made)
    elif node.loop is not None:
        loop, columns = node.loop, len(node.loop.columns)
        _check(loop.count >= 1, function, f"{where} has no iterations")
        _check(loop.carried <= min(len(given), len(made)), function, f"{where} carries more than there is")
        _check(wanted[: loop.carried] == made[: loop.carried], function, f"{where} carries values of other types")
        _check(wanted[: len(wanted) - columns] == given, function, f"{where} gives other input types")
        lengths = {len(column) for column in loop.columns}
        _check(lengths <= {loop.count}, function, f"{where} has columns of another length than its iterations")
    else:
        _check(wanted == given, function, f"{where} gives other input types")
    _check(made[: len(node.types)] == node.types, function, f"{where} has other output types")


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
