"""rule, from rule_05_numbering.yaml."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

__all__ = ["Rule"]


class Layer(nn.Module):
    """[N, 8] -> [N, 8]"""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x):
        return self.fc(x)


class Two(nn.Module):
    """[N, 8] -> [N, 8], gate [N, 8]"""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x):
        fc = self.fc(x)
        x = torch.sigmoid(fc)
        return fc, x


class Values(nn.ModuleList):
    """[N, 8] -> [N, 8]"""

    def __init__(self):
        super().__init__(
            [
                Two(),
                Two(),
            ]
        )

    def forward(self, x):
        x, _ = self[0](x)
        x, _ = self[1](x)
        return x


class Paths(nn.ModuleList):
    """[N, 8] -> [N, 8]"""

    def __init__(self):
        super().__init__(
            [
                nn.Linear(8, 8),
                nn.Sequential(OrderedDict(linear=nn.Linear(8, 8), relu=nn.ReLU())),
            ]
        )

    def forward(self, x):
        y = self[0](x)
        x = self[1](x)
        return y + x


class Rule(nn.Module):
    """x [N, 8] -> paths [N, 8]"""

    def __init__(self):
        super().__init__()
        self.lone = nn.Sequential(
            Layer(),
            Layer(),
        )
        self.values = Values()
        self.several = nn.Sequential(
            nn.Sequential(OrderedDict(linear=nn.Linear(8, 4), relu=nn.ReLU())),
            nn.Sequential(OrderedDict(linear=nn.Linear(4, 8), relu=nn.ReLU())),
        )
        self.paths = Paths()

    def forward(self, x):
        x = self.lone(x)
        x = self.values(x)
        x = self.several(x)
        return self.paths(x)
