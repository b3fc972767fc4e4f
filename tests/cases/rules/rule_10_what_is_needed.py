"""rule, from rule_10_what_is_needed.yaml."""

from __future__ import annotations

from torch import nn

__all__ = ["Rule"]


class Rule(nn.Module):
    """image [N, 1, 8, 8] -> logits [N, 10]"""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 16)
        self.auxiliary = nn.Linear(16, 10)
        self.logits = nn.Linear(16, 10)

    def forward(self, image):
        x = image.flatten(1)  # [N, 64]
        hidden = self.hidden(x)  # [N, 16]
        if self.training:
            auxiliary = self.auxiliary(hidden)  # [N, 10]
        x = self.logits(hidden)  # [N, 10]
        if self.training:
            return x, auxiliary
        return x
