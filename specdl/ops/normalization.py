"""Normalization: over the batch, over features, over groups of channels."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from specdl.ir.dims import Dim, SymDim, product
from specdl.ir.types import TensorType
from specdl.ops.base import (
    Call,
    Family,
    OnnxGraph,
    Op,
    TypeRuleError,
    Weight,
    divisor_help,
    require_float32,
    require_floating,
    require_rank,
    require_static,
)
from specdl.ops.windows import keywords

_DOCS = "https://docs.pytorch.org/docs/stable/generated/torch.nn"

_EPSILON = "Added to the variance, so that nothing is divided by zero."
_AFFINE = "Whether to scale and shift each channel by learned numbers."
_TRACKED = "Whether evaluation uses running statistics instead of the input's own."


def _scale(features: tuple[Dim, ...], weight: bool, bias: bool) -> tuple[Weight, ...]:
    shape = tuple(require_static(size, "the number of features") for size in features)
    return (*([Weight("weight", shape)] if weight else []), *([Weight("bias", shape)] if bias else []))


class _ChannelNorm(Op):
    """Normalization with statistics for each channel, which are axis 1."""

    family: ClassVar[Family] = "normalization"
    inferred: ClassVar[tuple[str, ...]] = ("num_features",)
    module: ClassVar[str]
    ranks: ClassVar[tuple[int, ...]]
    layout: ClassVar[str]

    eps: float = Field(default=1e-5, ge=0, description=_EPSILON)
    momentum: float | None = Field(
        default=0.1, description="Share of a new batch in the running statistics; null: all batches count alike."
    )

    affine: bool = Field(default=True, description=_AFFINE)
    track_running_stats: bool = Field(default=True, description=_TRACKED)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        require_rank(x, self.ranks, self.layout)
        require_floating(x)
        if self.affine or self.track_running_stats:
            require_float32(x)
        require_static(x.shape[1], "the number of channels")
        self._require_several(x)
        return (x,)

    def works_position_wise(self, types: Sequence[TensorType], length: SymDim) -> bool:
        return self.track_running_stats  # otherwise it takes the statistics of what it is given

    def _require_several(self, x: TensorType) -> None:
        """Guards that there is more than one value to take the mean and variance of."""
        raise NotImplementedError

    def weights(self, *types: TensorType) -> tuple[Weight, ...]:
        channels = require_static(types[0].shape[1], "the number of channels")
        running = (
            Weight("running_mean", (channels,), buffer=True),
            Weight("running_var", (channels,), buffer=True),
            Weight("num_batches_tracked", (), "int64", buffer=True),
        )
        return (*_scale((channels,), self.affine, self.affine), *(running if self.track_running_stats else ()))

    def torch_module(self, *types: TensorType) -> Call | None:
        return Call(self.module, (types[0].shape[1],), keywords(self))

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (x,) = types
        channels = require_static(x.shape[1], "the number of channels")
        if self.affine:
            scale, shift = graph.weight("weight"), graph.weight("bias")
        else:
            scale, shift = graph.constant([1.0] * channels, x.dtype), graph.constant([0.0] * channels, x.dtype)
        if self.track_running_stats:
            operands = [inputs[0], scale, shift, graph.weight("running_mean"), graph.weight("running_var")]
            return graph.node("BatchNormalization", operands, epsilon=self.eps)
        return self._onnx_untracked(graph, inputs[0], x, scale, shift)

    def _onnx_untracked(self, graph: OnnxGraph, value: str, x: TensorType, scale: str, shift: str) -> tuple[str, ...]:
        """Normalizes by the statistics of the input itself."""
        raise NotImplementedError


class _BatchNorm(_ChannelNorm):
    """Normalization of each channel over the batch, by running statistics in evaluation."""

    eps: float = Field(default=1e-5, gt=0, description=_EPSILON)

    def _require_several(self, x: TensorType) -> None:
        if x.shape[0] * product(x.shape[2:]) == 1:
            raise TypeRuleError(f"needs more than one value for each channel, got {x}", input=0)

    def _onnx_untracked(self, graph: OnnxGraph, value: str, x: TensorType, scale: str, shift: str) -> tuple[str, ...]:
        others = graph.constant([0, *range(2, x.rank)], "int64")
        (mean,) = graph.node("ReduceMean", [value, others])
        (centred,) = graph.node("Sub", [value, mean])
        (squared,) = graph.node("Mul", [centred, centred])
        (variance,) = graph.node("ReduceMean", [squared, others])
        (raised,) = graph.node("Add", [variance, graph.constant(self.eps, x.dtype)])
        (deviation,) = graph.node("Sqrt", [raised])
        (normalized,) = graph.node("Div", [centred, deviation])
        return _onnx_scaled(graph, normalized, x, scale, shift) if self.affine else (normalized,)

    def title(self) -> str:
        return "BatchNorm"


def _onnx_scaled(graph: OnnxGraph, value: str, x: TensorType, scale: str, shift: str) -> tuple[str, ...]:
    """Scales and shifts each channel."""
    column = [x.shape[1], *[1] * (x.rank - 2)]
    (scaled,) = graph.node("Mul", [value, graph.reshape(scale, column)])
    return graph.node("Add", [scaled, graph.reshape(shift, column)])


class BatchNorm1d(_BatchNorm):
    """Batch normalization of features or sequences: `[N, C]` or `[N, C, L]`."""

    operator: ClassVar[str] = "batch_norm1d"
    module: ClassVar[str] = "nn.BatchNorm1d"
    ranks: ClassVar[tuple[int, ...]] = (2, 3)
    layout: ClassVar[str] = "[N, C] or [N, C, L]"
    reference: ClassVar[str] = f"{_DOCS}.BatchNorm1d.html"


class BatchNorm2d(_BatchNorm):
    """Batch normalization of images: `[N, C, H, W]`."""

    operator: ClassVar[str] = "batch_norm2d"
    module: ClassVar[str] = "nn.BatchNorm2d"
    ranks: ClassVar[tuple[int, ...]] = (4,)
    layout: ClassVar[str] = "[N, C, H, W]"
    reference: ClassVar[str] = f"{_DOCS}.BatchNorm2d.html"


class BatchNorm3d(_BatchNorm):
    """Batch normalization of volumes: `[N, C, D, H, W]`."""

    operator: ClassVar[str] = "batch_norm3d"
    module: ClassVar[str] = "nn.BatchNorm3d"
    ranks: ClassVar[tuple[int, ...]] = (5,)
    layout: ClassVar[str] = "[N, C, D, H, W]"
    reference: ClassVar[str] = f"{_DOCS}.BatchNorm3d.html"


class _InstanceNorm(_ChannelNorm):
    """Normalization of each channel of each example over its spatial axes."""

    affine: bool = Field(default=False, description=_AFFINE)
    track_running_stats: bool = Field(default=False, description=_TRACKED)

    def _require_several(self, x: TensorType) -> None:
        if product(x.shape[2:]) == 1:
            raise TypeRuleError(f"needs more than one value for each channel of an example, got {x}", input=0)

    def _onnx_untracked(self, graph: OnnxGraph, value: str, x: TensorType, scale: str, shift: str) -> tuple[str, ...]:
        return graph.node("InstanceNormalization", [value, scale, shift], epsilon=self.eps)

    def title(self) -> str:
        return "InstanceNorm"


class InstanceNorm1d(_InstanceNorm):
    """Instance normalization of sequences: `[N, C, L]`."""

    operator: ClassVar[str] = "instance_norm1d"
    module: ClassVar[str] = "nn.InstanceNorm1d"
    ranks: ClassVar[tuple[int, ...]] = (3,)
    layout: ClassVar[str] = "[N, C, L]"
    reference: ClassVar[str] = f"{_DOCS}.InstanceNorm1d.html"


class InstanceNorm2d(_InstanceNorm):
    """Instance normalization of images: `[N, C, H, W]`."""

    operator: ClassVar[str] = "instance_norm2d"
    module: ClassVar[str] = "nn.InstanceNorm2d"
    ranks: ClassVar[tuple[int, ...]] = (4,)
    layout: ClassVar[str] = "[N, C, H, W]"
    reference: ClassVar[str] = f"{_DOCS}.InstanceNorm2d.html"


class GroupNorm(Op):
    """Normalization of each example over groups of channels: `[N, C, ...]`."""

    operator: ClassVar[str] = "group_norm"
    family: ClassVar[Family] = "normalization"
    main: ClassVar[str | None] = "num_groups"
    inferred: ClassVar[tuple[str, ...]] = ("num_channels",)
    reference: ClassVar[str] = f"{_DOCS}.GroupNorm.html"

    num_groups: int = Field(ge=1, description="Into how many groups the channels are split.")
    eps: float = Field(default=1e-5, ge=0, description=_EPSILON)
    affine: bool = Field(default=True, description=_AFFINE)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        if x.rank < 2:
            raise TypeRuleError(f"expects [N, C, ...], got {x}", input=0)
        require_floating(x)
        if self.affine:
            require_float32(x)
        channels = require_static(x.shape[1], "the number of channels")
        if channels % self.num_groups:
            raise TypeRuleError(
                f"can't split the {channels} channels into {self.num_groups} groups",
                help=divisor_help(channels, self.num_groups),
                argument="num_groups",
                input=0,
            )
        if x.shape[0] * (channels // self.num_groups) * product(x.shape[2:]) == 1:
            raise TypeRuleError(f"needs more than one value for each group, got {x}", input=0)
        return (x,)

    def weights(self, *types: TensorType) -> tuple[Weight, ...]:
        channels = require_static(types[0].shape[1], "the number of channels")
        return _scale((channels,), self.affine, self.affine)

    def torch_module(self, *types: TensorType) -> Call | None:
        channels = ("num_channels", types[0].shape[1])
        return Call("nn.GroupNorm", (self.num_groups,), (channels, *keywords(self, "num_groups")))

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        # InstanceNormalization over each group runs everywhere; GroupNormalization changed its meaning in opset 21.
        (x,) = types
        within = product(x.shape[1:]) // self.num_groups
        groups = graph.reshape(inputs[0], [x.shape[0], self.num_groups, within])
        ones = graph.constant([1.0] * self.num_groups, x.dtype)
        zeros = graph.constant([0.0] * self.num_groups, x.dtype)
        (normalized,) = graph.node("InstanceNormalization", [groups, ones, zeros], epsilon=self.eps)
        value = graph.reshape(normalized, x.shape)
        if not self.affine:
            return (value,)
        return _onnx_scaled(graph, value, x, graph.weight("weight"), graph.weight("bias"))

    def title(self) -> str:
        return f"GroupNorm {self.num_groups}"


def _shape(value: Any) -> tuple[int, ...]:
    items = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if not items or any(isinstance(item, bool) or not isinstance(item, int) or item < 1 for item in items):
        raise PydanticCustomError("shape", "expected the sizes of the last axes: integers of at least 1")
    return items


_SIZE: dict[str, Any] = {"type": "integer", "minimum": 1}
Shape = Annotated[
    tuple[int, ...],
    PlainValidator(_shape),
    WithJsonSchema({"anyOf": [_SIZE, {"type": "array", "items": _SIZE, "minItems": 1}]}),
]


_NORMALIZED = "Sizes of the last axes, which are normalized together; the last one alone by default."


def _normalized_shape(x: TensorType, wanted: tuple[int, ...] | None) -> tuple[Dim, ...]:
    """The sizes of the normalized axes."""
    return x.shape[-1:] if wanted is None else wanted


def _require_last_axes(x: TensorType, wanted: tuple[int, ...] | None) -> None:
    """Guards that an input ends in the normalized axes, and that they aren't the batch."""
    require_floating(x, help="put an `embedding` before it")
    if x.rank < 2:
        raise TypeRuleError(f"expects [N, ..., features], got {x}", input=0)
    if wanted is None:
        require_static(x.shape[-1], "the number of features")
    elif len(wanted) >= x.rank:
        message = f"normalizes {len(wanted)} axes besides the batch, got {x}"
        raise TypeRuleError(message, argument="normalized_shape")
    elif x.shape[-len(wanted) :] != wanted:
        raise TypeRuleError(
            f"normalizes inputs that end in {list(wanted)}, got {x}",
            help="leave `normalized_shape` out to normalize the last axis",
            argument="normalized_shape",
        )


