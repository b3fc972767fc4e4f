"""From a program to a `Drawing`: views become boxes and clusters, values become edges, what goes around layers a route.

A value is followed by the box that it comes out of. Labels are sparse on purpose: a shape is written where it
changes and where an arrow crosses the border of a block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from specdl.backends.diagram.forks import add_fork_points
from specdl.backends.diagram.model import Box, Cluster, Drawing, Edge, Route
from specdl.backends.diagram.parts import Part, Parts
from specdl.backends.diagram.plan import View, plan
from specdl.backends.diagram.straight import straighten
from specdl.backends.diagram.style import clean, count_text
from specdl.ir.given import with_inputs
from specdl.ir.program import Function, Node, Program
from specdl.ir.types import TensorType

_LONGEST_NAME = 36
_QUIET = frozenset({"normalization", "activation", "dropout"})
"""Families before which a changed shape isn't written yet: the label waits for the end of the chain."""


@dataclass(frozen=True, slots=True)
class _Port:
    """Where a value comes out, and the shape that was last written on its way."""

    box: str
    shown: str = ""


@dataclass(frozen=True, slots=True)
class _Bypass:
    """A value that goes around the views `first` to `last` to the merge at `merge`, through the views `via`."""

    value: str
    first: int
    last: int
    merge: int
    via: tuple[int, ...] = ()
    dashed: bool = False


@dataclass(slots=True)
class _Level:
    """A function being drawn: what each view has drawn, and the frames that keep bodies of routes together."""

    function: Function
    frame: tuple[str, ...]
    types: Mapping[str, TensorType]
    env: dict[str, _Port]
    children: list[list[Box | Cluster]] = field(default_factory=list)
    wraps: list[tuple[int, int]] = field(default_factory=list)


def build(
    program: Program,
    *,
    key: str | None = None,
    depth: int | None = None,
    shapes: bool = True,
    title: str | None = None,
) -> Drawing:
    """The drawing of a function of the program: the first network's, unless another's `key` is given."""
    key = key or program.main.key
    optional = frozenset(value.name for value in program.functions[key].inputs if value.optional)
    program = with_inputs(program)
    step = program.functions[key].kind != "network"
    program = replace(program, functions={name: _unlike(item, step) for name, item in program.functions.items()})
    return _Builder(program, shapes, optional).drawing(key, depth, title or program.name)


def _unlike(function: Function, step: bool) -> Function:
    """A function without the inputs that only say how large something is, as that of a class token's `expand` does.

    A network keeps one that is an operator's only input, since what is made would come from nowhere; in a step, where
    nearly all that is drawn at random has one, it goes too.
    """
    nodes = []
    for node in function.nodes:
        if not isinstance(node.callee, str) and (step or sum(name is not None for name in node.inputs) > 1):
            inputs = (None if port.startswith("like") else name for port, name in _ports(node))
            node = replace(node, inputs=tuple(inputs))
        nodes.append(node)
    return replace(function, nodes=tuple(nodes))


def _ports(node: Node) -> Sequence[tuple[str, str | None]]:
    """The inputs of an operator with their names; those of an operator that takes any number have none."""
    assert not isinstance(node.callee, str)
    ports = node.callee.inputs
    named = ports if len(ports) == len(node.inputs) else ("",) * len(node.inputs)
    return list(zip(named, node.inputs, strict=True))


