"""top, from spec.yaml."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Top"]


class ConvNorm(nn.Module):
    """[N, 3, 8, 8] -> [N, 4, 8, 8]"""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        x = self.conv(x)  # [N, 4, 8, 8]
        x = self.norm(x)
        return F.relu(x)


class Mine(nn.Module):
    """[N, 4, 8, 8] -> [N, 4, 8, 8]"""

    def forward(self, x):
        return torch.tanh(x)


class Top(nn.Module):
    """image [N, 3, 8, 8] -> output [N, 5]"""

    def __init__(self):
        super().__init__()
        self.conv_norm = ConvNorm()
        self.mine = Mine()
        self.linear = nn.Linear(256, 5)

    def forward(self, image):
        x = self.conv_norm(image)  # [N, 4, 8, 8]
        x = self.mine(x)
        x = x.flatten(1)  # [N, 256]
        return self.linear(x)  # [N, 5]
