"""A geometry lint for laid-out diagrams: what must not overlap, and what must not be run through."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from specdl.backends.diagram.geometry import Geometry, label_bounds
from specdl.backends.diagram.model import Box, Cluster, Drawing
from specdl.backends.diagram.paths import Bounds, crosses, overlap, path_points
from specdl.backends.diagram.style import text_width

TOUCH = 1.0  # points: rounded numbers in Graphviz's output may let neighbours touch


def lint(drawing: Drawing, geometry: Geometry) -> list[str]:
    """Every flaw, in words."""
    return [
        *_overlapping_boxes(drawing, geometry),
        *_edges_through_boxes(drawing, geometry),
        *_frames(drawing, geometry),
        *_labels(drawing, geometry),
    ]


def _overlapping_boxes(drawing: Drawing, geometry: Geometry) -> Iterator[str]:
    for left, right in combinations(drawing.boxes(), 2):
        if overlap(geometry.boxes[left.id].bounds, geometry.boxes[right.id].bounds):
            yield f"{_name(left)} overlaps {_name(right)}"


def _edges_through_boxes(drawing: Drawing, geometry: Geometry) -> Iterator[str]:
    ends = [(edge.tail, edge.head, path.path) for edge, path in zip(drawing.edges, geometry.edges, strict=True)]
    ends += [(route.tail, route.head, route.path) for route in geometry.routes]
    for tail, head, path in ends:
        points = path_points(path, steps=40)
        for box in drawing.boxes():
            if box.id not in {tail, head} and crosses(points, geometry.boxes[box.id].bounds, TOUCH):
                yield f"{tail} -> {head} runs through {_name(box)}"


def _frames(drawing: Drawing, geometry: Geometry) -> Iterator[str]:
    clusters = list(_clusters(drawing.root))
    paths = [path_points(item.path, steps=40) for item in (*geometry.edges, *geometry.routes)]
    for cluster in clusters:
        if not cluster.title:
            continue
        placed = geometry.clusters[cluster.id]
        own = {box.id for box in cluster.boxes()}
        for box in drawing.boxes():
            bounds = geometry.boxes[box.id].bounds
            inside = overlap(bounds, placed.bounds)
            if inside and box.id not in own:
                yield f"{_name(box)} stands in the frame {cluster.title}"
            if box.id in own and not _within(bounds, placed.bounds):
                yield f"{_name(box)} sticks out of the frame {cluster.title}"
        assert placed.label is not None
        title = _title_bounds(cluster, placed.label)
        if any(crosses(points, title) for points in paths):
            yield f"an edge runs through the title {cluster.title}"
        if not _within(title, placed.bounds):
            yield f"the title {cluster.title} is wider than its frame"


def _labels(drawing: Drawing, geometry: Geometry) -> Iterator[str]:
    labels = [
        (edge, label_bounds(edge.label, path.label), path_points(path.path, steps=40))
        for edge, path in zip(drawing.edges, geometry.edges, strict=True)
        if path.label is not None
    ]
    for edge, bounds, points in labels:
        if crosses(points, bounds):
            yield f"{edge.tail} -> {edge.head} runs through its own label {edge.label}"
        for box in drawing.boxes():
            if overlap(bounds, geometry.boxes[box.id].bounds):
                yield f"the label {edge.label} lies on {_name(box)}"
        for route in geometry.routes:
            if crosses(path_points(route.path, steps=40), bounds):
                yield f"a route runs through the label {edge.label}"
        for cluster in _clusters(drawing.root):
            placed = geometry.clusters[cluster.id]
            if cluster.title and placed.label and overlap(bounds, _title_bounds(cluster, placed.label)):
                yield f"the label {edge.label} lies on the title {cluster.title}"
    for (first, left, _), (second, right, _) in combinations(labels, 2):
        if overlap(left, right):
            yield f"the labels {first.label} and {second.label} overlap"


def _clusters(cluster: Cluster) -> Iterator[Cluster]:
    for child in cluster.children:
        if isinstance(child, Cluster):
            yield child
            yield from _clusters(child)


def _title_bounds(cluster: Cluster, center: tuple[float, float]) -> Bounds:
    badge = 26 if cluster.count > 1 else 0
    width = max(text_width(cluster.title, 10) + badge, *(text_width(line, 9) for line in cluster.lines), 0)
    height = 12 * (1 + len(cluster.lines))
    return center[0] - width / 2, center[1] - height / 2, center[0] + width / 2, center[1] + height / 2


def _within(inner: Bounds, outer: Bounds) -> bool:
    return (
        outer[0] - TOUCH <= inner[0]
        and outer[1] - TOUCH <= inner[1]
        and inner[2] <= outer[2] + TOUCH
        and inner[3] <= outer[3] + TOUCH
    )


def _name(box: Box) -> str:
    return f"{box.id} ({box.title})"
