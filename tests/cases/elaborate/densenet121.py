"""densenet, from densenet121.yaml."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Densenet"]


class DenseLayer(nn.Module):
    """The block `dense_layer`."""

    def __init__(self, num_features):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(num_features)
        self.conv1 = nn.Conv2d(num_features, 128, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(128)
        self.conv2 = nn.Conv2d(128, 32, kernel_size=3, padding=1, bias=False)
        self.new = nn.Dropout(0.0)

    def forward(self, x):
        y = self.norm1(x)
        y = F.relu(y)
        y = self.conv1(y)
        y = self.norm2(y)
        y = F.relu(y)
        y = self.conv2(y)
        y = self.new(y)
        return torch.cat([x, y], dim=1)


class Transition(nn.Module):
    """The block `transition`."""

    def __init__(self, num_features, out_channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(num_features)
        self.conv = nn.Conv2d(num_features, out_channels, kernel_size=1, bias=False)

    def forward(self, x):
        x = self.norm(x)
        x = F.relu(x)
        x = self.conv(x)
        return F.avg_pool2d(x, 2)


class Densenet(nn.Module):
    """image [N, 3, 224, 224] -> classifier [N, 1000]"""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv0=nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False),
                norm0=nn.BatchNorm2d(64),
                relu0=nn.ReLU(),
                pool0=nn.MaxPool2d(3, stride=2, padding=1),
                denseblock1=nn.Sequential(
                    OrderedDict(
                        denselayer1=DenseLayer(64),
                        denselayer2=DenseLayer(96),
                        denselayer3=DenseLayer(128),
                        denselayer4=DenseLayer(160),
                        denselayer5=DenseLayer(192),
                        denselayer6=DenseLayer(224),
                    ),
                ),
                transition1=Transition(256, 128),
                denseblock2=nn.Sequential(
                    OrderedDict(
                        denselayer1=DenseLayer(128),
                        denselayer2=DenseLayer(160),
                        denselayer3=DenseLayer(192),
                        denselayer4=DenseLayer(224),
                        denselayer5=DenseLayer(256),
                        denselayer6=DenseLayer(288),
                        denselayer7=DenseLayer(320),
                        denselayer8=DenseLayer(352),
                        denselayer9=DenseLayer(384),
                        denselayer10=DenseLayer(416),
                        denselayer11=DenseLayer(448),
                        denselayer12=DenseLayer(480),
                    ),
                ),
                transition2=Transition(512, 256),
                denseblock3=nn.Sequential(
                    OrderedDict(
                        denselayer1=DenseLayer(256),
                        denselayer2=DenseLayer(288),
                        denselayer3=DenseLayer(320),
                        denselayer4=DenseLayer(352),
                        denselayer5=DenseLayer(384),
                        denselayer6=DenseLayer(416),
                        denselayer7=DenseLayer(448),
                        denselayer8=DenseLayer(480),
                        denselayer9=DenseLayer(512),
                        denselayer10=DenseLayer(544),
                        denselayer11=DenseLayer(576),
                        denselayer12=DenseLayer(608),
                        denselayer13=DenseLayer(640),
                        denselayer14=DenseLayer(672),
                        denselayer15=DenseLayer(704),
                        denselayer16=DenseLayer(736),
                        denselayer17=DenseLayer(768),
                        denselayer18=DenseLayer(800),
                        denselayer19=DenseLayer(832),
                        denselayer20=DenseLayer(864),
                        denselayer21=DenseLayer(896),
                        denselayer22=DenseLayer(928),
                        denselayer23=DenseLayer(960),
                        denselayer24=DenseLayer(992),
                    ),
                ),
                transition3=Transition(1024, 512),
                denseblock4=nn.Sequential(
                    OrderedDict(
                        denselayer1=DenseLayer(512),
                        denselayer2=DenseLayer(544),
                        denselayer3=DenseLayer(576),
                        denselayer4=DenseLayer(608),
                        denselayer5=DenseLayer(640),
                        denselayer6=DenseLayer(672),
                        denselayer7=DenseLayer(704),
                        denselayer8=DenseLayer(736),
                        denselayer9=DenseLayer(768),
                        denselayer10=DenseLayer(800),
                        denselayer11=DenseLayer(832),
                        denselayer12=DenseLayer(864),
                        denselayer13=DenseLayer(896),
                        denselayer14=DenseLayer(928),
                        denselayer15=DenseLayer(960),
                        denselayer16=DenseLayer(992),
                    ),
                ),
                norm5=nn.BatchNorm2d(1024),
            ),
        )
        self.classifier = nn.Linear(1024, 1000)

    def forward(self, image):
        x = self.features(image)  # [N, 1024, 7, 7]
        x = F.relu(x)
        x = F.adaptive_avg_pool2d(x, 1)  # [N, 1024, 1, 1]
        x = x.flatten(1)  # [N, 1024]
        return self.classifier(x)  # [N, 1000]
