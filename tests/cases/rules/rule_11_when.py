"""rule, from rule_11_when.yaml."""

from __future__ import annotations

from torch import nn

__all__ = ["Rule"]


class Rule(nn.Module):
    """x [N, 8] -> output [N, 4]"""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(8, 8),
            nn.ReLU(),
        )
        self.linear = nn.Linear(8, 4)

    def forward(self, x):
        x = self.body(x)
        return self.linear(x)  # [N, 4]
