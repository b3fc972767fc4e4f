"""Which edges a diagram keeps straight: the chains that people see as the spine.

An edge is straight when its value goes one way only, and the box it enters either takes nothing else or takes
it first, the other inputs coming from elsewhere. What only comes from a parameter is never the spine. Branches that leave one box and meet again are left to the
layout, which sets them side by side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import replace

from specdl.backends.diagram.model import Edge


def straighten(edges: Sequence[Edge], inputs: Set[str]) -> tuple[tuple[Edge, ...], dict[str, str]]:
    """The edges, marked, and the name of each box's chain. `inputs` are the boxes of the network's inputs."""
    incoming: dict[str, list[Edge]] = defaultdict(list)
    outgoing: dict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        if not edge.skip:
            incoming[edge.head].append(edge)
            outgoing[edge.tail].append(edge)
    chain: dict[str, str] = {}
    marked: list[Edge] = []
    for edge in edges:
        straight = (
            not edge.skip
            and len(outgoing[edge.tail]) == 1
            and _main(incoming[edge.head], incoming, inputs) == edge
            and not _meets(edge, incoming, outgoing)
        )
        marked.append(replace(edge, straight=straight))
        if straight:
            chain[edge.head] = chain.setdefault(edge.tail, edge.tail)
    return tuple(marked), chain


def _main(edges: Sequence[Edge], incoming: dict[str, list[Edge]], inputs: Set[str]) -> Edge:
    """The first edge that doesn't merely bring a parameter."""
    if len(edges) == 1:
        return edges[0]
    for edge in edges:
        box = edge.tail
        while len(incoming[box]) == 1:
            box = incoming[box][0].tail
        if incoming[box] or box in inputs:
            return edge
    return edges[0]


def _meets(edge: Edge, incoming: dict[str, list[Edge]], outgoing: dict[str, list[Edge]]) -> bool:
    """Whether another input of the head left the same box some way above."""
    others = [other for other in incoming[edge.head] if other is not edge]
    if not others:
        return False
    fork = _fork(edge.tail, incoming, outgoing)
    return fork is not None and any(_fork(other.tail, incoming, outgoing) == fork for other in others)


def _fork(box: str, incoming: dict[str, list[Edge]], outgoing: dict[str, list[Edge]]) -> str | None:
    """The nearest box above from which more than one way leads."""
    while len(outgoing[box]) == 1:
        if len(incoming[box]) != 1:
            return None
        box = incoming[box][0].tail
    return box
