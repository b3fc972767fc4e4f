"""rule, from rule_04_block_is_its_sequence.yaml."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

__all__ = ["Rule"]


class LinearAct(nn.Sequential):
    """The block `linear_act`."""

    def __init__(self, in_features, width):
        super().__init__(nn.Linear(in_features, width), nn.ReLU())


class Other(nn.Module):
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
    """x [N, 8] -> output [N, 8]"""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            LinearAct(8, 4),
            LinearAct(4, 8),
        )
        self.alone = LinearAct(8, 8)
        self.other = Other()

    def forward(self, x):
        x = self.features(x)
        x = self.alone(x)
        return self.other(x)
