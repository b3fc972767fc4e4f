"""twins, from spec.yaml."""

from __future__ import annotations

from torch import nn

__all__ = ["Twins"]


class Plain(nn.Sequential):
    """The block `plain`."""

    def __init__(self, in_channels, width):
        super().__init__(nn.Conv2d(in_channels, width, kernel_size=3, padding=1), nn.ReLU())


class TinyNet(nn.Module):
    """[N, 3, 16, 16] -> [N, 4, 4, 4]"""

    def __init__(self):
        super().__init__()
        self.stage1 = nn.Sequential(
            Plain(3, 2),
            nn.MaxPool2d(2),
        )
        self.stage2 = nn.Sequential(
            Plain(2, 4),
            nn.MaxPool2d(2),
        )

    def forward(self, image):
        x = self.stage1(image)  # [N, 2, 8, 8]
        return self.stage2(x)  # [N, 4, 4, 4]


class Encoder(nn.Module):
    """[N, 3, 16, 16] -> [N, 4, 4, 4]"""

    def __init__(self):
        super().__init__()
        self.first = TinyNet()
        self.second = TinyNet()

    def forward(self, image):
        first = self.first(image)  # [N, 4, 4, 4]
        x = self.second(image)  # [N, 4, 4, 4]
        return first + x


class Twins(nn.Module):
    """image [N, 3, 16, 16] -> output [N, 4, 4, 4]"""

    def __init__(self):
        super().__init__()
        self.encoder = Encoder()

    def forward(self, image):
        return self.encoder(image)  # [N, 4, 4, 4]
