"""Metrics: what is measured on validation data, by torchmetrics.

A metric's class is a thin description; `make` builds the torchmetrics object for a type of prediction.
torchmetrics takes seconds to import, so that happens only when a metric runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from pydantic import Field

from specdl.ir.types import TensorType
from specdl.objectives.base import Declared
from specdl.ops.base import TypeRuleError

_PAGE = "https://lightning.ai/docs/torchmetrics/stable/{}.html"

Average = Literal["macro", "micro", "weighted"]


class Metric(Declared):
    """Base of the metrics. `better` says in which direction a model improves."""

    better: ClassVar[Literal["max", "min"]] = "max"

    def check(self, prediction: TensorType, target: TensorType) -> None:
        """Guards the types. Raises `TypeRuleError`."""
        raise NotImplementedError

    def make(self, prediction: TensorType, target: TensorType) -> Any:
        """A torchmetrics object with `update(prediction, target)`, `compute()` and `reset()`."""
        raise NotImplementedError


def _without_classes(prediction: TensorType, target: TensorType) -> int | None:
    """The axis of the classes, None for binary scores; raises where the types don't belong together."""
    if prediction.floating and prediction.shape in {target.shape, (*target.shape, 1)}:
        return None
    for axis in (1, prediction.rank - 1):
        if 0 < axis < prediction.rank and (*prediction.shape[:axis], *prediction.shape[axis + 1 :]) == target.shape:
            return axis
    raise TypeRuleError(f"expects scores of classes [N, C, ...] and labels [N, ...], got {prediction} and {target}")


class _Classification(Metric):
    """A metric of scores `[N, C, ...]` (or one score an example, for two classes) and labels `[N, ...]`."""

    ignore_index: int | None = Field(
        default=-100, description="A label that is left out (padding): -100, as losses have it, unless given."
    )
    threshold: float = Field(
        default=0.0,
        description="The single score of two classes above which it is yes: 0 for logits, 0.5 after sigmoid.",
    )

    def check(self, prediction: TensorType, target: TensorType) -> None:
        axis = _without_classes(prediction, target)
        if axis is not None and not isinstance(prediction.shape[axis], int):
            raise TypeRuleError(f"the number of classes must be known, but the scores are {prediction}")

    def _make(self, kind: str, prediction: TensorType, target: TensorType, **arguments: Any) -> Any:
        from torchmetrics import classification

        axis = _without_classes(prediction, target)
        if axis is None:
            binary = getattr(classification, f"Binary{kind}")(ignore_index=self.ignore_index, validate_args=False)
            return _Adapted(binary, self._decide)
        made = getattr(classification, f"Multiclass{kind}")(
            num_classes=prediction.shape[axis], ignore_index=self.ignore_index, validate_args=False, **arguments
        )
        return made if axis == 1 else _Adapted(made, lambda scores, labels: (scores.movedim(axis, 1), labels))

    def _decide(self, scores: Any, labels: Any) -> tuple[Any, Any]:
        # torchmetrics guesses batch by batch whether scores are logits, and errs when they all lie in [0, 1].
        scores = scores.squeeze(-1) if scores.dim() > labels.dim() else scores
        return (scores > self.threshold).long(), labels.long()


class _Adapted:
    """A torchmetrics object whose inputs are brought into its layout first."""

    def __init__(self, metric: Any, adapt: Callable[[Any, Any], tuple[Any, Any]]) -> None:
        self._metric, self._adapt = metric, adapt

    def update(self, prediction: Any, target: Any) -> None:
        """Adds a batch."""
        self._metric.update(*self._adapt(prediction, target))

    def compute(self) -> Any:
        """The value over all batches."""
        return self._metric.compute()

    def reset(self) -> None:
        """Forgets all batches."""
        self._metric.reset()

    def to(self, device: Any) -> _Adapted:
        """Moves the counts to a device."""
        self._metric = self._metric.to(device)
        return self


class Accuracy(_Classification):
    """The share of examples whose label is among the `top_k` highest scores."""

    name: ClassVar[str] = "accuracy"
    main: ClassVar[str | None] = "top_k"
    reference: ClassVar[str] = _PAGE.format("classification/accuracy")

    top_k: int = Field(default=1, ge=1, description="How many of the highest scores count as a hit.")
    average: Average = Field(default="micro", description="Over examples (micro) or first over each class (macro).")

    def check(self, prediction: TensorType, target: TensorType) -> None:
        super().check(prediction, target)
        axis = _without_classes(prediction, target)
        classes = 2 if axis is None else prediction.shape[axis]
        if isinstance(classes, int) and self.top_k >= classes and self.top_k > 1:
            raise TypeRuleError(f"`top_k: {self.top_k}` of {classes} classes is always right", argument="top_k")

    def make(self, prediction: TensorType, target: TensorType) -> Any:
        return self._make("Accuracy", prediction, target, top_k=self.top_k, average=self.average)


class _Averaged(_Classification):
    """A metric of single classes, averaged."""

    kind: ClassVar[str]

    average: Average = Field(default="macro", description="Over classes (macro), examples (micro), or class sizes.")

    def make(self, prediction: TensorType, target: TensorType) -> Any:
        return self._make(self.kind, prediction, target, average=self.average)


