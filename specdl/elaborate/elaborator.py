"""Parsed entries become the typed IR: parameters bound, shapes inferred, control flow gone.

The elaborator walks entries in order with one value flowing through. It never stops at a mistake: the
value becomes one of unknown type, whatever reads it stays silent, and every independent mistake is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from specdl.diagnostics import Note
from specdl.elaborate.calls import MAX_FAILURES, MAX_LAYERS, MAX_NESTING, MAX_STEPS
from specdl.elaborate.conditions import Conditions
from specdl.elaborate.drafts import FunctionDraft, NodeDraft, Presence, Ref, localize
from specdl.elaborate.scopes import Abandoned, Absent, Bound, Parted, Poisoned, Site
from specdl.elaborate.shapes import Tracer, origin_notes, residual_help
from specdl.ir.dims import SymDim
from specdl.ir.program import Residual
from specdl.ops import OPERATORS
from specdl.source import SpanTree
from specdl.spec.entries import Entry
from specdl.spec.habits import operator_help
from specdl.spec.validate import show

_LOOPS = {"repeat", "for"}
_STRUCTURES = {"sequence", "repeat", "for", "residual", "branches"}


class Elaborator(Conditions):
    """Elaborates the entries of one spec."""

    def entries(self, entries: Sequence[Entry], site: Site) -> Bound | None:
        """Elaborates a list of entries; gives the last value."""
        flow = site.flow
        for entry in entries:
            flow = self.entry(entry, site.with_flow(flow))
        return flow

    def entry(self, entry: Entry, site: Site) -> Bound | None:
        """Elaborates one entry; gives the value that flows on. Raises `Abandoned` past the limits."""
        self.step(entry, site)
        self.depth += 1
        try:
            return self.guarded(entry, site)
        finally:
            self.depth -= 1

    def step(self, entry: Entry, site: Site) -> None:
        """Counts one entry or iteration. Raises `Abandoned` past the limits."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            self.fail(site.frame, "E0210", f"the loops of this spec make more than {MAX_STEPS:,} entries", entry.span)
            raise Abandoned
        if self.depth >= MAX_NESTING:
            message = f"groups and blocks are nested more than {MAX_NESTING} deep here"
            self.fail(site.frame, "E0210", message, entry.span)
            raise Abandoned

    def guarded(self, entry: Entry, site: Site) -> Bound | None:
        """Elaborates one entry within the limits."""
        active = self.active(entry, site)
        if active is False:
            return site.flow
        if isinstance(active, Presence):
            return self.perhaps(entry, active, site)
        return self.certain(entry, active, site)

    def certain(self, entry: Entry, active: bool | None, site: Site) -> Bound | None:
        """Elaborates an entry that is there; `active` is None after a mistake in its condition."""
        result: Bound
        try:
            if active is None:
                raise Poisoned
            targets = [self.text(target, site.scope) for target in entry.targets]
            result = self.dispatch(entry, targets[0] if len(targets) == 1 else None, site)
        except Poisoned:
            self.failures += 1
            if self.failures > MAX_FAILURES:
                raise Abandoned from None
            targets = [target.value for target in entry.targets if "$" not in target.value]
            if entry.operator.value in _LOOPS or len(targets) < len(entry.targets):
                site.frame.lost.append(entry)
            result = Ref(site.draft, "", None, entry.span)
        self.bind(entry, targets, result, site)
        return result[0] if isinstance(result, tuple) and (targets or entry.operator.value != "branches") else result

    def bind(self, entry: Entry, targets: Sequence[str], result: Bound, site: Site) -> None:
        """Gives the entry's values their names."""
        values = site.frame.values
        if isinstance(result, Ref) and result.type is None:
            values.update(dict.fromkeys(targets, result))
            return
        items: tuple[Bound, ...] = result if isinstance(result, tuple) else (result,)
        if len(targets) == 1 and entry.operator.value == "branches":
            items = (result,)
        if len(targets) > len(items):
            count = "one value" if len(items) == 1 else f"{len(items)} values"
            message = f"{len(targets)} names, but `{entry.operator.value}` gives {count}"
            self.fail(site.frame, "E0308", message, entry.targets[len(items)].span)
        values.update(zip(targets, items, strict=False))
        values.update(dict.fromkeys(targets[len(items) :], Ref(site.draft, "", None, entry.span)))

    def dispatch(self, entry: Entry, own_name: str | None, site: Site) -> Bound:
        """Chooses what to do by the entry's operator."""
        if entry.broken:
            raise Poisoned
        name = entry.operator.value
        if name in _STRUCTURES:
            return self.structure(entry, own_name, replace(site, flow=self.single_input(entry, site)))
        if name == "use":
            return self.use(entry, own_name, site)
        if name == "call":
            return self.call_again(entry, own_name, site)
        if name == "compute":
            return self.compute(entry, own_name, site)
        return self.apply(entry, name, entry.operator.span, entry.arguments, entry.spans, own_name, site)

    # ---- levels --------------------------------------------------------------------------------------

    def structure(self, entry: Entry, own_name: str | None, site: Site) -> Bound:
        """Elaborates a structural entry, in a level of its own where it is named or numbered."""
        kind, draft = entry.operator.value, site.draft
        if own_name is not None:
            level = own_name
            draft.position += draft.counted
        elif site.number is not None:
            level = site.number
        elif draft.counted and kind not in _LOOPS:
            level = str(draft.position)
            draft.position += 1
        else:
            if entry.init is not None:
                message = f"this `{kind}` is no level of its own, so it has no `init`"
                help = f"give it a name, `name = {kind}`, or write `init` beside its layers"
                place = entry.init_spans.span if entry.init_spans else entry.span
                self.fail(site.frame, "E0172", message, place, help=help)
            return self.contents(entry, site, numbering=False)
        label = own_name or (kind if kind in {"residual", "branches"} else draft.name)
        group = FunctionDraft(draft.key, label, "group", entry.span, draft, counted=kind == "sequence")
        numbering = own_name is not None and (kind in _LOOPS or kind == "branches")
        return self.group(group, level, own_name, entry, site, lambda inner: self.contents(entry, inner, numbering))

    def group(
        self,
        group: FunctionDraft,
        level: str,
        own_name: str | None,
        entry: Entry,
        site: Site,
        fill: Callable[[Site], Bound | None],
    ) -> Bound:
        """Elaborates entries into a function of their own, and adds its call to the level around."""
        group.key = self.unique_key(f"{site.draft.key}/{level}")
        group.assumed = site.assumed
        call = NodeDraft(level, group, [], [], [], entry.span, has_weights=False, presence=site.guard)
        group.call = call
        if own_name is not None:
            site.frame.groups[own_name] = group
        if isinstance(site.flow, Ref) and site.flow.type is not None:
            localize(site.flow, group)  # what flows in is the first input, whoever reads it first
        result = fill(site.inside(group))
        call.has_weights = group.has_weights()
        self.enter(call, entry, site)
        if result is None:
            raise self.no_flow(site.frame, entry.span)
        if isinstance(result, Absent):
            raise Poisoned
        refs: list[Ref] = []
        for item in result if isinstance(result, tuple) else (result,):
            if isinstance(item, Parted):
                raise self.parted(item, entry, site)
            if item.type is None:
                raise Poisoned
            inner = localize(item, group)
            wanted = own_name or group.name
            place = inner.span if group.kind == "iteration" else entry.span
            refs.append(group.export(inner, wanted if wanted.isidentifier() else None, place))
        return tuple(refs) if isinstance(result, tuple) else refs[0]

    def contents(self, entry: Entry, site: Site, numbering: bool) -> Bound:
        """The entries of a structural entry. `numbering` is for a named loop and named branches."""
        kind = entry.operator.value
        if kind in {"residual", "branches"} and isinstance(site.flow, Absent):
            raise self.not_given(f"`{kind}` needs an input", entry, site.frame)
        if kind == "residual":
            return self.residual(entry, site)
        if kind == "branches":
            return self.branches(entry, site, numbering)
        result = site.flow
        if kind == "sequence":
            result = self.entries(entry.body, site)
        else:
            for variables in self.rows(entry, site):
                number = str(variables["index"]) if numbering else None
                result = self.numbered(entry, entry.body, replace(site, loop=variables, flow=result, number=number))
        if result is None:
            raise self.no_flow(site.frame, entry.operator.span)
        return result

    def numbered(self, entry: Entry, body: Sequence[Entry], site: Site) -> Bound | None:
        """One iteration or path. With a number, a lone unnamed entry takes it; anything else makes it a level."""
        number = site.number
        if number is None:
            return self.entries(body, site)
        written = [item for item in body if not self.surely_absent(item, site)]
        if not written:
            return site.flow
        only = written[0]
        named = len(only.targets) == 1  # several names are those of values, not of the layer
        if len(written) == 1 and not named and only.operator.value not in {*_LOOPS, "compute", "call"}:
            return self.entry(only, site)
        level = FunctionDraft(site.draft.key, site.draft.name, "iteration", entry.span, site.draft)
        return self.group(level, number, None, entry, site, lambda inner: self.entries(body, inner))

    # ---- loops ---------------------------------------------------------------------------------------

    def rows(self, entry: Entry, site: Site) -> Iterator[dict[str, Any]]:
        """The loop variables of each iteration of a `repeat` or `for`. Raises `Poisoned`."""
        value = self.resolve(entry.arguments, entry.spans, site.scope)
        columns: Mapping[str, Sequence[Any]] = {}
        if entry.operator.value == "for":
            count = self.check_columns(entry, value, site)
            columns = value
        elif isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            count = value
        else:
            what = f"`{value}`, which is only known at run time" if isinstance(value, SymDim) else show(value)
            message = f"`repeat` needs a number of times, got {what}"
            known = {**self.params, **site.frame.params, **site.loop}
            help = f"`{value}` is a parameter: write `${value}`" if isinstance(value, str) and value in known else None
            raise self.fail(site.frame, "E0404", message, entry.spans.span, help=help)
        if count > MAX_LAYERS:
            raise self.fail(site.frame, "E0210", f"a loop may have {MAX_LAYERS:,} iterations", entry.spans.span)
        for index in range(count):
            self.step(entry, site)
            row = {name: column[index] for name, column in columns.items()}
            yield {**site.loop, **row, "index": index, "first": index == 0, "last": index == count - 1}

    def check_columns(self, entry: Entry, value: Any, site: Site) -> int:
        """The number of rows of a `for` table. Raises `Poisoned`."""
        frame = site.frame
        if not isinstance(value, Mapping) or not value:
            message = f"`for` needs columns, got {show(value)}"
            raise self.fail(frame, "E0404", message, entry.spans.span, help="e.g. `for: {width: [64, 128]}`")
        first, length = next(iter(value)), 0
        for position, (name, column) in enumerate(value.items()):
            if not isinstance(column, tuple):
                message = f"the column `{name}` must be a list, got {show(column)}"
                raise self.fail(frame, "E0404", message, entry.spans.at(name))
            if position and len(column) != length:
                message = f"columns have equal lengths, but `{first}` has {length} items and `{name}` has {len(column)}"
                raise self.fail(frame, "E0404", message, entry.spans.at(name))
            length = len(column)
        return length

    # ---- residual and branches -----------------------------------------------------------------------

    def residual(self, entry: Entry, site: Site) -> Bound:
        """body(x) + shortcut(x); both paths belong to the same level."""
        draft = site.draft
        if site.flow is None:
            raise self.no_flow(site.frame, entry.operator.span)
        if isinstance(site.flow, Ref) and site.flow.type is None:
            for path in (entry.body, entry.shortcut or ()):
                self.entries(path, replace(site, number=None))
            raise Poisoned
        source = self.local(site.flow, entry, site)
        start = replace(site, flow=source, number=None)
        before = len(draft.nodes)
        body = self.entries(entry.body, start)
        between = len(draft.nodes)
        shortcut = self.entries(entry.shortcut or (), start)
        after = len(draft.nodes)
        assert source is not None
        assert body is not None
        assert shortcut is not None
        left, right = self.local(body, entry, site), self.local(shortcut, entry, site)
        assert left is not None
        assert right is not None
        if left.type != right.type:
            raise self.residual_mismatch(entry, left, right, site)
        op = self.operator(OPERATORS["add"], "add", None, entry.spans, site)
        result = self.emit(entry, op, [left, right], None, entry.spans, replace(site, number=None))
        body_nodes, shortcut_nodes = tuple(range(before, between)), tuple(range(between, after))
        draft.residuals.append(Residual(source.name, body_nodes, shortcut_nodes, len(draft.nodes) - 1))
        return result

    def residual_mismatch(self, entry: Entry, body: Ref, shortcut: Ref, site: Site) -> Poisoned:
        """Records that the two paths of a residual don't fit, and how to mend it."""
        tracer = Tracer(self.function_of)
        help = None if entry.shortcut is not None else residual_help(tracer, body, shortcut)
        notes = origin_notes(tracer, body, shortcut)
        if entry.shortcut is not None:
            notes += origin_notes(tracer, shortcut, body)
        message = f"shapes don't match: the residual's body gives {body.type}, its shortcut {shortcut.type}"
        return self.fail(site.frame, "E0204", message, entry.operator.span, notes=notes, help=help)

    def branches(self, entry: Entry, site: Site, numbering: bool) -> Bound:
        """Parallel paths over one input, merged by an operator or given as several values."""
        if site.flow is None:
            raise self.no_flow(site.frame, entry.operator.span)
        results: list[Bound | None] = []
        for path in entry.paths:
            rows: Iterator[tuple[Sequence[Entry], Mapping[str, Any]]] = iter([(path, site.loop)])
            if len(path) == 1 and path[0].operator.value in _LOOPS and not path[0].targets:
                looped = path[0].body
                rows = ((looped, variables) for variables in self.rows(path[0], site))
            for body, variables in rows:
                number = str(len(results)) if numbering else None
                results.append(self.numbered(entry, body, replace(site, loop=variables, number=number)))
        refs = [self.local(result, entry, site) for result in results if result is not None]
        paths = tuple(ref for ref in refs if ref is not None)
        if not entry.paths:
            raise Poisoned  # told when the entry was parsed
        if not paths:
            raise self.fail(site.frame, "E0311", "these `branches` have no paths", entry.operator.span)
        if entry.merge is None:
            return paths
        name = self.text(entry.merge, site.scope)
        cls = OPERATORS.get(name)
        if cls is None or not cls.inputs or not (cls.inputs[0].startswith("*") or len(cls.inputs) == len(paths)):
            merges = ["concat", "add", "mul", "stack"]
            help = operator_help(name, merges) or f"e.g. {', '.join(f'`{item}`' for item in merges)}"
            raise self.fail(
                site.frame, "E0205", f"`{name}` can't merge {len(paths)} paths", entry.merge.span, help=help
            )
        spans = SpanTree(entry.merge.span)
        op = self.operator(cls, name, None, spans, site)
        notes = tuple(Note(f"path {index} gives {ref.type}", ref.span) for index, ref in enumerate(paths[:6]))
        merging = replace(site, frame=replace(site.frame, notes=(*notes, *site.frame.notes)), number=None)
        return self.emit(replace(entry, operator=entry.merge), op, paths, None, spans, merging)
