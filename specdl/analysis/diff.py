"""Two architectures compared layer by layer: what was added, removed, changed, renamed, or only has other shapes.

Layers are aligned level by level: within a group by a longest common subsequence, so that one inserted layer is one
addition although it renumbers those behind it. Equal pairs of functions are compared once, so that a change in a
block that is called twenty-four times is one change, twenty-four times.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import Any, Literal

from specdl.analysis.cost import node_cost
from specdl.analysis.wiring import Wiring, changed_entries
from specdl.ir.dims import Dim
from specdl.ir.program import Function, Node, Program
from specdl.ir.state import aliases
from specdl.ir.types import TensorType
from specdl.ops.base import Op

Kind = Literal["added", "removed", "changed", "renamed", "reshaped"]


@dataclass(frozen=True, slots=True)
class Side:
    """A layer on one side of a comparison; its path holds `*` for the numbers that a change stands for."""

    path: str
    operator: str
    title: str
    shape: str
    parameters: int
    flops: Dim
    line: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One change. `details` are arguments (or `order`, `inputs`) with their values before and after.

    It happens `times` times, in blocks that are called as often, at paths that differ in their numbers.
    """

    kind: Kind
    before: Side | None
    after: Side | None
    details: tuple[tuple[str, str, str], ...] = ()
    times: int = 1


def compare(before: Program, after: Program, network: str | None = None) -> tuple[Difference, ...]:
    """The differences of two networks, the first of each program unless named, in the order of the second."""
    comparison = _Comparison(before, after)
    one, other = before.network(network), after.network(network)
    found = [*comparison.ports(one, other), *comparison.functions(one.key, other.key), *comparison.whole(one, other)]
    return tuple(found)


