"""How the tokens of a text are chosen, one after another, from what a network says may follow: drawn, the likeliest,
or the likeliest texts as a whole (beam search).

The order is that of transformers: temperature, then the `top_k` likeliest, then those that make up `top_p`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Speaker(Protocol):
    """A network that says what follows some tokens."""

    def scores(self, tokens: Tensor) -> Tensor:
        """The logits `[N, V]` of what follows tokens `[N, T]`: those of the call before, with some more behind them."""
        ...

    def reorder(self, rows: Tensor) -> None:
        """What is kept of each row becomes that of the row with this number."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """How the next token is chosen. A temperature of 0 takes the likeliest; `top_k` and `top_p` leave others out."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None


def kept(scores: Tensor, choice: Choice) -> Tensor:
    """The logits `[N, V]` divided by the temperature, -inf for tokens that aren't among the `top_k` and `top_p`."""
    scores = scores / choice.temperature
    if choice.top_k is not None and choice.top_k < scores.shape[-1]:
        least = scores.topk(choice.top_k, dim=-1).values[:, -1:]
        scores = scores.masked_fill(scores < least, float("-inf"))
    if choice.top_p is not None and choice.top_p < 1:
        ordered, places = scores.sort(dim=-1, descending=True)
        shares = ordered.softmax(dim=-1)
        behind = shares.cumsum(dim=-1) - shares >= choice.top_p  # the first one always stays
        scores = scores.masked_fill(torch.zeros_like(behind).scatter(-1, places, behind), float("-inf"))
    return scores


def choose(scores: Tensor, choice: Choice, generator: torch.Generator) -> Tensor:
    """The next token `[N]` of logits `[N, V]`."""
    if choice.temperature == 0:
        return scores.argmax(dim=-1)
    shares = kept(scores.float(), choice).softmax(dim=-1)
    return torch.multinomial(shares, 1, generator=generator)[:, 0]


def write(
    speaker: Speaker, tokens: Tensor, most: int, choice: Choice, generator: torch.Generator, ends: frozenset[int]
) -> Iterator[int]:
    """The tokens that follow those of one row `[1, T]`, each when it is chosen; one of `ends` is the last."""
    for _ in range(most):
        token = choose(speaker.scores(tokens), choice, generator)
        yield int(token)
        if int(token) in ends:
            return
        tokens = torch.cat([tokens, token[:, None]], dim=1)


@dataclass(frozen=True, slots=True)
class Beam:
    """A text that a beam search found: its tokens, and the mean of their log probabilities (with `penalty` 1)."""

    tokens: tuple[int, ...]
    score: float


def search(
    speaker: Speaker, tokens: Tensor, most: int, beams: int, ends: frozenset[int], penalty: float = 1.0
) -> list[Beam]:
    """The likeliest texts that follow those of one row `[1, T]`, best first, at most `beams` of them.

    At each step all beams are lengthened by each token, and the best go on; a beam that ends is compared with others
    by its log probability over its length to the power of `penalty`. The search stops where no beam can become
    better than those that ended.
    """
    begin = tokens.shape[1]
    tokens = tokens.repeat(beams, 1)
    # The rows are equal at first, and only one of them counts.
    totals = torch.full((beams,), float("-inf"))
    totals[0] = 0.0
    done: list[Beam] = []
    for length in range(1, most + 1):
        scores = speaker.scores(tokens).float().log_softmax(dim=-1)
        size = scores.shape[-1]
        found = (totals[:, None] + scores.cpu()).flatten()
        width = min(len(found), (1 + max(1, len(ends))) * beams)
        best, places = found.topk(width)
        rows, chosen = places // size, places % size
        going: list[int] = []
        for rank, (total, row, token) in enumerate(zip(best.tolist(), rows.tolist(), chosen.tolist(), strict=True)):
            if token not in ends:
                going.append(rank)
            elif rank < beams and total > float("-inf"):
                done.append(Beam((*tokens[row, begin:].tolist(), token), total / length**penalty))
        going = going[:beams]
        done = sorted(done, key=lambda beam: -beam.score)[:beams]
        picked = rows[going].to(tokens.device)
        tokens = torch.cat([tokens[picked], chosen[going].to(tokens.device)[:, None]], dim=1)
        totals = best[going]
        if len(done) == beams and totals[0].item() / length**penalty <= done[-1].score:
            return done
        speaker.reorder(picked)
    rest = [
        Beam(tuple(row[begin:].tolist()), total / most**penalty)
        for row, total in zip(tokens, totals.tolist(), strict=True)
    ]
    return sorted([*done, *rest], key=lambda beam: -beam.score)[:beams]


__all__ = ["Beam", "Choice", "Speaker", "choose", "kept", "search", "write"]
