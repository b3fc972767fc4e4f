"""Loops that run when the program does: `for` and `repeat` in `sample`.

The body is elaborated once, into a function. What an iteration takes from the one before (names that the body reads
and then gives anew) is *carried*: an input and an output of that function. An expression over the loop's variables is
evaluated for every row at once, since the table is known; where the results differ they become a *column*, a number
that changes with the iteration.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from specdl.diagnostics import Note, Span
from specdl.elaborate.drafts import FunctionDraft, NodeDraft, Ref, localize
from specdl.elaborate.elaborator import Elaborator
from specdl.elaborate.scopes import Bound, EntryScope, Poisoned, Site
from specdl.ir.program import Loop
from specdl.ops.broadcasting import Number, number
from specdl.source import SpanTree
from specdl.spec.entries import Entry

_LOOP = "run-time loop"
"""The key under which a site's loop variables hold the loop; no name has a space."""

Numbers = tuple[bool | int | float, ...]


@dataclass(slots=True, eq=False)
class RunTimeLoop:
    """A loop under construction; `rows` are its variables in each iteration, `outer` is the loop around it."""

    draft: FunctionDraft
    rows: tuple[Mapping[str, Any], ...]
    names: frozenset[str]
    outer: RunTimeLoop | None
    columns: dict[tuple[type, Numbers], Ref] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Column:
    """What an expression gives in each iteration of a loop."""

    loop: RunTimeLoop
    values: tuple[Any, ...]
    name: str


@dataclass(frozen=True, slots=True)
class _Carried:
    """A start with what it becomes by the end of an iteration."""

    start: _Start
    end: Ref


@dataclass(frozen=True, slots=True)
class _Start:
    """A value from before a loop that an iteration may hand on: its name (None for what flows), inside and outside."""

    name: str | None
    inside: Ref
    outside: Ref