class _LayerNorm(Op):
    """Normalization of each position over its features."""

    family: ClassVar[Family] = "normalization"
    position_wise: ClassVar[bool] = True
    inferred: ClassVar[tuple[str, ...]] = ("normalized_shape",)
    module: ClassVar[str]

    eps: float = Field(default=1e-5, ge=0, description=_EPSILON)
    elementwise_affine: bool = Field(default=True, description="Whether to scale (and shift) by learned numbers.")
    bias: bool = Field(default=True, description="Whether to shift by learned numbers.")

    def _features(self, x: TensorType) -> tuple[Dim, ...]:
        """The sizes of the normalized axes."""
        raise NotImplementedError

    def _guard(self, x: TensorType) -> None:
        """Refuses inputs of another shape. Raises `TypeRuleError`."""
        raise NotImplementedError

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        self._guard(x)
        if self.elementwise_affine:
            require_float32(x)
        return (x,)

    def weights(self, *types: TensorType) -> tuple[Weight, ...]:
        return _scale(self._features(types[0]), self.elementwise_affine, self.elementwise_affine and self.bias)

    def torch_module(self, *types: TensorType) -> Call | None:
        return Call(self.module, (_written(self._features(types[0])),), keywords(self, "normalized_shape"))

    def _onnx_normalized(self, graph: OnnxGraph, value: str, x: TensorType) -> tuple[str, ...]:
        """Normalizes the last axes of `value`."""
        features = self._features(x)
        if self.elementwise_affine:
            operands = [value, graph.weight("weight"), *([graph.weight("bias")] if self.bias else [])]
        else:
            operands = [value, graph.constant(_ones(features), x.dtype)]
        return graph.node("LayerNormalization", operands, axis=-len(features), epsilon=self.eps)


