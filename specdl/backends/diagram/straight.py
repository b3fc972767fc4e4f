"""Which edges a diagram keeps straight: the chains that people see as the spine.

An edge is straight when its value goes one way only, and the box it enters either takes nothing else or takes
it first, the other inputs coming from elsewhere. What only comes from a parameter is never the spine.
Branches that leave one box and meet again are left to the layout, which sets them side by side; of an odd number
the middle one is straight, and around an even number fork and join stand in line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import replace

from specdl.backends.diagram.model import Edge


def straighten(
    edges: Sequence[Edge], inputs: Set[str]
) -> tuple[tuple[Edge, ...], dict[str, str], tuple[tuple[str, str], ...]]:
    """The edges, marked; the name of each box's chain; forks and joins that are in line though no edge joins them.

    `inputs` are the boxes of the network's inputs.
    """
    incoming: dict[str, list[Edge]] = defaultdict(list)
    outgoing: dict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        if not edge.skip:
            incoming[edge.head].append(edge)
            outgoing[edge.tail].append(edge)
    chain: dict[str, str] = {}
    marked: list[Edge] = []
    supports: list[tuple[str, str]] = []
    for edge in edges:
        straight = not edge.skip and (
            _continues(edge, incoming, outgoing, inputs) or _is_middle(edge, incoming, outgoing)
        )
        marked.append(replace(edge, straight=straight))
        if straight:
            chain[edge.head] = chain.setdefault(edge.tail, edge.tail)
        elif incoming[edge.head][:1] == [edge]:
            fork = _pair(incoming[edge.head], incoming, outgoing)
            if fork is not None and len(incoming[edge.head]) % 2 == 0:
                supports.append((fork, edge.head))
                chain[edge.head] = chain.setdefault(fork, fork)
    return tuple(marked), chain, tuple(supports)


_Edges = dict[str, list[Edge]]


def _continues(edge: Edge, incoming: _Edges, outgoing: _Edges, inputs: Set[str]) -> bool:
    """Whether a value goes only here, and here comes first."""
    return (
        len(outgoing[edge.tail]) == 1
        and _main(incoming[edge.head], incoming, inputs) == edge
        and not _meets(edge, incoming, outgoing)
    )


def _is_middle(edge: Edge, incoming: _Edges, outgoing: _Edges) -> bool:
    """Whether an edge begins or ends the middle one of an odd number of branches."""
    leaving, arriving = outgoing[edge.tail], incoming[edge.head]
    if len(leaving) > 1:
        join = _join(edge.head, incoming, outgoing)
        paired = join is not None and _pair(incoming[join], incoming, outgoing) == edge.tail
        return paired and len(leaving) % 2 == 1 and leaving[len(leaving) // 2] == edge
    if len(arriving) > 1 and _pair(arriving, incoming, outgoing) is not None:
        return len(arriving) % 2 == 1 and arriving[len(arriving) // 2] == edge
    return False


def _pair(arriving: Sequence[Edge], incoming: _Edges, outgoing: _Edges) -> str | None:
    """The fork of which all branches, and no others, end in these edges."""
    if len(arriving) < 2:
        return None
    fork, *others = (_fork(edge.tail, incoming, outgoing) for edge in arriving)
    if fork is None or any(other != fork for other in others) or len(outgoing[fork]) != len(arriving):
        return None
    return fork


def _main(edges: Sequence[Edge], incoming: _Edges, inputs: Set[str]) -> Edge:
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


def _meets(edge: Edge, incoming: _Edges, outgoing: _Edges) -> bool:
    """Whether another input of the head left the same box some way above."""
    others = [other for other in incoming[edge.head] if other is not edge]
    if not others:
        return False
    fork = _fork(edge.tail, incoming, outgoing)
    return fork is not None and any(_fork(other.tail, incoming, outgoing) == fork for other in others)


def _fork(box: str, incoming: _Edges, outgoing: _Edges) -> str | None:
    """The nearest box above from which more than one way leads."""
    while len(outgoing[box]) == 1:
        if len(incoming[box]) != 1:
            return None
        box = incoming[box][0].tail
    return box


def _join(box: str, incoming: _Edges, outgoing: _Edges) -> str | None:
    """The nearest box below into which more than one way leads."""
    while len(incoming[box]) == 1:
        if len(outgoing[box]) != 1:
            return None
        box = outgoing[box][0].head
    return box
