"""A drawing as DOT text: plain (what `-o x.dot` writes and Graphviz can lay out), or with everything in its place.

The same text is laid out first, with the routes unseen, and drawn second, with positions. Graphviz's own path
for an edge around a body bulges out of its frame, so routes are computed in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import ceil
from typing import Literal

from specdl.backends.diagram.geometry import Geometry, Placed
from specdl.backends.diagram.lanes import Lane, lanes, rightmost
from specdl.backends.diagram.model import Box, Cluster, Drawing, Edge, head_corner, tail_corner
from specdl.backends.diagram.style import (
    FONT,
    FRAME_MARGIN,
    LABEL_SIZE,
    NODE_GAP,
    THEMES,
    Theme,
    ThemeName,
    chip,
    chip_width,
    escape,
    font,
    quoted,
    table,
    text_width,
)

Direction = Literal["TB", "BT", "LR"]

_SPINE_WEIGHT = 20
_LANE_WEIGHT = 3
_ACROSS = 4  # nodes' gaps between the two sides of a U, at least
_JOIN_WEIGHT = 10  # less than the spine's, so that branches of unequal lengths stand flush with their fork
_SPACE = "&#160;"
_BADGE_GAP = 4
_TITLE_HEIGHT = 15
_LANE_ROOM = NODE_GAP + 8.6
_TITLE_GAP = 8.0
_LEGEND_ROW = 5
_LEGEND_HEIGHT = 15
_GAP = '<TD FIXEDSIZE="TRUE" WIDTH="2" HEIGHT="2"></TD>'


def write_dot(drawing: Drawing, theme: ThemeName, direction: Direction) -> str:
    """DOT for Graphviz to lay out and draw."""
    return _Writer(drawing, THEMES[theme], direction).text()


def write_layout_dot(drawing: Drawing, direction: Direction, rooms: Mapping[str, float]) -> str:
    """DOT for Graphviz to lay out only: lanes are kept free, but nothing is drawn in them.

    `rooms` gives the widths of what keeps room for titles, by the name of the frame.
    """
    return _Writer(drawing, THEMES["light"], direction, rooms=rooms).text()


def write_placed_dot(drawing: Drawing, theme: ThemeName, direction: Direction, geometry: Geometry) -> str:
    """DOT with a position for everything, for `neato -n2`."""
    return _Writer(drawing, THEMES[theme], direction, geometry).text()


class _Writer:
    def __init__(
        self,
        drawing: Drawing,
        theme: Theme,
        direction: Direction,
        geometry: Geometry | None = None,
        rooms: Mapping[str, float] | None = None,
    ) -> None:
        self.drawing, self.theme, self.direction = drawing, theme, direction
        self.geometry, self.rooms = geometry, rooms
        self.hide_routes = rooms is not None
        self.lanes = lanes(drawing) if geometry is None else ()
        self.rightmost = rightmost(self.lanes)
        self.joins = {box for box, _, _ in drawing.course.turns.head_order}
        self.lines: list[str] = []
        self.indent = 1

    def text(self) -> str:
        """The whole graph."""
        theme = self.theme
        self.statement("graph", **self._graph())
        self.statement(
            "node",
            shape="box",
            style="rounded,filled",
            fontname=FONT,
            fontsize=11,
            fontcolor=theme.text,
            penwidth=1.1,
            margin="0.13,0.06",
            height=0.32,
        )
        self.statement(
            "edge", fontname=FONT, fontsize=9, fontcolor=theme.muted, color=theme.edge, penwidth=1.1, arrowsize=0.65
        )
        if self.geometry is not None:
            self._cards(self.geometry)
        self._children(self.drawing.root)
        for number, edge in enumerate(self.drawing.edges):
            self._edge(number, edge)
        if self.geometry is not None:
            self._routes(self.geometry)
        else:
            for fork, join in self.drawing.course.supports:
                self.statement(f"{fork} -> {join}", style="invis", weight=_SPINE_WEIGHT)
        body = "\n".join(self.lines)
        return f"digraph {quoted(self.drawing.name)} {{\n{body}\n}}\n"

    def statement(self, head: str, **attributes: object) -> None:
        """One line; a value that begins with `<` is an HTML-like label."""
        pairs = ", ".join(f"{name}={_value(value)}" for name, value in attributes.items() if value is not None)
        self.lines.append(f"{'  ' * self.indent}{head}{f' [{pairs}]' if pairs else ''};")

    def _graph(self) -> dict[str, object]:
        theme, geometry = self.theme, self.geometry
        attributes: dict[str, object] = {
            "fontname": FONT,
            "fontsize": 11,
            "fontcolor": theme.text,
            "bgcolor": theme.background,
            "pad": 0.15,
            "rankdir": self.direction,
            "nodesep": NODE_GAP / 72,
            "ranksep": 0.25,
            "splines": "spline",
            "outputorder": "edgesfirst",
            "newrank": "true",
            "label": f"<{self._legend()}>",
            "labelloc": "b",
            "labeljust": "c",
        }
        if geometry is not None:
            attributes |= {"bb": _numbers(*geometry.bounds), "lp": geometry.label and _numbers(*geometry.label)}
        return attributes

    # ---- boxes and clusters --------------------------------------------------------------------------

    def _children(self, cluster: Cluster) -> None:
        for child in cluster.children:
            if isinstance(child, Box):
                self._box(child)
            else:
                self._cluster(child)
        for lane in self.lanes:
            if lane.route.cluster == cluster.id:
                self._lane(lane)
        if self.geometry is None:
            self._corners(cluster)

    def _cluster(self, cluster: Cluster) -> None:
        theme = self.theme
        self.lines.append(f"{'  ' * self.indent}subgraph cluster_{cluster.id} {{")
        self.indent += 1
        if cluster.title:
            title = font(cluster.title, 10, bold=True)
            rows = [self._badged(title, cluster) if cluster.count > 1 else f'<TD ALIGN="RIGHT">{title}</TD>']
            rows += [f'<TD ALIGN="RIGHT">{font(line, 9, theme.muted)}</TD>' for line in cluster.lines]
            attributes: dict[str, object] = {
                "label": f"<{table(rows)}>",
                "style": "rounded,filled",
                "fillcolor": theme.cluster,
                "color": theme.cluster_border,
                "penwidth": 1,
                "margin": FRAME_MARGIN,
                "labeljust": "r",
                "labelloc": "b" if self.direction == "BT" else "t",
            }
        else:
            attributes = {"label": "", "style": "invis", "margin": 2}
        if self.geometry is not None:
            place = self.geometry.clusters[cluster.id]
            attributes |= {"bb": _numbers(*place.bounds), "lp": place.label and _numbers(*place.label)}
        self.statement("graph", **attributes)
        self._children(cluster)
        if cluster.title and self.geometry is None and self.direction != "LR":
            self._title_room(cluster)
        self.indent -= 1
        self.lines.append(f"{'  ' * self.indent}}}")

    def _badged(self, title: str, cluster: Cluster) -> str:
        """A title and its badge, kept together at the right by a table of a fixed size, however long the lines are."""
        text = ceil(text_width(cluster.title, 10, bold=True)) + _BADGE_GAP
        width, badge = chip_width(f"×{cluster.count}"), chip(f"×{cluster.count}", self.theme)
        size = f'FIXEDSIZE="TRUE" HEIGHT="{_TITLE_HEIGHT}"'
        return (
            f'<TD ALIGN="RIGHT"><TABLE ALIGN="RIGHT" BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0" {size} '
            f'WIDTH="{text + width}"><TR><TD {size} WIDTH="{text}" ALIGN="LEFT">{title}</TD>'
            f'<TD {size} WIDTH="{width}">{badge}</TD></TR></TABLE></TD>'
        )

    def _title_room(self, cluster: Cluster) -> None:
        """Widens a frame to the right, so that the arrow that enters it doesn't run through its title."""
        first = next((box for box in cluster.boxes() if box.shape == "box"), None)
        if first is None:
            return
        neighbor = self.rightmost.get(first.id, first.id)
        width = self._estimated_room(cluster, first) if self.rooms is None else self.rooms.get(cluster.id, 0.0)
        if not width:
            return
        name = f"title_{cluster.id}"
        self.statement(name, label="", shape="box", fixedsize="true", width=width / 72, height=0.05, style="invis")
        self.lines.append(f"{'  ' * self.indent}{{rank=same; {first.id}; {name};}}")
        self.statement(f"{neighbor} -> {name}", style="invis", weight=1)

    def _estimated_room(self, cluster: Cluster, first: Box) -> float:
        """The width that the title needs beside the first box and its lane, in points; 0 where it has it."""
        title = text_width(cluster.title, 10, bold=True) + (32 if cluster.count > 1 else 0)
        wanted = max([title, *(text_width(line, 9) for line in cluster.lines)]) + _TITLE_GAP
        room = _half_width(first) + (_LANE_ROOM if first.id in self.rightmost else 0)
        return max(wanted - room - NODE_GAP, 1) if wanted > room else 0.0

    def _box(self, box: Box) -> None:
        fill, border = self.theme.families[box.family]
        placed = self._place(box.id)
        tooltip = quoted(box.tooltip or box.title)
        group = self.drawing.course.groups.get(box.id) if self.geometry is None else None
        if box.shape == "point":
            color = self.theme.edge
            common: dict[str, object] = {"label": "", "shape": "point", "color": color, "fillcolor": color}
            size: dict[str, object] = {"width": 0.06, "height": 0.06}
            self.statement(box.id, **common, **(placed or size), style="filled", tooltip="", group=group)
        elif box.shape == "circle":
            size = {"width": 0.26, "height": 0.26, "fixedsize": "true"}
            self.statement(
                box.id,
                label=f"<{font(box.title, 9 if box.title.isalpha() else 13)}>",
                shape="circle",
                margin=0,
                **(placed or size),
                style="filled",
                penwidth=1.2,
                fillcolor=fill,
                color=border,
                tooltip=tooltip,
                group=group,
            )
        else:
            label = f"<{self._label(box)}>"
            self.statement(box.id, label=label, **placed, fillcolor=fill, color=border, tooltip=tooltip, group=group)

    def _label(self, box: Box) -> str:
        theme = self.theme
        plain = not box.lines and not box.note and box.count == 1
        if plain:
            return escape(box.title)
        rows = [f"<B>{escape(box.title)}</B>"]
        rows += [font(line, 9) for line in box.lines]
        if box.note:
            rows.append(font(box.note, 8, theme.muted))
        cells = [f"<TD>{row}</TD>" for row in rows]
        if box.count > 1:
            span = f'ROWSPAN="{len(rows)}"'
            cells[0] += f'<TD {span} WIDTH="3"></TD><TD {span}>{chip(f"×{box.count}", theme)}</TD>'
        return table(cells)

    def _place(self, name: str) -> dict[str, object]:
        if self.geometry is None:
            return {}
        place = self.geometry.boxes[name]
        return {
            "pos": _numbers(place.x, place.y),
            "width": f"{place.width / 72:.4f}",
            "height": f"{place.height / 72:.4f}",
            "fixedsize": "true",
        }

    def _cards(self, geometry: Geometry) -> None:
        """Two cards behind each stack. Nodes are painted in the order of their declaration, so cards come first."""
        for box in self.drawing.boxes():
            if not box.stacked:
                continue
            place: Placed = geometry.boxes[box.id]
            fill, border = self.theme.families[box.family]
            for offset in (6, 3):
                self.statement(
                    f"{box.id}_card{offset}",
                    label="",
                    pos=_numbers(place.x + offset, place.y - offset),
                    width=f"{place.width / 72:.4f}",
                    height=f"{place.height / 72:.4f}",
                    fixedsize="true",
                    fillcolor=fill,
                    color=border,
                    penwidth=0.8,
                    tooltip="",
                )

    # ---- edges ---------------------------------------------------------------------------------------

    def _edge(self, number: int, edge: Edge) -> None:
        space = _SPACE if self.geometry is None else ""
        label = f"<{space}{font(edge.label, LABEL_SIZE, self.theme.muted)}>" if edge.label else None
        attributes: dict[str, object] = {"label": label}
        tail, head = edge.tail, edge.head
        if self.geometry is None:
            tail, head = self.drawing.course.turns.ends(number, edge)
        if not edge.arrow or head != edge.head:
            attributes["arrowhead"] = "none"
        if self.geometry is None:
            if edge.straight or (tail, head) != (edge.tail, edge.head):
                attributes["weight"] = _JOIN_WEIGHT if edge.head in self.joins else _SPINE_WEIGHT
            if self.hide_routes:
                attributes["id"] = f"e{number}"
        else:
            path = self.geometry.edges[number]
            attributes |= {"pos": quoted(path.path), "lp": path.label and _numbers(*path.label)}
        if self.geometry is None and number in self.drawing.course.upward:
            # Ranked from the bottom to the top.
            tail, head = head, tail
            attributes |= {"dir": "back" if edge.arrow else "none", "arrowhead": None}
        self.statement(f"{tail} -> {head}", **attributes)

    def _corners(self, cluster: Cluster) -> None:
        """The corners around a frame's points and circles, on their ranks, and the lines that lead to them."""
        boxes = {child.id for child in cluster.children if isinstance(child, Box)}
        turns = self.drawing.course.turns
        for orders, name, arrow in ((turns.tail_order, tail_corner, False), (turns.head_order, head_corner, True)):
            for box, left, right in orders:
                if box not in boxes:
                    continue
                for number in (*left, *right):
                    edge = self.drawing.edges[number]
                    seen = {"style": "invis"} if self.hide_routes else {"color": self.theme.edge}
                    chain = edge.tail if arrow else edge.head
                    group = self.drawing.course.groups.get(chain, chain)
                    if number in turns.tails & turns.heads:
                        group = tail_corner(number)
                    self.statement(
                        name(number),
                        label="",
                        shape="point",
                        fixedsize="true",
                        width=0.01,
                        height=0.01,
                        **seen,
                        group=group,
                    )
                row = [*map(name, left), box, *map(name, right)]
                if self.direction == "LR" and cluster is not self.drawing.root:
                    row.reverse()  # Graphviz sets a rank from top to bottom there, but in clusters from bottom to top
                self.lines.append(f"{'  ' * self.indent}{{rank=same; {'; '.join(row)};}}")
                for before, after in pairwise(row):
                    seen = {"style": "invis"} if self.hide_routes else {"arrowhead": "none"}
                    if arrow and not self.hide_routes and box in (before, after):
                        seen = {"dir": "forward" if after == box else "back"}
                    self.statement(f"{before} -> {after}", **seen, weight=1)

    def _lane(self, lane: Lane) -> None:
        """The lane's boxes, on the ranks of the body; and the path through them."""
        route = lane.route
        if route.across:
            self.lines.append(f"{'  ' * self.indent}{{rank=same; {route.tail}; {route.head};}}")
            dashed = {"color": self.theme.skip, "penwidth": 1.6, "style": "dashed"}
            seen = {"style": "invis"} if self.hide_routes else dashed
            self.statement(f"{route.tail} -> {route.head}", **seen, weight=1, minlen=_ACROSS)
            return
        for name in lane.spare:
            seen = {"style": "invis"} if self.hide_routes else {"color": self.theme.skip, "style": "filled"}
            size = {"width": 0.12, "height": 0.05} if self.hide_routes else {"width": 0.02, "height": 0.02}
            shape = "box" if self.hide_routes else "point"
            self.statement(name, label="", shape=shape, fixedsize="true", **size, **seen, group=f"g{lane.spare[0]}")
        for (box, companion), (left, _) in zip(lane.rungs, lane.neighbors, strict=True):
            self.lines.append(f"{'  ' * self.indent}{{rank=same; {box}; {companion};}}")
            self.statement(f"{left} -> {companion}", style="invis", weight=1)
        stops = [route.tail, *(companion for _, companion in lane.rungs), route.head]
        for tail, head in pairwise(stops):
            last = head == route.head or head in route.via
            ends = head == route.head or tail == route.tail
            if self.hide_routes:
                if ends and not {tail, head} & set(route.via):
                    continue  # the body keeps these apart already
                self.statement(f"{tail} -> {head}", style="invis", weight=_LANE_WEIGHT)
            else:
                self.statement(
                    f"{tail} -> {head}",
                    color=self.theme.skip,
                    penwidth=1.6,
                    weight=_LANE_WEIGHT,
                    arrowhead=None if last else "none",
                    style="dashed" if route.dashed else None,
                )

    def _routes(self, geometry: Geometry) -> None:
        for path in geometry.routes:
            self.statement(
                f"{path.tail} -> {path.head}",
                pos=quoted(path.path),
                color=self.theme.skip,
                penwidth=1.6,
                style="dashed" if path.dashed else None,
            )

    # ---- legend --------------------------------------------------------------------------------------

    def _legend(self) -> str:
        theme = self.theme
        entries: list[tuple[float, str]] = []
        names = {family: family for family in self.drawing.families() if family != "io"}
        if "block" in names:
            names["block"] = "folded block"
        for family, name in self.drawing.legend or names.items():
            entries.append(self._entry(11, _swatch(11, 11, *theme.families[family]), name))
        kinds: Mapping[bool, str] = {False: "residual", True: "skip"}
        for dashed, name in kinds.items():
            if any(route.dashed is dashed for route in self.drawing.routes):
                line = _swatch(20, 2, theme.skip, theme.skip)
                if dashed:
                    dashes = f"<TD>{_swatch(4, 2, theme.skip, theme.skip)}</TD>".join([_GAP, _GAP, _GAP, _GAP])
                    line = table([dashes], padding=0, width=20, height=2)
                entries.append(self._entry(20, line, name))
        rows = [f"<TD>{font(self.drawing.caption, 9, theme.muted)}</TD>"]
        # Rows of about equal length, so that the legend isn't wider than a slim picture.
        count = -(-len(entries) // _LEGEND_ROW)
        for row in range(count):
            inside = entries[row * len(entries) // count : (row + 1) * len(entries) // count]
            cells, width = "".join(cell for _, cell in inside), sum(width for width, _ in inside)
            rows.append(f"<TD>{table([cells], padding=0, width=width, height=_LEGEND_HEIGHT)}</TD>")
        return table(rows)

    def _entry(self, width: int, sign: str, name: str) -> tuple[float, str]:
        """An entry's width and cells. All have fixed sizes, or Graphviz stretches them to the width of the caption."""
        parts = (
            (width, sign),
            (3, ""),
            (ceil(text_width(name, LABEL_SIZE)) + 1, font(name, LABEL_SIZE, self.theme.muted)),
            (12, ""),
        )
        cells = [
            f'<TD FIXEDSIZE="TRUE" WIDTH="{size}" HEIGHT="{_LEGEND_HEIGHT}">{content}</TD>' for size, content in parts
        ]
        return sum(size for size, _ in parts), "".join(cells)


def _half_width(box: Box) -> float:
    """Half of about the width that Graphviz will give to a box."""
    widths = [text_width(box.title, 11, bold=True), *(text_width(line, 9) for line in box.lines)]
    return (max(widths) + (28 if box.count > 1 else 0) + 19) / 2


def _swatch(width: int, height: int, fill: str, border: str) -> str:
    """A small rectangle of one colour. Inside a table of its own, or Graphviz stretches it to the row."""
    size = f'FIXEDSIZE="TRUE" WIDTH="{width}" HEIGHT="{height}"'
    return (
        f'<TABLE BORDER="1" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0" COLOR="{border}" BGCOLOR="{fill}" {size}>'
        f"<TR><TD {size}></TD></TR></TABLE>"
    )


def _value(value: object) -> str:
    if isinstance(value, (int, float)):
        return f"{value:g}"
    text = str(value)
    return text if text.startswith(("<", '"')) else f'"{text}"'


def _numbers(*values: float) -> str:
    """Coordinates as Graphviz writes them."""
    return '"' + ",".join(f"{value:.2f}" for value in values) + '"'
