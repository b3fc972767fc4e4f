"""What a constructor does once it has made its layers: weights that are one get each other's names.

`self.lm_head.weight = self.transformer.wte.weight` is all that PyTorch needs: one parameter, two keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from specdl.backends.torch_source.text import plain_name
from specdl.diagnostics import Span
from specdl.ir.program import Function, Program
from specdl.ir.state import own_weights

if TYPE_CHECKING:
    from specdl.backends.torch_source.classes import Builder, Shape


def ties(builder: Builder, shape: Shape) -> Iterator[tuple[str, Span]]:
    """The lines that tie weights, each with its place in the spec."""
    holders: set[str] = set()
    for tie in shape.function.ties:
        weight, _ = reach(builder, shape, tie.key.split("."))
        place, missing = reach(builder, shape, tie.alias.split("."))
        for step in missing[:-1]:  # a key that no layer owns gets modules that only hold it
            inner = f"{place}.{step}" if plain_name(step) else f'getattr({place}, "{step}")'
            if inner not in holders:
                plain = plain_name(step)
                yield f"{inner} = nn.Module()" if plain else f'{place}.add_module("{step}", nn.Module())', tie.span
            holders.add(inner)
            place = inner
        if missing and not plain_name(missing[-1]):
            yield f'{place}.register_parameter("{missing[-1]}", {weight})  # tied', tie.span
        elif missing or not place.startswith("getattr("):
            yield f"{'.'.join([place, *missing[-1:]])} = {weight}  # tied", tie.span
        else:
            yield f"setattr({place.removeprefix('getattr(').removesuffix(')')}, {weight})  # tied", tie.span


def reach(builder: Builder, shape: Shape, path: Sequence[str], text: str = "self") -> tuple[str, list[str]]:
    """The Python text of a weight, seen from its class, as far as there are layers; and the steps that are left.

    None is left for a weight that exists.
    """
    for position, child in enumerate(shape.children):
        if child.node.name != path[0]:
            continue
        if shape.form in {"sequential", "list"} and child.name == str(position):
            text = f"{text}[{position}]"
        elif plain_name(child.name):
            text = f"{text}.{child.name}"
        else:
            text = f'{text}["{child.name}"]' if shape.form == "dict" else f'getattr({text}, "{child.name}")'
        rest = list(path[1:])
        if isinstance(child.call, str):
            return reach(builder, builder.shapes[child.call], rest, text) if rest else (text, rest)
        if rest and any(weight.name == rest[0] for weight in own_weights(child.node, shape.function.types())):
            return f"{text}.{rest[0]}", []
        return text, rest
    return text, list(path)


def extended(program: Program, functions: Sequence[str]) -> set[str]:
    """The functions that get a module to hold a key that no layer owns: a list of layers can't be one of them."""
    found: set[str] = set()
    for key in functions:
        for tie in program.functions[key].ties:
            inner, steps = _deepest(program, program.functions[key], tie.alias.split("."))
            if len(steps) > 1:
                found.add(inner.key)
    return found


def _deepest(program: Program, function: Function, path: list[str]) -> tuple[Function, list[str]]:
    """The last function on a path that there is, and the steps that lead further: one, a weight's, below a layer."""
    node = next((node for node in function.nodes if node.name == path[0]), None)
    if node is None:
        return function, path
    if isinstance(node.callee, str):
        return _deepest(program, program.functions[node.callee], path[1:])
    return (function, path[1:]) if own_weights(node, function.types()) else (function, path)
