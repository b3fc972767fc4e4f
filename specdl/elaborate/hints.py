"""What a mistake that was found is likely to come from: the part of an error that says how to mend it.

Nothing here finds mistakes, and nothing here runs unless one was found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specdl.elaborate.scopes import EntryScope
from specdl.ir.types import TensorType
from specdl.ops.base import Op
from specdl.spec.expressions import pieces

_WORD = re.compile(r"[A-Za-z_]\w*")
_DOLLAR = re.compile(r"\$(?:\(\s*([A-Za-z_]\w*)\s*\)|([A-Za-z_]\w*))")
_TEMPLATE = re.compile(r"(?:\$\{|\{\{|\{|%\(|<|\$\s)\s*([A-Za-z_]\w*)\s*(?:\}\}|\}|\)[sd]?|>|)\Z")
_ARITHMETIC = re.compile(r"[\w\s.+*/()%-]+\Z")


@dataclass(frozen=True, slots=True)
class ValueHint:
    """What an argument of the wrong type may be meant to be: a parameter without its `$`, or arithmetic outside of it.

    `arguments` are those of the operator as they were written, before expressions were evaluated.
    """

    operator: type[Op]
    arguments: Any
    scope: EntryScope

    def __call__(self, path: Sequence[Any], value: Any) -> str | None:
        if (
            isinstance(value, (list, tuple))
            and list(path) == [self.operator.main]
            and not isinstance(self.arguments, Mapping)
        ):
            fields = list(self.operator.model_fields)
            if 1 < len(value) <= len(fields):
                pairs = zip(fields, value, strict=False)
                listing = ", ".join(f"{name}: {item}" for name, item in pairs)
                return f"arguments stand by name: `{{{listing}}}`"
        if isinstance(value, TensorType):
            written = str(self.written(path)).strip("$()")
            return (
                f"this is the whole type of a value; a size of it is `$({written}.features)` or `$({written}.shape[2])`"
            )
        if list(path) == ["padding_mode"] and value in {"same", "valid"}:
            return f"how much is added is said by `padding: {value}`"
        return value_hint(value, self.written(path), self.scope) if isinstance(value, str) else None

    def written(self, path: Sequence[Any]) -> Any:
        """The argument at `path` as it stands in the spec."""
        found: Any = self.arguments
        for step in path:
            if isinstance(found, Mapping):
                found = found.get(step)
            elif isinstance(found, list) and isinstance(step, int):
                found = found[step] if step < len(found) else None
        return found


def value_hint(value: str, written: Any, scope: EntryScope) -> str | None:
    """What a word may be meant to be where a number is expected."""
    if isinstance(written, str) and not all(piece.expression for piece in pieces(written)) and written != value:
        return f"arithmetic stands in `$( … )`: `$({without_dollars(written)})`"
    template = _TEMPLATE.match(value)
    name = value if template is None else template.group(1)
    known = set(scope.names())
    if name in known:
        return f"`{name}` is a parameter: write `${name}`" if template is None else f"a parameter is read by `${name}`"
    words = _WORD.findall(value)
    if words and known.issuperset(words) and _ARITHMETIC.match(value):
        return f"an expression stands in `$( … )`: `$({value})`"
    return None


def without_dollars(text: str) -> str:
    """Text with plain names for its `$name` and `$(name)`: what would stand inside of one `$( … )`."""
    return _DOLLAR.sub(lambda found: found.group(1) or found.group(2), text)
