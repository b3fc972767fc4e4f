"""Merging operators against PyTorch: shapes, dtypes, and the batch axis that must not mix."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.ir.types import TensorType
from specdl.ops import comparison, merge
from specdl.ops.base import Op, TypeRuleError
from specdl.ops.broadcasting import number
from specdl.ops.merge import Add, Concat, Matmul, Mul, Stack, Sub
from tests.unit.ops.harness import check, check_arguments, check_symbolic, run_function, tensor

DTYPES = st.sampled_from(["bool", "uint8", "int32", "int64", "float16", "float32", "float64"])
SHAPES = st.lists(st.integers(1, 3), max_size=3)
TYPES = st.builds(lambda shape, dtype: TensorType(tuple(shape), dtype), SHAPES, DTYPES)
PAIRWISE = [op for op in (*merge.OPS, *comparison.OPS) if op.inputs in (("*xs",), ("a", "b"))]
ELEMENTWISE = [op for op in PAIRWISE if op not in (Concat, Stack, Matmul)]
T = symbol("T")


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.operator)
@given(left=TYPES, right=TYPES)
def test_elementwise(op: type[Op], left: TensorType, right: TensorType) -> None:
    _agree(op(), left, right)


def _agree(op: Op, *types: TensorType) -> None:
    """PyTorch gives what is inferred, or both refuse. (Integers are ones: `//` can't divide by 0.)"""
    tensors = [torch.ones(type.shape, dtype=getattr(torch, type.dtype)) for type in types]
    try:
        expected = run_function(op, tensors, *types)
    except RuntimeError:
        with pytest.raises(TypeRuleError):
            op.infer(*types)
    else:
        (found,) = op.infer(*types)
        assert (found.shape, f"torch.{found.dtype}") == (tuple(expected.shape), str(expected.dtype))


@given(types=st.lists(TYPES, min_size=2, max_size=4))
def test_several(types: list[TensorType]) -> None:
    check_arguments(Add, {}, *types)
    check_arguments(Mul, {}, *types)


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.operator)
@given(
    type=TYPES.filter(lambda found: found.dtype != "float16"),
    value=st.sampled_from([True, 2, -1, 0.5]),
    first=st.booleans(),
)
def test_with_a_number(op: type[Op], type: TensorType, value: float, first: bool) -> None:
    """A Python number promotes as in PyTorch."""
    types = (number(value), type) if first else (type, number(value))
    x = torch.ones(type.shape, dtype=getattr(torch, type.dtype))
    text = op().torch_function([str(value), "x"] if first else ["x", str(value)], *types)
    try:
        expected = _evaluate(text, x=x)
    except (RuntimeError, TypeError):
        expected = None
    try:
        (found,) = op().infer(*types)
    except TypeRuleError:
        if op is comparison.Pow and value is True:
            return  # PyTorch lets it pass for bools, as x ** 1
        if op is comparison.Minimum and type.dtype == "uint8" and value == -1:
            return  # PyTorch before 2.15 wraps the number round to 255
        assert expected is None, f"{op.operator}: PyTorch accepts {text} of {type}"
    else:
        assert expected is not None, f"{op.operator}: PyTorch refuses {text} of {type}"
        assert (found.shape, f"torch.{found.dtype}") == (tuple(expected.shape), str(expected.dtype))


def _evaluate(text: str | None, **values: torch.Tensor) -> torch.Tensor:
    scope: dict[str, Any] = {"torch": torch, **values}
    exec(f"result = {text}", scope)
    return scope["result"]


@given(dim=st.integers(-4, 4), shapes=st.lists(SHAPES, min_size=1, max_size=3), dtype=DTYPES)
def test_concat(dim: int, shapes: list[list[int]], dtype: str) -> None:
    if any(shape == [0] for shape in shapes):
        return
    check_arguments(Concat, {"dim": dim}, *(tensor(*shape, dtype=dtype) for shape in shapes))


@given(dim=st.integers(-4, 4), shape=SHAPES, dtypes=st.lists(DTYPES, min_size=1, max_size=3))
def test_stack_and_equal_concat(dim: int, shape: list[int], dtypes: list[str]) -> None:
    types = [tensor(*shape, dtype=dtype) for dtype in dtypes]
    check_arguments(Stack, {"dim": dim}, *types)
    check_arguments(Concat, {"dim": dim}, *types)


@given(
    left=SHAPES,
    right=SHAPES,
    inner=st.integers(1, 3),
    dtypes=st.tuples(DTYPES, DTYPES).filter(lambda pair: "bool" not in pair),
)
def test_matmul(left: list[int], right: list[int], inner: int, dtypes: tuple[str, str]) -> None:
    types = (tensor(*left, inner, dtype=dtypes[0]), tensor(*right[:-1], inner, *right[-1:], dtype=dtypes[1]))
    _agree(Matmul(), *types)
    if _counted(types):
        check_arguments(Matmul, {}, *types)


