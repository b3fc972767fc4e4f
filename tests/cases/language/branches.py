"""branching, from branches.yaml."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Branching"]


class Pyramid(nn.ModuleList):
    """[N, 8, 16, 16] -> [N, 12, 16, 16]"""

    def __init__(self):
        super().__init__(
            [
                nn.Conv2d(8, 4, kernel_size=3, padding=1),
                nn.Conv2d(8, 4, kernel_size=3, padding=2, dilation=2),
                nn.Conv2d(8, 4, kernel_size=3, padding=3, dilation=3),
            ]
        )

    def forward(self, x):
        y = self[0](x)  # [N, 4, 16, 16]
        z = self[1](x)  # [N, 4, 16, 16]
        x = self[2](x)  # [N, 4, 16, 16]
        return torch.cat([y, z, x], dim=1)  # [N, 12, 16, 16]


class Branching(nn.Module):
    """image [N, 8, 16, 16] -> pyramid [N, 12, 16, 16]"""

    def __init__(self):
        super().__init__()
        self.gate = nn.Conv2d(8, 8, kernel_size=1)
        self.conv2d = nn.Conv2d(8, 4, kernel_size=1)
        self.conv2d_2 = nn.Conv2d(8, 4, kernel_size=3, padding=1)
        self.pyramid = Pyramid()

    def forward(self, image):
        x = F.adaptive_avg_pool2d(image, 1)  # [N, 8, 1, 1]
        x = self.gate(x)
        x = torch.sigmoid(x)
        x = image * x
        y = self.conv2d(x)  # [N, 4, 16, 16]
        x = self.conv2d_2(x)  # [N, 4, 16, 16]
        x = torch.cat([y, x], dim=1)  # [N, 8, 16, 16]
        return self.pyramid(x)  # [N, 12, 16, 16]
