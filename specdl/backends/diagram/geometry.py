"""Where everything is, once laid out: boxes, frames, the paths of edges, and the routes that we place ourselves.

Graphviz's layout is taken as it is, but for three things: an edge of the spine becomes a straight line with its
label beside it, a label that its own edge runs through moves aside, and routes run in their lanes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from specdl.backends.diagram.aside import (
    LABEL_HEIGHT,
    TITLE_GAP,
    label_bounds,
    labels_aside,
    missing_room,
    title_aside,
    title_bounds,
)
from specdl.backends.diagram.lanes import Lane, lanes, rightmost
from specdl.backends.diagram.model import Drawing, Edge, Route, Turns
from specdl.backends.diagram.paths import Bounds, Point, crosses, overlap, path_points, rounded_path, straight_path
from specdl.backends.diagram.style import FRAME_MARGIN, LABEL_SIZE, NODE_GAP, text_width

_STRAIGHT_WITHIN = 1.5
_LABEL_GAP = 4.0
_PAD = 4.0
_LANE_STEP = 10.0
_LANE_GAP = 5.0
_LANE_STEPS = 60


@dataclass(frozen=True, slots=True)
class Placed:
    """The centre and size of a box, in points."""

    x: float
    y: float
    width: float
    height: float

    @property
    def bounds(self) -> Bounds:
        """Left, bottom, right, top."""
        return (
            self.x - self.width / 2,
            self.y - self.height / 2,
            self.x + self.width / 2,
            self.y + self.height / 2,
        )

    def turned(self) -> Placed:
        """The same with the axes exchanged."""
        return Placed(self.y, self.x, self.height, self.width)


@dataclass(frozen=True, slots=True)
class PlacedCluster:
    """The bounds of a frame and the centre of its title."""

    bounds: Bounds
    label: Point | None


@dataclass(frozen=True, slots=True)
class PlacedEdge:
    """The path of an edge as Graphviz writes it, and the centre of its label."""

    path: str
    label: Point | None


@dataclass(frozen=True, slots=True)
class PlacedRoute:
    """The path of (a part of) a route."""

    tail: str
    head: str
    path: str
    dashed: bool


@dataclass(frozen=True, slots=True)
class Geometry:
    """A laid-out drawing. `edges` and `routes` are in the drawing's order."""

    bounds: Bounds
    label: Point | None
    boxes: Mapping[str, Placed]
    clusters: Mapping[str, PlacedCluster]
    edges: tuple[PlacedEdge, ...]
    routes: tuple[PlacedRoute, ...]

    def lines(self) -> list[list[Point]]:
        """What edges and routes run along, as polylines: edges first, both in their order."""
        return _lines(self.edges, self.routes)


def _lines(edges: Iterable[PlacedEdge], routes: Iterable[PlacedRoute]) -> list[list[Point]]:
    return [path_points(edge.path) for edge in edges] + [path_points(route.path) for route in routes]


def read_layout(drawing: Drawing, text: str, direction: str) -> Geometry:
    """The geometry from Graphviz's JSON, routes added."""
    data = json.loads(text)
    boxes: dict[str, Placed] = {}
    clusters: dict[str, PlacedCluster] = {}
    for item in data["objects"]:
        if "pos" in item:
            x, y = _floats(item["pos"])
            boxes[item["name"]] = Placed(x, y, float(item["width"]) * 72, float(item["height"]) * 72)
        elif "bb" in item:
            clusters[item["name"].removeprefix("cluster_")] = PlacedCluster(_bounds(item["bb"]), _label(item))
    found = {item["id"]: PlacedEdge(item["pos"], _label(item)) for item in data.get("edges", ()) if "id" in item}
    edges = [found[f"e{number}"] for number in range(len(drawing.edges))]
    seen = {box.id: boxes[box.id] for box in drawing.boxes()}
    edges = [
        _upward(edge, path, number == drawing.course.turn, seen)
        if number in drawing.course.upward
        else _cornered(number, edge, path, drawing.course.turns, boxes, direction)
        if drawing.course.turns.ends(number, edge) != (edge.tail, edge.head)
        else _straightened(edge, path, seen, direction)
        for number, (edge, path) in enumerate(zip(drawing.edges, edges, strict=True))
    ]
    routes = tuple(_routes(drawing, boxes, seen, direction))
    paths = _lines(edges, routes)
    texts = [edge.label for edge in drawing.edges]
    labels = labels_aside(texts, [edge.label for edge in edges], paths, [place.bounds for place in seen.values()])
    edges = [replace(edge, label=label) for edge, label in zip(edges, labels, strict=True)]
    taken = [label_bounds(text, label) for text, label in zip(texts, labels, strict=True) if label is not None]
    clusters = {
        cluster.id: replace(place, label=title_aside(cluster, place.bounds, place.label, paths, taken))
        if (place := clusters[cluster.id]).label is not None
        else place
        for cluster in drawing.clusters()
    }
    points = [point for path in paths for point in path]
    points += [corner for left, bottom, right, top in taken for corner in ((left, bottom), (right, top))]
    return Geometry(_around(_bounds(data["bb"]), points), _label(data), boxes, clusters, tuple(edges), routes)


