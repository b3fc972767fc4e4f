"""Which blocks a diagram opens, and which it folds to a box.

By itself it opens the first block of each structure (its name counts, not its widths) and folds the rest,
level by level, as long as the picture stays small enough to read. A given depth opens everything down to it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from specdl.backends.diagram.parts import Part, Parts

OPEN_UP_TO = 60
"""Boxes of a picture that opens its first blocks by itself."""
NEST_UP_TO = 40
"""Boxes of a picture that opens blocks inside opened blocks by itself."""
DRAWN_AT_MOST = 1000
"""Boxes beyond which nothing is opened, whatever was asked."""
_DISSOLVE_UP_TO = 4


@dataclass(slots=True)
class View:
    """A part, and what is shown inside it. An `inline` view has no frame: its children stand in the level around."""

    part: Part
    children: list[View] | None = None
    inline: bool = False


def plan(parts: Parts, key: str, depth: int | None) -> list[View]:
    """The views of a function's parts."""
    root = [View(part) for part in parts.of(key)]
    visible = len(root)
    seen: set[object] = set()
    queue = deque((view, 1, False) for view in root)
    while queue:
        view, level, forced = queue.popleft()
        part = view.part
        if not part.opens:
            continue
        inner = parts.of(part.key) if part.key else part.inner
        wraps = bool(part.key) and parts.wraps(part.key)
        dissolves = part.kind == "run" or (level > 1 and not wraps and _dissolves(parts, part, inner))
        more = len(inner) - 1
        first = inner[0] if inner else part
        while (wraps or part.kind == "run") and first.opens:
            # A run opens with its first call, and a group around one run with that run.
            within = parts.of(first.key) if first.key else first.inner
            more += len(within) - 1
            if first.kind != "run":
                break
            first = within[0]
        small = dissolves and part.kind != "run"
        if not (forced or small or _opens(part, level, depth, seen, visible + more)):
            continue
        seen.add(part.same)
        view.children = [View(item) for item in inner]
        view.inline = dissolves
        visible += len(inner) - 1
        children = [(child, level if dissolves else level + 1, False) for child in view.children]
        if wraps or part.kind == "run":
            queue.appendleft((view.children[0], level, True))
            children = [(child, level, False) for child in view.children[1:]]
        queue.extend(children)
    return root


def _opens(part: Part, level: int, depth: int | None, seen: set[object], visible: int) -> bool:
    if depth is not None:
        return level <= depth and visible <= DRAWN_AT_MOST
    return part.same not in seen and visible <= (OPEN_UP_TO if level == 1 else NEST_UP_TO)


def _dissolves(parts: Parts, part: Part, inner: tuple[Part, ...]) -> bool:
    """Whether a part is a small group: inside an opened block it needs no frame of its own."""
    if not part.key or part.count > 1:
        return False
    return parts.program.functions[part.key].kind in {"group", "iteration"} and len(inner) <= _DISSOLVE_UP_TO
