"""Where everything is, once laid out: boxes, frames, the paths of edges, and the routes that we place ourselves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specdl.backends.diagram.lanes import Lane, lanes
from specdl.backends.diagram.model import Drawing

Point = tuple[float, float]

_CORNER = 9.0
_ARROW = 7.0
_QUARTER = 0.5523  # the control points of a quarter circle, as a cubic Bézier curve


@dataclass(frozen=True, slots=True)
class Placed:
    """The centre and size of a box, in points."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class PlacedCluster:
    """The bounds (left, bottom, right, top) of a frame and the centre of its title."""

    bounds: tuple[float, float, float, float]
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

    bounds: tuple[float, float, float, float]
    label: Point | None
    boxes: Mapping[str, Placed]
    clusters: Mapping[str, PlacedCluster]
    edges: tuple[PlacedEdge, ...]
    routes: tuple[PlacedRoute, ...]


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
            left, bottom, right, top = _floats(item["bb"])
            clusters[item["name"].removeprefix("cluster_")] = PlacedCluster((left, bottom, right, top), _label(item))
    edges = {item["id"]: PlacedEdge(item["pos"], _label(item)) for item in data.get("edges", ()) if "id" in item}
    left, bottom, right, top = _floats(data["bb"])
    return Geometry(
        (left, bottom, right, top),
        _label(data),
        boxes,
        clusters,
        tuple(edges[f"e{number}"] for number in range(len(drawing.edges))),
        tuple(path for lane in lanes(drawing) for path in _route(lane, boxes, direction)),
    )


def _floats(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def _label(item: Mapping[str, Any]) -> Point | None:
    if "lp" not in item:
        return None
    x, y = _floats(item["lp"])
    return x, y


def _route(lane: Lane, boxes: Mapping[str, Placed], direction: str) -> list[PlacedRoute]:
    """A route's paths: from the point sideways into the lane, along it, and sideways into the circle."""
    route = lane.route
    turned = _transposed if direction == "LR" else _same
    tail, head = turned(boxes[route.tail]), turned(boxes[route.head])
    if not route.via:
        across = [turned(boxes[name]).x for name in lane.spare] or [tail.x + 60]
        side = 1 if across[0] > tail.x else -1
        lane_x = max(across) if side > 0 else min(across)
        points = [
            (tail.x, tail.y),
            (lane_x, tail.y),
            (lane_x, head.y),
            (head.x + side * head.width / 2, head.y),
        ]
        return [PlacedRoute(route.tail, route.head, _path(points, direction), route.dashed)]
    first, last = turned(boxes[route.via[0]]), turned(boxes[route.via[-1]])
    down = 1 if first.y > tail.y else -1
    side = 1 if last.x > head.x else -1
    into = [(tail.x, tail.y), (first.x, tail.y), (first.x, first.y - down * first.height / 2)]
    out = [(last.x, last.y + down * last.height / 2), (last.x, head.y), (head.x + side * head.width / 2, head.y)]
    paths = [PlacedRoute(route.tail, route.via[0], _path(into, direction), route.dashed)]
    for left, right in zip(route.via, route.via[1:], strict=False):
        upper, lower = turned(boxes[left]), turned(boxes[right])
        points = [(upper.x, upper.y + down * upper.height / 2), (lower.x, lower.y - down * lower.height / 2)]
        paths.append(PlacedRoute(left, right, _path(points, direction), route.dashed))
    paths.append(PlacedRoute(route.via[-1], route.head, _path(out, direction), route.dashed))
    return paths


def _same(place: Placed) -> Placed:
    return place


def _transposed(place: Placed) -> Placed:
    return Placed(place.y, place.x, place.height, place.width)


def _path(points: Sequence[Point], direction: str) -> str:
    """A polyline with rounded corners and an arrow at its end, as Graphviz writes a spline."""
    if direction == "LR":
        points = [(y, x) for x, y in points]
    tip = points[-1]
    dx, dy, _ = _unit(points[-2], tip)
    points = [*points[:-1], (tip[0] - dx * _ARROW, tip[1] - dy * _ARROW)]
    curve = [points[0]]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        ax, ay, a = _unit(before, corner)
        bx, by, b = _unit(corner, after)
        radius = min(_CORNER, a / 2, b / 2)
        enter = (corner[0] - ax * radius, corner[1] - ay * radius)
        leave = (corner[0] + bx * radius, corner[1] + by * radius)
        reach = radius * (1 - _QUARTER)
        curve += _line(curve[-1], enter)
        curve += [
            (corner[0] - ax * reach, corner[1] - ay * reach),
            (corner[0] + bx * reach, corner[1] + by * reach),
            leave,
        ]
    curve += _line(curve[-1], points[-1])
    spline = " ".join(f"{x:.2f},{y:.2f}" for x, y in curve)
    return f"e,{tip[0]:.2f},{tip[1]:.2f} {spline}"


def _unit(start: Point, end: Point) -> tuple[float, float, float]:
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max((dx * dx + dy * dy) ** 0.5, 1e-9)
    return dx / length, dy / length, length


def _line(start: Point, end: Point) -> list[Point]:
    """The control points of a straight cubic."""
    dx, dy = (end[0] - start[0]) / 3, (end[1] - start[1]) / 3
    return [(start[0] + dx, start[1] + dy), (start[0] + 2 * dx, start[1] + 2 * dy), end]