def title_rooms(drawing: Drawing, geometry: Geometry) -> dict[str, float]:
    """How much wider frames must be for their titles to stand beside the lines that enter them, by frame."""
    paths = geometry.lines()
    right_of = rightmost(lanes(drawing))
    rooms: dict[str, float] = {}
    for cluster in drawing.clusters():
        place = geometry.clusters[cluster.id]
        if not cluster.title or place.label is None:
            continue
        missing = missing_room(cluster, place.label, paths)
        if missing:
            first = next(box for box in cluster.boxes() if box.shape == "box")
            beside = place.bounds[2] - FRAME_MARGIN - geometry.boxes[right_of.get(first.id, first.id)].bounds[2]
            rooms[cluster.id] = max(beside - NODE_GAP + missing + _LABEL_GAP, 1.0)
    return rooms


def trimmed(drawing: Drawing, geometry: Geometry, names: Collection[str]) -> Geometry:
    """The geometry with some frames no wider than their content and title need: what keeps room for a title also
    keeps a distance to it.
    """
    clusters = dict(geometry.clusters)
    paths = geometry.lines()
    for cluster in reversed(list(drawing.clusters())):  # inner ones first
        place = clusters[cluster.id]
        if cluster.id not in names or place.label is None:
            continue
        left, bottom, right, top = place.bounds
        title = title_bounds(cluster, place.label)
        content = [geometry.boxes[box.id].bounds[2] for box in cluster.boxes()]
        content += [clusters[inner.id].bounds[2] for inner in cluster.clusters()]
        content += [x for path in paths for x, y in path if left < x < right and bottom < y < top]
        low, high, width = title[1] - TITLE_GAP, title[3] + TITLE_GAP, title[2] - title[0] + 2 * TITLE_GAP
        beside = [
            max(one[0], other[0])
            for path in paths
            for one, other in pairwise(path)
            if min(one[1], other[1]) < high and max(one[1], other[1]) > low and min(one[0], other[0]) < title[0]
        ]
        wanted = max([*content, *(x + width for x in beside)]) + FRAME_MARGIN
        spare = right - wanted
        if spare > 0:
            x, y = place.label
            clusters[cluster.id] = PlacedCluster((left, bottom, wanted, top), (x - spare, y))
    return replace(geometry, clusters=clusters)


def blocked(drawing: Drawing, geometry: Geometry) -> frozenset[Route]:
    """The routes that run through a box, because no lane was free."""
    lines = {(item.tail, item.head): path_points(item.path) for item in geometry.routes}
    found: set[Route] = set()
    for route in drawing.routes:
        points = [] if route.via else lines[route.tail, route.head]
        others = (box.id for box in drawing.boxes() if box.id not in {route.tail, route.head})
        if any(crosses(points, geometry.boxes[name].bounds) for name in others):
            found.add(route)
    return frozenset(found)


def _around(bounds: Bounds, points: Sequence[Point]) -> Bounds:
    """The bounds of the picture, wider where lines that we placed ourselves leave them."""
    left, bottom, right, top = bounds
    across, along = [x for x, _ in points], [y for _, y in points]
    return (
        min([left, *(x - _PAD for x in across)]),
        min([bottom, *(y - _PAD for y in along)]),
        max([right, *(x + _PAD for x in across)]),
        max([top, *(y + _PAD for y in along)]),
    )


