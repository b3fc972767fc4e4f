"""transformer, from spec.yaml."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Transformer"]


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


class Sinusoidal(nn.Module):
    """The block `sinusoidal`."""

    def forward(self, positions):
        x = 10000.0 ** (torch.arange(0, 512, 2, device=positions.device) / -512)
        x = positions[:, None] * x
        x = torch.stack([torch.sin(x), torch.cos(x)], dim=-1)
        return x.flatten(-2)


class AttentionLayer(nn.Module):
    """[N, S, 512], [N, S] bool -> [N, S, 512]"""

    def __init__(self):
        super().__init__()
        self.query = nn.Linear(512, 512)
        self.key = nn.Linear(512, 512)
        self.value = nn.Linear(512, 512)
        self.attention = ScaledDotProductAttention(heads=8, dropout=0.1)
        self.out = nn.Linear(512, 512)

    def forward(self, x, mask):
        query = self.query(x)
        key = self.key(x)
        value = self.value(x)
        x = self.attention(query, key, value, mask)
        return self.out(x)


class FeedForward(nn.Module):
    """The block `feed_forward`."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(512, 2048)
        self.dropout = nn.Dropout(0.1)
        self.outer = nn.Linear(2048, 512)

    def forward(self, x):
        x = self.inner(x)
        x = F.relu(x)
        x = self.dropout(x)
        return self.outer(x)


class EncoderLayer(nn.Module):
    """[N, S, 512], [N, S] bool -> [N, S, 512]"""

    def __init__(self):
        super().__init__()
        self.self_attention = AttentionLayer()
        self.dropout = nn.Dropout(0.1)
        self.norm1 = nn.LayerNorm(512)
        self.feed_forward = FeedForward()
        self.dropout_2 = nn.Dropout(0.1)
        self.norm2 = nn.LayerNorm(512)

    def forward(self, x, mask):
        y = self.self_attention(x, mask)
        y = self.dropout(y)
        x = y + x
        norm1 = self.norm1(x)
        x = self.feed_forward(norm1)
        x = self.dropout_2(x)
        x = x + norm1
        return self.norm2(x)


class AttentionLayer2(nn.Module):
    """[N, T, 512] -> [N, T, 512]"""

    def __init__(self):
        super().__init__()
        self.query = nn.Linear(512, 512)
        self.key = nn.Linear(512, 512)
        self.value = nn.Linear(512, 512)
        self.attention = ScaledDotProductAttention(heads=8, causal=True, dropout=0.1)
        self.out = nn.Linear(512, 512)

    def forward(self, x):
        query = self.query(x)
        key = self.key(x)
        value = self.value(x)
        x = self.attention(query, key, value)
        return self.out(x)


class AttentionLayer3(nn.Module):
    """[N, T, 512], [N, S, 512], [N, S] bool -> [N, T, 512]"""

    def __init__(self):
        super().__init__()
        self.query = nn.Linear(512, 512)
        self.key = nn.Linear(512, 512)
        self.value = nn.Linear(512, 512)
        self.attention = ScaledDotProductAttention(heads=8, dropout=0.1)
        self.out = nn.Linear(512, 512)

    def forward(self, x, memory, mask):
        query = self.query(x)
        key = self.key(memory)
        value = self.value(memory)
        x = self.attention(query, key, value, mask)
        return self.out(x)


class DecoderLayer(nn.Module):
    """[N, T, 512], [N, S, 512], [N, S] bool -> [N, T, 512]"""

    def __init__(self):
        super().__init__()
        self.self_attention = AttentionLayer2()
        self.dropout = nn.Dropout(0.1)
        self.norm1 = nn.LayerNorm(512)
        self.cross_attention = AttentionLayer3()
        self.dropout_2 = nn.Dropout(0.1)
        self.norm2 = nn.LayerNorm(512)
        self.feed_forward = FeedForward()
        self.dropout_3 = nn.Dropout(0.1)
        self.norm3 = nn.LayerNorm(512)

    def forward(self, y, memory, memory_mask):
        x = self.self_attention(y)
        x = self.dropout(x)
        x = x + y
        norm1 = self.norm1(x)
        x = self.cross_attention(norm1, memory, memory_mask)
        x = self.dropout_2(x)
        x = x + norm1
        norm2 = self.norm2(x)
        x = self.feed_forward(norm2)
        x = self.dropout_3(x)
        x = x + norm2
        return self.norm3(x)


class Encoder(nn.ModuleList):
    """[N, S, 512], [N, S] bool -> [N, S, 512]"""

    def __init__(self):
        super().__init__(
            [
                *(EncoderLayer() for _ in range(6)),
            ]
        )

    def forward(self, x, source_mask):
        for layer in self:
            x = layer(x, source_mask)
        return x


class Decoder(nn.ModuleList):
    """[N, T, 512], [N, S, 512], [N, S] bool -> [N, T, 512]"""

    def __init__(self):
        super().__init__(
            [
                *(DecoderLayer() for _ in range(6)),
            ]
        )

    def forward(self, x, encoder, source_mask):
        for layer in self:
            x = layer(x, encoder, source_mask)
        return x


class Transformer(nn.Module):
    """source [N, S] int64, target [N, T] int64 -> logits [N, T, 37000]"""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(37000, 512, padding_idx=0)
        self.source_waves = Sinusoidal()
        self.dropout = nn.Dropout(0.1)
        self.encoder = Encoder()
        self.target_waves = Sinusoidal()
        self.dropout_2 = nn.Dropout(0.1)
        self.decoder = Decoder()
        self.logits = nn.Linear(512, 37000, bias=False)
        self.logits.weight = self.embed.weight  # tied

    def forward(self, source, target):
        source_mask = source != 0
        embed = self.embed(source)  # [N, S, 512]
        x = torch.arange(source.shape[1], device=source.device)  # [S] int64
        x = self.source_waves(x)  # [S, 512]
        x = embed * 22.627416997969522 + x
        x = self.dropout(x)
        encoder = self.encoder(x, source_mask)
        y = self.embed(target)  # [N, T, 512]
        x = torch.arange(target.shape[1], device=target.device)  # [T] int64
        x = self.target_waves(x)  # [T, 512]
        x = y * 22.627416997969522 + x
        x = self.dropout_2(x)
        x = self.decoder(x, encoder, source_mask)
        return self.logits(x)  # [N, T, 37000]
