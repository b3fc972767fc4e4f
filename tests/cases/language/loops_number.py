"""loops, from loops_number.yaml."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

__all__ = ["Loops"]


class Level(nn.ModuleList):
    """[N, 8] -> [N, 8], level [N, 8]"""

    def __init__(self):
        super().__init__(
            [
                nn.Sequential(OrderedDict(linear=nn.Linear(8, 8), relu=nn.ReLU())),
                nn.Sequential(OrderedDict(linear=nn.Linear(8, 8), relu=nn.ReLU())),
            ]
        )

    def forward(self, x):
        x = self[0](x)
        y = self[1](x)
        return y, x


class Loops(nn.Module):
    """x [N, 8] -> every [N, 16]"""

    def __init__(self):
        super().__init__()
        self.lone = nn.Sequential(*(nn.Linear(8, 8) for _ in range(3)))
        self.level = Level()
        self.table = nn.Sequential(
            nn.Sequential(OrderedDict(fc=nn.Linear(8, 16), relu=nn.ReLU())),
            nn.Sequential(OrderedDict(fc=nn.Linear(16, 32), tanh=nn.Tanh())),
        )
        self.linear = nn.Linear(32, 8)
        self.linear_2 = nn.Linear(8, 8)

    def forward(self, x):
        x = self.lone(x)
        x, level_2 = self.level(x)
        return torch.cat([level_2, x], dim=1)  # [N, 16]
