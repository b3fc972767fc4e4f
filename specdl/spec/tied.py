"""The top-level key `tie`: lines of `alias: weight`, both keys of the `state_dict`.

Only the form is checked here; which keys there are is known once the network is elaborated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from specdl.diagnostics import Diagnostics
from specdl.source import SpanTree
from specdl.spec.entries import Text
from specdl.spec.validate import show


@dataclass(frozen=True, slots=True)
class TieSpec:
    """One line of `tie`, as written: expressions in it are not yet evaluated. It counts where `when` holds."""

    alias: Text
    key: Text
    when: Any = True
    when_spans: SpanTree | None = None


_FORM = "e.g. `tie: [lm_head.weight: wte.weight]`: the key on the left is the weight on the right"


def parse_ties(data: Any, spans: SpanTree, diagnostics: Diagnostics) -> tuple[TieSpec, ...]:
    """The lines of `tie`. Mistakes are recorded."""
    if not isinstance(data, list):
        help = "begin each line with `- `" if isinstance(data, Mapping) else _FORM
        diagnostics.add("E0170", f"`tie` is a list of lines `- alias: weight`, got {show(data)}", spans.span, help=help)
        return ()
    found: list[TieSpec] = []
    for index, item in enumerate(data):
        place = spans.child(index)
        if not isinstance(item, Mapping):
            diagnostics.add("E0170", f"a tie is written `alias: weight`, got {show(item)}", place.span, help=_FORM)
            continue
        when, when_spans = item.get("when", True), place.child("when")
        for alias, key in item.items():
            if alias == "when":
                continue
            if isinstance(key, str):
                words = Text(str(alias), place.key(alias)), Text(key, place.at(alias))
                found.append(TieSpec(*words, when, when_spans))
                continue
            message = f"`{alias}` is tied to the key of one weight, got {show(key)}"
            diagnostics.add("E0170", message, place.at(alias), help="several aliases of a weight have a line each")
    return tuple(found)
