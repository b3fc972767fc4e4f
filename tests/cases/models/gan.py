"""gan, from gan.yaml."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Generator", "Discriminator"]


class Generator(nn.Module):
    """z [N, 64] -> output [N, 1, 8, 8]"""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 64)
        self.linear_2 = nn.Linear(64, 64)

    def forward(self, z):
        x = self.linear(z)
        x = F.relu(x)
        x = self.linear_2(x)
        x = torch.sigmoid(x)
        return x.reshape(-1, 1, 8, 8)  # [N, 1, 8, 8]


class Discriminator(nn.Module):
    """image [N, 1, 8, 8] -> score [N, 1]"""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 64)
        self.score = nn.Linear(64, 1)

    def forward(self, image):
        x = image.flatten(1)  # [N, 64]
        x = self.linear(x)
        x = F.leaky_relu(x, 0.2)
        return self.score(x)  # [N, 1]
