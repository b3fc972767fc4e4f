"""What every program must satisfy, checked after elaboration and after each pass.

A failure here is a defect of the compiler, never of a spec.
"""

from __future__ import annotations

from specdl.ir.program import Function, Program


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
    return program


def _function(program: Program, function: Function, seen: set[str]) -> None:
    types = {value.name: value.type for value in function.inputs}
    _check(len(types) == len(function.inputs), function, "has two inputs of one name")
    layers: set[str] = set()
    for node in function.nodes:
        where = f"node `{node.name}`"
        _check(node.name not in layers, function, f"{where} stands twice")
        layers.add(node.name)
        for value in node.inputs:
            _check(value is None or value in types, function, f"{where} reads `{value}` before it is made")
        _check(len(node.outputs) == len(node.types), function, f"{where} has as many types as outputs")
        given = tuple(types[value] for value in node.inputs if value is not None)
        if isinstance(node.callee, str):
            # Callees come first, so there is no recursion.
            _check(node.callee in seen, function, f"{where} calls `{node.callee}`, which does not come before it")
            callee = program.functions[node.callee]
            _check(tuple(value.type for value in callee.inputs) == given, function, f"{where} gives other input types")
            _check(callee.output_types()[: len(node.types)] == node.types, function, f"{where} has other output types")
        else:
            _check(node.callee.infer(*given) == node.types, function, f"{where} has other types than its operator")
        for value, type in zip(node.outputs, node.types, strict=True):
            _check(value not in types, function, f"{where} makes `{value}` a second time")
            types[value] = type
    for value in function.outputs:
        _check(value in types, function, f"returns `{value}`, which nothing makes")
    _check(len(function.outputs) == len(function.output_names), function, "has as many names as outputs")


def _check(condition: bool, function: Function, message: str) -> None:
    if not condition:
        raise InvalidProgram(f"function `{function.key}`: {message}")
