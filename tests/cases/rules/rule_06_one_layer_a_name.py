"""rule, from rule_06_one_layer_a_name.yaml."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

__all__ = ["Rule"]


class Rule(nn.Module):
    """x [N, 8] -> x [N, 16]"""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 16)
        self.x_2 = nn.Dropout(0.5)

    def forward(self, x):
        x = self.fc(x)  # [N, 16]
        x = F.relu(x)
        return self.x_2(x)
