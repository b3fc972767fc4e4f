"""names, from names_as_parameters.yaml."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

__all__ = ["Names"]


class Bottleneck(nn.Module):
    """[N, 16] -> [N, 16]"""

    def __init__(self):
        super().__init__()
        self.down = nn.Linear(16, 4)
        self.up = nn.Linear(4, 16)

    def forward(self, x):
        x = self.down(x)  # [N, 4]
        x = F.gelu(x)
        return self.up(x)  # [N, 16]


class Bottleneck2(nn.Module):
    """[N, 16] -> [N, 16]"""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(16, 4)
        self.fc2 = nn.Linear(4, 16)

    def forward(self, x):
        x = self.fc1(x)  # [N, 4]
        x = F.gelu(x)
        return self.fc2(x)  # [N, 16]


class Bottleneck3(nn.Module):
    """[N, 16], [N, 16] -> [N, 16], shift [N, 16]"""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(16, 4)
        self.fc2 = nn.Linear(4, 16)

    def forward(self, x, shift):
        x = self.fc1(x)  # [N, 4]
        x = F.gelu(x)
        x = self.fc2(x)  # [N, 16]
        return x, shift


class Bottleneck4(nn.Module):
    """[N, 16] -> [N, 16], inner [N, 16]"""

    def __init__(self):
        super().__init__()
        self.down = nn.Linear(16, 16)
        self.up = nn.Linear(16, 16)

    def forward(self, x):
        down = self.down(x)
        x = F.gelu(down)
        x = self.up(x)
        return x, down


class Names(nn.Module):
    """x [N, 16] -> output [N, 16]"""

    def __init__(self):
        super().__init__()
        self.bottleneck = Bottleneck()
        self.one = Bottleneck2()
        self.two = Bottleneck3()
        self.three = Bottleneck4()

    def forward(self, x):
        y = self.bottleneck(x)
        y = self.one(y)
        two, two_shift = self.two(y, x)
        _, three_inner = self.three(two_shift)
        return two + three_inner
