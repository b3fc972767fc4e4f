"""Metrics: the same numbers as scikit-learn's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sklearn import metrics as reference

from specdl.ir.dims import BATCH
from specdl.ir.types import TensorType
from specdl.objectives.metrics import METRICS
from specdl.ops.base import TypeRuleError

SCORES = torch.randn((200, 5), generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 5, (200,), generator=torch.Generator().manual_seed(1))
SCORES[torch.arange(200), LABELS] += 1.0  # better than chance, so that averages differ
CLASSES = (TensorType((BATCH, 5)), TensorType((BATCH,), "int64"))


def measure(name: str, arguments: dict[str, Any], types: Any, prediction: torch.Tensor, target: torch.Tensor) -> float:
    metric = METRICS[name].model_validate(arguments)
    metric.check(*types)
    made = metric.make(*types)
    for start in range(0, len(prediction), 64):  # in batches, the last one smaller
        made.update(prediction[start : start + 64], target[start : start + 64])
    return float(made.compute())


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("accuracy", {}, reference.accuracy_score(LABELS, SCORES.argmax(1))),
        ("accuracy", {"average": "macro"}, reference.balanced_accuracy_score(LABELS, SCORES.argmax(1))),
        ("accuracy", {"top_k": 2}, reference.top_k_accuracy_score(LABELS, SCORES, k=2)),
        ("precision", {}, reference.precision_score(LABELS, SCORES.argmax(1), average="macro")),
        ("recall", {}, reference.recall_score(LABELS, SCORES.argmax(1), average="macro")),
        ("f1", {}, reference.f1_score(LABELS, SCORES.argmax(1), average="macro")),
        ("f1", {"average": "weighted"}, reference.f1_score(LABELS, SCORES.argmax(1), average="weighted")),
    ],
)
def test_classification_equals_sklearn(name: str, arguments: dict[str, Any], expected: float) -> None:
    # torchmetrics counts in float32.
    assert measure(name, arguments, CLASSES, SCORES, LABELS) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["accuracy", "precision", "recall", "f1"])
@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_one_score_an_example_is_two_classes(name: str, threshold: float) -> None:
    scores, labels = SCORES[:, :1], (LABELS > 2).long()
    decided = (scores[:, 0] > threshold).long()
    function = getattr(reference, f"{name}_score")
    types = (TensorType((BATCH, 1)), TensorType((BATCH,), "int64"))
    found = measure(name, {"threshold": threshold}, types, scores, labels)
    assert found == pytest.approx(function(labels, decided), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("mae", reference.mean_absolute_error),
        ("mse", reference.mean_squared_error),
        ("r2", reference.r2_score),
    ],
)
def test_regression_equals_sklearn(name: str, function: Any) -> None:
    types = (TensorType((BATCH,)), TensorType((BATCH,)))
    found = measure(name, {}, types, SCORES[:, 0], SCORES[:, 1])
    assert found == pytest.approx(function(SCORES[:, 1], SCORES[:, 0]), rel=1e-5)  # float32 sums


def test_perplexity_is_the_exponential_of_the_cross_entropy() -> None:
    scores, tokens = SCORES.view(20, 10, 5), LABELS.view(20, 10)
    types = (TensorType((BATCH, 10, 5)), TensorType((BATCH, 10), "int64"))
    expected = torch.nn.functional.cross_entropy(SCORES, LABELS).exp()
    assert measure("perplexity", {}, types, scores, tokens) == pytest.approx(float(expected), rel=1e-5)


def test_classes_on_the_last_axis() -> None:
    types = (TensorType((BATCH, 10, 5)), TensorType((BATCH, 10), "int64"))
    found = measure("accuracy", {}, types, SCORES.view(20, 10, 5), LABELS.view(20, 10))
    assert found == pytest.approx(reference.accuracy_score(LABELS, SCORES.argmax(1)), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "arguments", "prediction", "target"),
    [
        ("accuracy", {}, TensorType((BATCH, 5, 2)), TensorType((BATCH,), "int64")),
        ("accuracy", {"top_k": 5}, *CLASSES),
        ("mse", {}, TensorType((BATCH, 1)), TensorType((BATCH,))),
        ("perplexity", {}, *CLASSES),
    ],
)
def test_types_that_do_not_fit_are_refused(
    name: str, arguments: dict[str, Any], prediction: TensorType, target: TensorType
) -> None:
    with pytest.raises(TypeRuleError):
        METRICS[name].model_validate(arguments).check(prediction, target)
