"""`init:`: how weights begin, by patterns over the keys of the `state_dict` or beside a layer.

What stands at a layer wins over patterns, and of several patterns the last one that matches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import islice

from pydantic_core import PydanticCustomError

from specdl.diagnostics import Diagnostics, Note, nearest
from specdl.elaborate.ties import MAX_KEYS_COMPARED
from specdl.ir.program import Function, InitRule, Tie
from specdl.ir.state import Stored, aliases, parameter_keys, rule_for, said_by_layers, stored
from specdl.ops.base import Weight
from specdl.ops.initializers import parse_initializer
from specdl.source import SpanTree


def read_rules(
    values: Mapping[str, object], spans: SpanTree, diagnostics: Diagnostics, notes: Sequence[Note] = ()
) -> list[InitRule]:
    """The rules of an `init` whose expressions are evaluated, without those that have a mistake, which is recorded."""
    found: list[InitRule] = []
    for pattern, value in values.items():
        try:
            found.append(InitRule(str(pattern), parse_initializer(value), spans.key(pattern)))
        except PydanticCustomError as error:
            message = f"`init` of `{pattern}`: {error.message()}"
            diagnostics.add("E0203", message, spans.at(pattern), notes=notes)
    return found


def layer_rules(
    rules: Sequence[InitRule],
    weights: Sequence[tuple[str, Weight]],
    what: str,
    diagnostics: Diagnostics,
    notes: Sequence[Note],
) -> tuple[InitRule, ...]:
    """The rules beside a layer with these learned weights, by their keys below it. Mistakes are recorded."""
    names = [name for name, _ in weights]
    for rule in rules:
        if not any(fnmatchcase(name, rule.pattern) for name in names):
            close = nearest(rule.pattern, _patterns(names))
            listing = ", ".join(f"`{name}`" for name in names[:6]) + (", …" if len(names) > 6 else "")
            help = f"did you mean `{close}`?" if close else f"it has {listing}" if names else None
            message = f"`{what}` has no weight `{rule.pattern}`" if names else f"`{what}` has no weights that learn"
            diagnostics.add("E0364", message, rule.span, help=help, notes=notes)
    for name, weight in weights:
        winner = rule_for(rules, name)
        needed = None if winner is None else winner.initializer.needs(weight.shape)
        if winner is not None and needed is not None:
            message = f"`{winner.initializer.name}` needs {needed}, but `{name}` of `{what}` is {list(weight.shape)}"
            diagnostics.add("E0261", message, winner.span, notes=notes)
    return tuple(rules)


class Patterns:
    """The patterns of a spec's `init`, applied to its networks one after another.

    Among `several` networks (their names), a pattern that begins with a network's name and a dot is for that one, any
    other one for all of them. Of an imported spec, which is not `whole`, what matches nothing is left out.
    """

    def __init__(
        self, rules: Sequence[InitRule], diagnostics: Diagnostics, *, several: Sequence[str] = (), whole: bool = True
    ) -> None:
        self.rules, self.diagnostics, self.several, self.whole = rules, diagnostics, several, whole
        self.matched: set[InitRule] = set()
        self.used: set[InitRule] = set()
        self.seen: dict[str, _Weights] = {}

    def apply(
        self, name: str, function: Function, functions: Mapping[str, Function], ties: Sequence[Tie]
    ) -> tuple[InitRule, ...]:
        """The rules of a network, whose own `ties` are not yet made. Weights that they can't fill are recorded."""
        weights = self.seen[name] = _Weights(function, functions, ties)
        own = {replace(rule, pattern=pattern): rule for rule in self.rules if (pattern := self.within(rule, name))}
        failed: set[InitRule] = set()
        for key, item in weights.items.items():
            winner = None if key in weights.said else rule_for(list(own), key)
            if winner is None:
                continue
            self.used.add(own[winner])
            needed = winner.initializer.needs(item.weight.shape)
            if needed is not None and winner not in failed:
                failed.add(winner)
                shown = f"{name}.{key}" if self.several else key
                message = f"`{winner.initializer.name}` needs {needed}, but `{shown}` is {list(item.weight.shape)}"
                help = "match less, or add a later line for what this one can't fill"
                self.diagnostics.add("E0261", message, winner.span, notes=[weights.place(item)], help=help)
        kept = [rule for rule in own if weights.match(rule.pattern)]
        self.matched.update(own[rule] for rule in kept)
        return tuple(kept)

    def within(self, rule: InitRule, name: str) -> str | None:
        """A rule's pattern for the keys of one network; None where it is another's."""
        first, dot, rest = rule.pattern.partition(".")
        if not dot or first not in self.several:
            return rule.pattern
        return rest if first == name else None

    def finish(self) -> None:
        """Records the patterns that match nothing, or change nothing, in any of the networks."""
        for rule in self.rules:
            names = [name for name in self.seen if self.within(rule, name)]
            if rule not in self.matched and names:
                pattern = str(self.within(rule, names[0]))
                self.unmatched(rule, pattern, self.seen[names[0]], rule.pattern.removesuffix(pattern))
            elif rule not in self.used and names:
                message = f"`{rule.pattern}` changes nothing: a later line, or the layer itself, says otherwise"
                help = "later lines win, so the more special ones come last"
                self.diagnostics.add("W0011", message, rule.span, severity="warning", help=help)

    def unmatched(self, rule: InitRule, pattern: str, weights: _Weights, prefix: str) -> None:
        """Records a pattern that matches no weight."""
        message = f"no weight of the network matches `{rule.pattern}`"
        notes: list[Note] = []
        alias = next((key for key in weights.tied if fnmatchcase(key, pattern)), None)
        buffer = next((item for item in weights.everything() if fnmatchcase(item.key, pattern)), None)
        if alias is not None:
            message = f"`{prefix}{alias}` is tied to `{prefix}{weights.tied[alias]}`, and begins as that does"
            help = f"write `{prefix}{weights.tied[alias]}`"
        elif buffer is not None:
            message = f"`{prefix}{buffer.key}` is a buffer; `init` is for weights that learn"
            help = "a `buffer` has its `init` among its arguments"
            notes = [weights.place(buffer)]
        else:
            others = [weights] if prefix else self.seen.values()
            keys = (key for known in others for key in known.items)
            close = nearest(pattern, _patterns(islice(keys, MAX_KEYS_COMPARED)))
            help = "a pattern is a key in which `*` is any text, such as `*.weight`"
            help = f"did you mean `{prefix}{close}`?" if close else help
        self.diagnostics.add("E0364", message, rule.span, notes=notes, help=help)


