"""Points where a value goes several ways: set below a box from which edges part, so that they part in one place."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from specdl.backends.diagram.model import Box, Cluster, Edge, Route


def add_fork_points(
    root: Cluster, edges: Sequence[Edge], routes: Sequence[Route]
) -> tuple[tuple[Edge, ...], tuple[Route, ...]]:
    """Puts points into the drawing's tree, and leads the edges through them.

    A box gets one where every edge but at most one leads to a box that takes nothing else. A point from which a
    route leaves gets a second one.
    """
    boxes = {box.id: box for box in root.boxes()}
    leaving: dict[str, list[Edge]] = defaultdict(list)
    arriving = Counter(edge.head for edge in edges)
    for edge in edges:
        leaving[edge.tail].append(edge)
    occupied = {route.tail for route in routes}
    new: dict[str, str] = {}
    shown: dict[str, str] = {}
    for tail, parting in leaving.items():
        if len(parting) < 2 or (boxes[tail].shape == "point" and tail not in occupied):
            continue
        alone = sum(arriving[edge.head] == 1 for edge in parting)
        if alone < 2 or alone < len(parting) - 1:
            continue
        heads = {edge.head for edge in parting}
        around = _innermost(root, heads)
        if any(tail in inside and inside & heads for inside in _frames(around)):
            continue  # the point would stand outside of a frame, and an edge would return into it
        point = Box(f"f{len(new)}", "point", "merge", "")
        _insert(around, point, heads)
        new[tail] = point.id
        labels = {edge.label for edge in parting if edge.label}
        shown[tail] = labels.pop() if len(labels) == 1 else ""
    result: list[Edge] = []
    done: set[str] = set()
    for edge in edges:
        if edge.tail not in new:
            result.append(edge)
            continue
        label = shown[edge.tail]
        if edge.tail not in done:
            done.add(edge.tail)
            result.append(Edge(edge.tail, new[edge.tail], label, arrow=False))
        result.append(replace(edge, tail=new[edge.tail], label="" if edge.label == label else edge.label))
    return tuple(result), tuple(_around(route, new) for route in routes)


def _innermost(root: Cluster, heads: set[str]) -> Cluster:
    """The innermost frame of some boxes."""
    for child in root.children:
        if isinstance(child, Cluster) and heads <= {box.id for box in child.boxes()}:
            return _innermost(child, heads)
    return root


def _frames(cluster: Cluster) -> list[set[str]]:
    """The boxes of each frame directly in this one."""
    return [{box.id for box in child.boxes()} for child in cluster.children if isinstance(child, Cluster)]


def _insert(cluster: Cluster, point: Box, heads: set[str]) -> None:
    """Puts a point into a frame, before the first of the heads."""
    for index, child in enumerate(cluster.children):
        held = {box.id for box in child.boxes()} if isinstance(child, Cluster) else {child.id}
        if held & heads:
            cluster.children.insert(index, point)
            return


def _around(route: Route, new: dict[str, str]) -> Route:
    """A route that also goes around the new points of the boxes that it goes around."""
    beside: list[str] = [new[route.tail]] if route.tail in new else []
    for box in route.beside:
        beside.append(box)
        if box in new and box != route.beside[-1]:
            beside.append(new[box])
    return replace(route, beside=tuple(beside))
