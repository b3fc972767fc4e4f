"""Values that come from no input: learned parameters, buffers, constants and number ranges.

Their shapes are exactly what is written. The name of a `parameter` or `buffer` is the whole key in the
`state_dict`; the others are computed where they stand, on the device of any other value (`like`).
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from specdl.ir.dims import Dim, SymDim
from specdl.ir.types import DType, TensorType
from specdl.ops.axes import Count, NumberOrSize, Sizes
from specdl.ops.base import Call, Family, OnnxGraph, Op, TypeRuleError, Weight
from specdl.ops.initializers import Init, Initializer
from specdl.ops.text import dim_text, expression, literal, postfix

_DOCS = "https://docs.pytorch.org/docs/stable/generated/torch"


class _Stored(Op):
    """A tensor that the model owns under the entry's own name."""

    family: ClassVar[Family] = "parameter"
    main: ClassVar[str | None] = "shape"
    inputs: ClassVar[tuple[str, ...]] = ()
    counted: ClassVar[bool] = False
    stored: ClassVar[bool] = True
    buffer: ClassVar[bool]
    holder: ClassVar[str]

    shape: Sizes = Field(description="The whole shape, as written.")
    init: Init | None = Field(
        default=None, description="The numbers to begin with: zeros, unless the spec's `init` has a pattern for it."
    )

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        sizes = self._static()
        if self.init is not None and (needed := self.init.needs(sizes)) is not None:
            message = f"`{self.init.name}` can't fill a tensor of shape {list(sizes)}: it needs {needed}"
            raise TypeRuleError(message, argument="init")
        return (TensorType(sizes),)

    def _static(self) -> tuple[int, ...]:
        for size in self.shape:
            if not isinstance(size, int):
                raise TypeRuleError(f"needs its size when the spec is compiled, but that is `{size}`", argument="shape")
        return tuple(size for size in self.shape if isinstance(size, int))

    def weights(self, *types: TensorType) -> tuple[Weight, ...]:
        return (Weight("", self._static(), buffer=self.buffer),)

    def torch_module(self, *types: TensorType) -> Call | None:
        return Call(self.holder, ((self.init or Initializer("zeros")).tensor(self._static()),))

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return (graph.weight(""),)

    def title(self) -> str:
        return f"{type(self).__name__} {'×'.join(map(str, self.shape)) or '1'}"


class Parameter(_Stored):
    """A learned tensor of its own: a class token, a scale, a table of positions."""

    operator: ClassVar[str] = "parameter"
    buffer: ClassVar[bool] = False
    holder: ClassVar[str] = "nn.Parameter"
    reference: ClassVar[str] = f"{_DOCS}.nn.parameter.Parameter.html"


class Buffer(_Stored):
    """A tensor that is stored with the model but not learned; it is registered as a buffer."""

    operator: ClassVar[str] = "buffer"
    buffer: ClassVar[bool] = True
    holder: ClassVar[str] = "nn.Buffer"
    reference: ClassVar[str] = f"{_DOCS}.nn.parameter.Buffer.html"


class _Made(Op):
    """A tensor that is made where it stands, on the device of `like`."""

    family: ClassVar[Family] = "parameter"
    inputs: ClassVar[tuple[str, ...]] = ("like?",)
    counted: ClassVar[bool] = False

    def numbers(self) -> list[Any]:
        """The numbers, for ONNX."""
        raise NotImplementedError

    def written(self, values: Sequence[tuple[str, TensorType]]) -> list[str]:
        """The arguments of the PyTorch call; sizes that are known at run time are read from one of `values`."""
        raise NotImplementedError

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        device = [f"device={postfix(arguments[0])}.device"] if arguments else []
        values = list(zip(arguments, types, strict=True))
        return expression(f"torch.{self.operator}", [*self.written(values), *device])

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (made,) = self.infer(*types)
        return (graph.constant(self.numbers(), made.dtype),)


