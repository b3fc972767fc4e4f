"""deeplabv3_resnet50, from spec.yaml."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Deeplabv3Resnet50"]


class BottleneckWithDownsample(nn.Module):
    """The block `bottleneck`."""

    def __init__(self, in_channels, width, dilation, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(
            width,
            width,
            kernel_size=3,
            stride=stride,
            padding=dilation,
            dilation=dilation,
            bias=False,
        )
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = nn.Sequential(
            nn.Conv2d(in_channels, 4 * width, kernel_size=1, stride=stride, bias=False),
            nn.BatchNorm2d(4 * width),
        )

    def forward(self, x):
        y = self.conv1(x)
        y = self.bn1(y)
        y = F.relu(y)
        y = self.conv2(y)
        y = self.bn2(y)
        y = F.relu(y)
        y = self.conv3(y)
        bn3 = self.bn3(y)
        x = self.downsample(x)
        x = bn3 + x
        return F.relu(x)


class Bottleneck(nn.Module):
    """The block `bottleneck`."""

    def __init__(self, in_channels, width, dilation):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(
            width, width, kernel_size=3, padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, in_channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(in_channels)

    def forward(self, x):
        y = self.conv1(x)
        y = self.bn1(y)
        y = F.relu(y)
        y = self.conv2(y)
        y = self.bn2(y)
        y = F.relu(y)
        y = self.conv3(y)
        y = self.bn3(y)
        x = y + x
        return F.relu(x)


class Resnet(nn.Module):
    """[N, 3, 520, 520] -> [N, 1024, 65, 65], layer4 [N, 2048, 65, 65]"""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(
            BottleneckWithDownsample(64, 64, dilation=1),
            Bottleneck(256, 64, dilation=1),
            Bottleneck(256, 64, dilation=1),
        )
        self.layer2 = nn.Sequential(
            BottleneckWithDownsample(256, 128, dilation=1, stride=2),
            *(Bottleneck(512, 128, dilation=1) for _ in range(3)),
        )
        self.layer3 = nn.Sequential(
            BottleneckWithDownsample(512, 256, dilation=1),
            *(Bottleneck(1024, 256, dilation=2) for _ in range(5)),
        )
        self.layer4 = nn.Sequential(
            BottleneckWithDownsample(1024, 512, dilation=2),
            Bottleneck(2048, 512, dilation=4),
            Bottleneck(2048, 512, dilation=4),
        )

    def forward(self, image):
        x = self.conv1(image)  # [N, 64, 260, 260]
        x = self.bn1(x)
        x = F.relu(x)
        x = F.max_pool2d(x, 3, stride=2, padding=1)  # [N, 64, 130, 130]
        x = self.layer1(x)  # [N, 256, 130, 130]
        x = self.layer2(x)  # [N, 512, 65, 65]
        layer3 = self.layer3(x)  # [N, 1024, 65, 65]
        x = self.layer4(layer3)  # [N, 2048, 65, 65]
        return layer3, x


class ConvNormRelu(nn.Sequential):
    """The block `conv_norm_relu`."""

    def __init__(self, kernel_size, padding=0, dilation=1):
        super().__init__(
            nn.Conv2d(
                2048, 256, kernel_size=kernel_size, padding=padding, dilation=dilation, bias=False
            ),
            nn.BatchNorm2d(256),
            nn.ReLU(),
        )


class AsppPooling(nn.ModuleDict):
    """[N, 2048, 65, 65] -> [N, 256, 65, 65]"""

    def __init__(self):
        super().__init__()
        self["1"] = nn.Conv2d(2048, 256, kernel_size=1, bias=False)
        self["2"] = nn.BatchNorm2d(256)

    def forward(self, x):
        x = F.adaptive_avg_pool2d(x, 1)  # [N, 2048, 1, 1]
        x = self["1"](x)  # [N, 256, 1, 1]
        x = self["2"](x)
        x = F.relu(x)
        return F.interpolate(x, size=65, mode="bilinear")  # [N, 256, 65, 65]


class Convs(nn.ModuleList):
    """[N, 2048, 65, 65] -> [N, 1280, 65, 65]"""

    def __init__(self):
        super().__init__(
            [
                ConvNormRelu(1),
                ConvNormRelu(3, padding=12, dilation=12),
                ConvNormRelu(3, padding=24, dilation=24),
                ConvNormRelu(3, padding=36, dilation=36),
                AsppPooling(),
            ]
        )

    def forward(self, x):
        y = self[0](x)  # [N, 256, 65, 65]
        z = self[1](x)  # [N, 256, 65, 65]
        u = self[2](x)  # [N, 256, 65, 65]
        v = self[3](x)  # [N, 256, 65, 65]
        x = self[4](x)  # [N, 256, 65, 65]
        return torch.cat([y, z, u, v, x], dim=1)  # [N, 1280, 65, 65]


class Aspp(nn.Module):
    """[N, 2048, 65, 65] -> [N, 256, 65, 65]"""

    def __init__(self):
        super().__init__()
        self.convs = Convs()
        self.project = nn.Sequential(
            nn.Conv2d(1280, 256, kernel_size=1, bias=False),
            nn.BatchNorm2d(256),
            nn.ReLU(),
            nn.Dropout(0.5),
        )

    def forward(self, x):
        x = self.convs(x)  # [N, 1280, 65, 65]
        return self.project(x)  # [N, 256, 65, 65]


class Deeplabv3Resnet50(nn.Module):
    """image [N, 3, 520, 520] -> out [N, 21, 520, 520], aux [N, 21, 520, 520]"""

    def __init__(self):
        super().__init__()
        self.backbone = Resnet()
        self.classifier = nn.Sequential(
            Aspp(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(256),
            nn.ReLU(),
            nn.Conv2d(256, 21, kernel_size=1),
        )
        self.aux_classifier = nn.Sequential(
            nn.Conv2d(1024, 256, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(256),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(256, 21, kernel_size=1),
        )

    def forward(self, image):
        backbone, backbone_layer4 = self.backbone(image)  # [N, 1024, 65, 65]
        x = self.classifier(backbone_layer4)  # [N, 21, 65, 65]
        out = F.interpolate(x, size=520, mode="bilinear")  # [N, 21, 520, 520]
        x = self.aux_classifier(backbone)  # [N, 21, 65, 65]
        x = F.interpolate(x, size=520, mode="bilinear")  # [N, 21, 520, 520]
        return out, x
