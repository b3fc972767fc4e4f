"""The typed hierarchical IR: what a spec means once parameters are bound and control flow is gone.

A `Program` holds functions. A block of the spec is a `Function`, specialised by its parameters and input
types and shared by every call with the same ones; a named group is a `Function` too, and so is one
iteration of a named loop. A `Node` applies an operator or a function to named values. The names of nodes,
joined by dots from the network down, are the keys of the `state_dict`.

Everything is frozen: a pass takes a program and returns another.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from specdl.diagnostics import Diagnostic, Span, SpecError, did_you_mean
from specdl.ir.types import TensorType

if TYPE_CHECKING:
    from specdl.objectives.schedulers import Scheduler
    from specdl.ops.base import Op
    from specdl.ops.initializers import Initializer

FunctionKind = Literal["network", "block", "group", "iteration", "step", "sample", "loop"]
"""What a function was in the spec.

A network, a block, a named group, one iteration (or path), a training step, how samples are made, or the body of a
run-time loop.
"""

Mode = Literal["train", "eval"]
"""The mode of a network while a step runs."""


@dataclass(frozen=True, slots=True)
class InitRule:
    """How weights begin: those whose key (below a node or function) matches `pattern`, in which `*` is any text."""

    pattern: str
    initializer: Initializer
    span: Span

    @property
    def meaning(self) -> tuple[str, Initializer]:
        """The rule apart from its place."""
        return self.pattern, self.initializer


@dataclass(frozen=True, slots=True)
class Value:
    """An input of a function: its name there, its type, and whether it may be absent when the function runs."""

    name: str
    type: TensorType
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Guard:
    """The condition of a node: it runs only where an optional input of its function is given (or is not)."""

    value: str
    given: bool


@dataclass(frozen=True, slots=True)
class Node:
    """One application of an operator or a function.

    `name` is the layer's name on its level: the segment of the `state_dict` path. `inputs` and `outputs`
    are names of values, unique within the function; `types` are the types of the outputs. An input that
    is None was left out (an optional input such as a mask). `module` is False for a node that only shares
    the weights of an earlier one (`call`): `shares` is then the name of that layer, relative to this function.

    In a step, `network` names the network of the program that this node calls: its weights are the network's, so
    all its calls share them. A node with a `loop` runs its callee several times.
    """

    name: str
    callee: Op | str
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    types: tuple[TensorType, ...]
    span: Span
    shares: str | None = None
    network: str | None = None
    loop: Loop | None = None
    training_only: bool = False
    skip: bool = False
    """Nothing needs its value: the layer exists (its weights are keys), but it is not run."""
    init: tuple[InitRule, ...] = ()
    """How its weights begin, by their keys below this node; where they don't begin as its operator has them."""
    guard: Guard | None = None
    """Where it doesn't run, its values are absent."""

    @property
    def callee_name(self) -> str:
        """The operator, or the block's or group's own name."""
        return self.callee.split("/")[-1].split("#")[0] if isinstance(self.callee, str) else self.callee.operator


@dataclass(frozen=True, slots=True)
class Function:
    """A network, block, group, iteration or step.

    `key` identifies it in the program and is readable (`bottleneck`, `bottleneck.2`); `name` is the block's
    or group's own name, from which class names are made. `parameters` are the bound parameters of a block, `implied`
    the names of those that a call didn't give and that follow from others, or are true by themselves.
    `labels` are the spec's own names of values where they differ from the unique ones.
    `outputs` are values (of this function); `output_names` are what callers and users call them;
    `training_outputs` says how many of them, at the end, exist only in training. `ties` are weights below this
    function that are one weight; `init` says how weights below it begin, where no layer says so itself: later rules
    win.
    """

    key: str
    name: str
    kind: FunctionKind
    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    output_names: tuple[str, ...]
    span: Span
    parameters: Mapping[str, Any] = field(default_factory=dict)
    implied: frozenset[str] = frozenset()
    residuals: tuple[Residual, ...] = ()
    counted: bool = False
    training_outputs: int = 0
    ties: tuple[Tie, ...] = ()
    init: tuple[InitRule, ...] = ()

    def types(self) -> dict[str, TensorType]:
        """The type of every value of this function, by name."""
        found = {value.name: value.type for value in self.inputs}
        for node in self.nodes:
            found.update(zip(node.outputs, node.types, strict=True))
        return found

    def output_types(self) -> tuple[TensorType, ...]:
        """The types of the outputs, in order."""
        types = self.types()
        return tuple(types[name] for name in self.outputs)


@dataclass(frozen=True, slots=True)
class Tie:
    """One weight under two keys of a function's `state_dict`: `alias` is the weight that is stored under `key`.

    A layer may own the alias, which then has the same shape; else it exists only as a key.
    """

    alias: str
    key: str
    span: Span


