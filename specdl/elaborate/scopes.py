"""What names mean at one place of a spec: parameters, loop variables, values, and the types of values."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from specdl.diagnostics import Note
from specdl.elaborate.drafts import FunctionDraft, Presence, Ref
from specdl.ir.types import TensorType
from specdl.spec.entries import Entry
from specdl.spec.expressions import ExpressionError
from specdl.spec.file import Block, Spec


class Absent:
    """The value of an optional input that was left out."""


ABSENT = Absent()


@dataclass(frozen=True, slots=True, eq=False)
class Parted:
    """A name that stands for one value under a condition and for another otherwise, which can't be brought together."""

    presence: Presence
    value: Bound
    otherwise: Bound

    def settled(self, assumed: Sequence[Presence]) -> Bound | None:
        """What it stands for under what is assumed; None where that doesn't tell."""
        if self.presence in assumed:
            return self.value
        return self.otherwise if self.presence.opposite in assumed else None


Bound = Union[Ref, tuple[Ref, ...], Absent, Parted]
"""What a name stands for: a value, the values of several paths, nothing, or one of two."""


@dataclass(frozen=True, slots=True)
class Home:
    """A file as its blocks and its network see it (LANGUAGE rule 15): its blocks, its imports, its bound parameters.

    `key` tells apart the homes of a spec that is imported once and called with several sets of parameters.
    """

    spec: Spec
    params: dict[str, Any]
    key: Hashable = ()


@dataclass(slots=True)
class Frame:
    """One elaboration of a block, network or step: its parameters and its values, shared by groups and loops.

    `lost` are entries whose values have no names, because of a mistake in a loop's header or in a name.
    """

    draft: FunctionDraft
    params: Mapping[str, Any]
    home: Home
    values: dict[str, Bound] = field(default_factory=dict)
    groups: dict[str, FunctionDraft] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    stack: tuple[Block, ...] = ()
    lost: list[Entry] = field(default_factory=list)
    optional: dict[str, Ref] = field(default_factory=dict)
    """The inputs that may be absent when it runs, by name."""


class UnknownType(Exception):
    """An expression asks for something that an earlier mistake made unknown: say nothing more."""


class Undecided(Exception):
    """An expression asks whether an optional input is given, which only the run decides."""

    def __init__(self, presence: Presence) -> None:
        super().__init__(presence.name)
        self.presence = presence


UNKNOWN = object()
"""The value of a parameter after a mistake in it."""


@dataclass(frozen=True, slots=True)
class EntryScope:
    """The names that an expression of one entry sees (LANGUAGE rules 14 to 16)."""

    frame: Frame
    loop: Mapping[str, Any]
    flow: Bound | None
    assumed: tuple[Presence, ...] = ()

    def lookup(self, name: str) -> Any:
        """Loop variables first, then parameters, then the types of values."""
        for names in (self.loop, self.frame.params, self.frame.home.params):
            if name in names:
                if names[name] is UNKNOWN:
                    raise UnknownType
                return names[name]
        if name == "input" and self.flow is not None:
            return self.type_of(self.flow, name)
        if name in self.frame.values:
            return self.type_of(self.frame.values[name], name)
        raise KeyError(name)

    def type_of(self, bound: Bound, name: str) -> TensorType:
        """The type of a value. Raises `UnknownType` after an earlier mistake."""
        if isinstance(bound, Absent):
            raise ExpressionError(
                f"the optional input `{name}` was not given", help=f"guard it: `when: $(given({name}))`"
            )
        if isinstance(bound, Parted):
            settled = bound.settled(self.assumed)
            if settled is None:
                message = f"`{name}` is another value where `{bound.presence.name}` is absent"
                raise ExpressionError(message, help="give the two different names")
            return self.type_of(settled, name)
        if isinstance(bound, tuple):
            raise ExpressionError(f"`{name}` is several values; name one of them")
        if bound.type is None:
            raise UnknownType
        return bound.type

    def names(self) -> Iterable[str]:
        """Everything `lookup` knows."""
        return [*self.loop, *self.frame.params, *self.frame.home.params, *self.frame.values, "input"]

    def given(self, name: str) -> bool:
        """Whether an input was given. Raises `Undecided` where only the run decides that."""
        if name in self.frame.values:
            return self.exists(self.frame.values[name])
        raise KeyError(name)

    def exists(self, bound: Bound) -> bool:
        """Whether a name stands for a value. Raises `Undecided`."""
        if isinstance(bound, Parted):
            settled = bound.settled(self.assumed)
            if settled is not None:
                return self.exists(settled)
            raise Undecided(bound.presence)
        if isinstance(bound, Ref) and bound.presence is not None and bound.presence not in self.assumed:
            if bound.presence.opposite in self.assumed:
                return False
            raise Undecided(bound.presence)
        return not isinstance(bound, Absent)


class Poisoned(Exception):
    """A mistake was recorded; the entry at hand has no value."""


class Abandoned(Exception):
    """A spec asks for too much, or has very many mistakes: they are recorded, and the rest is left alone."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where an entry stands: the frame, the function under construction, the loop variables, what flows in.

    `number` is the name that a numbering loop or path gives to a lone unnamed entry. `guard` is the condition under
    which the nodes that are made here run, `assumed` all that holds here.
    """

    frame: Frame
    draft: FunctionDraft
    loop: Mapping[str, Any] = field(default_factory=dict)
    flow: Bound | None = None
    number: str | None = None
    guard: Presence | None = None
    assumed: tuple[Presence, ...] = ()

    @property
    def scope(self) -> EntryScope:
        """The names that expressions see here."""
        return EntryScope(self.frame, self.loop, self.flow, self.assumed)

    def with_flow(self, flow: Bound | None) -> Site:
        """The same place with another value flowing in."""
        return Site(self.frame, self.draft, self.loop, flow, None, self.guard, self.assumed)

    def inside(self, group: FunctionDraft) -> Site:
        """The place within a group that is called here."""
        return Site(self.frame, group, self.loop, self.flow, None, None, self.assumed)
