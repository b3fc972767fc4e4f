"""What names mean at one place of a spec: parameters, loop variables, values, and the types of values."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from specdl.diagnostics import Note
from specdl.elaborate.drafts import FunctionDraft, Ref
from specdl.ir.types import TensorType
from specdl.spec.entries import Entry
from specdl.spec.expressions import ExpressionError
from specdl.spec.file import Block, Spec


class Absent:
    """The value of an optional input that was left out."""


ABSENT = Absent()

Bound = Ref | tuple[Ref, ...] | Absent
"""What a name stands for: a value, the values of several paths, or nothing."""


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


class UnknownType(Exception):
    """An expression asks for something that an earlier mistake made unknown: say nothing more."""


UNKNOWN = object()
"""The value of a parameter after a mistake in it."""


@dataclass(frozen=True, slots=True)
class EntryScope:
    """The names that an expression of one entry sees (LANGUAGE rules 14 to 16)."""

    frame: Frame
    loop: Mapping[str, Any]
    flow: Bound | None

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
        if isinstance(bound, tuple):
            raise ExpressionError(f"`{name}` is several values; name one of them")
        if bound.type is None:
            raise UnknownType
        return bound.type

    def names(self) -> Iterable[str]:
        """Everything `lookup` knows."""
        return [*self.loop, *self.frame.params, *self.frame.home.params, *self.frame.values, "input"]

    def given(self, name: str) -> bool:
        """Whether an input was given."""
        if name in self.frame.values:
            return not isinstance(self.frame.values[name], Absent)
        raise KeyError(name)


class Poisoned(Exception):
    """A mistake was recorded; the entry at hand has no value."""


class Abandoned(Exception):
    """A spec asks for too much, or has very many mistakes: they are recorded, and the rest is left alone."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where an entry stands: the frame, the function under construction, the loop variables, what flows in.

    `number` is the name that a numbering loop or path gives to a lone unnamed entry.
    """

    frame: Frame
    draft: FunctionDraft
    loop: Mapping[str, Any] = field(default_factory=dict)
    flow: Bound | None = None
    number: str | None = None

    @property
    def scope(self) -> EntryScope:
        """The names that expressions see here."""
        return EntryScope(self.frame, self.loop, self.flow)

    def with_flow(self, flow: Bound | None) -> Site:
        """The same place with another value flowing in."""
        return Site(self.frame, self.draft, self.loop, flow)