class _Builder:
    def __init__(self, program: Program, shapes: bool, optional: frozenset[str] = frozenset()) -> None:
        self.program = program
        self.shapes = shapes
        self.optional = optional
        self.parts = Parts(program)
        self.edges: list[Edge] = []
        self.routes: list[Route] = []
        self.frames: dict[str, tuple[str, ...]] = {}
        self.drawn: list[str] = []
        self.labelled: set[tuple[str, str]] = set()
        self.clusters = 0

    def drawing(self, key: str, depth: int | None, title: str) -> Drawing:
        """The drawing of one network or step."""
        function = self.program.functions[key]
        views = plan(self.parts, key, depth)
        level = _Level(function, (), function.types(), {})
        root = Cluster("root")
        inputs = {value.name: value.type for value in function.inputs}
        outputs: list[str] = []
        # Inputs are drawn with their first reader, so that a decoder's stands beside the decoder.
        root.children = self._level(level, views, "", inputs)
        for index, (name, value) in enumerate(zip(function.output_names, function.outputs, strict=True)):
            training = index >= len(function.outputs) - function.training_outputs
            type = level.types[value]
            lines = tuple(filter(None, (shape_text(type), "in training" if training else "")))
            box = self._box(Box(f"out{index}", "box", "io", name, lines, tooltip=f"{name}: {type}"), ())
            root.children.append(box)
            if not training:
                outputs.append(box.id)
            port = level.env.get(value)
            if port is None:
                port = self._input(value, type, root.children)
            self.edges.append(Edge(port.box, box.id))
        caption = f"{clean(title, _LONGEST_NAME)} · {count_text(self.parts.parameters(key))} parameters"
        edges, routes = add_fork_points(root, self.edges, self.routes)
        occupied = {end for route in routes for end in (route.tail, route.head)}
        course = straighten(edges, tuple(root.boxes()), outputs, occupied)
        return Drawing(self.program.name, caption, root, course, routes)

    # ---- levels --------------------------------------------------------------------------------------

    def _level(
        self, level: _Level, views: Sequence[View], path: str, inputs: Mapping[str, TensorType] | None = None
    ) -> list[Box | Cluster]:
        """Draws a function's views; `inputs` are the values to draw as inputs where they are first read."""
        bypasses = _bypasses(level.function, [view.part for view in views])
        ends = {bypass.merge: bypass for bypass in bypasses}
        through = {index for bypass in bypasses for index in bypass.via}
        ranges: list[tuple[int, int]] = []
        for index, view in enumerate(views):
            children: list[Box | Cluster] = []
            level.children.append(children)
            for name in _reads(level.function, view.part):
                if name not in level.env and inputs is not None and name in inputs:
                    level.env[name] = self._input(name, inputs[name], children, level.frame)
            for bypass in bypasses:
                if bypass.first == index:
                    self._fork(level, bypass.value, children)
            before = len(self.drawn)
            ending = ends.get(index)
            if ending is not None:
                self._merge(level, view, ending, ranges, path, children)
            else:
                self._view(level, view, path, children, entering=index not in through)
            ranges.append((before, len(self.drawn)))
        return _assemble(level, f"{level.frame[-1] if level.frame else 'root'}{self.clusters}")

    def _view(self, level: _Level, view: View, path: str, children: list[Box | Cluster], entering: bool) -> None:
        part, nodes = view.part, level.function.nodes
        names = path + nodes[part.start].name
        if view.children is None:
            self._operator(level, part, names, children, entering)
        elif part.kind == "run":
            below = _Level(level.function, level.frame, level.types, level.env)
            children += self._level(below, view.children, path)
        elif part.kind == "segment":
            self._segment(level, view, path, children)
        else:
            self._opened(level, view, names, children)

    def _operator(self, level: _Level, part: Part, path: str, children: list[Box | Cluster], entering: bool) -> Box:
        box = self._box(self._look(part, path, level), level.frame)
        children.append(box)
        shown = ""
        for number, name in enumerate(_reads(level.function, part)):
            port = level.env[name]
            text = self._connect(port, box, level.types[name]) if entering else port.shown
            shown = shown if number else text
        self._bind(level, part, box.id, shown)
        return box

    def _bind(self, level: _Level, part: Part, box: str, shown: str) -> None:
        """What comes out of a part: the values of its last repetition's nodes."""
        for node in level.function.nodes[part.start : part.stop]:
            for name in node.outputs:
                level.env[name] = _Port(box, shown)

    def _opened(self, level: _Level, view: View, path: str, children: list[Box | Cluster]) -> None:
        """A call, drawn with what is inside."""
        part = view.part
        assert view.children is not None
        node = level.function.nodes[part.start]
        inner = self.program.functions[part.key]
        frame = level.frame
        merged = self._merged(view)
        cluster: Cluster | None = None
        if not view.inline and not merged:
            self.clusters += 1
            lines = part.lines if inner.kind == "block" or self.parts.wraps(part.key) else ()
            cluster = Cluster(f"c{self.clusters}", part.title, lines, part.badge)
            frame = (*frame, cluster.id)
        given = (name for name in node.inputs if name is not None)
        columns = 0 if node.loop is None else len(node.loop.columns)
        taken = inner.inputs[: len(inner.inputs) - columns]
        env = {value.name: level.env[name] for value, name in zip(taken, given, strict=True)}
        below = _Level(inner, frame, inner.types(), env)
        content: list[Box | Cluster] = []
        if cluster is not None:
            self._entrances(below, view.children, content)
        counted = {value.name: value.type for value in inner.inputs[len(taken) :]}
        content += self._level(below, view.children, f"{path}.", counted)
        if merged:
            content = [self._renamed(item, part) for item in content]
        if cluster is not None:
            cluster.children = content
            children.append(cluster)
        else:
            children += content
        last = level.function.nodes[part.stop - 1]
        for name, value in zip(last.outputs, inner.outputs, strict=False):
            level.env[name] = below.env[value]

    def _merged(self, view: View) -> bool:
        """Whether the frame of the only view inside serves for this one too."""
        return (
            view.children is not None
            and len(view.children) == 1
            and view.children[0].part.kind == "call"
            and view.children[0].children is not None
            and bool(view.part.key)
            and self.parts.wraps(view.part.key)
        )

    @staticmethod
    def _renamed(item: Box | Cluster, part: Part) -> Box | Cluster:
        """The frame of a run, with the title of the group around it; it keeps its count in a group around it alone."""
        if isinstance(item, Cluster) and item.title:
            item.title = part.title
            if part.badge > 1 or item.count == 1:
                item.lines, item.count = part.lines, part.badge
        return item

    def _entrances(self, level: _Level, views: Sequence[View], children: list[Box | Cluster]) -> None:
        """One arrow enters a block for each of its inputs, however many layers read it."""
        names: dict[_Port, list[str]] = {}
        for value in level.function.inputs:
            if value.name in level.env:  # the columns of a loop come from nowhere
                names.setdefault(level.env[value.name], []).append(value.name)
        for same in names.values():
            readers = [view for view in views if set(same).intersection(_reads(level.function, view.part))]
            forked = any(residual.source in same for residual in level.function.residuals)
            if len(readers) > 1 and not forked:
                self._fork(level, same[0], children)
                level.env.update(dict.fromkeys(same, level.env[same[0]]))

    def _segment(self, level: _Level, view: View, path: str, children: list[Box | Cluster]) -> None:
        """A repeated stretch of this level: its first repetition in a frame of its own."""
        part = view.part
        assert view.children is not None
        self.clusters += 1
        cluster = Cluster(f"c{self.clusters}", "repeat", (), part.badge)
        below = _Level(level.function, (*level.frame, cluster.id), level.types, level.env)
        cluster.children = self._level(below, view.children, path)
        children.append(cluster)
        nodes = level.function.nodes
        period = (part.stop - part.start) // part.count
        for first, last in zip(
            nodes[part.start : part.start + period], nodes[part.stop - period : part.stop], strict=True
        ):
            for name, value in zip(last.outputs, first.outputs, strict=True):
                level.env[name] = level.env[value]

    # ---- boxes and edges -----------------------------------------------------------------------------

    def _box(self, box: Box, frame: tuple[str, ...]) -> Box:
        self.frames[box.id] = frame
        self.drawn.append(box.id)
        return box

    def _look(self, part: Part, path: str, level: _Level) -> Box:
        identity = f"n{len(self.drawn)}"
        node = level.function.nodes[part.stop - 1]
        tooltip = f"{path}: {', '.join(map(str, node.types))}"
        if part.symbol:
            return Box(identity, "circle", "merge", part.symbol, tooltip=tooltip)
        folded = part.opens or part.kind == "segment"
        note = f"{count_text(part.parameters)} params" if part.parameters else ""
        if part.shared:
            note = "shared weights"
        return Box(
            identity,
            "box",
            "block" if folded else part.family,
            part.title,
            part.lines,
            # Single layers keep to their title; their parameters are in the tooltip.
            note if folded or part.shared or part.kind == "chain" else "",
            part.badge,
            stacked=folded and part.badge > 1,
            tooltip=f"{tooltip} · {note}" if note else tooltip,
        )

    def _input(self, name: str, type: TensorType, children: list[Box | Cluster], frame: tuple[str, ...] = ()) -> _Port:
        text = shape_text(type)
        lines = tuple(filter(None, (text, "optional" if name in self.optional and not frame else "")))
        box = Box(f"in{len(self.drawn)}", "box", "io", name, lines, tooltip=f"{name}: {type}")
        children.append(self._box(box, frame))
        return _Port(box.id, text)

    def _fork(self, level: _Level, value: str, children: list[Box | Cluster]) -> None:
        """A point from which a value goes several ways."""
        port = level.env[value]
        if port.box.startswith("p") and self.frames[port.box] == level.frame:
            return
        box = self._box(Box(f"p{len(self.drawn)}", "point", "merge", ""), level.frame)
        children.append(box)
        level.env[value] = _Port(box.id, self._connect(port, box, level.types[value]))

    def _connect(self, port: _Port, box: Box, type: TensorType) -> str:
        """Draws an edge; gives the shape that has been written up to there."""
        text = shape_text(type)
        crossing = self.frames[port.box] != self.frames[box.id]
        quiet = not crossing and box.family in _QUIET
        wanted = (text != port.shown or crossing) and not quiet and (port.box, text) not in self.labelled
        written = wanted and not (port.box.startswith("in") and text == port.shown)
        if written:
            self.labelled.add((port.box, text))
        label = text if written and self.shapes else ""
        self.edges.append(Edge(port.box, box.id, label, arrow=box.shape != "point"))
        return text if written else port.shown

    def _merge(
        self,
        level: _Level,
        view: View,
        bypass: _Bypass,
        ranges: Sequence[tuple[int, int]],
        path: str,
        children: list[Box | Cluster],
    ) -> None:
        """A merge whose other input goes around what lies between."""
        part = view.part
        box = self._box(self._look(part, path + level.function.nodes[part.start].name, level), level.frame)
        children.append(box)
        beside = tuple(self.drawn[ranges[bypass.first][0] : ranges[bypass.last][1]])
        point = level.env[bypass.value]
        via: tuple[str, ...] = ()
        if bypass.via:
            via = tuple(self.drawn[ranges[bypass.via[0]][0] : ranges[bypass.via[-1]][1]])
        shown = ""
        for name in _reads(level.function, part):
            port = level.env[name]
            if name == bypass.value or port.box in via:
                continue
            shown = self._connect(port, box, level.types[name])
        where = level.frame[-1] if level.frame else "root"
        self.routes.append(Route(point.box, box.id, where, beside, via, bypass.dashed))
        if self._branched(beside):
            level.wraps.append((bypass.first, bypass.last))
        self._bind(level, part, box.id, shown)

    def _branched(self, boxes: Iterable[str]) -> bool:
        """Whether some boxes are more than one chain."""
        inside = set(boxes)
        tails = [edge.tail for edge in self.edges if edge.head in inside and edge.tail in inside]
        heads = [edge.head for edge in self.edges if edge.head in inside and edge.tail in inside]
        return len(set(tails)) < len(tails) or len(set(heads)) < len(heads)


