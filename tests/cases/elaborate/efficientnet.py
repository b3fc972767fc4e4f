"""efficientnet, from efficientnet.yaml."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Efficientnet"]


class StochasticDepth(nn.Module):
    """Drops the branch of each example (`row`) or of the whole batch, and scales up what stays.

    https://arxiv.org/abs/1603.09382
    """

    def __init__(self, p: float, mode: str = "row") -> None:
        super().__init__()
        self.p = p
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if self.p == 1:
            return x * 0
        count = x.shape[0] if self.mode == "row" else 1
        keep = torch.empty((count, *[1] * (x.ndim - 1)), dtype=x.dtype, device=x.device)
        return x * keep.bernoulli_(1 - self.p) / (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode!r}"


class ConvNormActWithSilu(nn.Sequential):
    """The block `conv_norm_act`."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, groups=1):
        super().__init__(
            nn.Conv2d(
                in_channels,
                out_channels,
                kernel_size=kernel_size,
                stride=stride,
                padding=padding,
                groups=groups,
                bias=False,
            ),
            nn.BatchNorm2d(out_channels),
            nn.SiLU(),
        )


class SqueezeExcitation(nn.Module):
    """The block `squeeze_excitation`."""

    def __init__(self, in_channels, channels):
        super().__init__()
        self.fc1 = nn.Conv2d(in_channels, channels, kernel_size=1)
        self.fc2 = nn.Conv2d(channels, in_channels, kernel_size=1)

    def forward(self, x):
        y = F.adaptive_avg_pool2d(x, 1)
        y = self.fc1(y)
        y = F.silu(y)
        y = self.fc2(y)
        y = torch.sigmoid(y)
        return x * y


class ConvNormAct(nn.Sequential):
    """The block `conv_norm_act`."""

    def __init__(self, in_channels, out_channels):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )


class Mbconv(nn.Module):
    """[N, 32, 112, 112] -> [N, 16, 112, 112]"""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(
            ConvNormActWithSilu(32, 32, kernel_size=3, padding=1, groups=32),
            SqueezeExcitation(32, 8),
            ConvNormAct(32, 16),
        )

    def forward(self, x):
        return self.block(x)  # [N, 16, 112, 112]


class Mbconv2(nn.Module):
    """The block `mbconv`."""

    def __init__(self, in_channels, kernel_size, padding, channels, out_channels, stride=1):
        super().__init__()
        self.block = nn.Sequential(
            ConvNormActWithSilu(in_channels, 6 * in_channels, kernel_size=1),
            ConvNormActWithSilu(
                6 * in_channels,
                6 * in_channels,
                kernel_size=kernel_size,
                stride=stride,
                padding=padding,
                groups=6 * in_channels,
            ),
            SqueezeExcitation(6 * in_channels, channels),
            ConvNormAct(6 * in_channels, out_channels),
        )

    def forward(self, x):
        return self.block(x)


class MbconvWithKept(nn.Module):
    """The block `mbconv`."""

    def __init__(self, out_channels, kernel_size, padding, channels, drop_path):
        super().__init__()
        self.block = nn.Sequential(
            ConvNormActWithSilu(out_channels, 6 * out_channels, kernel_size=1),
            ConvNormActWithSilu(
                6 * out_channels,
                6 * out_channels,
                kernel_size=kernel_size,
                padding=padding,
                groups=6 * out_channels,
            ),
            SqueezeExcitation(6 * out_channels, channels),
            ConvNormAct(6 * out_channels, out_channels),
        )
        self.kept = StochasticDepth(drop_path)

    def forward(self, x):
        y = self.block(x)
        y = self.kept(y)
        return y + x


class Efficientnet(nn.Module):
    """image [N, 3, 224, 224] -> classifier [N, 1000]"""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            ConvNormActWithSilu(3, 32, kernel_size=3, stride=2, padding=1),
            nn.Sequential(Mbconv()),
            nn.Sequential(
                Mbconv2(16, 3, padding=1, channels=4, out_channels=24, stride=2),
                MbconvWithKept(24, 3, padding=1, channels=6, drop_path=0.025),
            ),
            nn.Sequential(
                Mbconv2(24, 5, padding=2, channels=6, out_channels=40, stride=2),
                MbconvWithKept(40, 5, padding=2, channels=10, drop_path=0.05),
            ),
            nn.Sequential(
                Mbconv2(40, 3, padding=1, channels=10, out_channels=80, stride=2),
                MbconvWithKept(80, 3, padding=1, channels=20, drop_path=0.07500000000000001),
                MbconvWithKept(80, 3, padding=1, channels=20, drop_path=0.08750000000000001),
            ),
            nn.Sequential(
                Mbconv2(80, 5, padding=2, channels=20, out_channels=112),
                MbconvWithKept(112, 5, padding=2, channels=28, drop_path=0.1125),
                MbconvWithKept(112, 5, padding=2, channels=28, drop_path=0.125),
            ),
            nn.Sequential(
                Mbconv2(112, 5, padding=2, channels=28, out_channels=192, stride=2),
                MbconvWithKept(192, 5, padding=2, channels=48, drop_path=0.15000000000000002),
                MbconvWithKept(192, 5, padding=2, channels=48, drop_path=0.1625),
                MbconvWithKept(192, 5, padding=2, channels=48, drop_path=0.17500000000000002),
            ),
            nn.Sequential(Mbconv2(192, 3, padding=1, channels=48, out_channels=320)),
            ConvNormActWithSilu(320, 1280, kernel_size=1),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(0.2),
            nn.Linear(1280, 1000),
        )

    def forward(self, image):
        x = self.features(image)  # [N, 1280, 7, 7]
        x = F.adaptive_avg_pool2d(x, 1)  # [N, 1280, 1, 1]
        x = x.flatten(1)  # [N, 1280]
        return self.classifier(x)  # [N, 1000]
