"""`gather` and `take_along_dim` against PyTorch, and in ONNX Runtime."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.ir.types import TensorType
from specdl.ops.base import Op
from specdl.ops.gathering import Gather, TakeAlongDim
from tests.unit.ops.harness import check_arguments, check_symbolic, refusal_of, tensor
from tests.unit.ops.onnx_harness import check_onnx

T, S = symbol("T"), symbol("S")


@pytest.mark.parametrize("op", [Gather, TakeAlongDim], ids=lambda op: op.operator)
@given(
    dim=st.integers(-4, 3),
    x=st.lists(st.sampled_from([1, 2, 3]), max_size=3),
    index=st.lists(st.sampled_from([1, 2, 3]), max_size=3),
    dtype=st.sampled_from(["int64", "int64", "float32", "bool"]),
)
def test_arguments(op: type[Op], dim: int, x: list[int], index: list[int], dtype: str) -> None:
    if len(x) == len(index) and x:  # PyTorch also takes single numbers, and an index of fewer axes on the CPU
        check_arguments(op, {"dim": dim}, tensor(*x), tensor(*index, dtype=dtype))
    else:
        assert refusal_of(op, {"dim": dim}, tensor(*x), tensor(*index, dtype=dtype)) is not None


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ((tensor(BATCH, T, 8), tensor(BATCH, dtype="int64")), "as many axes as x"),
        ((tensor(BATCH, T, 8), tensor(BATCH, 1, 8, dtype="int32")), "int64"),
        ((tensor(BATCH, T, 8), tensor(BATCH, 1, S, dtype="int64")), "isn't larger"),
    ],
)
def test_refused(types: tuple[TensorType, ...], message: str) -> None:
    refusal = refusal_of(Gather, {"dim": 1}, *types)
    assert refusal is not None
    assert message in refusal.message


SIZES = ({"N": 2, "T": 5, "S": 3}, {"N": 3, "T": 6, "S": 9}, {"N": 1, "T": 5, "S": 1})


@pytest.mark.parametrize("index", [(BATCH, S, 8), (BATCH, 1, 8), (1, 2, 3), (BATCH, T, 1)], ids=str)
def test_gather_at_dynamic_lengths(index: tuple[object, ...]) -> None:
    x, places = tensor(BATCH, T, 8), tensor(*index, dtype="int64")  # type: ignore[arg-type]
    check_symbolic(Gather(dim=1), x, places, sizes=SIZES[0])
    check_onnx(Gather(dim=1), x, places, sizes=SIZES)


@pytest.mark.parametrize("index", [(BATCH, S, 8), (BATCH, 1, 1), (1, 2, 8), (BATCH, T, 1)], ids=str)
@pytest.mark.parametrize("x", [(BATCH, T, 8), (1, T, 8)], ids=str)
def test_take_along_dim_at_dynamic_lengths(x: tuple[object, ...], index: tuple[object, ...]) -> None:
    values, places = tensor(*x), tensor(*index, dtype="int64")  # type: ignore[arg-type]
    check_symbolic(TakeAlongDim(dim=-2), values, places, sizes=SIZES[0])
    check_onnx(TakeAlongDim(dim=-2), values, places, sizes=SIZES)


def test_text() -> None:
    x, index = tensor(BATCH, T, 8), tensor(BATCH, 1, 1, dtype="int64")
    assert Gather(dim=1).torch_function(["x", "index"], x, index) == "torch.gather(x, 1, index)"
    assert TakeAlongDim(dim=1).torch_function(["x", "index"], x, index) == "torch.take_along_dim(x, index, dim=1)"