def shape_text(type: TensorType) -> str:
    """A shape as figures write it, without the batch: `64×56×56`."""
    sizes = type.shape[1:] if type.batched else type.shape
    text = "×".join(map(str, sizes))
    return text if type.dtype == "float32" else f"{text} {type.dtype}".strip()


def _reads(function: Function, part: Part) -> tuple[str, ...]:
    """The values that the first repetition of a part reads from outside of the part, each once, in order."""
    nodes: Sequence[Node] = function.nodes[part.start : part.start + (part.stop - part.start) // part.count]
    made = {name for node in function.nodes[part.start : part.stop] for name in node.outputs}
    return tuple(dict.fromkeys(name for node in nodes for name in node.inputs if name is not None and name not in made))


def _bypasses(function: Function, parts: Sequence[Part]) -> list[_Bypass]:
    """What goes around layers on this level: residual connections, and merges of a value with what was made of it."""
    place: dict[int, int] = {}
    for index, part in enumerate(parts):
        place.update(dict.fromkeys(range(part.start, part.stop), index))
    residuals = {residual.add: residual for residual in function.residuals}
    maker = {
        name: place[number] for number, node in enumerate(function.nodes) if number in place for name in node.outputs
    }
    found: list[_Bypass] = []
    for merge, part in enumerate(parts):
        if not part.symbol:
            continue
        residual = residuals.get(part.start)
        if residual is not None and residual.body:
            body = sorted({place[number] for number in residual.body if number in place})
            via = tuple(sorted({place[number] for number in residual.shortcut if number in place}))
            if body and merge not in body:
                found.append(_Bypass(residual.source, body[0], body[-1], merge, via))
            continue
        names = [name for name in function.nodes[part.start].inputs if name is not None]
        if len(names) != 2 or names[0] == names[1]:
            continue
        (start, early), (stop, _) = sorted((maker.get(name, -1), name) for name in names)
        if stop <= start:
            continue
        readers = [index for index in range(start + 1, stop + 1) if early in _reads(function, parts[index])]
        if readers:
            found.append(_Bypass(early, readers[0], stop, merge, dashed=part.symbol == "C"))
    return found


def _assemble(level: _Level, prefix: str) -> list[Box | Cluster]:
    """The children of a level, with unseen frames around the bodies that need one."""
    items: list[tuple[int, int, list[Box | Cluster]]] = [
        (index, index, children) for index, children in enumerate(level.children)
    ]
    for number, (first, last) in enumerate(sorted(level.wraps, key=lambda wrap: wrap[1] - wrap[0])):
        inside = [item for item in items if first <= item[0] and item[1] <= last]
        if not inside or inside[0][0] != first or inside[-1][1] != last:
            continue
        at = items.index(inside[0])
        points = [child for child in inside[0][2] if isinstance(child, Box) and child.shape == "point"]
        body = [child for item in inside for child in item[2] if child not in points]
        items[at : at + len(inside)] = [(first, last, [*points, Cluster(f"w{prefix}_{number}", children=body)])]
    return [child for _, _, children in items for child in children]