@dataclass
class _Comparison:
    before: Program
    after: Program
    known: dict[tuple[str, str], tuple[Difference, ...]] = field(default_factory=dict)
    looks: dict[tuple[int, str], Hashable] = field(default_factory=dict)

    def ports(self, one: Function, other: Function) -> Iterator[Difference]:
        """Inputs of the networks that differ."""
        left, right = ({value.name: value.type for value in item.inputs} for item in (one, other))
        for name in dict.fromkeys((*left, *right)):
            if left.get(name) != right.get(name):
                before, after = (
                    None if name not in types else Side(name, "input", "input", str(types[name]), 0, 0, item.span.line)
                    for types, item in ((left, one), (right, other))
                )
                yield Difference(_kind(before, after), before, after)

    def whole(self, one: Function, other: Function) -> Iterator[Difference]:
        """What two networks say as a whole: weights that are one, how weights begin, what is frozen."""
        sides = ((self.before, one), (self.after, other))
        ties = [aliases(program.functions, function) for program, function in sides]
        rules = [{rule.pattern: rule.initializer.name for rule in function.init} for _, function in sides]
        frozen = [
            dict.fromkeys(sorted(program.frozen.get(_name(program, function), ())), "frozen")
            for program, function in sides
        ]
        for what, (before, after) in {"tie": ties, "init": rules, "freeze": frozen}.items():
            for name, old, new in changed_entries(before, after):
                left, right = (Side(name, what, what, "", 0, 0, function.span.line) for _, function in sides)
                yield Difference("changed", left, right, ((what, old, new),))

    def functions(self, one: str, other: str) -> tuple[Difference, ...]:
        """The differences of two functions, paths relative to them."""
        key = (one, other)
        if key not in self.known:
            self.known[key] = tuple(_folded(self.nodes(self.before.functions[one], self.after.functions[other])))
        return self.known[key]

    def nodes(self, one: Function, other: Function) -> Iterator[tuple[str, Difference]]:
        """The differences of two functions' nodes, each with what folds it with its neighbours."""
        left, right = one.types(), other.types()
        pairs = _aligned(
            [self.look(0, node, one.counted) for node in one.nodes],
            [self.look(1, node, other.counted) for node in other.nodes],
            [_pairing(node, one.counted) for node in one.nodes],
            [_pairing(node, other.counted) for node in other.nodes],
        )
        wiring = Wiring(one, other, pairs)
        for a, b in pairs:
            first = None if a is None else one.nodes[a]
            second = None if b is None else other.nodes[b]
            read = None if a is None or b is None else wiring.inputs(a, b)
            yield from self.pair(first, second, left, right, read)
        for name, old, new in wiring.outputs():
            before, after = (Side(name, "output", "output", "", 0, 0, item.span.line) for item in (one, other))
            yield "", Difference("changed", before, after, (("from", old, new),))

    def pair(
        self,
        one: Node | None,
        other: Node | None,
        left: dict[str, TensorType],
        right: dict[str, TensorType],
        read: tuple[str, str] | None,
    ) -> Iterator[tuple[str, Difference]]:
        """The differences of a layer with its counterpart; `read` is what they read where that differs."""
        before = None if one is None else _side(self.before, one, left)
        after = None if other is None else _side(self.after, other, right)
        if one is None or other is None or before is None or after is None:
            yield "", Difference(_kind(before, after), before, after)
            return
        inputs = () if read is None else (("inputs", *read),)
        renamed = before.path != after.path and bool(before.parameters or after.parameters or _own_name(other))
        if isinstance(one.callee, str) and isinstance(other.callee, str):
            if renamed and not (before.path.isdigit() and after.path.isdigit()):
                yield "", Difference("renamed", before, after)
            if inputs:
                yield "", Difference("changed", before, after, inputs)
            for item in self.functions(one.callee, other.callee):
                yield f"{one.callee}|{other.callee}", _below(item, before.path, after.path)
            return
        details = (*_details(one.callee, other.callee), *inputs)
        if details or before.parameters != after.parameters or before.operator != after.operator:
            yield "", Difference("changed", before, after, details)
        elif renamed and not (before.path.isdigit() and after.path.isdigit()):
            yield "", Difference("renamed", before, after)
        elif before.shape != after.shape or before.flops != after.flops:
            yield "", Difference("reshaped", before, after)

    def look(self, side: int, node: Node, counted: bool) -> Hashable:
        """What must agree for two layers to be the same but for sizes: name (where it isn't a number), arguments."""
        name = "" if counted and node.name.isdigit() else _base(node)
        return name, node.shares, node.skip, node.training_only, self.structure(side, node.callee)

    def structure(self, side: int, callee: Op | str) -> Hashable:
        """An operator with its arguments, or a function's layers; without sizes."""
        if isinstance(callee, Op):
            return callee
        key = (side, callee)
        if key not in self.looks:
            function = (self.before, self.after)[side].functions[callee]
            self.looks[key] = hash(tuple(self.look(side, node, function.counted) for node in function.nodes))
        return self.looks[key]


def _kind(before: Side | None, after: Side | None) -> Kind:
    return "added" if before is None else "removed" if after is None else "changed"


def _base(node: Node) -> str:
    """A layer's own name, or the one that it has after its operator, without a number."""
    return node.callee_name if not _own_name(node) else node.name


def _own_name(node: Node) -> bool:
    """Whether a person gave the name, as far as can be seen."""
    return not re.fullmatch(rf"{re.escape(node.callee_name)}(_\d+)?", node.name) and not node.name.isdigit()


def _name(program: Program, function: Function) -> str:
    return next(name for name, key in program.networks.items() if key == function.key)


def _pairing(node: Node, counted: bool) -> Hashable:
    """What two layers that aren't the same must share to be one that was changed."""
    if counted and node.name.isdigit():
        return node.callee_name if isinstance(node.callee, Op) else "call"
    return _base(node)


