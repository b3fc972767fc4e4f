"""rule, from rule_09_outputs_and_inputs.yaml."""

from __future__ import annotations

from torch import nn

__all__ = ["Rule"]


class Pyramid(nn.Module):
    """[N, 8] -> [N, 8], p3 [N, 8]"""

    def __init__(self):
        super().__init__()
        self.fine = nn.Linear(8, 8)
        self.coarse = nn.Linear(8, 8)

    def forward(self, x):
        fine = self.fine(x)
        x = self.coarse(x)
        return fine, x


class Pyramid2(nn.Module):
    """[N, 8], [N, 8], [N, 8] -> [N, 8], p3 [N, 8]"""

    def __init__(self):
        super().__init__()
        self.fine = nn.Linear(8, 8)
        self.coarse = nn.Linear(8, 8)

    def forward(self, x, memory, mask):
        fine = self.fine(x)
        x = self.coarse(memory)
        x = x * mask
        return fine, x


class Rule(nn.Module):
    """x [N, 8], m [N, 8] -> output [N, 8]"""

    def __init__(self):
        super().__init__()
        self.pyramid = Pyramid()
        self.fpn = Pyramid2()

    def forward(self, x, m):
        x, pyramid_p3 = self.pyramid(x)
        y, fpn_p3 = self.fpn(x, pyramid_p3, m)
        y = y + fpn_p3
        return y + x
