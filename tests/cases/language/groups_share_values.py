"""groups, from groups_share_values.yaml."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

__all__ = ["Groups"]


class Attention(nn.Module):
    """[N, T, 16] -> [N, T, 16]"""

    def __init__(self):
        super().__init__()
        self.query = nn.Linear(16, 16)
        self.key = nn.Linear(16, 16)

    def forward(self, x):
        query = self.query(x)
        y = self.key(x)
        y = F.softmax(query @ y.transpose(-1, -2) / 4, dim=-1)  # [N, T, T]
        return y @ x  # [N, T, 16]


class Layer(nn.Module):
    """[N, T, 16] -> [N, T, 16], attention [N, T, 16]"""

    def __init__(self):
        super().__init__()
        self.attention = Attention()
        self.norm = nn.LayerNorm(16)

    def forward(self, x):
        attention = self.attention(x)
        x = self.norm(attention)
        return x, attention


class Attention2(nn.Module):
    """[N, T, 16], [N, T, 16] -> [N, T, 16]"""

    def __init__(self):
        super().__init__()
        self.query = nn.Linear(16, 16)
        self.key = nn.Linear(16, 16)

    def forward(self, x, embed):
        query = self.query(x)
        x = self.key(embed)
        x = F.softmax(query @ x.transpose(-1, -2) / 4, dim=-1)  # [N, T, T]
        return x @ embed  # [N, T, 16]


class Layer2(nn.Module):
    """[N, T, 16], [N, T, 16] -> [N, T, 16]"""

    def __init__(self):
        super().__init__()
        self.attention = Attention2()
        self.norm = nn.LayerNorm(16)

    def forward(self, x, embed):
        x = self.attention(x, embed)
        return self.norm(x)


class Layers(nn.ModuleList):
    """[N, T, 16] -> [N, T, 16], attention [N, T, 16]"""

    def __init__(self):
        super().__init__(
            [
                Layer(),
                Layer2(),
                Layer2(),
            ]
        )

    def forward(self, x):
        y, attention = self[0](x)
        y = self[1](y, x)
        x = self[2](y, x)
        return x, attention


class Encoder(nn.Module):
    """[N, T, 16] -> [N, T, 16], attention [N, T, 16]"""

    def __init__(self):
        super().__init__()
        self.layer = Layers()

    def forward(self, x):
        return self.layer(x)


class Groups(nn.Module):
    """tokens [N, T] int64 -> output [N, T, 4]"""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.encoder = Encoder()
        self.head = nn.Linear(16, 4)

    def forward(self, tokens):
        x = self.embed(tokens)  # [N, T, 16]
        x, attention = self.encoder(x)
        x = self.head(x)  # [N, T, 4]
        return x + attention[:, :, :4]
