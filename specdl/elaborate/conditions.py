"""`when`: entries that are there or not, and those of which only the run tells.

A condition is decided when the spec is compiled, unless it asks whether an optional input of the network is given. An
entry with such a condition is made with a guard; behind it, its value and the one before become one (`choose`) where
they are of one kind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from specdl.elaborate.drafts import NodeDraft, Presence, Ref, localize
from specdl.elaborate.hints import without_dollars
from specdl.elaborate.networks import Networks
from specdl.elaborate.scopes import ABSENT, Absent, Bound, Parted, Poisoned, Site, Undecided, UnknownType
from specdl.ops.choose import Choose
from specdl.source import SpanTree
from specdl.spec.entries import Entry
from specdl.spec.expressions import ExpressionError, substitute
from specdl.spec.validate import show


class Conditions(Networks):
    """Decides conditions, or makes what depends on them."""

    def certain(self, entry: Entry, active: bool | None, site: Site) -> Bound | None:
        """Elaborates an entry that is there; `active` is None after a mistake in its condition."""
        raise NotImplementedError

    def active(self, entry: Entry, site: Site) -> bool | Presence | None:
        """The value of `when`, or what it depends on that only the run decides; None after a mistake in it."""
        if isinstance(entry.when, bool):
            return entry.when
        spans = entry.when_spans or SpanTree(entry.span)
        try:
            value = self.decided(entry.when, spans, site.scope)
        except Poisoned:
            return None
        except Undecided as undecided:
            return self.depends(entry, undecided.presence.name, spans, site)
        if isinstance(value, bool):
            return value
        written = entry.when
        help = "write a condition: `when: $(stride != 1)`"
        if isinstance(written, str) and "$" in written and isinstance(value, str):
            value = written  # the same in every iteration
            help = f"the whole condition stands in `$( )`: `when: $({without_dollars(written)})`"
        message = f"`when` must be true or false, got {show(value)}"
        self.fail(site.frame, "E0402", message, spans.span, help=help)
        return None

    def depends(self, entry: Entry, name: str, spans: SpanTree, site: Site) -> bool | Presence | None:
        """What a `when` comes to where an optional input is given, and where it isn't."""
        found: dict[bool, Any] = {}
        for given in (True, False):
            scope = replace(site.scope, assumed=(*site.assumed, Presence(name, given)))
            try:
                found[given] = self.decided(entry.when, spans, scope)
            except Poisoned:
                return None
            except Undecided as other:
                message = f"this depends on two optional inputs, `{name}` and `{other.presence.name}`"
                help = "put one condition on a named group, and the other one on an entry in it"
                self.fail(site.frame, "E0366", message, spans.span, help=help)
                return None
        if not all(isinstance(value, bool) for value in found.values()):
            wrong = next(value for value in found.values() if not isinstance(value, bool))
            message = f"`when` must be true or false, got {show(wrong)} where `{name}` is absent or given"
            self.fail(site.frame, "E0402", message, spans.span)
            return None
        return bool(found[True]) if found[True] == found[False] else Presence(name, found[True])

    def surely_absent(self, entry: Entry, site: Site) -> bool:
        """Whether `when` excludes the entry, as far as can be told before the entries above it were elaborated."""
        if isinstance(entry.when, bool):
            return not entry.when
        try:
            return substitute(str(entry.when), site.scope) is False
        except (ExpressionError, UnknownType, Undecided):
            return False

    def perhaps(self, entry: Entry, presence: Presence, site: Site) -> Bound | None:
        """Elaborates an entry that runs only where an optional input is given, or only where it is not."""
        frame = site.frame
        if site.guard is not None:
            message = f"`{entry.operator.value}` depends on two optional inputs here, {_names(site.guard, presence)}"
            help = "give the entry around it a name, which makes it a group of its own"
            self.fail(frame, "E0366", message, entry.span, help=help)
            return Ref(site.draft, "", None, entry.span)
        before = dict(frame.values)
        inner = replace(site, guard=presence, assumed=(*site.assumed, presence))
        result = self.certain(entry, True, inner)
        known: dict[tuple[int, int], Bound] = {}
        for name, value in frame.values.items():
            old = before.get(name, ABSENT)
            if value is not old:
                frame.values[name] = self.joined(value, old, presence, entry, site, known)
        if result is None or result is site.flow:
            return result
        return self.joined(result, site.flow or ABSENT, presence, entry, site, known)

    def joined(
        self,
        value: Bound,
        old: Bound,
        presence: Presence,
        entry: Entry,
        site: Site,
        known: dict[tuple[int, int], Bound],
    ) -> Bound:
        """What a name stands for behind an entry that gave it a new value under a condition."""
        key = (id(value), id(old))
        if key not in known:
            known[key] = self.join(value, old, presence, entry, site)
        return known[key]

    def join(self, value: Bound, old: Bound, presence: Presence, entry: Entry, site: Site) -> Bound:
        """The new value under a condition, the old one otherwise: one value, where they are of one kind."""
        if isinstance(old, Parted):
            old = old.settled((presence.opposite,)) or old
        nothing = isinstance(old, Absent) or (isinstance(old, Ref) and old.presence == presence)
        if isinstance(value, Ref) and (value.type is None or nothing):
            return value
        if isinstance(old, Ref) and old.type is None:
            return old
        both = isinstance(value, Ref) and isinstance(old, Ref) and value.type == old.type
        if not both or (isinstance(old, Ref) and old.presence not in (None, presence.opposite)):
            return Parted(presence, value, old)
        assert isinstance(value, Ref)
        assert isinstance(old, Ref)
        assert value.type is not None
        draft = site.draft
        refs: list[Ref | None] = [localize(ref, draft) for ref in (site.frame.optional[presence.name], value, old)]
        op = Choose(present=presence.given)
        name = draft.free_layer_name("choose")
        node = NodeDraft(name, op, refs, [draft.unique(value.name)], [value.type], entry.span, has_weights=False)
        draft.name_layer(node)
        draft.nodes.append(node)
        return Ref(draft, node.outputs[0], value.type, value.span)


def _names(*presences: Presence) -> str:
    return " and ".join(f"`{presence.name}`" for presence in presences)