class _Weights:
    """The learned weights of a network: those that patterns may match, and those of which a layer says itself."""

    def __init__(self, function: Function, functions: Mapping[str, Function], ties: Sequence[Tie]) -> None:
        self.function, self.functions = function, functions
        self.items = dict(parameter_keys(functions, function).values())
        self.said = said_by_layers(functions, function)
        self.tied = {**aliases(functions, function), **{tie.alias: tie.key for tie in ties}}

    def match(self, pattern: str) -> bool:
        """Whether a pattern matches a weight under the key that stores it."""
        return any(fnmatchcase(key, pattern) for key in self.items if key not in self.tied)

    def everything(self) -> Iterator[Stored]:
        """All keys, those of buffers and aliases too."""
        return stored(self.functions, self.function)

    def place(self, item: Stored) -> Note:
        """Where the layer of a weight stands."""
        return Note("its layer is here", item.span)


def _patterns(keys: Iterable[str]) -> list[str]:
    """The keys, and patterns of their ends, that a misspelt pattern may stand for."""
    found: dict[str, None] = {}
    for key in keys:
        steps = ["*" if step.isdigit() else step for step in key.split(".")]
        found[key] = found[".".join(steps)] = None
        for count in range(1, len(steps)):
            found[f"*.{'.'.join(steps[count:])}"] = None
    return list(found)
