"""Classes with their probabilities, from the scores that a network gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from specdl.diagnostics import Diagnostic, SpecError


@dataclass(frozen=True, slots=True)
class Guess:
    """A class with its probability."""

    label: str
    probability: float


def best(scores: torch.Tensor, names: Sequence[str] | None, top: int) -> tuple[Guess, ...]:
    """The likeliest classes of scores `[C]`, best first. Raises `SpecError` for an output of another shape."""
    if scores.dim() != 1:
        shape = ["N", *scores.shape]
        message = f"`predict` needs scores [N, classes], the network gives [{', '.join(map(str, shape))}]"
        raise SpecError([Diagnostic("E0607", message)])
    if names is not None and len(names) > len(scores):
        message = f"the network gives {len(scores)} scores, but there are {len(names)} classes"
        raise SpecError([Diagnostic("E0607", message)])
    found = probabilities(scores).topk(min(top, len(scores)))
    return tuple(
        Guess(names[at] if names is not None and at < len(names) else str(at), value)
        for at, value in zip(found.indices.tolist(), found.values.tolist(), strict=True)
    )


def probabilities(scores: torch.Tensor) -> torch.Tensor:
    """Softmax of logits or log-probabilities; scores that are probabilities already stay."""
    if bool((scores >= 0).all()) and torch.isclose(scores.sum(), scores.new_ones(()), atol=1e-4):
        return scores
    return scores.float().softmax(0)
