"""Room for routes: what the layout is told so that a path beside layers has a lane of its own.

Each box of the body's longest path gets a companion on its rank, to its right: an unseen lane box, or a box of
the shortcut. Lanes of inner routes come first, so that nested routes nest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from specdl.backends.diagram.model import Drawing, Edge, Route


@dataclass(frozen=True, slots=True)
class Lane:
    """The lane of a route. `rungs` pairs a box of the body with its companion; `spare` are those that are unseen.

    `neighbors` are the companions' left neighbours on their ranks.
    """

    route: Route
    rungs: tuple[tuple[str, str], ...]
    spare: tuple[str, ...]
    neighbors: tuple[tuple[str, str], ...]


def rightmost(all_lanes: Iterable[Lane]) -> dict[str, str]:
    """What stands at the right end of a box's rank, by box."""
    found: dict[str, str] = {}
    for lane in sorted(all_lanes, key=lambda item: len(item.route.beside)):
        found.update(lane.rungs)
    return found


def lanes(drawing: Drawing) -> tuple[Lane, ...]:
    """The lanes of all routes, in the order of the drawing's routes."""
    shapes = {box.id: box.shape for box in drawing.boxes()}
    rightmost: dict[str, str] = {}
    made: dict[int, Lane] = {}
    for index in sorted(range(len(drawing.routes)), key=lambda number: len(drawing.routes[number].beside)):
        route = drawing.routes[index]
        if route.across:
            made[index] = Lane(route, (), (), ())
            continue
        path = [box for box in longest_path(route.beside, drawing.edges) if shapes[box] != "point"]
        before = max((len(path) - len(route.via)) // 2, 0)
        rungs: list[tuple[str, str]] = []
        spare: list[str] = []
        neighbors: list[tuple[str, str]] = []
        for place, box in enumerate(path):
            if 0 <= place - before < len(route.via):
                companion = route.via[place - before]
            else:
                companion = f"lane{index}_{place}"
                spare.append(companion)
            rungs.append((box, companion))
            neighbors.append((rightmost.get(box, box), companion))
            rightmost[box] = companion
        made[index] = Lane(route, tuple(rungs), tuple(spare), tuple(neighbors))
    return tuple(made[index] for index in range(len(drawing.routes)))


def longest_path(boxes: Iterable[str], edges: Iterable[Edge]) -> list[str]:
    """The longest chain of boxes; they come in the order of the program, so one sweep finds it."""
    order = list(boxes)
    inside = set(order)
    before: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        if edge.tail in inside and edge.head in inside:
            before[edge.head].append(edge.tail)
    length: dict[str, int] = {}
    came: dict[str, str | None] = {}
    for box in order:
        known = [tail for tail in before[box] if tail in length]
        best = max(known, key=lambda tail: length[tail]) if known else None
        length[box] = 1 + (length[best] if best is not None else 0)
        came[box] = best
    path: list[str] = []
    at = max(order, key=lambda item: length[item]) if order else None
    while at is not None:
        path.append(at)
        at = came[at]
    return path[::-1]
