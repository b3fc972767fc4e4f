"""bert, from bert.yaml."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Bert"]


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


class Embeddings(nn.Module):
    """[N, T] int64, [N, T] int64 -> [N, T, 768]"""

    def __init__(self):
        super().__init__()
        self.word_embeddings = nn.Embedding(30522, 768, padding_idx=0)
        self.position_embeddings = nn.Embedding(512, 768)
        self.token_type_embeddings = nn.Embedding(2, 768)
        self.LayerNorm = nn.LayerNorm(768, eps=1e-12)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x, token_type_ids):
        word_embeddings = self.word_embeddings(x)  # [N, T, 768]
        y = torch.arange(x.shape[1], device=x.device)  # [T] int64
        position_embeddings = self.position_embeddings(y)  # [T, 768]
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(x)
        token_type_embeddings = self.token_type_embeddings(token_type_ids)  # [N, T, 768]
        x = word_embeddings + token_type_embeddings + position_embeddings
        x = self.LayerNorm(x)
        return self.dropout(x)


class Self(nn.Module):
    """[N, T, 768], [N, T] bool -> [N, T, 768]"""

    def __init__(self):
        super().__init__()
        self.query = nn.Linear(768, 768)
        self.key = nn.Linear(768, 768)
        self.value = nn.Linear(768, 768)
        self.attention = ScaledDotProductAttention(heads=12, dropout=0.1)

    def forward(self, x, attention_mask):
        query = self.query(x)
        key = self.key(x)
        value = self.value(x)
        return self.attention(query, key, value, attention_mask)


class Output(nn.Module):
    """[N, T, 768], [N, T, 768] -> [N, T, 768]"""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(768, 768)
        self.changed = nn.Dropout(0.1)
        self.LayerNorm = nn.LayerNorm(768, eps=1e-12)

    def forward(self, self_, x):
        y = self.dense(self_)
        y = self.changed(y)
        x = y + x
        return self.LayerNorm(x)


class Attention(nn.Module):
    """[N, T, 768], [N, T] bool -> [N, T, 768]"""

    def __init__(self):
        super().__init__()
        self.self = Self()
        self.output = Output()

    def forward(self, x, attention_mask):
        y = self.self(x, attention_mask)
        return self.output(y, x)


class LayerOutput(nn.Module):
    """[N, T, 3072], [N, T, 768] -> [N, T, 768]"""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(3072, 768)
        self.changed = nn.Dropout(0.1)
        self.LayerNorm = nn.LayerNorm(768, eps=1e-12)

    def forward(self, x, attention):
        x = self.dense(x)  # [N, T, 768]
        x = self.changed(x)
        x = x + attention
        return self.LayerNorm(x)


class Layer(nn.Module):
    """[N, T, 768], [N, T] bool -> [N, T, 768]"""

    def __init__(self):
        super().__init__()
        self.attention = Attention()
        self.intermediate = nn.Sequential(
            OrderedDict([("dense", nn.Linear(768, 3072)), ("1", nn.GELU())]),
        )
        self.output = LayerOutput()

    def forward(self, x, attention_mask):
        attention = self.attention(x, attention_mask)
        x = self.intermediate(attention)  # [N, T, 3072]
        return self.output(x, attention)  # [N, T, 768]


class Layers(nn.ModuleList):
    """[N, T, 768], [N, T] bool -> [N, T, 768]"""

    def __init__(self):
        super().__init__(
            [
                *(Layer() for _ in range(12)),
            ]
        )

    def forward(self, x, attention_mask):
        for layer in self:
            x = layer(x, attention_mask)
        return x


class Encoder(nn.Module):
    """[N, T, 768], [N, T] bool -> [N, T, 768]"""

    def __init__(self):
        super().__init__()
        self.layer = Layers()

    def forward(self, x, attention_mask):
        return self.layer(x, attention_mask)


class Bert2(nn.Module):
    """[N, T] int64, [N, T] int64, [N, T] bool -> [N, 768], encoder [N, T, 768]"""

    def __init__(self):
        super().__init__()
        self.embeddings = Embeddings()
        self.encoder = Encoder()
        self.pooler = nn.Sequential(OrderedDict([("dense", nn.Linear(768, 768)), ("1", nn.Tanh())]))

    def forward(self, x, token_type_ids, attention_mask):
        x = self.embeddings(x, token_type_ids)  # [N, T, 768]
        encoder = self.encoder(x, attention_mask)
        x = encoder[:, 0]  # [N, 768]
        x = self.pooler(x)
        return x, encoder


class Predictions(nn.Module):
    """[N, T, 768] -> [N, T, 30522]"""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(30522))
        self.transform = nn.Sequential(
            OrderedDict(
                [
                    ("dense", nn.Linear(768, 768)),
                    ("1", nn.GELU()),
                    ("LayerNorm", nn.LayerNorm(768, eps=1e-12)),
                ]
            ),
        )
        self.decoder = nn.Linear(768, 30522)

    def forward(self, x):
        x = self.transform(x)
        return self.decoder(x)  # [N, T, 30522]


class Cls(nn.Module):
    """[N, 768], [N, T, 768] -> [N, 2], predictions [N, T, 30522]"""

    def __init__(self):
        super().__init__()
        self.predictions = Predictions()
        self.seq_relationship = nn.Linear(768, 2)

    def forward(self, x, encoder):
        predictions = self.predictions(encoder)  # [N, T, 30522]
        x = self.seq_relationship(x)  # [N, 2]
        return x, predictions


class Bert(nn.Module):
    """input_ids [N, T] int64, token_type_ids [N, T] int64 or None, attention_mask [N, T] bool or None -> prediction_logits [N, T, 30522], seq_relationship_logits [N, 2]"""

    def __init__(self):
        super().__init__()
        self.bert = Bert2()
        self.cls = Cls()
        for name, parameter in self.named_parameters():
            if name.endswith(".predictions.bias"):
                continue  # its layer says how it begins
            if name.endswith(".bias"):
                nn.init.zeros_(parameter)
            elif name.endswith(".LayerNorm.weight"):
                nn.init.ones_(parameter)
            elif name.endswith(".weight"):
                nn.init.normal_(parameter, std=0.02)
        self.cls.predictions.decoder.weight = self.bert.embeddings.word_embeddings.weight  # tied
        self.cls.predictions.decoder.bias = self.cls.predictions.bias  # tied

    def forward(self, input_ids, token_type_ids=None, attention_mask=None):
        x, encoder = self.bert(input_ids, token_type_ids, attention_mask)  # [N, 768]
        x, predictions = self.cls(x, encoder)  # [N, 2]
        return predictions, x
