"""Transforms of the numbers in a field, whatever its size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from specdl.data.fields import AnyDType
from specdl.data.transforms.base import PAGE, Transform, require_image
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError

if TYPE_CHECKING:
    import torch

STATISTICS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "mnist": ((0.1307,), (0.3081,)),
    "fashion_mnist": ((0.2860,), (0.3530,)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "symmetric": ((0.5,), (0.5,)),
}
"""Means and standard deviations of well-known data, of brightness in [0, 1]; `symmetric` leads to [-1, 1]."""


def _statistics(value: Any) -> Any:
    if isinstance(value, str) and value in STATISTICS:
        return value
    items = value if isinstance(value, (list, tuple)) else [value]
    if not items or any(isinstance(item, bool) or not isinstance(item, (int, float)) for item in items):
        words = ", ".join(f"`{name}`" for name in STATISTICS)
        raise PydanticCustomError(
            "statistics", "expected a number, a list of numbers, or one of {words}", {"words": words}
        )
    return tuple(float(item) for item in items)


Statistics = Annotated[
    tuple[float, ...] | str,
    PlainValidator(_statistics),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(STATISTICS)},
                {"type": "number"},
                {"type": "array", "items": {"type": "number"}, "minItems": 1},
            ]
        }
    ),
]


class Normalize(Transform):
    """(x - mean) / std, for each channel. `normalize(image): imagenet` uses ImageNet's numbers."""

    name: ClassVar[str] = "normalize"
    main: ClassVar[str | None] = "mean"
    reference: ClassVar[str] = PAGE.format("Normalize")

    mean: Statistics = Field(description="Mean of each channel, one number for all, or whose: `imagenet`.")
    std: Statistics = Field(
        default=(1.0,), description="Standard deviation of each channel, or one for all; the named data's by itself."
    )

    def numbers(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The means and the standard deviations."""
        mean = STATISTICS[self.mean][0] if isinstance(self.mean, str) else self.mean
        given = self.mean if isinstance(self.mean, str) and self.std == (1.0,) else self.std
        return mean, STATISTICS[given][1] if isinstance(given, str) else given

    def recorded(self) -> dict[str, Any]:
        mean, std = self.numbers()
        return {"mean": list(mean), "std": list(std)}

    def infer(self, type: TensorType) -> TensorType:
        channels = require_image(type).shape[1]
        if not type.floating:
            help = "`image = to_dtype(image): {scale: true}` makes brightness in [0, 1] of bytes"
            raise TypeRuleError(f"expects floating-point numbers, got {type}", help=help)
        for name, numbers in zip(("mean", "std"), self.numbers(), strict=True):
            if len(numbers) not in {1, channels}:
                raise TypeRuleError(f"`{name}` has {len(numbers)} numbers, {type} has {channels} channels")
            if name == "std" and any(number <= 0 for number in numbers):
                raise TypeRuleError("`std` must be greater than 0", argument="std")
        return type

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        mean, std = (tensor.new_tensor(numbers).view(1, -1, 1, 1) for numbers in self.numbers())
        return (tensor - mean) / std


class ToDtype(Transform):
    """Converts the numbers of a field to another type."""

    name: ClassVar[str] = "to_dtype"
    main: ClassVar[str | None] = "dtype"
    reference: ClassVar[str] = PAGE.format("ToDtype")

    dtype: AnyDType = Field(default="float32", description="The type.")
    scale: bool = Field(
        default=False, description="Whether bytes from 0 to 255 become brightness from 0 to 1, and the other way round."
    )

    def infer(self, type: TensorType) -> TensorType:
        target = type.with_dtype(self.dtype)
        if self.scale and {type.dtype, self.dtype} != {"uint8", type.dtype if type.floating else self.dtype}:
            raise TypeRuleError(
                f"scales between uint8 and floating-point numbers, not from {type.dtype} to {self.dtype}"
            )
        if self.scale and type.floating == target.floating:
            raise TypeRuleError(
                f"scales between uint8 and floating-point numbers, not from {type.dtype} to {self.dtype}"
            )
        return target

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        import torch

        dtype = getattr(torch, self.dtype)
        if not self.scale:
            return tensor.to(dtype)
        if dtype == torch.uint8:
            return (tensor.clamp(0, 1) * 255).round().to(dtype)
        return tensor.to(dtype) / 255


class Binarize(Transform):
    """1 where a number is greater than `above`, else 0: a mask of instances becomes one of foreground."""

    name: ClassVar[str] = "binarize"
    main: ClassVar[str | None] = "above"

    above: float = Field(default=0.0, description="What is not yet 1.")

    def infer(self, type: TensorType) -> TensorType:
        return type

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        return (tensor > self.above).to(tensor.dtype)


class OneHot(Transform):
    """The index of a class becomes a vector with a 1 at its place: probabilities, as `cross_entropy` takes them too."""

    name: ClassVar[str] = "one_hot"
    main: ClassVar[str | None] = "num_classes"
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.one_hot.html"

    num_classes: int | None = Field(
        default=None, ge=1, description="How many there are; the data's number of classes unless given."
    )

    def with_classes(self, counts: Sequence[int | None]) -> Transform:
        if self.num_classes is not None or not counts or counts[0] is None:
            return self
        return self.model_copy(update={"num_classes": counts[0]})

    def infer(self, type: TensorType) -> TensorType:
        if type.rank != 1 or type.dtype != "int64":
            raise TypeRuleError(f"expects the index of a class, [N] int64, got {type}")
        return TensorType((type.shape[0], required_classes(self.num_classes)))

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        return one_hot(tensor, self.num_classes)


def required_classes(count: int | None) -> int:
    """Guards that the number of classes is known."""
    if count is None:
        help = "write `num_classes: 10`, or name the data's classes: `fields: {label: {..., classes: [...]}}`"
        raise TypeRuleError("needs the number of classes, which the data alone knows", help=help)
    return count


def one_hot(labels: torch.Tensor, count: int | None) -> torch.Tensor:
    """Indices `[N]` as probabilities `[N, C]`. Raises `ValueError` for an index beyond."""
    import torch
    import torch.nn.functional as F

    assert count is not None
    if len(labels) and int(labels.max()) >= count:
        raise ValueError(f"a label is {int(labels.max())}, but there are {count} classes")
    return F.one_hot(labels, count).to(torch.float32)
