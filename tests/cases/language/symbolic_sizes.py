"""symbolic, from symbolic_sizes.yaml."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

__all__ = ["Symbolic"]


class Symbolic(nn.Module):
    """signal [N, 1, T] -> output [N, 3]"""

    def __init__(self):
        super().__init__()
        self.conv1d = nn.Conv1d(1, 8, kernel_size=5, stride=2)
        self.gru = nn.GRU(8, 16, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(32, 3)

    def forward(self, signal):
        x = self.conv1d(signal)  # [N, 8, (T+1)//2-2]
        x = F.max_pool1d(x, 2)  # [N, 8, (T+1)//4-1]
        x = x.permute(0, 2, 1)  # [N, (T+1)//4-1, 8]
        x, _ = self.gru(x)  # [N, (T+1)//4-1, 32]
        x = x[:, -1]  # [N, 32]
        return self.linear(x)  # [N, 3]
