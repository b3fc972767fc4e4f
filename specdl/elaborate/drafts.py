"""Functions under construction.

A block, network, named group or iteration is a `FunctionDraft` while its entries are elaborated. Values are
shared like Python's locals although each named group becomes a function of its own: a value read from
outside becomes an input (`capture`), one read after its group was closed becomes an output (`export`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from specdl.diagnostics import Span
from specdl.ir.program import Function, FunctionKind, Guard, InitRule, Loop, Node, Residual, Tie, Value
from specdl.ir.types import TensorType
from specdl.ops.base import Op
from specdl.ops.choose import Choose


@dataclass(frozen=True, slots=True)
class Presence:
    """A condition that only the run decides: an optional input of the block or network is given, or it is not."""

    name: str
    given: bool = True

    @property
    def opposite(self) -> Presence:
        """The other case."""
        return Presence(self.name, not self.given)


@dataclass(frozen=True, slots=True, eq=False)
class Ref:
    """A value in a draft. `type` is None where a mistake made it unknown: what reads it says nothing more.

    It exists only under its `presence`, where that is not None.
    """

    draft: FunctionDraft
    name: str
    type: TensorType | None
    span: Span
    presence: Presence | None = None


@dataclass(slots=True, eq=False)
class NodeDraft:
    """A node under construction; `child` is the draft of a named group."""

    name: str
    callee: Op | str | FunctionDraft
    inputs: list[Ref | None]
    outputs: list[str]
    types: list[TensorType]
    span: Span
    has_weights: bool
    output_names: tuple[str, ...] = ()
    shares: tuple[NodeDraft, ...] = ()
    """The layer whose weights a `call` uses, below those that hold it: their names may still change."""
    network: str | None = None
    loop: Loop | None = None
    init: tuple[InitRule, ...] = ()
    presence: Presence | None = None
    guard: Guard | None = None


@dataclass(slots=True, eq=False)
class FunctionDraft:
    """A function under construction. `counted` levels number their unnamed entries (`nn.Sequential`).

    `assumed` is what holds wherever it is called.
    """

    key: str
    name: str
    kind: FunctionKind
    span: Span
    parent: FunctionDraft | None = None
    counted: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    implied: frozenset[str] = frozenset()
    inputs: list[Value] = field(default_factory=list)
    nodes: list[NodeDraft] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    output_names: list[str] = field(default_factory=list)
    training_outputs: int = 0
    residuals: list[Residual] = field(default_factory=list)
    ties: tuple[Tie, ...] = ()
    init: tuple[InitRule, ...] = ()
    assumed: tuple[Presence, ...] = ()
    call: NodeDraft | None = None
    calls_again: list[tuple[FunctionDraft, NodeDraft]] = field(default_factory=list)
    position: int = 0
    arguments: list[Ref | None] = field(default_factory=list)
    _captured: dict[str, Ref] = field(default_factory=dict)
    _exported: dict[str, Ref] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)
    _layers: dict[str, NodeDraft] = field(default_factory=dict)
    _suffix: dict[str, int] = field(default_factory=dict)

    def unique(self, wanted: str) -> str:
        """A value's name that is free in this function."""
        if wanted not in self._names:
            self._names.add(wanted)
            return wanted
        number = self._suffix.get(wanted, 1)
        while True:
            number += 1
            name = f"{wanted}_{number}"
            if name not in self._names:
                self._suffix[wanted] = number
                self._names.add(name)
                return name

    def add_input(self, name: str, type: TensorType, span: Span, presence: Presence | None = None) -> Ref:
        """A new input of this function, which may be absent where it has a `presence`."""
        unique = self.unique(name)
        self.inputs.append(Value(unique, type, optional=presence is not None))
        return Ref(self, unique, type, span, presence)

    def capture(self, outer: Ref) -> Ref:
        """The value of the enclosing function, as an input of this one."""
        found = self._captured.get(outer.name)
        if found is None:
            assert outer.type is not None
            presence = None if outer.presence in self.assumed else outer.presence
            found = self.add_input(outer.name, outer.type, outer.span, presence)
            self.arguments.append(outer)
            self._captured[outer.name] = found
        return found

    def export(self, inner: Ref, wanted: str | None = None, span: Span | None = None) -> Ref:
        """A value of this closed group, as a value of the enclosing function (called `wanted` there)."""
        found = self._exported.get(inner.name)
        if found is None:
            assert self.parent is not None
            assert self.call is not None
            assert inner.type is not None
            name = self.parent.unique(wanted or inner.name)
            self.outputs.append(inner.name)
            self.output_names.append(inner.name)
            self.call.outputs.append(name)
            self.call.types.append(inner.type)
            for owner, again in self.calls_again:
                again.outputs.append(owner.unique(name))
                again.types.append(inner.type)
            found = Ref(self.parent, name, inner.type, span or inner.span, inner.presence or self.call.presence)
            self._exported[inner.name] = found
        return found

    def remember(self, inner: Ref, outer: Ref) -> None:
        """Notes that a value of this group is already an output of its call."""
        self._exported.setdefault(inner.name, outer)

    def inside(self, other: FunctionDraft) -> bool:
        """Whether this function is `other` or a group somewhere in it."""
        draft: FunctionDraft | None = self
        while draft is not None:
            if draft is other:
                return True
            draft = draft.parent
        return False

    @property
    def root(self) -> FunctionDraft:
        """The block, network or step that this function is a group in, or is itself."""
        draft = self
        while draft.parent is not None:
            draft = draft.parent
        return draft

    def has_weights(self) -> bool:
        """Whether any layer in this function has weights."""
        return any(node.has_weights for node in self.nodes)

    def output_types(self) -> list[TensorType]:
        """The types of the outputs."""
        types = {value.name: value.type for value in self.inputs}
        for node in self.nodes:
            types.update(zip(node.outputs, node.types, strict=True))
        return [types[name] for name in self.outputs]

    def layer(self, name: str) -> NodeDraft | None:
        """The layer of that name on this level."""
        return self._layers.get(name)

    def layer_names(self) -> list[str]:
        """The names of this level's layers."""
        return list(self._layers)

    def name_layer(self, node: NodeDraft) -> NodeDraft | None:
        """Enters a node under its name. Returns the layer in the way when both have weights (LANGUAGE rule 6).

        An entry without weights gives way: it keeps its value's name, and its layer gets the next free one.
        """
        holder = self._layers.get(node.name)
        if holder is None:
            self._layers[node.name] = node
            return None
        if node.has_weights and holder.has_weights:
            return holder
        loser = holder if node.has_weights else node
        if node.has_weights:
            self._layers[node.name] = node
        loser.name = self.free_layer_name(loser.name)
        self._layers[loser.name] = loser
        return None

    def free_layer_name(self, base: str) -> str:
        """`base`, `base_2`, … : the first that no layer of this level has."""
        if base not in self._layers:
            return base
        key = f"layer {base}"
        number = self._suffix.get(key, 1)
        while True:
            number += 1
            if f"{base}_{number}" not in self._layers:
                self._suffix[key] = number
                return f"{base}_{number}"