def _written(features: tuple[Dim, ...]) -> Any:
    """`64` for one axis, `(3, 64)` for more."""
    return features[0] if len(features) == 1 else features


def _ones(shape: tuple[Dim, ...]) -> Any:
    """Nested lists of ones."""
    return [_ones(shape[1:])] * require_static(shape[0], "the number of features") if shape else 1.0


class LayerNorm(_LayerNorm):
    """Normalization of each position over its features: `[N, ..., C]`."""

    operator: ClassVar[str] = "layer_norm"
    module: ClassVar[str] = "nn.LayerNorm"
    reference: ClassVar[str] = f"{_DOCS}.LayerNorm.html"

    normalized_shape: Shape | None = Field(default=None, description=_NORMALIZED)

    def _features(self, x: TensorType) -> tuple[Dim, ...]:
        return _normalized_shape(x, self.normalized_shape)

    def _guard(self, x: TensorType) -> None:
        _require_last_axes(x, self.normalized_shape)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return self._onnx_normalized(graph, inputs[0], types[0])

    def title(self) -> str:
        return "LayerNorm"


class LayerNorm2d(_LayerNorm):
    """Layer normalization over the channels of each pixel: `[N, C, H, W]`, as in torchvision's ConvNeXt."""

    operator: ClassVar[str] = "layer_norm2d"
    module: ClassVar[str] = "LayerNorm2d"
    reference: ClassVar[str] = "https://arxiv.org/abs/2201.03545"
    support: ClassVar[tuple[str, ...]] = ("layer_norm2d.LayerNorm2d",)

    def _features(self, x: TensorType) -> tuple[Dim, ...]:
        return x.shape[1:2]

    def _guard(self, x: TensorType) -> None:
        require_rank(x, 4, "[N, C, H, W]")
        require_floating(x)
        require_static(x.shape[1], "the number of channels")

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (channels_last,) = graph.node("Transpose", inputs, perm=[0, 2, 3, 1])
        normalized = self._onnx_normalized(graph, channels_last, types[0])
        return graph.node("Transpose", normalized, perm=[0, 3, 1, 2])

    def title(self) -> str:
        return "LayerNorm2d"


