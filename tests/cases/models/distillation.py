"""self-distillation, from distillation.yaml."""

from __future__ import annotations

from torch import nn

__all__ = ["Student"]


class Student(nn.Module):
    """image [N, 1, 8, 8] -> scores [N, 10], features [N, 64]"""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 32)
        self.dropout = nn.Dropout(0.1)
        self.logits = nn.Linear(32, 10)

    def forward(self, image):
        features = image.flatten(1)  # [N, 64]
        x = self.linear(features)  # [N, 32]
        x = self.dropout(x)
        x = self.logits(x)  # [N, 10]
        return x, features
