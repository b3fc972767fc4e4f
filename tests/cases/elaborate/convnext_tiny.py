"""convnext, from convnext_tiny.yaml."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Convnext"]


class Permute(nn.Module):
    """Reorders the axes; the batch is axis 0."""

    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.dims)

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.dims))


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


class LayerNorm2d(nn.LayerNorm):
    """Normalizes the channels of each pixel: `[N, C, H, W]`."""

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x.permute(0, 2, 3, 1))
        return x.permute(0, 3, 1, 2)


class CnBlock(nn.Module):
    """The block `cn_block`."""

    def __init__(self, in_channels, p):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, kernel_size=7, padding=3, groups=in_channels),
            Permute(0, 2, 3, 1),
            nn.LayerNorm(in_channels, eps=1e-6),
            nn.Linear(in_channels, 4 * in_channels),
            nn.GELU(),
            nn.Linear(4 * in_channels, in_channels),
            Permute(0, 3, 1, 2),
        )
        self.layer_scale = nn.Parameter(torch.full((in_channels, 1, 1), 1e-6))
        self.kept = StochasticDepth(p)

    def forward(self, x):
        block = self.block(x)
        y = self.layer_scale * block
        y = self.kept(y)
        return x + y


class Convnext(nn.Module):
    """image [N, 3, 224, 224] -> classifier [N, 1000]"""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(
                nn.Conv2d(3, 96, kernel_size=4, stride=4),
                LayerNorm2d(96, eps=1e-6),
            ),
            nn.Sequential(
                CnBlock(96, 0.0),
                CnBlock(96, 0.0058823529411764705),
                CnBlock(96, 0.011764705882352941),
            ),
            nn.Sequential(
                LayerNorm2d(96, eps=1e-6),
                nn.Conv2d(96, 192, kernel_size=2, stride=2),
            ),
            nn.Sequential(
                CnBlock(192, 0.017647058823529415),
                CnBlock(192, 0.023529411764705882),
                CnBlock(192, 0.029411764705882353),
            ),
            nn.Sequential(
                LayerNorm2d(192, eps=1e-6),
                nn.Conv2d(192, 384, kernel_size=2, stride=2),
            ),
            nn.Sequential(
                CnBlock(384, 0.03529411764705883),
                CnBlock(384, 0.0411764705882353),
                CnBlock(384, 0.047058823529411764),
                CnBlock(384, 0.052941176470588235),
                CnBlock(384, 0.058823529411764705),
                CnBlock(384, 0.06470588235294118),
                CnBlock(384, 0.07058823529411766),
                CnBlock(384, 0.07647058823529412),
                CnBlock(384, 0.0823529411764706),
            ),
            nn.Sequential(
                LayerNorm2d(384, eps=1e-6),
                nn.Conv2d(384, 768, kernel_size=2, stride=2),
            ),
            nn.Sequential(
                CnBlock(768, 0.08823529411764706),
                CnBlock(768, 0.09411764705882353),
                CnBlock(768, 0.1),
            ),
        )
        self.classifier = nn.Sequential(
            LayerNorm2d(768, eps=1e-6),
            nn.Flatten(),
            nn.Linear(768, 1000),
        )

    def forward(self, image):
        x = self.features(image)  # [N, 768, 7, 7]
        x = F.adaptive_avg_pool2d(x, 1)  # [N, 768, 1, 1]
        return self.classifier(x)  # [N, 1000]
