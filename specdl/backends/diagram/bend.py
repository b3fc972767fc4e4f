"""Bends a chain with nested long skips into a U, as papers draw U-Net: down, up again, and the skips straight across.

The layout sees the way up backwards, so that it ranks it from the bottom to the top, and each fork stands on one
rank with the circle that its skip leads to.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from specdl.backends.diagram.model import Box, Drawing, Route

_FEWEST = 2
"""Skips from which a chain is bent: one alone reads well beside the chain."""


def bend(drawing: Drawing) -> Drawing:
    """The drawing as a U, or as it is where it isn't one chain around which concatenated skips nest."""
    skips = _nested([route for route in drawing.routes if route.cluster == drawing.root.id])
    if len(skips) < _FEWEST:
        return drawing
    inner = skips[-1]
    into = [number for number, edge in enumerate(drawing.edges) if edge.tail in inner.beside]
    if len(into) != len(inner.beside):
        return drawing
    turn = into[len(inner.beside) - len(inner.beside) // 2 - 1]
    upward = _after(drawing, turn)
    if upward is None or not {route.head for route in skips} <= {drawing.edges[turn].head, *upward}:
        return drawing
    course = drawing.course
    edges = tuple(replace(edge, straight=False) if number == turn else edge for number, edge in enumerate(course.edges))
    rising = {drawing.edges[turn].head, *upward}
    groups = {box: f"{group}_up" if box in rising else group for box, group in course.groups.items()}
    numbers = frozenset(number for number, edge in enumerate(edges) if edge.head in rising)
    routes = tuple(replace(route, across=route in skips) for route in drawing.routes)
    return replace(
        drawing, course=replace(course, edges=edges, groups=groups, upward=numbers, turn=turn), routes=routes
    )


def _nested(routes: list[Route]) -> list[Route]:
    """The routes from the outermost to the innermost; none unless all are skips, each inside of the one before."""
    ordered = sorted(routes, key=lambda route: -len(route.beside))
    for outer, route in zip([None, *ordered], ordered, strict=False):
        if route.via or not route.dashed or not route.beside:
            return []
        if outer is not None and not {route.head, *route.beside} < set(outer.beside):
            return []
    return ordered


def _after(drawing: Drawing, turn: int) -> list[str] | None:
    """The boxes of the chain above the turn; None where it isn't one chain of boxes without frames."""
    loose = {child.id for child in drawing.root.children if isinstance(child, Box)}
    leaving = Counter(edge.tail for edge in drawing.edges)
    arriving = Counter(edge.head for edge in drawing.edges)
    following = {edge.tail: edge.head for edge in drawing.edges}
    box = drawing.edges[turn].head
    found: list[str] = []
    while True:
        if box not in loose or arriving[box] != 1 or leaving[box] > 1:
            return None
        if box not in following:
            return found
        box = following[box]
        found.append(box)
