"""ALiBi: attention to what is far away costs, and more so in some heads than in others."""

import torch
from torch import Tensor, nn


class Alibi(nn.Module):
    """Positions `[T]` of the queries and `[S]` of the keys -> -slope * |distance|, `[1, heads, T, S]`.

    The slopes of 2^n heads are 2^(-8i/2^n); further heads take every second slope of twice as many.
    Positions of each example, `[N, T]` and `[N, S]`, give `[N, heads, T, S]`. https://arxiv.org/abs/2108.12409
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        whole = 1 << (heads.bit_length() - 1)
        slopes = [2 ** (-8 * (head + 1) / whole) for head in range(whole)]
        slopes += [2 ** (-4 * (2 * head + 1) / whole) for head in range(heads - whole)]
        self.slopes: Tensor
        self.register_buffer("slopes", torch.tensor(slopes), persistent=False)

    def forward(self, positions: Tensor, key_positions: Tensor | None = None) -> Tensor:
        keys = positions if key_positions is None else key_positions
        distance = (keys[..., None, :] - positions[..., :, None]).abs()
        bias = -self.slopes[:, None, None] * distance[..., None, :, :]
        return bias if bias.dim() == 4 else bias[None]

    def extra_repr(self) -> str:
        return f"heads={len(self.slopes)}"
