"""The `compute` entry: one expression over named values, as a tree of operators.

The tree is one node of the program. Its types, cost and ONNX nodes come from its operators, and in the
source it is one readable line of Python.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Union

from pydantic import PlainValidator

from specdl.ir.dims import Dim, SymDim, symbols_of
from specdl.ir.types import TensorType
from specdl.ops.base import Family, OnnxGraph, Op, TypeRuleError
from specdl.ops.broadcasting import number
from specdl.ops.text import dim_text


@dataclass(frozen=True, slots=True)
class Ref:
    """A value by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, or a size that is known at run time; `text` is how the source writes it."""

    value: bool | float | SymDim
    text: str


@dataclass(frozen=True, slots=True)
class Apply:
    """An operator over other trees; `text` is the part of the spec that says so, for messages."""

    op: Op
    arguments: tuple[ComputeTree, ...]
    text: str = field(default="", compare=False)


ComputeTree = Union[Ref, Constant, Apply]


class ComputeError(Exception):
    """A mistake in the text of a `compute`; `offset` and `length` are within it."""

    def __init__(self, message: str, offset: int = 0, length: int = 1, help: str | None = None) -> None:
        super().__init__(message)
        self.message, self.offset, self.length, self.help = message, offset, length, help


Values = Mapping[str, tuple[str, TensorType]]
"""The values that a tree names: what each is called where the node stands, and its type."""


class Compute(Op):
    """Arithmetic on named values, broadcast as in PyTorch: `compute: mu + exp(0.5 * logvar) * noise`.

    The inputs are the values in `names`. Where `needs_like` says so, one more follows: any value of the
    function, on whose device a range of numbers is made.
    """

    operator: ClassVar[str] = "compute"
    family: ClassVar[Family] = "elementwise"
    main: ClassVar[str | None] = "text"
    inputs: ClassVar[tuple[str, ...]] = ("*values",)
    counted: ClassVar[bool] = False

    text: str
    tree: Annotated[Any, PlainValidator(lambda tree: tree)]

    @property
    def names(self) -> tuple[str, ...]:
        """The values that the expression names, in the order in which they first appear."""
        return tuple(dict.fromkeys(item.name for item in _walk(self.tree) if isinstance(item, Ref)))

    @property
    def needs_like(self) -> bool:
        """Whether it makes a tensor from nothing and names no value that could say on which device."""
        return not self.names and any(isinstance(item, Apply) and _takes_like(item.op) for item in _walk(self.tree))

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        values = self._values(self._placeholders(types), types)
        if isinstance(self.tree, Constant):
            raise TypeRuleError("is only a number", help="name a value, or write `constant`")
        found = _type(self.tree, values, self.names)
        self._render(values)  # sizes that no value has are found here
        return (found,)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return self._render(self._values(arguments, types))

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return (_nodes(self.tree, graph, self._values(inputs, types)),)

    def flops(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> Dim:
        values = self._values(self._placeholders(inputs), inputs)
        total: Dim = 0
        for item in _walk(self.tree):
            if isinstance(item, Apply):
                types = [type for _, type in _arguments(item, values, _typed)]
                total = total + item.op.flops(types, item.op.infer(*types))
        return total

    @property
    def random(self) -> bool:  # type: ignore[override]
        """Whether it draws random numbers."""
        return any(isinstance(item, Apply) and item.op.random for item in _walk(self.tree))

    def given(self) -> dict[str, Any]:
        """The text alone: the tree says the same."""
        return {"text": self.text}

    def title(self) -> str:
        # `_`, the value above, says little in a figure.
        text = re.sub(r"\b_\b", "x", self.text) if "x" not in self.names else self.text
        return text if len(text) <= 40 else f"{text[:39]}…"

    @property
    def element_wise(self) -> bool:
        return all(item.op.element_wise for item in _walk(self.tree) if isinstance(item, Apply))

    def works_position_wise(self, types: Sequence[TensorType], length: SymDim) -> bool:
        values = self._values(self._placeholders(types), types)
        return all(_works_position_wise(item, values, length) for item in _walk(self.tree))

    def _placeholders(self, types: Sequence[TensorType]) -> Sequence[str]:
        return [*self.names, "like"][: len(types)]

    def _values(self, names: Sequence[str], types: Sequence[TensorType]) -> Values:
        own = self.names
        keys = [*own, "like"] if len(types) > len(own) else own
        return {key: (name, type) for key, name, type in zip(keys, names, types, strict=True)}

    def _render(self, values: Values) -> str:
        return _text(self.tree, values)


def _walk(tree: ComputeTree) -> Iterator[ComputeTree]:
    yield tree
    if isinstance(tree, Apply):
        for argument in tree.arguments:
            yield from _walk(argument)


def _takes_like(op: Op) -> bool:
    return op.inputs[-1:] == ("like?",)


def _like(op: Op, types: Sequence[TensorType], values: Values) -> tuple[str, TensorType] | None:
    """The value whose batch, sizes and device a tensor made from nothing takes."""
    known = sorted(values.values(), key=lambda value: not value[1].batched)
    return next((value for value in known if fits(op, *types, value[1])), next(iter(known), None))


def fits(op: Op, *types: TensorType) -> bool:
    """Whether an operator can work with values of these types."""
    try:
        op.infer(*types)
    except TypeRuleError:
        return False
    return True


Visit = Callable[["ComputeTree", Values], tuple[str, TensorType]]


def _arguments(apply: Apply, values: Values, visit: Visit) -> list[tuple[str, TensorType]]:
    """The text (or name) and type of each input of an operator in the tree, with `like` where it wants one."""
    found = [visit(argument, values) for argument in apply.arguments]
    types = [type for _, type in found]
    wanted = _takes_like(apply.op) and len(found) < len(apply.op.inputs) and not (found and fits(apply.op, *types))
    like = _like(apply.op, types, values) if wanted else None
    return [*found, like] if like is not None else found


def _type(tree: ComputeTree, values: Values, names: Sequence[str]) -> TensorType:
    """The type of a tree. Raises `TypeRuleError` that says in which part of the expression."""
    if not isinstance(tree, Apply):
        return _typed(tree, values)[1]

    def visit(argument: ComputeTree, values: Values) -> tuple[str, TensorType]:
        return "", _type(argument, values, names)

    types = [type for _, type in _arguments(tree, values, visit)]
    try:
        for position, argument in enumerate(tree.arguments):
            if isinstance(argument, Constant) and not tree.op.takes_numbers:
                raise TypeRuleError(f"`{tree.op.operator}` expects a tensor, got {argument.text}", input=position)
        return tree.op.infer(*types)[0]
    except TypeRuleError as error:
        places = [_place(tree, position, names) for position in (error.input, error.against)]
        message = f"in `{tree.text}`: {error.message}"
        raise TypeRuleError(message, help=error.help, input=places[0], against=places[1], axis=error.axis) from None


def _place(tree: Apply, position: int | None, names: Sequence[str]) -> int | None:
    """The input of the whole expression that an argument of one operation is; None for what is computed."""
    argument = tree.arguments[position] if position is not None and position < len(tree.arguments) else None
    return names.index(argument.name) if isinstance(argument, Ref) else None


def _typed(tree: ComputeTree, values: Values) -> tuple[str, TensorType]:
    """The type of a tree that is known to be right."""
    if isinstance(tree, Ref):
        return values[tree.name]
    if isinstance(tree, Constant):
        return tree.text, number(tree.value)
    return "", tree.op.infer(*(type for _, type in _arguments(tree, values, _typed)))[0]


def _works_position_wise(tree: ComputeTree, values: Values, length: SymDim) -> bool:
    """Whether one operation of a tree does, and what it gives still has the sequence's axis."""
    name = next(iter(length.symbols()))
    if isinstance(tree, Constant):
        return not (isinstance(tree.value, SymDim) and name in tree.value.symbols())
    if isinstance(tree, Ref):
        return True
    types = [type for _, type in _arguments(tree, values, _typed)]
    (output,) = tree.op.infer(*types)
    if not any(length in type.shape for type in types[: len(tree.arguments)]):  # without what is only `like`
        return name not in symbols_of(output.shape)
    return length in output.shape and tree.op.works_position_wise(types, length)


