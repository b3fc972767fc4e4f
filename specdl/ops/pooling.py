"""Pooling: windows that slide over the spatial axes, or that adapt to a wanted output size."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import Field

from specdl.ir.dims import Dim
from specdl.ir.types import TensorType
from specdl.ops.arguments import (
    Offset1,
    Offset2,
    Offset3,
    Size1,
    Size2,
    Size3,
    Target2,
    Target3,
    spread,
)
from specdl.ops.base import Call, Family, OnnxGraph, Op, TypeRuleError
from specdl.ops.text import expression, literal
from specdl.ops.windows import (
    compact,
    keywords,
    require_nonempty,
    require_spatial,
    slide,
    slide_ceil,
    small_print,
    times,
    window_reach,
)

Size = TypeVar("Size", bound=int | tuple[int, ...])
Offset = TypeVar("Offset", bound=int | tuple[int, ...])
Target = TypeVar("Target", bound=int | tuple[int | None, ...])

_DOCS = "https://docs.pytorch.org/docs/stable/generated/torch.nn"

_ONE: Any = 1  # a default of every `Size`, which the type checker can't know
_ZERO: Any = 0


class _Pool(Op):
    """What all pooling shares: no weights, one module and one function of the same arguments."""

    family: ClassVar[Family] = "pooling"
    axes: ClassVar[int]
    module: ClassVar[str]

    def _arguments(self) -> tuple[tuple[str, Any], ...]:
        """The arguments as written, the first of them by order."""
        raise NotImplementedError

    def torch_module(self, *types: TensorType) -> Call | None:
        (_, first), *rest = self._arguments()
        return Call(self.module, (first,), tuple(rest))

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        (_, first), *rest = self._arguments()
        return expression(f"F.{self.operator}", [arguments[0], literal(first)], **dict(rest))


class _Window(_Pool, Generic[Size, Offset]):
    """Pooling by a window of fixed size."""

    main: ClassVar[str | None] = "kernel_size"
    label: ClassVar[str]

    kernel_size: Size = Field(description="Size of the window.")
    stride: Size | None = Field(default=None, description="Step of the window; its size by default.")
    padding: Offset = Field(
        default=_ZERO, description="What is added around the input, on both sides of each axis: at most half a window."
    )
    ceil_mode: bool = Field(
        default=False, description="Whether a last window may reach beyond the input, so that nothing is left over."
    )

    def _kernel(self) -> tuple[int, ...]:
        return spread(self.kernel_size, self.axes)

    def _stride(self) -> tuple[int, ...]:
        return self._kernel() if self.stride is None else spread(self.stride, self.axes)

    def _padding(self) -> tuple[int, ...]:
        return spread(self.padding, self.axes)

    def _dilation(self) -> tuple[int, ...]:
        return (1,) * self.axes

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        require_spatial(x, self.axes)
        kernel, stride, padding = self._kernel(), self._stride(), self._padding()
        for pad, size in zip(padding, kernel, strict=True):
            if pad > size // 2:
                raise TypeRuleError(
                    f"can't pad by {pad}: a {times(kernel)} window takes at most half of its size, {size // 2}",
                    argument="padding",
                )
        sizes = [
            slide_ceil(size, reach, step, pad) if self.ceil_mode else slide(size, reach, step, pad, pad)
            for size, reach, step, pad in zip(
                x.shape[2:], window_reach(kernel, self._dilation()), stride, padding, strict=True
            )
        ]
        require_nonempty(sizes, x, kernel, self._dilation(), any(padding))
        return (x.with_shape(*x.shape[:2], *sizes),)

    def _arguments(self) -> tuple[tuple[str, Any], ...]:
        own_size = self.stride is not None and self._stride() == self._kernel()
        return keywords(self, "stride") if own_size else keywords(self)

    def _onnx_window(self) -> dict[str, Any]:
        return {
            "kernel_shape": list(self._kernel()),
            "strides": list(self._stride()),
            "pads": [*self._padding(), *self._padding()],
            "ceil_mode": int(self.ceil_mode),
        }

    def title(self) -> str:
        return f"{self.label} {times(self._kernel())}"

    def details(self) -> str:
        stride = None if self._stride() == self._kernel() else compact(self._stride())
        return small_print(stride=stride)


class _MaxPool(_Window[Size, Offset], Generic[Size, Offset]):
    """The largest number in each window."""

    dilation: Size = Field(default=_ONE, description="Distance between the window's points.")

    def _dilation(self) -> tuple[int, ...]:
        return spread(self.dilation, self.axes)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node("MaxPool", inputs, dilations=list(self._dilation()), **self._onnx_window())


class MaxPool1d(_MaxPool[Size1, Offset1]):
    """The largest number in each window: `[N, C, L] -> [N, C, L']`."""

    operator: ClassVar[str] = "max_pool1d"
    axes: ClassVar[int] = 1
    module: ClassVar[str] = "nn.MaxPool1d"
    label: ClassVar[str] = "MaxPool1d"
    reference: ClassVar[str] = f"{_DOCS}.MaxPool1d.html"


class MaxPool2d(_MaxPool[Size2, Offset2]):
    """The largest number in each window: `[N, C, H, W] -> [N, C, H', W']`."""

    operator: ClassVar[str] = "max_pool2d"
    axes: ClassVar[int] = 2
    module: ClassVar[str] = "nn.MaxPool2d"
    label: ClassVar[str] = "MaxPool"
    reference: ClassVar[str] = f"{_DOCS}.MaxPool2d.html"


class MaxPool3d(_MaxPool[Size3, Offset3]):
    """The largest number in each window: `[N, C, D, H, W] -> [N, C, D', H', W']`."""

    operator: ClassVar[str] = "max_pool3d"
    axes: ClassVar[int] = 3
    module: ClassVar[str] = "nn.MaxPool3d"
    label: ClassVar[str] = "MaxPool"
    reference: ClassVar[str] = f"{_DOCS}.MaxPool3d.html"


class _AvgPool(_Window[Size, Offset], Generic[Size, Offset]):
    """The mean of each window."""

    count_include_pad: bool = Field(default=True, description="Whether the mean counts the zeros of the padding.")

    def _divisor(self) -> int | None:
        """What sums are divided by instead of the window's size."""
        return None

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        divisor = self._divisor()
        if divisor is None:
            return graph.node(
                "AveragePool", inputs, count_include_pad=int(self.count_include_pad), **self._onnx_window()
            )
        # Zeros are added up to where the last window ends, so that each mean is a sum over a whole window.
        (y,) = self.infer(*types)
        kernel, stride, padding = self._kernel(), self._stride(), self._padding()
        after = [
            (count - 1) * step + width - size - pad
            for count, step, width, size, pad in zip(
                y.shape[2:], stride, kernel, types[0].shape[2:], padding, strict=True
            )
        ]
        (padded,) = graph.node("Pad", [inputs[0], graph.shape([0, 0, *padding, 0, 0, *after])])
        (mean,) = graph.node("AveragePool", [padded], kernel_shape=list(kernel), strides=list(stride))
        return graph.node("Mul", [mean, graph.constant(prod(kernel) / divisor, types[0].dtype)])


