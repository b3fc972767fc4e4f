"""Diagrams: a program as DOT text (`emit_dot`) or as a picture (`render_diagram`).

`parts` finds what is drawn as one thing, `plan` decides what is opened, `build` makes boxes and edges of it (with
`forks` where values part). `straight` says how edges run, `lanes` what goes around layers, `bend` makes a U of long
skips. `dot` writes all that for Graphviz, `geometry` reads the layout and places what we draw ourselves, `aside`
moves labels and titles out of its way; `render` runs Graphviz. `pipeline` draws stages of functions in the same look.
"""

from __future__ import annotations

from specdl.backends.diagram.render import emit_dot, render_diagram

__all__ = ["emit_dot", "render_diagram"]
