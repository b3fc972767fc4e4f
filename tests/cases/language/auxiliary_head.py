"""auxiliary, from auxiliary_head.yaml."""

from __future__ import annotations

from torch import nn

__all__ = ["Auxiliary"]


class Auxiliary(nn.Module):
    """image [N, 1, 8, 8] -> logits [N, 10]"""

    def __init__(self):
        super().__init__()
        self.features = nn.Linear(64, 32)
        self.auxiliary = nn.Linear(32, 10)
        self.logits = nn.Linear(32, 10)
        self.unused = nn.Linear(32, 7)

    def forward(self, image):
        x = image.flatten(1)  # [N, 64]
        features = self.features(x)  # [N, 32]
        if self.training:
            auxiliary = self.auxiliary(features)  # [N, 10]
        x = self.logits(features)  # [N, 10]
        if self.training:
            return x, auxiliary
        return x
