"""Attention with the masks of a spec: a mask is true where something is attended, and may have few axes."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ScaledDotProductAttention(nn.Module):
    """softmax(query @ key.T * scale + bias) @ value; a row that may attend nothing gives zeros.

    Inputs are `[N, T, heads * d]`, or `[N, heads, T, d]` where `heads` is None. A mask is true where something
    is attended: `[N, S]`, `[N, T, S]` or `[N, heads, T, S]`. `causal`, a query attends to what isn't behind it; within
    a `window`, to what is less than so many places away.
    """

    def __init__(
        self,
        heads: int | None = None,
        kv_heads: int | None = None,
        causal: bool = False,
        scale: float | None = None,
        dropout: float = 0.0,
        window: int | None = None,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads = heads, kv_heads or heads or 1
        self.causal, self.window, self.scale, self.dropout = causal, window, scale, dropout

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        query, key, value = self.split(query, key, value)
        return self.joined(self.attend(query, key, value, mask, bias))

    def split(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Query, key and value as `[N, heads, T, d]`."""
        if self.heads is None:
            return [query, key, value]
        heads = self.heads, self.kv_heads, self.kv_heads
        parts = zip((query, key, value), heads, strict=True)
        return [x.view(*x.shape[:-1], count, -1).transpose(1, 2) for x, count in parts]

    def joined(self, x: Tensor) -> Tensor:
        """The heads side by side again."""
        return x if self.heads is None else x.transpose(1, 2).flatten(2)

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None, start: int = 0
    ) -> Tensor:
        """The result `[N, heads, T, d]`; the first query stands at the place `start` among the keys."""
        if mask is not None and mask.dim() < 4:
            mask = mask[:, None, None] if mask.dim() == 2 else mask[:, None]
        causal = self.causal and (start == 0 or query.shape[-2] > 1)  # the last query sees all keys
        if self.window is not None or (causal and (start or mask is not None or bias is not None)):
            near = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device)
            if self.window is not None:
                near = near.triu(start + 1 - self.window).tril(start + self.window - 1)
            if causal:
                near = near.tril(start)
            mask, causal = near if mask is None else mask & near, False
        if bias is not None:
            bias = bias.to(query.dtype)
            mask = bias if mask is None else torch.where(mask, bias, float("-inf"))
        return F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
            scale=self.scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )

    def extra_repr(self) -> str:
        return (
            f"heads={self.heads}, kv_heads={self.kv_heads}, causal={self.causal}, window={self.window}, "
            f"dropout={self.dropout}"
        )
