"""`embedding` against PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.ops.embedding import Embedding
from tests.unit.ops.harness import check_arguments, check_symbolic, refusal_of, tensor


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
