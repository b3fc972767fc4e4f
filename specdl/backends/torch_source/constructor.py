"""What a constructor does once it has made its layers: it fills weights that begin otherwise than PyTorch's, and
ties those that are one.

`nn.init.zeros_(self.bn2.weight)` where a layer says so itself, a loop over `named_parameters()` for patterns;
`self.lm_head.weight = self.transformer.wte.weight` is all that PyTorch needs for one parameter under two keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from specdl.backends.torch_source.text import Verbatim, literal, plain_name
from specdl.diagnostics import Span
from specdl.ir.program import Function, InitRule, Program
from specdl.ir.state import own_weights, parameter_keys, rule_for, said_by_layers
from specdl.ops.base import Call

if TYPE_CHECKING:
    from specdl.backends.torch_source.classes import Builder, Child, Shape


LOOP_NAMES = ("name", "parameter")
"""The variables of a loop over weights; no parameter of a constructor is called so."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A number in a constructor that may differ between the functions of a class."""

    node: str
    argument: str


def fillings(
    builder: Builder, shape: Shape, expressions: Mapping[Slot, Any], text: str = "self", prefix: str = ""
) -> Iterator[tuple[str, Span]]:
    """The lines that fill the weights of layers which say so, each with its place in the spec.

    Groups that are written in place belong to the class around them: `text` and `prefix` lead there.
    """
    blocks: list[tuple[str, list[tuple[str, Span]]]] = []
    for position, child in enumerate(shape.children):
        place = _layer(shape, child, position, text)
        lines: list[tuple[str, Span]] = []
        for weight, call in shape.fills.get(child.node.name, ()):
            target = f"{place}.{weight}"
            arguments = tuple(
                (name, expressions.get(Slot(f"{prefix}{value.node}", value.argument), shape.numbers[value]))
                for name, value in call.keywords
            )
            lines.append((literal(Call(call.function, (Verbatim(target),), arguments)), child.node.span))
        if isinstance(child.call, str):
            if builder.inline(child.call):
                inner = f"{prefix}{child.node.name}/"
                lines.extend(fillings(builder, builder.shapes[child.call], expressions, place, inner))
            function = builder.program.functions[child.call]
            lines.extend(patterns(builder, function, child.node.init, place))
        blocks.append((place, lines))
    yield from _folded(blocks, text)


def _folded(blocks: Sequence[tuple[str, list[tuple[str, Span]]]], text: str) -> Iterator[tuple[str, Span]]:
    """The lines of a list's layers; of three or more in a row that do the same, as a loop."""
    position = 0
    while position < len(blocks):
        place, lines = blocks[position]
        plain = [(line.replace(place, "layer"), span) for line, span in lines]
        length = 1
        while position + length < len(blocks) and lines and place == f"{text}[{position}]":
            other, same = blocks[position + length]
            indexed = other == f"{text}[{position + length}]"
            if not indexed or [line.replace(other, "layer") for line, _ in same] != [line for line, _ in plain]:
                break
            length += 1
        if length < 3:
            yield from lines
            position += 1
            continue
        whole = position == 0 and length == len(blocks)
        yield f"for layer in {text if whole else f'{text}[{position}:{position + length}]'}:", lines[0][1]
        yield from ((f"    {line}", span) for line, span in plain)
        position += length


def patterns(
    builder: Builder, function: Function, rules: Sequence[InitRule], text: str = "self"
) -> Iterator[tuple[str, Span]]:
    """The lines that fill weights by patterns of their keys below a function, whose module is `text`."""
    if not rules:
        return
    functions = builder.program.functions
    names = parameter_keys(functions, function)
    said = said_by_layers(functions, function)
    if not any(_WILD.search(rule.pattern) for rule in rules):
        shape = builder.shapes[function.key]
        for key in (key for key, _ in names.values() if key not in said):
            rule = rule_for(rules, key)
            if rule is not None:
                place, _ = reach(builder, shape, key.split("."), text)
                yield literal(rule.initializer.fill(Verbatim(place))), rule.span
        return
    yield f"for name, parameter in {text}.named_parameters():", rules[0].span
    for name, key in ((name, key) for name, (key, _) in names.items() if name != key):
        yield f'    name = "{key}" if name == "{name}" else name', rules[0].span
    touched = {key for key in said if rule_for(rules, key) is not None}
    for condition in _joined(map(_condition, _generalised(touched, [key for key, _ in names.values()]))):
        yield f"    if {condition}:", rules[0].span
        yield "        continue  # its layer says how it begins", rules[0].span
    word = "if"
    for rule in reversed(rules):
        condition = _condition(rule.pattern)
        if condition != "True" or word == "if":
            yield f"    {word} {condition}:", rule.span
        else:
            yield "    else:", rule.span
        yield f"        {literal(rule.initializer.fill(Verbatim('parameter')))}", rule.span
        if condition == "True":
            break  # what stands before it never counts
        word = "elif"


_WILD = re.compile(r"[*?\[]")


def _joined(conditions: Iterable[str]) -> Iterator[str]:
    """Conditions of which any suffices, as many on a line as fit."""
    line = ""
    for condition in conditions:
        longer = f"{line} or {condition}" if line else condition
        if line and len(longer) > 80:
            yield line
            longer = condition
        line = longer
    if line:
        yield line


def _condition(pattern: str) -> str:
    """The test for a pattern, as a person writes it."""
    inner = pattern.strip("*")
    if _WILD.search(inner):
        return f"fnmatchcase(name, {literal(pattern)})"
    starts, ends = not pattern.startswith("*"), not pattern.endswith("*")
    if not inner:
        return "True"
    if starts and ends:
        return f"name == {literal(inner)}"
    if starts or ends:
        return f"name.{'startswith' if starts else 'endswith'}({literal(inner)})"
    return f"{literal(inner)} in name"


def _generalised(keys: set[str], known: Sequence[str]) -> list[str]:
    """Patterns that match these keys and no other known ones: of their ends or with `*` for numbers, where they can."""
    found: dict[str, None] = {}
    for key in (key for key in known if key in keys):
        if any(fnmatchcase(key, pattern) for pattern in found):
            continue
        steps = key.split(".")
        ends = range(1, len(steps))
        wider = [f"*.{'.'.join(steps[-count:])}" for count in ends if not steps[-count].isdigit()]
        wider.append(".".join("*" if step.isdigit() else step for step in steps))
        fits = (item for item in wider if all(other in keys for other in known if fnmatchcase(other, item)))
        found[next(fits, key)] = None
    return list(found)


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
        text = _layer(shape, child, position, text)
        rest = list(path[1:])
        if isinstance(child.call, str):
            return reach(builder, builder.shapes[child.call], rest, text) if rest else (text, rest)
        if rest and any(weight.name == rest[0] for weight in own_weights(child.node, shape.function.types())):
            return f"{text}.{rest[0]}", []
        return text, rest
    return text, list(path)


def _layer(shape: Shape, child: Child, position: int, text: str) -> str:
    """The Python text of a child of the module that is called `text`."""
    if shape.form in {"sequential", "list"} and child.name == str(position):
        return f"{text}[{position}]"
    if plain_name(child.name):
        return f"{text}.{child.name}"
    return f'{text}["{child.name}"]' if shape.form == "dict" else f'getattr({text}, "{child.name}")'


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
