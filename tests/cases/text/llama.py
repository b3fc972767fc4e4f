"""llama, from llama.yaml."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Llama"]


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


class Rotate(nn.Module):
    """[N, 32, T, 128], [T, 128], [T, 128] -> [N, 32, T, 128]"""

    def forward(self, x, cosine, sine):
        left, right = x.chunk(2, dim=-1)  # [N, 32, T, 64]
        return x * cosine + torch.cat([-right, left], dim=-1) * sine


class SelfAttn(nn.Module):
    """[N, T, 4096], [T, 128], [T, 128], [N, T] bool -> [N, T, 4096]"""

    def __init__(self):
        super().__init__()
        self.q_proj = nn.Linear(4096, 4096, bias=False)
        self.k_proj = nn.Linear(4096, 4096, bias=False)
        self.v_proj = nn.Linear(4096, 4096, bias=False)
        self.query_2 = Rotate()
        self.key_2 = Rotate()
        self.attention = ScaledDotProductAttention(causal=True)
        self.o_proj = nn.Linear(4096, 4096, bias=False)

    def forward(self, x, cosine, sine, mask):
        q_proj = self.q_proj(x)
        k_proj = self.k_proj(x)
        v_proj = self.v_proj(x)
        query = q_proj.unflatten(2, (32, 128)).transpose(1, 2)  # [N, 32, T, 128]
        key = k_proj.unflatten(2, (32, 128)).transpose(1, 2)  # [N, 32, T, 128]
        value = v_proj.unflatten(2, (32, 128)).transpose(1, 2)  # [N, 32, T, 128]
        query_2 = self.query_2(query, cosine, sine)
        key_2 = self.key_2(key, cosine, sine)
        x = self.attention(query_2, key_2, value, mask)
        x = x.transpose(1, 2).flatten(2)  # [N, T, 4096]
        return self.o_proj(x)


class Mlp(nn.Module):
    """[N, T, 4096] -> [N, T, 4096]"""

    def __init__(self):
        super().__init__()
        self.gate_proj = nn.Linear(4096, 11008, bias=False)
        self.up_proj = nn.Linear(4096, 11008, bias=False)
        self.down_proj = nn.Linear(11008, 4096, bias=False)

    def forward(self, x):
        gate_proj = self.gate_proj(x)  # [N, T, 11008]
        x = self.up_proj(x)  # [N, T, 11008]
        x = F.silu(gate_proj) * x
        return self.down_proj(x)  # [N, T, 4096]


class Layer(nn.Module):
    """[N, T, 4096], [T, 128], [T, 128], [N, T] bool -> [N, T, 4096]"""

    def __init__(self):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(4096, eps=1e-5)
        self.self_attn = SelfAttn()
        self.post_attention_layernorm = nn.RMSNorm(4096, eps=1e-5)
        self.mlp = Mlp()

    def forward(self, x, cosine, sine, mask):
        input_layernorm = self.input_layernorm(x)
        y = self.self_attn(input_layernorm, cosine, sine, mask)
        x = y + x
        y = self.post_attention_layernorm(x)
        y = self.mlp(y)
        return y + x


class Layers(nn.ModuleList):
    """[N, T, 4096], [T, 128], [T, 128], [N, T] bool -> [N, T, 4096]"""

    def __init__(self):
        super().__init__(
            [
                *(Layer() for _ in range(32)),
            ]
        )

    def forward(self, x, cosine, sine, mask):
        for layer in self:
            x = layer(x, cosine, sine, mask)
        return x


class Model(nn.Module):
    """[N, T] int64, [N, T] bool -> [N, T, 4096]"""

    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(32000, 4096)
        self.layers = Layers()
        self.norm = nn.RMSNorm(4096, eps=1e-5)

    def forward(self, x, mask):
        embed_tokens = self.embed_tokens(x)  # [N, T, 4096]
        places = torch.arange(x.shape[1], device=x.device)  # [T] int64
        x = 10000.0 ** (torch.arange(0, 128, 2, device=embed_tokens.device) / -128)  # [64]
        x = places[:, None] * x  # [T, 64]
        angle_2 = torch.cat([x, x], dim=-1)  # [T, 128]
        cosine = torch.cos(angle_2)
        sine = torch.sin(angle_2)
        x = self.layers(embed_tokens, cosine, sine, mask)
        return self.norm(x)


class Llama(nn.Module):
    """tokens [N, T] int64, mask [N, T] bool or None -> lm_head [N, T, 32000]"""

    def __init__(self):
        super().__init__()
        self.model = Model()
        self.lm_head = nn.Linear(4096, 32000, bias=False)

    def forward(self, tokens, mask=None):
        x = self.model(tokens, mask)  # [N, T, 4096]
        return self.lm_head(x)  # [N, T, 32000]
