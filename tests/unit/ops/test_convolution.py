"""Convolutions against PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.ir.types import TensorType
from specdl.ops.base import Call, Op, TypeRuleError
from specdl.ops.convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from tests.unit.ops.harness import check, check_arguments, check_symbolic, make, refusal_of, tensor
from tests.unit.ops.onnx_harness import check_onnx
from tests.unit.ops.strategies import images, per_axis

CONVOLUTIONS: list[Any] = [Conv1d, Conv2d, Conv3d]
TRANSPOSED: list[Any] = [ConvTranspose1d, ConvTranspose2d, ConvTranspose3d]


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[type[Op], dict[str, Any], TensorType]:
    op = draw(st.sampled_from(CONVOLUTIONS))
    axes = op.axes
    optional = {
        "stride": per_axis(axes, 1, 3),
        "padding": per_axis(axes, 0, 4) | st.sampled_from(["same", "valid"]),
        "dilation": per_axis(axes, 1, 3),
        "groups": st.sampled_from([1, 2, 3]),
        "bias": st.booleans(),
        "padding_mode": st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
    }
    required = {"out_channels": st.sampled_from([1, 2, 4, 6]), "kernel_size": per_axis(axes, 1, 4)}
    return op, draw(st.fixed_dictionaries(required, optional=optional)), draw(images(axes))


@given(convolutions())
def test_convolutions_agree_with_pytorch(case: tuple[type[Op], dict[str, Any], TensorType]) -> None:
    op, arguments, x = case
    check_arguments(op, arguments, x)


@st.composite
def transposed(draw: st.DrawFn) -> tuple[type[Op], dict[str, Any], TensorType]:
    op = draw(st.sampled_from(TRANSPOSED))
    axes = op.axes
    optional = {
        "stride": per_axis(axes, 1, 3),
        "padding": per_axis(axes, 0, 2),
        "output_padding": per_axis(axes, 0, 2),
        "dilation": per_axis(axes, 1, 3),
        "groups": st.sampled_from([1, 2, 3]),
        "bias": st.booleans(),
    }
    required = {"out_channels": st.sampled_from([1, 2, 4, 6]), "kernel_size": per_axis(axes, 1, 3)}
    return op, draw(st.fixed_dictionaries(required, optional=optional)), draw(images(axes))


@given(transposed())
def test_transposed_convolutions_agree_with_pytorch(case: tuple[type[Op], dict[str, Any], TensorType]) -> None:
    op, arguments, x = case
    refusal = refusal_of(op, arguments, x)
    # PyTorch gives an empty output where the size comes out as exactly 0; we refuse.
    assume(refusal is None or "takes all of it away" not in refusal.message)
    check_arguments(op, arguments, x)


@pytest.mark.parametrize("op", [*CONVOLUTIONS, *TRANSPOSED])
def test_wrong_inputs_are_refused(op: Any) -> None:
    arguments = {"out_channels": 2, "kernel_size": 1}
    sizes = (3,) * op.axes
    assert check_arguments(op, arguments, tensor(1, 2, *sizes))
    assert not check_arguments(op, arguments, tensor(1, 2, *sizes, dtype="int64"))
    assert not check_arguments(op, arguments, tensor(1, 2, *sizes, dtype="float64"))
    assert not check_arguments(op, {**arguments, "kernel_size": 0}, tensor(1, 2, *sizes))
    assert not check_arguments(op, {**arguments, "stride": 0}, tensor(1, 2, *sizes))
    assert not check_arguments(op, {**arguments, "groups": 0}, tensor(1, 2, *sizes))
    with pytest.raises(TypeRuleError, match="is the batch axis missing"):
        raise refusal_with_help(op, arguments, tensor(2, *sizes))


def refusal_with_help(op: type[Op], arguments: dict[str, Any], x: TensorType) -> TypeRuleError:
    refusal = refusal_of(op, arguments, x)
    assert refusal is not None
    return TypeRuleError(f"{refusal.message}\n{refusal.help}")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"kernel_size": 3, "groups": 4}, "can't split the 6 input channels into 4 groups"),
        ({"kernel_size": 3, "groups": 3}, "can't split the 8 output channels into 3 groups"),
        ({"kernel_size": 3, "groups": 3}, "must divide both 6 and 8, so it must divide 2"),
        ({"kernel_size": 7}, "output would have height 0: the 7×7 window is larger than the 5×5 input"),
        ({"kernel_size": 4, "dilation": 3, "padding": 1}, "the 4×4 window (dilated to 10×10) is larger"),
        ({"kernel_size": 3, "padding": "same", "stride": 2}, "`padding: same` would keep the size, but stride 2×2"),
        ({"kernel_size": 3, "padding": 5, "padding_mode": "reflect"}, "can't pad a height of 5 by 5"),
    ],
)
def test_messages(arguments: dict[str, Any], expected: str) -> None:
    refusal = refusal_with_help(Conv2d, {"out_channels": 8, **arguments}, tensor(BATCH, 6, 5, 5))
    assert expected in str(refusal)


def test_transposed_messages() -> None:
    arguments = {"out_channels": 8, "kernel_size": 2, "stride": 2, "output_padding": 2}
    refusal = refusal_of(ConvTranspose2d, arguments, tensor(BATCH, 6, 5, 5))
    assert refusal is not None
    assert refusal.message == "output_padding 2 must be smaller than the stride 2 or the dilation 1"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"kernel_size": 3}, (("kernel_size", 3),)),
        ({"kernel_size": [3, 3], "stride": [2, 2]}, (("kernel_size", 3), ("stride", 2))),
        ({"kernel_size": [1, 7], "padding": [0, 3]}, (("kernel_size", (1, 7)), ("padding", (0, 3)))),
        (
            {"kernel_size": 3, "stride": 1, "padding": "same", "bias": False},
            (("kernel_size", 3), ("padding", "same"), ("bias", False)),
        ),
    ],
)
def test_calls_are_what_a_person_writes(arguments: dict[str, Any], expected: tuple[tuple[str, Any], ...]) -> None:
    op = make(Conv2d, {"out_channels": 8, **arguments})
    assert op.torch_module(tensor(BATCH, 3, 9, 9)) == Call("nn.Conv2d", (3, 8), expected)


def test_looks() -> None:
    op = Conv2d(out_channels=64, kernel_size=3, stride=2, groups=64)
    assert op.title() == "Conv 3×3, 64"
    assert op.details() == "stride 2 · groups 64"
    assert Conv2d(out_channels=8, kernel_size=(1, 7), stride=(1, 2)).details() == "stride 1×2"
    assert Conv1d(out_channels=8, kernel_size=3).title() == "Conv1d 3, 8"


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("op", [Conv2d, ConvTranspose2d])
def test_symbolic_sizes(op: Any, stride: int) -> None:
    x = tensor(BATCH, 4, symbol("H"), symbol("W"))
    layer = op(out_channels=6, kernel_size=3, stride=stride, padding=1, groups=2)
    for height, width in ((5, 6), (7, 8), (9, 10)):
        check_symbolic(layer, x, sizes={"N": 2, "H": height, "W": width})


def test_symbolic_channels_are_refused() -> None:
    with pytest.raises(TypeRuleError, match="needs the number of channels when the spec is compiled"):
        Conv1d(out_channels=2, kernel_size=1).infer(tensor(BATCH, symbol("C"), 4))


def test_large_sizes() -> None:
    op = Conv2d(out_channels=64, kernel_size=7, stride=2, padding=3, bias=False)
    check(op, tensor(32, 3, 224, 224), device="meta")


N, T, S = BATCH, symbol("T"), symbol("S")
LAYOUTS: dict[int, list[TensorType]] = {
    1: [tensor(N, 4, 9), tensor(N, 4, T)],
    2: [tensor(N, 4, 9, 8), tensor(N, 4, T, S)],
    3: [tensor(N, 4, 6, 5, 7), tensor(N, 4, T, 6, S)],
}
SIZES = ({"N": 2, "T": 5, "S": 4}, {"N": 3, "T": 8, "S": 7})


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")  # PyTorch's, on its own speed
@pytest.mark.parametrize("op", CONVOLUTIONS)
@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 1, "bias": False},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 2, "dilation": 2, "groups": 2},
        {"kernel_size": 4, "padding": "same"},
        {"kernel_size": 3, "padding": "valid"},
        {"kernel_size": 4, "padding": "same", "padding_mode": "replicate"},
        {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
        {"kernel_size": 3, "padding": 2, "padding_mode": "circular", "groups": 4},
    ],
)
def test_convolutions_in_onnx(op: Any, arguments: dict[str, Any]) -> None:
    for x in LAYOUTS[op.axes]:
        check_onnx(make(op, {"out_channels": 8, **arguments}), x, sizes=SIZES)


@pytest.mark.parametrize("op", TRANSPOSED)
@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 2, "stride": 2, "bias": False},
        {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
        {"kernel_size": 2, "dilation": 2, "groups": 2},
    ],
)
def test_transposed_convolutions_in_onnx(op: Any, arguments: dict[str, Any]) -> None:
    for x in LAYOUTS[op.axes]:
        check_onnx(make(op, {"out_channels": 8, **arguments}), x, sizes=SIZES)


def test_uneven_arguments_in_onnx() -> None:
    x = tensor(N, 4, 9, 8)
    check_onnx(Conv2d(out_channels=2, kernel_size=(1, 3), stride=(2, 1), padding=(0, 2), dilation=(1, 2)), x)
    check_onnx(ConvTranspose2d(out_channels=2, kernel_size=(1, 3), stride=(2, 1), padding=(0, 1)), x)
