"""siamese, from call_again.yaml."""

from __future__ import annotations

from torch import nn

__all__ = ["Siamese"]


class Siamese(nn.Module):
    """left [N, 16], right [N, 16] -> output [N, 3]"""

    def __init__(self):
        super().__init__()
        self.tower = nn.Sequential(
            nn.Linear(16, 8),
            nn.Tanh(),
        )
        self.head = nn.Linear(8, 3)

    def forward(self, left, right):
        tower = self.tower(left)  # [N, 8]
        x = self.tower(right)  # [N, 8]
        head = self.head(x)  # [N, 3]
        x = self.head(tower)  # [N, 3]
        return head - x
