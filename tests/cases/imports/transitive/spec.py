"""transitive, from spec.yaml."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

__all__ = ["Transitive"]


class ConvNorm2(nn.Module):
    """The block `conv_norm`."""

    def __init__(self, in_channels, width):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x):
        x = self.conv(x)
        x = self.norm(x)
        return F.relu(x)


class Stage(nn.Module):
    """[N, 3, 8, 8] -> [N, 8, 8, 8]"""

    def __init__(self):
        super().__init__()
        self.conv_norm = ConvNorm2(3, 8)
        self.conv2d = nn.Conv2d(3, 8, kernel_size=1)
        self.conv_norm_2 = ConvNorm2(8, 8)

    def forward(self, x):
        y = self.conv_norm(x)  # [N, 8, 8, 8]
        x = self.conv2d(x)  # [N, 8, 8, 8]
        x = y + x
        y = self.conv_norm_2(x)
        return y + x


class ConvNorm(nn.Module):
    """[N, 8, 8, 8] -> [N, 2, 8, 8]"""

    def __init__(self):
        super().__init__()
        self.only = nn.Conv2d(8, 2, kernel_size=1)

    def forward(self, x):
        return self.only(x)  # [N, 2, 8, 8]


class Head(nn.Module):
    """[N, 2, 8, 8] -> [N, 10]"""

    def __init__(self):
        super().__init__()
        self.conv_norm = ConvNorm2(2, 4)
        self.linear = nn.Linear(256, 10)

    def forward(self, x):
        x = self.conv_norm(x)  # [N, 4, 8, 8]
        x = x.flatten(1)  # [N, 256]
        return self.linear(x)  # [N, 10]


class Transitive(nn.Module):
    """image [N, 3, 8, 8] -> output [N, 10]"""

    def __init__(self):
        super().__init__()
        self.stage = Stage()
        self.conv_norm = ConvNorm()
        self.head = Head()

    def forward(self, image):
        x = self.stage(image)  # [N, 8, 8, 8]
        x = self.conv_norm(x)  # [N, 2, 8, 8]
        return self.head(x)  # [N, 10]
