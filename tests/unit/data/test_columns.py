"""Columns of any lengths against lists."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from specdl.data.columns import Ragged, Strings, as_ragged, collate, concatenate, one, ragged, strings

ROWS = st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=6)


def column(rows: list[list[int]], padding: int = 0) -> Ragged:
    return ragged([torch.tensor(row, dtype=torch.int64) for row in rows], padding)


def lists(found: Ragged) -> list[list[int]]:
    return [row.tolist() for row in found.rows()]


@given(ROWS, st.data())
def test_rows_are_what_lists_would_be(rows: list[list[int]], data: st.DataObject) -> None:
    found = column(rows)
    assert lists(found) == rows
    assert found.lengths.tolist() == [len(row) for row in rows]
    assert found.owners().tolist() == [at for at, row in enumerate(rows) for _ in row]
    assert found.places().tolist() == [at for row in rows for at, _ in enumerate(row)]
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=6))
    assert lists(found.index_select(0, torch.tensor(chosen, dtype=torch.int64))) == [rows[at] for at in chosen]
    length = data.draw(st.integers(0, 4))
    assert lists(found.limited(length)) == [row[:length] for row in rows]
    assert lists(found.limited(length, end=False)) == [row[max(len(row) - length, 0) :] for row in rows]
    assert lists(found.surrounded(7, None)) == [[7, *row] for row in rows]
    assert lists(found.surrounded(7, 8)) == [[7, *row, 8] for row in rows]
    assert lists(found.keep(found.values > 4)) == [[number for number in row if number > 4] for row in rows]


@given(ROWS)
def test_padding_and_mask(rows: list[list[int]]) -> None:
    found = column(rows, padding=-100)
    longest = max(map(len, rows))
    assert found.padded().tolist() == [row + [-100] * (longest - len(row)) for row in rows]
    assert found.mask().tolist() == [[at < len(row) for at in range(longest)] for row in rows]


@given(ROWS, ROWS)
def test_columns_one_after_another(one_rows: list[list[int]], other_rows: list[list[int]]) -> None:
    found = concatenate([column(one_rows, 3), column(other_rows)])
    assert isinstance(found, Ragged)
    assert lists(found) == one_rows + other_rows
    assert found.padding == 3


def test_tensors_of_several_lengths_are_padded_where_that_is_asked_for() -> None:
    tensors = [torch.tensor([[1, 2]]), torch.tensor([[3]])]
    with pytest.raises(ValueError, match="several sizes"):
        concatenate(tensors)
    found = concatenate(tensors, -1)
    assert isinstance(found, Ragged)
    assert found.padded().tolist() == [[1, 2], [3, -1]]


def test_values_may_be_vectors() -> None:
    found = ragged([torch.ones(2, 3), torch.full((1, 3), 2.0)])
    assert found.padded().shape == (2, 2, 3)
    assert found.padded()[1].tolist() == [[2, 2, 2], [0, 0, 0]]
    assert found.index_select(0, torch.tensor([1])).values.tolist() == [[2, 2, 2]]


def test_strings_by_example() -> None:
    plain, words = strings(["a", "b", "c"]), strings([["a", "b"], [], ["c"]])
    assert plain.index_select(0, torch.tensor([2, 0])) == Strings(["c", "a"])
    assert words.row(0) == ["a", "b"]
    assert words.index_select(0, torch.tensor([2, 1])) == Strings(["c"], (0, 1, 1))
    assert concatenate([one("a"), one("b")]) == Strings(["a", "b"])
    assert concatenate([one(["a", "b"]), one(["c"])]) == Strings(["a", "b", "c"], (0, 2, 3))


def test_a_batch_has_masks_and_lengths_but_no_texts() -> None:
    batch = {
        "text": strings(["ab", "c"]),
        "tokens": column([[1, 2], [3]]),
        "dense": torch.tensor([[1, 2], [3, 4]]),
        "other": torch.zeros(2, 3),
        "tokens_length": torch.tensor([7, 7]),
        "x#0": column([[1], [2]]),
    }
    found = collate(batch, {"tokens": 0, "dense": 0})
    assert list(found) == ["tokens", "tokens_mask", "dense", "dense_mask", "dense_length", "other", "tokens_length"]
    assert found["tokens_mask"].tolist() == [[True, True], [True, False]]
    assert found["dense_mask"].all()
    assert found["dense_length"].tolist() == [2, 2]
    assert found["tokens_length"].tolist() == [7, 7]  # the batch's own


def test_a_tensor_is_a_column_of_one_length() -> None:
    found = as_ragged(torch.arange(6).view(2, 3))
    assert lists(found) == [[0, 1, 2], [3, 4, 5]]