def _text(tree: ComputeTree, values: Values) -> str:
    if isinstance(tree, Ref):
        return values[tree.name][0]
    if isinstance(tree, Constant):
        return dim_text(tree.value, list(values.values())) if isinstance(tree.value, SymDim) else tree.text

    def visit(argument: ComputeTree, values: Values) -> tuple[str, TensorType]:
        return _text(argument, values), _typed(argument, values)[1]

    arguments = _arguments(tree, values, visit)
    text = tree.op.torch_function([text for text, _ in arguments], *(type for _, type in arguments))
    if text is None:
        raise TypeRuleError(f"can't hold `{tree.text}`", help="make it a layer of its own")
    return text


def _nodes(tree: ComputeTree, graph: OnnxGraph, values: Values) -> str:
    if not isinstance(tree, Apply):
        return _typed(tree, values)[0]

    def visit(argument: ComputeTree, values: Values) -> tuple[str, TensorType]:
        return _nodes(argument, graph, values), _typed(argument, values)[1]

    arguments = _arguments(tree, values, visit)
    return tree.op.onnx(graph, [name for name, _ in arguments], [type for _, type in arguments])[0]


def parse_compute(text: str, constants: Mapping[str, Any]) -> Compute:
    """Parses the text of a `compute`. Names in `constants` stand for their values. Raises `ComputeError`."""
    from specdl.ops.compute_parser import parse

    return parse(text, constants)
