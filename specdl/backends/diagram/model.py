"""What is drawn, apart from where: boxes in clusters, edges between them, and routes that go around boxes."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field, replace
from typing import Literal

Shape = Literal["box", "circle", "point"]


@dataclass(frozen=True, slots=True)
class Box:
    """A layer, a folded block, a merge (`circle`), or the point where a path leaves (`point`).

    `note` is in small muted print; `count` above 1 gives a ×N badge, and `stacked` two cards behind the box.
    """

    id: str
    shape: Shape
    family: str
    title: str
    lines: tuple[str, ...] = ()
    note: str = ""
    count: int = 1
    stacked: bool = False
    tooltip: str = ""


@dataclass(slots=True)
class Cluster:
    """A frame around boxes; without a title it is not seen and only keeps its boxes together."""

    id: str
    title: str = ""
    lines: tuple[str, ...] = ()
    count: int = 1
    children: list[Box | Cluster] = field(default_factory=list)

    def boxes(self) -> Iterator[Box]:
        """All boxes in it, those of its clusters too."""
        for child in self.children:
            if isinstance(child, Cluster):
                yield from child.boxes()
            else:
                yield child

    def clusters(self) -> Iterator[Cluster]:
        """All frames in it, those of its frames too, outer ones first."""
        for child in self.children:
            if isinstance(child, Cluster):
                yield child
                yield from child.clusters()


@dataclass(frozen=True, slots=True)
class Edge:
    """A value on its way. `straight` edges make the spine."""

    tail: str
    head: str
    label: str = ""
    arrow: bool = True
    straight: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """A path around the boxes `beside`, from the point `tail` to the circle `head`, through the boxes `via`.

    `cluster` is where the lane lies. A dashed route is a concatenation, a solid one a sum or a product. In a bent
    picture a route runs straight `across`, without a lane.
    """

    tail: str
    head: str
    cluster: str
    beside: tuple[str, ...]
    via: tuple[str, ...] = ()
    dashed: bool = False
    across: bool = False


def tail_corner(number: int) -> str:
    """The name of the corner at an edge's tail."""
    return f"corner{number}a"


def head_corner(number: int) -> str:
    """The name of the corner at an edge's head."""
    return f"corner{number}b"


@dataclass(frozen=True, slots=True)
class Turns:
    """The corners of edges, by the number of the edge.

    Those at the edge's tail (a point), those at its head (a circle), and the order around each point and circle
    as the numbers of edges to its left and to its right, from left to right.
    """

    tails: frozenset[int] = frozenset()
    heads: frozenset[int] = frozenset()
    tail_order: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    head_order: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()

    def ends(self, number: int, edge: Edge) -> tuple[str, str]:
        """Between what the long stretch of an edge runs: its tail or the corner there, its head or the corner there."""
        return (
            tail_corner(number) if number in self.tails else edge.tail,
            head_corner(number) if number in self.heads else edge.head,
        )


@dataclass(frozen=True, slots=True)
class Course:
    """The edges, marked; the name of each box's chain; forks and joins that are in line though no edge joins them.

    In a picture that is bent into a U, `turn` is the number of the edge at the bottom, `upward` those from there on.
    """

    edges: tuple[Edge, ...]
    groups: dict[str, str]
    supports: tuple[tuple[str, str], ...]
    turns: Turns
    upward: frozenset[int] = frozenset()
    turn: int | None = None


@dataclass(frozen=True, slots=True)
class Drawing:
    """A whole picture. `legend` names the families in other words than their own (and only those that it has)."""

    name: str
    caption: str
    root: Cluster
    course: Course
    routes: tuple[Route, ...]
    legend: tuple[tuple[str, str], ...] = ()

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The edges, in the order of the program."""
        return self.course.edges

    def without(self, routes: Set[Route]) -> Drawing:
        """The same with some routes as edges, for the layout to find a way."""
        edges = (*self.edges, *(Edge(route.tail, route.head) for route in self.routes if route in routes))
        kept = tuple(route for route in self.routes if route not in routes)
        return replace(self, course=replace(self.course, edges=edges), routes=kept)

    def boxes(self) -> tuple[Box, ...]:
        """All boxes, in the order of the program."""
        return tuple(self.root.boxes())

    def clusters(self) -> Iterator[Cluster]:
        """All frames, seen and unseen, outer ones first."""
        return self.root.clusters()

    def families(self) -> tuple[str, ...]:
        """The families that occur, in the order of their first box."""
        return tuple(dict.fromkeys(box.family for box in self.boxes() if box.shape == "box"))
