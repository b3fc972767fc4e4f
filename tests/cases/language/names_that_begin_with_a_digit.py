"""numbered, from names_that_begin_with_a_digit.yaml."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Numbered"]


class Numbered(nn.ModuleDict):
    """x [N, 4] -> output [N, 4]"""

    def __init__(self):
        super().__init__()
        self["2n"] = nn.Linear(4, 4)
        self["3n"] = nn.Sequential(nn.Linear(4, 4))

    def forward(self, x):
        y = self["2n"](x)
        a = F.relu(y)
        x = self["3n"](x)
        x = torch.tanh(x)
        return a + x
