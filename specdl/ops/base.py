"""What an operator is: one class that knows everything about itself.

A subclass declares its arguments as pydantic fields (which are also the JSON Schema and the reference
page), and says how types flow through it, which weights it owns, how PyTorch and ONNX spell it, what it
costs and how a diagram names it. No other file knows any of that; a back end only asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from specdl.ir.dims import Dim, SymDim
from specdl.ir.types import DType, TensorType

Family = Literal[
    "convolution",
    "normalization",
    "activation",
    "pooling",
    "linear",
    "attention",
    "embedding",
    "recurrent",
    "dropout",
    "shape",
    "merge",
    "elementwise",
    "reduction",
    "random",
    "parameter",
    "upsampling",
    "loss",
    "custom",
]


class TypeRuleError(Exception):
    """An operator can't take these inputs.

    `argument` names the argument to blame, `input` the position of the input among those given; `part` is the
    offset and the length of what is wrong within the argument's text. `against` is another input, which the first
    doesn't fit, `axis` the axis of the input that is wrong.
    """

    def __init__(
        self,
        message: str,
        *,
        help: str | None = None,
        argument: str | None = None,
        input: int | None = None,
        part: tuple[int, int] | None = None,
        against: int | None = None,
        axis: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.help, self.argument, self.input, self.part = message, help, argument, input, part
        self.against, self.axis = against, axis


@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter or buffer that a layer owns, by its own name (`weight`, `running_mean`, `weight_ih_l0`)."""

    name: str
    shape: tuple[int, ...]
    dtype: DType = "float32"
    buffer: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A Python call as the ejected source writes it; the arguments are Python literals or nested calls."""

    function: str
    arguments: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()


class OnnxGraph(Protocol):
    """What an operator sees of the ONNX graph while it adds its nodes.

    Value names are strings. `weight` gives the initializer of this layer's own parameter or buffer;
    `array` its numbers, for an operator whose ONNX layout differs; `initializer` adds a tensor made from
    them under the layer's own path, `transposed` a matrix turned around. `shape` gives a one-dimensional int64
    tensor holding some sizes, computed at run time where they are symbolic; `reshape` and `cast` are the usual
    helpers.
    """

    opset: int

    def node(self, op_type: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> tuple[str, ...]: ...
    def weight(self, name: str) -> str: ...
    def array(self, name: str) -> Any: ...
    def initializer(self, suffix: str, array: Any) -> str: ...
    def transposed(self, name: str) -> str: ...
    def constant(self, value: Any, dtype: DType) -> str: ...
    def shape(self, dims: Sequence[Dim]) -> str: ...
    def reshape(self, value: str, dims: Sequence[Dim]) -> str: ...
    def cast(self, value: str, dtype: DType) -> str: ...


class Op(BaseModel):
    """Base of all operators. Fields of a subclass are the operator's arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    operator: ClassVar[str]
    """The name in a spec."""
    family: ClassVar[Family]
    """The group in the reference, and the colours in a diagram."""
    main: ClassVar[str | None] = None
    """The argument that a scalar sets: `linear: 10`."""
    inputs: ClassVar[tuple[str, ...]] = ("x",)
    """Names of the inputs; `mask?` may be left out, `*xs` takes any number."""
    outputs: ClassVar[tuple[str, ...]] = ("output",)
    """Names of the outputs; `*pieces` is any number of them."""
    inferred: ClassVar[tuple[str, ...]] = ()
    """PyTorch arguments that come from the shapes and are never written (`in_channels`)."""
    reference: ClassVar[str] = ""
    """The PyTorch page or the paper that the operator follows."""
    example: ClassVar[str] = ""
    """Lines of a spec that use it, for the reference, where the values of its required arguments alone make none."""
    support: ClassVar[tuple[str, ...]] = ()
    """Classes of `specdl/nn/` that the source needs beside it: `module_file.ClassName`."""
    random: ClassVar[bool] = False
    """Whether two runs in training mode differ (dropout)."""
    counted: ClassVar[bool] = True
    """Whether it takes a position in a named `sequence` (LANGUAGE rule 3)."""
    stored: ClassVar[bool] = False
    """Whether the entry is itself a tensor of the model (`parameter`, `buffer`): its name is the whole key."""
    inline: ClassVar[bool] = False
    """Whether the source writes it where it is used, and not on a line of its own."""
    may_be_absent: ClassVar[tuple[str, ...]] = ()
    """Inputs of which only the run may tell whether they are given; its module takes None for them."""
    takes_numbers: ClassVar[bool] = False
    """Whether a Python number may stand for an input (`add(x, 1)`)."""
    position_wise: ClassVar[bool] = False
    """Whether, along an axis that it keeps, each position of the output depends on that position alone."""

    def check_ports(self, ports: Mapping[str, TensorType]) -> None:
        """Guards what only the names of the given inputs tell, where several may be left out: `infer` sees types."""

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        """The types of the outputs. Raises `TypeRuleError`."""
        raise NotImplementedError

    def weights(self, *types: TensorType) -> tuple[Weight, ...]:
        """Parameters and buffers, in the order of PyTorch's `state_dict`."""
        return ()

    def torch_module(self, *types: TensorType) -> Call | None:
        """The constructor of the `nn.Module`, or None for an operator that is only a function."""
        return None

    def torch_imports(self) -> tuple[str, ...]:
        """Modules that the ejected source imports besides torch: the user's own."""
        return ()

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        """The Python expression over the argument names, or None for an operator that must be a module."""
        return None

    @property
    def element_wise(self) -> bool:
        """Whether each element of the output depends on those alone that stand, or are broadcast, at its own place."""
        return self.position_wise and self.family == "elementwise"

    def works_position_wise(self, types: Sequence[TensorType], length: SymDim) -> bool:
        """Whether each position of an axis of size `length`, in evaluation, depends on that position alone."""
        return self.position_wise

    @property
    def needs_like(self) -> bool:
        """Whether its input only says on which device it makes something."""
        return self.inputs == ("like?",)

    def continued(self, types: Sequence[TensorType], length: SymDim) -> Op | None:
        """The layer for a sequence that comes piece by piece: it keeps what it needs of the pieces before.

        The axis of size `length` is the sequence's. None for a layer that keeps nothing. Raises `TypeRuleError` where
        a position depends on later ones.
        """
        return None

    def torch_targets(self, names: Sequence[str]) -> str:
        """The left side of the assignment; `_` stands for an output that nobody uses."""
        return ", ".join(names)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        """Adds ONNX nodes for inference and returns the names of the outputs."""
        raise NotImplementedError

    def flops(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> Dim:
        """Floating-point operations, two per multiply-add, as `torch.utils.flop_counter` counts."""
        return 0

    def title(self) -> str:
        """The operator's name in a diagram: `Conv 3×3, 64`."""
        return self.operator.replace("_", " ").capitalize()

    def details(self) -> str:
        """What a diagram says in small print beneath: `stride 2`."""
        return ""

    def output_names(self, count: int) -> tuple[str, ...]:
        """Names of the outputs where there are `count`: an operator with `*pieces` numbers them."""
        return tuple(f"{index}" for index in range(count)) if self.outputs[0].startswith("*") else self.outputs

    @classmethod
    def positional(cls, count: int) -> tuple[str, ...]:
        """The arguments that `count` values by order set, in a `compute`'s call of this operator as a function."""
        return tuple(cls.model_fields)[:count]

    def given(self) -> dict[str, Any]:
        """The arguments that differ from their defaults."""
        return {
            name: getattr(self, name)
            for name in type(self).model_fields
            if getattr(self, name) != type(self).model_fields[name].default
        }


class Continued:
    """Mixed into an operator, makes it the layer that keeps what it was given before (`specdl/nn/continued.py`)."""

    def torch_module(self, *types: TensorType) -> Call | None:
        """The module with its memory, which has the weights of the operator's own."""
        call = super().torch_module(*types)  # type: ignore[misc]
        assert isinstance(call, Call)
        return replace(call, function=f"Continued{call.function.removeprefix('nn.').removeprefix('Packed')}")

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        """Nothing: only a module has a memory."""
        return None


def require_rank(x: TensorType, rank: int | tuple[int, ...], layout: str, *, help: str | None = None) -> None:
    """Guards the rank of an input; `layout` is how the field writes it, `[N, C, H, W]`."""
    ranks = (rank,) if isinstance(rank, int) else rank
    if x.rank not in ranks:
        raise TypeRuleError(f"expects {layout}, got {x}", help=help, input=0)


def require_floating(x: TensorType, *, help: str | None = None) -> None:
    """Guards that an input is floating point."""
    if not x.floating:
        raise TypeRuleError(f"expects floating-point numbers, got {x}", help=help, input=0)


def require_float32(x: TensorType) -> None:
    """Guards that an input has the dtype of the layer's weights."""
    if x.dtype != "float32":
        raise TypeRuleError(f"expects float32, as its weights are, got {x}", input=0)


def require_static(size: Dim, what: str) -> int:
    """The size as a number; weights can't depend on a size that is only known at run time."""
    if not isinstance(size, int):
        raise TypeRuleError(f"needs {what} when the spec is compiled, but that is `{size}`", input=0)
    return size


def divisor_help(number: int, wanted: int) -> str | None:
    """What divides a number, for a number of heads or groups that doesn't: those nearest to it."""
    if not 0 < number <= 10**6:  # what is larger would take long to divide
        return None
    divisors = [size for size in range(1, number + 1) if number % size == 0]
    near = sorted(sorted(divisors, key=lambda size: (abs(size - wanted), size))[:6])
    return f"{number} can be divided by {', '.join(map(str, near[:-1]))}{' and ' if near[1:] else ''}{near[-1]}"


ArrayFunction = Callable[[Any], Any]