def maker(ref: Ref) -> NodeDraft | None:
    """The node that made a value."""
    return next((node for node in ref.draft.nodes if ref.name in node.outputs), None)


def localize(ref: Ref, into: FunctionDraft) -> Ref:
    """The same value, seen from `into`: captured on the way down, exported on the way up."""
    while ref.draft is not into and not into.inside(ref.draft):
        ref = ref.draft.export(ref)
    if ref.draft is into:
        return ref
    assert into.parent is not None
    return into.capture(localize(ref, into.parent))


def freeze(draft: FunctionDraft, functions: dict[str, Function]) -> None:
    """Turns a finished draft, and the groups in it, into functions of the IR, callees first."""
    nodes: list[Node] = []
    for node in draft.nodes:
        callee = node.callee
        inputs = node.inputs
        if isinstance(callee, FunctionDraft):
            freeze(callee, functions)
            inputs = callee.arguments
            callee = callee.key
        nodes.append(
            Node(
                name=node.name,
                callee=callee,
                inputs=tuple(None if ref is None else ref.name for ref in inputs),
                outputs=tuple(node.outputs),
                types=tuple(node.types),
                span=node.span,
                shares=".".join(layer.name for layer in node.shares) or None,
                network=node.network,
                loop=node.loop,
                init=node.init,
                guard=node.guard,
            )
        )
    nodes, places = _without_unread_choices(nodes, draft.outputs)
    functions[draft.key] = Function(
        key=draft.key,
        name=draft.name,
        kind=draft.kind,
        inputs=tuple(draft.inputs),
        nodes=tuple(nodes),
        outputs=tuple(draft.outputs),
        output_names=tuple(draft.output_names),
        span=draft.span,
        parameters=draft.parameters,
        implied=draft.implied,
        residuals=tuple(item.moved(places) if places else item for item in draft.residuals),
        counted=draft.counted,
        training_outputs=draft.training_outputs,
        ties=draft.ties,
        init=draft.init,
    )


def _without_unread_choices(nodes: list[Node], outputs: Sequence[str]) -> tuple[list[Node], dict[int, int]]:
    """The nodes without each `choose` that nothing reads, and where those after it have moved; empty if none has."""
    if not any(isinstance(node.callee, Choose) for node in nodes):
        return nodes, {}
    read = set(outputs)
    kept: list[int] = []
    for position in range(len(nodes) - 1, -1, -1):
        node = nodes[position]
        if isinstance(node.callee, Choose) and node.outputs[0] not in read:
            continue
        read.update(name for name in node.inputs if name is not None)
        kept.append(position)
    kept.reverse()
    return [nodes[position] for position in kept], {old: new for new, old in enumerate(kept)}
