"""Recurrent layers that are told where to begin, and how long each sequence is without its padding."""

from torch import Tensor, nn


class Packed:
    """Beside a recurrent layer of PyTorch: stops each sequence after `lengths` `[N]` steps.

    Outputs behind the end are zeros; the final states are those of the last real step. An empty sequence counts
    as one of a single step.
    """

    def run(self, x: Tensor, states: object, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        if lengths is None:
            return super().forward(x, states)  # type: ignore
        steps = lengths.clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(x, steps, batch_first=True, enforce_sorted=False)
        output, states = super().forward(packed, states)  # type: ignore
        return nn.utils.rnn.pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])[0], states  # type: ignore


class PackedLSTM(Packed, nn.LSTM):
    """`nn.LSTM`, batch first, whose states begin with `h` and `c`."""

    def forward(self, x: Tensor, h: Tensor | None = None, c: Tensor | None = None, lengths: Tensor | None = None):  # type: ignore
        return self.run(x, None if h is None else (h, c), lengths)


class PackedGRU(Packed, nn.GRU):
    """`nn.GRU`, batch first, whose state begins with `h`."""

    def forward(self, x: Tensor, h: Tensor | None = None, lengths: Tensor | None = None):  # type: ignore
        return self.run(x, h, lengths)


class PackedRNN(Packed, nn.RNN):
    """`nn.RNN`, batch first, whose state begins with `h`."""

    def forward(self, x: Tensor, h: Tensor | None = None, lengths: Tensor | None = None):  # type: ignore
        return self.run(x, h, lengths)
