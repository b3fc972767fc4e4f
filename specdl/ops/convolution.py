"""Convolutions and transposed convolutions over one, two and three spatial axes."""

from collections.abc import Sequence
from math import gcd, prod
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import Field

from specdl.ir.dims import Dim, product
from specdl.ir.types import TensorType
from specdl.ops.arguments import (
    Offset1,
    Offset2,
    Offset3,
    Padding1,
    Padding2,
    Padding3,
    Size1,
    Size2,
    Size3,
    spread,
)
from specdl.ops.base import Call, Family, OnnxGraph, Op, TypeRuleError, Weight, require_float32, require_static
from specdl.ops.windows import (
    AXES,
    compact,
    keywords,
    require_nonempty,
    require_spatial,
    slide,
    small_print,
    times,
    window_reach,
)

Size = TypeVar("Size", bound=int | tuple[int, ...])
Padding = TypeVar("Padding", bound=int | tuple[int, ...] | Literal["same", "valid"])

_DOCS = "https://docs.pytorch.org/docs/stable/generated/torch.nn"

_ONE: Any = 1  # a default of every `Size`, which the type checker can't know
_ZERO: Any = 0

_ONNX_PAD_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class _Convolution(Op, Generic[Size, Padding]):
    """What convolutions of both directions share. `axes` is the number of spatial axes."""

    family: ClassVar[Family] = "convolution"
    main: ClassVar[str | None] = "out_channels"
    inferred: ClassVar[tuple[str, ...]] = ("in_channels",)
    axes: ClassVar[int]
    module: ClassVar[str]
    label: ClassVar[str]

    out_channels: int = Field(ge=1, description="Channels of the output.")
    kernel_size: Size = Field(description="Size of the window.")
    stride: Size = Field(default=_ONE, description="Step of the window.")
    padding: Padding = Field(default=_ZERO, description="What is added around the input, on both sides of each axis.")
    dilation: Size = Field(default=_ONE, description="Distance between the window's points.")
    groups: int = Field(
        default=1, ge=1, description="Groups of channels that don't mix; as many as channels: depthwise."
    )
    bias: bool = Field(default=True, description="Whether to add a learned bias.")

    def _channels(self, x: TensorType) -> int:
        """The input channels, once the input and `groups` are found to fit."""
        require_spatial(x, self.axes)
        require_float32(x)
        channels = require_static(x.shape[1], "the number of channels")
        for count, side in ((channels, "input"), (self.out_channels, "output")):
            if count % self.groups:
                common = gcd(channels, self.out_channels)
                raise TypeRuleError(
                    f"can't split the {count} {side} channels into {self.groups} groups",
                    help=f"`groups` must divide both {channels} and {self.out_channels}, so it must divide {common}",
                    argument="groups",
                    input=0,
                )
        return channels

    def _spread(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Kernel, stride and dilation for each axis."""
        count = self.axes
        return spread(self.kernel_size, count), spread(self.stride, count), spread(self.dilation, count)

    def _kernel_channels(self, channels: int) -> tuple[int, int]:
        """The first two axes of the weight."""
        raise NotImplementedError

    def weights(self, *types: TensorType) -> tuple[Weight, ...]:
        shape = (*self._kernel_channels(self._channels(types[0])), *spread(self.kernel_size, self.axes))
        weight = Weight("weight", shape)
        return (weight, Weight("bias", (self.out_channels,))) if self.bias else (weight,)

    def torch_module(self, *types: TensorType) -> Call | None:
        given = keywords(self, "out_channels")
        return Call(self.module, (types[0].shape[1], self.out_channels), given)

    def flops(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> Dim:
        x, y = inputs[0], outputs[0]
        positions = self._positions(x, y)
        channels = self._kernel_channels(require_static(x.shape[1], "the number of channels"))
        return 2 * x.shape[0] * product(positions) * prod(channels) * prod(spread(self.kernel_size, self.axes))

    def _positions(self, x: TensorType, y: TensorType) -> tuple[Dim, ...]:
        """The spatial sizes at which the whole kernel is applied."""
        raise NotImplementedError

    def title(self) -> str:
        kernel = times(spread(self.kernel_size, self.axes))
        return f"{self.label} {kernel}, {self.out_channels}"

    def details(self) -> str:
        given = self.given()
        return small_print(
            **{name: compact(given[name]) for name in ("stride", "dilation", "groups") if name in given},
        )


class _Forward(_Convolution[Size, Padding], Generic[Size, Padding]):
    """A convolution."""

    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = Field(
        default="zeros", description="What the padding holds."
    )

    def _pads(self) -> tuple[tuple[int, int], ...]:
        """The padding before and after each axis."""
        if self.padding == "valid":
            return ((0, 0),) * self.axes
        if isinstance(self.padding, str):
            kernel, _, dilation = self._spread()
            totals = [reach - 1 for reach in window_reach(kernel, dilation)]
            return tuple((total // 2, total - total // 2) for total in totals)
        return tuple((size, size) for size in spread(self.padding, self.axes))

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        self._channels(x)
        kernel, stride, dilation = self._spread()
        if self.padding == "same" and max(stride) > 1:
            raise TypeRuleError(
                f"`padding: same` would keep the size, but stride {times(stride)} changes it",
                help=f"give the padding as a number: {compact(tuple(size // 2 for size in kernel))} halves the size"
                if max(stride) == 2
                else "give the padding as a number",
                argument="padding",
            )
        pads = self._pads()
        for name, size, pad in zip(AXES[self.axes], x.shape[2:], pads, strict=True):
            self._check_padding_mode(name, size, max(pad))
        reach = window_reach(kernel, dilation)
        sizes = [
            slide(size, width, step, *pad)
            for size, width, step, pad in zip(x.shape[2:], reach, stride, pads, strict=True)
        ]
        require_nonempty(sizes, x, kernel, dilation, any(map(any, pads)))
        return (x.with_shape(x.shape[0], self.out_channels, *sizes),)

    def _check_padding_mode(self, name: str, size: Dim, pad: int) -> None:
        limit = {"reflect": size - 1, "circular": size}.get(self.padding_mode)
        if isinstance(limit, int) and pad > limit:
            raise TypeRuleError(
                f"can't pad a {name} of {size} by {pad}: `{self.padding_mode}` has only {limit} values to repeat",
                help="pad less, or use `padding_mode: replicate`",
                argument="padding",
            )

    def _kernel_channels(self, channels: int) -> tuple[int, int]:
        return self.out_channels, channels // self.groups

    def _positions(self, x: TensorType, y: TensorType) -> tuple[Dim, ...]:
        return y.shape[2:]

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        value = inputs[0]
        kernel, stride, dilation = self._spread()
        pads = self._pads()
        flat = [before for before, _ in pads] + [after for _, after in pads]
        if self.padding_mode != "zeros" and any(flat):
            sides = [0, 0, *flat[: self.axes], 0, 0, *flat[self.axes :]]
            (value,) = graph.node(
                "Pad", [value, graph.constant(sides, "int64")], mode=_ONNX_PAD_MODES[self.padding_mode]
            )
            flat = [0] * len(flat)
        operands = [value, graph.weight("weight"), *([graph.weight("bias")] if self.bias else [])]
        return graph.node(
            "Conv",
            operands,
            kernel_shape=list(kernel),
            strides=list(stride),
            dilations=list(dilation),
            pads=flat,
            group=self.groups,
        )


class _Transposed(_Convolution[Size, Padding], Generic[Size, Padding]):
    """A transposed convolution: `padding` is taken away from the output."""

    output_padding: Padding = Field(
        default=_ZERO, description="Added to one side of the output, to choose among the sizes that a stride allows."
    )

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        self._channels(x)
        kernel, stride, dilation = self._spread()
        padding, extra = self._paddings()
        for size, step, gap in zip(extra, stride, dilation, strict=True):
            if size >= max(step, gap):
                raise TypeRuleError(
                    f"output_padding {size} must be smaller than the stride {step} or the dilation {gap}",
                    argument="output_padding",
                )
        reach = window_reach(kernel, dilation)
        sizes: list[Dim] = [
            (size - 1) * step + width + more - 2 * pad
            for size, step, width, more, pad in zip(x.shape[2:], stride, reach, extra, padding, strict=True)
        ]
        for name, length in zip(AXES[self.axes], sizes, strict=True):
            if isinstance(length, int) and length < 1:
                raise TypeRuleError(
                    f"output would have {name} 0: the padding {times(padding)} takes all of it away",
                    help="here `padding` makes the output smaller; use less of it",
                    argument="padding",
                )
        return (x.with_shape(x.shape[0], self.out_channels, *sizes),)

    def _paddings(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """`padding` and `output_padding` for each axis."""
        assert not isinstance(self.padding, str)
        assert not isinstance(self.output_padding, str)
        return spread(self.padding, self.axes), spread(self.output_padding, self.axes)

    def _kernel_channels(self, channels: int) -> tuple[int, int]:
        return channels, self.out_channels // self.groups

    def _positions(self, x: TensorType, y: TensorType) -> tuple[Dim, ...]:
        return x.shape[2:]

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        kernel, stride, dilation = self._spread()
        padding, extra = self._paddings()
        operands = [inputs[0], graph.weight("weight"), *([graph.weight("bias")] if self.bias else [])]
        return graph.node(
            "ConvTranspose",
            operands,
            kernel_shape=list(kernel),
            strides=list(stride),
            dilations=list(dilation),
            pads=[*padding, *padding],
            output_padding=list(extra),
            group=self.groups,
        )


class Conv1d(_Forward[Size1, Padding1]):
    """A convolution over sequences: `[N, C, L] -> [N, out_channels, L']`."""

    operator: ClassVar[str] = "conv1d"
    axes: ClassVar[int] = 1
    module: ClassVar[str] = "nn.Conv1d"
    label: ClassVar[str] = "Conv1d"
    reference: ClassVar[str] = f"{_DOCS}.Conv1d.html"


class Conv2d(_Forward[Size2, Padding2]):
    """A convolution over images: `[N, C, H, W] -> [N, out_channels, H', W']`."""

    operator: ClassVar[str] = "conv2d"
    axes: ClassVar[int] = 2
    module: ClassVar[str] = "nn.Conv2d"
    label: ClassVar[str] = "Conv"
    reference: ClassVar[str] = f"{_DOCS}.Conv2d.html"


class Conv3d(_Forward[Size3, Padding3]):
    """A convolution over volumes: `[N, C, D, H, W] -> [N, out_channels, D', H', W']`."""

    operator: ClassVar[str] = "conv3d"
    axes: ClassVar[int] = 3
    module: ClassVar[str] = "nn.Conv3d"
    label: ClassVar[str] = "Conv"
    reference: ClassVar[str] = f"{_DOCS}.Conv3d.html"


class ConvTranspose1d(_Transposed[Size1, Offset1]):
    """A transposed convolution over sequences: `[N, C, L] -> [N, out_channels, L']`."""

    operator: ClassVar[str] = "conv_transpose1d"
    axes: ClassVar[int] = 1
    module: ClassVar[str] = "nn.ConvTranspose1d"
    label: ClassVar[str] = "Transposed conv1d"
    reference: ClassVar[str] = f"{_DOCS}.ConvTranspose1d.html"


class ConvTranspose2d(_Transposed[Size2, Offset2]):
    """A transposed convolution over images: `[N, C, H, W] -> [N, out_channels, H', W']`."""

    operator: ClassVar[str] = "conv_transpose2d"
    axes: ClassVar[int] = 2
    module: ClassVar[str] = "nn.ConvTranspose2d"
    label: ClassVar[str] = "Transposed conv"
    reference: ClassVar[str] = f"{_DOCS}.ConvTranspose2d.html"


class ConvTranspose3d(_Transposed[Size3, Offset3]):
    """A transposed convolution over volumes: `[N, C, D, H, W] -> [N, out_channels, D', H', W']`."""

    operator: ClassVar[str] = "conv_transpose3d"
    axes: ClassVar[int] = 3
    module: ClassVar[str] = "nn.ConvTranspose3d"
    label: ClassVar[str] = "Transposed conv"
    reference: ClassVar[str] = f"{_DOCS}.ConvTranspose3d.html"


OPS: tuple[type[Op], ...] = (Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