@dataclass(frozen=True, slots=True)
class Loop:
    """What a node that repeats its callee at run time hands from one iteration to the next.

    The callee's first `carried` inputs are, from the second iteration on, its first `carried` outputs of the one
    before; the node's own inputs begin them. Its last inputs are numbers that change with the iteration: a column
    of `columns` each, of as many numbers as there are iterations. What lies between stays the same. The node's
    outputs are those of the last iteration.
    """

    carried: int
    count: int
    columns: tuple[tuple[bool | int | float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Residual:
    """A residual connection of the spec: the value that leaves, and the node (by position) that adds it back.

    `shortcut` are the positions of the nodes on the shortcut path; empty for the identity.
    """

    source: str
    body: tuple[int, ...]
    shortcut: tuple[int, ...]
    add: int

    def moved(self, places: Mapping[int, int], source: str | None = None) -> Residual:
        """The residual where nodes have moved: `places` maps old positions to new ones, without nodes that left."""
        return Residual(
            source or self.source,
            tuple(places[index] for index in self.body if index in places),
            tuple(places[index] for index in self.shortcut if index in places),
            places[self.add],
        )


@dataclass(frozen=True, slots=True)
class LossTerm:
    """One term of a step's loss: which output of the step's function, times `weight`.

    A weight that changes is a schedule: its factor at the update is the weight. A term that is no single number is
    averaged.
    """

    name: str
    weight: float | Scheduler
    span: Span


@dataclass(frozen=True, slots=True)
class Step:
    """A training step: a function over the batch's fields that calls networks and ends in losses.

    `update` names the networks whose parameters it changes, at every `every`-th update; gradients flow through the
    others. `modes` says for each network that it calls whether that is in train or eval mode. The outputs of
    `function` are the loss terms, in the order of `terms`, and then values that metrics read. `evaluation` is the
    same step in evaluation mode: without the terms that need values which exist only in training.
    """

    name: str
    function: str
    evaluation: str
    update: tuple[str, ...]
    terms: tuple[LossTerm, ...]
    every: int = 1
    modes: Mapping[str, Mode] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the weights of a network come from that doesn't begin with its own.

    Either `run`, the folder of an earlier run (and the `network` there), or `average_of`, the network whose moving
    average it is, with the share `decay` that stays at each update. A `frozen` network is never updated.
    """

    run: str | None = None
    network: str | None = None
    average_of: str | None = None
    decay: float = 0.0
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled spec. `networks` maps a network's name to its function; a single network is `model`.

    `origins` has the networks whose weights come from elsewhere. `sample` is the function that makes samples.
    """

    name: str
    functions: Mapping[str, Function]
    networks: Mapping[str, str]
    steps: tuple[Step, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)
    sample: str | None = None
    frozen: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By network, the parameters that training leaves as they are."""

    @property
    def main(self) -> Function:
        """The only network, or the first of several."""
        return self.functions[next(iter(self.networks.values()))]

    def network(self, name: str | None = None) -> Function:
        """The function of a network, the first unless named. Raises `SpecError` for an unknown name."""
        if name is None:
            return self.main
        if name not in self.networks:
            help = did_you_mean(name, self.networks) or f"there is {', '.join(f'`{item}`' for item in self.networks)}"
            raise SpecError([Diagnostic("E0807", f"there is no network `{name}`", help=help)])
        return self.functions[self.networks[name]]

    def only(self, name: str | None = None) -> Program:
        """The program with one of its networks alone, and nothing that trains it. Raises `SpecError`."""
        function = self.network(name)
        chosen = name or next(iter(self.networks))
        kept = {key: value for key, value in self.frozen.items() if key == chosen}
        return Program(self.name, self.functions, {chosen: function.key}, frozen=kept)


@dataclass(frozen=True, slots=True)
class Layer:
    """A node with its full path, as `walk` meets it. `depth` is 0 directly in the network."""

    path: str
    node: Node
    function: Function
    depth: int


def walk(program: Program, function: Function, prefix: str = "", depth: int = 0) -> Iterator[Layer]:
    """Every node below `function`, callees expanded, each with its path in the `state_dict`."""
    for node in function.nodes:
        path = f"{prefix}{node.name}"
        yield Layer(path, node, function, depth)
        if isinstance(node.callee, str) and node.shares is None and node.network is None:
            yield from walk(program, program.functions[node.callee], f"{path}.", depth + 1)


def same_layers(one: Program, other: Program) -> bool:
    """Whether two programs have the same networks: every layer by path, with its arguments, types and inputs.

    What values are called may differ.
    """
    if one.networks.keys() != other.networks.keys():
        return False
    return all(
        _function_looks(one, one.network(name), {}) == _function_looks(other, other.network(name), {})
        for name in one.networks
    )


def _function_looks(program: Program, function: Function, known: dict[str, Hashable]) -> Hashable:
    """What counts of a function, the functions that it calls included."""
    found = known.get(function.key)
    if found is None:
        values: dict[str | None, Hashable] = {value.name: -1 - index for index, value in enumerate(function.inputs)}
        nodes: list[Hashable] = []
        for index, node in enumerate(function.nodes):
            values.update({name: (index, at) for at, name in enumerate(node.outputs)})
            callee: Hashable = node.callee
            if isinstance(node.callee, str):
                callee = _function_looks(program, program.functions[node.callee], known)
            inputs = tuple(values.get(name) for name in node.inputs)
            rules = tuple(rule.meaning for rule in node.init)
            guard = None if node.guard is None else (values[node.guard.value], node.guard.given)
            nodes.append(
                (node.name, callee, inputs, node.types, node.shares, node.training_only, node.skip, rules, guard)
            )
        outputs = tuple(values[name] for name in function.outputs)
        types = tuple((value.type, value.optional) for value in function.inputs)
        special = (
            tuple((tie.alias, tie.key) for tie in function.ties),
            tuple(rule.meaning for rule in function.init),
        )
        found = known[function.key] = hash((types, tuple(nodes), outputs, function.training_outputs, special))
    return found
