"""Normalization against PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.convnext import LayerNorm2d as ReferenceLayerNorm2d

from specdl.ir.dims import BATCH, symbol
from specdl.ir.types import TensorType
from specdl.nn.layer_norm2d import LayerNorm2d as LayerNorm2dModule
from specdl.ops.base import Call, Op
from specdl.ops.normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm,
    LayerNorm2d,
    RmsNorm,
)
from tests.unit.ops.harness import check_arguments, check_symbolic, make, refusal_of, tensor
from tests.unit.ops.onnx_harness import check_onnx
from tests.unit.ops.strategies import images

AXES: list[tuple[Any, int]] = [
    (BatchNorm1d, 0),
    (BatchNorm1d, 1),
    (BatchNorm2d, 2),
    (BatchNorm3d, 3),
    (InstanceNorm1d, 1),
    (InstanceNorm2d, 2),
]
EPSILON = st.sampled_from([0.0, 1e-3, 1e-6])


@st.composite
def channel_norms(draw: st.DrawFn) -> tuple[type[Op], dict[str, Any], TensorType]:
    op, axes = draw(st.sampled_from(AXES))
    optional: dict[str, st.SearchStrategy[Any]] = {
        "eps": EPSILON,
        "momentum": st.sampled_from([None, 0.01, 0.0, 1.0]),
        "affine": st.booleans(),
        "track_running_stats": st.booleans(),
    }
    x = draw(images(axes, largest=3, wrong=axes > 1))
    return op, draw(st.fixed_dictionaries({}, optional=optional)), x


@given(channel_norms())
def test_channel_norms_agree_with_pytorch(case: tuple[type[Op], dict[str, Any], TensorType]) -> None:
    op, arguments, x = case
    check_arguments(op, arguments, x)


@given(
    arguments=st.fixed_dictionaries(
        {"num_groups": st.integers(0, 4)}, optional={"eps": EPSILON, "affine": st.booleans()}
    ),
    x=st.integers(0, 3).flatmap(lambda axes: images(axes, largest=3, wrong=False)),
)
def test_group_norm_agrees_with_pytorch(arguments: dict[str, Any], x: TensorType) -> None:
    check_arguments(GroupNorm, arguments, x)


@st.composite
def feature_norms(draw: st.DrawFn) -> tuple[type[Op], dict[str, Any], TensorType]:
    op: Any = draw(st.sampled_from([LayerNorm, RmsNorm]))
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    optional: dict[str, st.SearchStrategy[Any]] = {
        "eps": EPSILON,
        "elementwise_affine": st.booleans(),
        "normalized_shape": st.lists(st.integers(1, 3), min_size=1, max_size=2),
    }
    if op is LayerNorm:
        optional["bias"] = st.booleans()
    else:
        optional["eps"] = EPSILON | st.none()
    return op, draw(st.fixed_dictionaries({}, optional=optional)), tensor(4, *shape)


@given(feature_norms())
def test_feature_norms_agree_with_pytorch(case: tuple[type[Op], dict[str, Any], TensorType]) -> None:
    op, arguments, x = case
    check_arguments(op, arguments, x)


@given(
    arguments=st.fixed_dictionaries(
        {}, optional={"eps": EPSILON, "elementwise_affine": st.booleans(), "bias": st.booleans()}
    ),
    x=images(2),
)
def test_layer_norm2d_agrees_with_its_module(arguments: dict[str, Any], x: TensorType) -> None:
    check_arguments(LayerNorm2d, arguments, x)


def test_layer_norm2d_is_torchvisions() -> None:
    ours, theirs = LayerNorm2dModule(6, eps=1e-6), ReferenceLayerNorm2d(6, eps=1e-6)
    torch.nn.init.normal_(theirs.weight)
    torch.nn.init.normal_(theirs.bias)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 6, 3, 4)
    # The same kernel on the same layout: not a bit may differ.
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_other_dtypes_need_a_norm_without_weights(dtype: Any) -> None:
    x = tensor(2, 4, 3, 3, dtype=dtype)
    floating = dtype != "int64"
    for op in (GroupNorm, InstanceNorm2d):
        arguments: dict[str, Any] = {"num_groups": 2} if op is GroupNorm else {}
        assert check_arguments(op, {**arguments, "affine": False}, x) == floating
        assert not check_arguments(op, {**arguments, "affine": True}, x)
    assert check_arguments(LayerNorm, {"elementwise_affine": False}, x) == floating
    assert not check_arguments(LayerNorm, {}, x)
    assert check_arguments(RmsNorm, {"elementwise_affine": False}, x) == floating
    assert not check_arguments(BatchNorm2d, {}, x)


@pytest.mark.parametrize(
    ("op", "arguments", "shape", "expected"),
    [
        (GroupNorm, {"num_groups": 4}, (BATCH, 6, 5, 5), "can't split the 6 channels into 4 groups"),
        (BatchNorm2d, {}, (BATCH, 6), "expects [N, C, H, W], got [N, 6]"),
        (BatchNorm1d, {}, (BATCH, 6, 2, 2), "expects [N, C] or [N, C, L], got [N, 6, 2, 2]"),
        (InstanceNorm2d, {}, (BATCH, 6, 1, 1), "needs more than one value for each channel of an example"),
        (LayerNorm, {"normalized_shape": [3, 4]}, (BATCH, 4, 4), "normalizes inputs that end in [3, 4], got [N, 4, 4]"),
        (LayerNorm, {"normalized_shape": [4, 4]}, (BATCH, 4), "normalizes 2 axes besides the batch, got [N, 4]"),
        (LayerNorm, {}, (BATCH, symbol("T")), "needs the number of features when the spec is compiled"),
    ],
)
def test_messages(op: type[Op], arguments: dict[str, Any], shape: Any, expected: str) -> None:
    refusal = refusal_of(op, arguments, tensor(*shape))
    assert refusal is not None
    assert expected in refusal.message


@pytest.mark.parametrize(
    ("op", "arguments", "expected"),
    [
        (BatchNorm2d, {}, Call("nn.BatchNorm2d", (6,))),
        (
            BatchNorm2d,
            {"eps": 1e-3, "momentum": None},
            Call("nn.BatchNorm2d", (6,), (("eps", 1e-3), ("momentum", None))),
        ),
        (InstanceNorm2d, {"affine": True}, Call("nn.InstanceNorm2d", (6,), (("affine", True),))),
        (GroupNorm, {"num_groups": 3}, Call("nn.GroupNorm", (3,), (("num_channels", 6),))),
        (LayerNorm, {}, Call("nn.LayerNorm", (5,))),
        (LayerNorm, {"normalized_shape": [5, 5], "bias": False}, Call("nn.LayerNorm", ((5, 5),), (("bias", False),))),
        (LayerNorm2d, {"eps": 1e-6}, Call("LayerNorm2d", (6,), (("eps", 1e-6),))),
        (RmsNorm, {"eps": 1e-6}, Call("nn.RMSNorm", (5,), (("eps", 1e-6),))),
    ],
)
def test_calls_are_what_a_person_writes(op: type[Op], arguments: dict[str, Any], expected: Call) -> None:
    assert make(op, arguments).torch_module(tensor(BATCH, 6, 5, 5)) == expected


@pytest.mark.parametrize(
    "op", [BatchNorm2d(), InstanceNorm2d(), GroupNorm(num_groups=2), LayerNorm2d(), LayerNorm(), RmsNorm()]
)
def test_symbolic_sizes(op: Op) -> None:
    check_symbolic(op, tensor(BATCH, 6, symbol("H"), 4), sizes={"N": 2, "H": 5})


N, T = BATCH, symbol("T")


@pytest.mark.parametrize(
    ("op", "x"),
    [
        (BatchNorm1d, tensor(N, 4)),
        (BatchNorm1d, tensor(N, 4, T)),
        (BatchNorm2d, tensor(N, 4, T, 3)),
        (BatchNorm3d, tensor(N, 4, T, 3, 2)),
        (InstanceNorm1d, tensor(N, 4, T)),
        (InstanceNorm2d, tensor(N, 4, T, 3)),
    ],
)
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("tracked", [True, False])
def test_channel_norms_in_onnx(op: Any, x: TensorType, affine: bool, tracked: bool) -> None:
    check_onnx(op(affine=affine, track_running_stats=tracked, eps=1e-3), x)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm_in_onnx(affine: bool, groups: int) -> None:
    op = GroupNorm(num_groups=groups, affine=affine, eps=1e-3)
    for x in (tensor(N, 4, T, 3), tensor(N, 4, T), tensor(N, 4, 3, 3, T)):
        check_onnx(op, x)
    check_onnx(GroupNorm(num_groups=2), tensor(N, 8))


@pytest.mark.parametrize(
    "op",
    [
        LayerNorm(),
        LayerNorm(eps=1e-2, bias=False),
        LayerNorm(elementwise_affine=False),
        LayerNorm(normalized_shape=(3, 4)),
        LayerNorm(normalized_shape=(3, 4), elementwise_affine=False),
        RmsNorm(),
        RmsNorm(eps=1e-2),
        RmsNorm(elementwise_affine=False),
        RmsNorm(normalized_shape=(3, 4)),
    ],
)
def test_feature_norms_in_onnx(op: Op) -> None:
    check_onnx(op, tensor(N, T, 3, 4))


@pytest.mark.parametrize("op", [LayerNorm2d(eps=1e-2), LayerNorm2d(bias=False), LayerNorm2d(elementwise_affine=False)])
def test_layer_norm2d_in_onnx(op: Op) -> None:
    check_onnx(op, tensor(N, 4, T, 3))
