"""googlenet, from googlenet.yaml."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Googlenet"]


class BasicConv2d(nn.Module):
    """The block `basic_conv2d`."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            bias=False,
        )
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x):
        x = self.conv(x)
        x = self.bn(x)
        return F.relu(x)


class Inception(nn.Module):
    """The block `inception`."""

    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
        super().__init__()
        self.branch1 = BasicConv2d(in_channels, ch1x1, kernel_size=1)
        self.branch2 = nn.Sequential(
            BasicConv2d(in_channels, ch3x3red, kernel_size=1),
            BasicConv2d(ch3x3red, ch3x3, kernel_size=3, padding=1),
        )
        self.branch3 = nn.Sequential(
            BasicConv2d(in_channels, ch5x5red, kernel_size=1),
            BasicConv2d(ch5x5red, ch5x5, kernel_size=3, padding=1),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True),
            BasicConv2d(in_channels, pool_proj, kernel_size=1),
        )

    def forward(self, x):
        branch1 = self.branch1(x)
        branch2 = self.branch2(x)
        branch3 = self.branch3(x)
        branch4 = self.branch4(x)
        return torch.cat([branch1, branch2, branch3, branch4], dim=1)


class InceptionAux(nn.Module):
    """The block `inception_aux`."""

    def __init__(self, in_channels):
        super().__init__()
        self.conv = BasicConv2d(in_channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(2048, 1024)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, 1000)

    def forward(self, x):
        x = F.adaptive_avg_pool2d(x, 4)
        x = self.conv(x)
        x = x.flatten(1)
        x = self.fc1(x)
        x = F.relu(x)
        x = self.dropout(x)
        return self.fc2(x)


class Googlenet(nn.Module):
    """image [N, 3, 224, 224] -> logits [N, 1000]"""

    def __init__(self):
        super().__init__()
        self.conv1 = BasicConv2d(3, 64, kernel_size=7, stride=2, padding=3)
        self.conv2 = BasicConv2d(64, 64, kernel_size=1)
        self.conv3 = BasicConv2d(64, 192, kernel_size=3, padding=1)
        self.inception3a = Inception(
            192, 64, ch3x3red=96, ch3x3=128, ch5x5red=16, ch5x5=32, pool_proj=32
        )
        self.inception3b = Inception(
            256, 128, ch3x3red=128, ch3x3=192, ch5x5red=32, ch5x5=96, pool_proj=64
        )
        self.inception4a = Inception(
            480, 192, ch3x3red=96, ch3x3=208, ch5x5red=16, ch5x5=48, pool_proj=64
        )
        self.aux1 = InceptionAux(512)
        self.inception4b = Inception(
            512, 160, ch3x3red=112, ch3x3=224, ch5x5red=24, ch5x5=64, pool_proj=64
        )
        self.inception4c = Inception(
            512, 128, ch3x3red=128, ch3x3=256, ch5x5red=24, ch5x5=64, pool_proj=64
        )
        self.inception4d = Inception(
            512, 112, ch3x3red=144, ch3x3=288, ch5x5red=32, ch5x5=64, pool_proj=64
        )
        self.aux2 = InceptionAux(528)
        self.inception4e = Inception(
            528, 256, ch3x3red=160, ch3x3=320, ch5x5red=32, ch5x5=128, pool_proj=128
        )
        self.inception5a = Inception(
            832, 256, ch3x3red=160, ch3x3=320, ch5x5red=32, ch5x5=128, pool_proj=128
        )
        self.inception5b = Inception(
            832, 384, ch3x3red=192, ch3x3=384, ch5x5red=48, ch5x5=128, pool_proj=128
        )
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(1024, 1000)

    def forward(self, image):
        x = self.conv1(image)  # [N, 64, 112, 112]
        x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)  # [N, 64, 56, 56]
        x = self.conv2(x)
        x = self.conv3(x)  # [N, 192, 56, 56]
        x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)  # [N, 192, 28, 28]
        x = self.inception3a(x)  # [N, 256, 28, 28]
        x = self.inception3b(x)  # [N, 480, 28, 28]
        x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)  # [N, 480, 14, 14]
        inception4a = self.inception4a(x)  # [N, 512, 14, 14]
        if self.training:
            aux1 = self.aux1(inception4a)  # [N, 1000]
        x = self.inception4b(inception4a)
        x = self.inception4c(x)
        inception4d = self.inception4d(x)  # [N, 528, 14, 14]
        if self.training:
            aux2 = self.aux2(inception4d)  # [N, 1000]
        x = self.inception4e(inception4d)  # [N, 832, 14, 14]
        x = F.max_pool2d(x, 2, ceil_mode=True)  # [N, 832, 7, 7]
        x = self.inception5a(x)
        x = self.inception5b(x)  # [N, 1024, 7, 7]
        x = F.adaptive_avg_pool2d(x, 1)  # [N, 1024, 1, 1]
        x = x.flatten(1)  # [N, 1024]
        x = self.dropout(x)
        x = self.fc(x)  # [N, 1000]
        if self.training:
            return x, aux1, aux2
        return x
