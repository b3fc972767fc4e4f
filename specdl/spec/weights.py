"""The top-level keys `weights` and `freeze`: where a network's weights come from, and which of them stay."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from specdl.diagnostics import Diagnostics, Span, did_you_mean
from specdl.source import SpanTree
from specdl.spec.validate import show, validate
from specdl.weights.published import is_published
from specdl.weights.rules import Rules


class WeightsFile(BaseModel):
    """The keys of `weights`."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    load: str | list[str] | None = Field(
        default=None,
        description="A file (.safetensors, .pt, .pth), a list of shards, the folder of a run, or published weights: "
        "`torchvision:resnet50/IMAGENET1K_V2`, `timm:…`, `hf:org/repo`. Without it "
        "nothing is loaded, and the rules are for who names a file: a spec that extends this one, or a command.",
    )
    rename: dict[str, str] = Field(
        default_factory=dict, description="The file's names → ours; `*` stands for any text, the first rule that fits."
    )
    transpose: list[str] = Field(default_factory=list, description="Patterns of our matrices that the file has turned.")
    skip: list[str] = Field(default_factory=list, description="Patterns of ours that stay as they are initialised.")
    ignore: list[str] = Field(default_factory=list, description="Patterns of the file's that are passed over.")


@dataclass(frozen=True, slots=True)
class Weights:
    """A checked section `weights`. `loads` are the files with the places that name them; there may be none."""

    loads: tuple[tuple[str, Span | None], ...]
    rules: Rules

    @staticmethod
    def absolute(name: str, span: Span | None) -> str:
        """A file seen from the one that names it, or from where the user is where the command line does."""
        if is_published(name):
            return name
        folder = "" if span is None or span.file.startswith("<") else os.path.dirname(span.file)
        return os.path.abspath(os.path.join(folder, os.path.expanduser(name)))


def parse_weights(data: Any, spans: SpanTree, span: Span, diagnostics: Diagnostics) -> Weights | None:
    """The section, or None after a mistake was recorded. `data` has its expressions evaluated."""
    if not isinstance(data, Mapping):
        help = f"write `weights: {{load: {data}}}`" if isinstance(data, str) else "`weights: {load: FILE}`"
        diagnostics.add("E0927", f"`weights` is a mapping, got {show(data)}", spans.span, help=help)
        return None
    parsed = validate(WeightsFile, data, spans, diagnostics, what="weights", code="E0927", noun="key")
    if parsed is None:
        return None
    for pattern, target in parsed.rename.items():
        if target.count("*") > pattern.count("*"):
            message = f"`{target}` has more `*` than `{pattern}`, which they repeat"
            diagnostics.add("E0927", message, spans.at("rename", pattern))
            return None
    if parsed.load is None:
        return Weights((), replace(_rules(parsed), offered=frozenset(_each(parsed))))
    if isinstance(parsed.load, str):
        loads: list[tuple[str, Span | None]] = [(parsed.load, spans.at("load"))]
    else:
        loads = [(name, spans.at("load", index)) for index, name in enumerate(parsed.load)]
    if not loads or any(not name for name, _ in loads):
        diagnostics.add("E0927", "`load` names a file", spans.at("load"))
        return None
    elsewhere = (rule for rule, step in _each(parsed).items() if spans.at(*step).file != spans.at("load").file)
    return Weights(tuple(loads), replace(_rules(parsed), offered=frozenset(elsewhere)))


def _rules(section: WeightsFile) -> Rules:
    return Rules(section.rename, tuple(section.transpose), tuple(section.skip), tuple(section.ignore))


def _each(section: WeightsFile) -> dict[tuple[str, str], tuple[str, str | int]]:
    """Every rule by its kind and pattern, with where it stands in the section."""
    found: dict[tuple[str, str], tuple[str, str | int]] = {("rename", key): ("rename", key) for key in section.rename}
    lists = {"transpose": section.transpose, "skip": section.skip, "ignore": section.ignore}
    for kind, patterns in lists.items():
        found.update({(kind, pattern): (kind, index) for index, pattern in enumerate(patterns)})
    return found


def frozen_names(patterns: Any, names: Sequence[str], spans: SpanTree, diagnostics: Diagnostics) -> frozenset[str]:
    """The parameters that `freeze` keeps as they are: later patterns win, one with `!` frees again.

    A pattern that fits no parameter is recorded.
    """
    items = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) and item.strip("!") for item in items):
        message = f"`freeze` is a list of patterns of parameters, got {show(patterns)}"
        diagnostics.add("E0928", message, spans.span, help='e.g. `freeze: ["*", "!fc.*"]`')
        return frozenset()
    found: set[str] = set()
    for position, item in enumerate(items):
        pattern = item.removeprefix("!")
        matched = {name for name in names if fnmatchcase(name, pattern)}
        if not matched:
            place = spans.span if isinstance(patterns, str) else spans.at(position)
            known = list(dict.fromkeys([*names, *(f"{name.partition('.')[0]}.*" for name in names)]))
            listing = ", ".join(f"`{name}`" for name in names[:3]) + (", …" if len(names) > 3 else "")
            help = did_you_mean(pattern, known) or f"parameters are called {listing}"
            diagnostics.add("E0929", f"no parameter is called `{pattern}`", place, help=help)
        found = found - matched if item.startswith("!") else found | matched
    return frozenset(found)
