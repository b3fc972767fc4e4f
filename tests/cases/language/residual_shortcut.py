"""shortcuts, from residual_shortcut.yaml."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

__all__ = ["Shortcuts"]


class Unit(nn.Module):
    """[N, 8, 16, 16] -> [N, 8, 16, 16]"""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(8, 8, kernel_size=3, padding=1)

    def forward(self, x):
        y = self.conv1(x)
        y = F.relu(y)
        return y + x


class UnitWithProject(nn.Module):
    """The block `unit`."""

    def __init__(self, in_channels):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 2 * in_channels, kernel_size=3, stride=2, padding=1)
        self.project = nn.Conv2d(in_channels, 2 * in_channels, kernel_size=1, stride=2)

    def forward(self, x):
        y = self.conv1(x)
        y = F.relu(y)
        x = self.project(x)
        return y + x


class Shortcuts(nn.Module):
    """image [N, 8, 16, 16] -> output [N, 32, 4, 4]"""

    def __init__(self):
        super().__init__()
        self.a = Unit()
        self.b = UnitWithProject(8)
        self.c = UnitWithProject(16)

    def forward(self, image):
        x = self.a(image)
        x = self.b(x)  # [N, 16, 8, 8]
        c = self.c(x)  # [N, 32, 4, 4]
        x = F.relu(c)
        return x + c
