"""`format_text`: a spec's text in canonical style, its meaning and its comments as they were."""

from __future__ import annotations

from specdl.diagnostics import Diagnostic, SpecError
from specdl.formatting.nodes import Item, Node, attach, read_comments, read_nodes
from specdl.formatting.printer import fits, print_nodes
from specdl.source import parse_text


def format_text(text: str, file: str = "<text>") -> str:
    """The text in canonical style. Raises `SpecError` for what is no YAML, before anything is lost.

    Two spaces a level; the arguments of an entry in one line where they fit; comments, quotes and the choice between
    `[…]` and lines elsewhere stay the author's. What comes out is read again and compared, data and comments.
    """
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    before = parse_text(text, file)
    if before.data is None:
        return text
    root = read_nodes(text)
    comments = read_comments(text, root)
    head = attach(root, comments)
    _shorten(root, 0, listed=False)
    found = print_nodes(root, head)
    if _meaning(found) != (repr(before.data), sorted(item.text for item in comments if item.text)):
        raise SpecError(
            [Diagnostic("E0020", f"`{file}` can't be formatted without changing it", help="it was left as it is")]
        )
    return found


def _meaning(text: str) -> tuple[str, list[str]] | None:
    """The data and the comments of a text, or None where it is no YAML."""
    try:
        data = parse_text(text).data
    except SpecError:
        return None
    return repr(data), sorted(item.text for item in read_comments(text, read_nodes(text)) if item.text)


def _shorten(node: Node, indent: int, *, listed: bool) -> None:
    """The arguments of an entry stand in one line where they fit: `conv2d: {out_channels: 8}`."""
    for item in node.items:
        inside = indent + 2
        value = item.value
        if listed and item.key is not None and _are_arguments(value) and not _is_commented(item):
            column = indent + len(item.key) + 2
            if fits(value, column):
                value.flow = True
        if not value.flow:
            _shorten(value, inside, listed=node.kind == "list" and item.key is None)


def _are_arguments(value: Node) -> bool:
    """Whether a mapping holds plain values, as an operator's arguments do, and not layers."""
    return (
        value.kind == "map"
        and bool(value.items)
        and all(
            item.value.kind == "scalar"
            or (item.value.flow and all(inner.value.kind == "scalar" for inner in item.value.items))
            for item in value.items
        )
    )


def _is_commented(item: Item) -> bool:
    return any(inner.above or inner.behind or inner.below for inner in item.value.items)
