"""Shape operators against PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.ir.types import DTYPES, TensorType
from specdl.ops.base import Op, TypeRuleError
from specdl.ops.shape import (
    Cast,
    Chunk,
    Expand,
    Flatten,
    Identity,
    Permute,
    Positions,
    Reshape,
    Split,
    Squeeze,
    Transpose,
    Unflatten,
    Unsqueeze,
)
from specdl.ops.text import literal
from tests.unit.ops.harness import check, check_arguments, check_symbolic, make, refusal_of, tensor

SHAPES = st.lists(st.integers(1, 4), max_size=4)
AXES = st.integers(-5, 5)
T = symbol("T")


@given(start=AXES, end=AXES, shape=SHAPES)
def test_flatten(start: int, end: int, shape: list[int]) -> None:
    check_arguments(Flatten, {"start_dim": start, "end_dim": end}, tensor(*shape))


@given(dim=AXES, size=st.lists(st.sampled_from([-1, 1, 2, 3, 4]), min_size=1, max_size=3), shape=SHAPES)
def test_unflatten(dim: int, size: list[int], shape: list[int]) -> None:
    check_arguments(Unflatten, {"dim": dim, "unflattened_size": size}, tensor(*shape))


@given(size=st.lists(st.sampled_from([-1, 1, 2, 3, 4]), min_size=1, max_size=3), shape=SHAPES)
def test_reshape(size: list[int], shape: list[int]) -> None:
    check_arguments(Reshape, {"shape": size}, tensor(*shape))


@given(dims=st.lists(st.integers(-4, 4), min_size=1, max_size=4), shape=SHAPES)
def test_permute_of_any_axes(dims: list[int], shape: list[int]) -> None:
    check_arguments(Permute, {"dims": dims}, tensor(*shape))


@given(dims=st.permutations(range(4)))
def test_permute(dims: list[int]) -> None:
    assert check_arguments(Permute, {"dims": dims}, tensor(2, 3, 4, 5))


@given(first=AXES, second=AXES, shape=SHAPES)
def test_transpose(first: int, second: int, shape: list[int]) -> None:
    check_arguments(Transpose, {"dim0": first, "dim1": second}, tensor(*shape))


def test_transpose_takes_both_axes_in_a_list() -> None:
    assert make(Transpose, {"dim0": [1, 2]}) == Transpose(dim0=1, dim1=2)
    assert refusal_of(Transpose, {"dim0": [1, 2, 0]}, tensor(2, 3, 4)) is not None
    assert refusal_of(Transpose, {"dim0": 1}, tensor(2, 3, 4)) is not None


@given(dim=AXES | st.lists(AXES, min_size=1, max_size=3), shape=SHAPES)
def test_squeeze(dim: Any, shape: list[int]) -> None:
    check_arguments(Squeeze, {"dim": dim}, tensor(*shape))


@given(dim=AXES, shape=SHAPES)
def test_unsqueeze(dim: int, shape: list[int]) -> None:
    check_arguments(Unsqueeze, {"dim": dim}, tensor(*shape))


@given(chunks=st.integers(-1, 6), dim=AXES, shape=SHAPES)
def test_chunk(chunks: int, dim: int, shape: list[int]) -> None:
    check_arguments(Chunk, {"chunks": chunks, "dim": dim}, tensor(*shape))


@given(size=st.integers(1, 5) | st.lists(st.integers(-1, 3), min_size=1, max_size=3), dim=AXES, shape=SHAPES)
def test_split(size: Any, dim: int, shape: list[int]) -> None:
    check_arguments(Split, {"split_size_or_sections": size, "dim": dim}, tensor(*shape))


@given(sizes=st.lists(st.sampled_from([-1, 1, 2, 3]), min_size=1, max_size=4), shape=st.lists(st.integers(1, 3)))
def test_expand(sizes: list[int], shape: list[int]) -> None:
    check_arguments(Expand, {"sizes": sizes}, tensor(*shape[:4]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_cast(dtype: str) -> None:
    check(make(Cast, {"dtype": dtype}), tensor(2, 3))
    check(make(Cast, {"dtype": dtype}), tensor(2, 3, dtype="int64"))


def test_identity_and_positions() -> None:
    check(Identity(), tensor(2, 3))
    check(Positions(), tensor(2, 3))
    check(Positions(), tensor(2, 3, 4, dtype="int64"))
    assert not check_arguments(Positions, {}, tensor(2))


@pytest.mark.parametrize(
    ("op", "shape"),
    [
        (Flatten(), (BATCH, T, 8)),
        (Flatten(start_dim=0), (BATCH, T, 8)),
        (Unflatten(dim=2, unflattened_size=(2, 4)), (BATCH, T, 8)),
        (Unflatten(dim=1, unflattened_size=(2, -1)), (BATCH, 2 * T, 8)),
        (Reshape(shape=(-1, 4)), (BATCH, T, 8)),
        (Reshape(shape=(2, 4)), (BATCH, 8)),
        (Permute(dims=(0, 2, 1)), (BATCH, T, 8)),
        (Transpose(dim0=1, dim1=-1), (BATCH, T, 8)),
        (Squeeze(dim=2), (BATCH, T, 1)),
        (Unsqueeze(dim=-1), (BATCH, T)),
        (Chunk(chunks=2, dim=-1), (BATCH, T, 8)),
        (Chunk(chunks=2, dim=1), (BATCH, 4 * T, 8)),
        (Split(split_size_or_sections=3, dim=2), (BATCH, T, 8)),
        (Expand(sizes=(-1, 3, -1)), (BATCH, 1, T)),
        (Positions(), (BATCH, T, 8)),
    ],
    ids=str,
)
def test_symbolic_sizes(op: Op, shape: tuple[Any, ...]) -> None:
    check_symbolic(op, tensor(*shape), sizes={"N": 2, "T": 3})


@pytest.mark.parametrize(
    ("op", "shape", "message"),
    [
        (Squeeze(dim=1), (BATCH, T), "when the spec is compiled"),
        (Chunk(chunks=2), (BATCH, 8), "may not divide"),
        (Chunk(chunks=2, dim=1), (BATCH, T), "may not divide"),
        (Split(split_size_or_sections=2, dim=1), (BATCH, T), "number of pieces"),
        (Reshape(shape=(-1, 5)), (BATCH, T, 8), "can't be divided"),
        (Reshape(shape=(symbol("S"), 8)), (BATCH, T, 8), "holds 8.S elements"),
        (Unflatten(dim=1, unflattened_size=(T, -1)), (BATCH, symbol("S") * T, 8), "isn't an axis of its inputs"),
        (Expand(sizes=(BATCH, -1)), (1, 8), "isn't an axis of its inputs"),
        (Expand(sizes=(3, -1)), (BATCH, 8), "only an axis of size 1"),
    ],
    ids=str,
)
def test_what_symbolic_sizes_refuse(op: Op, shape: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TypeRuleError, match=message):
        op.infer(tensor(*shape))


def test_sizes_that_are_symbols() -> None:
    x = tensor(BATCH, T, 8)
    assert Reshape(shape=(T, 2, 4)).infer(x) == (tensor(BATCH, T, 2, 4),)
    assert Reshape(shape=(T, -1)).infer(x) == (x,)
    assert Expand(sizes=(2, -1, T)).infer(tensor(BATCH, T)) == (tensor(2, BATCH, T),)


def test_expand_to_the_batch_of_another_value() -> None:
    op = make(Expand, {"sizes": ["N", -1, -1]})
    token, x = tensor(1, 1, 8), tensor(BATCH, T, 8)
    assert op.infer(token, x) == (tensor(BATCH, 1, 8),)
    assert op.torch_function(["token", "x"], token, x) == "token.expand(x.shape[0], -1, -1)"


X = tensor(BATCH, T, 8)


@pytest.mark.parametrize(
    ("op", "x", "text"),
    [
        (Flatten(), X, "x.flatten(1)"),
        (Flatten(start_dim=0), X, "x.flatten()"),
        (Flatten(start_dim=0, end_dim=1), X, "x.flatten(0, 1)"),
        (Unflatten(dim=-1, unflattened_size=(2, 4)), X, "x.unflatten(-1, (2, 4))"),
        (Reshape(shape=(2, 4)), tensor(BATCH, 8), "x.reshape(-1, 2, 4)"),
        (Reshape(shape=(-1, 4)), X, "x.reshape(x.shape[0], -1, 4)"),
        (Reshape(shape=(T, 2, 4)), X, "x.reshape(x.shape[0], x.shape[1], 2, 4)"),
        (Permute(dims=(0, 2, 1)), X, "x.permute(0, 2, 1)"),
        (Transpose(dim0=1, dim1=2), X, "x.transpose(1, 2)"),
        (Chunk(chunks=3, dim=-1), X, "x.chunk(3, dim=-1)"),
        (Split(split_size_or_sections=(2, 6), dim=2), X, "x.split([2, 6], dim=2)"),
        (Cast(dtype="int64"), X, "x.to(torch.int64)"),
        (Positions(), X, "torch.arange(x.shape[1], device=x.device)"),
        (Identity(), X, "x"),
    ],
    ids=str,
)
def test_text(op: Op, x: TensorType, text: str) -> None:
    assert op.torch_function(["x"], x) == text


def test_modules_for_a_sequential() -> None:
    assert literal(Flatten().torch_module(X)) == "nn.Flatten()"
    assert literal(Flatten(start_dim=2).torch_module(X)) == "nn.Flatten(start_dim=2)"
    assert literal(Reshape(shape=(2, 4)).torch_module(X)) == "Reshape(2, 4)"
    assert literal(Permute(dims=(0, 2, 1)).torch_module(X)) == "Permute(0, 2, 1)"
    assert Reshape(shape=(T, 8)).torch_module(X) is None


def test_targets_of_pieces() -> None:
    assert Chunk(chunks=2).torch_targets(["a", "b"]) == "a, b"
    assert Chunk(chunks=1).torch_targets(["a"]) == "(a,)"
