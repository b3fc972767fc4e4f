"""Plain data as the text of a spec, in the style that a person would choose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from specdl.diagnostics import SpecError
from specdl.formatting.nodes import Item, Node
from specdl.formatting.printer import fits, print_nodes
from specdl.source import parse_text


def write_plain(data: Mapping[str, Any]) -> str:
    """The text of a spec: `parse_text` gives the data back."""
    root = Node("map", items=[Item(_key(str(key)), _node(value)) for key, value in data.items()])
    for item in root.items:
        _choose(item, 0)
    return print_nodes(root, [])


def _node(value: Any) -> Node:
    if isinstance(value, Mapping):
        return Node("map", items=[Item(_key(str(key)), _node(item)) for key, item in value.items()])
    if isinstance(value, (list, tuple)):
        return Node("list", items=[Item(None, _node(item)) for item in value])
    return Node("scalar", scalar(value))


def _choose(item: Item, indent: int) -> None:
    """One line where a collection is short and holds no layers."""
    value = item.value
    start = indent + len(item.key or "") + 2
    if value.kind == "scalar":
        return
    if item.key is None and value.kind == "map":  # an entry: `- conv2d: {…}`
        for inner in value.items:
            _choose(inner, indent + 2)
        return
    if not value.items or (not _holds_entries(value) and fits(value, start)):
        value.flow = True
        return
    for inner in value.items:
        _choose(inner, indent + 2)


def _holds_entries(node: Node) -> bool:
    """Whether there is a list of mappings or of lists below: layers, losses, transforms, paths."""
    if node.kind == "list" and any(item.value.kind != "scalar" for item in node.items):
        return True
    return any(_holds_entries(item.value) for item in node.items)


@lru_cache(maxsize=4096, typed=True)
def scalar(value: Any) -> str:
    """A scalar as YAML spells it; a word is quoted only where it must be."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = repr(value)
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(text, text)
    if not isinstance(value, str):
        return str(value)
    return value if _is_plain(value, f"[{value}]", [value]) else json.dumps(value, ensure_ascii=False)


@lru_cache(maxsize=4096)
def _key(key: str) -> str:
    plain = _is_plain(key, f"{{{key}: 1}}", {key: 1}) or _is_plain(key, f"{key}: 1", {key: 1})
    return key if plain else json.dumps(key, ensure_ascii=False)


def _is_plain(word: str, text: str, wanted: Any) -> bool:
    """Whether a word needs no quotes: it is read back as itself in a flow collection, where more is forbidden."""
    if not word or "\n" in word or word != word.strip():
        return False
    try:
        found: Any = parse_text(text, "").data
    except SpecError:
        return False
    return bool(found == wanted) and type(found) is type(wanted) and "#" not in word