class RmsNorm(Op):
    """Division of each position's features by their root mean square: `[N, ..., C]`."""

    operator: ClassVar[str] = "rms_norm"
    family: ClassVar[Family] = "normalization"
    position_wise: ClassVar[bool] = True
    inferred: ClassVar[tuple[str, ...]] = ("normalized_shape",)
    reference: ClassVar[str] = f"{_DOCS}.RMSNorm.html"

    normalized_shape: Shape | None = Field(default=None, description=_NORMALIZED)
    eps: float | None = Field(
        default=None, ge=0, description="Added to the mean square; null: the dtype's own precision (`torch.finfo`)."
    )
    elementwise_affine: bool = Field(default=True, description="Whether to scale by learned numbers.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        _require_last_axes(x, self.normalized_shape)
        if self.elementwise_affine:
            require_float32(x)
        return (x,)

    def weights(self, *types: TensorType) -> tuple[Weight, ...]:
        return _scale(_normalized_shape(types[0], self.normalized_shape), self.elementwise_affine, False)

    def torch_module(self, *types: TensorType) -> Call | None:
        shape = _written(_normalized_shape(types[0], self.normalized_shape))
        return Call("nn.RMSNorm", (shape,), keywords(self, "normalized_shape"))

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (x,) = types
        features = _normalized_shape(x, self.normalized_shape)
        axes = graph.constant(list(range(-len(features), 0)), "int64")
        (squared,) = graph.node("Mul", [inputs[0], inputs[0]])
        (mean,) = graph.node("ReduceMean", [squared, axes])
        eps = _PRECISION[x.dtype] if self.eps is None else self.eps
        (raised,) = graph.node("Add", [mean, graph.constant(eps, x.dtype)])
        (root,) = graph.node("Sqrt", [raised])
        normalized = graph.node("Div", [inputs[0], root])
        return graph.node("Mul", [*normalized, graph.weight("weight")]) if self.elementwise_affine else normalized

    def title(self) -> str:
        return "RMSNorm"


_PRECISION: dict[str, float] = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}

OPS: tuple[type[Op], ...] = (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    GroupNorm,
    LayerNorm,
    LayerNorm2d,
    RmsNorm,
)
