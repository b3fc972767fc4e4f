"""Rotary embedding: pairs of a query's or key's features are turned by angles that grow with the position."""

import torch
from torch import Tensor, nn


class RotaryEmbedding(nn.Module):
    """Turns the features of `[N, T, heads * d]`, or of `[N, heads, T, d]` where `heads` is None.

    `waves` are the cosines and sines of `RotaryPositions`, `[T, features]` or `[N, T, features]`; where d is more, the
    features behind them stay. A pair are feature i and i + features/2, or neighbours where `interleaved`.
    """

    def __init__(self, heads: int | None = None, interleaved: bool = False) -> None:
        super().__init__()
        self.heads, self.interleaved = heads, interleaved

    def forward(self, x: Tensor, waves: Tensor) -> Tensor:
        if self.heads is not None:
            x, waves = x.view(*x.shape[:-1], self.heads, -1), waves.unsqueeze(-2)
        elif waves.dim() == 3:
            waves = waves.unsqueeze(1)
        x, rest = x[..., : waves.shape[-1]], x[..., waves.shape[-1] :]
        cosine, sine = waves.to(x.dtype).chunk(2, dim=-1)
        if self.interleaved:
            a, b = x[..., ::2], x[..., 1::2]
            x = torch.stack([a * cosine - b * sine, b * cosine + a * sine], dim=-1).flatten(-2)
        else:
            a, b = x.chunk(2, dim=-1)
            x = torch.cat([a * cosine - b * sine, b * cosine + a * sine], dim=-1)
        if rest.shape[-1]:
            x = torch.cat([x, rest], dim=-1)
        return x if self.heads is None else x.flatten(-2)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, interleaved={self.interleaved}"
