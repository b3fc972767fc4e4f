"""How edges run: which are kept straight, the spine that people see, and which turn corners.

Straight is an edge that continues a chain: of what enters a box the first input (of a sum or concatenation the
longest way), of what leaves one the way to the network's output. Branches that leave one point and meet again
stand side by side, in their order: of an odd number the middle one is straight, and around an even number fork
and join stand in line. What leaves a point beside the spine, or joins a circle from beside it, turns a corner
there, and runs in a column of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Literal

from specdl.backends.diagram.model import Box, Course, Edge, Shape, Turns

Side = Literal["left", "right"]


def straighten(
    edges: Sequence[Edge], boxes: Sequence[Box], outputs: Sequence[str], occupied: Set[str] = frozenset()
) -> Course:
    """Finds how edges run. `outputs` are the boxes of outputs that matter; `occupied` the points and circles whose
    right side a route takes.
    """
    return _Straightener(edges, boxes, outputs, occupied).course()


class _Straightener:
    def __init__(self, edges: Sequence[Edge], boxes: Sequence[Box], outputs: Sequence[str], occupied: Set[str]) -> None:
        self.edges = edges
        self.occupied = occupied
        self.shapes: Mapping[str, Shape] = {box.id: box.shape for box in boxes}
        self.inputs = {box.id for box in boxes if box.family == "io"}
        self.number = {id(edge): number for number, edge in enumerate(edges)}
        self.incoming: dict[str, list[Edge]] = defaultdict(list)
        self.outgoing: dict[str, list[Edge]] = defaultdict(list)
        for edge in edges:
            self.incoming[edge.head].append(edge)
            self.outgoing[edge.tail].append(edge)
        self.depth = self._depths()
        self.forks: dict[str, str | None] = {}
        self.joins = {fork: box for box in list(self.incoming) if (fork := self.pair(box)) is not None}
        for fork, join in self.joins.items():
            # Branches stand in the order in which they are joined, that of the spec.
            self.outgoing[fork] = [self._first(fork, edge) for edge in self.incoming[join]]
        self.useful = self._reaching(outputs)

    def course(self) -> Course:
        chain: dict[str, str] = {}
        marked: list[Edge] = []
        supports: list[tuple[str, str]] = []
        for edge in self.edges:
            straight = self._leads(edge) and self._follows(edge)
            marked.append(replace(edge, straight=straight))
            if straight:
                chain[edge.head] = chain.setdefault(edge.tail, edge.tail)
            elif self.incoming[edge.head][:1] == [edge]:
                fork = self.pair(edge.head)
                if fork is not None and len(self.incoming[edge.head]) % 2 == 0:
                    supports.append((fork, edge.head))
                    chain[edge.head] = chain.setdefault(fork, fork)
        return Course(tuple(marked), chain, tuple(supports), self._turns(marked, chain))

    # ---- the spine -----------------------------------------------------------------------------------

    def _leads(self, edge: Edge) -> bool:
        """Whether the edge is the one of its tail that runs on straight."""
        leaving = self.outgoing[edge.tail]
        return len(leaving) == 1 or self._main_leaving(edge.tail) is edge

    def _follows(self, edge: Edge) -> bool:
        """Whether the edge is the one of its head that comes straight."""
        return self._main_arriving(edge.head) is edge

    def _main_leaving(self, box: str) -> Edge | None:
        leaving = self.outgoing[box]
        if box not in self.joins:
            leaving = [edge for edge in leaving if edge.head in self.useful] or leaving
            nearest = min(self.depth[edge.head] for edge in leaving)
            leaving = [edge for edge in leaving if self.depth[edge.head] == nearest]
            alone = [edge for edge in leaving if len(self.incoming[edge.head]) == 1]
            if len(alone) < len(leaving):
                return alone[0] if len(alone) == 1 else None
        return leaving[len(leaving) // 2] if len(leaving) % 2 else None

    def _main_arriving(self, box: str) -> Edge | None:
        arriving = self.incoming[box]
        if len(arriving) == 1:
            return arriving[0]
        if self.pair(box) is not None:
            return arriving[len(arriving) // 2] if len(arriving) % 2 else None
        if self.shapes[box] == "circle":
            return max(arriving, key=lambda edge: self.depth[edge.tail])
        return next((edge for edge in arriving if self._from_input(edge.tail)), arriving[0])

    def _from_input(self, box: str) -> bool:
        """Whether more than a parameter comes out of a chain."""
        while len(self.incoming[box]) == 1:
            box = self.incoming[box][0].tail
        return bool(self.incoming[box]) or box in self.inputs

    def _depths(self) -> dict[str, int]:
        """The number of boxes on the longest way to each; edges come in the order of the program."""
        depth: dict[str, int] = defaultdict(int)
        waiting = {box: len(arriving) for box, arriving in self.incoming.items()}
        ready = [box for box in self.outgoing if not waiting.get(box)]
        while ready:
            box = ready.pop()
            for edge in self.outgoing[box]:
                depth[edge.head] = max(depth[edge.head], depth[box] + 1)
                waiting[edge.head] -= 1
                if not waiting[edge.head]:
                    ready.append(edge.head)
        return depth

    def _reaching(self, boxes: Sequence[str]) -> set[str]:
        """The boxes from which a way leads to some of these."""
        found = set(boxes)
        stack = list(boxes)
        while stack:
            for edge in self.incoming[stack.pop()]:
                if edge.tail not in found:
                    found.add(edge.tail)
                    stack.append(edge.tail)
        return found

    # ---- branches ------------------------------------------------------------------------------------

    def pair(self, join: str) -> str | None:
        """The fork of which all branches, and no others, end in a box."""
        if join not in self.forks:
            self.forks[join] = None
            self.forks[join] = self._fork_of(join)
        return self.forks[join]

    def _fork_of(self, join: str) -> str | None:
        arriving = self.incoming[join]
        if len(arriving) < 2:
            return None
        first, *others = (self._fork_above(edge.tail) for edge in arriving)
        if first is None or any(other != first for other in others) or len(self.outgoing[first]) != len(arriving):
            return None
        return first

    def _fork_above(self, box: str) -> str | None:
        """The nearest box above from which more than one way leads; branches that have met again are passed."""
        while len(self.outgoing[box]) == 1:
            arriving = self.incoming[box]
            fork = self.pair(box)
            if fork is not None:
                above = self.incoming[fork]
                if len(above) != 1:
                    return None
                box = above[0].tail
            elif len(arriving) == 1:
                box = arriving[0].tail
            else:
                return None
        return box

    def _first(self, fork: str, edge: Edge) -> Edge:
        """The edge with which a branch begins, by the edge with which it ends."""
        while edge.tail != fork:
            inner = self.pair(edge.tail)
            edge = self.incoming[edge.tail if inner is None else inner][0]
        return edge

    # ---- corners -------------------------------------------------------------------------------------

    def _turns(self, marked: Sequence[Edge], chain: Mapping[str, str]) -> Turns:
        along: Counter[str] = Counter()
        tails: dict[str, tuple[list[int], list[int]]] = {}
        heads: dict[str, tuple[list[int], list[int]]] = {}
        for number, edge in enumerate(marked):
            if edge.straight:
                continue
            if self._turns_away(edge):
                side = self._side(self.outgoing[edge.tail], number, self._main_leaving(edge.tail), edge.tail)
                if edge.tail not in self.joins and len(self.outgoing[edge.tail]) == 2:
                    # What leaves a spine again and again does so to the left and right in turn.
                    side = "left" if along[chain.get(edge.tail, edge.tail)] % 2 else "right"
                    along[chain.get(edge.tail, edge.tail)] += 1
                tails.setdefault(edge.tail, ([], []))[side == "right"].append(number)
            if self._turns_in(edge):
                side = self._side(self.incoming[edge.head], number, self._main_arriving(edge.head), edge.head)
                heads.setdefault(edge.head, ([], []))[side == "right"].append(number)
        return Turns(
            frozenset(number for sides in tails.values() for side in sides for number in side),
            frozenset(number for sides in heads.values() for side in sides for number in side),
            tuple((box, *self._ordered(sides, self.outgoing[box])) for box, sides in tails.items()),
            tuple((box, *self._ordered(sides, self.incoming[box])) for box, sides in heads.items()),
        )

    def _ordered(
        self, sides: tuple[list[int], list[int]], edges: Sequence[Edge]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        place = {self.number[id(edge)]: index for index, edge in enumerate(edges)}
        left, right = sides
        return tuple(sorted(left, key=place.__getitem__)), tuple(sorted(right, key=place.__getitem__))

    def _turns_away(self, edge: Edge) -> bool:
        if self.shapes[edge.tail] != "point" or edge.tail in self.occupied:
            return False
        return len(self.incoming[edge.head]) == 1 or self.joins.get(edge.tail) == edge.head

    def _turns_in(self, edge: Edge) -> bool:
        if self.shapes[edge.head] != "circle":
            return False
        return len(self.outgoing[edge.tail]) == 1 or self.joins.get(edge.tail) == edge.head

    def _side(self, edges: Sequence[Edge], number: int, main: Edge | None, box: str) -> Side:
        if box in self.occupied:
            return "left"
        place = [self.number[id(edge)] for edge in edges].index(number)
        if main is None or box in self.joins or self.pair(box) is not None:
            return "left" if place < len(edges) // 2 else "right"
        return "left" if place < [id(edge) for edge in edges].index(id(main)) else "right"
