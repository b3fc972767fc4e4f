"""rule, from rule_07_stored.yaml."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Rule"]


class Inner(nn.Module):
    """[N, 8] -> [N, 8]"""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(8))

    def forward(self, x):
        return x * self.gain


class Rule(nn.Module):
    """x [N, 8] -> inner [N, 8]"""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8))
        self.offset = nn.Buffer(torch.zeros(8))
        self.inner = Inner()

    def forward(self, x):
        x = x * self.scale + self.offset
        return self.inner(x)