def _aligned(
    left: Sequence[Hashable],
    right: Sequence[Hashable],
    left_pairing: Sequence[Hashable],
    right_pairing: Sequence[Hashable],
) -> list[tuple[int | None, int | None]]:
    """Positions that belong together, in the order of the second side; None for what has no counterpart."""
    pairs: list[tuple[int | None, int | None]] = []
    for tag, a, a_end, b, b_end in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if tag == "equal":
            pairs += zip(range(a, a_end), range(b, b_end), strict=True)
            continue
        waiting = list(range(a, a_end))
        for position in range(b, b_end):
            match = next((item for item in waiting if left_pairing[item] == right_pairing[position]), None)
            if match is not None:
                waiting.remove(match)
            pairs.append((match, position))
        pairs += [(item, None) for item in waiting]
    return _moved(pairs, left, right)


def _moved(
    pairs: list[tuple[int | None, int | None]], left: Sequence[Any], right: Sequence[Any]
) -> list[tuple[int | None, int | None]]:
    """Pairs what was removed here and added there under another name with the same arguments."""
    lost = {item[0]: item[0] for item in pairs if item[1] is None and item[0] is not None}
    found: list[tuple[int | None, int | None]] = []
    for a, b in pairs:
        if a is None and b is not None:
            same = next((item for item in lost if left[item][1:] == right[b][1:] and right[b][-1] is not None), None)
            if same is not None:
                del lost[same]
            found.append((same, b))
        else:
            found.append((a, b))
    return [item for item in found if item[1] is not None or item[0] in lost]


def _details(one: Any, other: Any) -> tuple[tuple[str, str, str], ...]:
    """The arguments of two operators that differ."""
    if type(one) is not type(other) or not isinstance(one, Op):
        return ()
    return tuple(
        (name, _spelled(getattr(one, name)), _spelled(getattr(other, name)))
        for name in type(one).model_fields
        if getattr(one, name) != getattr(other, name)
    )


def _spelled(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"[{', '.join(map(_spelled, value))}]" if isinstance(value, (list, tuple)) else str(value)


def _side(program: Program, node: Node, types: dict[str, TensorType]) -> Side:
    parameters, flops = node_cost(program, node, types)
    title = node.callee_name
    if isinstance(node.callee, Op):
        title = " ".join(filter(None, (node.callee.title(), node.callee.details())))
    shape = ", ".join(map(str, node.types))
    operator = node.callee_name
    if isinstance(node.callee, str):
        kind = program.functions[node.callee].kind
        operator = title = program.functions[node.callee].name if kind == "block" else "sequence"
    return Side(node.name, operator, title, shape, parameters, flops, node.span.line)


def _below(item: Difference, before: str, after: str) -> Difference:
    """A difference inside of a layer, seen from the level of that layer."""
    return replace(
        item,
        before=None if item.before is None else replace(item.before, path=f"{before}.{item.before.path}"),
        after=None if item.after is None else replace(item.after, path=f"{after}.{item.after.path}"),
    )


def _folded(found: Iterator[tuple[str, Difference]]) -> Iterator[Difference]:
    """Differences of the same pair of functions, met again at another number, become one."""
    folded: dict[Hashable, Difference] = {}
    order: list[Hashable] = []
    for index, (pair, item) in enumerate(found):
        key: Hashable = index if not pair else (pair, _rest(item.before), _rest(item.after), item.kind)
        if key in folded:
            first = folded[key]
            folded[key] = replace(
                first,
                before=_starred(first.before, item.before),
                after=_starred(first.after, item.after),
                times=first.times + item.times,
            )
        else:
            folded[key] = item
            order.append(key)
    return (folded[key] for key in order)


def _rest(side: Side | None) -> str | None:
    return None if side is None else side.path.partition(".")[2]


def _starred(one: Side | None, other: Side | None) -> Side | None:
    """A side whose path stands for both."""
    if one is None or other is None or one.path == other.path:
        return one
    head, _, rest = one.path.partition(".")
    number = head if head == other.path.partition(".")[0] else "*"
    return replace(one, path=f"{number}.{rest}")
