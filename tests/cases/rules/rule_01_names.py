"""rule, from rule_01_names.yaml."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

__all__ = ["Rule"]


class Mlp(nn.Module):
    """[N, 8] -> [N, 8]"""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.linear_2 = nn.Linear(8, 8)

    def forward(self, x):
        x = self.linear(x)
        x = F.relu(x)
        return self.linear_2(x)


class Rule(nn.Module):
    """x [N, 8] -> head [N, 8]"""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.linear_2 = nn.Linear(8, 8)
        self.stem = nn.Linear(8, 8)
        self.mlp = Mlp()
        self.mlp_2 = Mlp()
        self.head = Mlp()

    def forward(self, x):
        x = self.linear(x)
        x = F.relu(x)
        x = self.linear_2(x)
        x = self.stem(x)
        x = self.mlp(x)
        x = self.mlp_2(x)
        return self.head(x)
