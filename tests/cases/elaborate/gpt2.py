"""gpt2, from gpt2.yaml."""

from __future__ import annotations

from collections import OrderedDict
from fnmatch import fnmatchcase

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Gpt2"]


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


class Attn(nn.Module):
    """[N, T, 768], [N, T] bool -> [N, T, 768]"""

    def __init__(self):
        super().__init__()
        self.c_attn = nn.Linear(768, 2304)
        self.attention = ScaledDotProductAttention(heads=12, causal=True, dropout=0.1)
        self.c_proj = nn.Linear(768, 768)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x, mask):
        x = self.c_attn(x)  # [N, T, 2304]
        query, key, value = x.chunk(3, dim=-1)  # [N, T, 768]
        x = self.attention(query, key, value, mask)
        x = self.c_proj(x)
        return self.dropout(x)


class H(nn.Module):
    """[N, T, 768], [N, T] bool -> [N, T, 768]"""

    def __init__(self):
        super().__init__()
        self.ln_1 = nn.LayerNorm(768)
        self.attn = Attn()
        self.ln_2 = nn.LayerNorm(768)
        self.mlp = nn.Sequential(
            OrderedDict(
                [
                    ("c_fc", nn.Linear(768, 3072)),
                    ("1", nn.GELU(approximate="tanh")),
                    ("c_proj", nn.Linear(3072, 768)),
                    ("3", nn.Dropout(0.1)),
                ]
            ),
        )

    def forward(self, x, mask):
        y = self.ln_1(x)
        y = self.attn(y, mask)
        x = y + x
        y = self.ln_2(x)
        y = self.mlp(y)
        return y + x


class Hs(nn.ModuleList):
    """[N, T, 768], [N, T] bool -> [N, T, 768]"""

    def __init__(self):
        super().__init__(
            [
                *(H() for _ in range(12)),
            ]
        )

    def forward(self, x, mask):
        for layer in self:
            x = layer(x, mask)
        return x


class Transformer(nn.Module):
    """[N, T] int64, [N, T] bool -> [N, T, 768]"""

    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(50257, 768)
        self.wpe = nn.Embedding(1024, 768)
        self.drop = nn.Dropout(0.1)
        self.h = Hs()
        self.ln_f = nn.LayerNorm(768)

    def forward(self, x, mask):
        wte = self.wte(x)  # [N, T, 768]
        x = torch.arange(x.shape[1], device=x.device)  # [T] int64
        x = self.wpe(x)  # [T, 768]
        x = wte + x
        x = self.drop(x)
        x = self.h(x, mask)
        return self.ln_f(x)


class Gpt2(nn.Module):
    """tokens [N, T] int64, mask [N, T] bool or None -> lm_head [N, T, 50257]"""

    def __init__(self):
        super().__init__()
        self.transformer = Transformer()
        self.lm_head = nn.Linear(768, 50257, bias=False)
        for name, parameter in self.named_parameters():
            if name.endswith(".bias"):
                nn.init.zeros_(parameter)
            elif fnmatchcase(name, "*.ln_*.weight"):
                nn.init.ones_(parameter)
            elif name.endswith(".c_proj.weight"):
                nn.init.normal_(parameter, std=0.004082482904638631)
            elif name.endswith(".weight"):
                nn.init.normal_(parameter, std=0.02)
        self.lm_head.weight = self.transformer.wte.weight  # tied

    def forward(self, tokens, mask=None):
        x = self.transformer(tokens, mask)  # [N, T, 768]
        return self.lm_head(x)  # [N, T, 50257]
