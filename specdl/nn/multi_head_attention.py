"""`nn.MultiheadAttention` with the masks of a spec; its parameters, their names and first values are PyTorch's."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
