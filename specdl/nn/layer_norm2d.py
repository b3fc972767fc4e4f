"""Layer normalization over the channels of images, with the weights and keys of `nn.LayerNorm`."""

from torch import Tensor, nn


class LayerNorm2d(nn.LayerNorm):
    """Normalizes the channels of each pixel: `[N, C, H, W]`."""

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x.permute(0, 2, 3, 1))
        return x.permute(0, 3, 1, 2)
