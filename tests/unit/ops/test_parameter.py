"""Parameters, buffers, constants and ranges against PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from specdl.ir.dims import BATCH, symbol
from specdl.ops.base import Op, TypeRuleError, Weight
from specdl.ops.parameter import Arange, Buffer, Constant, Linspace, Parameter
from specdl.ops.text import literal
from tests.unit.ops.harness import make, run_function, tensor

X = tensor(BATCH, 8)


def _evaluate(text: str) -> Any:
    scope: dict[str, Any] = {"torch": torch, "nn": nn}
    exec(f"result = {text}", scope)
    return scope["result"]


@pytest.mark.parametrize(
    ("init", "text"),
    [
        ("zeros", "torch.zeros(1, 8)"),
        ("ones", "torch.ones(1, 8)"),
        (1e-6, "torch.full((1, 8), 1e-6)"),
        (2, "torch.full((1, 8), 2.0)"),
        ({"normal": {"std": 0.02}}, "nn.init.normal_(torch.empty(1, 8), std=0.02)"),
        ("normal", "nn.init.normal_(torch.empty(1, 8))"),
        ({"uniform": {"a": -1, "b": 1.0}}, "nn.init.uniform_(torch.empty(1, 8), a=-1)"),
        ({"trunc_normal": {"std": 0.02}}, "nn.init.trunc_normal_(torch.empty(1, 8), std=0.02)"),
        ({"kaiming_normal": {"mode": "fan_out"}}, 'nn.init.kaiming_normal_(torch.empty(1, 8), mode="fan_out")'),
        ("xavier_uniform", "nn.init.xavier_uniform_(torch.empty(1, 8))"),
        ("orthogonal", "nn.init.orthogonal_(torch.empty(1, 8))"),
        ("eye", "nn.init.eye_(torch.empty(1, 8))"),
        ({"sparse": {"sparsity": 0.5}}, "nn.init.sparse_(torch.empty(1, 8), sparsity=0.5)"),
    ],
)
def test_initializers(init: Any, text: str) -> None:
    op: Any = make(Parameter, {"shape": [1, 8], "init": init})
    assert literal(op.torch_module()) == f"nn.Parameter({text})"
    made = _evaluate(literal(op.torch_module()))
    assert isinstance(made, nn.Parameter)
    assert made.requires_grad
    assert op.infer() == (tensor(*made.shape),)
    assert op.weights() == (Weight("", (1, 8)),)


def test_every_default_of_an_initializer_is_pytorchs() -> None:
    """Defaults are left out of the call, so they must be PyTorch's own."""
    import inspect

    from specdl.ops.initializers import _ARGUMENTS

    for name, arguments in _ARGUMENTS.items():
        signature = inspect.signature(getattr(nn.init, f"{name}_")).parameters
        for argument, default in arguments.items():
            if name != "constant":  # its number is always written
                wanted = inspect.Parameter.empty if default is None else default
                assert signature[argument].default == wanted, f"{name}.{argument}"


@pytest.mark.parametrize(
    ("init", "message"),
    [
        ("zero", "did you mean `zeros`"),
        ({"normal": {"sd": 1}}, "has no argument `sd`"),
        ({"normal": {"std": "big"}}, "must be a number"),
        ({"normal": 3}, "a mapping"),
        ([1, 2], "expected a number, a name"),
        (True, "expected a number, a name"),
        ("sparse", "`sparse` needs `sparsity`"),
        ({"normal": {"std": -1}}, "`std` of `normal` can't be -1"),
        ({"dirac": {"groups": 1.5}}, "must be an integer"),
        ({"kaiming_normal": {"mode": "fan_inn"}}, "must be one of fan_in, fan_out"),
        ("glorot_uniform", "write `xavier_uniform`"),
        ("trunc_normal_", "write `trunc_normal`"),
    ],
)
def test_wrong_initializers(init: Any, message: str) -> None:
    with pytest.raises(TypeRuleError, match=message):
        make(Parameter, {"shape": [1, 8], "init": init})


def test_an_initializer_for_matrices_needs_one() -> None:
    with pytest.raises(TypeRuleError, match="can't fill"):
        make(Parameter, {"shape": [8], "init": "xavier_uniform"}).infer()
    with pytest.raises(TypeRuleError, match="it needs three to five axes"):
        make(Parameter, {"shape": [8, 8], "init": "dirac"}).infer()


def test_a_shape_must_be_known() -> None:
    with pytest.raises(TypeRuleError, match="when the spec is compiled"):
        Parameter(shape=(symbol("T"),)).infer()


def test_a_single_number() -> None:
    op = Parameter(shape=())
    assert literal(op.torch_module()) == "nn.Parameter(torch.zeros(()))"
    assert _evaluate(literal(op.torch_module())).shape == ()


def test_a_buffer_is_registered() -> None:
    op = Buffer(shape=(3,))
    assert op.weights() == (Weight("", (3,), buffer=True),)
    module = nn.Module()
    module.betas = _evaluate(literal(op.torch_module()))
    assert list(module.state_dict()) == ["betas"]
    assert not list(module.parameters())


def _check_made(op: Any) -> None:
    """The tensor, its type, and the numbers that ONNX gets agree."""
    result = run_function(op, [torch.zeros(2, 8)], X)
    (expected,) = op.infer(X)
    assert (tuple(result.shape), str(result.dtype)) == (expected.shape, f"torch.{expected.dtype}")
    numbers = torch.tensor(op.numbers(), dtype=result.dtype)
    # float32 itself: PyTorch works out linspace and arange in float32, ours in float64
    torch.testing.assert_close(numbers, result, rtol=1e-6, atol=1e-6)


@given(start=st.integers(-9, 9), end=st.integers(-9, 9), steps=st.integers(1, 9))
def test_linspace(start: int, end: int, steps: int) -> None:
    _check_made(Linspace(start=start, end=end, steps=steps))


NUMBERS = st.integers(-6, 6) | st.sampled_from([-1.5, 0.5, 2.0])


@given(start=NUMBERS, end=NUMBERS, step=NUMBERS)
def test_arange(start: float, end: float, step: float) -> None:
    arguments = {"start": start, "end": end, "step": step}
    try:
        torch.arange(start, end, step)
    except RuntimeError:
        with pytest.raises(TypeRuleError, match="don't lead"):
            make(Arange, arguments)
    else:
        _check_made(make(Arange, arguments))


@pytest.mark.parametrize("value", [1, 0.5, True, [1, 2], [[1, 2.5], [3, 4]], [True, False]])
def test_constant(value: Any) -> None:
    _check_made(make(Constant, {"value": value}))


@pytest.mark.parametrize("value", ["one", [1, [2]], [[1, 2], [3]], None])
def test_wrong_constants(value: Any) -> None:
    with pytest.raises(TypeRuleError):
        make(Constant, {"value": value})


@pytest.mark.parametrize(
    ("op", "text"),
    [
        (Arange(end=4), "torch.arange(4, device=x.device)"),
        (Arange(start=1, end=4), "torch.arange(1, 4, device=x.device)"),
        (Arange(end=4, step=2), "torch.arange(0, 4, 2, device=x.device)"),
        (Linspace(start=1e-4, end=0.02, steps=1000), "torch.linspace(0.0001, 0.02, 1000, device=x.device)"),
        (make(Constant, {"value": [[1, 2]]}), "torch.tensor([[1, 2]], device=x.device)"),
    ],
    ids=str,
)
def test_text(op: Op, text: str) -> None:
    assert op.torch_function(["x"], X) == text
