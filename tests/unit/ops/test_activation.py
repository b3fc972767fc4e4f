"""Activations against PyTorch."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from specdl.ir.dims import BATCH, symbol
from specdl.nn import gated
from specdl.ops import activation
from specdl.ops.activation import Gelu, Glu, LeakyRelu, Prelu, Softmax
from specdl.ops.base import Op, TypeRuleError
from tests.unit.ops.harness import check, check_arguments, check_symbolic, make, refusal_of, tensor

SHAPES = st.lists(st.integers(1, 4), max_size=4)
NUMBERS = st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 3.0])
PLAIN = [op for op in activation.OPS if not op.model_fields]


@pytest.mark.parametrize("op", PLAIN, ids=lambda op: op.operator)
def test_without_arguments(op: type[Op]) -> None:
    for dtype in ("float32", "float64", "bfloat16"):
        check(op(), tensor(2, 3, dtype=dtype))
    check_symbolic(op(), tensor(BATCH, symbol("T"), 4), sizes={"N": 2, "T": 3})


@pytest.mark.parametrize("op", activation.OPS, ids=lambda op: op.operator)
def test_only_floating_point_numbers(op: type[Op]) -> None:
    refusal = refusal_of(op, {}, tensor(2, 4, dtype="int64"))
    assert refusal is not None
    assert "floating" in refusal.message


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        ("leaky_relu", ["negative_slope"]),
        ("elu", ["alpha"]),
        ("celu", ["alpha"]),
        ("softplus", ["beta", "threshold"]),
        ("hardtanh", ["min_val", "max_val"]),
    ],
)
@given(data=st.data())
def test_numbers(operator: str, arguments: list[str], data: st.DataObject) -> None:
    op = next(op for op in activation.OPS if op.operator == operator)
    given = {name: data.draw(NUMBERS) for name in arguments}
    if operator == "softplus" and given["beta"] == 0:
        # PyTorch divides by it, and gives nothing but inf.
        assert refusal_of(op, given, tensor(2, 3)) is not None
    else:
        check_arguments(op, given, tensor(*data.draw(SHAPES)))


@given(approximate=st.sampled_from(["none", "tanh", "sigmoid"]), shape=SHAPES)
def test_gelu(approximate: str, shape: list[int]) -> None:
    check_arguments(Gelu, {"approximate": approximate}, tensor(*shape))


@pytest.mark.parametrize("operator", ["softmax", "log_softmax", "glu"])
@given(dim=st.integers(-5, 5), shape=SHAPES)
def test_along_an_axis(operator: str, dim: int, shape: list[int]) -> None:
    op = next(op for op in activation.OPS if op.operator == operator)
    check_arguments(op, {"dim": dim}, tensor(*shape))


@given(num_parameters=st.integers(1, 4), shape=SHAPES)
def test_prelu(num_parameters: int, shape: list[int]) -> None:
    check_arguments(Prelu, {"num_parameters": num_parameters}, tensor(*shape))


def test_glu_of_a_symbolic_axis() -> None:
    check_symbolic(Glu(dim=1), tensor(BATCH, symbol("T") * 2, 4), sizes={"N": 2, "T": 3})
    with pytest.raises(TypeRuleError, match="even size"):
        Glu(dim=1).infer(tensor(BATCH, symbol("T"), 4))


@pytest.mark.parametrize(
    ("op", "module", "function", "title"),
    [
        (LeakyRelu(), "nn.LeakyReLU()", "F.leaky_relu(x)", "LeakyReLU"),
        (LeakyRelu(negative_slope=0.1), "nn.LeakyReLU(0.1)", "F.leaky_relu(x, 0.1)", "LeakyReLU 0.1"),
        (Gelu(approximate="tanh"), 'nn.GELU(approximate="tanh")', 'F.gelu(x, approximate="tanh")', "GELU"),
        (Softmax(), "nn.Softmax(dim=-1)", "F.softmax(x, dim=-1)", "Softmax"),
        (Glu(), "nn.GLU()", "F.glu(x)", "GLU"),
        (make(activation.Relu, {}), "nn.ReLU()", "F.relu(x)", "ReLU"),
    ],
)
def test_text(op: Op, module: str, function: str, title: str) -> None:
    from specdl.ops.text import literal

    x = tensor(BATCH, 8)
    assert literal(op.torch_module(x)) == module
    assert op.torch_function(["x"], x) == function
    assert op.title() == title


def test_every_default_is_pytorchs() -> None:
    """A default left out of the call must be PyTorch's own."""
    import inspect

    from torch import nn

    for op in activation.OPS:
        made = getattr(nn, op.module, None) or getattr(gated, op.module)
        signature: dict[str, Any] = dict(inspect.signature(made).parameters)
        for name, field in op.model_fields.items():
            if (op.operator, name) not in {("softmax", "dim"), ("log_softmax", "dim")}:  # always written
                assert signature[name].default == field.default, f"{op.operator}.{name}"


@pytest.mark.parametrize("dim", [-1, 1])
def test_the_first_half_gates(dim: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 4, 6)
    gate, value = x.chunk(2, dim)
    for module, function in (
        (gated.SwiGLU(dim), functional.silu),
        (gated.GEGLU(dim), functional.gelu),
        (gated.GEGLU(dim, "tanh"), partial(functional.gelu, approximate="tanh")),
    ):
        torch.testing.assert_close(module(x), function(gate) * value, rtol=0, atol=0)
