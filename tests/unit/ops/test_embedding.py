"""`embedding` and `embedding_bag` against PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.ops.embedding import Embedding, EmbeddingBag
from specdl.ops.text import literal
from tests.unit.ops.harness import check_arguments, check_symbolic, refusal_of, tensor
from tests.unit.ops.onnx_harness import check_onnx


@given(
    num_embeddings=st.integers(1, 4),
    embedding_dim=st.integers(1, 4),
    padding_idx=st.none() | st.integers(-5, 5),
    shape=st.lists(st.integers(1, 3), max_size=3),
    dtype=st.sampled_from(["int64", "int32", "float32", "uint8", "bool"]),
)
def test_embedding(num_embeddings: int, embedding_dim: int, padding_idx: Any, shape: list[int], dtype: str) -> None:
    arguments = {"num_embeddings": num_embeddings, "embedding_dim": embedding_dim, "padding_idx": padding_idx}
    check_arguments(Embedding, arguments, tensor(*shape, dtype=dtype))


@pytest.mark.parametrize("name", ["num_embeddings", "embedding_dim"])
def test_sizes_are_positive(name: str) -> None:
    arguments = {"num_embeddings": 4, "embedding_dim": 4, name: 0}
    assert refusal_of(Embedding, arguments, tensor(2, dtype="int64")) is not None


def test_symbolic_sizes() -> None:
    op = Embedding(num_embeddings=10, embedding_dim=4)
    check_symbolic(op, tensor(BATCH, symbol("T"), dtype="int64"), sizes={"N": 2, "T": 3})


@given(
    num_embeddings=st.integers(1, 4),
    embedding_dim=st.integers(1, 4),
    mode=st.sampled_from(["sum", "mean", "max", "min"]),
    padding_idx=st.none() | st.integers(-5, 5),
    shape=st.lists(st.integers(1, 3), min_size=2, max_size=3),
    dtype=st.sampled_from(["int64", "int32", "float32", "bool"]),
)
def test_embedding_bag(
    num_embeddings: int, embedding_dim: int, mode: str, padding_idx: Any, shape: list[int], dtype: str
) -> None:
    arguments = {
        "num_embeddings": num_embeddings,
        "embedding_dim": embedding_dim,
        "mode": mode,
        "padding_idx": padding_idx,
    }
    if mode == "min":
        assert refusal_of(EmbeddingBag, arguments, tensor(*shape, dtype=dtype)) is not None
    else:
        check_arguments(EmbeddingBag, arguments, tensor(*shape, dtype=dtype))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding_idx", [None, 0, -1])
def test_embedding_bag_in_onnx(mode: Any, padding_idx: int | None) -> None:
    """With three rows, some of the bags of one or two are empty."""
    op = EmbeddingBag(num_embeddings=3, embedding_dim=4, mode=mode, padding_idx=padding_idx)
    sizes = ({"N": 9, "T": 1}, {"N": 9, "T": 2}, {"N": 2, "T": 7})
    for dtype in ("int64", "int32"):
        check_onnx(op, tensor(BATCH, symbol("T"), dtype=dtype), sizes=sizes, rows=3)


def test_embedding_bag_text() -> None:
    op = EmbeddingBag(num_embeddings=10, embedding_dim=4, mode="sum", padding_idx=0)
    check_symbolic(op, tensor(BATCH, symbol("T"), dtype="int64"), sizes={"N": 2, "T": 3})
    assert literal(op.torch_module()) == 'nn.EmbeddingBag(10, 4, mode="sum", padding_idx=0)'
    assert (op.title(), op.details()) == ("Embedding bag 10×4", "sum")
