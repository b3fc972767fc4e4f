"""wgan-gp, from wgan_gp.yaml."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Generator", "Critic"]


class Generator(nn.Module):
    """z [N, 128] -> output [N, 1, 8, 8]"""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(128, 64)

    def forward(self, z):
        x = self.linear(z)  # [N, 64]
        x = x.reshape(-1, 1, 8, 8)  # [N, 1, 8, 8]
        return torch.tanh(x)


class Critic(nn.Module):
    """image [N, 1, 8, 8] -> output [N, 1]"""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 1)

    def forward(self, image):
        x = image.flatten(1)  # [N, 64]
        return self.linear(x)  # [N, 1]
