"""library, from spec.yaml."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

__all__ = ["Library"]


class ConvNorm(nn.Module):
    """The block `conv_norm`."""

    def __init__(self, in_channels):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 8, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x):
        x = self.conv(x)
        x = self.norm(x)
        return F.relu(x)


class Library(nn.Module):
    """image [N, 3, 8, 8] -> output [N, 512]"""

    def __init__(self):
        super().__init__()
        self.conv_norm = ConvNorm(3)
        self.conv_norm_2 = ConvNorm(8)
        self.conv_norm_3 = ConvNorm(8)
        self.layer_norm = nn.LayerNorm(512)

    def forward(self, image):
        x = self.conv_norm(image)  # [N, 8, 8, 8]
        x = self.conv_norm_2(x)
        x = self.conv_norm_3(x)
        x = x.flatten(1)  # [N, 512]
        return self.layer_norm(x)
