"""ddpm-cfg, from spec.yaml."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["DdpmCfg"]


class TimeEmbedding(nn.Module):
    """[N] int64 -> [N, 512]"""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(512, 512)
        self.fc2 = nn.Linear(512, 512)

    def forward(self, t):
        x = torch.linspace(0.0, 1.0, 256, device=t.device)  # [256]
        x = t.to(torch.float32)[:, None] * torch.exp(-9.21 * x)  # [N, 256]
        x = torch.cat([torch.sin(x), torch.cos(x)], dim=1)  # [N, 512]
        x = self.fc1(x)
        x = F.silu(x)
        return self.fc2(x)


class Resblock(nn.Module):
    """The block `resblock`."""

    def __init__(self, num_channels, width):
        super().__init__()
        self.norm1 = nn.GroupNorm(8, num_channels=num_channels)
        self.conv1 = nn.Conv2d(num_channels, width, kernel_size=3, padding=1)
        self.shift = nn.Linear(512, width)
        self.norm2 = nn.GroupNorm(8, num_channels=width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.shortcut = nn.Conv2d(num_channels, width, kernel_size=1)

    def forward(self, x, condition):
        y = self.norm1(x)
        y = F.silu(y)
        conv1 = self.conv1(y)
        y = self.shift(condition)
        y = conv1 + y[:, :, None, None]
        y = self.norm2(y)
        y = F.silu(y)
        conv2 = self.conv2(y)
        x = self.shortcut(x)
        return conv2 + x


class DdpmCfg(nn.Module):
    """x [N, 3, 32, 32], t [N] int64, label [N] int64 -> output [N, 3, 32, 32]"""

    def __init__(self):
        super().__init__()
        self.time = TimeEmbedding()
        self.what = nn.Embedding(11, 512)
        self.skip_0 = nn.Conv2d(3, 128, kernel_size=3, padding=1)
        self.skip_1 = Resblock(128, 128)
        self.skip_2 = Resblock(128, 256)
        self.skip_3 = Resblock(256, 256)
        self.skip_4 = Resblock(256, 256)
        self.resblock = Resblock(512, 256)
        self.resblock_2 = Resblock(512, 256)
        self.resblock_3 = Resblock(512, 256)
        self.resblock_4 = Resblock(384, 128)
        self.conv2d = nn.Conv2d(128, 3, kernel_size=3, padding=1)

    def forward(self, x, t, label):
        time = self.time(t)  # [N, 512]
        y = self.what(label)  # [N, 512]
        condition = time + y
        x = self.skip_0(x)  # [N, 128, 32, 32]
        skip_1 = self.skip_1(x, condition)
        x = F.avg_pool2d(skip_1, 2)  # [N, 128, 16, 16]
        skip_2 = self.skip_2(x, condition)  # [N, 256, 16, 16]
        x = F.avg_pool2d(skip_2, 2)  # [N, 256, 8, 8]
        skip_3 = self.skip_3(x, condition)
        x = F.avg_pool2d(skip_3, 2)  # [N, 256, 4, 4]
        x = self.skip_4(x, condition)
        x = torch.cat([x, x], dim=1)  # [N, 512, 4, 4]
        x = self.resblock(x, condition)  # [N, 256, 4, 4]
        x = F.interpolate(x, scale_factor=2)  # [N, 256, 8, 8]
        x = torch.cat([x, skip_3], dim=1)  # [N, 512, 8, 8]
        x = self.resblock_2(x, condition)  # [N, 256, 8, 8]
        x = F.interpolate(x, scale_factor=2)  # [N, 256, 16, 16]
        x = torch.cat([x, skip_2], dim=1)  # [N, 512, 16, 16]
        x = self.resblock_3(x, condition)  # [N, 256, 16, 16]
        x = F.interpolate(x, scale_factor=2)  # [N, 256, 32, 32]
        x = torch.cat([x, skip_1], dim=1)  # [N, 384, 32, 32]
        x = self.resblock_4(x, condition)  # [N, 128, 32, 32]
        return self.conv2d(x)  # [N, 3, 32, 32]
