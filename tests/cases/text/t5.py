"""t5, from t5.yaml."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["T5"]


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


class Bucket(nn.Module):
    """[S, S] int64 -> [S, S] int64"""

    def forward(self, distance):
        far = torch.abs(distance)
        x = 8 + torch.log(torch.clamp(far, min=1) / 8) / 2.772588722239781 * 8
        x = x.to(torch.int64)
        x = torch.where(far < 8, far, torch.clamp(x, max=15))
        return x + torch.where(distance > 0, 16, 0)


class Bucket2(nn.Module):
    """[T, T] int64 -> [T, T] int64"""

    def forward(self, distance):
        far = torch.clamp(-distance, min=0)
        x = 16 + torch.log(torch.clamp(far, min=1) / 16) / 2.0794415416798357 * 16
        x = x.to(torch.int64)
        return torch.where(far < 16, far, torch.clamp(x, max=31))


class SelfAttentionWithNumbers(nn.Module):
    """[N, S, 512], [N, S] bool -> [N, S, 512], bias [1, 8, S, S]"""

    def __init__(self):
        super().__init__()
        self.q = nn.Linear(512, 512, bias=False)
        self.k = nn.Linear(512, 512, bias=False)
        self.v = nn.Linear(512, 512, bias=False)
        self.numbers = Bucket()
        self.relative_attention_bias = nn.Embedding(32, 8)
        self.attention = ScaledDotProductAttention(heads=8, scale=1.0, dropout=0.1)
        self.o = nn.Linear(512, 512, bias=False)

    def forward(self, x, source_mask):
        q = self.q(x)
        k = self.k(x)
        v = self.v(x)
        x = torch.arange(x.shape[1], device=x.device)  # [S] int64
        x = x[None, :] - x[:, None]  # [S, S] int64
        x = self.numbers(x)
        x = self.relative_attention_bias(x)  # [S, S, 8]
        bias = x.permute(2, 0, 1).unsqueeze(0)  # [1, 8, S, S]
        x = self.attention(q, k, v, source_mask, bias)
        x = self.o(x)
        return x, bias


class Residual(nn.Module):
    """[N, S, 512], [N, S] bool -> [N, S, 512], bias [1, 8, S, S]"""

    def __init__(self):
        super().__init__()
        self.layer_norm = nn.RMSNorm(512, eps=1e-6)
        self.SelfAttention = SelfAttentionWithNumbers()
        self.dropout = nn.Dropout(0.1)

    def forward(self, x, source_mask):
        y = self.layer_norm(x)
        y, bias = self.SelfAttention(y, source_mask)
        y = self.dropout(y)
        x = y + x
        return x, bias


class Residual2(nn.Module):
    """The group `residual`."""

    def __init__(self):
        super().__init__()
        self.layer_norm = nn.RMSNorm(512, eps=1e-6)
        self.DenseReluDense = nn.Sequential(
            OrderedDict(
                [
                    ("wi", nn.Linear(512, 2048, bias=False)),
                    ("1", nn.ReLU()),
                    ("2", nn.Dropout(0.1)),
                    ("wo", nn.Linear(2048, 512, bias=False)),
                ]
            ),
        )
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        y = self.layer_norm(x)
        y = self.DenseReluDense(y)
        y = self.dropout(y)
        return y + x


class Layer(nn.ModuleList):
    """[N, S, 512], [N, S] bool -> [N, S, 512], bias [1, 8, S, S]"""

    def __init__(self):
        super().__init__(
            [
                Residual(),
                Residual2(),
            ]
        )

    def forward(self, x, source_mask):
        x, bias = self[0](x, source_mask)
        x = self[1](x)
        return x, bias


class Block(nn.Module):
    """[N, S, 512], [N, S] bool -> [N, S, 512], bias [1, 8, S, S]"""

    def __init__(self):
        super().__init__()
        self.layer = Layer()

    def forward(self, x, source_mask):
        return self.layer(x, source_mask)


class SelfAttention(nn.Module):
    """[N, S, 512], [N, S] bool, [1, 8, S, S] -> [N, S, 512]"""

    def __init__(self):
        super().__init__()
        self.q = nn.Linear(512, 512, bias=False)
        self.k = nn.Linear(512, 512, bias=False)
        self.v = nn.Linear(512, 512, bias=False)
        self.attention = ScaledDotProductAttention(heads=8, scale=1.0, dropout=0.1)
        self.o = nn.Linear(512, 512, bias=False)

    def forward(self, x, source_mask, bias):
        q = self.q(x)
        k = self.k(x)
        v = self.v(x)
        x = self.attention(q, k, v, source_mask, bias)
        return self.o(x)


class Residual3(nn.Module):
    """[N, S, 512], [N, S] bool, [1, 8, S, S] -> [N, S, 512]"""

    def __init__(self):
        super().__init__()
        self.layer_norm = nn.RMSNorm(512, eps=1e-6)
        self.SelfAttention = SelfAttention()
        self.dropout = nn.Dropout(0.1)

    def forward(self, x, source_mask, bias):
        layer_norm = self.layer_norm(x)
        y = self.SelfAttention(layer_norm, source_mask, bias)
        y = self.dropout(y)
        return y + x


class Layer2(nn.ModuleList):
    """[N, S, 512], [N, S] bool, [1, 8, S, S] -> [N, S, 512]"""

    def __init__(self):
        super().__init__(
            [
                Residual3(),
                Residual2(),
            ]
        )

    def forward(self, x, source_mask, bias):
        x = self[0](x, source_mask, bias)
        return self[1](x)


class Block2(nn.Module):
    """[N, S, 512], [N, S] bool, [1, 8, S, S] -> [N, S, 512]"""

    def __init__(self):
        super().__init__()
        self.layer = Layer2()

    def forward(self, x, source_mask, bias):
        return self.layer(x, source_mask, bias)


class Blocks(nn.ModuleList):
    """[N, S, 512], [N, S] bool -> [N, S, 512]"""

    def __init__(self):
        super().__init__(
            [
                Block(),
                *(Block2() for _ in range(5)),
            ]
        )

    def forward(self, x, source_mask):
        block, bias = self[0](x, source_mask)
        x = block
        for layer in self[1:6]:
            x = layer(x, source_mask, bias)
        return x


class Encoder(nn.Module):
    """[N, S] int64, [N, S] bool -> [N, S, 512]"""

    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(32128, 512)
        self.dropout = nn.Dropout(0.1)
        self.block = Blocks()
        self.final_layer_norm = nn.RMSNorm(512, eps=1e-6)
        self.memory = nn.Dropout(0.1)

    def forward(self, x, source_mask):
        x = self.embed_tokens(x)  # [N, S, 512]
        x = self.dropout(x)
        x = self.block(x, source_mask)
        x = self.final_layer_norm(x)
        return self.memory(x)


class SelfAttentionWithNumbers2(nn.Module):
    """[N, T, 512] -> [N, T, 512], bias [1, 8, T, T]"""

    def __init__(self):
        super().__init__()
        self.q = nn.Linear(512, 512, bias=False)
        self.k = nn.Linear(512, 512, bias=False)
        self.v = nn.Linear(512, 512, bias=False)
        self.numbers = Bucket2()
        self.relative_attention_bias = nn.Embedding(32, 8)
        self.attention = ScaledDotProductAttention(heads=8, causal=True, scale=1.0, dropout=0.1)
        self.o = nn.Linear(512, 512, bias=False)

    def forward(self, x):
        q = self.q(x)
        k = self.k(x)
        v = self.v(x)
        x = torch.arange(x.shape[1], device=x.device)  # [T] int64
        x = x[None, :] - x[:, None]  # [T, T] int64
        x = self.numbers(x)
        x = self.relative_attention_bias(x)  # [T, T, 8]
        bias = x.permute(2, 0, 1).unsqueeze(0)  # [1, 8, T, T]
        x = self.attention(q, k, v, bias=bias)
        x = self.o(x)
        return x, bias


class BlockResidual(nn.Module):
    """[N, T, 512] -> [N, T, 512], bias [1, 8, T, T]"""

    def __init__(self):
        super().__init__()
        self.layer_norm = nn.RMSNorm(512, eps=1e-6)
        self.SelfAttention = SelfAttentionWithNumbers2()
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        y = self.layer_norm(x)
        y, bias = self.SelfAttention(y)
        y = self.dropout(y)
        x = y + x
        return x, bias


class EncDecAttention(nn.Module):
    """[N, T, 512], [N, S, 512], [N, S] bool -> [N, T, 512]"""

    def __init__(self):
        super().__init__()
        self.q = nn.Linear(512, 512, bias=False)
        self.k = nn.Linear(512, 512, bias=False)
        self.v = nn.Linear(512, 512, bias=False)
        self.attention = ScaledDotProductAttention(heads=8, scale=1.0, dropout=0.1)
        self.o = nn.Linear(512, 512, bias=False)

    def forward(self, x, encoder, source_mask):
        q = self.q(x)
        k = self.k(encoder)
        v = self.v(encoder)
        x = self.attention(q, k, v, source_mask)
        return self.o(x)


class BlockResidual2(nn.Module):
    """[N, T, 512], [N, S, 512], [N, S] bool -> [N, T, 512]"""

    def __init__(self):
        super().__init__()
        self.layer_norm = nn.RMSNorm(512, eps=1e-6)
        self.EncDecAttention = EncDecAttention()
        self.dropout = nn.Dropout(0.1)

    def forward(self, x, encoder, source_mask):
        layer_norm = self.layer_norm(x)
        y = self.EncDecAttention(layer_norm, encoder, source_mask)
        y = self.dropout(y)
        return y + x


class LayerWithModel2(nn.ModuleList):
    """[N, T, 512], [N, S, 512], [N, S] bool -> [N, T, 512], bias [1, 8, T, T]"""

    def __init__(self):
        super().__init__(
            [
                BlockResidual(),
                BlockResidual2(),
                Residual2(),
            ]
        )

    def forward(self, x, encoder, source_mask):
        residual, bias = self[0](x)
        x = self[1](residual, encoder, source_mask)
        x = self[2](x)
        return x, bias


class DecoderBlock(nn.Module):
    """[N, T, 512], [N, S, 512], [N, S] bool -> [N, T, 512], bias [1, 8, T, T]"""

    def __init__(self):
        super().__init__()
        self.layer = LayerWithModel2()

    def forward(self, x, encoder, source_mask):
        return self.layer(x, encoder, source_mask)


class LayerSelfAttention(nn.Module):
    """[N, T, 512], [1, 8, T, T] -> [N, T, 512]"""

    def __init__(self):
        super().__init__()
        self.q = nn.Linear(512, 512, bias=False)
        self.k = nn.Linear(512, 512, bias=False)
        self.v = nn.Linear(512, 512, bias=False)
        self.attention = ScaledDotProductAttention(heads=8, causal=True, scale=1.0, dropout=0.1)
        self.o = nn.Linear(512, 512, bias=False)

    def forward(self, x, bias):
        q = self.q(x)
        k = self.k(x)
        v = self.v(x)
        x = self.attention(q, k, v, bias=bias)
        return self.o(x)


class BlockResidual3(nn.Module):
    """[N, T, 512], [1, 8, T, T] -> [N, T, 512]"""

    def __init__(self):
        super().__init__()
        self.layer_norm = nn.RMSNorm(512, eps=1e-6)
        self.SelfAttention = LayerSelfAttention()
        self.dropout = nn.Dropout(0.1)

    def forward(self, x, bias):
        y = self.layer_norm(x)
        y = self.SelfAttention(y, bias)
        y = self.dropout(y)
        return y + x


class LayerWithModel22(nn.ModuleList):
    """[N, T, 512], [1, 8, T, T], [N, S, 512], [N, S] bool -> [N, T, 512]"""

    def __init__(self):
        super().__init__(
            [
                BlockResidual3(),
                BlockResidual2(),
                Residual2(),
            ]
        )

    def forward(self, x, bias, encoder, source_mask):
        x = self[0](x, bias)
        x = self[1](x, encoder, source_mask)
        return self[2](x)


class DecoderBlock2(nn.Module):
    """[N, T, 512], [1, 8, T, T], [N, S, 512], [N, S] bool -> [N, T, 512]"""

    def __init__(self):
        super().__init__()
        self.layer = LayerWithModel22()

    def forward(self, x, bias, encoder, source_mask):
        return self.layer(x, bias, encoder, source_mask)


class DecoderBlocks(nn.ModuleList):
    """[N, T, 512], [N, S, 512], [N, S] bool -> [N, T, 512]"""

    def __init__(self):
        super().__init__(
            [
                DecoderBlock(),
                *(DecoderBlock2() for _ in range(5)),
            ]
        )

    def forward(self, x, encoder, source_mask):
        block, bias = self[0](x, encoder, source_mask)
        x = block
        for layer in self[1:6]:
            x = layer(x, bias, encoder, source_mask)
        return x


class Decoder(nn.Module):
    """[N, S, 512], [N, T] int64, [N, S] bool -> [N, T, 512]"""

    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(32128, 512)
        self.dropout = nn.Dropout(0.1)
        self.block = DecoderBlocks()
        self.final_layer_norm = nn.RMSNorm(512, eps=1e-6)
        self.dropout_2 = nn.Dropout(0.1)

    def forward(self, x, target, source_mask):
        y = self.embed_tokens(target)  # [N, T, 512]
        y = self.dropout(y)
        x = self.block(y, x, source_mask)
        x = self.final_layer_norm(x)
        return self.dropout_2(x)


class T5(nn.Module):
    """source [N, S] int64, target [N, T] int64, source_mask [N, S] bool or None -> lm_head [N, T, 32128]"""

    def __init__(self):
        super().__init__()
        self.shared = nn.Embedding(32128, 512)
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.lm_head = nn.Linear(512, 32128, bias=False)
        self.encoder.embed_tokens.weight = self.shared.weight  # tied
        self.decoder.embed_tokens.weight = self.shared.weight  # tied
        self.lm_head.weight = self.shared.weight  # tied

    def forward(self, source, target, source_mask=None):
        encoder = self.encoder(source, source_mask)  # [N, S, 512]
        x = self.decoder(encoder, target, source_mask)  # [N, T, 512]
        x = x * 0.04419417382415922
        return self.lm_head(x)  # [N, T, 32128]
