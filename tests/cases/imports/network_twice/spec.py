"""network_twice, from spec.yaml."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

__all__ = ["NetworkTwice"]


class Plain(nn.Sequential):
    """The block `plain`."""

    def __init__(self, in_channels, width):
        super().__init__(nn.Conv2d(in_channels, width, kernel_size=3, padding=1), nn.ReLU())


class TinyNet(nn.Module):
    """[N, 3, 16, 16] -> [N, 4, 8, 8], high [N, 8, 1, 1]"""

    def __init__(self):
        super().__init__()
        self.stage1 = nn.Sequential(
            Plain(3, 4),
            nn.MaxPool2d(2),
        )
        self.stage2 = nn.Sequential(
            Plain(4, 8),
            nn.MaxPool2d(2),
        )

    def forward(self, image):
        stage1 = self.stage1(image)  # [N, 4, 8, 8]
        x = self.stage2(stage1)  # [N, 8, 4, 4]
        x = F.adaptive_avg_pool2d(x, 1)  # [N, 8, 1, 1]
        return stage1, x


class TinyNetWithLogits(nn.Module):
    """[N, 3, 16, 16] -> [N, 10]"""

    def __init__(self):
        super().__init__()
        self.stage1 = nn.Sequential(
            Plain(3, 4),
            nn.MaxPool2d(2),
        )
        self.stage2 = nn.Sequential(
            Plain(4, 8),
            nn.MaxPool2d(2),
        )
        self.logits = nn.Linear(8, 10)

    def forward(self, image):
        x = self.stage1(image)  # [N, 4, 8, 8]
        x = self.stage2(x)  # [N, 8, 4, 4]
        x = F.adaptive_avg_pool2d(x, 1)  # [N, 8, 1, 1]
        x = x.flatten(1)  # [N, 8]
        return self.logits(x)  # [N, 10]


class NetworkTwice(nn.Module):
    """left [N, 3, 16, 16], right [N, 3, 16, 16] -> low [N, 4, 8, 8], logits [N, 10]"""

    def __init__(self):
        super().__init__()
        self.eye = TinyNet()
        self.whole = TinyNetWithLogits()
        self.logits = nn.Linear(10, 10)

    def forward(self, left, right):
        eye, _ = self.eye(left)  # [N, 4, 8, 8]
        eye_again, _ = self.eye(right)  # [N, 4, 8, 8]
        whole = self.whole(right)  # [N, 10]
        low = eye + eye_again
        x = self.logits(whole)
        return low, x
