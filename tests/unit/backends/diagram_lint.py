"""A geometry lint for laid-out diagrams: what must not overlap or be run through, and what must stand in order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

from specdl.backends.diagram.aside import label_bounds, title_bounds
from specdl.backends.diagram.geometry import Geometry
from specdl.backends.diagram.model import Box, Drawing, head_corner, tail_corner
from specdl.backends.diagram.paths import Bounds, Point, crosses, overlap, path_points
from specdl.backends.diagram.style import FRAME_MARGIN

TOUCH = 1.0  # points: rounded numbers in Graphviz's output may let neighbours touch
CLEAR = 3.0  # points that a route keeps from boxes: less looks like touching at 150 dpi
TITLE_CLEAR = 2.0  # points between a line and a title beside it: less looks like one sign
SLACK = 40.0  # points of empty frame beside its content and title: nodesep and two margins
TOGETHER = 12.0  # points along which two lines may run on each other: the width of a crossing, an arrowhead


def lint(drawing: Drawing, geometry: Geometry, direction: str = "TB") -> list[str]:
    """Every flaw, in words."""
    flaws = [
        *_overlapping_boxes(drawing, geometry),
        *_edges_through_boxes(drawing, geometry),
        *_frames(drawing, geometry),
        *_labels(drawing, geometry),
        *_routes(drawing, geometry, direction),
        *_branches(drawing, geometry, direction),
        *_picture(drawing, geometry),
    ]
    return flaws if direction == "LR" else [*flaws, *_empty_frames(drawing, geometry)]


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
    paths = geometry.lines()
    for cluster in drawing.clusters():
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
        title = title_bounds(cluster, placed.label)
        if any(crosses(points, title, -TITLE_CLEAR) for points in paths):
            yield f"an edge runs through the title {cluster.title}"
        if not _within(title, placed.bounds):
            yield f"the title {cluster.title} is wider than its frame"


def _empty_frames(drawing: Drawing, geometry: Geometry) -> Iterator[str]:
    """Frames that are wider than what is in them, without their title needing it."""
    paths = geometry.lines()
    for cluster in drawing.clusters():
        placed = geometry.clusters[cluster.id]
        if not cluster.title:
            continue
        assert placed.label is not None
        content = [geometry.boxes[box.id].bounds[2] for box in cluster.boxes()]
        content += [geometry.clusters[child.id].bounds[2] for child in cluster.clusters()]
        content += [x for points in paths for x, y in points if _in((x, y), placed.bounds)]
        title = title_bounds(cluster, placed.label)
        entering = [x for points in paths for x, y in points if title[1] < y < title[3] and x < title[0]]
        room = title[0] - max(entering) if entering else 0.0
        if placed.bounds[2] - max(content) > SLACK + FRAME_MARGIN and room > SLACK:
            yield f"the frame {cluster.title} is wider than it must be"


def _labels(drawing: Drawing, geometry: Geometry) -> Iterator[str]:
    labels = [
        (edge, label_bounds(edge.label, path.label))
        for edge, path in zip(drawing.edges, geometry.edges, strict=True)
        if path.label is not None
    ]
    paths = geometry.lines()
    for edge, bounds in labels:
        if any(crosses(points, bounds) for points in paths):
            yield f"a line runs through the label {edge.label} of {edge.tail} -> {edge.head}"
        for box in drawing.boxes():
            if overlap(bounds, geometry.boxes[box.id].bounds):
                yield f"the label {edge.label} lies on {_name(box)}"
        for cluster in drawing.clusters():
            placed = geometry.clusters[cluster.id]
            if cluster.title and placed.label and overlap(bounds, title_bounds(cluster, placed.label)):
                yield f"the label {edge.label} lies on the title {cluster.title}"
    for (first, left), (second, right) in combinations(labels, 2):
        if overlap(left, right):
            yield f"the labels {first.label} and {second.label} overlap"


def _routes(drawing: Drawing, geometry: Geometry, direction: str) -> Iterator[str]:
    """Routes that touch boxes, or that run along each other though they start and end elsewhere."""
    along = [(route, _long_stretch(path_points(route.path), direction)) for route in geometry.routes]
    for route in geometry.routes:
        ends = {route.tail, route.head}
        for box in drawing.boxes():
            if box.id not in ends and crosses(path_points(route.path), geometry.boxes[box.id].bounds, -CLEAR):
                yield f"the route {route.tail} -> {route.head} touches {_name(box)}"
    for (first, (x, low, high)), (second, (other, bottom, top)) in combinations(along, 2):
        if abs(x - other) < CLEAR and min(high, top) - max(low, bottom) > TOGETHER:
            yield f"the routes from {first.tail} and {second.tail} run along each other"


def _long_stretch(points: list[Point], direction: str) -> tuple[float, float, float]:
    """The longest stretch of a line along the flow: where it is across, its begin and its end."""
    turned = [(y, x) if direction == "LR" else (x, y) for x, y in points]
    stretches: dict[float, list[float]] = {}
    for (x, y), (next_x, next_y) in pairwise(turned):
        if abs(x - next_x) < TOUCH / 2:
            stretches.setdefault(round(x, 1), []).extend((y, next_y))
    return max(
        ((x, min(along), max(along)) for x, along in stretches.items()),
        key=lambda item: item[2] - item[1],
        default=(turned[0][0], turned[0][1], turned[0][1]),
    )


def _branches(drawing: Drawing, geometry: Geometry, direction: str) -> Iterator[str]:
    """Branches that stand in another order than the spec's."""
    turns = drawing.course.turns
    for orders, corner in ((turns.tail_order, tail_corner), (turns.head_order, head_corner)):
        for box, left, right in orders:
            places = [geometry.boxes[name] for name in (*map(corner, left), box, *map(corner, right))]
            across = [-place.y if direction == "LR" else place.x for place in places]
            if across != sorted(across):
                yield f"the branches around {box} are out of order"


def _picture(drawing: Drawing, geometry: Geometry) -> Iterator[str]:
    """What the picture's border cuts, and the legend's place."""
    for points in geometry.lines():
        if not all(_in(point, geometry.bounds) for point in points):
            yield "a line leaves the picture"
    for edge, path in zip(drawing.edges, geometry.edges, strict=True):
        if path.label is not None and not _within(label_bounds(edge.label, path.label), geometry.bounds):
            yield f"the label {edge.label} leaves the picture"
    lowest = min(geometry.boxes[box.id].bounds[1] for box in drawing.boxes())
    if geometry.label is None or geometry.label[1] > lowest:
        yield "the legend isn't below the picture"


def _in(point: Point, bounds: Bounds) -> bool:
    return bounds[0] <= point[0] <= bounds[2] and bounds[1] <= point[1] <= bounds[3]


def _within(inner: Bounds, outer: Bounds) -> bool:
    return (
        outer[0] - TOUCH <= inner[0]
        and outer[1] - TOUCH <= inner[1]
        and inner[2] <= outer[2] + TOUCH
        and inner[3] <= outer[3] + TOUCH
    )


def _name(box: Box) -> str:
    return f"{box.id} ({box.title})"
