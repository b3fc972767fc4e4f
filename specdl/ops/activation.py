"""Elementwise activations: the shape stays, the numbers bend. Softmax and GLU work along an axis."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from specdl.ir.dims import SymDim
from specdl.ir.types import TensorType
from specdl.ops.axes import Axis, resolve
from specdl.ops.base import Call, Family, OnnxGraph, Op, TypeRuleError, Weight, require_floating
from specdl.ops.text import expression, literal

_DOCS = "https://docs.pytorch.org/docs/stable/generated/torch.nn"


class _Activation(Op):
    """A function of one floating-point tensor; a subclass names its module, its function and its ONNX node."""

    family: ClassVar[Family] = "activation"
    position_wise: ClassVar[bool] = True
    module: ClassVar[str]
    function: ClassVar[str]
    onnx_op: ClassVar[str]

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        require_floating(types[0])
        return (types[0],)

    def written(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as a person writes them: the main one by position, defaults left out."""
        given = self.given()
        return (given.pop(self.main),) if self.main in given else (), given

    def torch_module(self, *types: TensorType) -> Call | None:
        arguments, keywords = self.written()
        return Call(f"nn.{self.module}", arguments, tuple(keywords.items()))

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        own, keywords = self.written()
        return expression(self.function, [*arguments, *map(literal, own)], **keywords)

    def onnx_attributes(self) -> dict[str, Any]:
        """The attributes of the ONNX node."""
        return {}

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node(self.onnx_op, inputs, **self.onnx_attributes())

    def title(self) -> str:
        given = self.given()
        return f"{self.module} {literal(given[self.main])}" if self.main in given else self.module


def _clip(graph: OnnxGraph, x: str, low: float, high: float, type: TensorType) -> tuple[str, ...]:
    return graph.node("Clip", [x, graph.constant(low, type.dtype), graph.constant(high, type.dtype)])


class Relu(_Activation):
    """max(0, x)."""

    operator: ClassVar[str] = "relu"
    module: ClassVar[str] = "ReLU"
    function: ClassVar[str] = "F.relu"
    onnx_op: ClassVar[str] = "Relu"
    reference: ClassVar[str] = f"{_DOCS}.ReLU.html"


class Relu6(_Activation):
    """min(max(0, x), 6)."""

    operator: ClassVar[str] = "relu6"
    module: ClassVar[str] = "ReLU6"
    function: ClassVar[str] = "F.relu6"
    reference: ClassVar[str] = f"{_DOCS}.ReLU6.html"

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return _clip(graph, inputs[0], 0.0, 6.0, types[0])


class LeakyRelu(_Activation):
    """x where it is positive, else `negative_slope` times x."""

    operator: ClassVar[str] = "leaky_relu"
    main: ClassVar[str | None] = "negative_slope"
    module: ClassVar[str] = "LeakyReLU"
    function: ClassVar[str] = "F.leaky_relu"
    onnx_op: ClassVar[str] = "LeakyRelu"
    reference: ClassVar[str] = f"{_DOCS}.LeakyReLU.html"

    negative_slope: float = Field(default=0.01, description="The slope below 0.")

    def onnx_attributes(self) -> dict[str, Any]:
        return {"alpha": self.negative_slope}


