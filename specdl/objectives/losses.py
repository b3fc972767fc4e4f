"""Losses: operators over a prediction and a target that give one number, the mean over the batch.

They are operators like any other (typed, checked before anything runs, written into the source as a
PyTorch call) and only ever appear in a training step, so they own no weights and never reach ONNX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from specdl.ir.types import TensorType
from specdl.objectives.base import Listed
from specdl.ops.base import Family, Op, TypeRuleError, require_floating

_PAGE = "https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.{}.html"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
ClassWeights = Annotated[tuple[NonNegative, ...], Listed]
PositiveWeights = Annotated[tuple[Positive, ...], Listed]


class Loss(Op):
    """Base of the losses: `loss(input, target)` is a scalar."""

    family: ClassVar[Family] = "loss"
    inputs: ClassVar[tuple[str, ...]] = ("input", "target")
    outputs: ClassVar[tuple[str, ...]] = ("loss",)
    function: ClassVar[str]
    """The name in `torch.nn.functional`."""

    def keywords(self, arguments: Sequence[str], *types: TensorType) -> tuple[str, ...]:
        """The keyword arguments of the PyTorch call, as text."""
        return tuple(f"{name}={value!r}" for name, value in self.given().items())

    def classes(self, *types: TensorType) -> int | None:
        """How many classes the input scores, where the target is the index of one; else None."""
        return None

    def operands(self, arguments: Sequence[str], *types: TensorType) -> tuple[str, str]:
        """The input and the target as PyTorch wants them."""
        raise NotImplementedError

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        operands = self.operands(arguments, *types)
        return f"F.{self.function}({', '.join((*operands, *self.keywords(arguments, *types)))})"


class _Classification(Loss):
    """A loss between scores of classes and the index of the right one."""

    class_weights: ClassWeights | None = Field(
        default=None, description="A factor for each class, for classes that are rare or matter more."
    )
    ignore_index: int = Field(default=-100, description="A target that is left out of the mean (padding).")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        scores, target = types
        require_floating(scores)
        axis = self._class_axis(scores, target)
        size = scores.shape[axis]
        if self.class_weights is not None and isinstance(size, int) and len(self.class_weights) != size:
            raise TypeRuleError(
                f"`class_weights` has {len(self.class_weights)} numbers, but there are {size} classes in {scores}",
                argument="class_weights",
            )
        return (TensorType((), scores.dtype),)

    def classes(self, *types: TensorType) -> int | None:
        scores, target = types
        size = scores.shape[self._class_axis(scores, target)]
        return size if isinstance(size, int) and not target.floating else None

    def _class_axis(self, scores: TensorType, target: TensorType) -> int:
        """The axis that the target lacks; axis 1 where several fit, else the last of them."""
        if scores.rank < 2:
            raise TypeRuleError(f"expects scores [N, classes, ...], got {scores}", input=0)
        fitting = [
            axis for axis in range(1, scores.rank) if (*scores.shape[:axis], *scores.shape[axis + 1 :]) == target.shape
        ]
        if not fitting:
            raise TypeRuleError(
                f"expects a target without the class axis of the scores {scores}, got {target}",
                help=_class_shape_help(scores, target),
                input=1,
                against=0,
            )
        if target.dtype != "int64":
            raise TypeRuleError(
                f"expects the index of the right class (int64) as target, got {target}",
                help="`mse` or `bce_with_logits` compare numbers" if target.floating else "make the target int64",
                input=1,
            )
        return 1 if 1 in fitting else fitting[-1]

    def operands(self, arguments: Sequence[str], *types: TensorType) -> tuple[str, str]:
        (scores, target), axis = arguments, self._class_axis(*types)
        rank = types[0].rank
        if axis == 1:
            return scores, target
        # PyTorch wants the classes on axis 1; a last axis is brought there without moving memory.
        if axis == rank - 1:
            return f"{scores}.flatten(0, {rank - 2})", f"{target}.flatten()"
        return f"{scores}.movedim({axis}, 1)", target

    def keywords(self, arguments: Sequence[str], *types: TensorType) -> tuple[str, ...]:
        given = self.given()
        weights = given.pop("class_weights", None)
        first = () if weights is None else (f"weight={arguments[0]}.new_tensor({list(weights)!r})",)
        return (*first, *(f"{name}={value!r}" for name, value in given.items()))


def _class_shape_help(scores: TensorType, target: TensorType) -> str | None:
    if target.shape == scores.shape:
        return "a target of the scores' own shape holds a probability for each class, and must be floating point"
    if target.rank == scores.rank and target.shape[-1] == 1 and target.shape[:-1] == scores.shape[:-1]:
        return "the target has one axis of size 1 too many"
    wanted = TensorType((scores.shape[0], *scores.shape[2:]), "int64")
    return f"a target of type {wanted} would fit"


class CrossEntropy(_Classification):
    """-log softmax(input)[target], the mean over examples (and positions).

    Shapes: scores `[N, C, ...]` with class indices `[N, ...]`, or with probabilities `[N, C, ...]`. The class
    axis is the one that the target lacks, so `[N, T, C]` with `[N, T]` works too.
    """

    operator: ClassVar[str] = "cross_entropy"
    function: ClassVar[str] = "cross_entropy"
    reference: ClassVar[str] = _PAGE.format("cross_entropy")

    label_smoothing: float = Field(
        default=0.0, ge=0, le=1, description="The share of the target spread over all classes."
    )

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        scores, target = types
        if self._probabilities(scores, target) and self.ignore_index != -100:
            raise TypeRuleError("`ignore_index` needs class indices as target", argument="ignore_index")
        return super().infer(*types)

    @staticmethod
    def _probabilities(scores: TensorType, target: TensorType) -> bool:
        return target.shape == scores.shape and target.dtype == scores.dtype

    def _class_axis(self, scores: TensorType, target: TensorType) -> int:
        if scores.rank >= 2 and self._probabilities(scores, target):
            return 1
        return super()._class_axis(scores, target)


class Nll(_Classification):
    """-input[target], the mean over examples, for an input of log-probabilities (`log_softmax`)."""

    operator: ClassVar[str] = "nll"
    function: ClassVar[str] = "nll_loss"
    reference: ClassVar[str] = _PAGE.format("nll_loss")


class _Elementwise(Loss):
    """A loss between two tensors of one shape; integer targets are converted."""

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        prediction, target = types
        require_floating(prediction)
        if target.floating and target.dtype != prediction.dtype:
            raise TypeRuleError(f"expects one dtype, got {prediction.dtype} against {target.dtype}", input=1, against=0)
        if target.shape not in {prediction.shape, ()}:
            raise TypeRuleError(
                f"expects a target of the input's shape {list(prediction.shape)}, got {target}",
                help=_same_shape_help(prediction, target),
                input=1,
                against=0,
            )
        return (TensorType((), prediction.dtype),)

    def operands(self, arguments: Sequence[str], *types: TensorType) -> tuple[str, str]:
        (prediction, target), (prediction_type, target_type) = arguments, types
        if not target_type.shape and prediction_type.shape:  # a number stands for a whole tensor
            is_name = target.replace(".", "").isidentifier() and not target[0].isdigit()
            whole = f"{target}.expand_as({prediction})" if is_name else f"torch.full_like({prediction}, {target})"
            target = whole
        return prediction, target if target_type.floating else f"{target}.to({prediction}.dtype)"


def _same_shape_help(prediction: TensorType, target: TensorType) -> str | None:
    if prediction.shape == (*target.shape, 1):
        return "the input has one axis of size 1 too many: `squeeze: -1` before it removes the last axis"
    if target.dtype == "int64" and prediction.rank == target.rank + 1:
        return "`cross_entropy` compares scores of classes with the index of the right one"
    return None


class Mse(_Elementwise):
    """(input - target)², the mean over all elements."""

    operator: ClassVar[str] = "mse"
    function: ClassVar[str] = "mse_loss"
    reference: ClassVar[str] = _PAGE.format("mse_loss")


class L1(_Elementwise):
    """|input - target|, the mean over all elements."""

    operator: ClassVar[str] = "l1"
    function: ClassVar[str] = "l1_loss"
    reference: ClassVar[str] = _PAGE.format("l1_loss")


class SmoothL1(_Elementwise):
    """L1 that is quadratic below `beta`, as Fast R-CNN regresses boxes."""

    operator: ClassVar[str] = "smooth_l1"
    function: ClassVar[str] = "smooth_l1_loss"
    reference: ClassVar[str] = _PAGE.format("smooth_l1_loss")

    beta: NonNegative = Field(default=1.0, description="Where the quadratic part meets the linear one.")


class Huber(_Elementwise):
    """Quadratic below `delta`, linear above: `delta` times `smooth_l1` with `beta: delta`."""

    operator: ClassVar[str] = "huber"
    function: ClassVar[str] = "huber_loss"
    reference: ClassVar[str] = _PAGE.format("huber_loss")

    delta: Positive = Field(default=1.0, description="Where the quadratic part meets the linear one.")


class Bce(_Elementwise):
    """Binary cross-entropy of probabilities; `bce_with_logits` is safer with numbers near 0 and 1."""

    operator: ClassVar[str] = "bce"
    function: ClassVar[str] = "binary_cross_entropy"
    reference: ClassVar[str] = _PAGE.format("binary_cross_entropy")


class BceWithLogits(_Elementwise):
    """Binary cross-entropy of sigmoid(input), computed without overflow."""

    operator: ClassVar[str] = "bce_with_logits"
    function: ClassVar[str] = "binary_cross_entropy_with_logits"
    reference: ClassVar[str] = _PAGE.format("binary_cross_entropy_with_logits")

    pos_weight: Positive | PositiveWeights | None = Field(
        default=None, description="A factor for positive targets: one number, or one for each entry of the last axis."
    )

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        result = super().infer(*types)
        size = types[0].shape[-1] if types[0].shape else 1
        if isinstance(self.pos_weight, tuple) and isinstance(size, int) and len(self.pos_weight) not in {1, size}:
            raise TypeRuleError(
                f"`pos_weight` has {len(self.pos_weight)} numbers, but the last axis of {types[0]} has {size}",
                argument="pos_weight",
            )
        return result

    def keywords(self, arguments: Sequence[str], *types: TensorType) -> tuple[str, ...]:
        if self.pos_weight is None:
            return ()
        weight = list(self.pos_weight) if isinstance(self.pos_weight, tuple) else self.pos_weight
        return (f"pos_weight={arguments[0]}.new_tensor({weight!r})",)


class KlDiv(_Elementwise):
    """Σ target · (log target - input) for an input of log-probabilities.

    `batchmean`, the default, divides by the batch size, which is the divergence itself; PyTorch's `mean` also
    divides by the number of classes.
    """

    operator: ClassVar[str] = "kl_div"
    function: ClassVar[str] = "kl_div"
    reference: ClassVar[str] = _PAGE.format("kl_div")

    reduction: Literal["batchmean", "mean"] = Field(default="batchmean", description="What the sum is divided by.")
    log_target: bool = Field(default=False, description="Whether the target holds log-probabilities too.")

    def keywords(self, arguments: Sequence[str], *types: TensorType) -> tuple[str, ...]:
        log_target = ("log_target=True",) if self.log_target else ()
        return (f"reduction={self.reduction!r}", *log_target)


class _Contrastive(Loss):
    """A loss between vectors of pairs: each should be nearer to its own partner than to those of the batch."""

    inputs: ClassVar[tuple[str, ...]] = ("anchor", "positive")
    function: ClassVar[str] = "cross_entropy"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        anchor, positive = types
        require_floating(anchor)
        if anchor.rank != 2:
            raise TypeRuleError(f"expects one vector an example, [N, D], got {anchor}", input=0)
        if positive != anchor:
            raise TypeRuleError(f"expects vectors like the first ones, {anchor}, got {positive}", input=1, against=0)
        return (TensorType((), anchor.dtype),)

    def scores(self, anchor: str, positive: str) -> str:
        """The similarities of all pairs as text, those of an anchor in its row."""
        raise NotImplementedError

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        first, second = arguments
        place = f"torch.arange(len({first}), device={first}.device)"
        found = f"F.cross_entropy({self.scores(first, second)}, {place})"
        return f"({found} + F.cross_entropy({self.scores(second, first)}, {place})) / 2" if self._both() else found

    def _both(self) -> bool:
        """Whether each partner looks for its anchor too."""
        return False


class MultipleNegativesRanking(_Contrastive):
    """Softmax over the batch of scale · cos(anchor, positive): the partners of the others are the wrong answers.

    Shapes: two `[N, D]`. As `sentence-transformers` trains on pairs that belong together (Henderson and others, 2017).
    """

    operator: ClassVar[str] = "multiple_negatives_ranking"
    reference: ClassVar[str] = "https://arxiv.org/abs/1705.00652"

    scale: Positive = Field(default=20.0, description="What the cosines are multiplied by.")
    symmetric: bool = Field(default=False, description="Whether each partner looks for its anchor too; the mean then.")

    def scores(self, anchor: str, positive: str) -> str:
        return f"{self.scale!r} * F.normalize({anchor}, dim=-1) @ F.normalize({positive}, dim=-1).T"

    def _both(self) -> bool:
        return self.symmetric


class InfoNce(_Contrastive):
    """Softmax over the batch of cos(anchor, positive) / temperature, in both directions, as CLIP is trained.

    Shapes: two `[N, D]`. Van den Oord and others (2018), with the batch as negatives.
    """

    operator: ClassVar[str] = "info_nce"
    reference: ClassVar[str] = "https://arxiv.org/abs/1807.03748"

    temperature: Positive = Field(default=0.07, description="What the cosines are divided by.")
    symmetric: bool = Field(default=True, description="Whether each partner looks for its anchor too; the mean then.")

    def scores(self, anchor: str, positive: str) -> str:
        return f"F.normalize({anchor}, dim=-1) @ F.normalize({positive}, dim=-1).T / {self.temperature!r}"

    def _both(self) -> bool:
        return self.symmetric


LOSSES: dict[str, type[Loss]] = {
    loss.operator: loss
    for loss in (
        CrossEntropy,
        Nll,
        Mse,
        L1,
        SmoothL1,
        Huber,
        Bce,
        BceWithLogits,
        KlDiv,
        MultipleNegativesRanking,
        InfoNce,
    )
}
"""Losses by their name in a spec."""
