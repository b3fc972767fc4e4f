"""A network over a sequence becomes one that takes it piece by piece, so that what a language model writes costs the
same for each token, however long the text is.

The spec says nothing of it. An attention that is causal keeps its keys and values, `positions` go on counting, a
recurrent layer keeps its state; all that works on each position alone stays as it is. What mixes positions otherwise
makes a piece depend on what isn't there, and is told with its line. The axis of the sequence is known by its symbolic
size, which nothing else has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from specdl.diagnostics import Span
from specdl.ir.dims import SymDim, extent, symbols_of
from specdl.ir.given import with_inputs
from specdl.ir.program import Function, Node, Program
from specdl.ir.types import TensorType
from specdl.ops.base import Op, TypeRuleError
from specdl.ops.embedding import Embedding
from specdl.ops.shape import Positions


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What makes a value depend on positions that aren't there yet."""

    message: str
    span: Span
    help: str | None = None


class NotPiecewise(Exception):
    """A network can't take its sequence piece by piece."""

    def __init__(self, obstacle: Obstacle) -> None:
        super().__init__(obstacle.message)
        self.obstacle = obstacle


@dataclass(frozen=True, slots=True)
class Piecewise:
    """A network that takes a sequence piece by piece.

    Its `program` has the keys of the original. `once` are the paths of layers that read nothing of the sequence (an
    encoder, what is made of its output), so that the first piece tells their value. `limit` is how long the sequence
    can be.
    """

    program: Program
    once: tuple[str, ...]
    limit: int | None


def piecewise(program: Program, sequence: str, absent: Collection[str] = ()) -> Piecewise:
    """The network of a program for pieces of its input `sequence`, without the optional inputs in `absent`.

    Raises `NotPiecewise` where its last output isn't the same for pieces as for the whole.
    """
    program = with_inputs(program, absent)
    main = program.main
    type = next(value.type for value in main.inputs if value.name == sequence)
    size = type.shape[1] if type.rank > 1 else None
    if not isinstance(size, SymDim) or len(size.symbols()) != 1 or size != _alone(size):
        raise NotPiecewise(Obstacle(f"`{sequence}` {type} has no axis of any length behind the batch", main.span))
    cutter = _Cutter(program, size)
    made = cutter.cut(main.key)
    last = len(main.outputs) - main.training_outputs - 1
    if last in made.obstacles:
        raise NotPiecewise(made.obstacles[last])
    if not _is_piece(main.output_types()[last], size):
        message = f"the last output, `{main.output_names[last]}`, has no scores for each position"
        raise NotPiecewise(Obstacle(message, main.span))
    bound = extent(size)[1]
    limits = [limit for limit in (made.limit, bound) if limit is not None]
    limit = min(limits) if limits else None
    finite = None if limit is None or limit == float("inf") else int(limit)
    return Piecewise(replace(program, functions=cutter.functions), tuple(cutter.once()), finite)


def _alone(size: SymDim) -> SymDim | None:
    """The size itself, where it is one symbol and nothing else."""
    return size if str(size) in size.symbols() else None


def _is_piece(type: TensorType, length: SymDim) -> bool:
    """Whether exactly one axis is the sequence's, and no other depends on its length."""
    (name,) = length.symbols()
    others = [size for size in type.shape if size != length]
    return type.shape.count(length) == 1 and name not in symbols_of(others)


def _is_pairs(type: TensorType, length: SymDim) -> bool:
    """Whether the last two axes are the queries of a piece and all keys."""
    (name,) = length.symbols()
    return type.shape[-2:] == (length, length) and name not in symbols_of(type.shape[:-2])


@dataclass(slots=True)
class _Cut:
    """What became of a function: which of its outputs have an obstacle, and what its layers keep."""

    obstacles: dict[int, Obstacle] = field(default_factory=dict)
    keeps: bool = False
    limit: int | None = None


