"""Schedules: the same learning rates, step by step, as `torch.optim.lr_scheduler`'s."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.optim import lr_scheduler

from specdl.objectives.schedulers import SCHEDULERS

PER_EPOCH, EPOCHS = 7, 6
TOTAL = PER_EPOCH * EPOCHS
LR = 0.3


def reference(make: Callable[[Any], Any], *, each_epoch: bool) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR, momentum=0.9)
    scheduler = make(optimizer)
    rates = []
    for step in range(TOTAL):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if not each_epoch or (step + 1) % PER_EPOCH == 0:
            scheduler.step()
    return rates


def warm(length: int, after: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def make(optimizer: Any) -> Any:
        rise = lr_scheduler.LinearLR(optimizer, start_factor=1 / length, total_iters=length - 1)
        return lr_scheduler.SequentialLR(optimizer, [rise, after(optimizer)], milestones=[length])

    return make


CASES: list[tuple[str, dict[str, Any], Callable[[Any], Any], bool]] = [
    ("constant", {}, lambda o: lr_scheduler.ConstantLR(o, factor=1), False),
    ("constant", {"warmup_steps": 5}, warm(5, lambda o: lr_scheduler.ConstantLR(o, factor=1)), False),
    ("step", {"step_size": 2, "gamma": 0.5}, lambda o: lr_scheduler.StepLR(o, 2, 0.5), True),
    ("step", {"step_size": 4, "unit": "step"}, lambda o: lr_scheduler.StepLR(o, 4), False),
    ("multi_step", {"milestones": [1, 4]}, lambda o: lr_scheduler.MultiStepLR(o, [1, 4]), True),
    ("multi_step", {"milestones": [3, 9], "unit": "step"}, lambda o: lr_scheduler.MultiStepLR(o, [3, 9]), False),
    ("exponential", {"gamma": 0.8}, lambda o: lr_scheduler.ExponentialLR(o, 0.8), True),
    ("cosine", {}, lambda o: lr_scheduler.CosineAnnealingLR(o, TOTAL), False),
    ("cosine", {"unit": "epoch"}, lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS), True),
    ("cosine", {"min_factor": 0.1}, lambda o: lr_scheduler.CosineAnnealingLR(o, TOTAL, eta_min=0.1 * LR), False),
    (
        "cosine",
        {"warmup_steps": 10},
        warm(10, lambda o: lr_scheduler.CosineAnnealingLR(o, TOTAL - 10)),
        False,
    ),
    ("linear", {}, lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, TOTAL), False),
    ("linear", {"start": 0.2, "end": 0.9, "steps": 12}, lambda o: lr_scheduler.LinearLR(o, 0.2, 0.9, 12), False),
    ("one_cycle", {}, lambda o: lr_scheduler.OneCycleLR(o, LR, total_steps=TOTAL + 1), False),
    (
        "one_cycle",
        {"anneal_strategy": "linear", "pct_start": 0.5, "div_factor": 10.0},
        lambda o: lr_scheduler.OneCycleLR(
            o, LR, total_steps=TOTAL, pct_start=0.5, div_factor=10, anneal_strategy="linear"
        ),
        False,
    ),
]


# PyTorch multiplies step by step, so its rounding adds up over the 42 steps.
CLOSE = {"rel": 1e-9, "abs": 1e-12}


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step:UserWarning")
@pytest.mark.parametrize(("name", "arguments", "make", "each_epoch"), CASES)
def test_same_rates_as_torch(
    name: str, arguments: dict[str, Any], make: Callable[[Any], Any], each_epoch: bool
) -> None:
    scheduler = SCHEDULERS[name].model_validate(arguments)
    # OneCycleLR refuses a step past its last one, so it is given the step behind the end as well.
    total = TOTAL + 1 if (name, arguments) == ("one_cycle", {}) else TOTAL
    if name == "one_cycle" and arguments:
        expected = _one_cycle_without_last(make)
    else:
        expected = reference(make, each_epoch=each_epoch)
    found = [LR * scheduler.factor(step, total, PER_EPOCH) for step in range(TOTAL)]
    assert found == pytest.approx(expected, **CLOSE)


def _one_cycle_without_last(make: Callable[[Any], Any]) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR, momentum=0.9)
    scheduler = make(optimizer)
    rates = []
    for step in range(TOTAL):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step + 1 < TOTAL:
            scheduler.step()
    return rates


def test_one_cycle_moves_momentum_as_torch_does() -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    torch_scheduler = lr_scheduler.OneCycleLR(optimizer, LR, total_steps=TOTAL)
    scheduler = SCHEDULERS["one_cycle"]()
    for step in range(TOTAL - 1):
        assert scheduler.momentum(step, TOTAL, PER_EPOCH) == pytest.approx(optimizer.param_groups[0]["betas"][0])
        optimizer.step()
        torch_scheduler.step()


def test_inverse_sqrt_is_the_papers_formula() -> None:
    scheduler = SCHEDULERS["inverse_sqrt"].model_validate({"warmup_steps": 4000})
    assert scheduler.factor(0, 100_000, 1000) == pytest.approx(4000**-1.5)
    assert scheduler.factor(3999, 100_000, 1000) == pytest.approx(4000**-0.5)
    assert scheduler.factor(15_999, 100_000, 1000) == pytest.approx(16_000**-0.5)


@given(
    name=st.sampled_from(["constant", "cosine", "linear", "one_cycle"]),
    total=st.integers(1, 500),
    per_epoch=st.integers(1, 50),
    warmup=st.integers(0, 600),
)
def test_factors_stay_between_zero_and_one(name: str, total: int, per_epoch: int, warmup: int) -> None:
    arguments = {} if name == "one_cycle" else {"warmup_steps": warmup}
    scheduler = SCHEDULERS[name].model_validate(arguments)
    assert all(0 <= scheduler.factor(step, total, per_epoch) <= 1 for step in range(total))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("step", {}),
        ("step", {"step_size": 0}),
        ("multi_step", {"milestones": [3, 3]}),
        ("multi_step", {"milestones": []}),
        ("exponential", {"gamma": 1.2}),
        ("cosine", {"warmup_steps": -1}),
        ("cosine", {"eta_min": 0.1}),
        ("one_cycle", {"warmup_steps": 5}),
        ("inverse_sqrt", {}),
    ],
)
def test_arguments_out_of_range_are_refused(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SCHEDULERS[name].model_validate(arguments)
