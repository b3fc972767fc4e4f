"""rule, from rule_16_types.yaml."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

__all__ = ["Rule"]


class Squeeze(nn.Module):
    """[N, 12, 6, 6] -> [N, 12, 6, 6]"""

    def __init__(self):
        super().__init__()
        self.conv2d = nn.Conv2d(12, 6, kernel_size=1)
        self.conv2d_2 = nn.Conv2d(6, 12, kernel_size=1)

    def forward(self, x):
        y = F.adaptive_avg_pool2d(x, 1)  # [N, 12, 1, 1]
        y = self.conv2d(y)  # [N, 6, 1, 1]
        y = self.conv2d_2(y)  # [N, 12, 1, 1]
        return x * y


class Rule(nn.Module):
    """image [N, 3, 8, 8] -> output [N, 23]"""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 12, kernel_size=3)
        self.squeeze = Squeeze()
        self.linear = nn.Linear(768, 23)

    def forward(self, image):
        x = self.stem(image)  # [N, 12, 6, 6]
        x = self.squeeze(x)
        x = F.interpolate(x, size=8)  # [N, 12, 8, 8]
        x = x.flatten(1)  # [N, 768]
        return self.linear(x)  # [N, 23]
