"""rule, from rule_14_scopes_of_loops.yaml."""

from __future__ import annotations

from torch import nn

__all__ = ["Rule"]


class Rule(nn.Module):
    """x [N, 8] -> s1_1 [N, 16]"""

    def __init__(self):
        super().__init__()
        self.s0_0 = nn.Linear(8, 8)
        self.s1_0 = nn.Linear(8, 32)
        self.s1_1 = nn.Linear(32, 16)

    def forward(self, x):
        x = self.s0_0(x)
        x = self.s1_0(x)  # [N, 32]
        return self.s1_1(x)  # [N, 16]
