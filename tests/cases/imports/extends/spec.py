"""base, from base.yaml."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

__all__ = ["Base"]


class Stage(nn.Module):
    """[N, 1, 8, 8] -> [N, 8, 8, 8]"""

    def __init__(self):
        super().__init__()
        self.conv2d = nn.Conv2d(1, 8, kernel_size=1)

    def forward(self, x):
        x = self.conv2d(x)  # [N, 8, 8, 8]
        return F.relu(x)


class Base(nn.Module):
    """image [N, 1, 8, 8] -> logits [N, 10]"""

    def __init__(self):
        super().__init__()
        self.stage = Stage()
        self.logits = nn.Linear(512, 10)

    def forward(self, image):
        x = self.stage(image)  # [N, 8, 8, 8]
        x = x.flatten(1)  # [N, 512]
        return self.logits(x)  # [N, 10]
