"""counting, from sequence_counts.yaml."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

__all__ = ["Counting"]


class Residual(nn.Module):
    """[N, 8, 16, 16] -> [N, 8, 16, 16]"""

    def __init__(self):
        super().__init__()
        self.conv2d = nn.Conv2d(8, 8, kernel_size=1)

    def forward(self, x):
        y = self.conv2d(x)
        return y + x


class Features(nn.ModuleDict):
    """[N, 3, 16, 16] -> [N, 8, 16, 16], conv2d [N, 8, 16, 16]"""

    def __init__(self):
        super().__init__()
        self["0"] = nn.Conv2d(3, 8, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self["2"] = nn.Sequential(
            nn.Conv2d(8, 8, kernel_size=1),
            nn.ReLU(),
        )
        self["3"] = nn.Conv2d(8, 8, kernel_size=1)
        self["5"] = nn.Conv2d(8, 8, kernel_size=1)
        self["7"] = Residual()

    def forward(self, x):
        x = self["0"](x)  # [N, 8, 16, 16]
        y = self.norm(x)
        y = self["2"](y)
        y = self["3"](y)
        y = F.relu(y)
        y = self["5"](y)
        y = F.relu(y)
        y = self["7"](y)
        y = F.relu(y)
        return y, x


class Counting(nn.Module):
    """image [N, 3, 16, 16] -> output [N, 8, 16, 16]"""

    def __init__(self):
        super().__init__()
        self.features = Features()

    def forward(self, image):
        features, conv2d = self.features(image)  # [N, 8, 16, 16]
        x = conv2d * 2
        return features + x
