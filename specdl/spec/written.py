"""Where the values of sections are written: a parameter's may stand in another file than what reads it.

A path is relative to the file that names it, and a mistake is shown where its value stands. So what reads a parameter
that an extending file or the command line has set (`source: {csv: $file}`) is placed there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from specdl.source import SpanTree
from specdl.spec.file import Spec

_PARAMETER = re.compile(r"\$([A-Za-z_]\w*)")


def section_spans(spec: Spec) -> SpanTree:
    """The places of the values in a spec's sections."""
    children = {
        key: _placed(spec.sections[key], tree, spec.params_spans) if key in spec.sections else tree
        for key, tree in spec.spans.children.items()
    }
    return replace(spec.spans, children=children)


def _placed(value: Any, tree: SpanTree, params: SpanTree) -> SpanTree:
    """A value's places, with those of parameters that are set in another file."""
    if isinstance(value, str):
        found = _PARAMETER.fullmatch(value)
        given = params.children.get(found[1]) if found else None
        return tree if given is None or given.span.file == tree.span.file else given
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = dict(enumerate(value)).items()
    else:
        return tree
    children = {key: _placed(item, tree.children[key], params) for key, item in items if key in tree.children}
    return replace(tree, children={**tree.children, **children})


__all__ = ["section_spans"]
