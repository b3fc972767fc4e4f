"""`pad` against `F.pad`, and in ONNX Runtime."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.ops.padding import Pad
from tests.unit.ops.harness import check_arguments, check_symbolic, refusal_of, tensor
from tests.unit.ops.onnx_harness import check_onnx

T = symbol("T")


@given(
    pad=st.lists(st.integers(-2, 2), min_size=2, max_size=4).filter(lambda pad: len(pad) % 2 == 0),
    value=st.sampled_from([0, 1, -0.5]),
    shape=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    dtype=st.sampled_from(["float32", "int64", "bool"]),
)
def test_pad(pad: list[int], value: float, shape: list[int], dtype: str) -> None:
    if len(pad) // 2 >= len(shape) or (dtype != "float32" and value == -0.5):
        return  # the batch isn't padded; a number that the dtype can't hold is rounded, in its own way by each
    check_arguments(Pad, {"pad": pad, "value": value}, tensor(*shape, dtype=dtype))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pad": 1}, "two integers for each axis"),
        ({"pad": [1]}, "two integers for each axis"),
        ({"pad": [1.0, 0]}, "two integers for each axis"),
        ({"pad": [0, 0, 1, 0, 0, 0, 1, 0]}, "are for 4 axes"),
        ({"pad": [0, 0, 1, 0, 0, 1]}, "the batch"),
        ({"pad": [-5, -5]}, "more places away"),
    ],
)
def test_refused(arguments: dict[str, Any], message: str) -> None:
    refusal = refusal_of(Pad, arguments, tensor(BATCH, T, 8))
    assert refusal is not None
    assert message in refusal.message


@pytest.mark.parametrize("pad", [(1, 0), (0, 2), (1, -1), (0, 0, 2, 1)])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_onnx(pad: tuple[int, ...], dtype: Any) -> None:
    x = tensor(BATCH, T, 8, dtype=dtype)
    check_symbolic(Pad(pad=pad, value=2), x, sizes={"N": 2, "T": 3})
    check_onnx(Pad(pad=pad, value=2), x)
    check_onnx(Pad(pad=pad[:2]), tensor(BATCH, T, dtype=dtype))


def test_text() -> None:
    assert Pad(pad=(1, 0)).torch_function(["x"], tensor(BATCH, T)) == "F.pad(x, (1, 0))"
    assert Pad(pad=(1, 0), value=-1.5).torch_function(["x"], tensor(BATCH, T)) == "F.pad(x, (1, 0), value=-1.5)"
