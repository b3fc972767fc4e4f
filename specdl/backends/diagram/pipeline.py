"""A pipeline of functions as a picture in the look of the models: what goes in and out as boxes, functions as arrows.

The architecture page draws specdl itself with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from specdl.backends.diagram.forks import add_fork_points
from specdl.backends.diagram.model import Box, Cluster, Drawing, Edge
from specdl.backends.diagram.straight import straighten


@dataclass(frozen=True, slots=True)
class Stage:
    """A function that makes `result` of `source`.

    `note` is a line in the result's box, `family` one of the families of operators, for its colour. Results with
    the same `frame` stand in one frame of that title. Where `result` is `source`, the function is a line in the box.
    """

    function: str
    source: str
    result: str
    note: str = ""
    family: str = "block"
    frame: str = ""


def draw_pipeline(name: str, caption: str, stages: Sequence[Stage], legend: Sequence[tuple[str, str]]) -> Drawing:
    """The drawing of a pipeline. What no stage makes is an input, in grey; each result is drawn once.

    `legend` says what the colour of a family means.
    """
    boxes: dict[str, Box] = {}
    frames: dict[str, str] = {}
    edges: list[Edge] = []
    for stage in stages:
        source = boxes.setdefault(stage.source, Box(f"n{len(boxes)}", "box", "io", stage.source))
        if stage.source == stage.result:
            words = " · ".join(filter(None, (stage.function, stage.note)))
            boxes[stage.source] = replace(source, lines=(*source.lines, words))
            continue
        lines = (stage.note,) if stage.note else ()
        made = Box(f"n{len(boxes)}", "box", stage.family, stage.result, lines)
        result = boxes.setdefault(stage.result, made)
        frames.setdefault(result.id, stage.frame)
        edges.append(Edge(source.id, result.id, stage.function))
    root = Cluster("root")
    titled: dict[str, Cluster] = {}
    for box in boxes.values():
        title = frames.get(box.id, "")
        if title and title not in titled:
            titled[title] = Cluster(f"c{len(titled)}", title)
            root.children.append(titled[title])
        (titled[title] if title else root).children.append(box)
    marked, _ = add_fork_points(root, edges, ())
    return Drawing(name, caption, root, straighten(marked, tuple(root.boxes()), ()), (), tuple(legend))
