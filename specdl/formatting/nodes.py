"""A YAML text as a tree that keeps what a person wrote: scalars as they are spelled, flow or block, comments.

Nothing is interpreted here; `specdl.source` has done that, with its limits, before a text gets here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

Kind = Literal["scalar", "list", "map"]


@dataclass(slots=True)
class Node:
    """A value. `text` is a scalar's spelling (its lines, where a block scalar has several) or an alias's name.

    `prefix` is its anchor. `start` and `end` are its first and last line and column in the text that was read,
    counted from 0; for what was never text they are 0.
    """

    kind: Kind
    text: str = ""
    prefix: str = ""
    flow: bool = False
    items: list[Item] = field(default_factory=list)
    start: tuple[int, int] = (0, 0)
    end: tuple[int, int] = (0, 0)

    @property
    def block_scalar(self) -> bool:
        """Whether it is a text of several lines (`|` or `>`)."""
        return self.kind == "scalar" and self.text[:1] in ("|", ">")


@dataclass(slots=True)
class Item:
    """An item of a list, or a key of a mapping with its value.

    `above` are the comments on lines of their own before it, `behind` the one at the end of its first line and the
    column where that began, `below` those after everything in it; an empty comment is an empty line.
    """

    key: str | None
    value: Node
    start: tuple[int, int] = (0, 0)
    above: list[str] = field(default_factory=list)
    behind: tuple[str, int] | None = None
    below: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment with its place; `alone` on its line. An empty line is a comment without text."""

    text: str
    line: int
    column: int
    alone: bool


def read_nodes(text: str) -> Node:
    """The tree of a YAML text that is known to be right. Comments are not yet attached."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    events = iter(list(yaml.parse(text, Loader=loader)))
    next(events)  # stream start
    next(events)  # document start
    return _node(next(events), events, text.splitlines())


def _node(event: Any, events: Iterator[Any], lines: list[str]) -> Node:
    start, end = _place(event.start_mark), _place(event.end_mark)
    prefix = f"&{event.anchor} " if event.anchor and not isinstance(event, yaml.AliasEvent) else ""
    if isinstance(event, yaml.AliasEvent):
        return Node("scalar", f"*{event.anchor}", start=start, end=end)
    if isinstance(event, yaml.ScalarEvent):
        text = _slice(lines, start, end)
        if prefix:
            text = text[len(prefix) - 1 :].lstrip()
        return Node("scalar", text, prefix, start=start, end=end)
    found = Node(
        "list" if isinstance(event, yaml.SequenceStartEvent) else "map", "", prefix, bool(event.flow_style), start=start
    )
    for item in events:
        if isinstance(item, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            found.end = _place(item.end_mark) if found.flow or not found.items else found.items[-1].value.end
            break
        key, begin = None, _place(item.start_mark)
        if found.kind == "map":
            key = _slice(lines, begin, _place(item.end_mark))
            item = next(events)
        elif not found.flow:
            begin = begin[0], start[1]  # where its dash is
        found.items.append(Item(key, _node(item, events, lines), begin))
    return found


def _place(mark: Any) -> tuple[int, int]:
    return mark.line, mark.column


def _slice(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    """The text between two places; the lines of a block scalar keep their indentation."""
    if start[0] == end[0]:
        return lines[start[0]][start[1] : end[1]] if start[0] < len(lines) else ""
    part = [lines[start[0]][start[1] :], *lines[start[0] + 1 : end[0]]]
    if end[0] < len(lines) and end[1] > 0:
        part.append(lines[end[0]][: end[1]])
    return "\n".join(part).rstrip("\n")


def scalars(node: Node) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """The places of all scalars and keys below a node."""
    if node.kind == "scalar":
        yield node.start, node.end
    for item in node.items:
        if item.key is not None:
            lines = item.key.split("\n")
            yield item.start, (item.start[0] + len(lines) - 1, item.start[1] + len(item.key))
        yield from scalars(item.value)


def read_comments(text: str, root: Node) -> list[Comment]:
    """The comments and the empty lines of a text, in order."""
    lines = text.splitlines()
    taken: dict[int, list[tuple[int, int]]] = {}
    for (line, column), (last, stop) in scalars(root):
        for number in range(line, min(last, len(lines) - 1) + 1):
            begin = column if number == line else 0
            finish = stop if number == last else len(lines[number])
            if finish > begin:
                taken.setdefault(number, []).append((begin, finish))
    found: list[Comment] = []
    for number, row in enumerate(lines):
        spans = taken.get(number, [])
        if not row.strip() and not spans:
            found.append(Comment("", number, 0, True))
        for match in re.finditer(r"(?:^|(?<=\s))#", row):
            column = match.start()
            if not any(begin <= column < finish for begin, finish in spans):
                found.append(Comment(row[column:].rstrip(), number, column, not row[:column].strip()))
                break
    return found


def attach(root: Node, comments: list[Comment]) -> list[str]:
    """Gives each comment to the item that it speaks of. Returns those that stand above everything or alone.

    A flow collection that holds comments becomes a block, so that they keep their places.
    """
    _open(root, comments)
    items = list(_items(root, ()))
    first = items[0][0].start[0] if items else 0
    # What an empty line cuts off above the first key belongs to the file.
    head_end = max((item.line for item in comments if not item.text and item.line < first), default=-1)
    head: list[str] = []
    for comment in comments:
        before = [entry for entry in items if entry[0].start[0] <= comment.line]
        after = next((entry for entry in items if entry[0].start[0] > comment.line), None)
        if comment.line < first and (comment.line <= head_end or not items):
            head.append(comment.text)
        elif not comment.alone and before:
            _behind(before[-1][0], comment)
        elif after is not None and (not before or not comment.text or comment.column <= after[0].start[1]):
            after[0].above.append(comment.text)
        elif before:
            item, parents = before[-1]
            chain = [item, *reversed(parents)]
            deepest = next((link for link in chain if link.start[1] <= comment.column), chain[-1])
            deepest.below.append(comment.text)
        else:
            head.append(comment.text)
    return head


def _behind(item: Item, comment: Comment) -> None:
    if item.start[0] == comment.line and item.behind is None:
        item.behind = (comment.text, comment.column)
    else:
        item.above.append(comment.text)


def _open(node: Node, comments: list[Comment]) -> None:
    """Makes blocks of the flow collections that hold comments."""
    if node.flow and any(item.text and node.start < (item.line, item.column) < node.end for item in comments):
        node.flow = False
    for item in node.items:
        _open(item.value, comments)


def _items(node: Node, parents: tuple[Item, ...]) -> Iterator[tuple[Item, tuple[Item, ...]]]:
    """The items of blocks in the order of the text, each with those that it lies in."""
    if node.flow:
        return
    for item in node.items:
        yield item, parents
        yield from _items(item.value, (*parents, item))