class AvgPool1d(_AvgPool[Size1, Offset1]):
    """The mean of each window: `[N, C, L] -> [N, C, L']`."""

    operator: ClassVar[str] = "avg_pool1d"
    axes: ClassVar[int] = 1
    module: ClassVar[str] = "nn.AvgPool1d"
    label: ClassVar[str] = "AvgPool1d"
    reference: ClassVar[str] = f"{_DOCS}.AvgPool1d.html"


class _DivisorAvgPool(_AvgPool[Size, Offset], Generic[Size, Offset]):
    """The mean of each window, or its sum over a given number."""

    divisor_override: int | None = Field(
        default=None, ge=1, description="What sums are divided by instead of the window's size."
    )

    def _divisor(self) -> int | None:
        return self.divisor_override


class AvgPool2d(_DivisorAvgPool[Size2, Offset2]):
    """The mean of each window: `[N, C, H, W] -> [N, C, H', W']`."""

    operator: ClassVar[str] = "avg_pool2d"
    axes: ClassVar[int] = 2
    module: ClassVar[str] = "nn.AvgPool2d"
    label: ClassVar[str] = "AvgPool"
    reference: ClassVar[str] = f"{_DOCS}.AvgPool2d.html"


class AvgPool3d(_DivisorAvgPool[Size3, Offset3]):
    """The mean of each window: `[N, C, D, H, W] -> [N, C, D', H', W']`."""

    operator: ClassVar[str] = "avg_pool3d"
    axes: ClassVar[int] = 3
    module: ClassVar[str] = "nn.AvgPool3d"
    label: ClassVar[str] = "AvgPool"
    reference: ClassVar[str] = f"{_DOCS}.AvgPool3d.html"