class Prelu(_Activation):
    """A leaky ReLU whose slope is learned: one for all, or one for each channel (axis 1)."""

    operator: ClassVar[str] = "prelu"
    main: ClassVar[str | None] = "num_parameters"
    module: ClassVar[str] = "PReLU"
    reference: ClassVar[str] = f"{_DOCS}.PReLU.html"

    num_parameters: int = Field(default=1, ge=1, description="1, or the number of channels.")
    init: float = Field(default=0.25, description="The slope to begin with.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        require_floating(x)
        channels = x.shape[1] if x.rank > 1 else 1
        if self.num_parameters not in (1, channels):
            raise TypeRuleError(
                f"has {self.num_parameters} slopes, but {x} has {channels} channels",
                argument="num_parameters",
                help=f"write `prelu` for one slope, or `prelu: {channels}`",
            )
        return (x,)

    def weights(self, *types: TensorType) -> tuple[Weight, ...]:
        return (Weight("weight", (self.num_parameters,)),)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return None

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        if self.num_parameters == 1:
            slope = graph.weight("weight")
        else:
            slope = graph.initializer("slope", graph.array("weight").reshape(-1, *[1] * (types[0].rank - 2)))
        return graph.node("PRelu", [inputs[0], slope])


class _Exponential(_Activation):
    """x where it is positive, else an exponential that levels off at -`alpha`."""

    main: ClassVar[str | None] = "alpha"

    alpha: float = Field(default=1.0, description="Where it levels off: at -alpha.")

    def onnx_attributes(self) -> dict[str, Any]:
        return {"alpha": self.alpha}


class Elu(_Exponential):
    """x where it is positive, else alpha · (exp(x) - 1)."""

    operator: ClassVar[str] = "elu"
    module: ClassVar[str] = "ELU"
    function: ClassVar[str] = "F.elu"
    onnx_op: ClassVar[str] = "Elu"
    reference: ClassVar[str] = f"{_DOCS}.ELU.html"


class Celu(_Exponential):
    """max(0, x) + min(0, alpha · (exp(x / alpha) - 1))."""

    operator: ClassVar[str] = "celu"
    module: ClassVar[str] = "CELU"
    function: ClassVar[str] = "F.celu"
    onnx_op: ClassVar[str] = "Celu"
    reference: ClassVar[str] = f"{_DOCS}.CELU.html"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        if self.alpha == 0:
            raise TypeRuleError("`alpha` can't be 0: it divides", argument="alpha")
        return super().infer(*types)


class Selu(_Activation):
    """The scaled ELU that keeps mean and variance (self-normalizing networks)."""

    operator: ClassVar[str] = "selu"
    module: ClassVar[str] = "SELU"
    function: ClassVar[str] = "F.selu"
    onnx_op: ClassVar[str] = "Selu"
    reference: ClassVar[str] = f"{_DOCS}.SELU.html"


class Gelu(_Activation):
    """x times the normal distribution's cumulative function, exactly or by a tanh."""

    operator: ClassVar[str] = "gelu"
    module: ClassVar[str] = "GELU"
    function: ClassVar[str] = "F.gelu"
    onnx_op: ClassVar[str] = "Gelu"
    reference: ClassVar[str] = f"{_DOCS}.GELU.html"

    approximate: Literal["none", "tanh"] = Field(default="none", description="`tanh` is the approximation of GPT-2.")

    def onnx_attributes(self) -> dict[str, Any]:
        return {"approximate": self.approximate}


class Silu(_Activation):
    """x · sigmoid(x), also known as swish."""

    operator: ClassVar[str] = "silu"
    module: ClassVar[str] = "SiLU"
    function: ClassVar[str] = "F.silu"
    reference: ClassVar[str] = f"{_DOCS}.SiLU.html"

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node("Mul", [inputs[0], *graph.node("Sigmoid", inputs)])


class Mish(_Activation):
    """x · tanh(softplus(x))."""

    operator: ClassVar[str] = "mish"
    module: ClassVar[str] = "Mish"
    function: ClassVar[str] = "F.mish"
    onnx_op: ClassVar[str] = "Mish"
    reference: ClassVar[str] = f"{_DOCS}.Mish.html"


class Sigmoid(_Activation):
    """1 / (1 + exp(-x))."""

    operator: ClassVar[str] = "sigmoid"
    module: ClassVar[str] = "Sigmoid"
    function: ClassVar[str] = "torch.sigmoid"
    onnx_op: ClassVar[str] = "Sigmoid"
    reference: ClassVar[str] = f"{_DOCS}.Sigmoid.html"


class Tanh(_Activation):
    """The hyperbolic tangent."""

    operator: ClassVar[str] = "tanh"
    module: ClassVar[str] = "Tanh"
    function: ClassVar[str] = "torch.tanh"
    onnx_op: ClassVar[str] = "Tanh"
    reference: ClassVar[str] = f"{_DOCS}.Tanh.html"


class Softplus(_Activation):
    """log(1 + exp(beta · x)) / beta: a smooth ReLU, linear where beta · x is above `threshold`."""

    operator: ClassVar[str] = "softplus"
    main: ClassVar[str | None] = "beta"
    module: ClassVar[str] = "Softplus"
    function: ClassVar[str] = "F.softplus"
    reference: ClassVar[str] = f"{_DOCS}.Softplus.html"

    beta: float = Field(default=1.0, description="How sharp the bend is.")
    threshold: float = Field(default=20.0, description="Where it becomes linear, for numerical stability.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        if self.beta == 0:
            raise TypeRuleError("`beta` can't be 0: it divides", argument="beta")
        return super().infer(*types)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        beta = graph.constant(self.beta, types[0].dtype)
        (scaled,) = (inputs[0],) if self.beta == 1 else graph.node("Mul", [inputs[0], beta])
        bent = graph.node("Softplus", [scaled])
        if self.beta != 1:
            bent = graph.node("Div", [*bent, beta])
        linear = graph.node("Greater", [scaled, graph.constant(self.threshold, types[0].dtype)])
        return graph.node("Where", [*linear, inputs[0], *bent])


class Hardsigmoid(_Activation):
    """A sigmoid of three straight pieces: relu6(x + 3) / 6."""

    operator: ClassVar[str] = "hardsigmoid"
    module: ClassVar[str] = "Hardsigmoid"
    function: ClassVar[str] = "F.hardsigmoid"
    onnx_op: ClassVar[str] = "HardSigmoid"
    reference: ClassVar[str] = f"{_DOCS}.Hardsigmoid.html"

    def onnx_attributes(self) -> dict[str, Any]:
        return {"alpha": 1 / 6, "beta": 0.5}


class Hardswish(_Activation):
    """x · hardsigmoid(x), as in MobileNetV3."""

    operator: ClassVar[str] = "hardswish"
    module: ClassVar[str] = "Hardswish"
    function: ClassVar[str] = "F.hardswish"
    onnx_op: ClassVar[str] = "HardSwish"
    reference: ClassVar[str] = f"{_DOCS}.Hardswish.html"


class Hardtanh(_Activation):
    """x, kept between `min_val` and `max_val`."""

    operator: ClassVar[str] = "hardtanh"
    module: ClassVar[str] = "Hardtanh"
    function: ClassVar[str] = "F.hardtanh"
    reference: ClassVar[str] = f"{_DOCS}.Hardtanh.html"

    min_val: float = Field(default=-1.0, description="The lowest value.")
    max_val: float = Field(default=1.0, description="The highest value.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        if self.min_val >= self.max_val:
            raise TypeRuleError(f"`min_val` {self.min_val} must be below `max_val` {self.max_val}", argument="min_val")
        return super().infer(*types)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return _clip(graph, inputs[0], self.min_val, self.max_val, types[0])


class _AlongAxis(_Activation):
    """An activation that compares the elements of one axis; PyTorch wants `dim` said."""

    main: ClassVar[str | None] = "dim"

    dim: Axis = Field(default=-1, description="The axis that it works along; the batch is 0.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        resolve(self.dim, types[0].rank, shape=types[0])
        return super().infer(*types)

    def works_position_wise(self, types: Sequence[TensorType], length: SymDim) -> bool:
        return types[0].shape[resolve(self.dim, types[0].rank)] != length

    def written(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (), {"dim": self.dim}

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node(self.onnx_op, inputs, axis=resolve(self.dim, types[0].rank))


class Softmax(_AlongAxis):
    """exp(x), divided by its sum along `dim`."""

    operator: ClassVar[str] = "softmax"
    module: ClassVar[str] = "Softmax"
    function: ClassVar[str] = "F.softmax"
    onnx_op: ClassVar[str] = "Softmax"
    reference: ClassVar[str] = f"{_DOCS}.Softmax.html"


class LogSoftmax(_AlongAxis):
    """The logarithm of the softmax, without overflow."""

    operator: ClassVar[str] = "log_softmax"
    module: ClassVar[str] = "LogSoftmax"
    function: ClassVar[str] = "F.log_softmax"
    onnx_op: ClassVar[str] = "LogSoftmax"
    reference: ClassVar[str] = f"{_DOCS}.LogSoftmax.html"


class Glu(_AlongAxis):
    """The first half of the axis times the sigmoid of the second: the axis halves."""

    operator: ClassVar[str] = "glu"
    module: ClassVar[str] = "GLU"
    function: ClassVar[str] = "F.glu"
    reference: ClassVar[str] = f"{_DOCS}.GLU.html"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = super().infer(*types)
        if not x.rank:
            raise TypeRuleError("a single number has no halves", input=0)
        axis = resolve(self.dim, x.rank)
        half = x.shape[axis] // 2
        if 2 * half != x.shape[axis]:
            raise TypeRuleError(f"needs an even size at axis {self.dim}, got {x.shape[axis]} in {x}", argument="dim")
        return (x.with_shape(*x.shape[:axis], half, *x.shape[axis + 1 :]),)

    def written(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (), self.given()

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        axis = resolve(self.dim, types[0].rank)
        value, gate = graph.node("Split", inputs, outputs=2, axis=axis, num_outputs=2)
        return graph.node("Mul", [value, *graph.node("Sigmoid", [gate])])


class _GatedFirst(Glu):
    """Base: a function of the first half of the axis times the second half."""

    gate: ClassVar[type[_Activation]]
    reference: ClassVar[str] = "https://arxiv.org/abs/2002.05202"

    def torch_module(self, *types: TensorType) -> Call | None:
        return Call(self.module, (), tuple(self.given().items()))

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return None  # x would stand there twice

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        axis = resolve(self.dim, types[0].rank)
        gate, value = graph.node("Split", inputs, outputs=2, axis=axis, num_outputs=2)
        half = self.infer(*types)
        function = self.gate(**{name: value for name, value in self.given().items() if name != "dim"})
        return graph.node("Mul", [value, *function.onnx(graph, [gate], half)])


class Swiglu(_GatedFirst):
    """silu(first half of the axis) times the second half: the axis halves. LLaMA's gate, of one layer's output.

    `glu` gates by the second half, as PyTorch does; this one by the first, as fused checkpoints do.
    """

    operator: ClassVar[str] = "swiglu"
    module: ClassVar[str] = "SwiGLU"
    gate: ClassVar[type[_Activation]] = Silu
    support: ClassVar[tuple[str, ...]] = ("gated.SwiGLU",)


class Geglu(_GatedFirst):
    """gelu(first half of the axis) times the second half: the axis halves.

    `glu` gates by the second half, as PyTorch does; this one by the first, as fused checkpoints do.
    """

    operator: ClassVar[str] = "geglu"
    module: ClassVar[str] = "GEGLU"
    gate: ClassVar[type[_Activation]] = Gelu
    support: ClassVar[tuple[str, ...]] = ("gated.GEGLU",)

    approximate: Literal["none", "tanh"] = Field(default="none", description="`tanh` for GPT-2's approximation.")


OPS: tuple[type[Op], ...] = (
    Relu,
    Relu6,
    LeakyRelu,
    Prelu,
    Elu,
    Celu,
    Selu,
    Gelu,
    Silu,
    Mish,
    Sigmoid,
    Tanh,
    Softplus,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    Softmax,
    LogSoftmax,
    Glu,
    Swiglu,
    Geglu,
)
