"""behind_the_cut, from spec.yaml."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

__all__ = ["BehindTheCut"]


class Classifier(nn.Module):
    """[N, 3, 8, 8] -> [N, 4, 3, 3]"""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                [
                    ("0", nn.Conv2d(3, 4, kernel_size=3)),
                    ("1", nn.ReLU()),
                    ("early", nn.MaxPool2d(2)),
                ]
            ),
        )

    def forward(self, image):
        return self.features(image)  # [N, 4, 3, 3]


class BehindTheCut(nn.Module):
    """image [N, 3, 8, 8] -> output [N, 2]"""

    def __init__(self):
        super().__init__()
        self.classifier = Classifier()
        self.linear = nn.Linear(36, 2)

    def forward(self, image):
        x = self.classifier(image)  # [N, 4, 3, 3]
        x = x.flatten(1)  # [N, 36]
        return self.linear(x)  # [N, 2]
