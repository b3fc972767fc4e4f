"""A tree of nodes as text: two spaces a level, collections in one line where they were or where they fit."""

from __future__ import annotations

import textwrap

from specdl.formatting.nodes import Item, Node

WIDTH = 120


def print_nodes(root: Node, head: list[str]) -> str:
    """The text of a document; `head` are the comments above everything."""
    lines = list(head)
    if root.kind == "map" and root.items and not root.flow:
        for item in root.items:
            _item(item, 0, lines)
    else:
        lines.append(flow(root))
    return "\n".join(_single(lines)).strip("\n") + "\n"


def flow(node: Node) -> str:
    """A node in one line."""
    if node.kind == "scalar":
        return f"{node.prefix}{' '.join(node.text.split()) if _folds(node) else node.text}".rstrip()
    if node.kind == "map":
        return f"{node.prefix}{{{', '.join(_pair(item) for item in node.items)}}}"
    # A layer in a list needs no braces: `[flatten, linear: 10]`.
    bare = [len(item.value.items) == 1 and item.value.kind == "map" and not item.value.prefix for item in node.items]
    parts = [_pair(item.value.items[0]) if b else flow(item.value) for item, b in zip(node.items, bare, strict=True)]
    return f"{node.prefix}[{', '.join(parts)}]"


def _pair(item: Item) -> str:
    return f"{item.key}: {flow(item.value) or 'null'}"


def _folds(node: Node) -> bool:
    """Whether a scalar of several lines is one line to YAML."""
    return "\n" in node.text and not node.block_scalar and "\n\n" not in node.text and "\\\n" not in node.text


def fits(node: Node, column: int) -> bool:
    """Whether a node can stand in one line that begins at `column`."""
    return not _needs_lines(node) and column + len(flow(node)) <= WIDTH


def _needs_lines(node: Node) -> bool:
    if node.block_scalar or (node.kind == "scalar" and "\n" in node.text and not _folds(node)):
        return True
    return any(item.above or item.behind or item.below or _needs_lines(item.value) for item in node.items)


def _item(item: Item, indent: int, lines: list[str], lead: str | None = None) -> None:
    """Adds the lines of an item. `lead` is what stands before it on its line, where it is the first of a list item."""
    pad = " " * indent
    lines += [f"{pad}{text}" if text else "" for text in item.above] if lead is None else []
    start = pad if lead is None else lead
    if item.key is None:
        _listed(item, indent, start, lines)
    else:
        _keyed(item, indent, start, lines)
    lines += [f"{pad}{text}" if text else "" for text in item.below]


def _listed(item: Item, indent: int, start: str, lines: list[str]) -> None:
    value = item.value
    place = len(lines)
    if value.kind != "scalar" and not value.flow and value.items and not value.prefix:
        first, *others = value.items
        # A list item's first key stands on its line; what stands above that key, above the item.
        lines[place:place] = [f"{' ' * indent}{text}" if text else "" for text in first.above]
        place = len(lines)
        _item(first, indent + 2, lines, f"{start}- ")
        for other in others:
            _item(other, indent + 2, lines)
    else:
        _value(value, indent, f"{start}- ", lines)
    _add_behind(item, lines, place)


def _keyed(item: Item, indent: int, start: str, lines: list[str]) -> None:
    value, place = item.value, len(lines)
    if value.kind != "scalar" and not value.flow and value.items:
        lines.append(f"{start}{item.key}:{' ' + value.prefix.strip() if value.prefix else ''}")
        for inner in value.items:
            _item(inner, indent + 2, lines)
    else:
        _value(value, indent, f"{start}{item.key}: ", lines)
    _add_behind(item, lines, place)


def _value(value: Node, indent: int, start: str, lines: list[str]) -> None:
    """A scalar or a flow collection behind what begins its line; a block where it is too long for one."""
    if value.block_scalar:
        first, *rest = value.text.split("\n")
        lines.append(f"{start}{value.prefix}{first}")
        body = textwrap.dedent("\n".join(rest))
        lines += [f"{' ' * (indent + 2)}{line}" if line else "" for line in body.split("\n")]
    elif value.kind == "scalar" and _needs_lines(value):
        first, *rest = value.text.split("\n")
        lines += [f"{start}{value.prefix}{first}", *(f"{' ' * (indent + 2)}{line.strip()}" for line in rest)]
    elif value.kind == "scalar" or not value.items or fits(value, len(start)):
        lines.append(f"{start}{flow(value)}".rstrip())
    elif value.kind == "list" and all(item.value.kind == "scalar" for item in value.items):
        lines += textwrap.wrap(
            f"{start}{flow(value)}",
            WIDTH,
            subsequent_indent=" " * (indent + 4),
            break_long_words=False,
            break_on_hyphens=False,
        )
    else:
        items = value.items
        if start.endswith("- "):
            _item(items[0], indent + 2, lines, start)
            items = items[1:]
        else:
            lines.append(f"{start}{value.prefix}".rstrip())
        for item in items:
            _item(item, indent + 2, lines)


def _add_behind(item: Item, lines: list[str], place: int) -> None:
    if item.behind is not None:
        text, column = item.behind
        lines[place] = f"{lines[place].ljust(column - 2 if column > len(lines[place]) + 2 else 0)}  {text}"


def _single(lines: list[str]) -> list[str]:
    """Never more than one empty line."""
    return [line for index, line in enumerate(lines) if line or (index and lines[index - 1])]
