"""`sizes:`: the bounds of sizes that are only known at run time, and what they rule out when the spec is compiled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from specdl.diagnostics import Diagnostics, did_you_mean
from specdl.elaborate.drafts import Ref, maker
from specdl.ir.dims import Dim, SymDim, corners, evaluate, extent
from specdl.ir.types import TensorType
from specdl.ops.base import Op, TypeRuleError
from specdl.source import SpanTree
from specdl.spec.validate import show

Bounds = Mapping[str, tuple[int | None, int | None]]
"""The smallest and the largest value of each size that is declared."""

_KEYS = ("min", "max")
_LEAST = {"convolution": 1, "pooling": 1, "upsampling": 1}
"""The smallest size that the operators of a family can give; others may give none at all, as a slice does."""

MAX_TRIED = 4_096
"""How far the smallest size that would do is searched."""


def read_sizes(values: Mapping[str, Any], spans: SpanTree, diagnostics: Diagnostics) -> Bounds:
    """The bounds under `sizes`, their expressions evaluated. Mistakes are recorded."""
    found: dict[str, tuple[int | None, int | None]] = {}
    for name, value in values.items():
        place = spans.child(name)
        help = f"e.g. `{name}: {{min: 1, max: 512}}`"
        if not isinstance(value, Mapping) or not value:
            diagnostics.add("E0174", f"the size `{name}` has bounds, got {show(value)}", place.span, help=help)
            continue
        bounds: dict[str, int] = {}
        for key, bound in value.items():
            if key not in _KEYS:
                help = did_you_mean(str(key), _KEYS) or "it has `min` and `max`"
                diagnostics.add("E0174", f"a size has no `{key}`", place.key(key), help=help)
            elif isinstance(bound, bool) or not isinstance(bound, int) or bound < 1:
                message = f"`{key}` of the size `{name}` is a whole number from 1, got {show(bound)}"
                diagnostics.add("E0174", message, place.at(key))
            else:
                bounds[key] = bound
        low, high = bounds.get("min"), bounds.get("max")
        if low is not None and high is not None and low > high:
            diagnostics.add("E0174", f"the size `{name}` is at least {low} and at most {high}", place.span)
            continue
        if bounds:
            found[name] = 1 if low is None else low, high
    return found


def check_sizes(op: Op, inputs: Sequence[Ref | None], outputs: Sequence[TensorType]) -> None:
    """Raises `TypeRuleError` where an operator can't work with a size that the bounds allow."""
    least = _LEAST.get(op.family, 0)
    for type in outputs:
        for dim in type.shape:
            for sizes in corners(dim):
                size = evaluate(dim, sizes)
                if isinstance(size, int) and size < least:
                    raise _too_small(op, dim, sizes, size, least)
    if op.operator == "embedding":
        _check_positions(op, inputs)


def _too_small(op: Op, dim: Dim, sizes: Mapping[str, Dim], size: int, least: int) -> TypeRuleError:
    where = " and ".join(f"`{name}` is {value}" for name, value in sizes.items())
    help = None
    if len(sizes) == 1:
        ((name, low),) = sizes.items()
        tried = range(int(str(low)) + 1, MAX_TRIED)
        enough = next((item for item in tried if _at_least(evaluate(dim, {name: item}), least)), None)
        help = None if enough is None else f"say that it is larger: `sizes: {{{name}: {{min: {enough}}}}}`"
    return TypeRuleError(f"gives an axis of size {size} where {where}: it is `{dim}`", help=help)


def _at_least(size: Dim, least: int) -> bool:
    return isinstance(size, int) and size >= max(least, 1)


def _check_positions(op: Op, inputs: Sequence[Ref | None]) -> None:
    """A table of positions has a row for each place of the longest sequence."""
    index = inputs[0] if inputs else None
    made = None if index is None else maker(index)
    if index is None or index.type is None or made is None or not isinstance(made.callee, Op):
        return
    rows = getattr(op, "num_embeddings", None)
    if made.callee.operator != "positions" or not isinstance(rows, int):
        return
    dim = index.type.shape[0]
    longest = extent(dim)[1]
    if math.isinf(longest) or longest <= rows:
        return
    length = f"`{dim}` may be {longest:.0f}" if isinstance(dim, SymDim) else f"there are {dim} positions"
    raise TypeRuleError(
        f"has {rows} rows, but {length}",
        argument="num_embeddings",
        help=f"a row for each position: {longest:.0f}" + (", or a smaller `max`" if isinstance(dim, SymDim) else ""),
    )


__all__ = ["Bounds", "check_sizes", "read_sizes"]


def too_long(given: TensorType, wanted: TensorType) -> tuple[Dim, int] | None:
    """The bounded length of a network's input that a value of any length passes, or may pass."""
    if given.rank != wanted.rank or given.dtype != wanted.dtype or not wanted.ragged:
        return None
    bound, length = extent(wanted.shape[1])[1], extent(given.shape[1])[1]
    return (wanted.shape[1], int(bound)) if length > bound else None
