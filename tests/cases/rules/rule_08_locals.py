"""rule, from rule_08_locals.yaml."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

__all__ = ["Rule"]


class Group(nn.Module):
    """[N, 8], [N, 8] -> [N, 8], inside [N, 8]"""

    def __init__(self):
        super().__init__()
        self.inside = nn.Linear(8, 8)

    def forward(self, y, x):
        inside = self.inside(y)
        x = inside + x
        return x, inside


class Blocks(nn.ModuleList):
    """[N, 8] -> [N, 8], blocks_2 [N, 8], blocks [N, 8]"""

    def __init__(self):
        super().__init__(
            [
                *(nn.Sequential(OrderedDict(linear=nn.Linear(8, 8), tanh=nn.Tanh())) for _ in range(3)),
            ]
        )

    def forward(self, x):
        x = self[0](x)
        y = self[1](x)
        z = self[2](y)
        return z, y, x


class Rule(nn.Module):
    """x [N, 8] -> output [N, 8]"""

    def __init__(self):
        super().__init__()
        self.y = nn.Linear(8, 8)
        self.group = Group()
        self.blocks = Blocks()
        self.shut = nn.Linear(24, 8)

    def forward(self, x):
        y = self.y(x)
        group, inside = self.group(y, x)
        blocks, blocks_2, blocks_3 = self.blocks(group)
        x = group + inside
        last = x + blocks_2
        x = torch.cat([blocks_3, blocks_2, blocks], dim=1)  # [N, 24]
        x = self.shut(x)  # [N, 8]
        return x + last