class RunTimeLoops(Elaborator):
    """An elaborator whose loops run at run time while `looping`."""

    looping = False

    # ---- expressions ---------------------------------------------------------------------------------

    def decided(self, value: Any, spans: SpanTree, scope: EntryScope) -> Any:
        """A raw value with its expressions evaluated; in a run-time loop it must be the same in every iteration."""
        found = self.each(value, spans, scope)
        if isinstance(found, Column):
            message = f"`{value}` changes from one iteration to the next, but a run-time loop has one body"
            help = f"numbers may change: as an input, `model(x, {value})`, or in `compute`"
            raise self.fail(scope.frame, "E0711", message, spans.span, help=help)
        return found

    def each(self, value: Any, spans: SpanTree, scope: EntryScope) -> Any:
        """A raw value with its expressions evaluated; a `Column` where iterations differ. Raises `Poisoned`."""
        loop = scope.loop.get(_LOOP)
        if loop is None or not isinstance(value, str) or "$" not in value:
            return super().decided(value, spans, scope)
        words = re.findall(r"[A-Za-z_]\w*", value)
        found: RunTimeLoop | None = None
        hidden: set[str] = set()
        while loop is not None:
            own = loop.names - hidden
            if own.intersection(words):
                if found is not None:
                    message = f"`{value}` depends on two run-time loops"
                    help = "compute it in two steps, one in each loop"
                    raise self.fail(scope.frame, "E0711", message, spans.span, help=help)
                found = loop
            hidden.update(own)
            loop = loop.outer
        if found is None:
            return super().decided(value, spans, scope)
        values: list[Any] = []
        for row in found.rows:
            self.steps += 1
            values.append(super().decided(value, spans, EntryScope(scope.frame, {**scope.loop, **row}, scope.flow)))
        if all(type(item) is type(values[0]) and item == values[0] for item in values):
            return values[0]
        name = next(word for word in words if word in found.names)
        return Column(found, tuple(values), name)

    def column(self, column: Column, text: str, span: Span, site: Site) -> Ref:
        """The number of an iteration, as a value of the loop's body. Raises `Poisoned`."""
        kinds = {type(item) for item in column.values}
        if not kinds <= {bool, int, float} or (bool in kinds and len(kinds) > 1):
            message = f"`{text}` must be a number in every iteration"
            raise self.fail(site.frame, "E0711", message, span)
        values: Numbers = tuple(map(float, column.values)) if float in kinds else column.values
        key = (type(values[0]), values)
        found = column.loop.columns.get(key)
        if found is None:
            smallest = min(values)
            type_ = Number((), number(smallest).dtype, smallest)
            found = column.loop.columns[key] = column.loop.draft.add_input(column.name, type_, span)
        return found

    # ---- loops ---------------------------------------------------------------------------------------

    def contents(self, entry: Entry, site: Site, numbering: bool) -> Bound:
        """The entries of a structural entry; a loop becomes one node where loops run at run time."""
        if not self.looping or entry.operator.value not in {"for", "repeat"}:
            return super().contents(entry, site, numbering)
        result = self.loop(entry, replace(site, number=None))
        if result is None:
            raise self.no_flow(site.frame, entry.operator.span)
        return result

    def loop(self, entry: Entry, site: Site) -> Bound | None:
        """A run-time loop. Raises `Poisoned`."""
        frame = site.frame
        rows = tuple(self.rows(entry, site))
        if not rows:
            return site.flow
        draft = FunctionDraft(self.unique_key(f"{site.draft.key}/loop"), "loop", "loop", entry.span, site.draft)
        outer: RunTimeLoop | None = site.loop.get(_LOOP)
        names = frozenset({"index", "first", "last", *_columns(entry)})
        loop = RunTimeLoop(draft, rows, names, outer)
        call = NodeDraft("", draft, [], [], [], entry.span, has_weights=False)
        draft.call = call
        starts = list(self.starts(entry, draft, site))
        flow: Bound | None = site.flow
        for start in starts:
            if start.name is None:
                flow = start.inside
            else:
                frame.values[start.name] = start.inside
        inner = Site(frame, draft, {**site.loop, **rows[0], _LOOP: loop}, flow)
        result = self.entries(entry.body, inner)
        carried, dropped = self.carried(entry, starts, result, inner)
        self.close(call, loop, carried, dropped)
        call.name = site.draft.free_layer_name("loop")
        self.enter(call, entry, site)
        # What no iteration changes is what it was before.
        changed = {item.start.inside for item in carried}
        same = {start.inside: start.outside for start in starts if start.inside not in changed}
        for name, bound in frame.values.items():
            if isinstance(bound, Ref) and bound in same:
                frame.values[name] = same[bound]
        if not isinstance(result, Ref):
            return result
        if result.type is None:
            raise Poisoned
        return same[result] if result in same else draft.export(localize(result, draft))

    def starts(self, entry: Entry, draft: FunctionDraft, site: Site) -> Iterator[_Start]:
        """Inputs of the body for the names that it assigns, and for what flows in."""
        candidates: list[tuple[str | None, Bound | None]] = [(None, site.flow)]
        candidates += [(name, site.frame.values.get(name)) for name in sorted(set(_assigned(entry.body)))]
        for name, bound in candidates:
            if isinstance(bound, Ref) and bound.type is not None:
                outside = localize(bound, site.draft)
                inside = draft.add_input(name or "x", bound.type, bound.span)
                draft.arguments.append(outside)
                yield _Start(name, inside, outside)

    def carried(
        self, entry: Entry, starts: Sequence[_Start], result: Bound | None, site: Site
    ) -> tuple[list[_Carried], list[Ref]]:
        """What iterations hand on, and the inputs of the body that nothing reads. Raises `Poisoned`."""
        values, draft = site.frame.values, site.draft
        ends: list[tuple[_Start, Ref]] = []
        for start in starts:
            bound = result if start.name is None else values.get(start.name)
            end = bound if isinstance(bound, Ref) else start.inside
            if end.type is None:
                raise Poisoned
            ends.append((start, localize(end, draft)))
        read = _read(draft) | {end.name for start, end in ends if end is not start.inside}
        read |= {bound.name for bound in values.values() if isinstance(bound, Ref) and bound.draft is draft}
        carried: list[_Carried] = []
        dropped: list[Ref] = []
        for start, end in ends:
            unchanged = end is start.inside
            if start.inside.name not in read or (unchanged and start.inside.name not in _read(draft)):
                dropped.append(start.inside)
            elif not unchanged and end.type != start.inside.type:
                what = "what flows" if start.name is None else f"`{start.name}`"
                message = f"{what} is {start.inside.type} before an iteration of this loop, and {end.type} behind it"
                notes = [Note("it becomes that here", end.span)]
                raise self.fail(site.frame, "E0712", message, entry.operator.span, notes=notes)
            elif not unchanged:
                carried.append(_Carried(start, end))
        return carried, dropped

    def close(self, call: NodeDraft, loop: RunTimeLoop, carried: Sequence[_Carried], dropped: Collection[Ref]) -> None:
        """Orders the body's inputs and outputs: carried ones first, what stays the same, then columns."""
        draft = loop.draft
        columns = {ref.name: values for (_, values), ref in loop.columns.items()}
        types = {value.name: value for value in draft.inputs}
        given = dict(zip([name for name in types if name not in columns], draft.arguments, strict=True))
        first = [item.start.inside.name for item in carried]
        gone = {*first, *(ref.name for ref in dropped)}
        order = [*first, *(name for name in given if name not in gone)]
        draft.inputs = [types[name] for name in [*order, *columns]]
        draft.arguments = [given[name] for name in order]
        assert draft.parent is not None
        for item in carried:
            end, name = item.end, item.start.inside.name
            assert end.type is not None
            draft.outputs.append(end.name)
            draft.output_names.append(name)
            outside = Ref(draft.parent, draft.parent.unique(item.start.name or "x"), end.type, end.span)
            call.outputs.append(outside.name)
            call.types.append(end.type)
            draft.remember(end, outside)
        call.loop = Loop(len(carried), len(loop.rows), tuple(columns.values()))


def _columns(entry: Entry) -> Iterable[str]:
    return entry.arguments if isinstance(entry.arguments, Mapping) else ()


def _assigned(entries: Iterable[Entry]) -> Iterator[str]:
    """The names that some entries, or those inside of them, give to values."""
    for entry in entries:
        yield from (target.value for target in entry.targets)
        yield from _assigned(entry.body)
        yield from _assigned(entry.shortcut or ())
        for path in entry.paths:
            yield from _assigned(path)


def _read(draft: FunctionDraft) -> set[str]:
    """The values of a function that its nodes read."""
    found: set[str] = set()
    for node in draft.nodes:
        inputs = node.callee.arguments if isinstance(node.callee, FunctionDraft) else node.inputs
        found.update(ref.name for ref in inputs if ref is not None)
    return found