class Linspace(_Made):
    """`steps` numbers from `start` to `end`, both included, evenly spaced."""

    operator: ClassVar[str] = "linspace"
    reference: ClassVar[str] = f"{_DOCS}.linspace.html"

    start: float = Field(description="The first number.")
    end: float = Field(description="The last number.")
    steps: Count = Field(description="How many; a size such as `T` too.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        self.written([("like", type) for type in types])
        return (TensorType((self.steps,)),)

    def written(self, values: Sequence[tuple[str, TensorType]]) -> list[str]:
        return [literal(self.start), literal(self.end), dim_text(self.steps, values)]

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        if isinstance(self.steps, int):
            return super().onnx(graph, inputs, types)
        count = graph.reshape(graph.shape([self.steps]), [])
        one = graph.constant(1, "int64")
        (places,) = graph.node("Range", [graph.constant(0, "int64"), count, one])
        (gaps,) = graph.node("Max", [*graph.node("Sub", [count, one]), one])
        span = graph.constant(self.end - self.start, "float32")
        (gap,) = graph.node("Div", [span, graph.cast(gaps, "float32")])
        (offsets,) = graph.node("Mul", [graph.cast(places, "float32"), gap])
        return graph.node("Add", [offsets, graph.constant(self.start, "float32")])

    def numbers(self) -> list[Any]:
        if self.steps == 1:
            return [self.start]
        gap = (self.end - self.start) / (self.steps - 1)
        half = self.steps // 2  # as PyTorch does, from both ends toward the middle
        low = [self.start + gap * place for place in range(half)]
        return [*low, *(self.end - gap * (self.steps - 1 - place) for place in range(half, self.steps))]


class Arange(_Made):
    """The numbers from `start` (included) to `end` (excluded), `step` apart; integers and sizes give int64."""

    operator: ClassVar[str] = "arange"
    main: ClassVar[str | None] = "end"
    reference: ClassVar[str] = f"{_DOCS}.arange.html"

    start: NumberOrSize = Field(default=0, description="The first number.")
    end: NumberOrSize = Field(description="Where it stops; not included. A size such as `T` too.")
    step: int | float = Field(default=1, description="The distance between two numbers.")

    @classmethod
    def positional(cls, count: int) -> tuple[str, ...]:
        return ("end",) if count == 1 else super().positional(count)

    @model_validator(mode="after")
    def _leads_to_the_end(self) -> Self:
        if self._sized:
            if not isinstance(self.step, int) or self.step < 1 or float in {type(self.start), type(self.end)}:
                raise ValueError("with a size that is known at run time, all are integers and `step` is at least 1")
        elif self.step == 0 or (self.end - self.start) / self.step < 0:
            raise ValueError(f"steps of {self.step} don't lead from {self.start} to {self.end}")
        return self

    @property
    def _sized(self) -> bool:
        return isinstance(self.start, SymDim) or isinstance(self.end, SymDim)

    def _count(self) -> Dim:
        span: Any = self.end - self.start
        count: Dim = (span + (int(self.step) - 1)) // int(self.step) if self._sized else math.ceil(span / self.step)
        return count

    def numbers(self) -> list[Any]:
        return [self.start + place * self.step for place in range(int(str(self._count())))]

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        self.written([("like", type) for type in types])
        whole = all(isinstance(number, (int, SymDim)) for number in (self.start, self.end, self.step))
        return (TensorType((self._count(),), "int64" if whole else "float32"),)

    def written(self, values: Sequence[tuple[str, TensorType]]) -> list[str]:
        start, end = (
            dim_text(item, values) if isinstance(item, SymDim) else literal(item) for item in (self.start, self.end)
        )
        if self.step != 1:
            return [start, end, literal(self.step)]
        return [start, end] if self.start else [end]

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        if not self._sized:
            return super().onnx(graph, inputs, types)
        ends = [graph.reshape(graph.shape([item]), []) for item in (self.start, self.end)]
        return graph.node("Range", [*ends, graph.constant(self.step, "int64")])


def _nested(value: Any) -> Any:
    """Numbers in lists of equal length, as tuples."""
    if isinstance(value, (list, tuple)):
        items = tuple(_nested(item) for item in value)
        if len({_lengths(item) for item in items}) > 1:
            raise PydanticCustomError("constant", "the lists in it must have equal lengths")
        return items
    if not isinstance(value, (bool, int, float)):
        raise PydanticCustomError("constant", "expected a number, or lists of numbers")
    return value


def _lengths(value: Any) -> tuple[int, ...]:
    return (len(value), *(_lengths(value[0]) if value else ())) if isinstance(value, tuple) else ()


def _leaves(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in _leaves(item)] if isinstance(value, tuple) else [value]


class Constant(_Made):
    """Fixed numbers, written out: one, or lists of them. They are no weights and have no key."""

    operator: ClassVar[str] = "constant"
    main: ClassVar[str | None] = "value"
    reference: ClassVar[str] = f"{_DOCS}.tensor.html"

    value: Annotated[Any, PlainValidator(_nested), WithJsonSchema({"type": ["number", "boolean", "array"]})] = Field(
        description="A number, or lists of numbers."
    )

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        kinds = {type(leaf) for leaf in _leaves(self.value)}
        dtype: DType = "float32" if not kinds or float in kinds else "int64" if int in kinds else "bool"
        return (TensorType(_lengths(self.value), dtype),)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        device = [f"device={postfix(arguments[0])}.device"] if arguments else []
        return expression("torch.tensor", [_bracketed(self.value), *device])

    def numbers(self) -> Any:
        return self.value


def _bracketed(value: Any) -> str:
    return f"[{', '.join(map(_bracketed, value))}]" if isinstance(value, tuple) else literal(value)


OPS: tuple[type[Op], ...] = (Parameter, Buffer, Linspace, Arange, Constant)
