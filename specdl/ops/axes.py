"""Arguments that name axes or sizes: `dim` counts the batch as 0 and may count from the end, as in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from specdl.ir.dims import Dim, SymDim, symbol
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _axis(value: Any) -> int:
    if not _is_integer(value):
        raise PydanticCustomError("axis", "expected an integer, the number of an axis")
    return int(value)


def _axes(value: Any) -> int | tuple[int, ...]:
    items = value if isinstance(value, (list, tuple)) else (value,)
    if not items or not all(_is_integer(item) for item in items):
        raise PydanticCustomError("axes", "expected the number of an axis, or a list of them")
    return tuple(items) if isinstance(value, (list, tuple)) else int(value)


def _axis_list(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)) or not value or not all(_is_integer(item) for item in value):
        raise PydanticCustomError("axis_list", "expected a list of axes")
    return tuple(value)


def _sizes(lowest: int, *, empty: bool) -> Any:
    """Sizes of axes: integers, symbols by their name, or sizes that an expression gave."""

    def validate(value: Any) -> tuple[Dim, ...]:
        items = value if isinstance(value, (list, tuple)) else (value,)
        if not items and not empty:
            raise PydanticCustomError("sizes", "expected a list of sizes")
        found: list[Dim] = []
        for item in items:
            if isinstance(item, str) and item.isidentifier():
                found.append(symbol(item))
            elif isinstance(item, SymDim) or (_is_integer(item) and item >= lowest and item != 0):
                found.append(item)
            else:
                message = "sizes are integers of at least 1" + (", or -1" if lowest < 0 else "")
                raise PydanticCustomError("sizes", message)
        return tuple(found)

    return validate


_SIZE: dict[str, Any] = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
_LIST_OF_SIZES = WithJsonSchema({"anyOf": [*_SIZE["anyOf"], {"type": "array", "items": _SIZE}]})
_INTEGER: dict[str, Any] = {"type": "integer"}
_INTEGERS: dict[str, Any] = {"type": "array", "items": _INTEGER, "minItems": 1}


def _number(value: Any) -> Any:
    if isinstance(value, str) and value.isidentifier():
        return symbol(value)
    if isinstance(value, (SymDim, float)) or _is_integer(value):
        return value
    raise PydanticCustomError("number", "expected a number, or a size such as `T`")


def _count(value: Any) -> Dim:
    found: Dim | float = _number(value)
    if isinstance(found, float) or (isinstance(found, int) and found < 1):
        raise PydanticCustomError("count", "expected an integer of at least 1, or a size such as `T`")
    return found


NumberOrSize = Annotated[Any, PlainValidator(_number), WithJsonSchema({"type": ["number", "string"]})]
"""A number, or a size that is known at run time."""
Count = Annotated[Any, PlainValidator(_count), WithJsonSchema({"type": ["integer", "string"], "minimum": 1})]
"""How many: an integer, or a size that is known at run time."""
Axis = Annotated[int, PlainValidator(_axis), WithJsonSchema(_INTEGER)]
"""One axis."""
Axes = Annotated[int | tuple[int, ...], PlainValidator(_axes), WithJsonSchema({"anyOf": [_INTEGER, _INTEGERS]})]
"""One axis or several."""
AxisList = Annotated[tuple[int, ...], PlainValidator(_axis_list), WithJsonSchema(_INTEGERS)]
"""A list of axes."""
Sizes = Annotated[tuple[Dim, ...], PlainValidator(_sizes(1, empty=True)), _LIST_OF_SIZES]
"""A shape; empty is one number."""
SizesToFill = Annotated[tuple[Dim, ...], PlainValidator(_sizes(-1, empty=False)), _LIST_OF_SIZES]
"""A shape in which -1 stands for what follows from the input."""


def resolve(dim: int, rank: int, argument: str | None = "dim", *, shape: TensorType | None = None) -> int:
    """The axis counted from 0. Raises `TypeRuleError` where there is none."""
    if not -max(rank, 1) <= dim < max(rank, 1):
        where = f"{shape}" if shape is not None else "the input"
        raise TypeRuleError(
            f"has no axis {dim} to work on: {where} has {rank} axes",
            argument=argument,
            help=f"axes count from 0, the batch, to {rank - 1}, or from -1, the last, back to {-rank}",
        )
    return dim % rank if rank else 0


def resolve_all(dims: int | Sequence[int] | None, x: TensorType, argument: str = "dim") -> tuple[int, ...]:
    """The axes counted from 0, all of them for None. Raises `TypeRuleError` for one that is absent or twice there."""
    if dims is None:
        return tuple(range(x.rank))
    listed = (dims,) if isinstance(dims, int) else tuple(dims)
    found = tuple(resolve(dim, x.rank, argument, shape=x) for dim in listed)
    if len(set(found)) < len(found):
        raise TypeRuleError(f"an axis appears twice in {list(listed)}", argument=argument)
    return found if x.rank else ()
