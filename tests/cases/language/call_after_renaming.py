"""call-after-renaming, from call_after_renaming.yaml."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

__all__ = ["CallAfterRenaming"]


class Tower(nn.Module):
    """[N, 6] -> [N, 6], hidden [N, 6]"""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(6, 6)

    def forward(self, x):
        hidden = self.hidden(x)
        x = F.relu(hidden)
        return x, hidden


class CallAfterRenaming(nn.Module):
    """x [N, 6] -> a [N, 3]"""

    def __init__(self):
        super().__init__()
        self.tower = Tower()
        self.a_2 = nn.Sequential(nn.Tanh())
        self.a = nn.Linear(6, 3)

    def forward(self, x):
        x, hidden = self.tower(x)
        x, _ = self.tower(x)
        x = F.softmax(x, dim=-1)
        x = x + hidden
        x = self.a_2(x)
        x = self.a_2(x)
        return self.a(x)  # [N, 3]
