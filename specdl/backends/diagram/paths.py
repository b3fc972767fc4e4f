"""Lines and curves as Graphviz writes them, and what touches what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

Point = tuple[float, float]
Bounds = tuple[float, float, float, float]
"""Left, bottom, right, top."""

_CORNER = 9.0
_ARROW = 7.0
_QUARTER = 0.5523  # the control points of a quarter circle, as a cubic Bézier curve


def straight_path(start: Point, end: Point, *, arrow: bool) -> str:
    """A straight line, with an arrow at its end unless it has none."""
    if not arrow:
        return _text([start, *_line(start, end)])
    stop = _before(start, end)
    return f"e,{_point(end)} {_text([start, *_line(start, stop)])}"


def rounded_path(points: Sequence[Point], *, arrow: bool = True) -> str:
    """A polyline with rounded corners, and an arrow at its end unless it has none."""
    points = [point for index, point in enumerate(points) if not index or _unit(points[index - 1], point)[2] > 1e-3]
    tip = points[-1]
    if arrow:
        points = [*points[:-1], _before(points[-2], tip)]
    curve = [points[0]]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        ax, ay, a = _unit(before, corner)
        bx, by, b = _unit(corner, after)
        radius = min(_CORNER, a / 2, b / 2)
        reach = radius * (1 - _QUARTER)
        curve += _line(curve[-1], (corner[0] - ax * radius, corner[1] - ay * radius))
        curve += [
            (corner[0] - ax * reach, corner[1] - ay * reach),
            (corner[0] + bx * reach, corner[1] + by * reach),
            (corner[0] + bx * radius, corner[1] + by * radius),
        ]
    curve += _line(curve[-1], points[-1])
    return f"e,{_point(tip)} {_text(curve)}" if arrow else _text(curve)


def path_points(path: str, steps: int = 8) -> list[Point]:
    """Points along a path, close to each other."""
    controls: list[Point] = []
    tip: list[Point] = []
    for word in path.split():
        *mark, x, y = word.split(",")
        (tip if mark else controls).append((float(x), float(y)))
    points: list[Point] = []
    for index in range(0, len(controls) - 3, 3):
        a, b, c, d = controls[index : index + 4]
        for step in range(steps + 1):
            t = step / steps
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            points.append(
                (
                    sum(weight * point[0] for weight, point in zip(weights, (a, b, c, d), strict=True)),
                    sum(weight * point[1] for weight, point in zip(weights, (a, b, c, d), strict=True)),
                )
            )
    return points + tip


def crosses(points: Iterable[Point], bounds: Bounds, margin: float = 0.0) -> bool:
    """Whether the line through the points runs through a rectangle that is smaller by `margin` on each side."""
    left, bottom, right, top = bounds
    inner = (left + margin, bottom + margin, right - margin, top - margin)
    return any(_enters(start, end, inner) for start, end in pairwise(points))


def _enters(start: Point, end: Point, bounds: Bounds) -> bool:
    """Whether some of a segment lies inside of a rectangle (Liang and Barsky's clipping)."""
    (x, y), (next_x, next_y) = start, end
    left, bottom, right, top = bounds
    if (x <= left and next_x <= left) or (x >= right and next_x >= right):
        return False
    if (y <= bottom and next_y <= bottom) or (y >= top and next_y >= top):
        return False
    first, last = 0.0, 1.0
    for axis in (0, 1):
        low, high = bounds[axis], bounds[axis + 2]
        step = end[axis] - start[axis]
        if abs(step) < 1e-9:
            if not low < start[axis] < high:
                return False
            continue
        near, far = sorted(((low - start[axis]) / step, (high - start[axis]) / step))
        first, last = max(first, near), min(last, far)
    return first < last


def around(points: Sequence[Point]) -> Bounds:
    """The smallest rectangle around some points."""
    across, along = [x for x, _ in points], [y for _, y in points]
    return min(across), min(along), max(across), max(along)


def overlap(a: Bounds, b: Bounds) -> bool:
    """Whether two rectangles share some area."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _before(start: Point, tip: Point) -> Point:
    """Where the line ends and the arrowhead begins."""
    dx, dy, length = _unit(start, tip)
    arrow = min(_ARROW, length / 2)
    return tip[0] - dx * arrow, tip[1] - dy * arrow


def _unit(start: Point, end: Point) -> tuple[float, float, float]:
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max((dx * dx + dy * dy) ** 0.5, 1e-9)
    return dx / length, dy / length, length


def _line(start: Point, end: Point) -> list[Point]:
    """The control points of a straight cubic."""
    dx, dy = (end[0] - start[0]) / 3, (end[1] - start[1]) / 3
    return [(start[0] + dx, start[1] + dy), (start[0] + 2 * dx, start[1] + 2 * dy), end]


def _point(point: Point) -> str:
    return f"{point[0]:.2f},{point[1]:.2f}"


def _text(points: Iterable[Point]) -> str:
    return " ".join(map(_point, points))
