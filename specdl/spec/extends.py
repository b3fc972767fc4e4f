"""`extends: base.yaml`: a spec laid over another one, key by key.

Mappings are merged, everything else (lists too) is replaced whole, and `null` takes a key away. The positions are
merged along, so that every mistake is shown in the file where its value stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from specdl.diagnostics import Diagnostics, Note, did_you_mean
from specdl.source import Source, SpanTree
from specdl.spec.imports import Files, Opened, Reference, reference, references

Path = tuple[str, ...]
"""The keys from the top down to a mapping."""

_BESIDE_A_CHOICE = ("groups",)


@dataclass(frozen=True, slots=True)
class Flat:
    """A spec and those that it extends as one mapping, without the keys `extends` and `imports`.

    `sources` are the files, the spec's own first; `imports` the references of all of them.
    """

    data: dict[str, Any]
    spans: SpanTree
    sources: tuple[Source, ...]
    imports: tuple[Reference, ...]


def flatten(opened: Opened, files: Files, diagnostics: Diagnostics) -> Flat | None:
    """A file laid over what it extends, or None after a mistake that leaves nothing to go on with."""
    source = opened.source
    diagnostics.texts[source.file] = source.text
    if not isinstance(source.data, Mapping):
        what = "is empty" if source.data is None else "is not a mapping"
        diagnostics.add(
            "E0100",
            f"`{source.file}` {what}; a spec has the keys `specdl`, `inputs` and `layers`",
            source.spans.span,
            help="begin with `specdl: 1`",
        )
        return None
    data, spans = dict(source.data), source.spans
    base_path, imported = data.pop("extends", None), data.pop("imports", None)
    imports = references(imported, spans.child("imports"), opened, diagnostics)
    if base_path is None:
        return Flat(data, spans, (source,), imports)
    named = reference(base_path, "extends", spans.at("extends"), opened, diagnostics)
    beneath = None if named is None else files.open(named, diagnostics)
    base = None if beneath is None else flatten(beneath, files, diagnostics)
    if base is None:
        return None
    _check_new_params(base, data, source, diagnostics)
    kept = () if "imports" in source.data and imported is None else base.imports
    choices = _choices(base.data, data)
    merged, tree = _merge(base.data, base.spans, data, spans, (), choices)
    return Flat(merged, tree, (source, *base.sources), (*kept, *imports))


def _check_new_params(base: Flat, data: Mapping[str, Any], source: Source, diagnostics: Diagnostics) -> None:
    """A parameter that the base doesn't have, and that this file doesn't read, is a slip of the pen."""
    known, given = base.data.get("params"), data.get("params")
    if not isinstance(given, Mapping):
        return
    known = known if isinstance(known, Mapping) else {}
    for name in given:
        if name in known or len(re.findall(rf"(?<!\w){re.escape(name)}(?!\w)", source.text)) > 1:
            continue
        listing = f"it has {', '.join(f'`{item}`' for item in known)}" if known else "it has no parameters"
        diagnostics.add(
            "E0125",
            f"`{base.sources[0].file}` has no parameter `{name}`, and nothing here reads it",
            source.spans.child("params").key(name),
            help=did_you_mean(name, known) or listing,
            notes=[Note("its parameters are here", base.spans.key("params"))] if known else (),
        )


def _choices(base: Mapping[str, Any], over: Mapping[str, Any]) -> frozenset[Path]:
    """Mappings whose one key names a choice: another name replaces the base's instead of standing beside it."""
    choices: set[Path] = {("loss",), ("data", "source")}
    networks = {name for data in (base, over) if isinstance(data.get("models"), Mapping) for name in data["models"]}
    for word in ("optimizer", "scheduler"):
        choices.update({(word, name) for name in networks} or {(word,)})
    return frozenset(choices)


def _merge(
    base: Mapping[str, Any],
    base_spans: SpanTree,
    over: Mapping[str, Any],
    spans: SpanTree,
    path: Path,
    choices: frozenset[Path],
) -> tuple[dict[str, Any], SpanTree]:
    chosen_anew = path in choices and any(name not in base and name not in _BESIDE_A_CHOICE for name in over)
    outvoted = set(base) - set(over) - set(_BESIDE_A_CHOICE) if chosen_anew else set()
    data = {key: value for key, value in base.items() if key not in outvoted}
    tree = SpanTree(spans.span, dict(base_spans.keys), dict(base_spans.children), spans.inner)
    for key, value in over.items():
        if value is None and key in data and not _null_is_a_value(path):
            del data[key]
            continue
        before = data.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            inner, inner_spans = base_spans.child(key), spans.child(key)
            data[key], tree.children[key] = _merge(before, inner, value, inner_spans, (*path, key), choices)
        else:
            data[key], tree.children[key] = value, spans.child(key)
        tree.keys[key] = spans.keys.get(key, spans.span)
    return data, tree


def _null_is_a_value(path: Path) -> bool:
    """Whether `null` is an ordinary value here: among parameters, and in a variant's values."""
    in_block = path[:1] == ("blocks",) and path[2:3] == ("params",)
    return path[:1] == ("params",) or in_block or (path[:1] == ("variants",) and len(path) > 1)
