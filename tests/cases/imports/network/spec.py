"""network, from spec.yaml."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Network"]


class Plain(nn.Sequential):
    """The block `plain`."""

    def __init__(self, in_channels, width):
        super().__init__(nn.Conv2d(in_channels, width, kernel_size=3, padding=1), nn.ReLU())


class TinyNet(nn.Module):
    """[N, 1, 64, 64] -> [N, 6, 32, 32], stage2 [N, 12, 16, 16]"""

    def __init__(self):
        super().__init__()
        self.stage1 = nn.Sequential(
            Plain(1, 6),
            Plain(6, 6),
            nn.MaxPool2d(2),
        )
        self.stage2 = nn.Sequential(
            Plain(6, 12),
            Plain(12, 12),
            Plain(12, 12),
            nn.MaxPool2d(2),
        )

    def forward(self, image):
        stage1 = self.stage1(image)  # [N, 6, 32, 32]
        x = self.stage2(stage1)  # [N, 12, 16, 16]
        return stage1, x


class Network(nn.Module):
    """image [N, 1, 64, 64] -> output [N, 2]"""

    def __init__(self):
        super().__init__()
        self.backbone = TinyNet()
        self.linear = nn.Linear(9216, 2)

    def forward(self, image):
        x, backbone_stage2 = self.backbone(image)  # [N, 6, 32, 32]
        a = x.flatten(1)  # [N, 6144]
        x = backbone_stage2.flatten(1)  # [N, 3072]
        x = torch.cat([a, x], dim=1)  # [N, 9216]
        return self.linear(x)  # [N, 2]
