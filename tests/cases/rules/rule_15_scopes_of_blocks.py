"""rule, from rule_15_scopes_of_blocks.yaml."""

from __future__ import annotations

from torch import nn

__all__ = ["Rule"]


class Wide(nn.Module):
    """The block `wide`."""

    def __init__(self, in_features, width):
        super().__init__()
        self.linear = nn.Linear(in_features, width)
        self.layer_norm = nn.LayerNorm(width, eps=0.001)

    def forward(self, x):
        x = self.linear(x)
        return self.layer_norm(x)


class Rule(nn.Module):
    """x [N, 8] -> output [N, 8]"""

    def __init__(self):
        super().__init__()
        self.wide = Wide(8, 24)
        self.wide_2 = Wide(24, 5)
        self.linear = nn.Linear(5, 8)

    def forward(self, x):
        x = self.wide(x)  # [N, 24]
        x = self.wide_2(x)  # [N, 5]
        return self.linear(x)  # [N, 8]
