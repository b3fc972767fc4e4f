"""Reductions against PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.ops import reduction
from specdl.ops.base import Op
from specdl.ops.reduction import Argmax, Cumsum, Mean, Norm, Std, Sum
from tests.unit.ops.harness import check_arguments, check_symbolic, make, tensor

DTYPES = st.sampled_from(["bool", "uint8", "int32", "int64", "float32", "float64"])
SHAPES = st.lists(st.integers(1, 4), max_size=3)
AXES = st.integers(-4, 4)
MANY = [op for op in reduction.OPS if op.operator not in {"prod", "argmax", "argmin", "cumsum", "cumprod"}]
ONE = [op for op in reduction.OPS if op.operator in {"prod", "argmax", "argmin"}]
RUNNING = [op for op in reduction.OPS if op.operator in {"cumsum", "cumprod"}]


@pytest.mark.parametrize("op", MANY, ids=lambda op: op.operator)
@given(dim=st.none() | AXES | st.lists(AXES, min_size=1, max_size=3), keepdim=st.booleans(), shape=SHAPES, dtype=DTYPES)
def test_over_several_axes(op: type[Op], dim: Any, keepdim: bool, shape: list[int], dtype: str) -> None:
    check_arguments(op, {"dim": dim, "keepdim": keepdim}, tensor(*shape, dtype=dtype))


@pytest.mark.parametrize("op", ONE, ids=lambda op: op.operator)
@given(dim=st.none() | AXES, keepdim=st.booleans(), shape=SHAPES, dtype=DTYPES)
def test_over_one_axis(op: type[Op], dim: Any, keepdim: bool, shape: list[int], dtype: str) -> None:
    check_arguments(op, {"dim": dim, "keepdim": keepdim}, tensor(*shape, dtype=dtype))


@pytest.mark.parametrize("op", RUNNING, ids=lambda op: op.operator)
@given(dim=AXES, shape=SHAPES, dtype=DTYPES)
def test_running(op: type[Op], dim: int, shape: list[int], dtype: str) -> None:
    check_arguments(op, {"dim": dim}, tensor(*shape, dtype=dtype))


@given(p=st.sampled_from([0, 1, 2, 3, 0.5, -1, float("inf"), float("-inf")]), dim=st.none() | AXES)
def test_norm(p: float, dim: Any) -> None:
    check_arguments(Norm, {"p": p, "dim": dim}, tensor(2, 3, 4))


@given(correction=st.integers(0, 3))
def test_spread(correction: int) -> None:
    check_arguments(Std, {"correction": correction, "dim": 1}, tensor(2, 3))


@pytest.mark.parametrize("op", reduction.OPS, ids=lambda op: op.operator)
def test_symbolic_sizes(op: type[Op]) -> None:
    check_symbolic(make(op, {"dim": 1}), tensor(BATCH, symbol("T"), 8), sizes={"N": 2, "T": 3})


@pytest.mark.parametrize(
    ("op", "text"),
    [
        (Mean(dim=1), "x.mean(dim=1)"),
        (Mean(dim=(2, 3), keepdim=True), "x.mean(dim=(2, 3), keepdim=True)"),
        (Sum(), "x.sum()"),
        (Sum(keepdim=True), "x.sum(dim=(0, 1, 2, 3), keepdim=True)"),
        (Argmax(dim=-1), "x.argmax(dim=-1)"),
        (Cumsum(dim=1), "x.cumsum(dim=1)"),
        (Norm(dim=1), "torch.linalg.vector_norm(x, dim=1)"),
        (Norm(p=1), "torch.linalg.vector_norm(x, ord=1)"),
        (Std(dim=1, correction=0), "x.std(dim=1, correction=0)"),
    ],
    ids=str,
)
def test_text(op: Op, text: str) -> None:
    assert op.torch_function(["x"], tensor(BATCH, 3, 4, 4)) == text


def test_an_expression_gets_brackets() -> None:
    assert Sum(dim=1).torch_function(["a + b"], tensor(2, 3)) == "(a + b).sum(dim=1)"
