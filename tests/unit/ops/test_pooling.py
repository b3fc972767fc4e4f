"""Pooling against PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.ir.types import TensorType
from specdl.ops import pooling
from specdl.ops.base import Call, Op
from specdl.ops.pooling import AdaptiveAvgPool2d, AvgPool2d, AvgPool3d, MaxPool2d
from tests.unit.ops.harness import check_arguments, check_symbolic, make, refusal_of, tensor
from tests.unit.ops.strategies import images, per_axis

WINDOWS: list[Any] = [op for op in pooling.OPS if "kernel_size" in op.model_fields]
ADAPTIVE: list[Any] = [op for op in pooling.OPS if "output_size" in op.model_fields]


@st.composite
def windows(draw: st.DrawFn) -> tuple[type[Op], dict[str, Any], TensorType]:
    op = draw(st.sampled_from(WINDOWS))
    axes = op.axes
    optional: dict[str, st.SearchStrategy[Any]] = {
        "stride": per_axis(axes, 1, 4) | st.none(),
        "padding": per_axis(axes, 0, 2),
        "ceil_mode": st.booleans(),
    }
    if "dilation" in op.model_fields:
        optional["dilation"] = per_axis(axes, 1, 3)
    else:
        optional["count_include_pad"] = st.booleans()
    if "divisor_override" in op.model_fields:
        optional["divisor_override"] = st.integers(0, 3) | st.none()
    required = {"kernel_size": per_axis(axes, 1, 4)}
    return op, draw(st.fixed_dictionaries(required, optional=optional)), draw(images(axes, largest=12))


@given(windows())
def test_windows_agree_with_pytorch(case: tuple[type[Op], dict[str, Any], TensorType]) -> None:
    op, arguments, x = case
    check_arguments(op, arguments, x)


@st.composite
def adaptive(draw: st.DrawFn) -> tuple[type[Op], dict[str, Any], TensorType]:
    op = draw(st.sampled_from(ADAPTIVE))
    number: st.SearchStrategy[Any] = st.integers(1, 5) | st.none()
    several = [number, st.lists(number, min_size=op.axes, max_size=op.axes)]
    size = number if op.axes == 1 else st.one_of(several)
    return op, {"output_size": draw(size)}, draw(images(op.axes))


@given(adaptive())
def test_adaptive_pooling_agrees_with_pytorch(case: tuple[type[Op], dict[str, Any], TensorType]) -> None:
    op, arguments, x = case
    check_arguments(op, arguments, x)


@pytest.mark.parametrize("op", [*WINDOWS, *ADAPTIVE])
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_any_floating_dtype_passes(op: Any, dtype: Any) -> None:
    x = tensor(1, 2, *[4] * op.axes, dtype=dtype)
    if not (op is AvgPool3d and dtype == "bfloat16"):  # PyTorch lacks it on the CPU only
        assert check_arguments(op, {op.main: 2}, x)


@pytest.mark.parametrize("op", [*WINDOWS, *ADAPTIVE])
def test_integers_are_refused(op: Any) -> None:
    """PyTorch takes them in some of these operators only; in none can they be trained."""
    refusal = refusal_of(op, {op.main: 2}, tensor(1, 2, *[4] * op.axes, dtype="int64"))
    assert refusal is not None
    assert "expects floating-point numbers" in refusal.message


@pytest.mark.parametrize(
    ("op", "arguments", "expected"),
    [
        (MaxPool2d, {"kernel_size": 2}, "output would have height 0: the 2×2 window is larger than the 1×1 input"),
        (AvgPool2d, {"kernel_size": [5, 1], "padding": [1, 0]}, "larger than the 1×1 input, even padded"),
        (MaxPool2d, {"kernel_size": 3, "padding": 2}, "can't pad by 2: a 3×3 window takes at most half of its size, 1"),
        (MaxPool2d, {"kernel_size": 0}, "must be at least 1"),
        (AdaptiveAvgPool2d, {"output_size": [1, 2, 3]}, "expected a list of 2 sizes"),
    ],
)
def test_messages(op: type[Op], arguments: dict[str, Any], expected: str) -> None:
    refusal = refusal_of(op, arguments, tensor(BATCH, 3, 1, 1))
    assert refusal is not None
    assert expected in refusal.message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"kernel_size": 2}, Call("nn.MaxPool2d", (2,))),
        ({"kernel_size": 2, "stride": [2, 2]}, Call("nn.MaxPool2d", (2,))),
        ({"kernel_size": 3, "stride": 2, "padding": 1}, Call("nn.MaxPool2d", (3,), (("stride", 2), ("padding", 1)))),
        ({"kernel_size": [1, 2], "stride": [2, 1]}, Call("nn.MaxPool2d", ((1, 2),), (("stride", (2, 1)),))),
    ],
)
def test_calls_are_what_a_person_writes(arguments: dict[str, Any], expected: Call) -> None:
    assert make(MaxPool2d, arguments).torch_module(tensor(BATCH, 3, 8, 8)) == expected


def test_looks() -> None:
    assert MaxPool2d(kernel_size=3, stride=2).title() == "MaxPool 3×3"
    assert MaxPool2d(kernel_size=3, stride=2).details() == "stride 2"
    assert MaxPool2d(kernel_size=2, stride=2).details() == ""
    assert AdaptiveAvgPool2d(output_size=1).title() == "GlobalAvgPool"
    assert AdaptiveAvgPool2d(output_size=(7, None)).title() == "AdaptiveAvgPool 7×same"


@given(windows(), st.integers(1, 12))
def test_symbolic_sizes(case: tuple[type[Op], dict[str, Any], TensorType], size: int) -> None:
    op, arguments, x = case
    symbolic = tensor(BATCH, x.shape[1], symbol("L"), *x.shape[3:])
    concrete = tensor(2, x.shape[1], size, *x.shape[3:])
    if refusal_of(op, arguments, concrete) is None:
        check_symbolic(make(op, arguments), symbolic, sizes={"N": 2, "L": size})


def test_adaptive_symbolic_sizes() -> None:
    x = tensor(BATCH, 4, symbol("H"), symbol("W"))
    check_symbolic(AdaptiveAvgPool2d(output_size=(None, 3)), x, sizes={"N": 2, "H": 5, "W": 7})
