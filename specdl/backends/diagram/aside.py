"""What moves aside where the layout has set it in the way of a line: labels of edges, and titles of frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from specdl.backends.diagram.model import Cluster
from specdl.backends.diagram.paths import Bounds, Point, around, crosses, overlap
from specdl.backends.diagram.style import LABEL_SIZE, text_width

LABEL_HEIGHT = 10.0
_BADGE = 30.0
TITLE_GAP = 4.0
_TITLE_LINE = 13.0
_NEAR = 90.0
_SHIFTS = sorted(
    ((dx, dy) for dx in range(-60, 61, 4) for dy in range(-24, 25, 4)), key=lambda at: abs(at[0]) + abs(at[1])
)


def label_bounds(text: str, center: Point) -> Bounds:
    """The room that an edge's label takes."""
    half = text_width(text, LABEL_SIZE) / 2
    return center[0] - half, center[1] - LABEL_HEIGHT / 2, center[0] + half, center[1] + LABEL_HEIGHT / 2


def title_bounds(cluster: Cluster, center: Point) -> Bounds:
    """The room that the title of a frame takes, with its badge and lines."""
    title = text_width(cluster.title, 10, bold=True) + (_BADGE if cluster.count > 1 else 0)
    half = max([title, *(text_width(line, 9) for line in cluster.lines)]) / 2
    height = _TITLE_LINE * (1 + len(cluster.lines))
    return center[0] - half, center[1] - height / 2, center[0] + half, center[1] + height / 2


def labels_aside(
    texts: Sequence[str], centers: Sequence[Point | None], paths: Sequence[Sequence[Point]], boxes: Sequence[Bounds]
) -> list[Point | None]:
    """The centers of the labels, moved to the nearest place free of lines, boxes and other labels.

    A label for which there is none stays.
    """
    taken = {
        number: label_bounds(text, center)
        for number, (text, center) in enumerate(zip(texts, centers, strict=True))
        if center is not None
    }
    result = list(centers)
    boundaries = [around(path) for path in paths]
    for number, center in enumerate(centers):
        if center is None:
            continue
        own = taken.pop(number)
        field = (own[0] - _NEAR, own[1] - _NEAR, own[2] + _NEAR, own[3] + _NEAR)
        near = [bounds for bounds in (*boxes, *taken.values()) if overlap(bounds, field)]
        lines = [path for path, bounds in zip(paths, boundaries, strict=True) if _meet(bounds, field)]
        for dx, dy in _SHIFTS:
            moved = (own[0] + dx, own[1] + dy, own[2] + dx, own[3] + dy)
            if _is_free(moved, lines, near):
                own = moved
                result[number] = (center[0] + dx, center[1] + dy)
                break
        taken[number] = own
    return result


def title_aside(
    cluster: Cluster, frame: Bounds, center: Point, paths: Sequence[Sequence[Point]], labels: Sequence[Bounds]
) -> Point:
    """The center of a frame's title: at its right end, or at its left where only that is free."""
    opposite = (frame[0] + frame[2] - center[0], center[1])
    if _is_free(_with_gap(title_bounds(cluster, center)), paths, labels):
        return center
    return opposite if _is_free(_with_gap(title_bounds(cluster, opposite)), paths, labels) else center


def missing_room(cluster: Cluster, center: Point, paths: Iterable[Sequence[Point]]) -> float:
    """By how much a frame would have to be wider for its title to stand beside all lines; 0 where it does."""
    bounds = _with_gap(title_bounds(cluster, center))
    inside = [
        min(point[0], bounds[2])
        for path in paths
        if crosses(path, bounds)
        for point in path
        if bounds[0] <= point[0] <= bounds[2]
    ]
    return max(inside) - bounds[0] if inside else 0.0


def _with_gap(bounds: Bounds) -> Bounds:
    """The room of a title with what keeps lines from touching it."""
    return bounds[0] - TITLE_GAP, bounds[1], bounds[2] + TITLE_GAP, bounds[3]


def _meet(a: Bounds, b: Bounds) -> bool:
    """Whether two rectangles touch; that of a straight line has no area."""
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def _is_free(bounds: Bounds, paths: Iterable[Sequence[Point]], taken: Iterable[Bounds]) -> bool:
    return not any(crosses(path, bounds) for path in paths) and not any(overlap(bounds, item) for item in taken)
