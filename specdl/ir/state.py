"""The `state_dict` of a function before there is one: its keys, with what is stored under each.

A tied weight has several keys: the one that stores it, and aliases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from specdl.diagnostics import Span
from specdl.ir.program import Function, Node
from specdl.ir.types import TensorType

if TYPE_CHECKING:
    from specdl.ops.base import Weight


@dataclass(frozen=True, slots=True)
class Stored:
    """A weight that a layer owns: its key, and the line of the layer."""

    key: str
    weight: Weight
    span: Span


def stored(functions: Mapping[str, Function], function: Function, prefix: str = "") -> Iterator[Stored]:
    """Every weight of the layers below a function, in the order of PyTorch's `state_dict`; those of ties are there
    under each key that a layer owns.
    """
    types = function.types()
    for node in function.nodes:
        if node.shares is not None or node.network is not None:
            continue
        path = f"{prefix}{node.name}"
        if isinstance(node.callee, str):
            yield from stored(functions, functions[node.callee], f"{path}.")
            continue
        for weight in own_weights(node, types):
            yield Stored(f"{path}.{weight.name}" if weight.name else path, weight, node.span)


def own_weights(node: Node, types: Mapping[str, TensorType]) -> tuple[Weight, ...]:
    """The weights of an operator's node; `types` are those of its function's values."""
    assert not isinstance(node.callee, str)
    return node.callee.weights(*(types[name] for name in node.inputs if name is not None))


def find(functions: Mapping[str, Function], function: Function, key: str) -> Weight | None:
    """The weight that a layer below a function owns under this key, without walking through all of them."""
    first, _, rest = key.partition(".")
    for node in function.nodes:
        if node.name != first or node.shares is not None or node.network is not None:
            continue
        if isinstance(node.callee, str):
            return find(functions, functions[node.callee], rest)
        return next((weight for weight in own_weights(node, function.types()) if weight.name == rest), None)
    return None


def aliases(functions: Mapping[str, Function], function: Function, prefix: str = "") -> dict[str, str]:
    """Every tied key below a function, mapped to the key under which its weight is stored."""
    found: dict[str, str] = {}
    for node in function.nodes:
        if isinstance(node.callee, str) and node.shares is None and node.network is None:
            found.update(aliases(functions, functions[node.callee], f"{prefix}{node.name}."))
    for tie in function.ties:
        key = f"{prefix}{tie.key}"
        found[f"{prefix}{tie.alias}"] = found.get(key, key)
    return found


__all__ = ["Stored", "aliases", "find", "own_weights", "stored"]