def _floats(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def _bounds(text: str) -> Bounds:
    left, bottom, right, top = _floats(text)
    return left, bottom, right, top


def _label(item: Mapping[str, Any]) -> Point | None:
    if "lp" not in item:
        return None
    x, y = _floats(item["lp"])
    return x, y


# ---- edges and their labels --------------------------------------------------------------------------


def _straightened(edge: Edge, path: PlacedEdge, boxes: Mapping[str, Placed], direction: str) -> PlacedEdge:
    """A straight line where tail and head stand exactly behind each other."""
    turned = direction == "LR"
    tail, head = boxes[edge.tail], boxes[edge.head]
    if turned:
        tail, head = tail.turned(), head.turned()
    if not edge.straight or abs(tail.x - head.x) > _STRAIGHT_WITHIN:
        return path
    side = 1 if head.y > tail.y else -1
    x = (tail.x + head.x) / 2
    start, end = (x, tail.y + side * tail.height / 2), (x, head.y - side * head.height / 2)
    label: Point | None = None
    if turned:
        start, end = (start[1], start[0]), (end[1], end[0])
    # Along the flow the label stays where the layout kept room for it: outside of a frame that the edge enters.
    if path.label is not None and turned:
        label = (path.label[0], x + _LABEL_GAP + LABEL_HEIGHT / 2)
    elif path.label is not None:
        label = (x + _LABEL_GAP + text_width(edge.label, LABEL_SIZE) / 2, path.label[1])
    return PlacedEdge(straight_path(start, end, arrow=edge.arrow), label)


def _upward(edge: Edge, path: PlacedEdge, turn: bool, boxes: Mapping[str, Placed]) -> PlacedEdge:
    """An edge on the way up of a U; the first one leaves its box sideways."""
    tail, head = boxes[edge.tail], boxes[edge.head]
    end = (head.x, head.y - head.height / 2)
    points = [(tail.x, tail.y + tail.height / 2), end]
    if turn:
        points = [(tail.x + tail.width / 2, tail.y), (head.x, tail.y), end]
    label: Point | None = None
    if path.label is not None:
        label = (head.x + _LABEL_GAP + text_width(edge.label, LABEL_SIZE) / 2, path.label[1])
    return PlacedEdge(rounded_path(points, arrow=edge.arrow), label)


def _cornered(
    number: int, edge: Edge, path: PlacedEdge, turns: Turns, boxes: Mapping[str, Placed], direction: str
) -> PlacedEdge:
    """Sideways out of a point, along the flow, sideways into a circle; with the first or the last stretch missing."""
    turned = direction == "LR"
    start, end = turns.ends(number, edge)
    tail, head, start_place, end_place = (boxes[name] for name in (edge.tail, edge.head, start, end))
    if turned:
        tail, head, start_place, end_place = (item.turned() for item in (tail, head, start_place, end_place))
    down = 1 if head.y > tail.y else -1
    # A box of the branch says where the column is; where there is none, the corners do.
    x = end_place.x if end == edge.head else start_place.x
    points: list[Point] = [(x, tail.y + down * tail.height / 2)]
    if start != edge.tail:
        points = [(tail.x, tail.y), (x, tail.y)]
    if end != edge.head:
        side = 1 if x > head.x else -1
        points += [(x, head.y), (head.x + side * head.width / 2, head.y)]
    else:
        points.append((x, head.y - down * head.height / 2))
    label: Point | None = None
    if path.label is not None:
        half = LABEL_HEIGHT if turned else text_width(edge.label, LABEL_SIZE)
        aside = x + _LABEL_GAP + half / 2
        label = (path.label[0], aside) if turned else (aside, path.label[1])
    if turned:
        points = [(y, x) for x, y in points]
    return PlacedEdge(rounded_path(points, arrow=edge.arrow), label)


# ---- routes ------------------------------------------------------------------------------------------


def _routes(
    drawing: Drawing, boxes: Mapping[str, Placed], seen: Mapping[str, Placed], direction: str
) -> Iterable[PlacedRoute]:
    if direction == "LR":
        boxes = {name: place.turned() for name, place in boxes.items()}
        seen = {name: boxes[name] for name in seen}
    all_lanes = lanes(drawing)
    positions = _aligned(all_lanes, boxes, seen)
    taken: list[tuple[float, float, float]] = []
    for lane, position in zip(all_lanes, positions, strict=True):
        if not lane.route.via and not lane.route.across:
            position = _free(lane, position, boxes, seen, taken)
            low, high = sorted((boxes[lane.route.tail].y, boxes[lane.route.head].y))
            taken.append((position, low, high))
        for tail, head, points in _legs(lane, position, boxes):
            path = rounded_path([(y, x) for x, y in points] if direction == "LR" else points)
            yield PlacedRoute(tail, head, path, lane.route.dashed)


def _free(
    lane: Lane,
    position: float,
    boxes: Mapping[str, Placed],
    seen: Mapping[str, Placed],
    taken: Sequence[tuple[float, float, float]],
) -> float:
    """The place for a lane nearest to the wanted one where it runs through no box and not along another route."""
    route = lane.route
    low, high = sorted((boxes[route.tail].y, boxes[route.head].y))
    others = [place.bounds for name, place in seen.items() if name not in {route.tail, route.head}]
    own = _position(lane, boxes)
    for step in sorted(range(-_LANE_STEPS, _LANE_STEPS + 1), key=abs):
        for start in dict.fromkeys((position, own)):
            x = start + step * _LANE_STEP
            beside = any(abs(x - other) < _LANE_STEP and low < top and bottom < high for other, bottom, top in taken)
            legs = [points for _, _, points in _legs(lane, x, boxes)]
            if not beside and not any(crosses(points, bounds, -_LANE_GAP) for points in legs for bounds in others):
                return x
    return position


def _aligned(all_lanes: Sequence[Lane], boxes: Mapping[str, Placed], seen: Mapping[str, Placed]) -> list[float]:
    """Where each lane lies across the flow. Lanes of a frame share a line where nothing is in the way."""
    positions = [_position(lane, boxes) for lane in all_lanes]
    outermost: dict[tuple[str, bool], float] = {}
    keys: list[tuple[str, bool] | None] = []
    inside = [set(lane.route.beside) for lane in all_lanes]
    for number, lane in enumerate(all_lanes):
        nested = any(inside[number] < other for other in inside)
        key = None if nested or not lane.spare else (lane.route.cluster, positions[number] > boxes[lane.route.tail].x)
        keys.append(key)
        if key is not None:
            best = max if key[1] else min
            outermost[key] = best(outermost.get(key, positions[number]), positions[number])
    for number, (lane, lane_key) in enumerate(zip(all_lanes, keys, strict=True)):
        if lane_key is None:
            continue
        wanted = outermost[lane_key]
        tail, head = boxes[lane.route.tail], boxes[lane.route.head]
        low, high = sorted((tail.y, head.y))
        left, right = sorted((positions[number], wanted))
        if not any(overlap((left - 1, low, right + 1, high), place.bounds) for place in seen.values()):
            positions[number] = wanted
    return positions


def _position(lane: Lane, boxes: Mapping[str, Placed]) -> float:
    tail = boxes[lane.route.tail]
    if not lane.spare:
        return boxes[lane.route.via[0]].x if lane.route.via else tail.x
    across = [boxes[name].x for name in lane.spare]
    return max(across) if across[0] > tail.x else min(across)


def _legs(lane: Lane, position: float, boxes: Mapping[str, Placed]) -> Iterable[tuple[str, str, list[Point]]]:
    """A route's polylines: from the point sideways into the lane, along it, and sideways into the circle."""
    route = lane.route
    tail, head = boxes[route.tail], boxes[route.head]
    via = [boxes[name] for name in route.via]
    last = via[-1].x if via else position
    side = 1 if last > head.x else -1
    goal = (head.x + side * head.width / 2, head.y)
    if not via:
        yield route.tail, route.head, [(tail.x, tail.y), (position, tail.y), (position, head.y), goal]
        return
    down = 1 if via[0].y > tail.y else -1
    into = (via[0].x, via[0].y - down * via[0].height / 2)
    yield route.tail, route.via[0], [(tail.x, tail.y), (via[0].x, tail.y), into]
    for left, right in zip(route.via, route.via[1:], strict=False):
        upper, lower = boxes[left], boxes[right]
        start = (upper.x, upper.y + down * upper.height / 2)
        yield left, right, [start, (lower.x, lower.y - down * lower.height / 2)]
    out = (via[-1].x, via[-1].y + down * via[-1].height / 2)
    yield route.via[-1], route.head, [out, (via[-1].x, head.y), goal]
