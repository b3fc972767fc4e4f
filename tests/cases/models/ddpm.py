"""ddpm, from ddpm.yaml."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

__all__ = ["Ddpm"]


class Ddpm(nn.Module):
    """x [N, 1, 8, 8], t [N] int64, label [N] int64 -> output [N, 1, 8, 8]"""

    def __init__(self):
        super().__init__()
        self.time = nn.Embedding(1000, 16)
        self.what = nn.Embedding(11, 16)
        self.stem = nn.Conv2d(1, 16, kernel_size=3, padding=1)
        self.conv2d = nn.Conv2d(16, 1, kernel_size=3, padding=1)

    def forward(self, x, t, label):
        time = self.time(t)  # [N, 16]
        y = self.what(label)  # [N, 16]
        condition = (time + y)[:, :, None, None]  # [N, 16, 1, 1]
        x = self.stem(x)  # [N, 16, 8, 8]
        x = x + condition
        x = F.silu(x)
        return self.conv2d(x)  # [N, 1, 8, 8]
