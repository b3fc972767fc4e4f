"""Python text: literals, calls broken over lines, names of classes and attributes."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from specdl.ops.base import Call
from specdl.ops.text import literal as plain_literal

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Verbatim:
    """A piece of Python that stands as it is: a parameter's name, `4 * width`."""

    text: str


@dataclass(frozen=True, slots=True)
class Repeat:
    """`*(call for _ in range(count))` among the arguments of a call."""

    item: Any
    count: int


def literal(value: Any) -> str:
    """A value as Python writes it on one line."""
    if isinstance(value, Verbatim):
        return value.text
    if isinstance(value, Call):
        arguments = [literal(item) for item in value.arguments]
        arguments += [f"{name}={literal(item)}" for name, item in value.keywords]
        return f"{value.function}({', '.join(arguments)})"
    if isinstance(value, Repeat):
        return f"*({literal(value.item)} for _ in range({value.count}))"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(map(literal, value))
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return plain_literal(value)


def lines(prefix: str, value: Any, indent: int, suffix: str = "") -> list[str]:
    """`prefix + value + suffix` at an indentation, one argument a line where it doesn't fit or holds calls."""
    pad = " " * indent
    flat = f"{pad}{prefix}{literal(value)}{suffix}"
    nested = isinstance(value, Call) and value.function == "nn.Sequential" and len(value.arguments) > 1
    if (len(flat) <= WIDTH and not nested) or not isinstance(value, Call):
        return [flat]
    if not value.arguments and not value.keywords:
        return [flat]
    out = [f"{pad}{prefix}{value.function}("]
    plain = not any(
        isinstance(item, (Call, list)) for item in (*value.arguments, *(item for _, item in value.keywords))
    )
    inner = literal(Call("", value.arguments, value.keywords))[1:-1]
    if plain and len(inner) + indent + 4 <= WIDTH:
        return [*out, f"{pad}    {inner}", f"{pad}){suffix}"]
    for item in value.arguments:
        if isinstance(item, Call):
            out.extend(lines("", item, indent + 4, ","))
        elif isinstance(item, list):
            out.extend(_list_lines(item, indent + 4))
        else:
            out.append(f"{pad}    {literal(item)},")
    for name, item in value.keywords:
        out.extend(lines(f"{name}=", item, indent + 4, ","))
    return [*out, f"{pad}){suffix}"]


def _list_lines(items: Sequence[Any], indent: int) -> list[str]:
    pad = " " * indent
    out = [f"{pad}["]
    for item in items:
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], Call):
            out.extend(lines(f"({literal(item[0])}, ", item[1], indent + 4, "),"))
        else:
            out.extend(lines("", item, indent + 4, ","))
    return [*out, f"{pad}]"]


def plain_name(name: str) -> bool:
    """Whether Python can write `self.name`."""
    return name.isidentifier() and not keyword.iskeyword(name)


_OWN_NAMES = frozenset({"F", "OrderedDict", "Tensor", "layer", "math", "nn", "range", "self", "super", "torch"})
"""What the source itself means by these names; a variable, parameter or class called so would hide it."""


def variable_name(name: str) -> bool:
    """Whether a variable or parameter can have this name."""
    return plain_name(name) and not name.startswith("__") and name not in _OWN_NAMES


def free_variable(name: str, taken: Collection[str]) -> str:
    """The name where a variable can have it and none has it, else with underscores behind it.

    One that Python can't write at all (a layer may be called `0`) gets a word before it.
    """
    if not name.isidentifier():
        name = "value_" + re.sub(r"\W", "_", name)
    while not variable_name(name) or name in taken:
        name = f"{name.lstrip('_') or 'value'}_" if name.startswith("__") else f"{name}_"
    return name


def class_name(name: str) -> str:
    """`conv_norm_act` -> `ConvNormAct`; capitals inside a word stay (`SelfAttention`)."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]
    joined = "".join(word[:1].upper() + word[1:] for word in words) or "Model"
    taken = keyword.iskeyword(joined) or joined in _OWN_NAMES
    return f"Model{joined}" if joined[0].isdigit() or taken else joined