class _AdaptivePool(_Pool, Generic[Target]):
    """Pooling to a wanted size: output `i` of `n` sees the inputs from `i * L // n` to `ceil((i + 1) * L / n)`."""

    main: ClassVar[str | None] = "output_size"
    onnx_pool: ClassVar[str]
    label: ClassVar[str]

    output_size: Target = Field(description="Size of the output; in a list, null keeps the input's.")

    def _targets(self, x: TensorType) -> tuple[Dim, ...]:
        wanted = self.output_size if isinstance(self.output_size, tuple) else (self.output_size,) * self.axes
        return tuple(old if new is None else new for old, new in zip(x.shape[2:], wanted, strict=True))

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        require_spatial(x, self.axes)
        return (x.with_shape(*x.shape[:2], *self._targets(x)),)

    def _arguments(self) -> tuple[tuple[str, Any], ...]:
        kept = isinstance(self.output_size, tuple) and None in self.output_size
        return (("output_size", self.output_size if kept else compact(self.output_size)),)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (x,) = types
        targets = self._targets(x)
        if all(target == 1 for target in targets):
            return graph.node(f"Global{self.onnx_pool}", inputs)
        # A box is pooled axis by axis: all axes that split evenly in one go, each other one by its windows.
        pairs = list(zip(x.shape[2:], targets, strict=True))
        widths = [_even_width(size, target) for size, target in pairs]
        value = inputs[0]
        if any(width is None or width > 1 for width in widths):
            kernel = [width or 1 for width in widths]
            if max(kernel) > 1:
                (value,) = graph.node(self.onnx_pool, [value], kernel_shape=kernel, strides=kernel)
            for axis, (width, (size, target)) in enumerate(zip(widths, pairs, strict=True), start=2):
                if width is None:
                    value = self._onnx_axis(graph, value, x, axis, size, target)
            return (value,)
        return graph.node("Identity", inputs)

    def _onnx_axis(self, graph: OnnxGraph, value: str, x: TensorType, axis: int, size: Dim, target: Dim) -> str:
        """Pools one axis by gathering its windows, each as long as the longest, and reducing them."""
        one = graph.constant(1, "int64")
        starts, ends = _window_bounds(graph, size, target)
        (lengths,) = graph.node("Sub", [ends, starts])
        (longest,) = graph.node("ReduceMax", [lengths], keepdims=0)
        (offsets,) = graph.node("Range", [graph.constant(0, "int64"), longest, one])
        column = graph.constant([1], "int64")
        starts, ends, lengths = (graph.node("Unsqueeze", [row, column])[0] for row in (starts, ends, lengths))
        (positions,) = graph.node("Add", [starts, offsets])
        (last,) = graph.node("Sub", [ends, one])
        (inside,) = graph.node("Min", [positions, last])
        (windows,) = graph.node("Gather", [value, inside], axis=axis)
        (valid,) = graph.node("LessOrEqual", [positions, last])
        return self._onnx_reduce(graph, windows, valid, lengths, x, axis)

    def _onnx_reduce(self, graph: OnnxGraph, windows: str, valid: str, lengths: str, x: TensorType, axis: int) -> str:
        """Reduces the axis after `axis`; `valid` says which of a window's places (`[target, longest]`) count."""
        raise NotImplementedError

    def title(self) -> str:
        wanted = self.output_size if isinstance(self.output_size, tuple) else (self.output_size,) * self.axes
        if all(size == 1 for size in wanted):
            return f"Global{self.label}"
        return f"Adaptive{self.label} {times(['same' if size is None else size for size in wanted])}"


def _even_width(size: Dim, target: Dim) -> int | None:
    """The length of all windows where they are equally long and don't overlap."""
    if size == target:
        return 1
    if isinstance(size, int) and isinstance(target, int) and size % target == 0:
        return size // target
    return None


def _window_bounds(graph: OnnxGraph, size: Dim, target: Dim) -> tuple[str, str]:
    """Where each of `target` windows over an axis begins and ends: two int64 vectors."""
    zero, one = graph.constant(0, "int64"), graph.constant(1, "int64")
    length, count = (graph.node("Squeeze", [graph.dim(dim)])[0] for dim in (size, target))
    (index,) = graph.node("Range", [zero, count, one])
    (scaled,) = graph.node("Mul", [index, length])
    (starts,) = graph.node("Div", [scaled, count])
    (following,) = graph.node("Add", [scaled, length])
    (less,) = graph.node("Sub", [count, one])
    (raised,) = graph.node("Add", [following, less])
    (ends,) = graph.node("Div", [raised, count])
    return starts, ends


