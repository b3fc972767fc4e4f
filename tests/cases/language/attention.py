"""multi_head_attention, from attention.yaml."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MultiHeadAttentionModel"]


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


class MultiHeadAttention(nn.Module):
    """`nn.MultiheadAttention` over `[N, T, C]`, whose mask is true where something is attended.

    `key` and `value` are the query unless given. A mask is `[N, S]`, `[N, T, S]` or `[N, num_heads, T, S]`; a row
    that may attend nothing reads zeros. The weights are those of PyTorch's module, name for name.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        causal: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
    ) -> None:
        super().__init__()
        self.num_heads, self.dropout, self.causal = num_heads, dropout, causal
        self.packed = {kdim or embed_dim, vdim or embed_dim} == {embed_dim}
        if self.packed:
            self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dim, embed_dim))
        else:
            self.q_proj_weight = nn.Parameter(torch.empty(embed_dim, embed_dim))
            self.k_proj_weight = nn.Parameter(torch.empty(embed_dim, kdim or embed_dim))
            self.v_proj_weight = nn.Parameter(torch.empty(embed_dim, vdim or embed_dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dim)) if bias else None
        self.out_proj = nn.Linear(embed_dim, embed_dim, bias=bias)
        for name, parameter in self.named_parameters(recurse=False):
            if name != "in_proj_bias":
                nn.init.xavier_uniform_(parameter)
        if bias:
            nn.init.zeros_(self.out_proj.bias)

    def forward(
        self, query: Tensor, key: Tensor | None = None, value: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        query, key, value = self.project(query, key, value)
        return self.attend(query, key, value, mask)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, start: int = 0) -> Tensor:
        """The result `[N, T, C]` of parts `[N, num_heads, T, d]`; the first query stands at `start` among the keys."""
        if mask is not None and mask.dim() < 4:
            mask = mask[:, None, None] if mask.dim() == 2 else mask[:, None]
        causal = self.causal and (start == 0 or query.shape[-2] > 1)  # the last query sees all keys
        if causal and (start or mask is not None):
            shape = query.shape[-2], key.shape[-2]
            near = torch.ones(shape, dtype=torch.bool, device=query.device).tril(start)
            mask, causal = near if mask is None else mask & near, False
        x = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
        )
        x = x.transpose(1, 2).flatten(2)
        return F.linear(x, self.out_proj.weight, self.out_proj.bias)

    def project(self, query: Tensor, key: Tensor | None, value: Tensor | None) -> list[Tensor]:
        """Query, key and value as `[N, num_heads, T, d]`."""
        if key is None and self.packed:
            parts = F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
            return [self.split(part) for part in parts]
        key = query if key is None else key
        value = key if value is None else value
        return [self.project_one(x, place) for place, x in enumerate((query, key, value))]

    def project_one(self, x: Tensor, place: int) -> Tensor:
        """The query, the key or the value, by its place."""
        if self.packed:
            weight = self.in_proj_weight.chunk(3)[place]
        else:
            weight = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)[place]
        bias = None if self.in_proj_bias is None else self.in_proj_bias.chunk(3)[place]
        return self.split(F.linear(x, weight, bias))

    def split(self, x: Tensor) -> Tensor:
        """`[N, T, C]` as `[N, num_heads, T, d]`."""
        return x.view(*x.shape[:-1], self.num_heads, -1).transpose(1, 2)


class Cross(nn.Module):
    """[N, T, 64] -> [N, T, 64]"""

    def __init__(self):
        super().__init__()
        self.query = nn.Linear(64, 64)
        self.key = nn.Linear(64, 32)
        self.value = nn.Linear(64, 32)
        self.attention = ScaledDotProductAttention(heads=8, kv_heads=4, causal=True, dropout=0.1)
        self.out = nn.Linear(64, 64)

    def forward(self, x):
        query = self.query(x)
        key = self.key(x)  # [N, T, 32]
        value = self.value(x)  # [N, T, 32]
        x = self.attention(query, key, value)
        return self.out(x)


class Cross2(nn.Module):
    """[N, T, 64], [N, S, 48], [N, S] bool -> [N, T, 64]"""

    def __init__(self):
        super().__init__()
        self.query = nn.Linear(64, 64)
        self.key = nn.Linear(48, 32)
        self.value = nn.Linear(48, 32)
        self.attention = ScaledDotProductAttention(heads=8, kv_heads=4, dropout=0.1)
        self.out = nn.Linear(64, 64)

    def forward(self, x, memory, mask):
        query = self.query(x)
        key = self.key(memory)  # [N, S, 32]
        value = self.value(memory)  # [N, S, 32]
        x = self.attention(query, key, value, mask)
        return self.out(x)


class MultiHeadAttentionModel(nn.Module):
    """tokens [N, T] int64, memory [N, S, 48], mask [N, S] bool -> output [N, T, 64]"""

    def __init__(self):
        super().__init__()
        self.x = nn.Embedding(100, 64)
        self.self = Cross()
        self.read = Cross2()
        self.linear = nn.Linear(64, 192)
        self.attention = ScaledDotProductAttention(heads=8)
        self.y = MultiHeadAttention(64, num_heads=8, kdim=48, vdim=48)
        self.multi_head_attention = MultiHeadAttention(64, num_heads=8, bias=False, causal=True)

    def forward(self, tokens, memory, mask):
        x = self.x(tokens)  # [N, T, 64]
        y = self.self(x)
        x = y + x
        y = self.read(x, memory, mask)
        x = y + x
        x = self.linear(x)  # [N, T, 192]
        q, k, v = x.chunk(3, dim=-1)  # [N, T, 64]
        x = self.attention(q, k, v)
        y = self.y(x, memory, mask=mask)
        query = y.unflatten(2, (8, 8)).transpose(1, 2)  # [N, 8, T, 8]
        x = torch.arange(y.shape[1], device=y.device)  # [T] int64
        x = x[None, :] - x[:, None]  # [T, T] int64
        slope = torch.abs(x) * -0.1
        x = F.scaled_dot_product_attention(query, query, query, attn_mask=slope, scale=1.0)
        x = x.transpose(1, 2).flatten(2)  # [N, T, 64]
        return self.multi_head_attention(x)
