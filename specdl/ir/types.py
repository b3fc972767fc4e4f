"""The type of a value: the shape and dtype of a tensor, checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from specdl.ir.dims import BATCH, Dim, SymDim, evaluate, multiple, product

DType = Literal["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
DTYPES: tuple[str, ...] = get_args(DType)

STRING = cast(DType, "string")
"""What a field of texts is typed with until a tokenizer makes numbers of it: of no tensor, and known to no operator."""

_FLOATS = ("float16", "bfloat16", "float32", "float64")
_INTEGERS = ("uint8", "int8", "int16", "int32", "int64")


@dataclass(frozen=True, slots=True)
class TensorType:
    """Shape (the batch axis `N` included) and dtype of a tensor."""

    shape: tuple[Dim, ...]
    dtype: DType = "float32"

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def elements(self) -> Dim:
        """The number of elements."""
        return product(self.shape)

    @property
    def batched(self) -> bool:
        """Whether axis 0 is the batch."""
        return bool(self.shape) and self.shape[0] == BATCH

    @property
    def floating(self) -> bool:
        """Whether the dtype is a floating-point one."""
        return self.dtype in _FLOATS

    @property
    def text(self) -> bool:
        """Whether it is no tensor's type, but that of a field of texts."""
        return self.dtype == STRING

    @property
    def ragged(self) -> bool:
        """Whether it differs in length from example to example, `[N, T]` or `[N, T, 8]`: a batch is padded.

        Images `[N, 3, H, W]` and masks `[N, H, W]` are not of this kind.
        """
        own = self.shape[1:]
        return bool(own) and isinstance(own[0], SymDim) and all(isinstance(size, int) for size in own[1:])

    def with_shape(self, *shape: Dim) -> TensorType:
        """The same dtype with another shape."""
        return TensorType(tuple(shape), self.dtype)

    def with_dtype(self, dtype: DType) -> TensorType:
        """The same shape with another dtype."""
        return TensorType(self.shape, dtype)

    def __str__(self) -> str:
        sizes = "[" + ", ".join(map(str, self.shape)) + "]"
        return sizes if self.dtype == "float32" else f"{sizes} {self.dtype}"


def promote(left: DType, right: DType) -> DType:
    """The dtype of an operation between two tensors, as `torch.promote_types` says."""
    if left == right:
        return left
    if left in _FLOATS or right in _FLOATS:
        if left not in _FLOATS:
            return right
        if right not in _FLOATS:
            return left
        if {left, right} == {"float16", "bfloat16"}:
            return "float32"
        return left if _FLOATS.index(left) > _FLOATS.index(right) else right
    if left == "bool":
        return right
    if right == "bool":
        return left
    if "uint8" in (left, right):
        other = right if left == "uint8" else left
        return "int16" if other == "int8" else other
    return left if _INTEGERS.index(left) > _INTEGERS.index(right) else right


class ShapeMismatch(Exception):
    """Two shapes that don't broadcast; `axis` counts from the end (-1 is the last)."""

    def __init__(self, axis: int, left: Dim, right: Dim) -> None:
        self.axis, self.left, self.right = axis, left, right
        super().__init__(f"axis {axis}: {left} against {right}")


def broadcast(left: Sequence[Dim], right: Sequence[Dim]) -> tuple[Dim, ...]:
    """The shape of an elementwise operation, as PyTorch broadcasts. Raises `ShapeMismatch`."""
    shape: list[Dim] = []
    for axis in range(1, max(len(left), len(right)) + 1):
        a: Dim = left[-axis] if axis <= len(left) else 1
        b: Dim = right[-axis] if axis <= len(right) else 1
        if a == b or b == 1:
            shape.append(a)
        elif a == 1:
            shape.append(b)
        else:
            raise ShapeMismatch(-axis, a, b)
    return tuple(reversed(shape))


def bind_symbols(wanted: Sequence[TensorType], given: Sequence[TensorType]) -> dict[str, Dim] | None:
    """What the symbols in the inputs of a function stand for in a call with values of other types.

    None where they don't fit: another rank, dtype or size, or two sizes for one symbol. The batch is always `N`.
    """
    sizes: dict[str, Dim] = {}
    for want, got in zip(wanted, given, strict=True):
        if want.rank != got.rank or want.dtype != got.dtype:
            return None
        for dim, size in zip(want.shape, got.shape, strict=True):
            counted = None if dim == BATCH else multiple(dim)
            if counted is None:
                if evaluate(dim, sizes) != size:
                    return None
                continue
            name, factor = counted
            if size % factor or sizes.setdefault(name, size // factor) != size // factor:
                return None
    return sizes


def substitute(type: TensorType, sizes: Mapping[str, Dim]) -> TensorType:
    """The type with its symbols replaced."""
    return type.with_shape(*(evaluate(dim, sizes) for dim in type.shape)) if sizes else type


__all__ = [
    "BATCH",
    "DTYPES",
    "STRING",
    "DType",
    "Dim",
    "ShapeMismatch",
    "SymDim",
    "TensorType",
    "bind_symbols",
    "broadcast",
    "promote",
    "substitute",
]
