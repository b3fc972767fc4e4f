"""Positions as waves: sines and cosines of them, from fast to slow."""

import torch
from torch import Tensor, nn


class SinusoidalPositions(nn.Module):
    """`[...]` positions -> `[..., features]`: sine and cosine of position / base^(2i / features).

    `interleaved`, each cosine follows its sine (the 2017 Transformer); otherwise all sines come first.
    """

    def __init__(self, features: int, base: float = 10000.0, interleaved: bool = True) -> None:
        super().__init__()
        self.features, self.base, self.interleaved = features, base, interleaved

    def forward(self, positions: Tensor) -> Tensor:
        exponents = torch.arange(0, self.features, 2, device=positions.device) / self.features
        angles = positions[..., None].float() / self.base**exponents
        if self.interleaved:
            return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    def extra_repr(self) -> str:
        return f"{self.features}, base={self.base}, interleaved={self.interleaved}"
