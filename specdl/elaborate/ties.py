"""`tie:`: which weights of a network are one.

Works on the finished network. In an imported network, layers that a call's outputs don't need don't exist, and
neither do their ties.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from specdl.diagnostics import Diagnostics, Note, Span, nearest
from specdl.elaborate.reserved import why_reserved
from specdl.ir.program import Function, Tie
from specdl.ir.state import Stored, aliases, stored
from specdl.ops.base import Weight
from specdl.spec.tied import TieSpec

MAX_KEYS_COMPARED = 5_000
"""So many keys are searched for one that looks like a misspelt one."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of `tie` with its expressions evaluated, and as it was written."""

    alias: str
    key: str
    written: TieSpec


def find_ties(
    lines: Sequence[Line],
    function: Function,
    functions: Mapping[str, Function],
    diagnostics: Diagnostics,
    *,
    whole: bool = True,
    prefix: str = "",
) -> tuple[Tie, ...]:
    """The ties of a network. Mistakes are recorded, with `prefix` before its keys.

    In a network that is not `whole`, because another spec imports it and may not need all of its layers, those that
    aren't there are left out.
    """
    known = {item.key: item for item in stored(functions, function)}
    finder = _Finder(known, aliases(functions, function), diagnostics, whole, prefix)
    for line in lines:
        finder.add(line)
    return finder.finish()


