"""A name that means nothing here, sought in the rest of the spec: what an unknown value or parameter may be.

Nothing here runs unless a name wasn't found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from specdl.diagnostics import Note, Span, did_you_mean, nearest
from specdl.elaborate.drafts import Ref, maker
from specdl.elaborate.scopes import EntryScope, Frame
from specdl.ops.base import Op
from specdl.spec.entries import Entry
from specdl.spec.expressions import ATTRIBUTES
from specdl.spec.file import Spec
from specdl.spec.models import NETWORK

Advice = tuple[str | None, tuple[Note, ...]]
"""What to write, and further places to look at."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a spec with values of its own: a network, a block, a step or `sample`."""

    kind: str
    name: str
    entries: Sequence[Entry]

    def __str__(self) -> str:
        if self.kind == "sample" or (self.kind, self.name) == ("network", NETWORK):
            return "`sample`" if self.kind == "sample" else "the network"
        return f"the {self.kind} `{self.name}`"


def parts(spec: Spec) -> Iterator[Part]:
    """All parts of a spec."""
    for network in spec.networks:
        yield Part("network", network.name, network.layers)
    for block in spec.blocks.values():
        yield Part("block", block.name, block.layers)
    for step in spec.steps or ():
        yield Part("step", step.name, step.layers)
    if spec.sample is not None:
        yield Part("sample", "sample", spec.sample.layers)


def part_of(frame: Frame) -> tuple[str, str]:
    """Kind and name of the part that is elaborated."""
    if frame.stack:
        return "block", frame.stack[-1].name
    root = frame.draft.root
    networks = frame.home.spec.networks
    if root.kind == "network" and len(networks) == 1:
        return "network", networks[0].name
    return root.kind, root.name


def walk(entries: Iterable[Entry]) -> Iterator[Entry]:
    """All entries, those in groups included."""
    for entry in entries:
        yield entry
        yield from walk(entry.body)
        yield from walk(entry.shortcut or ())
        for path in entry.paths:
            yield from walk(path)


def _makes(entries: Sequence[Entry], name: str) -> Entry | None:
    return next((entry for entry in walk(entries) if any(target.value == name for target in entry.targets)), None)


# ---- values ------------------------------------------------------------------------------------------


def value_advice(name: str, span: Span, frame: Frame) -> Advice:
    """What an unknown value may be meant to be."""
    near = _nearby(name, frame)
    if near is not None:
        return near, ()
    found = _elsewhere(name, span, frame)
    if found is not None:
        return found
    close = did_you_mean(name, frame.values)
    if close is not None:
        return close, ()
    kind, _ = part_of(frame)
    if kind == "step":
        return f"there are {', '.join(f'`{known}`' for known in frame.values)}", ()
    made = [node.name for node in frame.draft.nodes if isinstance(node.callee, Op) and node.callee.operator == name]
    return (f"the value of that `{name}` is called `{made[-1]}`" if made else None), ()


def _nearby(name: str, frame: Frame) -> str | None:
    """A value of this part under another form of its name."""
    head, _, rest = name.rpartition(".")
    if head in frame.groups:
        names = frame.groups[head].layer_names()
        return did_you_mean(rest, names) or f"`{head}` has {', '.join(names[:12])}"
    first, _, behind = name.partition(".")
    meant = nearest(first, frame.groups) if behind and first not in frame.values else None
    if meant is not None:
        return f"did you mean `{meant}.{behind}`?"
    holder = frame.values.get(head)
    if holder is not None and rest in ATTRIBUTES:
        return f"a value's type is read in an expression: `$({name})`"
    if holder is not None and rest == "T":
        return f"swap its last two axes with `transpose({head}, -2, -1)`"
    made_by = maker(holder) if isinstance(holder, Ref) else None
    if made_by is not None and len(made_by.output_names) > 1:
        return did_you_mean(rest, made_by.output_names) or f"`{head}` gives {', '.join(made_by.output_names)}"
    if name in frame.home.params or name in frame.params:
        return f"`{name}` is a parameter: write `${name}`"
    if frame.draft.layer(name) is not None:
        return f"the layer is there, but its value has no name: write `{name} = …`"
    return None


