"""Losses: their types and their text against PyTorch itself."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from specdl.ir.dims import BATCH, symbol
from specdl.ir.types import TensorType
from specdl.objectives.losses import LOSSES
from specdl.ops.base import TypeRuleError
from specdl.ops.broadcasting import number

SIZES = {"N": 4, "T": 3}


def tensor(type: TensorType, *, classes: int = 10) -> torch.Tensor:
    shape = [SIZES[str(size)] if not isinstance(size, int) else size for size in type.shape]
    generator = torch.Generator().manual_seed(0)
    if type.floating:
        return torch.rand(shape, generator=generator) * 0.8 + 0.1
    return torch.randint(0, classes, shape, generator=generator)


def run(name: str, arguments: dict[str, Any], prediction: TensorType, target: TensorType, classes: int) -> torch.Tensor:
    loss = LOSSES[name].model_validate(arguments)
    (result,) = loss.infer(prediction, target)
    assert result == TensorType((), prediction.dtype)
    text = loss.torch_function(["scores", "label"], prediction, target)
    values = {"F": F, "torch": torch, "scores": tensor(prediction), "label": tensor(target, classes=classes)}
    value = eval(str(text), values)
    assert value.shape == ()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    return torch.as_tensor(value)


N, T = BATCH, symbol("T")
INT = "int64"

CASES = [
    ("cross_entropy", {}, TensorType((N, 10)), TensorType((N,), INT), 10),
    ("cross_entropy", {"label_smoothing": 0.1}, TensorType((N, 10)), TensorType((N,), INT), 10),
    ("cross_entropy", {"ignore_index": 0}, TensorType((N, 10)), TensorType((N,), INT), 10),
    ("cross_entropy", {"class_weights": [1, 2.0, 3]}, TensorType((N, 3)), TensorType((N,), INT), 3),
    ("cross_entropy", {}, TensorType((N, 10)), TensorType((N, 10)), 10),
    ("cross_entropy", {}, TensorType((N, 5, 6, 7)), TensorType((N, 6, 7), INT), 5),
    ("cross_entropy", {}, TensorType((N, T, 12)), TensorType((N, T), INT), 12),
    ("cross_entropy", {}, TensorType((N, 6, 5, 7)), TensorType((N, 6, 7), INT), 5),
    ("nll", {}, TensorType((N, 10)), TensorType((N,), INT), 10),
    ("mse", {}, TensorType((N, 3)), TensorType((N, 3)), 0),
    ("mse", {}, TensorType((N, 3)), TensorType((N, 3), INT), 5),
    ("l1", {}, TensorType((N, 3)), TensorType((N, 3)), 0),
    ("smooth_l1", {"beta": 0.5}, TensorType((N, 3)), TensorType((N, 3)), 0),
    ("huber", {"delta": 2}, TensorType((N, 3)), TensorType((N, 3)), 0),
    ("bce", {}, TensorType((N,)), TensorType((N,), INT), 2),
    ("bce_with_logits", {}, TensorType((N, 3)), TensorType((N, 3)), 0),
    ("bce_with_logits", {"pos_weight": 3}, TensorType((N, 3)), TensorType((N, 3), INT), 2),
    ("bce_with_logits", {"pos_weight": [1, 2, 3]}, TensorType((N, 3)), TensorType((N, 3)), 0),
    ("kl_div", {}, TensorType((N, 3)), TensorType((N, 3)), 0),
    ("kl_div", {"reduction": "mean", "log_target": True}, TensorType((N, 3)), TensorType((N, 3)), 0),
]


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize(("name", "arguments", "prediction", "target", "classes"), CASES)
def test_the_text_runs_and_gives_one_number(
    name: str, arguments: dict[str, Any], prediction: TensorType, target: TensorType, classes: int
) -> None:
    run(name, arguments, prediction, target, classes)


def test_the_class_axis_is_the_one_that_the_target_lacks() -> None:
    last = run("cross_entropy", {}, TensorType((N, T, 12)), TensorType((N, T), INT), 12)
    scores, label = tensor(TensorType((N, T, 12))), tensor(TensorType((N, T), INT), classes=12)
    torch.testing.assert_close(last, F.cross_entropy(scores.movedim(-1, 1), label))


def test_axis_one_where_two_axes_fit() -> None:
    type, target = TensorType((N, 5, 5)), TensorType((N, 5), INT)
    scores, label = tensor(type), tensor(target, classes=5)
    torch.testing.assert_close(run("cross_entropy", {}, type, target, 5), F.cross_entropy(scores, label))


def test_a_number_stands_for_a_whole_target() -> None:
    loss = LOSSES["bce_with_logits"].model_validate({})
    text = str(loss.torch_function(["scores", "1.0"], TensorType((N, 1)), TensorType(())))
    scores = tensor(TensorType((N, 1)))
    value = eval(text, {"F": F, "torch": torch, "scores": scores})
    torch.testing.assert_close(value, F.binary_cross_entropy_with_logits(scores, torch.ones_like(scores)))


REFUSED = [
    ("cross_entropy", TensorType((N, 10)), TensorType((N,)), "index of the right class"),
    ("cross_entropy", TensorType((N, 10)), TensorType((N,), "int32"), "int64"),
    ("cross_entropy", TensorType((N, 10)), TensorType((N, 1), INT), "without the class axis"),
    ("cross_entropy", TensorType((N, 10), INT), TensorType((N,), INT), "floating-point"),
    ("cross_entropy", TensorType((N,)), TensorType((N,), INT), "scores"),
    ("mse", TensorType((N, 1)), TensorType((N,)), "shape"),
    ("mse", TensorType((N, 2), INT), TensorType((N, 2), INT), "floating-point"),
    ("bce_with_logits", TensorType((N, 10)), TensorType((N,), INT), "shape"),
    ("kl_div", TensorType((N, 10)), TensorType((N, 10), "float64"), "dtype"),
]


@pytest.mark.parametrize(("name", "prediction", "target", "words"), REFUSED)
def test_types_that_do_not_fit_are_refused(name: str, prediction: TensorType, target: TensorType, words: str) -> None:
    with pytest.raises(TypeRuleError, match=words):
        LOSSES[name].model_validate({}).infer(prediction, target)


def test_the_number_of_class_weights_is_checked() -> None:
    loss = LOSSES["cross_entropy"].model_validate({"class_weights": [1, 2]})
    with pytest.raises(TypeRuleError, match="3 classes"):
        loss.infer(TensorType((N, 3)), TensorType((N,), INT))


ELEMENTWISE: dict[str, Any] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "smooth_l1": F.smooth_l1_loss,
    "huber": F.huber_loss,
    "bce": F.binary_cross_entropy,
    "bce_with_logits": F.binary_cross_entropy_with_logits,
}


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize(("text", "target"), [("1.0", number(1.0)), ("0", number(0)), ("0.25", number(0.25))])
def test_numbers_as_targets_of_every_elementwise_loss(name: str, text: str, target: TensorType) -> None:
    """`bce_with_logits(real, 1.0)`: the number, integer or not, stands for a tensor of the input's shape."""
    loss, type = LOSSES[name].model_validate({}), TensorType((N, 3))
    assert loss.infer(type, target) == (TensorType(()),)
    scores = tensor(type)
    found = eval(str(loss.torch_function(["scores", text], type, target)), {"F": F, "torch": torch, "scores": scores})
    wanted = ELEMENTWISE[name](scores, torch.full((4, 3), float(text)))
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("shape", [(N, 5), (N, T, 5)])
def test_kl_div_is_the_divergence_of_an_example(shape: tuple[Any, ...]) -> None:
    """Σ p · (log p - log q), over everything but the batch; `mean` also divides by the other sizes."""
    type = TensorType(shape)
    p, q = tensor(type).softmax(-1), tensor(type).flip(-1).softmax(-1)
    divergence = (p * (p.log() - q.log())).sum()
    values = {"F": F, "torch": torch, "scores": q.log()}
    for log_target, label in ((False, p), (True, p.log())):
        for reduction, count in (("batchmean", p.shape[0]), ("mean", p.numel())):
            loss = LOSSES["kl_div"].model_validate({"reduction": reduction, "log_target": log_target})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch's advice against `mean`, which the spec asked for
                found = eval(str(loss.torch_function(["scores", "label"], type, type)), {**values, "label": label})
            # Sums of some sixty float32 numbers in another order.
            torch.testing.assert_close(found, divergence / count, rtol=1e-5, atol=1e-6)
