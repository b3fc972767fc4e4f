"""A variant and overrides change a spec's data before it is parsed.

`train.epochs=3` is a path and a value. What they change is copied on the way down; the loaded source stays
as it was. The place of a changed value is the variant's line or the text of the override.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from specdl.diagnostics import Diagnostic, Diagnostics, Span, SpecError, did_you_mean
from specdl.source import SpanTree, parse_text
from specdl.spec.validate import show

REQUIRED = "required"
"""What stands for a parameter or an input that the caller must give."""

OPEN_SECTIONS = ("data", "optimizer", "scheduler", "train", "loss", "weights")
"""Sections whose keys have defaults: an override may set what the file leaves out; their own check knows the keys."""


def parse_override(text: str) -> tuple[str, Any]:
    """`train.epochs=3` as a dotted key and a value, read as YAML. Raises `SpecError` where the value isn't YAML."""
    key, _, value = text.partition("=")
    if not key.strip():
        raise SpecError([Diagnostic("E0303", f"`{text}` names no key", help="write KEY=VALUE, e.g. `train.epochs=3`")])
    try:
        return key.strip(), parse_text(value).data
    except SpecError as error:
        (first, *_) = error.diagnostics
        raise SpecError([Diagnostic(first.code, f"the value in `{text}`: {first.message}", help=first.help)]) from error


def apply_variant(
    data: Mapping[str, Any], spans: SpanTree, variant: str | None, diagnostics: Diagnostics
) -> tuple[Mapping[str, Any], SpanTree]:
    """The data with a variant's values as its parameters. All variants are checked."""
    variants, params = _mapping(data.get("variants")), _mapping(data.get("params"))
    for name, values in variants.items():
        for key in _mapping(values):
            if key not in params:
                message = f"variant `{name}` sets `{key}`, which is no parameter"
                place = spans.child("variants", name).key(key)
                diagnostics.add("E0301", message, place, help=did_you_mean(str(key), params))
    if variant is None:
        return data, spans
    if variant not in variants:
        listing = f"it has {', '.join(f'`{name}`' for name in variants)}" if variants else "it has no variants"
        message = f"there is no variant `{variant}`"
        help = did_you_mean(variant, variants) or listing
        diagnostics.add("E0302", message, spans.key("variants") if variants else None, help=help)
        if not variants:
            return data, spans
        variant = str(next(iter(variants)))  # the rest of the file is checked with a variant that exists
    chosen = {key: value for key, value in _mapping(variants[variant]).items() if key in params}
    where = spans.child("variants", variant)
    tree = spans.child("params")
    merged = SpanTree(tree.span, tree.keys, {**tree.children, **{key: where.child(key) for key in chosen}})
    return {**data, "params": {**params, **chosen}}, _with_child(spans, "params", merged)


def apply_override(
    data: Mapping[str, Any], spans: SpanTree, key: str, value: Any, known: Collection[str], diagnostics: Diagnostics
) -> tuple[Mapping[str, Any], SpanTree]:
    """The data with one value set. `known` are the keys that a spec may have."""
    text = f"{key}={'null' if value is None else show(value).strip('`')}"
    span = Span(f"<{text}>", 1, 1, 1, len(key) + 1)
    diagnostics.texts[span.file] = text
    steps = [int(step) if step.isdigit() else step for step in key.split(".")]
    override = _Override(key, text, steps, value, span, known)
    try:
        return override.put(data, spans, 0)
    except _Refused as error:
        diagnostics.add(error.code, error.message, span, help=error.help)
        return data, spans


class _Refused(Exception):
    def __init__(self, code: str, message: str, help: str | None) -> None:
        super().__init__(message)
        self.code, self.message, self.help = code, message, help


@dataclass(frozen=True, slots=True)
class _Override:
    key: str
    text: str
    steps: list[Any]
    value: Any
    span: Span
    known: Collection[str]

    def put(self, place: Any, tree: SpanTree, depth: int) -> tuple[Any, SpanTree]:
        """A copy of a part of the spec with the value in it. Raises `_Refused`."""
        if depth == len(self.steps):
            self.check_kind(place)
            written = self.span.part(len(self.key) + 1, len(self.text) - len(self.key) - 1)
            return self.value, SpanTree(written)
        step = self.steps[depth]
        if depth and self.steps[0] in OPEN_SECTIONS:
            place = {} if place is None else {place: {}} if isinstance(place, str) else place
        if not self.leads_on(place, step, depth):
            self.refuse(place, depth)
        before = place[step] if isinstance(place, list) else place.get(step)
        found, inner = self.put(before, tree.child(step), depth + 1)
        copy = list(place) if isinstance(place, list) else dict(place)
        copy[step] = found
        changed = _with_child(tree, step, inner)
        if depth + 1 == len(self.steps) or step not in tree.keys:
            changed.keys[step] = self.span
        return copy, changed

    def leads_on(self, place: Any, step: Any, depth: int) -> bool:
        """Whether the value at `place` has, or may get, an item called `step`."""
        if isinstance(place, list):
            return isinstance(step, int) and step < len(place)
        if not isinstance(place, Mapping):
            return False
        if depth == 0:
            whole = len(self.steps) == 1 and step in self.known
            return step in place or step in OPEN_SECTIONS or whole
        return step in place or self.steps[0] in OPEN_SECTIONS

    def refuse(self, place: Any, depth: int) -> None:
        """Raises `_Refused`: the spec has no such key."""
        names = [str(name) for name in place] if isinstance(place, Mapping) else []
        if depth == 0:
            names = [*names, *self.known]
        parameter = self.steps[0] == "params" and depth == 1
        path = ".".join(map(str, self.steps[: depth + 1]))
        help = did_you_mean(str(self.steps[depth]), names)
        if isinstance(place, list):
            help = f"it has {len(place)} items, counted from 0"
        raise _Refused("E0303", f"the spec has no {'parameter ' if parameter else ''}`{path}`", help)

    def check_kind(self, before: Any) -> None:
        """A parameter keeps its kind. Raises `_Refused`."""
        if self.steps[0] != "params" or len(self.steps) == 1 or _same_kind(before, self.value):
            return
        name = ".".join(map(str, self.steps[1:]))
        message = f"parameter `{name}` is {_kind(before)} ({show(before)}), got {show(self.value)}"
        help = "quote it in YAML if it is meant as a word" if isinstance(before, str) else None
        raise _Refused("E0304", message, help)


def _with_child(tree: SpanTree, step: Any, child: SpanTree) -> SpanTree:
    return SpanTree(tree.span, dict(tree.keys), {**tree.children, step: child}, tree.inner)


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a word"
    return "a list" if isinstance(value, list) else "a mapping"


def _same_kind(before: Any, value: Any) -> bool:
    """Whether a value may replace another; an absent, required or computed one may be anything."""
    free = any(item is None or (isinstance(item, str) and "$" in item) for item in (before, value))
    return free or before == REQUIRED or _kind(before) == _kind(value)