class _Cutter:
    """Cuts functions, callees when they are met, each once: a function's types say which values are pieces."""

    def __init__(self, program: Program, length: SymDim) -> None:
        self.program = program
        self.length = length
        (self.name,) = length.symbols()
        self.functions = dict(program.functions)
        self.made: dict[str, _Cut] = {}
        self.still: dict[str, set[str]] = {}
        """By function, the nodes that read nothing of the sequence."""

    def cut(self, key: str) -> _Cut:
        """Puts the function for pieces in place of another."""
        if key not in self.made:
            self.made[key] = self._cut(self.program.functions[key])
        return self.made[key]

    def _cut(self, function: Function) -> _Cut:
        types = function.types()
        found = _Cut()
        obstacles: dict[str, Obstacle] = {}
        places: set[str] = set()
        again = {node.shares.split(".")[0] for node in function.nodes if node.shares is not None}
        nodes: list[Node] = []
        still = self.still.setdefault(function.key, set())
        for node in function.nodes:
            inputs = [types[name] for name in node.inputs if name is not None]
            known = next((obstacles[name] for name in node.inputs if name in obstacles), None)
            if node.skip or (known is None and not self._moves([*inputs, *node.types])):
                if not node.skip and node.inputs and node.shares is None and node.name not in again:
                    still.add(node.name)
                nodes.append(node)
                continue
            if known is None:
                shared = node.shares is not None or node.name in again
                node, told = self._node(node, inputs, types, shared, found)
                obstacles.update(told)
                places.update(node.outputs if isinstance(node.callee, Positions) else ())
                if isinstance(node.callee, Embedding) and node.inputs[0] in places:
                    found.limit = min(node.callee.num_embeddings, found.limit or node.callee.num_embeddings)
            else:
                obstacles.update(dict.fromkeys(node.outputs, known))
            nodes.append(node)
        self.functions[function.key] = replace(function, nodes=tuple(nodes))
        found.obstacles = {at: obstacles[name] for at, name in enumerate(function.outputs) if name in obstacles}
        return found

    def _moves(self, types: Iterable[TensorType]) -> bool:
        """Whether the sequence's size occurs in some types."""
        return any(self.name in symbols_of(type.shape) for type in types)

    def _node(
        self,
        node: Node,
        inputs: list[TensorType],
        types: Mapping[str, TensorType],
        shared: bool,
        found: _Cut,
    ) -> tuple[Node, dict[str, Obstacle]]:
        """The node for pieces, and which of its outputs have an obstacle."""
        if isinstance(node.callee, str):
            inner = self.cut(node.callee)
            if inner.keeps and shared:
                return node, dict.fromkeys(node.outputs, _twice(node))
            found.keeps |= inner.keeps
            if inner.limit is not None:
                found.limit = min(inner.limit, found.limit or inner.limit)
            return node, {name: inner.obstacles[at] for at, name in enumerate(node.outputs) if at in inner.obstacles}
        try:
            continued = node.callee.continued(inputs, self.length)
        except TypeRuleError as error:
            obstacle = Obstacle(f"`{node.callee_name}` {error.message}", node.span, error.help)
            return node, dict.fromkeys(node.outputs, obstacle)
        if continued is not None:
            if shared:
                return node, dict.fromkeys(node.outputs, _twice(node))
            found.keeps = True
            ends = {
                name: Obstacle(f"`{name}` is known at the end of the sequence alone", node.span)
                for name, type in zip(node.outputs, node.types, strict=True)
                if not _is_piece(type, self.length) and not _is_pairs(type, self.length)
            }
            return replace(node, callee=continued), ends
        if self._works(node.callee, inputs, node.types):
            return node, {}
        obstacle = Obstacle(f"`{node.callee_name}` mixes the positions of the sequence", node.span)
        return node, dict.fromkeys(node.outputs, obstacle)

    def _works(self, op: Op, inputs: list[TensorType], outputs: Sequence[TensorType]) -> bool:
        """Whether an operator gives for a piece what it gives for that part of the whole."""
        moving = [type for type in inputs if self._moves([type])]
        if not moving:
            return False  # it makes something of the sequence's length
        if op.needs_like and not self._moves(outputs):
            return True
        if all(_is_pairs(type, self.length) for type in [*moving, *outputs]):
            return op.element_wise
        pieces = all(_is_piece(type, self.length) for type in [*moving, *outputs])
        return pieces and op.works_position_wise(inputs, self.length)

    def once(self) -> Iterable[str]:
        """The paths of the largest modules that read nothing of the sequence."""
        yield from self._once(self.program.main, "")

    def _once(self, function: Function, prefix: str) -> Iterable[str]:
        for node in function.nodes:
            path = f"{prefix}{node.name}"
            if node.name in self.still.get(function.key, ()):
                yield path
            elif isinstance(node.callee, str) and not node.skip and node.shares is None:
                yield from self._once(self.program.functions[node.callee], f"{path}.")


def _twice(node: Node) -> Obstacle:
    return Obstacle(f"`{node.callee_name}` is run again with the same weights, and would keep two pasts", node.span)


__all__ = ["NotPiecewise", "Obstacle", "Piecewise", "piecewise"]