def _counted(types: tuple[TensorType, TensorType]) -> bool:
    """Whether PyTorch's counter sees it: it passes over products of or with vectors."""
    return min(type.rank for type in types) > 1


def test_symbolic_sizes() -> None:
    sizes = {"N": 4, "T": 3}
    x, y = tensor(BATCH, T, 8), tensor(BATCH, T + 1, 8)
    check_symbolic(Add(), x, tensor(T, 1), sizes=sizes)
    check_symbolic(Sub(), x, tensor(1, 1, 8), sizes=sizes)
    check_symbolic(Concat(), x, y, sizes=sizes)
    check_symbolic(Stack(dim=-1), x, x, sizes=sizes)
    check_symbolic(Matmul(), x, tensor(BATCH, 8, T), sizes=sizes)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (tensor(BATCH, 8), tensor(BATCH)),
        (tensor(BATCH), tensor(BATCH, 1)),
        (tensor(BATCH), tensor(1, 1)),
        (tensor(BATCH, T, 8), tensor(BATCH, 8)),
    ],
)
def test_a_batch_axis_meets_no_other_axis(left: TensorType, right: TensorType) -> None:
    for types in ((left, right), (right, left)):
        with pytest.raises(TypeRuleError, match="mixes the examples") as error:
            Add().infer(*types)
        assert error.value.help is not None


def test_the_help_for_the_batch_axis_is_right() -> None:
    with pytest.raises(TypeRuleError) as error:
        Mul().infer(tensor(BATCH, T, 8), tensor(BATCH, 8))
    assert "`name[:, None]`" in str(error.value.help)
    assert error.value.input == 1
    assert Mul().infer(tensor(BATCH, T, 8), tensor(BATCH, 1, 8)) == (tensor(BATCH, T, 8),)


def test_a_batch_axis_of_one_is_stretched() -> None:
    token, x = tensor(1, 1, 8), tensor(BATCH, T, 8)
    assert Add().infer(token, x) == (x,)
    assert Concat().infer(token, x) == (tensor(BATCH, T + 1, 8),)
    text = Concat().torch_function(["token", "x"], token, x)
    assert text == "torch.cat([token.expand(x.shape[0], -1, -1), x], dim=1)"
    found = _evaluate(text, token=torch.zeros(1, 1, 8), x=torch.ones(5, 2, 8))
    assert found.shape == (5, 3, 8)


@pytest.mark.parametrize(
    ("op", "arguments", "text"),
    [
        (Add(), ["a", "b", "c"], "a + b + c"),
        (Mul(), ["a + b", "c"], "(a + b) * c"),
        (Sub(), ["a", "b - c"], "a - (b - c)"),
        (comparison.Pow(), ["-a", "-b"], "(-a) ** -b"),
        (comparison.Pow(), ["a ** b", "c ** d"], "(a ** b) ** c ** d"),
        (comparison.Lt(), ["a < b", "c + d"], "(a < b) < c + d"),
        (comparison.BitwiseAnd(), ["a > b", "~c"], "(a > b) & ~c"),
        (Concat(), ["a", "b"], "torch.cat([a, b], dim=1)"),
        (Concat(dim=0), ["a", "b"], "torch.cat([a, b])"),
        (Stack(), ["a", "b"], "torch.stack([a, b])"),
        (Matmul(), ["a", "b * c"], "a @ (b * c)"),
        (comparison.Maximum(), ["a", "b"], "torch.maximum(a, b)"),
    ],
)
def test_text(op: Op, arguments: list[str], text: str) -> None:
    assert op.torch_function(arguments, *[tensor(2, 2)] * len(arguments)) == text


def test_a_number_makes_the_extremes_a_clamp() -> None:
    x = tensor(BATCH, 8)
    assert comparison.Maximum().torch_function(["0", "x"], number(0), x) == "torch.clamp(x, min=0)"
    assert comparison.Minimum().torch_function(["x", "6.0"], x, number(6.0)) == "torch.clamp(x, max=6.0)"


def test_where() -> None:
    mask = tensor(2, 3, dtype="bool")
    check(comparison.Where(), mask, tensor(3), tensor(2, 1))
    check(comparison.Where(), mask, tensor(3, dtype="int64"), tensor())
    assert not check_arguments(comparison.Where, {}, tensor(2, 3), tensor(3), tensor(3))
    assert not check_arguments(comparison.Where, {}, mask, tensor(2), tensor(3))
    assert comparison.Where().infer(mask, number(1), number(0.5)) == (tensor(2, 3),)
