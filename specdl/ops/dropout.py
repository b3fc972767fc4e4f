"""Random noise that regularizes: parts of the input are dropped while training; evaluation changes nothing."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from specdl.ir.types import TensorType
from specdl.ops.base import Call, Family, OnnxGraph, Op, require_floating, require_rank
from specdl.ops.windows import keywords

_DOCS = "https://docs.pytorch.org/docs/stable/generated/torch.nn"


class _Dropout(Op):
    """What all of them share: a probability, and doing nothing in evaluation."""

    family: ClassVar[Family] = "dropout"
    position_wise: ClassVar[bool] = True
    main: ClassVar[str | None] = "p"
    random: ClassVar[bool] = True
    module: ClassVar[str]
    label: ClassVar[str]

    p: float = Field(default=0.5, ge=0, le=1, description="The probability to drop.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        require_floating(types[0])
        return (types[0],)

    def torch_module(self, *types: TensorType) -> Call | None:
        return Call(self.module, (self.p,), keywords(self, "p"))

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return tuple(inputs)

    def title(self) -> str:
        return f"{self.label} {self.p:g}"


class Dropout(_Dropout):
    """Drops single numbers, and scales up the others."""

    operator: ClassVar[str] = "dropout"
    module: ClassVar[str] = "nn.Dropout"
    label: ClassVar[str] = "Dropout"
    reference: ClassVar[str] = f"{_DOCS}.Dropout.html"


class Dropout1d(_Dropout):
    """Drops whole channels of sequences: `[N, C, L]`."""

    operator: ClassVar[str] = "dropout1d"
    module: ClassVar[str] = "nn.Dropout1d"
    label: ClassVar[str] = "Dropout1d"
    reference: ClassVar[str] = f"{_DOCS}.Dropout1d.html"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        require_rank(types[0], 3, "[N, C, L]")
        return super().infer(*types)


class Dropout2d(_Dropout):
    """Drops whole channels of images: `[N, C, H, W]`."""

    operator: ClassVar[str] = "dropout2d"
    module: ClassVar[str] = "nn.Dropout2d"
    label: ClassVar[str] = "Dropout2d"
    reference: ClassVar[str] = f"{_DOCS}.Dropout2d.html"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        require_rank(types[0], 4, "[N, C, H, W]")
        return super().infer(*types)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance, for networks with `selu`."""

    operator: ClassVar[str] = "alpha_dropout"
    module: ClassVar[str] = "nn.AlphaDropout"
    label: ClassVar[str] = "AlphaDropout"
    reference: ClassVar[str] = f"{_DOCS}.AlphaDropout.html"


class StochasticDepth(_Dropout):
    """Drops the whole branch of an example, or of the batch; ends the branch of a residual."""

    operator: ClassVar[str] = "stochastic_depth"
    module: ClassVar[str] = "StochasticDepth"
    label: ClassVar[str] = "StochasticDepth"
    support: ClassVar[tuple[str, ...]] = ("stochastic_depth.StochasticDepth",)
    reference: ClassVar[str] = "https://arxiv.org/abs/1603.09382"

    mode: Literal["row", "batch"] = Field(
        default="row", description="Whether each example (`row`) draws for itself, or the batch as one."
    )


OPS: tuple[type[Op], ...] = (Dropout, Dropout1d, Dropout2d, AlphaDropout, StochasticDepth)