class _Finder:
    """Collects ties, and checks each against the network's keys and the ties before it."""

    def __init__(
        self, known: Mapping[str, Stored], inner: Mapping[str, str], diagnostics: Diagnostics, whole: bool, prefix: str
    ) -> None:
        self.known, self.inner, self.diagnostics, self.whole = known, inner, diagnostics, whole
        self.prefix = prefix
        self.levels = {key.rsplit(".", count)[0] for key in known for count in range(1, key.count(".") + 1)}
        self.lines: dict[str, Line] = {}

    def show(self, key: str) -> str:
        """A key in a message, as the spec writes it."""
        return f"`{self.prefix}{key}`"

    def fail(self, code: str, message: str, span: Span, help: str | None = None, notes: Sequence[Note] = ()) -> None:
        self.diagnostics.add(code, message, span, help=help, notes=notes)

    def add(self, line: Line) -> None:
        """Takes one line, or records what is wrong with it by itself."""
        alias, span = line.alias, line.written.alias.span
        if alias in self.lines:
            notes = [Note("it is tied here first", self.lines[alias].written.alias.span)]
            self.fail("E0361", f"{self.show(alias)} is tied twice", span, "remove one of the lines", notes)
        elif alias in self.inner:
            message = f"{self.show(alias)} is already tied to {self.show(self.inner[alias])}, by the imported spec"
            self.fail("E0361", message, span)
        elif alias in self.inner.values():
            message = f"the imported spec ties other weights to {self.show(alias)}, so it can be no alias itself"
            self.fail("E0361", message, span, f"turn the line around: `{self.prefix}{line.key}: {self.prefix}{alias}`")
        elif not self.whole and alias not in self.known:
            return
        elif self.alias_fits(alias, span):
            self.lines[alias] = line

    def alias_fits(self, alias: str, span: Span) -> bool:
        """Whether a key can be an alias: a layer's weight, or one that no layer has and that is free."""
        if alias in self.known:
            return self.is_parameter(alias, span)
        if alias in self.levels:
            self.fail(
                "E0362", f"{self.show(alias)} is a layer, and only weights can be tied", span, self.weights_of(alias)
            )
            return False
        steps = alias.split(".")
        above = next((".".join(steps[:count]) for count in range(1, len(steps)) if self.taken(steps[:count])), None)
        if above is not None:
            self.fail("E0362", f"{self.show(alias)} can't be a key: {self.show(above)} is a weight", span)
            return False
        for step in steps:
            why = why_reserved(step, counted=False)
            if not step.replace("_", "a").isalnum() or not step.isascii() or why is not None:
                reason = f"`{step}` {why}" if why else "a key has names of letters, digits and `_` between dots"
                self.fail("E0362", f"{self.show(alias)} can't be a key: {reason}", span)
                return False
        return True

    def taken(self, steps: Sequence[str]) -> bool:
        return ".".join(steps) in self.known

    def weights_of(self, layer: str) -> str:
        """What a layer's weights are called, as a help."""
        names = [key for key in self.known if key.startswith(f"{layer}.")]
        return (
            f"name its weight: {self.show(names[0])}"
            if len(names) == 1
            else f"it has {', '.join(map(self.show, names[:4]))}"
        )

    def is_parameter(self, key: str, span: Span) -> bool:
        if self.known[key].weight.buffer:
            notes = [Note("its layer is here", self.known[key].span)]
            self.fail("E0360", f"{self.show(key)} is a buffer, and only learned weights can be tied", span, notes=notes)
        return not self.known[key].weight.buffer

    def finish(self) -> tuple[Tie, ...]:
        """The ties, each led to the key under which the weight is stored."""
        found: list[Tie] = []
        firsts: dict[str, str] = {}
        for alias, line in self.lines.items():
            key = self.follow(line)
            if key is not None and not self.whole and key not in self.known:
                key = firsts.setdefault(key, alias)  # the layer isn't built, but its aliases are still one weight
            if key is None or key == alias or not self.key_fits(key, line):
                continue
            if alias in self.known and not self.same(key, line):
                continue
            if alias not in self.known:
                self.warn_of_a_slip(line)
            found.append(Tie(alias, key, line.written.alias.span))
        return tuple(found)

    def follow(self, line: Line) -> str | None:
        """The key at the end of a chain of ties; None where it leads in a circle."""
        passed, key = [line.alias], line.key
        while key in self.lines or key in self.inner:
            if key == line.alias and key == min(passed):  # each circle is told once
                chain = f": {' → '.join(map(self.show, [*passed, key]))}" if len(passed) > 1 else ""
                self.fail("E0361", f"{self.show(key)} is tied to itself{chain}", line.written.alias.span)
            if key in passed:
                return None
            passed.append(key)
            key = self.lines[key].key if key in self.lines else self.inner[key]
        return key

    def key_fits(self, key: str, line: Line) -> bool:
        """Whether the weight exists, and is one that learns."""
        span = line.written.key.span
        if key in self.known:
            return self.is_parameter(key, span)
        if key in self.levels:
            message = f"{self.show(key)} is a layer, and only weights can be tied"
            self.fail("E0360", message, span, self.weights_of(key))
            return False
        close = nearest(key, list(self.known)[:MAX_KEYS_COMPARED])
        help = (
            f"did you mean {self.show(close)}?"
            if close
            else "the weight stands on the right, its alias on the left; `specdl summary` shows the layers"
        )
        self.fail("E0360", f"the network has no weight {self.show(key)}", span, help)
        return False

    def same(self, key: str, line: Line) -> bool:
        """Whether two weights can be one."""
        alias = line.alias
        mine, other = self.known[alias], self.known[key]
        if _kind(mine.weight) == _kind(other.weight):
            return True
        shapes = f"{self.show(alias)} is {_shape(mine.weight)}, but {self.show(key)} is {_shape(other.weight)}"
        message = f"{shapes}: they can't be one weight"
        notes = [
            Note(f"{self.show(alias)} comes from here", mine.span),
            Note(f"{self.show(key)} comes from here", other.span),
        ]
        turned = tuple(reversed(mine.weight.shape)) == other.weight.shape
        help = "one is the other turned around; tied weights need the same order of axes" if turned else None
        self.fail("E0260", message, line.written.alias.span, help, notes)
        return False

    def warn_of_a_slip(self, line: Line) -> None:
        """An alias that no layer owns may be meant; one that looks like the key of an untied layer rarely is."""
        lines = self.lines.values()
        tied = {*self.lines, *(other.key for other in lines), *self.inner, *self.inner.values()}
        close = nearest(line.alias, [key for key in list(self.known)[:MAX_KEYS_COMPARED] if key not in tied])
        if close is not None:
            message = f"no layer has a weight {self.show(line.alias)}, so it exists only as a key"
            help = f"did you mean {self.show(close)}?"
            self.diagnostics.add("W0010", message, line.written.alias.span, severity="warning", help=help)


def _kind(weight: Weight) -> tuple[tuple[int, ...], str]:
    return weight.shape, weight.dtype


def _shape(weight: Weight) -> str:
    sizes = f"[{', '.join(map(str, weight.shape))}]"
    return sizes if weight.dtype == "float32" else f"{sizes} {weight.dtype}"