class Precision(_Averaged):
    """The share of the predictions of a class that are right."""

    name: ClassVar[str] = "precision"
    kind: ClassVar[str] = "Precision"
    reference: ClassVar[str] = _PAGE.format("classification/precision")


class Recall(_Averaged):
    """The share of the examples of a class that are found."""

    name: ClassVar[str] = "recall"
    kind: ClassVar[str] = "Recall"
    reference: ClassVar[str] = _PAGE.format("classification/recall")


class F1(_Averaged):
    """The harmonic mean of precision and recall."""

    name: ClassVar[str] = "f1"
    kind: ClassVar[str] = "F1Score"
    reference: ClassVar[str] = _PAGE.format("classification/f1_score")


class _Regression(Metric):
    """A metric of two tensors of one shape."""

    better: ClassVar[Literal["max", "min"]] = "min"
    kind: ClassVar[str]

    def check(self, prediction: TensorType, target: TensorType) -> None:
        if prediction.shape != target.shape:
            raise TypeRuleError(f"expects two tensors of one shape, got {prediction} and {target}")

    def make(self, prediction: TensorType, target: TensorType) -> Any:
        import torchmetrics

        made = getattr(torchmetrics, self.kind)()
        return _Adapted(made, lambda left, right: (left.flatten(), right.flatten().to(left.dtype)))


class Mae(_Regression):
    """The mean of |prediction - target|."""

    name: ClassVar[str] = "mae"
    kind: ClassVar[str] = "MeanAbsoluteError"
    reference: ClassVar[str] = _PAGE.format("regression/mean_absolute_error")


class Mse(_Regression):
    """The mean of (prediction - target)²."""

    name: ClassVar[str] = "mse"
    kind: ClassVar[str] = "MeanSquaredError"
    reference: ClassVar[str] = _PAGE.format("regression/mean_squared_error")


class R2(_Regression):
    """The share of the target's variance that the prediction explains."""

    name: ClassVar[str] = "r2"
    better: ClassVar[Literal["max", "min"]] = "max"
    kind: ClassVar[str] = "R2Score"
    reference: ClassVar[str] = _PAGE.format("regression/r2_score")


class Perplexity(Metric):
    """exp of the mean cross-entropy of scores `[N, T, C]` against tokens `[N, T]`."""

    name: ClassVar[str] = "perplexity"
    better: ClassVar[Literal["max", "min"]] = "min"
    reference: ClassVar[str] = _PAGE.format("text/perplexity")

    ignore_index: int | None = Field(
        default=-100, description="A token that is left out (padding): -100, as losses have it, unless given."
    )

    def check(self, prediction: TensorType, target: TensorType) -> None:
        if prediction.rank != 3 or prediction.shape[:2] != target.shape:
            raise TypeRuleError(f"expects scores [N, T, C] and tokens [N, T], got {prediction} and {target}")

    def make(self, prediction: TensorType, target: TensorType) -> Any:
        from torchmetrics.text import Perplexity as Implementation

        return Implementation(ignore_index=self.ignore_index)


class Bleu(Metric):
    """How many runs of up to `n_gram` tokens are those of the target, of all texts together.

    It takes scores `[N, T, C]`, of which the likeliest tokens count, or tokens `[N, T]`, and compares the numbers of
    tokens, not words. Where a decoder saw the right tokens before each place (teacher forcing), the value is higher
    than that of texts it writes by itself.
    """

    name: ClassVar[str] = "bleu"
    main: ClassVar[str | None] = "n_gram"
    reference: ClassVar[str] = _PAGE.format("text/bleu_score")

    n_gram: int = Field(default=4, ge=1, le=8, description="The longest run.")
    smooth: bool = Field(default=False, description="Whether one is added to the counts of runs of two and more.")
    ignore_index: int | None = Field(
        default=-100, description="A token that is left out (padding): -100, as losses have it, unless given."
    )

    def check(self, prediction: TensorType, target: TensorType) -> None:
        scores = prediction.floating and prediction.rank == 3 and prediction.shape[:2] == target.shape
        tokens = not prediction.floating and prediction.rank == 2 and prediction.shape == target.shape
        if not (scores or tokens):
            raise TypeRuleError(
                f"expects scores [N, T, C], or tokens [N, T], and tokens [N, T], got {prediction} and {target}"
            )

    def make(self, prediction: TensorType, target: TensorType) -> Any:
        from torchmetrics.text import BLEUScore

        def adapt(found: Any, wanted: Any) -> tuple[list[str], list[list[str]]]:
            found = found.argmax(-1) if found.is_floating_point() else found
            pairs = [
                (row[kept], other[kept]) for row, other, kept in zip(found, wanted, wanted != ignored, strict=True)
            ]
            return [_words(row) for row, _ in pairs], [[_words(other)] for _, other in pairs]

        ignored = self.ignore_index
        return _Adapted(BLEUScore(n_gram=self.n_gram, smooth=self.smooth), adapt)


def _words(tokens: Any) -> str:
    """Numbers of tokens as words of a text."""
    return " ".join(map(str, tokens.tolist()))


METRICS: dict[str, type[Metric]] = {
    metric.name: metric for metric in (Accuracy, Precision, Recall, F1, Mae, Mse, R2, Perplexity, Bleu)
}
"""Metrics by their name in a spec."""
