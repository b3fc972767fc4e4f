"""The classes of `specdl/nn`, as text that is copied beside what uses them."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from importlib.resources import files


@lru_cache(maxsize=64)
def support_class(name: str) -> str:
    """The text of a class of `specdl/nn`, named `file.Class`."""
    module, _, wanted = name.rpartition(".")
    text = (files("specdl.nn") / f"{module}.py").read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name == wanted:
            found = ast.get_source_segment(text, node)
            assert found is not None
            return re.sub(r"  # type: ignore\S*", "", found)  # mypy reads ours, not the copy
    raise LookupError(f"specdl/nn/{module}.py has no class {wanted}")
