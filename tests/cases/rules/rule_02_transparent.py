"""rule, from rule_02_transparent.yaml."""

from __future__ import annotations

from torch import nn

__all__ = ["Rule"]


class Rule(nn.Module):
    """x [N, 8] -> output [N, 8]"""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(8, 8)
        self.b = nn.Linear(8, 8)
        self.c = nn.Linear(8, 8)
        self.linear = nn.Linear(8, 8)
        self.linear_2 = nn.Linear(8, 8)
        self.d = nn.Linear(8, 8)
        self.e = nn.Linear(8, 8)

    def forward(self, x):
        a = self.a(x)
        x = self.b(a)
        x = self.c(x)
        x = x + a
        x = self.linear(x)
        x = self.linear_2(x)
        d = self.d(x)
        x = self.e(x)
        return d + x
