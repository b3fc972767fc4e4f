"""Interpolation and pixel shuffling against PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.ir.types import TensorType
from specdl.ops.base import Call, Op, TypeRuleError
from specdl.ops.upsampling import Interpolate, PixelShuffle, PixelUnshuffle
from tests.unit.ops.harness import check, check_arguments, check_symbolic, make, refusal_of, tensor
from tests.unit.ops.onnx_harness import check_onnx
from tests.unit.ops.strategies import images

MODES = ["nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear"]
H, W = symbol("H"), symbol("W")


@st.composite
def interpolations(draw: st.DrawFn) -> tuple[dict[str, Any], TensorType]:
    axes = draw(st.integers(1, 3))
    count = draw(st.sampled_from([axes] * 6 + [2, 3]))
    # A list of another length must hold different numbers: equal ones are written as one, which PyTorch takes.
    size = st.integers(0, 6) | st.lists(st.integers(1, 6), min_size=count, max_size=count, unique=count != axes)
    factor = st.sampled_from([0.3, 0.5, 1, 1.3, 2, 2.0, 3.7, -1.0])
    factors = factor | st.lists(factor, min_size=count, max_size=count, unique=count != axes)
    target = draw(
        st.fixed_dictionaries({"size": size})
        | st.fixed_dictionaries({"scale_factor": factors})
        | st.sampled_from([{}, {"size": 2, "scale_factor": 2}])
    )
    fitting = {1: "linear", 2: "bilinear", 3: "trilinear"}[axes]
    options: dict[str, st.SearchStrategy[Any]] = {
        "mode": st.sampled_from([*MODES, fitting, fitting]),
        "align_corners": st.booleans() | st.none(),
    }
    return target | draw(st.fixed_dictionaries({}, optional=options)), draw(images(axes, wrong=False))


@given(interpolations())
def test_interpolation_agrees_with_pytorch(case: tuple[dict[str, Any], TensorType]) -> None:
    arguments, x = case
    check_arguments(Interpolate, arguments, x)


@given(factor=st.integers(0, 3), x=images(2, channels=(1, 4, 8, 9)))
def test_pixel_shuffle_agrees_with_pytorch(factor: int, x: TensorType) -> None:
    assume(x.rank == 4)  # PyTorch takes any number of axes before the channels; we take the batch
    check_arguments(PixelShuffle, {"upscale_factor": factor}, x)
    check_arguments(PixelUnshuffle, {"downscale_factor": factor}, x)


def test_a_second_input_gives_the_size() -> None:
    check(Interpolate(mode="bilinear"), tensor(1, 2, 3, 4), tensor(1, 5, 7, 6))
    refusal = refusal_of(Interpolate, {}, tensor(1, 2, 3, 4), tensor(1, 2, 3))
    assert refusal is not None
    assert refusal.message == "can't give [1, 2, 3, 4] the size of [1, 2, 3]: it has another rank"
    assert refusal_of(Interpolate, {"scale_factor": 2}, tensor(1, 2, 3), tensor(1, 2, 3)) is not None


def test_symbolic_sizes_are_read_from_the_values() -> None:
    x, image = tensor(BATCH, 4, (H + 1) // 2, (W + 1) // 2), tensor(BATCH, 3, H, W)
    op = Interpolate(size=(H, W), mode="bilinear")
    assert op.infer(x, image) == (tensor(BATCH, 4, H, W),)
    assert op.torch_module(x, image) is None
    text = op.torch_function(["x", "image"], x, image)
    assert text == 'F.interpolate(x, size=(image.shape[2], image.shape[3]), mode="bilinear")'
    assert Interpolate().torch_function(["x", "image"], x, image) == "F.interpolate(x, size=image.shape[2:])"
    assert Interpolate(size=3).torch_function(["x", "None"], x) == "F.interpolate(x, size=3)"
    with pytest.raises(TypeRuleError, match="the size `H` isn't an axis of its inputs"):
        op.infer(x)


@pytest.mark.parametrize("factor", [2, 3.0, 1.5, 0.25])
def test_symbolic_sizes(factor: float) -> None:
    x = tensor(BATCH, 4, H, W)
    for height, width in ((8, 9), (10, 11)):
        check_symbolic(Interpolate(scale_factor=factor), x, sizes={"N": 2, "H": height, "W": width})
    check_symbolic(PixelShuffle(upscale_factor=2), x, sizes={"N": 2, "H": 4, "W": 6})
    check_symbolic(PixelUnshuffle(downscale_factor=2), x, sizes={"N": 2, "H": 4, "W": 6})


@pytest.mark.parametrize(
    ("op", "arguments", "x", "expected"),
    [
        (Interpolate, {}, tensor(BATCH, 3, 4), "needs `size`, `scale_factor`, or a value to take the size of"),
        (
            Interpolate,
            {"scale_factor": 2, "mode": "bilinear"},
            tensor(BATCH, 3, 4),
            "expects [N, C, H, W], got [N, 3, 4]",
        ),
        (
            Interpolate,
            {"scale_factor": 0.1},
            tensor(BATCH, 3, 4),
            "output would have length 0: the input's 4 times 0.1",
        ),
        (
            Interpolate,
            {"scale_factor": 1.3},
            tensor(BATCH, 3, H),
            "can't tell the length of the output: it is `H` times",
        ),
        (Interpolate, {"size": [2, 3]}, tensor(BATCH, 3, 4), "needs one number for the size, got 2"),
        (PixelShuffle, {"upscale_factor": 2}, tensor(BATCH, 6, 4, 4), "can't spread 6 channels over 2×2 pixels"),
        (PixelUnshuffle, {"downscale_factor": 2}, tensor(BATCH, 6, 4, 5), "can't divide a width of 5 by 2"),
    ],
)
def test_messages(op: type[Op], arguments: dict[str, Any], x: TensorType, expected: str) -> None:
    refusal = refusal_of(op, arguments, x)
    assert refusal is not None
    assert expected in refusal.message


def test_calls_are_what_a_person_writes() -> None:
    x = tensor(BATCH, 4, 8, 8)
    op = Interpolate(scale_factor=2, mode="bilinear")
    assert op.torch_module(x) == Call("nn.Upsample", (), (("scale_factor", 2), ("mode", "bilinear")))
    assert op.torch_function(["x"], x) == 'F.interpolate(x, scale_factor=2, mode="bilinear")'
    assert Interpolate(size=(4, 4)).torch_function(["x"], x) == "F.interpolate(x, size=4)"
    assert PixelShuffle(upscale_factor=2).torch_module(x) == Call("nn.PixelShuffle", (2,))
    assert op.title() == "Upsample ×2"
    assert Interpolate(size=(4, 8)).title() == "Resize 4×8"


N, T, S = BATCH, symbol("T"), symbol("S")
LAYOUTS: dict[int, list[TensorType]] = {
    1: [tensor(N, 3, 5), tensor(N, 3, T)],
    2: [tensor(N, 3, 5, 4), tensor(N, 3, T, S)],
    3: [tensor(N, 2, 3, 4, 5), tensor(N, 2, T, 3, S)],
}
AXES_OF = {"linear": [1], "bilinear": [2], "bicubic": [2], "trilinear": [3]}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "arguments",
    [{"scale_factor": 2}, {"scale_factor": 1.5}, {"scale_factor": 0.5}, {"size": 7}, {"size": 3}, {"size": 1}],
)
def test_interpolation_in_onnx(mode: str, arguments: dict[str, Any]) -> None:
    for axes in AXES_OF.get(mode, [1, 2, 3]):
        for x in LAYOUTS[axes]:
            for corners in (None,) if mode.startswith("nearest") else (None, True):
                check_onnx(make(Interpolate, {"mode": mode, "align_corners": corners, **arguments}), x)


def test_interpolation_like_another_value_in_onnx() -> None:
    check_onnx(Interpolate(mode="bilinear"), tensor(N, 3, 2, 2), tensor(N, 1, T, S))
    check_onnx(Interpolate(size=(T, S), mode="bilinear"), tensor(N, 3, 2, 2), tensor(N, 1, T, S))


def test_pixel_shuffle_in_onnx() -> None:
    check_onnx(PixelShuffle(upscale_factor=2), tensor(N, 8, T, S))
    check_onnx(PixelShuffle(upscale_factor=3), tensor(N, 9, 2, T))
    check_onnx(PixelUnshuffle(downscale_factor=2), tensor(N, 3, 4, 6))
