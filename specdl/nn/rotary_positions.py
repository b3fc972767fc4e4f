"""The cosines and sines by which rotary embeddings turn queries and keys, made once for all layers."""

import torch
from torch import Tensor, nn


class RotaryPositions(nn.Module):
    """`[...]` positions -> `[..., features]`: the cosines of position / base^(2i / features), then the sines.

    A `factor` stretches the positions. With the further arguments of Llama 3.1 it stretches only slow waves, those
    longer than `original_max_position_embeddings / low_freq_factor`, and none that are shorter than
    `original_max_position_embeddings / high_freq_factor`.
    """

    def __init__(
        self,
        features: int,
        base: float = 10000.0,
        factor: float = 1.0,
        low_freq_factor: float | None = None,
        high_freq_factor: float | None = None,
        original_max_position_embeddings: int | None = None,
    ) -> None:
        super().__init__()
        self.features, self.base, self.factor = features, base, factor
        self.low_freq_factor, self.high_freq_factor = low_freq_factor, high_freq_factor
        self.original_max_position_embeddings = original_max_position_embeddings

    def forward(self, positions: Tensor) -> Tensor:
        exponents = torch.arange(0, self.features, 2, device=positions.device) / self.features
        rates = 1.0 / self.base**exponents
        low, high, length = self.low_freq_factor, self.high_freq_factor, self.original_max_position_embeddings
        if low is None or high is None or length is None:
            rates = rates / self.factor
        else:
            fast = ((length / (2 * torch.pi / rates) - low) / (high - low)).clamp(0, 1)
            rates = (1 - fast) * rates / self.factor + fast * rates
        angles = positions[..., None].float() * rates
        return torch.cat([angles.cos(), angles.sin()], dim=-1)

    def extra_repr(self) -> str:
        return f"{self.features}, base={self.base}, factor={self.factor}"
