"""Elementwise functions of one value against PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.ops import elementwise
from specdl.ops.base import Op, TypeRuleError
from specdl.ops.elementwise import Clamp, StopGradient
from tests.unit.ops.harness import check, check_arguments, check_symbolic, run_function, tensor

PLAIN = [op for op in elementwise.OPS if not op.model_fields]
REFUSED_ON_GPU = {"sign"}
"""PyTorch's CPU kernel takes bool here, others don't: we refuse."""


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("op", PLAIN, ids=lambda op: op.operator)
def test_dtypes(op: type[Op], dtype: str) -> None:
    if dtype != "bool" or op.operator not in REFUSED_ON_GPU:
        check_arguments(op, {}, tensor(2, 3, dtype=dtype))


@pytest.mark.parametrize("op", PLAIN, ids=lambda op: op.operator)
def test_symbolic_sizes(op: type[Op]) -> None:
    dtype = "int64" if op is elementwise.BitwiseNot else "float32"
    check_symbolic(op(), tensor(BATCH, symbol("T"), dtype=dtype), sizes={"N": 2, "T": 3})
    check(op(), tensor(dtype=dtype))


BOUNDS = st.none() | st.integers(-2, 2) | st.floats(-2, 2)


@given(low=BOUNDS, high=BOUNDS, dtype=st.sampled_from(["bool", "int32", "int64", "float16", "float32"]))
def test_clamp(low: Any, high: Any, dtype: str) -> None:
    check_arguments(Clamp, {"min": low, "max": high}, tensor(2, 3, dtype=dtype))


def test_clamp_text() -> None:
    x = tensor(BATCH)
    assert Clamp(min=-1, max=1.5).torch_function(["x"], x) == "torch.clamp(x, -1, 1.5)"
    assert Clamp(max=1e-6).torch_function(["x"], x) == "torch.clamp(x, max=1e-6)"


def test_stop_gradient_stops_it() -> None:
    x = torch.ones(3, requires_grad=True)
    assert not run_function(StopGradient(), [x], tensor(3)).requires_grad


def test_neg_keeps_precedence() -> None:
    assert elementwise.Neg().torch_function(["a + b"], tensor(2)) == "-(a + b)"


def test_bool_is_refused_readably() -> None:
    with pytest.raises(TypeRuleError, match="isn't defined for bool"):
        elementwise.Neg().infer(tensor(2, dtype="bool"))
