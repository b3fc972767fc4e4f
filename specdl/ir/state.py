"""The `state_dict` of a function before there is one: its keys, with what is stored under each.

A tied weight has several keys: the one that stores it, and aliases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from specdl.diagnostics import Span
from specdl.ir.program import Function, InitRule, Node
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
    # A module's own parameters and buffers come before those of its layers.
    for node in sorted(function.nodes, key=_order):
        if node.shares is not None or node.network is not None:
            continue
        path = f"{prefix}{node.name}"
        if isinstance(node.callee, str):
            yield from stored(functions, functions[node.callee], f"{path}.")
            continue
        for weight in own_weights(node, types):
            yield Stored(f"{path}.{weight.name}" if weight.name else path, weight, node.span)


def _order(node: Node) -> int:
    if isinstance(node.callee, str) or not node.callee.stored:
        return 2
    return 1 if any(weight.buffer for weight in node.callee.weights()) else 0


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


def parameter_keys(functions: Mapping[str, Function], function: Function) -> dict[str, tuple[str, Stored]]:
    """The learned weights below a function, each once: by the name that PyTorch gives it, its key.

    Ties below the function are already made, so of a tied weight PyTorch gives the first name alone; its key is the
    one under which it is stored. The function's own ties are not yet made.
    """
    tied = aliases(functions, replace(function, ties=()))
    found: dict[str, tuple[str, Stored]] = {}
    seen: set[str] = set()
    for item in stored(functions, function):
        key = tied.get(item.key, item.key)
        if not item.weight.buffer and key not in seen:
            seen.add(key)
            found[item.key] = key, item
    return found


def rule_for(rules: Sequence[InitRule], key: str) -> InitRule | None:
    """The rule that says how the weight of this key begins: the last one that matches."""
    return next((rule for rule in reversed(rules) if fnmatchcase(key, rule.pattern)), None)


def said_by_layers(functions: Mapping[str, Function], function: Function, prefix: str = "") -> set[str]:
    """The keys of the weights below a function of which a layer says itself how they begin: no pattern changes them."""
    found: set[str] = set()
    types = function.types()
    for node in function.nodes:
        if node.shares is not None or node.network is not None:
            continue
        path = f"{prefix}{node.name}"
        if isinstance(node.callee, str):
            callee = functions[node.callee]
            inner = said_by_layers(functions, callee)
            if node.init:
                inner.update(key for key, _ in parameter_keys(functions, callee).values() if rule_for(node.init, key))
            found.update(f"{path}.{key}" for key in inner)
        elif node.callee.stored:
            found.update({path} if getattr(node.callee, "init", None) is not None else ())
        elif node.init:
            names = (weight.name for weight in own_weights(node, types) if rule_for(node.init, weight.name))
            found.update(f"{path}.{name}" for name in names)
    return found


__all__ = ["Stored", "aliases", "find", "own_weights", "parameter_keys", "rule_for", "said_by_layers", "stored"]
