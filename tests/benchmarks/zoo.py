"""The models that benchmarks use: their specs and variants, and the same models of torchvision."""

from __future__ import annotations

from tests.benchmarks.harness import ROOT

CASES = "tests/cases/elaborate"
VISION = "specs/vision"

MODELS: dict[str, tuple[str, str | None]] = {
    **{f"resnet{depth}": (f"{VISION}/resnet.yaml", f"resnet{depth}") for depth in (18, 34, 50, 101, 152)},
    **{f"densenet{depth}": (f"{VISION}/densenet.yaml", f"densenet{depth}") for depth in (121, 161, 169, 201)},
    **{f"efficientnet_b{size}": (f"{VISION}/efficientnet.yaml", f"efficientnet_b{size}") for size in range(8)},
    **{f"vgg{depth}": (f"{VISION}/vgg.yaml", f"vgg{depth}") for depth in ("11", "16", "16_bn", "19")},
    **{name: (f"{VISION}/resnet.yaml", name) for name in ("wide_resnet50_2", "resnext50_32x4d")},
    **{name: (f"{VISION}/{name}.yaml", None) for name in ("alexnet", "googlenet", "mobilenet_v2")},
    **{f"convnext_{size}": (f"{CASES}/convnext_tiny.yaml", f"convnext_{size}") for size in ("tiny", "small", "base")},
    **{name: (f"specs/{name}.yaml", None) for name in ("digits_cnn", "lenet5", "mlp", "simple_cnn")},
}
"""Spec (from the project's root) and variant, by name; those of torchvision have its names."""

assert all((ROOT / path).exists() for path, _ in MODELS.values())
