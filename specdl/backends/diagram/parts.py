"""What of a function is drawn as one thing: a layer, a fused chain, a run of equal calls, a repeated segment.

A part covers consecutive nodes. Looking at parts and not at nodes keeps a diagram as small as its distinct
pieces: 24 equal layers are one part with a count. Nothing here knows what is opened; `plan` decides that.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Any, Literal

from specdl.analysis.cost import tied_weights
from specdl.ir.program import Function, Node, Program
from specdl.ir.types import TensorType

PartKind = Literal["operator", "chain", "call", "run", "segment"]

_LEADERS = frozenset({"convolution", "linear", "embedding", "normalization"})
_FOLLOWERS = frozenset({"normalization", "activation", "dropout"})
_LONGEST_CHAIN = 4
_LONGEST_PERIOD = 16
_FUSE_ABOVE = 14
_REPEAT_ABOVE = 24
_LEAF_LINES = 3
_PARAMETERS_SHOWN = 4
_PARAMETERS_READ = 5  # of more, a few say nothing (the six widths of an inception block)
_SHORTEN_ABOVE = 1000
_NAMED_SYMBOLS = {"concat": "C"}


@dataclass(frozen=True, slots=True)
class Part:
    """Nodes `start` to `stop` of a function, drawn as one. `count` repetitions of `(stop - start) // count` nodes.

    A `run` is of calls that differ: `inner` is its first call (or its first equal ones), and the rest as a part.
    `badge` is the N of ×N (for a group that wraps a run, the run's). `symbol` is the text of a merge's circle. A
    `shared` part runs the weights of another. `key` is the function that a call opens, `inner` the parts that one
    repetition of a segment opens. `same` says what counts as the same structure.
    """

    kind: PartKind
    start: int
    stop: int
    title: str
    lines: tuple[str, ...] = ()
    family: str = "block"
    symbol: str = ""
    parameters: int = 0
    shared: bool = False
    count: int = 1
    badge: int = 1
    key: str = ""
    inner: tuple[Part, ...] = ()
    same: Hashable = None

    @property
    def text(self) -> str:
        """The part in one line."""
        words = " · ".join((self.title, *self.lines))
        return words if self.badge == 1 else f"{self.badge} × ({words})"

    @property
    def opens(self) -> bool:
        """Whether there is something inside to show."""
        return bool(self.key or self.inner)


class Parts:
    """The parts of a program's functions, each found once however often it is called."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._parts: dict[str, tuple[Part, ...]] = {}
        self._counts: dict[str, int] = {}
        self._same: dict[str, Hashable] = {}
        self._leaves: dict[str, Part | None] = {}
        self._looks: dict[str, Hashable] = {}
        self._mixes: set[str] = set()

    def of(self, key: str) -> tuple[Part, ...]:
        """The parts of a function, in its order. Layers that nothing runs are left out."""
        found = self._parts.get(key)
        if found is None:
            found = self._parts[key] = self._find(self.program.functions[key])
        return found

    def parameters(self, key: str) -> int:
        """The number of parameters of a function, those of shared layers where they were made."""
        found = self._counts.get(key)
        if found is None:
            function = self.program.functions[key]
            types = function.types()
            found = sum(self._node_parameters(node, types) for node in function.nodes if node.network is None)
            # Each call of a network shares the weights of the first.
            networks = {node.network: node.callee for node in function.nodes if node.network is not None}
            found += sum(self.parameters(str(callee)) for callee in networks.values())
            found -= sum(elements for elements, _ in tied_weights(self.program, function).values())
            self._counts[key] = found
        return found

    def same(self, key: str) -> Hashable:
        """What makes two functions the same to a reader: a block's name; a group's operators, whatever their widths."""
        found = self._same.get(key)
        if found is None:
            function = self.program.functions[key]
            found = self._same[key] = self._structure(function)
        return found

    def look(self, key: str) -> Hashable:
        """What tells two functions apart in a picture: all but the probabilities of dropout."""
        found = self._looks.get(key)
        if found is None:
            function = self.program.functions[key]
            nodes = [
                (
                    self.look(node.callee) if isinstance(node.callee, str) else _words(node.callee),
                    node.inputs,
                    node.outputs,
                    node.types,
                    node.shares,
                    node.skip,
                )
                for node in function.nodes
            ]
            types = tuple(value.type for value in function.inputs)
            found = self._looks[key] = (function.name, types, tuple(nodes), function.outputs, function.residuals)
        return found

    def wraps(self, key: str) -> bool:
        """Whether a group or iteration holds nothing but one run of one block, as `layer1 = repeat: 2` does."""
        function = self.program.functions[key]
        if function.kind == "block" or not all(isinstance(node.callee, str) for node in function.nodes):
            return False
        return len({self.same(str(node.callee)) for node in function.nodes}) == 1

    # ---- finding parts -------------------------------------------------------------------------------

    def _find(self, function: Function) -> tuple[Part, ...]:
        flow = _Flow(function)
        parts = self._mixed_runs(self._runs(function), function, flow)
        calls = any(part.kind in {"call", "run"} for part in parts)
        if len(parts) > _FUSE_ABOVE or (calls and function.kind == "network"):
            parts = _fuse(parts, flow)
        if len(parts) > _REPEAT_ABOVE:
            parts = _segments(parts, function, flow)
        if len(parts) > _SHORTEN_ABOVE:
            parts = _shorten(parts, flow)
        return tuple(parts)

    def _runs(self, function: Function) -> list[Part]:
        """One part a node, but equal calls in a row are one."""
        flow = _Flow(function)
        types = function.types()
        parts: list[Part] = []
        tail = 0  # where the last repetition of the newest run begins
        tied = tied_weights(self.program, function)
        for index, node in enumerate(function.nodes):
            if node.skip:
                continue
            if isinstance(node.callee, str):
                part = self._call(index, node)
            else:
                part = self._operator(index, node, types, function.key in self._mixes)
            shared = [elements for alias, (elements, _) in tied.items() if alias.partition(".")[0] == node.name]
            if shared:
                part = replace(part, parameters=part.parameters - sum(shared))
                part = part if isinstance(node.callee, str) else replace(part, lines=(*part.lines, "tied"))
            last = parts[-1] if parts else None
            begins, tail = tail, index
            if last and self._continues(last, part) and flow.chained(last.start, last.stop, part.stop, tail=begins):
                if last.title != part.title:
                    # Calls with names of their own are one run under the block's name.
                    words = _bound(self.program.functions[part.key])
                    title, lines = self.program.functions[part.key].name, (" · ".join(words),) if words else ()
                    last = replace(last, title=title, lines=lines)
                parts[-1] = _longer(last, part)
            else:
                parts.append(part)
        return parts

    def _mixed_runs(self, parts: Sequence[Part], function: Function, flow: _Flow) -> list[Part]:
        """Joins calls in a row of one block that differ in parameters or sizes."""
        result: list[Part] = []
        index = 0
        while index < len(parts):
            stop = index + 1
            while (
                stop < len(parts)
                and parts[index].kind == parts[stop].kind == "call"
                and parts[index].same == parts[stop].same
                and not self.wraps(parts[stop].key)
                and parts[stop - 1].stop == parts[stop].start
                and flow.chained(parts[stop - 1].start, parts[stop - 1].stop, parts[stop].stop)
                and flow.same_sides(parts[stop - 1], parts[stop])
            ):
                stop += 1
            joined = parts[stop - 1]
            for part in reversed(parts[index : stop - 1]):
                joined = self._mixed(part, joined, function)
            result.append(joined)
            index = stop
        return result

    def _mixed(self, first: Part, rest: Part, function: Function) -> Part:
        nodes = function.nodes[first.start : rest.stop]
        callees = [self.program.functions[str(node.callee)] for node in nodes]
        title, lines = _split(_variants(callees))
        if all(_own_name(node, callee) for node, callee in zip(nodes, callees, strict=True)):
            lines = (f"{nodes[0].name} to {nodes[-1].name}", *lines)
        return Part(
            "run",
            first.start,
            rest.stop,
            title,
            lines,
            parameters=first.parameters + rest.parameters,
            badge=first.badge + rest.badge,
            inner=(first, rest),
            same=first.same,
        )

    def _continues(self, last: Part, part: Part) -> bool:
        if last.kind != part.kind or part.start != last.stop:
            return False
        if part.kind == "call":
            if last.key != part.key and last.same == part.same and self.look(last.key) == self.look(part.key):
                # One function stands for all, without the probabilities in which they differ.
                self._mixes.add(last.key)
                self._parts.pop(last.key, None)
                return True
            return last.key == part.key
        # Calls of small blocks look like layers; drawn the same, they may fold although their widths differ.
        return part.kind == "chain" and part.same == last.same and (part.title, part.lines) == (last.title, last.lines)

    def _operator(self, index: int, node: Node, types: Mapping[str, TensorType], mixed: bool = False) -> Part:
        op: Any = node.callee
        title, details = op.title(), op.details()
        if mixed and op.family == "dropout":
            title, details = _without_number(title), ""
        if op.stored:
            title, details = node.name, title  # what it is for, `class_token`, is in its name alone
        symbol = ""
        if op.family == "merge" and sum(name is not None for name in node.inputs) > 1:
            symbol = _NAMED_SYMBOLS.get(op.operator, title if len(title) == 1 else "")
        return Part(
            "operator",
            index,
            index + 1,
            title,
            (details,) if details else (),
            family=op.family,
            symbol=symbol,
            parameters=self._node_parameters(node, types),
            shared=node.shares is not None,
        )

    def _call(self, index: int, node: Node) -> Part:
        key = str(node.callee)
        function = self.program.functions[key]
        if node.network is not None:
            # A step shows networks closed: each has a picture of its own.
            named = not node.name.isdigit() and not f"{node.name}_".startswith(f"{node.network}_")
            below = (node.name,) if named else ()
            count, unlike = self.parameters(key), ("network", index)
            return Part("chain", index, index + 1, node.network, below, "block", parameters=count, same=unlike)
        if node.loop is not None:
            return Part("call", index, index + 1, "loop", badge=node.loop.count, key=key, same=("loop", key))
        parameters = 0 if node.shares is not None else self.parameters(key)
        same = self.same(key)
        leaf = self._leaf(key)
        if leaf is not None:
            title, lines = leaf.title, leaf.lines
            own = _own_name(node, function)
            if leaf.kind == "segment":
                title = own or (function.name if function.kind == "block" else "")
                title, lines = (title, lines) if title else (lines[0], lines[1:])
            elif leaf.family == "block" and own:
                title, lines = own, (title, *lines)
            # Whatever repeats inside is in the badge; for this level it is one node.
            return replace(
                leaf,
                kind="chain",
                start=index,
                stop=index + 1,
                title=title,
                lines=lines,
                count=1,
                parameters=parameters,
                shared=node.shares is not None,
                same=same,
            )
        title, lines, badge = self._call_label(node, function)
        return Part(
            "call",
            index,
            index + 1,
            title,
            lines,
            parameters=parameters,
            shared=node.shares is not None,
            badge=badge,
            key=key,
            same=same,
        )

    def _call_label(self, node: Node, function: Function) -> tuple[str, tuple[str, ...], int]:
        own = _own_name(node, function)
        if self.wraps(function.key):
            inner = [self.program.functions[str(item.callee)] for item in function.nodes if not item.skip]
            if inner and inner[0].kind == "block":
                lines = _variants(inner)
                return (own, lines, len(inner)) if own else (*_split(lines), len(inner))
            (first, *others) = self.of(function.key)
            if not others and first.badge == len(inner) > 1:
                return own or "sequence", (), len(inner)
        if function.kind != "block":
            layers = sum(not item.skip for item in function.nodes)
            return own or "sequence", (f"{layers} layers",) if layers > 1 else (), 1
        words = _bound(function)
        if own:
            return own, (" · ".join((function.name, *words)),), 1
        return function.name, (" · ".join(words),) if words else (), 1

    def _leaf(self, key: str) -> Part | None:
        """A function so small and straight that it is one box: as a `chain` titled by its layer, or as a `segment`
        with a line for each of its up to three pieces."""
        if key not in self._leaves:
            self._leaves[key] = self._find_leaf(self.program.functions[key])
        return self._leaves[key]

    def _find_leaf(self, function: Function) -> Part | None:
        if function.residuals or len(function.inputs) != 1 or len(function.outputs) != 1:
            return None
        flow = _Flow(function)
        parts = _fold_equal(_fuse(self._runs(function), flow), flow)
        if not parts or any(part.kind not in {"operator", "chain"} or part.symbol for part in parts):
            return None
        if not all(flow.chained(left.start, left.stop, right.stop) for left, right in pairwise(parts)):
            return None
        if len(parts) == 1:
            return replace(parts[0], kind="chain")
        if len(parts) > _LEAF_LINES or function.kind == "network":
            return None
        return Part("segment", 0, 0, function.name, tuple(part.text for part in parts))

    def _node_parameters(self, node: Node, types: Mapping[str, TensorType]) -> int:
        if node.shares is not None:
            return 0
        if isinstance(node.callee, str):
            return self.parameters(node.callee)
        given = [types[name] for name in node.inputs if name is not None]
        return sum(prod(weight.shape) for weight in node.callee.weights(*given) if not weight.buffer)

    def _structure(self, function: Function) -> Hashable:
        if function.kind == "block":
            return function.name
        if self.wraps(function.key):
            return self.same(str(function.nodes[0].callee))
        return tuple(
            self.same(node.callee) if isinstance(node.callee, str) else node.callee.operator for node in function.nodes
        )


class _Flow:
    """Who reads what in a function."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.maker: dict[str, int] = {}
        self.last_read: dict[str, int] = {}
        self.readers: dict[str, set[int]] = {}
        for index, node in enumerate(function.nodes):
            for name in node.outputs:
                self.maker[name] = index
            if node.skip:
                continue
            for value in node.inputs:
                if value is not None:
                    self.last_read[value] = index
                    self.readers.setdefault(value, set()).add(index)
        for name in function.outputs:
            self.last_read[name] = len(function.nodes)

    def chained(self, start: int, middle: int, stop: int, *, tail: int | None = None) -> bool:
        """Whether nodes `middle` to `stop` continue `start` to `middle`: they read its values, nobody else does.

        Of a run that is chained already only the last repetition matters, which begins at `tail`. What each repetition
        reads at the same place, as a bias of attention, is no path that goes around.
        """
        nodes = self.function.nodes
        touched = False
        for node in nodes[start if tail is None else tail : middle]:
            for name in node.outputs:
                if self.last_read.get(name, -1) >= stop:
                    return False
                touched = touched or any(middle <= reader < stop for reader in self.readers.get(name, ()))
        before = nodes[start if tail is None else tail : middle]
        sides = set(before[0].inputs) & set(nodes[middle].inputs) if len(before) == stop - middle == 1 else set()
        sides = {name for name in sides if before[0].inputs.index(name) == nodes[middle].inputs.index(name)}
        return touched and not any(
            start > self.maker.get(name, -1) >= 0 and self._recent(name, start)
            for node in nodes[middle:stop]
            for name in node.inputs
            if name is not None and name not in sides
        )

    def same_sides(self, left: Part, right: Part) -> bool:
        """Whether two calls in a row read the same values besides the one that flows: a mask, not skip connections."""
        nodes = self.function.nodes
        made = {name for node in nodes[left.start : left.stop] for name in node.outputs}
        before, after = nodes[left.start].inputs, nodes[right.start].inputs
        sides = [index for index, name in enumerate(after) if name not in made]
        return len(before) == len(after) and all(before[index] == after[index] for index in sides)

    def _recent(self, name: str, start: int) -> bool:
        """Whether a value from before is read by `start` and beyond alike: a path that goes around."""
        return start in self.readers.get(name, ())


def _fuse(parts: Sequence[Part], flow: _Flow) -> list[Part]:
    """Convolution, normalization and activation in a row become one part, named for the first."""
    fused: list[Part] = []
    for part in parts:
        last = fused[-1] if fused else None
        if (
            last is not None
            and last.kind in {"operator", "chain"}
            and part.kind == "operator"
            and last.count == 1
            and last.family in _LEADERS
            and part.family in _FOLLOWERS
            and last.stop == part.start
            and last.stop - last.start < _LONGEST_CHAIN
            and flow.chained(last.start, last.stop, part.stop)
        ):
            line = " · ".join((*last.lines, part.title))
            total = last.parameters + part.parameters
            fused[-1] = replace(last, kind="chain", stop=part.stop, lines=(line,), parameters=total)
        else:
            fused.append(part)
    return fused


def _longer(last: Part, part: Part) -> Part:
    """A run with one more part. A shared layer adds no parameters, so these are summed and not multiplied."""
    return replace(
        last,
        stop=part.stop,
        count=last.count + part.count,
        badge=last.badge + part.badge,
        parameters=last.parameters + part.parameters,
    )


def _look(part: Part) -> Hashable:
    """What a reader sees of one repetition, apart from its parameters."""
    return (
        part.kind,
        part.title,
        part.lines,
        part.shared,
        part.badge // part.count,
        part.same,
        (part.stop - part.start) // part.count,
    )


def _fold_equal(parts: Sequence[Part], flow: _Flow) -> list[Part]:
    """Parts in a row that look the same become one with a count."""
    folded: list[Part] = []
    for part in parts:
        last = folded[-1] if folded else None
        if (
            last is not None
            and part.kind != "call"
            and not part.symbol
            and last.stop == part.start
            and _look(last) == _look(part)
            and flow.chained(last.start, last.stop, part.stop)
        ):
            folded[-1] = _longer(last, part)
        else:
            folded.append(part)
    return folded


def _segments(parts: Sequence[Part], function: Function, flow: _Flow) -> list[Part]:
    """Finds what an unnamed loop has unrolled: pieces that repeat, each reading its neighbour as the one before did."""
    parts = _fold_equal(parts, flow)
    codes = _codes(parts, function, flow)
    result: list[Part] = []
    index = 0
    while index < len(parts):
        best = (0, 1, 1)
        for period in range(2, min(_LONGEST_PERIOD, (len(parts) - index) // 2) + 1):
            count = _repetitions(codes, index, period)
            if count > 1 and (count - 1) * period > best[0]:
                best = ((count - 1) * period, period, count)
        _, period, count = best
        stop = index + period * count
        if count > 1 and _private(parts[index:stop], period, flow):
            inner = tuple(parts[index : index + period])
            result.append(_segment(inner, parts[index:stop], count))
        else:
            stop = index + 1
            result.append(parts[index])
        index = stop
    return result


def _codes(parts: Sequence[Part], function: Function, flow: _Flow) -> list[int]:
    """A number for each part: equal where the looks and the relative places of the inputs are."""
    owner = {position: number for number, part in enumerate(parts) for position in range(part.start, part.stop)}
    known: dict[Hashable, int] = {}
    codes: list[int] = []
    for number, part in enumerate(parts):
        sources: list[Hashable] = []
        for node in function.nodes[part.start : part.stop]:
            for name in node.inputs:
                maker = flow.maker.get(name) if name is not None else None
                sources.append(name if maker is None else number - owner.get(maker, -1))
        codes.append(known.setdefault((_look(part), tuple(sources)), len(known)))
    return codes


def _repetitions(codes: Sequence[int], index: int, period: int) -> int:
    matched = index
    while matched + period < len(codes) and codes[matched] == codes[matched + period]:
        matched += 1
    return (matched - index) // period + 1


def _private(parts: Sequence[Part], period: int, flow: _Flow) -> bool:
    """Whether only the next repetition reads the values of each."""
    for number, part in enumerate(parts[:-period]):
        limit = parts[min(len(parts), (number // period + 2) * period) - 1].stop
        for node in flow.function.nodes[part.start : part.stop]:
            if any(flow.last_read.get(name, -1) >= limit for name in node.outputs):
                return False
    return True


def _segment(inner: tuple[Part, ...], parts: Sequence[Part], count: int) -> Part:
    words = [part.text for part in inner if not part.symbol]
    shown = words if len(words) <= _LEAF_LINES else [*words[: _LEAF_LINES - 1], "…"]
    return Part(
        "segment",
        parts[0].start,
        parts[-1].stop,
        f"{len(inner)} layers" if len(inner) > 1 else words[0],
        tuple(shown),
        parameters=sum(part.parameters for part in parts),
        count=count,
        badge=count,
        inner=inner,
        same=tuple(_look(part) for part in inner),
    )


def _shorten(parts: Sequence[Part], flow: _Flow) -> list[Part]:
    """The last resort against a picture of thousands of boxes: straight stretches of layers become one box each."""
    result: list[Part] = []
    for part in parts:
        last = result[-1] if result else None
        if last is not None and last.stop == part.start and flow.chained(last.start, last.stop, part.stop):
            total = last.parameters + part.parameters
            layers = part.stop - last.start
            result[-1] = Part("chain", last.start, part.stop, f"{layers:,} layers", parameters=total)
        else:
            result.append(part)
    return result


# ---- texts -------------------------------------------------------------------------------------------


def _words(op: Any) -> tuple[str, str]:
    """An operator's title and details, without the probability of a dropout."""
    return (_without_number(op.title()), "") if op.family == "dropout" else (op.title(), op.details())


def _without_number(title: str) -> str:
    return re.sub(r" [\d.e-]+$", "", title)


def _own_name(node: Node, function: Function) -> str:
    """The name that the user gave to a call, if it isn't a number or the block's own."""
    name = node.shares.rpartition(".")[2] if node.shares is not None else node.name
    if name.isdigit() or name == function.name or name.removeprefix(f"{function.name}_").isdigit():
        return name if function.kind != "block" and not name.isdigit() else ""
    return name


def _bound(function: Function) -> tuple[str, ...]:
    """The first parameters of a block that say something: nothing implied, no zeros, ones, fractions. None if many."""
    given = {name: value for name, value in function.parameters.items() if name not in function.implied}
    words = tuple(_parameter(name, value) for name, value in given.items() if _telling(value))
    return words[:_PARAMETERS_SHOWN] if len(words) <= _PARAMETERS_READ else ()


def _telling(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return isinstance(value, (int, str)) and value not in {0, 1, ""}


def _parameter(name: str, value: Any) -> str:
    words = name.replace("_", " ")
    return words if value is True else f"{words} {value}"


def _split(lines: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Text that begins with a block's name, with this name as the title."""
    title, _, words = lines[0].partition(" · ")
    return title, ((words, *lines[1:]) if words else lines[1:])


def _variants(functions: Sequence[Function]) -> tuple[str, ...]:
    """A run of one block as text: what all share, then how the first differs."""
    first, last = functions[0], functions[-1]
    shared = [word for word in _bound(last) if all(word in _bound(function) for function in functions)]
    lines = [" · ".join((first.name, *shared))]
    special = [word for word in _bound(first) if word not in shared]
    if len(functions) > 1 and special and all(_bound(item) == _bound(last) for item in functions[1:]):
        lines.append("first: " + " · ".join(special))
    return tuple(lines)
