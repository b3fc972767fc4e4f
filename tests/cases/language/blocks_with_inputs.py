"""inputs, from blocks_with_inputs.yaml."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Inputs"]


class Mix(nn.Module):
    """[N, 16] -> [N, 16], weight [N, 16]"""

    def __init__(self):
        super().__init__()
        self.weight = nn.Linear(16, 16)

    def forward(self, a):
        weight = self.weight(a)
        x = torch.sigmoid(weight) * a
        return x, weight


class Mix2(nn.Module):
    """[N, 16], [N, 16] -> [N, 16], weight [N, 16]"""

    def __init__(self):
        super().__init__()
        self.weight = nn.Linear(16, 16)

    def forward(self, a, b):
        weight = self.weight(a)
        x = torch.sigmoid(weight) * b
        return x, weight


class Mix3(nn.Module):
    """[N, 16], [N, 16], [N, 16] -> [N, 16], weight [N, 16]"""

    def __init__(self):
        super().__init__()
        self.weight = nn.Linear(16, 16)

    def forward(self, a, b, bias):
        weight = self.weight(a)
        x = torch.sigmoid(weight) * b
        x = x + bias
        return x, weight


class Inputs(nn.Module):
    """x [N, 16], y [N, 16] -> output [N, 16]"""

    def __init__(self):
        super().__init__()
        self.mix = Mix()
        self.two = Mix2()
        self.three = Mix2()
        self.four = Mix3()

    def forward(self, x, y):
        x, mix_weight = self.mix(x)
        two, two_weight = self.two(x, y)
        three, _ = self.three(x, y)
        x, _ = self.four(three, two, mix_weight)
        return x + two_weight
