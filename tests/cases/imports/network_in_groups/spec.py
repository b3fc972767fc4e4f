"""in_groups, from spec.yaml."""

from __future__ import annotations

from torch import nn

__all__ = ["InGroups"]


class Residual(nn.Module):
    """[N, 3, 16, 16] -> [N, 3, 16, 16]"""

    def __init__(self):
        super().__init__()
        self.conv2d = nn.Conv2d(3, 3, kernel_size=1)

    def forward(self, x):
        y = self.conv2d(x)
        return y + x


class Vgg(nn.Module):
    """[N, 3, 16, 16] -> [N, 4, 7, 7], again [N, 3, 16, 16]"""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, kernel_size=3),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.shared = nn.Sequential(
            nn.Conv2d(3, 3, kernel_size=1),
            Residual(),
        )

    def forward(self, image):
        max_pool2d = self.features(image)  # [N, 4, 7, 7]
        x = self.shared(image)
        return max_pool2d, x


class InGroups(nn.Module):
    """image [N, 3, 16, 16] -> output [N, 4, 7, 7]"""

    def __init__(self):
        super().__init__()
        self.vgg = Vgg()

    def forward(self, image):
        x, _ = self.vgg(image)  # [N, 4, 7, 7]
        return x
