"""initial, from initial_weights.yaml."""

from __future__ import annotations

from fnmatch import fnmatchcase

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Initial"]


class Bottleneck(nn.Module):
    """The block `bottleneck`."""

    def __init__(self, gamma):
        super().__init__()
        self.conv1 = nn.Conv2d(8, 8, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        nn.init.constant_(self.bn2.weight, val=gamma)

    def forward(self, x):
        y = self.conv1(x)
        y = self.bn1(y)
        y = F.relu(y)
        y = self.conv2(y)
        y = self.bn2(y)
        return y + x


class Initial(nn.Module):
    """image [N, 3, 8, 8] -> head [N, 4, 10], alias [N, 4, 10]"""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, kernel_size=1)
        self.first = Bottleneck(0.0)
        self.second = Bottleneck(0.1)
        self.third = Bottleneck(0.0)
        self.scales = nn.Sequential(
            nn.Linear(8, 8),
            nn.ReLU(),
            nn.Linear(8, 8),
        )
        self.token = nn.Parameter(nn.init.normal_(torch.empty(8), std=0.3))
        self.shift = nn.Parameter(torch.zeros(8))
        self.repeats = nn.Sequential(
            nn.Linear(512, 16),
            *(nn.Linear(16, 16) for _ in range(3)),
        )
        self.lstm = nn.LSTM(4, 4, batch_first=True)
        self.head = nn.Linear(4, 10)
        self.alias = nn.Linear(4, 10)
        for name, parameter in self.third.named_parameters():
            if name == "conv1.weight":
                continue  # its layer says how it begins
            if fnmatchcase(name, "conv*.weight"):
                nn.init.orthogonal_(parameter)
        for name, parameter in self.scales.named_parameters():
            if name == "0.bias":
                nn.init.zeros_(parameter)
            else:
                nn.init.constant_(parameter, val=0.5)
        for layer in self.repeats:
            nn.init.eye_(layer.weight)
        nn.init.orthogonal_(self.lstm.weight_hh_l0)
        nn.init.zeros_(self.lstm.bias_ih_l0)
        nn.init.zeros_(self.lstm.bias_hh_l0)
        for name, parameter in self.named_parameters():
            if name.endswith(".conv1.weight") or name.endswith(".bn2.weight"):
                continue  # its layer says how it begins
            if name == "third.conv2.weight" or fnmatchcase(name, "scales.*.weight"):
                continue  # its layer says how it begins
            if fnmatchcase(name, "scales.*.bias") or fnmatchcase(name, "repeats.*.weight"):
                continue  # its layer says how it begins
            if name == "shift":
                nn.init.ones_(parameter)
            elif name.endswith(".bias"):
                nn.init.zeros_(parameter)
            elif name.startswith("head."):
                nn.init.uniform_(parameter, a=-0.1, b=0.1)
            elif name.endswith(".weight"):
                nn.init.trunc_normal_(parameter, std=0.02)
        self.alias.weight = self.head.weight  # tied

    def forward(self, image):
        x = self.stem(image)  # [N, 8, 8, 8]
        x = self.first(x)
        x = self.second(x)
        x = self.third(x)
        scales = self.scales(x)
        x = scales * self.token + self.shift
        x = x.flatten(1)  # [N, 512]
        x = self.repeats(x)  # [N, 16]
        x = x.reshape(-1, 4, 4)  # [N, 4, 4]
        output, _ = self.lstm(x)
        head = self.head(output)  # [N, 4, 10]
        x = self.alias(output)  # [N, 4, 10]
        return head, x
