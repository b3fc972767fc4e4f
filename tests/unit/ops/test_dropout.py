"""Dropout against PyTorch, and stochastic depth against what its paper says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.nn.stochastic_depth import StochasticDepth as StochasticDepthModule
from specdl.ops import dropout
from specdl.ops.base import Call, Op
from specdl.ops.dropout import Dropout, Dropout1d, Dropout2d, StochasticDepth
from tests.unit.ops.harness import check_arguments, check_symbolic, refusal_of, tensor

RANKS: dict[Any, int] = {Dropout1d: 3, Dropout2d: 4}


@pytest.mark.parametrize("op", [op for op in dropout.OPS if op is not StochasticDepth])
@given(p=st.sampled_from([0, 0.0, 0.3, 1.0, 1, 1.5, -0.1]), dtype=st.sampled_from(["float32", "float64", "int64"]))
def test_dropout_agrees_with_pytorch(op: Any, p: float, dtype: Any) -> None:
    # PyTorch leaves integers alone where nothing is dropped; we refuse them always.
    if dtype != "int64" or 0 < p < 1:
        check_arguments(
            op, {"p": p}, tensor(2, 3, 4, 4, dtype=dtype) if op is not Dropout1d else tensor(2, 3, 4, dtype=dtype)
        )


@pytest.mark.parametrize(("op", "rank"), list(RANKS.items()))
def test_channel_dropout_needs_its_layout(op: Any, rank: int) -> None:
    for wrong in {2, 3, 4, 5} - {rank}:
        refusal = refusal_of(op, {}, tensor(*[2] * wrong))
        assert refusal is not None
        assert refusal.message.startswith("expects [N, C")


@given(
    arguments=st.fixed_dictionaries(
        {"p": st.sampled_from([0.0, 0.3, 1.0])}, optional={"mode": st.sampled_from(["row", "batch"])}
    ),
    shape=st.lists(st.integers(1, 3), min_size=1, max_size=4),
)
def test_stochastic_depth_keeps_the_type(arguments: dict[str, Any], shape: list[int]) -> None:
    check_arguments(StochasticDepth, arguments, tensor(*shape))


@pytest.mark.parametrize("arguments", [{"p": 1.5}, {"p": -0.5}, {"p": 0.5, "mode": "column"}])
def test_stochastic_depth_refuses(arguments: dict[str, Any]) -> None:
    assert refusal_of(StochasticDepth, arguments, tensor(2, 3)) is not None


def test_stochastic_depth_drops_whole_examples() -> None:
    torch.manual_seed(0)
    x = torch.ones(400, 3, 2)
    module = StochasticDepthModule(0.25).train()
    y = module(x)
    kept = y[:, 0, 0] != 0
    assert torch.equal(y[kept], torch.full_like(y[kept], 1 / 0.75))
    assert torch.equal(y[~kept], torch.zeros_like(y[~kept]))
    # 400 draws with a share of 0.75: five standard deviations are 0.11.
    assert abs(kept.float().mean().item() - 0.75) < 0.11
    assert torch.equal(module.eval()(x), x)


def test_stochastic_depth_of_the_batch_is_all_or_nothing() -> None:
    torch.manual_seed(0)
    module = StochasticDepthModule(0.5, mode="batch").train()
    found = {tuple(module(torch.ones(8, 2)).unique().tolist()) for _ in range(40)}
    assert found == {(0.0,), (2.0,)}


def test_calls_are_what_a_person_writes() -> None:
    x = tensor(BATCH, 3)
    assert Dropout(p=0.2).torch_module(x) == Call("nn.Dropout", (0.2,))
    assert StochasticDepth(p=0.1).torch_module(x) == Call("StochasticDepth", (0.1,))
    assert StochasticDepth(p=0.1, mode="batch").torch_module(x) == Call("StochasticDepth", (0.1,), (("mode", "batch"),))
    assert Dropout(p=0.2).title() == "Dropout 0.2"


@pytest.mark.parametrize("op", dropout.OPS)
def test_symbolic_sizes(op: type[Op]) -> None:
    assert op.random
    shape = [BATCH, *[symbol("T")] * (RANKS.get(op, 3) - 1)]
    check_symbolic(op(), tensor(*shape), sizes={"N": 2, "T": 5})
