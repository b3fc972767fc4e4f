"""How tokens are chosen: against transformers' own filters, and against all texts counted out."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from specdl.training.decoding import Choice, choose, kept, search, write


class Chain:
    """Says what follows the last token alone, by a table `[V, V]` of logits."""

    def __init__(self, table: Tensor) -> None:
        self.table = table
        self.rows: list[list[int]] = []

    def scores(self, tokens: Tensor) -> Tensor:
        return self.table[tokens[:, -1]]

    def reorder(self, rows: Tensor) -> None:
        self.rows.append(rows.tolist())


@given(
    seed=st.integers(0, 1000),
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
    top_k=st.sampled_from([None, 1, 3, 50]),
    top_p=st.sampled_from([None, 0.1, 0.5, 0.9, 1.0]),
)
def test_the_filters_are_those_of_transformers(
    seed: int, temperature: float, top_k: int | None, top_p: float | None
) -> None:
    from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    scores = torch.randn(3, 12, generator=torch.Generator().manual_seed(seed)) * 3
    wanted = TemperatureLogitsWarper(temperature)(None, scores)
    wanted = wanted if top_k is None else TopKLogitsWarper(top_k)(None, wanted)
    wanted = wanted if top_p is None else TopPLogitsWarper(top_p)(None, wanted)
    torch.testing.assert_close(kept(scores, Choice(temperature, top_k, top_p)), wanted, rtol=0, atol=0)


def test_draws_follow_the_probabilities() -> None:
    scores = torch.tensor([[0.5, 0.25, 0.25]]).log().expand(4000, 3)
    drawn = choose(scores, Choice(1.0), torch.Generator().manual_seed(0))
    shares = drawn.bincount(minlength=3) / len(drawn)
    # The deviation of a share of 1/2 among 4,000 is 0.008; four of them.
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.25, 0.25]), rtol=0, atol=0.032)
    assert (choose(scores, Choice(0.0), torch.Generator()) == 0).all()


def test_the_same_seed_writes_the_same() -> None:
    chain = Chain(torch.randn(7, 7, generator=torch.Generator().manual_seed(3)))

    def text(seed: int) -> list[int]:
        begin = torch.tensor([[0]])
        return list(write(chain, begin, 20, Choice(1.0), torch.Generator().manual_seed(seed), frozenset()))

    assert text(1) == text(1)
    assert text(1) != text(2)


def test_a_text_ends_at_its_end() -> None:
    table = torch.full((4, 4), -10.0)
    table[0, 1] = table[1, 2] = table[2, 3] = 10.0
    found = list(write(Chain(table), torch.tensor([[0]]), 10, Choice(0.0), torch.Generator(), frozenset([2])))
    assert found == [1, 2]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_a_search_with_a_beam_for_every_text_finds_the_best(seed: int, penalty: float) -> None:
    size, most, end = 4, 4, 3
    table = torch.randn(size, size, generator=torch.Generator().manual_seed(seed)) * 2
    shares = table.log_softmax(-1)
    best, best_score = (), -math.inf
    for length in range(1, most + 1):
        for text in itertools.product(range(size), repeat=length):
            if end in text[:-1] or (length < most and text[-1] != end):
                continue
            total = sum(shares[a, b].item() for a, b in itertools.pairwise((0, *text)))
            if total / length**penalty > best_score:
                best, best_score = text, total / length**penalty
    found = search(Chain(table), torch.tensor([[0]]), most, size**most, frozenset([end]), penalty)[0]
    assert found.tokens == best
    assert found.score == pytest.approx(best_score, rel=1e-5)


def test_one_beam_is_the_likeliest_token_each_time() -> None:
    chain = Chain(torch.randn(9, 9, generator=torch.Generator().manual_seed(1)))
    begin = torch.tensor([[0]])
    greedy = list(write(chain, begin, 12, Choice(0.0), torch.Generator(), frozenset()))
    assert list(search(chain, begin, 12, 1, frozenset())[0].tokens) == greedy
