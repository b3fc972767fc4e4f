"""What is drawn, apart from where: boxes in clusters, edges between them, and routes that go around boxes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Edge:
    """A value on its way. `straight` edges make the spine; a `skip` is drawn dashed."""

    tail: str
    head: str
    label: str = ""
    arrow: bool = True
    straight: bool = False
    skip: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """A path around the boxes `beside`, from the point `tail` to the circle `head`, through the boxes `via`.

    `cluster` is where the lane lies. A dashed route is a concatenation, a solid one a sum or a product.
    """

    tail: str
    head: str
    cluster: str
    beside: tuple[str, ...]
    via: tuple[str, ...] = ()
    dashed: bool = False
    label: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A whole picture. `groups` names the straight chain that a box stands in.

    `supports` are pairs of boxes, a fork and a join with an even number of branches between, that stand in line.
    `legend` names the families in other words than their own (and only those that it has).
    """

    name: str
    caption: str
    root: Cluster
    edges: tuple[Edge, ...]
    routes: tuple[Route, ...]
    groups: dict[str, str]
    supports: tuple[tuple[str, str], ...] = ()
    legend: tuple[tuple[str, str], ...] = ()

    def boxes(self) -> tuple[Box, ...]:
        """All boxes, in the order of the program."""
        return tuple(self.root.boxes())

    def families(self) -> tuple[str, ...]:
        """The families that occur, in the order of their first box."""
        return tuple(dict.fromkeys(box.family for box in self.boxes() if box.shape == "box"))
