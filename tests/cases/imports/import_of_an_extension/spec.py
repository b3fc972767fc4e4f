"""importer, from spec.yaml."""

from __future__ import annotations

from torch import nn

__all__ = ["Importer"]


class Plain(nn.Sequential):
    """The block `plain`."""

    def __init__(self, in_channels):
        super().__init__(nn.Conv2d(in_channels, 4, kernel_size=3, padding=1), nn.ReLU())


class TinyNet(nn.Module):
    """[N, 3, 16, 16] -> [N, 4, 2, 2]"""

    def __init__(self):
        super().__init__()
        self.stage1 = nn.Sequential(
            Plain(3),
            nn.MaxPool2d(2),
        )
        self.stage2 = nn.Sequential(
            Plain(4),
            nn.MaxPool2d(2),
        )
        self.stage3 = nn.Sequential(
            Plain(4),
            nn.MaxPool2d(2),
        )

    def forward(self, image):
        x = self.stage1(image)  # [N, 4, 8, 8]
        x = self.stage2(x)  # [N, 4, 4, 4]
        return self.stage3(x)  # [N, 4, 2, 2]


class Importer(nn.Module):
    """image [N, 3, 16, 16] -> output [N, 2]"""

    def __init__(self):
        super().__init__()
        self.tiny_net = TinyNet()
        self.linear = nn.Linear(16, 2)

    def forward(self, image):
        x = self.tiny_net(image)  # [N, 4, 2, 2]
        x = x.flatten(1)  # [N, 16]
        return self.linear(x)  # [N, 2]
