"""What convolutions, pooling and upsampling share: spatial axes, windows that slide over them, and their words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from specdl.ir.dims import Dim
from specdl.ir.types import TensorType
from specdl.ops.base import Op, TypeRuleError, require_floating, require_rank

LAYOUTS: dict[int, str] = {1: "[N, C, L]", 2: "[N, C, H, W]", 3: "[N, C, D, H, W]"}
"""How the field writes an input with so many spatial axes."""

AXES: dict[int, tuple[str, ...]] = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""What the spatial axes are called."""


def require_spatial(x: TensorType, axes: int) -> None:
    """Guards a floating-point `[N, C, ...]` with so many spatial axes."""
    missing = axes + 2 - x.rank
    unbatched = "; is the batch axis missing?" if missing == 1 else None
    require_rank(x, axes + 2, LAYOUTS[axes], help=unbatched)
    require_floating(x)


def window_reach(kernel: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """How far a dilated window reaches along each axis."""
    return tuple(step * (size - 1) + 1 for size, step in zip(kernel, dilation, strict=True))


def slide(size: Dim, reach: int, stride: int, before: int, after: int) -> Dim:
    """How many windows fit along an axis that is padded on both sides."""
    return (size + (before + after - reach)) // stride + 1


def slide_ceil(size: Dim, reach: int, stride: int, padding: int) -> Dim:
    """The same with `ceil_mode`: a last window may leave the padded axis, but must begin inside of it.

    Rounding up gives `(size + 2 * padding - reach + stride - 1) // stride + 1` windows; a window begins inside
    if there are at most `(size + padding - 1) // stride + 1` of them. The smaller numerator decides, which
    needs no knowledge of `size`.
    """
    return (size + (padding - 1) + min(0, padding + stride - reach)) // stride + 1


def require_nonempty(
    sizes: Sequence[Dim], x: TensorType, kernel: Sequence[int], dilation: Sequence[int], padded: bool
) -> None:
    """Guards that at least one window fits along each axis."""
    for axis, (name, size) in enumerate(zip(AXES[len(sizes)], sizes, strict=True), x.rank - len(sizes)):
        if isinstance(size, int) and size < 1:
            reach = window_reach(kernel, dilation)
            dilated = f" (dilated to {times(reach)})" if reach != tuple(kernel) else ""
            raise TypeRuleError(
                f"output would have {name} 0: the {times(kernel)} window{dilated} is larger than"
                f" the {times(x.shape[2:])} input{', even padded' if padded else ''}",
                help="the channels come first: [C, H, W]"
                if len(x.shape) == 4 and x.shape[-1] in (1, 3, 4) and x.shape[1] == x.shape[2]
                else "make the window smaller, add padding, or stride less in the layers before",
                input=0,
                axis=axis,
            )


def times(sizes: Sequence[Any]) -> str:
    """`3×3`."""
    return "×".join(map(str, sizes))


def compact(value: Any) -> Any:
    """An argument as a person writes it: one number where all axes have the same."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


def keywords(op: Op, *left_out: str) -> tuple[tuple[str, Any], ...]:
    """The arguments that differ from PyTorch's defaults, as keywords."""
    return tuple((name, compact(value)) for name, value in op.given().items() if name not in left_out)


def small_print(**values: Any) -> str:
    """`stride 2 · groups 64`: the values that aren't None, with their names."""
    return " · ".join(
        f"{name.replace('_', ' ')} {times(value) if isinstance(value, tuple) else value}"
        for name, value in values.items()
        if value is not None
    )
