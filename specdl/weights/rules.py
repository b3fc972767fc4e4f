"""How the names and layouts of a file's tensors become those of a network, and what doesn't fit; no tensor is read.

Loading is strict: each of the network's tensors must come from the file, and each of the file's must have a place,
unless a rule says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from specdl.diagnostics import nearest

MAX_COMPARED = 2_000
"""Near names are looked for among so many."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor's shape and dtype."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a spec's section `weights`.

    `offered` are those, by kind and pattern, that need not fit a file: they stand in a spec that doesn't name the file,
    and may be for another form of the same weights.
    """

    rename: Mapping[str, str]
    transpose: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    offered: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Match:
    """A tensor of the network and the file's that it comes from, perhaps transposed."""

    ours: str
    theirs: str
    transposed: bool = False


@dataclass(frozen=True, slots=True)
class Misfit:
    """A tensor that has another shape in the file (after a transposition, where a rule asks for one)."""

    ours: str
    theirs: str
    wanted: TensorInfo
    found: TensorInfo


@dataclass(frozen=True, slots=True)
class Plan:
    """What loading would do. `near` proposes, for what is missing, an unexpected name that looks like it."""

    matches: tuple[Match, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misfits: tuple[Misfit, ...]
    skipped: tuple[str, ...]
    ignored: tuple[str, ...]
    unused: tuple[tuple[str, str], ...]
    near: Mapping[str, str]

    @property
    def fits(self) -> bool:
        """Whether strict loading works."""
        return not (self.missing or self.unexpected or self.misfits or self.unused)


def make_plan(
    ours: Mapping[str, TensorInfo],
    theirs: Mapping[str, TensorInfo],
    rules: Rules,
    aliases: Mapping[str, str] | None = None,
    optional: Iterable[str] = (),
) -> Plan:
    """Fits the file's tensors (`theirs`) to the network's.

    `aliases` are other keys of tied weights, each with the key that stores it: the file may have either or both.
    `optional` are tensors that PyTorch's own loading doesn't miss (`num_batches_tracked`).
    """
    aliases = aliases or {}
    used: set[tuple[str, str]] = set()
    ignored: list[str] = []
    taken: dict[str, str] = {}
    unexpected: list[str] = []
    skipped = {name for name in ours if _matched(name, rules.skip, "skip", used)}
    for name in theirs:
        new = renamed(name, rules.rename, used)
        target = aliases.get(new, new)
        if target in skipped:
            _matched(name, rules.ignore, "ignore", used)
        elif _matched(name, rules.ignore, "ignore", used):
            ignored.append(name)
        elif target not in ours:
            unexpected.append(name)
        elif target not in taken or new == target:
            taken[target] = name
    matches: list[Match] = []
    misfits: list[Misfit] = []
    for name, wanted in ours.items():
        source = taken.get(name)
        if source is None:
            continue
        found = theirs[source]
        flip = _matched(name, rules.transpose, "transpose", used) and len(found.shape) == 2
        shape = tuple(reversed(found.shape)) if flip else found.shape
        if shape == wanted.shape:
            matches.append(Match(name, source, flip))
        else:
            misfits.append(Misfit(name, source, wanted, TensorInfo(shape, found.dtype)))
    free = set(optional)
    missing = [name for name in ours if name not in taken and name not in skipped and name not in free]
    kinds = {"rename": tuple(rules.rename), "transpose": rules.transpose, "skip": rules.skip, "ignore": rules.ignore}
    return Plan(
        matches=tuple(matches),
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        misfits=tuple(misfits),
        skipped=tuple(name for name in ours if name in skipped),
        ignored=tuple(ignored),
        unused=tuple(
            (kind, item) for kind, items in kinds.items() for item in items if (kind, item) not in used | rules.offered
        ),
        near=_near(missing, unexpected),
    )


def renamed(name: str, rename: Mapping[str, str], used: set[tuple[str, str]] | None = None) -> str:
    """A file's name by the first rule that fits it; each `*` of the rule stands for the same text on both sides."""
    for pattern, target in rename.items():
        match = _pattern(pattern).fullmatch(name)
        if match:
            if used is not None:
                used.add(("rename", pattern))
            first, *parts = target.split("*")
            return first + "".join(f"{text}{part}" for text, part in zip(match.groups(), parts, strict=False))
    return name


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile("(.*)".join(re.escape(part) for part in pattern.split("*")))


def _matched(name: str, patterns: Sequence[str], kind: str, used: set[tuple[str, str]]) -> bool:
    found = [pattern for pattern in patterns if fnmatchcase(name, pattern)]
    used.update((kind, pattern) for pattern in found)
    return bool(found)


def _near(missing: Sequence[str], unexpected: Sequence[str]) -> dict[str, str]:
    """For missing names, unexpected ones that look like them; equal endings count most."""
    if not missing or not unexpected or len(unexpected) > MAX_COMPARED:
        return {}
    found: dict[str, str] = {}
    for name in missing[:20]:
        ends = [item for item in unexpected if item.endswith(f".{name}") or name.endswith(f".{item}")]
        close = ends[0] if ends else nearest(name, unexpected)
        if close is not None:
            found[name] = close
    return found


def proposed_rename(ours: Iterable[str], theirs: Iterable[str]) -> dict[str, str] | None:
    """One rule that adds or takes a common prefix, where that alone makes all names fit."""
    wanted, given = set(ours), list(theirs)
    if not given or wanted == set(given):
        return None
    for name in given[:50]:
        for target in wanted:
            if target.endswith(f".{name}"):
                prefix = target[: -len(name)]
                rule, made = {"*": f"{prefix}*"}, {f"{prefix}{item}" for item in given}
            elif name.endswith(f".{target}"):
                prefix = name[: -len(target)]
                rule, made = {f"{prefix}*": "*"}, {item.removeprefix(prefix) for item in given}
            else:
                continue
            if made == wanted:
                return rule
        break
    return None
