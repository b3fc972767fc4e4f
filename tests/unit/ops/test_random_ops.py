"""Random operators: shapes and dtypes against PyTorch, bounds of the numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.ops.base import Op, TypeRuleError
from specdl.ops.random_ops import Rand, Randint, Randn, RandnLike, _Random
from tests.unit.ops.harness import check, check_arguments, evaluate_type, make, run_function, tensor

X = tensor(BATCH, symbol("T"), 8)


def test_like() -> None:
    check(RandnLike(), tensor(2, 3))
    assert not check_arguments(RandnLike, {}, tensor(2, 3, dtype="int64"))


@pytest.mark.parametrize("op", [Randn, Rand, Randint], ids=lambda op: op.operator)
@given(shape=st.lists(st.integers(1, 3), max_size=3))
def test_shapes(op: type[_Random], shape: list[int]) -> None:
    made: Any = make(op, {"shape": shape, **({"high": 5} if op is Randint else {})})
    result = run_function(made, [torch.zeros(4, 3, 8)], X)
    (expected,) = made.infer(X)
    assert tuple(result.shape) == evaluate_type(expected, {"N": 4, "T": 3}).shape == (4, *shape)
    assert str(result.dtype) == f"torch.{expected.dtype}"


def test_a_size_of_the_value() -> None:
    assert Randn(shape=(symbol("T"),)).torch_function(["x"], X) == (
        "torch.randn(x.shape[0], x.shape[1], device=x.device)"
    )
    with pytest.raises(TypeRuleError, match="isn't an axis"):
        Randn(shape=(symbol("S"),)).infer(X)


@pytest.mark.parametrize("types", [(), (tensor(2, 3),)])
def test_the_batch_must_be_known(types: Any) -> None:
    with pytest.raises(TypeRuleError, match="value of the batch"):
        Rand().infer(*types)


def test_randint() -> None:
    op = Randint(low=2, high=4)
    assert op.torch_function(["x"], X) == "torch.randint(2, 4, (x.shape[0],), device=x.device)"
    assert Randint(high=4).torch_function(["x"], X) == "torch.randint(4, (x.shape[0],), device=x.device)"
    numbers = run_function(op, [torch.zeros(200, 1, 8)], X)
    assert set(numbers.tolist()) == {2, 3}
    with pytest.raises(TypeRuleError, match="must be below"):
        make(Randint, {"low": 4, "high": 4})


def test_all_are_random() -> None:
    ops: list[type[Op]] = [Randn, Rand, Randint, RandnLike]
    assert all(op.random for op in ops)
