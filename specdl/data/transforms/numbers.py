"""Transforms of the numbers in a field, whatever its size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from specdl.data.transforms.base import Transform, require_image
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError

if TYPE_CHECKING:
    import torch

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _statistics(value: Any) -> Any:
    if value == "imagenet":
        return "imagenet"
    items = value if isinstance(value, (list, tuple)) else [value]
    if not items or any(isinstance(item, bool) or not isinstance(item, (int, float)) for item in items):
        raise PydanticCustomError("statistics", "expected `imagenet`, a number or a list of numbers")
    return tuple(float(item) for item in items)


Statistics = Annotated[
    tuple[float, ...] | Literal["imagenet"],
    PlainValidator(_statistics),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["imagenet"]},
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

    mean: Statistics = Field(description="Mean of each channel, one number for all, or `imagenet`.")
    std: Statistics = Field(default=(1.0,), description="Standard deviation of each channel, or one for all.")

    def _numbers(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        mean = _IMAGENET[0] if isinstance(self.mean, str) else self.mean
        given = self.std if not (isinstance(self.mean, str) and self.std == (1.0,)) else "imagenet"
        return mean, _IMAGENET[1] if isinstance(given, str) else given

    def infer(self, type: TensorType) -> TensorType:
        channels = require_image(type).shape[1]
        if not type.floating:
            raise TypeRuleError(f"expects floating-point numbers, got {type}")
        for name, numbers in zip(("mean", "std"), self._numbers(), strict=True):
            if len(numbers) not in {1, channels}:
                raise TypeRuleError(f"`{name}` has {len(numbers)} numbers, {type} has {channels} channels")
            if name == "std" and any(number <= 0 for number in numbers):
                raise TypeRuleError("`std` must be greater than 0", argument="std")
        return type

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        mean, std = (tensor.new_tensor(numbers).view(1, -1, 1, 1) for numbers in self._numbers())
        return (tensor - mean) / std
