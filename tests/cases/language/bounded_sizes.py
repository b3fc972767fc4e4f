"""bounded, from bounded_sizes.yaml."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Bounded"]


class Bounded(nn.Module):
    """image [N, 3, 8*H, 8*W], words [N, T] int64, marks [N, T] bool -> picture [N, 16, 4*H, 4*W], both [N, T+3, 4], first [N, T]"""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 8, kernel_size=3, stride=2, padding=1)
        self.d = nn.ConvTranspose2d(16, 8, kernel_size=2, stride=2)
        self.table = nn.Embedding(64, 4)
        self.x = nn.Embedding(100, 4)

    def forward(self, image, words, marks):
        a = self.a(image)  # [N, 8, 4*H, 4*W]
        b = F.max_pool2d(a, 2)  # [N, 8, 2*H, 2*W]
        x = F.max_pool2d(b, 2)  # [N, 8, H, W]
        x = F.interpolate(x, scale_factor=2)  # [N, 8, 2*H, 2*W]
        x = torch.cat([x, b], dim=1)  # [N, 16, 2*H, 2*W]
        x = self.d(x)  # [N, 8, 4*H, 4*W]
        picture = torch.cat([x, a], dim=1)  # [N, 16, 4*H, 4*W]
        x = torch.arange(words.shape[1], device=words.device)  # [T] int64
        table = self.table(x)  # [T, 4]
        x = self.x(words)  # [N, T, 4]
        x_2 = x + table
        x = x_2[:, :3]  # [N, 3, 4]
        both = torch.cat([x_2, x], dim=1)  # [N, T+3, 4]
        x = torch.linspace(0.0, 1.0, x_2.shape[1], device=x_2.device)  # [T]
        x = torch.where(marks, x, torch.arange(marks.shape[1], device=marks.device) / marks.shape[1])
        return picture, both, x