class _AdaptiveAvgPool(_AdaptivePool[Target], Generic[Target]):
    """The mean of each window."""

    onnx_pool: ClassVar[str] = "AveragePool"
    label: ClassVar[str] = "AvgPool"

    def _onnx_reduce(self, graph: OnnxGraph, windows: str, valid: str, lengths: str, x: TensorType, axis: int) -> str:
        counted, total = graph.cast(valid, x.dtype), graph.cast(lengths, x.dtype)
        (shares,) = graph.node("Div", [counted, total])
        after = list(range(2, 2 + x.rank - axis - 1))
        if after:
            (shares,) = graph.node("Unsqueeze", [shares, graph.constant(after, "int64")])
        (weighted,) = graph.node("Mul", [windows, shares])
        return graph.node("ReduceSum", [weighted, graph.constant([axis + 1], "int64")], keepdims=0)[0]


class _AdaptiveMaxPool(_AdaptivePool[Target], Generic[Target]):
    """The largest number in each window."""

    onnx_pool: ClassVar[str] = "MaxPool"
    label: ClassVar[str] = "MaxPool"

    def _onnx_reduce(self, graph: OnnxGraph, windows: str, valid: str, lengths: str, x: TensorType, axis: int) -> str:
        # A place beyond the end repeats the window's last number, which doesn't change the maximum.
        return graph.node("ReduceMax", [windows, graph.constant([axis + 1], "int64")], keepdims=0)[0]


class AdaptiveAvgPool1d(_AdaptiveAvgPool[Size1]):
    """The mean of each of `output_size` windows that cover `[N, C, L]`."""

    operator: ClassVar[str] = "adaptive_avg_pool1d"
    axes: ClassVar[int] = 1
    module: ClassVar[str] = "nn.AdaptiveAvgPool1d"
    reference: ClassVar[str] = f"{_DOCS}.AdaptiveAvgPool1d.html"


class AdaptiveAvgPool2d(_AdaptiveAvgPool[Target2]):
    """The mean of each of `output_size` windows that cover `[N, C, H, W]`."""

    operator: ClassVar[str] = "adaptive_avg_pool2d"
    axes: ClassVar[int] = 2
    module: ClassVar[str] = "nn.AdaptiveAvgPool2d"
    reference: ClassVar[str] = f"{_DOCS}.AdaptiveAvgPool2d.html"


class AdaptiveAvgPool3d(_AdaptiveAvgPool[Target3]):
    """The mean of each of `output_size` windows that cover `[N, C, D, H, W]`."""

    operator: ClassVar[str] = "adaptive_avg_pool3d"
    axes: ClassVar[int] = 3
    module: ClassVar[str] = "nn.AdaptiveAvgPool3d"
    reference: ClassVar[str] = f"{_DOCS}.AdaptiveAvgPool3d.html"


class AdaptiveMaxPool1d(_AdaptiveMaxPool[Size1]):
    """The largest number in each of `output_size` windows that cover `[N, C, L]`."""

    operator: ClassVar[str] = "adaptive_max_pool1d"
    axes: ClassVar[int] = 1
    module: ClassVar[str] = "nn.AdaptiveMaxPool1d"
    reference: ClassVar[str] = f"{_DOCS}.AdaptiveMaxPool1d.html"


class AdaptiveMaxPool2d(_AdaptiveMaxPool[Target2]):
    """The largest number in each of `output_size` windows that cover `[N, C, H, W]`."""

    operator: ClassVar[str] = "adaptive_max_pool2d"
    axes: ClassVar[int] = 2
    module: ClassVar[str] = "nn.AdaptiveMaxPool2d"
    reference: ClassVar[str] = f"{_DOCS}.AdaptiveMaxPool2d.html"


class AdaptiveMaxPool3d(_AdaptiveMaxPool[Target3]):
    """The largest number in each of `output_size` windows that cover `[N, C, D, H, W]`."""

    operator: ClassVar[str] = "adaptive_max_pool3d"
    axes: ClassVar[int] = 3
    module: ClassVar[str] = "nn.AdaptiveMaxPool3d"
    reference: ClassVar[str] = f"{_DOCS}.AdaptiveMaxPool3d.html"


OPS: tuple[type[Op], ...] = (
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
)
