"""An imported spec as a block: its whole network, with its parameters, a variant and the outputs that a call wants.

LANGUAGE rule 12: layers that those outputs don't need are not built. What stands behind the last of them isn't
even elaborated, so a classifier can't complain about images that are only looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from specdl.diagnostics import Note, did_you_mean
from specdl.elaborate.calls import BLOCK_STEPS, Calls, frozen, may_be_absent
from specdl.elaborate.drafts import FunctionDraft, Presence, Ref
from specdl.elaborate.initial import Patterns
from specdl.elaborate.prune import prune
from specdl.elaborate.scopes import ABSENT, UNKNOWN, Bound, EntryScope, Frame, Home, Poisoned, Site
from specdl.elaborate.ties import find_ties
from specdl.ir.types import TensorType
from specdl.source import SpanTree
from specdl.spec.entries import Entry, may_name
from specdl.spec.file import Spec
from specdl.spec.overrides import REQUIRED, apply_variant
from specdl.spec.validate import show

_WORDS = ("variant", "outputs")
"""Arguments of a call that are no parameters of the spec."""


class Networks(Calls):
    """Calls the networks of imported specs."""

    def network(
        self, entry: Entry, name: str, spec: Spec, arguments: Any, spans: SpanTree, own_name: str | None, site: Site
    ) -> Bound:
        """Calls the whole network of an imported spec."""
        given = self.network_arguments(name, spec, arguments, spans, site)
        refs = self.inputs(
            name, [f"{port}?" if _optional(item) else port for port, item in spec.inputs.items()], entry, site
        )
        types = [None if ref is None else ref.type for ref in refs]
        maybe = frozenset(port for port, ref in zip(spec.inputs, refs, strict=True) if may_be_absent(ref, site))
        variant, wanted = given.pop("variant", None), given.pop("outputs", None)
        home = self.network_home(name, spec, variant, given, entry, spans, site)
        key = (home.key, frozen(wanted), tuple(types), maybe)
        callee = self.blocks.get(key)
        if callee is None:
            callee = self.elaborate_network(name, home, wanted, spans.child("outputs"), types, maybe, entry, site)
            self.blocks[key] = callee
            self.signatures[callee.key] = (callee.output_types(), callee.has_weights())
        return self.call_function(entry, name, callee, refs, own_name, site)

    def network_arguments(self, name: str, spec: Spec, arguments: Any, spans: SpanTree, site: Site) -> dict[str, Any]:
        """The arguments of a call: parameters of the spec, `variant` and `outputs`. Raises `Poisoned`."""
        if isinstance(arguments, str) and "$" in arguments:
            arguments = self.resolve(arguments, spans, site.scope)
        if arguments is None:
            return {}
        if not isinstance(arguments, Mapping):
            message = f"the network `{name}` takes its parameters by name, got {show(arguments)}"
            raise self.fail(site.frame, "E0203", message, spans.span, help=f"e.g. `{name}: {{outputs: [features]}}`")
        known = [*spec.params, *_WORDS]
        failed = False
        for key in arguments:
            if key not in known:
                listing = ", ".join(f"`{item}`" for item in known)
                message = f"the network `{name}` has no parameter `{key}`"
                help = did_you_mean(str(key), known) or f"it takes {listing}"
                self.fail(site.frame, "E0201", message, spans.key(key), help=help)
                failed = True
        if failed:
            raise Poisoned
        return {key: self.resolve(value, spans.child(key), site.scope) for key, value in arguments.items()}

    def network_home(
        self,
        name: str,
        spec: Spec,
        variant: Any,
        given: Mapping[str, Any],
        entry: Entry,
        spans: SpanTree,
        site: Site,
    ) -> Home:
        """The imported file with its parameters bound for one call. Raises `Poisoned`."""
        if variant is not None and variant not in spec.variants:
            listing = ", ".join(f"`{item}`" for item in spec.variants)
            help = did_you_mean(str(variant), spec.variants) or (f"it has {listing}" if listing else "it has none")
            message = f"the network `{name}` has no variant {show(variant)}"
            raise self.fail(site.frame, "E0302", message, spans.at("variant"), help=help)
        data, tree = apply_variant(spec.data, spec.spans, variant, self.diagnostics)
        params: dict[str, Any] = {}
        home = Home(spec, params)
        draft = FunctionDraft(name, name, "block", spec.spans.key("layers"))
        scope = EntryScope(Frame(draft, {}, home, notes=_notes(name, entry, site)), {}, None)
        for key, default in (data.get("params") or {}).items():
            place = tree.child("params", key)
            if key in given:
                params[key] = given[key]
            elif default == REQUIRED:
                notes = [Note("it is declared here", tree.key("params", key))]
                message = f"the network `{name}` needs `{key}`"
                raise self.fail(site.frame, "E0202", message, entry.operator.span, notes=notes)
            else:
                try:
                    params[key] = self.resolve(default, place, scope)
                except Poisoned:
                    params[key] = UNKNOWN
        return Home(spec, params, (spec.file, frozen(params)))

    def elaborate_network(
        self,
        name: str,
        home: Home,
        wanted: Any,
        wanted_spans: SpanTree,
        types: Sequence[TensorType | None],
        maybe: Collection[str],
        entry: Entry,
        site: Site,
    ) -> FunctionDraft:
        """The function of a network for these parameters, outputs and inputs. It has no outputs after a mistake."""
        self.steps += BLOCK_STEPS
        spec = home.spec
        span = spec.spans.key("layers")
        draft = FunctionDraft(self.unique_key(name), name, "block", span, parameters=dict(home.params))
        frame = Frame(draft, {}, home, notes=_notes(name, entry, site), stack=site.frame.stack)
        flow: Ref | None = None
        for input_name, type in zip(spec.inputs, types, strict=True):
            if type is None:
                frame.values[input_name] = ABSENT
                continue
            ref = draft.add_input(input_name, type, entry.span, Presence(input_name) if input_name in maybe else None)
            if ref.presence is not None:
                frame.optional[input_name] = ref
            frame.values[input_name] = ref
            flow = flow or ref
        try:
            self.check_inputs(name, spec, types, frame, entry, site)
            entries = spec.layers if wanted is None else _until(spec.layers, _heads(wanted))
            failures = self.failures
            last = self.entries(entries, Site(frame, draft, flow=flow))
            if self.failures > failures:
                raise Poisoned  # the names that it should give may be missing for that reason
            if wanted is None:
                self.outputs(draft, frame, last, spec.outputs, spec.spans.child("outputs"), span)
            else:
                self.outputs(draft, replace(frame, notes=site.frame.notes), last, wanted, wanted_spans, entry.span)
        except Poisoned:
            draft.outputs.clear()
            return draft
        prune(draft)
        if spec.ties or spec.init:
            functions, scope = self.finished(draft), EntryScope(frame, {}, None)
            function = functions[draft.key]
            draft.ties = find_ties(self.tied(spec.ties, scope), function, functions, self.diagnostics, whole=False)
            rules = self.rules(spec.init, spec.spans.child("init"), scope)
            draft.init = Patterns(rules, self.diagnostics, whole=False).apply(name, function, functions, draft.ties)
        return draft

    def check_inputs(
        self, name: str, spec: Spec, types: Sequence[TensorType | None], frame: Frame, entry: Entry, site: Site
    ) -> None:
        """Ranks and dtypes must be those of the spec's inputs; sizes may be others. Raises `Poisoned`."""
        for (input_name, declared), type in zip(spec.inputs.items(), types, strict=True):
            if type is None:
                continue
            shape = declared.get("shape") if isinstance(declared, Mapping) else declared
            dtype = declared.get("dtype", "float32") if isinstance(declared, Mapping) else "float32"
            rank = len(shape) + 1 if isinstance(shape, list) else type.rank
            if type.dtype == dtype and type.rank == rank:
                continue
            wanted = f"{dtype} with {rank} axes, the batch counted"
            message = f"the input `{input_name}` of the network `{name}` is {wanted}, got {type}"
            notes = [Note("it is declared here", spec.spans.child("inputs").key(input_name))]
            raise self.fail(site.frame, "E0204", message, entry.span, notes=notes)


def _optional(declared: Any) -> bool:
    return isinstance(declared, Mapping) and declared.get("optional") is True


def _notes(name: str, entry: Entry, site: Site) -> tuple[Note, ...]:
    return (Note(f"in the network `{name}`, which is used here", entry.span), *site.frame.notes[:3])


def _heads(wanted: Any) -> set[str]:
    """The names, up to their first dot, that wanted outputs begin with."""
    names = wanted.values() if isinstance(wanted, Mapping) else (wanted,) if isinstance(wanted, str) else wanted
    return {str(name).split(".")[0] for name in names} if isinstance(names, Iterable) else set()


def _until(entries: Sequence[Entry], names: set[str]) -> Sequence[Entry]:
    """The entries up to the last one that may give a value one of these names."""
    for position in range(len(entries) - 1, -1, -1):
        if any(may_name(entries[position], name) for name in names):
            return entries[: position + 1]
    return entries