def _elsewhere(name: str, span: Span, frame: Frame) -> Advice | None:
    """A value of that very name that exists, but not here: further down, left out, or in another part."""
    kind, own = part_of(frame)
    word = name.split(".")[0]
    for part in parts(frame.home.spec):
        entry = _makes(part.entries, word)
        if entry is None:
            continue
        here = (Note(f"`{word}` is made here", entry.span),)
        if (part.kind, part.name) == (kind, own):
            if (entry.span.line, entry.span.column) > (span.line, span.column):
                return "a value is read below the line that makes it", here
            if entry.when is not True:
                return "its `when` doesn't hold here; a line that reads it needs the same `when`", here
            continue
        if part.kind == "block":
            used = _call_of(part.name, frame)
            path = f"{used}.{word}" if used is not None else f"<name>.{word}"
            return f"it stays inside {part}: list it in the block's `outputs`, and read `{path}`", here
        if kind == "block":
            return f"a block doesn't see the values of {part}: give it as an input", here
        if part.kind == kind == "network":
            return f"it belongs to {part}; a step calls both, and gives this one the value as an input", here
        if part.kind == "network":
            return f"it stays inside {part}: list it in the network's `outputs`", here
        return f"it belongs to {part}; each has its own values", here
    return None


def _call_of(block: str, frame: Frame) -> str | None:
    """The name that a call of a block gives its value, where it gives one."""
    for part in parts(frame.home.spec):
        if (part.kind, part.name) != part_of(frame):
            continue
        for entry in walk(part.entries):
            if entry.operator.value == block and len(entry.targets) == 1:
                return entry.targets[0].value
    return None


def layer_below(name: str, frame: Frame) -> str | None:
    """What to do where a layer that is to be called again stands further down."""
    own = part_of(frame)
    for part in parts(frame.home.spec):
        entry = _makes(part.entries, name)
        if (part.kind, part.name) == own and entry is not None:
            return f"it stands in line {entry.span.line}, below this one"
    return None


# ---- parameters --------------------------------------------------------------------------------------

_HOLDERS = frozenset({"params", "param", "self", "cfg", "config", "args", "hparams", "parameters", "variables"})


def parameter_advice(name: str, scope: EntryScope) -> Advice:
    """What an unknown parameter or loop variable may be meant to be."""
    spec, frame = scope.frame.home.spec, scope.frame
    if name in _HOLDERS and name not in spec.params:
        return f"a parameter is read by its name alone, without `{name}.`", ()
    kind, own = part_of(frame)
    block = spec.blocks.get(own) if kind == "block" else None
    for params, spans in ((spec.params, spec.params_spans), *([(block.params, block.params_spans)] if block else [])):
        if name in params:
            below = Note("this one stands below", spans.key(name))
            return "a default may use the parameters above it only", (below,)
    close = nearest(name, scope.names())
    if close is not None:
        return f"did you mean `{close}`?", ()
    for other in spec.blocks.values():
        if name in other.params:
            declared = Note("it is declared here", other.params_spans.key(name))
            return f"it is a parameter of the block `{other.name}`, which only that block sees", (declared,)
    for part in parts(spec):
        for entry in walk(part.entries):
            columns = entry.arguments if entry.operator.value == "for" else None
            if isinstance(columns, dict) and name in columns:
                column = Note("it is a column of this loop", entry.spans.key(name))
                if kind == "block" and (part.kind, part.name) != (kind, own):
                    return f"a block doesn't see it: give it as a parameter, `params: {{{name}: required}}`", (column,)
                return "a loop's columns exist in its `body` only", (column,)
    if name in {"index", "first", "last"}:
        return f"`{name}` exists in the `body` of a `repeat` or `for`", ()
    if name == "input":
        return "nothing flows in here", ()
    return None, ()
