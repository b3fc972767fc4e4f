"""Finds a loss that scores fewer classes than the data has.

The types can't show it (a label is an int64 whatever it counts), and PyTorch would only say `Target 9 is out of
bounds` in the middle of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from specdl.diagnostics import Diagnostics, Note
from specdl.ir.program import Program

if TYPE_CHECKING:
    from specdl.spec.data import Data


def check_classes(
    program: Program, data: Data, diagnostics: Diagnostics, found: Mapping[str, tuple[str, ...]] | None = None
) -> None:
    """Records a mistake for each loss term whose target counts more classes than its input scores.

    `found` are the names of classes as the data has them; what the spec knows of them unless given.
    """
    from specdl.objectives.losses import Loss  # here, since a spec without data needs none

    for step in program.steps:
        function = program.functions[step.function]
        fields = {value.name for value in function.inputs}
        types = function.types()
        for node in function.nodes:
            if not isinstance(node.callee, Loss) or len(node.inputs) < 2:
                continue
            scores, target = node.inputs[:2]
            if scores is None or target is None or target not in fields:
                continue
            scored = node.callee.classes(types[scores], types[target])
            known = data.source.classes(target) if found is None else found.get(target)
            if scored is not None and known is not None and scored < len(known):
                name = data.source.name
                diagnostics.add(
                    "E0511",
                    f"`{scores}` scores {scored} classes, but `{target}` of `{name}` has {len(known)}",
                    node.span,
                    notes=[Note("the data source is here", data.span)],
                    help=f"let the network end in {len(known)} scores",
                )
