"""Layers over a sequence that comes piece by piece: each keeps what it needs of the pieces before.

So a language model computes one position for each token that it writes, and not the whole text again. `past` and `seen`
are such a layer's memory; an empty `past` and `seen` 0 begin a new sequence.
"""

import torch
from torch import Tensor, nn

from specdl.nn.alibi import Alibi
from specdl.nn.multi_head_attention import MultiHeadAttention
from specdl.nn.relative_position_bias import RelativePositionBias
from specdl.nn.scaled_dot_product_attention import ScaledDotProductAttention


class Past:
    """What a layer keeps: tensors of `[N, ...]` whose first `seen` positions are filled."""

    past: list[Tensor]
    seen: int

    def __init__(self, *args: object, **keywords: object) -> None:
        super().__init__(*args, **keywords)
        self.forget()

    def forget(self) -> None:
        """Begins a new sequence."""
        self.past, self.seen = [], 0

    def reorder(self, rows: Tensor) -> None:
        """Goes on with some of the sequences of a batch, by their numbers."""
        self.past = [kept.index_select(0, rows) for kept in self.past]

    def extended(self, place: int, piece: Tensor, dim: int) -> Tensor:
        """All pieces at a place of the memory, with this one behind them. Room is made for twice as many positions."""
        if place == len(self.past):
            self.past.append(piece)
            return piece
        end = self.seen + piece.shape[dim]
        kept = self.past[place]
        if end > kept.shape[dim]:
            room = list(kept.shape)
            room[dim] = max(end, 2 * kept.shape[dim])
            grown = kept.new_empty(room)
            grown.narrow(dim, 0, self.seen).copy_(kept.narrow(dim, 0, self.seen))
            self.past[place] = kept = grown
        kept.narrow(dim, self.seen, piece.shape[dim]).copy_(piece)
        return kept.narrow(dim, 0, end)


class ContinuedScaledDotProductAttention(Past, ScaledDotProductAttention):
    """Causal attention of a piece to itself and to all pieces before, whose keys and values are kept.

    A mask is `[N, T]`, of the keys of this piece; a bias is that of its queries to all keys, `[N, heads, T, S]`.
    """

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        query, key, value = self.split(query, key, value)
        key, value = self.extended(0, key, 2), self.extended(1, value, 2)
        if mask is not None:
            mask = self.extended(2, mask, 1)
        start, self.seen = self.seen, key.shape[2]
        return self.joined(self.attend(query, key, value, mask, bias, start))


class ContinuedMultiHeadAttention(Past, MultiHeadAttention):
    """Causal attention of a piece to itself and to all pieces before, whose keys and values are kept.

    A mask is `[N, T]`, of the keys of this piece.
    """

    def forward(
        self, query: Tensor, key: Tensor | None = None, value: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        query, key, value = self.project(query, key, value)
        key, value = self.extended(0, key, 2), self.extended(1, value, 2)
        if mask is not None:
            mask = self.extended(2, mask, 1)
        start, self.seen = self.seen, key.shape[2]
        return self.attend(query, key, value, mask, start)


class RememberingMultiHeadAttention(Past, MultiHeadAttention):
    """Attention to a memory that stays the same: its keys and values are projected once."""

    def forward(
        self, query: Tensor, key: Tensor | None = None, value: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        if not self.past:
            query, *self.past = self.project(query, key, value)
        else:
            query = self.project_one(query, 0)
        key, value = self.past
        return self.attend(query, key, value, mask)


class ContinuedPositions(Past, nn.Module):
    """The positions of a piece, which go on where the piece before ended: `[N, T, ...]` -> `[T]`."""

    def forward(self, x: Tensor) -> Tensor:
        start, self.seen = self.seen, self.seen + x.shape[1]
        return torch.arange(start, self.seen, device=x.device)


class ContinuedBias(Past):
    """Beside a bias of attention scores: positions `[T]` of a piece -> `[1, heads, T, S]`, to all keys so far."""

    def forward(self, positions: Tensor, key_positions: Tensor | None = None) -> Tensor:
        keys = self.extended(0, positions, positions.dim() - 1)
        self.seen = keys.shape[-1]
        return super().forward(positions, keys)  # type: ignore

    def reorder(self, rows: Tensor) -> None:
        if self.past[0].dim() > 1:  # positions `[T]` are the same for all sequences
            super().reorder(rows)


class ContinuedRelativePositionBias(ContinuedBias, RelativePositionBias):
    """T5's bias, piece by piece."""


class ContinuedAlibi(ContinuedBias, Alibi):
    """ALiBi, piece by piece."""


class ContinuedRecurrent(Past):
    """Beside a recurrent layer of PyTorch, batch first: goes on with the states in which the piece before ended."""

    def forward(self, x: Tensor, *states: Tensor):  # type: ignore
        begin = [state.transpose(0, 1).contiguous() for state in self.past] or list(states)
        output, end = super().forward(x, None if not begin else tuple(begin) if len(begin) > 1 else begin[0])  # type: ignore
        self.past = [state.transpose(0, 1) for state in (end if isinstance(end, tuple) else (end,))]
        self.seen += x.shape[1]
        return output, end


class ContinuedLSTM(ContinuedRecurrent, nn.LSTM):  # type: ignore
    """`nn.LSTM`, batch first, piece by piece; the first piece begins with `h` and `c` where they are given."""


class ContinuedGRU(ContinuedRecurrent, nn.GRU):  # type: ignore
    """`nn.GRU`, batch first, piece by piece; the first piece begins with `h` where it is given."""


class ContinuedRNN(ContinuedRecurrent, nn.RNN):  # type: ignore
    """`nn.RNN`, batch first, piece by piece; the first piece begins with `h` where it is given."""
