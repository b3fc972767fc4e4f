"""Finds a network that a step updates although the spec, which names optimizers by network, has none for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from specdl.diagnostics import Diagnostics
from specdl.ir.program import Program
from specdl.source import SpanTree

if TYPE_CHECKING:
    from specdl.spec.recipe import Recipe


def check_optimizers(program: Program, recipe: Recipe, spans: SpanTree, diagnostics: Diagnostics) -> None:
    """Records a network without an optimizer, and an optimizer whose network no step updates."""
    if not recipe.optimizers:
        return
    updated = dict.fromkeys(name for step in program.steps for name in step.update)
    place = spans.child("optimizer")
    for name in updated:
        if name not in recipe.optimizers:
            message = f"a step updates `{name}`, but `optimizer` has none for it"
            diagnostics.add("E0514", message, spans.key("optimizer"), help=f"e.g. `{name}: {{adamw: {{lr: 1e-3}}}}`")
    for name in recipe.optimizers:
        if program.steps and name not in updated:
            message = f"no step updates `{name}`, so its optimizer has nothing to do"
            diagnostics.add("W0003", message, place.key(name), severity="warning")
