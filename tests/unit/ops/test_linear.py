"""`linear` against PyTorch."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.ops.linear import Linear
from tests.unit.ops.harness import check_arguments, check_symbolic, tensor


@given(
    out_features=st.integers(-1, 5),
    bias=st.booleans(),
    shape=st.lists(st.integers(1, 4), min_size=2, max_size=4),
)
def test_linear_agrees_with_pytorch(out_features: int, bias: bool, shape: list[int]) -> None:
    arguments: dict[str, Any] = {"out_features": out_features, "bias": bias}
    if out_features != 0:  # PyTorch makes an empty layer of it, with a warning; we refuse
        check_arguments(Linear, arguments, tensor(*shape))


def test_integers_are_refused() -> None:
    assert not check_arguments(Linear, {"out_features": 3}, tensor(2, 4, dtype="int64"))


def test_symbolic_sizes() -> None:
    x = tensor(BATCH, symbol("T"), 8)
    check_symbolic(Linear(out_features=3), x, sizes={"N": 2, "T": 5})
