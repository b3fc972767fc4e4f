"""Stochastic depth: whole residual branches are dropped at random while training."""

import torch
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """Drops the branch of each example (`row`) or of the whole batch, and scales up what stays.

    https://arxiv.org/abs/1603.09382
    """

    def __init__(self, p: float, mode: str = "row") -> None:
        super().__init__()
        self.p = p
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if self.p == 1:
            return x * 0
        count = x.shape[0] if self.mode == "row" else 1
        keep = torch.empty((count, *[1] * (x.ndim - 1)), dtype=x.dtype, device=x.device)
        return x * keep.bernoulli_(1 - self.p) / (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode!r}"
