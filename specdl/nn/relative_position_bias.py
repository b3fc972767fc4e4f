"""T5's relative positions: a learned number for each head and range of distances, added to the scores."""

import torch
from torch import Tensor, nn


class RelativePositionBias(nn.Embedding):
    """Positions `[T]` of the queries and `[S]` of the keys -> a bias `[1, heads, T, S]` of attention scores.

    Half of the buckets hold one distance each, the others ranges that grow as logarithms do, up to `max_distance`.
    `bidirectional`, keys behind the query have buckets of their own; otherwise they share that of distance 0.
    Positions of each example, `[N, T]` and `[N, S]`, give `[N, heads, T, S]`.
    """

    def __init__(self, heads: int, buckets: int = 32, max_distance: int = 128, bidirectional: bool = True) -> None:
        super().__init__(buckets, heads)
        self.max_distance = max_distance
        side = buckets // 2 if bidirectional else buckets
        exact = side // 2
        numbers = []
        for distance in range(-max_distance, max_distance + 1):  # of the key, seen from the query
            far = abs(distance) if bidirectional else max(-distance, 0)
            steps = range(1, side - exact)  # whole numbers, so that no rounding moves a border
            large = exact + sum(
                max_distance**step * exact ** (side - exact - step) <= far ** (side - exact) for step in steps
            )
            numbers.append((far if far < exact else large) + (side if bidirectional and distance > 0 else 0))
        self.numbers: Tensor
        self.register_buffer("numbers", torch.tensor(numbers), persistent=False)

    def forward(self, positions: Tensor, key_positions: Tensor | None = None) -> Tensor:
        keys = positions if key_positions is None else key_positions
        distance = keys[..., None, :] - positions[..., :, None]
        places = distance.clamp(-self.max_distance, self.max_distance) + self.max_distance
        bias = super().forward(self.numbers[places])
        return bias.movedim(-1, -3) if bias.dim() == 4 else bias.movedim(-1, -3)[None]
