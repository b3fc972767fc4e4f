"""Changing the resolution: interpolation, and moving channels into space and back."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from specdl.ir.dims import Dim, SymDim
from specdl.ir.types import TensorType
from specdl.ops.base import Call, Family, OnnxGraph, Op, TypeRuleError, require_floating, require_rank
from specdl.ops.text import dim_text, expression, postfix
from specdl.ops.windows import AXES, LAYOUTS, compact, keywords, times

_DOCS = "https://docs.pytorch.org/docs/stable/generated/torch.nn"

Mode = Literal["nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear"]

_RANKS: dict[str, tuple[int, ...]] = {"linear": (3,), "bilinear": (4,), "bicubic": (4,), "trilinear": (5,)}
_ONNX_MODES: dict[str, str] = {"nearest": "nearest", "nearest-exact": "nearest", "bicubic": "cubic"}


def _numbers(kind: type | tuple[type, ...], expected: str) -> Any:
    def validate(value: Any) -> Any:
        items = value if isinstance(value, (list, tuple)) else (value,)
        if not items or any(isinstance(item, bool) or not isinstance(item, kind) for item in items):
            raise PydanticCustomError("numbers", "expected {expected}", {"expected": expected})
        if any(not isinstance(item, SymDim) and item <= 0 for item in items):
            raise PydanticCustomError("numbers", "must be greater than 0")
        return tuple(items) if isinstance(value, (list, tuple)) else value

    return validate


def _schema(number: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [number, {"type": "array", "items": number, "minItems": 1, "maxItems": 3}]})


Sizes = Annotated[
    Dim | tuple[Dim, ...],
    PlainValidator(_numbers((int, SymDim), "an integer or a list of integers")),
    _schema({"type": "integer", "minimum": 1}),
]
Factors = Annotated[
    float | tuple[float, ...],
    PlainValidator(_numbers((int, float), "a number or a list of numbers")),
    _schema({"type": "number", "exclusiveMinimum": 0}),
]


class Interpolate(Op):
    """Resizes the spatial axes, to a `size` or by a `scale_factor`: `[N, C, H, W] -> [N, C, H', W']`.

    Where a symbolic size isn't an axis of `x`, the value that has it is given as `size_of`.
    """

    operator: ClassVar[str] = "interpolate"
    family: ClassVar[Family] = "upsampling"
    main: ClassVar[str | None] = "scale_factor"
    inputs: ClassVar[tuple[str, ...]] = ("x", "size_of?")
    reference: ClassVar[str] = f"{_DOCS}.functional.interpolate.html"

    size: Sizes | None = Field(default=None, description="Size of the output's spatial axes.")
    scale_factor: Factors | None = Field(default=None, description="Factor by which the spatial axes grow.")
    mode: Mode = Field(default="nearest", description="How values between the given ones are found.")
    align_corners: bool | None = Field(
        default=None, description="Whether the outermost values stay at the edges; not with the nearest modes."
    )

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.align_corners is not None and self.mode in ("nearest", "nearest-exact"):
            raise PydanticCustomError("mode", "`align_corners` is for the linear and cubic modes only")
        if self.size is not None and self.scale_factor is not None:
            raise PydanticCustomError("size", "give `size` or `scale_factor`, not both")
        return self

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x = types[0]
        ranks = _RANKS.get(self.mode, (3, 4, 5))
        layout = " or ".join(LAYOUTS[rank - 2] for rank in ranks)
        require_rank(x, ranks, layout, help=self._mode_help(x.rank))
        require_floating(x)
        if self.scale_factor is not None and len(types) > 1:
            raise TypeRuleError("takes its size from `scale_factor` or from a second input, not from both", input=1)
        sizes = self._sizes(types)
        if self.size is not None:
            self._size_text(list(zip(("x", "size_of"), types, strict=False)))  # refuses what could not be known
        return (x.with_shape(*x.shape[:2], *sizes),)

    def _mode_help(self, rank: int) -> str | None:
        fitting = {3: "linear", 4: "bilinear", 5: "trilinear"}.get(rank)
        return f"use `mode: {fitting}`" if fitting and self.mode in _RANKS else None

    def _sizes(self, types: Sequence[TensorType]) -> tuple[Dim, ...]:
        """The spatial sizes of the output. Raises `TypeRuleError`."""
        old = types[0].shape[2:]
        if self.size is not None:
            return self._per_axis(self.size, len(old), "size")
        if self.scale_factor is not None:
            factors = self._per_axis(self.scale_factor, len(old), "scale_factor")
            return tuple(
                _scaled(name, size, factor) for name, size, factor in zip(AXES[len(old)], old, factors, strict=True)
            )
        if len(types) == 1:
            raise TypeRuleError(
                "needs `size`, `scale_factor`, or a value to take the size of", help="e.g. `interpolate: 2`"
            )
        if types[1].rank != types[0].rank:
            raise TypeRuleError(f"can't give {types[0]} the size of {types[1]}: it has another rank", input=1)
        return types[1].shape[2:]

    def _per_axis(self, value: Any, count: int, argument: str) -> tuple[Any, ...]:
        if isinstance(value, tuple) and len(value) != count:
            numbers = "one number" if count == 1 else f"one number or {count}"
            raise TypeRuleError(f"needs {numbers} for the {argument}, got {len(value)}", argument=argument)
        return value if isinstance(value, tuple) else (value,) * count

    def torch_module(self, *types: TensorType) -> Call | None:
        if len(types) > 1 or any(isinstance(size, SymDim) for size in _listed(self.size)):
            return None
        return Call("nn.Upsample", (), keywords(self))

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        given = [arguments[0]]
        if self.size is not None:
            given.append(f"size={self._size_text(list(zip(arguments, types, strict=False)))}")
        elif len(types) > 1:
            given.append(f"size={postfix(arguments[1])}.shape[2:]")
        return expression("F.interpolate", given, **dict(keywords(self, "size")))

    def _size_text(self, values: Sequence[tuple[str, TensorType]]) -> str:
        """The `size` as Python text. Raises `TypeRuleError` for a symbol that none of the values has."""
        size = compact(self.size)
        if not isinstance(size, tuple):
            return dim_text(size, values)
        return f"({', '.join(dim_text(dim, values) for dim in size)})"

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (y,) = self.infer(*types)
        axes = list(range(2, y.rank))
        if self.scale_factor is not None:
            factors = [float(factor) for factor in self._per_axis(self.scale_factor, len(axes), "scale_factor")]
            operands = [inputs[0], "", graph.constant(factors, "float32")]
        else:
            operands = [inputs[0], "", "", graph.shape(y.shape[2:])]
        attributes: dict[str, Any] = {"mode": _ONNX_MODES.get(self.mode, "linear"), "axes": axes}
        if self.mode == "nearest":
            attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        elif self.mode == "nearest-exact":
            attributes |= {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"}
        else:
            corners = "align_corners" if self.align_corners else "half_pixel"
            attributes |= {"coordinate_transformation_mode": corners, "cubic_coeff_a": -0.75}
        return graph.node("Resize", operands, **attributes)

    def title(self) -> str:
        if self.scale_factor is not None:
            return f"Upsample ×{times([f'{factor:g}' for factor in _listed(compact(self.scale_factor))])}"
        return "Resize" if self.size is None else f"Resize {times(_listed(compact(self.size)))}"

    def details(self) -> str:
        return self.mode


def _listed(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _scaled(name: str, size: Dim, factor: float) -> Dim:
    """`floor(size * factor)`, computed in double precision as PyTorch does."""
    if isinstance(size, int):
        scaled = math.floor(size * float(factor))
        if scaled < 1:
            message = f"output would have {name} 0: the input's {size} times {factor:g} is less than 1"
            raise TypeRuleError(message, argument="scale_factor")
        return scaled
    numerator, denominator = float(factor).as_integer_ratio()
    if denominator > 64:
        raise TypeRuleError(
            f"can't tell the {name} of the output: it is `{size}` times {factor:g}, rounded",
            help="use a factor like 2, 1.5 or 0.25, or give the `size`",
            argument="scale_factor",
        )
    return size * numerator // denominator


class PixelShuffle(Op):
    """Moves channels into space: `[N, C * r**2, H, W] -> [N, C, H * r, W * r]`."""

    operator: ClassVar[str] = "pixel_shuffle"
    family: ClassVar[Family] = "upsampling"
    main: ClassVar[str | None] = "upscale_factor"
    reference: ClassVar[str] = f"{_DOCS}.PixelShuffle.html"

    upscale_factor: int = Field(ge=1, description="Factor r by which height and width grow.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        require_rank(x, 4, LAYOUTS[2])
        batch, channels, height, width = x.shape
        factor = self.upscale_factor
        if isinstance(channels, int) and channels % factor**2:
            raise TypeRuleError(
                f"can't spread {channels} channels over {factor}×{factor} pixels",
                help=f"the channels must be a multiple of {factor**2}",
                argument="upscale_factor",
            )
        return (x.with_shape(batch, channels // factor**2, height * factor, width * factor),)

    def torch_module(self, *types: TensorType) -> Call | None:
        return Call("nn.PixelShuffle", (self.upscale_factor,))

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return expression("F.pixel_shuffle", [arguments[0], str(self.upscale_factor)])

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node("DepthToSpace", inputs, blocksize=self.upscale_factor, mode="CRD")

    def title(self) -> str:
        return f"PixelShuffle ×{self.upscale_factor}"


class PixelUnshuffle(Op):
    """Moves space into channels: `[N, C, H * r, W * r] -> [N, C * r**2, H, W]`."""

    operator: ClassVar[str] = "pixel_unshuffle"
    family: ClassVar[Family] = "upsampling"
    main: ClassVar[str | None] = "downscale_factor"
    reference: ClassVar[str] = f"{_DOCS}.PixelUnshuffle.html"

    downscale_factor: int = Field(ge=1, description="Factor r by which height and width shrink.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        require_rank(x, 4, LAYOUTS[2])
        batch, channels, height, width = x.shape
        factor = self.downscale_factor
        for name, size in (("height", height), ("width", width)):
            if isinstance(size, int) and size % factor:
                message = f"can't divide a {name} of {size} by {factor}"
                raise TypeRuleError(message, argument="downscale_factor")
        return (x.with_shape(batch, channels * factor**2, height // factor, width // factor),)

    def torch_module(self, *types: TensorType) -> Call | None:
        return Call("nn.PixelUnshuffle", (self.downscale_factor,))

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return expression("F.pixel_unshuffle", [arguments[0], str(self.downscale_factor)])

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        # ONNX's SpaceToDepth orders the new channels otherwise.
        (y,) = self.infer(*types)
        batch, channels = types[0].shape[:2]
        factor = self.downscale_factor
        blocks = graph.reshape(inputs[0], [batch, channels, y.shape[2], factor, y.shape[3], factor])
        (moved,) = graph.node("Transpose", [blocks], perm=[0, 1, 3, 5, 2, 4])
        return (graph.reshape(moved, y.shape),)

    def title(self) -> str:
        return f"PixelUnshuffle ÷{self.downscale_factor}"


OPS: tuple[type[Op], ...] = (Interpolate, PixelShuffle, PixelUnshuffle)
