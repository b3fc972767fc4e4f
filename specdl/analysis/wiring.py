"""How two aligned functions differ in what flows where: inputs of layers, and outputs.

A layer reads the same on both sides where what it reads comes from layers that belong together. A layer that was
added or removed in between is looked through, so that an insertion is not told again at the layer behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from specdl.ir.program import Function

Pairs = Sequence[tuple[int | None, int | None]]
"""Positions of the nodes of two functions that belong together."""

Source = tuple[str, int, int]
"""Where a value comes from: `input` and its position, or `node`, its position and which of its outputs."""


@dataclass
class Wiring:
    """The values of two functions, and which of their nodes belong together."""

    one: Function
    other: Function
    pairs: Pairs
    partner: dict[int, int] = field(init=False)
    sources: tuple[dict[str, Source], dict[str, Source]] = field(init=False)
    alone: tuple[set[int], set[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.partner = {b: a for a, b in self.pairs if a is not None and b is not None}
        self.sources = (_sources(self.one), _sources(self.other))
        self.alone = (
            {a for a, b in self.pairs if a is not None and b is None},
            {b for a, b in self.pairs if b is not None and a is None},
        )

    def inputs(self, a: int, b: int) -> tuple[str, str] | None:
        """What two layers read, by the names there, where it differs; None where it is the same."""
        before, after = self.one.nodes[a].inputs, self.other.nodes[b].inputs
        if len(before) == len(after) and all(map(self.same, before, after)):
            return None
        return _listed(before), _listed(after)

    def outputs(self) -> Iterator[tuple[str, str, str]]:
        """Outputs that come from elsewhere: their name (or number), and the values before and after."""
        before, after = (dict(zip(item.output_names, item.outputs, strict=True)) for item in (self.one, self.other))
        if before.keys() != after.keys() and len(before) == len(after):  # a last value without a name of its own
            before = dict(zip(after, before.values(), strict=True))
        for name in dict.fromkeys((*before, *after)):
            if not self.same(before.get(name), after.get(name)):
                yield name, before.get(name) or "nothing", after.get(name) or "nothing"

    def same(self, before: str | None, after: str | None) -> bool:
        """Whether two values are one and the same."""
        if before is None or after is None:
            return before is after
        left, right = self.origin(before, 0), self.origin(after, 1)
        if left[0] == right[0] == "node":
            return self.partner.get(right[1]) == left[1] and left[2] == right[2]
        return left == right

    def origin(self, name: str, side: int) -> Source:
        """Where a value comes from, seen through layers that have no counterpart."""
        function = (self.one, self.other)[side]
        source = self.sources[side][name]
        seen: set[int] = set()
        while source[0] == "node" and source[1] in self.alone[side] and source[1] not in seen:
            seen.add(source[1])
            first = next((item for item in function.nodes[source[1]].inputs if item is not None), None)
            if first is None:
                break
            source = self.sources[side][first]
        return source


def _sources(function: Function) -> dict[str, Source]:
    found: dict[str, Source] = {value.name: ("input", at, 0) for at, value in enumerate(function.inputs)}
    for index, node in enumerate(function.nodes):
        found.update({name: ("node", index, at) for at, name in enumerate(node.outputs)})
    return found


def _listed(names: Sequence[str | None]) -> str:
    return ", ".join(name or "nothing" for name in names)


def changed_entries(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Entries of two mappings that differ, with their values; `nothing` where one has none."""
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            yield name, before.get(name, "nothing"), after.get(name, "nothing")
