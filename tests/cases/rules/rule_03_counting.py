"""rule, from rule_03_counting.yaml."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

__all__ = ["Rule"]


class Residual(nn.Module):
    """[N, 8] -> [N, 8]"""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        y = self.linear(x)
        return y + x


class Body(nn.ModuleDict):
    """[N, 8] -> [N, 8]"""

    def __init__(self):
        super().__init__()
        self["0"] = nn.Linear(8, 8)
        self.kept = nn.Linear(8, 8)
        self["3"] = nn.Sequential(
            nn.Linear(8, 8),
            nn.ReLU(),
        )
        self["4"] = Residual()
        self["5"] = nn.Linear(8, 8)
        self["6"] = nn.Linear(8, 8)

    def forward(self, x):
        y = self["0"](x)
        y = self.kept(y)
        y = F.relu(y)
        y = self["3"](y)
        y = self["4"](y)
        x = y + x
        x = self["5"](x)
        return self["6"](x)


class Rule(nn.Module):
    """x [N, 8] -> body [N, 8]"""

    def __init__(self):
        super().__init__()
        self.body = Body()

    def forward(self, x):
        return self.body(x)
