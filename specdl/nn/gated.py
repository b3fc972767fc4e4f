"""Gated linear units whose gate is no sigmoid; both halves of an axis come from one layer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SwiGLU(nn.Module):
    """silu(first half of the axis) * second half. https://arxiv.org/abs/2002.05202"""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        gate, x = torch.split(x, x.shape[self.dim] // 2, dim=self.dim)
        return F.silu(gate) * x


class GEGLU(nn.Module):
    """gelu(first half of the axis) * second half. https://arxiv.org/abs/2002.05202"""

    def __init__(self, dim: int = -1, approximate: str = "none") -> None:
        super().__init__()
        self.dim, self.approximate = dim, approximate

    def forward(self, x: Tensor) -> Tensor:
        gate, x = torch.split(x, x.shape[self.dim] // 2, dim=self.dim)
        return F.gelu(gate, approximate=self.approximate) * x
