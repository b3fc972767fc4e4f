"""Diagrams: a program as DOT text (`emit_dot`) or as a picture (`render_diagram`).

`parts` finds what is drawn as one thing, `plan` decides what is opened, `build` makes boxes and edges of it,
`dot` writes them for Graphviz, `geometry` places the routes that go around layers, `render` runs Graphviz.
"""

from __future__ import annotations

from specdl.backends.diagram.render import emit_dot, render_diagram

__all__ = ["emit_dot", "render_diagram"]
