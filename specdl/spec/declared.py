"""`adamw`, `adamw: 1e-3` or `adamw: {lr: 1e-3}`: one of a table by its name, as an instance of its class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from specdl.diagnostics import Diagnostics, Span
from specdl.objectives.base import Declared
from specdl.source import SpanTree
from specdl.spec.habits import choice_by_type
from specdl.spec.validate import choose, show, validate


class Section(BaseModel):
    """Base of the sections about data and training."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True, allow_inf_nan=False)


AnyDeclared = TypeVar("AnyDeclared", bound=Declared)

Context = Callable[[type[BaseModel], SpanTree], Mapping[str, Any]]
"""What the validators of a class are told besides, from the places of its arguments."""


def named(
    value: Any,
    spans: SpanTree,
    table: Mapping[str, type[AnyDeclared]],
    what: str,
    diagnostics: Diagnostics,
    context: Context | None = None,
) -> AnyDeclared | None:
    """The one that a value names, or None after the mistake was recorded."""
    if isinstance(value, str):
        return instance(value, None, spans.span, SpanTree(spans.span), table, what, diagnostics, context)
    typed = choice_by_type(value) if isinstance(value, Mapping) and not table.keys() & value.keys() else None
    if not isinstance(value, Mapping) or len(value) != 1 or typed is not None:
        example = next(iter(table))
        diagnostics.add(
            "E0501",
            f"expects one {what}, got {show(value)}",
            spans.span,
            help=typed or f"write `{example}` or `{example}: {{...}}`",
        )
        return None
    (name,) = value
    return instance(name, value[name], spans.key(name), spans.child(name), table, what, diagnostics, context)


def instance(
    name: str,
    arguments: Any,
    name_span: Span,
    spans: SpanTree,
    table: Mapping[str, type[AnyDeclared]],
    what: str,
    diagnostics: Diagnostics,
    context: Context | None = None,
) -> AnyDeclared | None:
    """The one of that name with its arguments: a mapping, its main argument, or none."""
    cls: type[AnyDeclared] | None = choose(name, table, name_span, diagnostics, what=what)
    if cls is None:
        return None
    if arguments is None:
        arguments = {}
        spans = SpanTree(name_span)
    elif not isinstance(arguments, Mapping):
        if cls.main is None:
            diagnostics.add(
                "E0501",
                f"`{name}` takes its arguments by name, got {show(arguments)}",
                spans.span,
                help=f"write `{name}: {{argument: value}}`",
            )
            return None
        arguments, spans = {cls.main: arguments}, SpanTree(spans.span, {cls.main: spans.span}, {cls.main: spans})
    more = None if context is None else context(cls, spans)
    return validate(cls, arguments, spans, diagnostics, what=name, code="E0501", context=more)


def is_mapping(value: Any, spans: SpanTree, what: str, diagnostics: Diagnostics) -> bool:
    """Whether a section is a mapping; where it isn't, the mistake is recorded."""
    if isinstance(value, Mapping):
        return True
    diagnostics.add("E0501", f"`{what}` is a mapping of arguments, got {show(value)}", spans.span)
    return False


def listing(what: str, names: list[str]) -> str | None:
    """A help that lists names; None where there are none."""
    return f"known {what}: {', '.join(f'`{name}`' for name in names)}" if names else None
