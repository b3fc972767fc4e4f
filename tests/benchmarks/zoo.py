"""The models that benchmarks use: their specs and variants, and the same models of torchvision."""

from __future__ import annotations

from tests.benchmarks.harness import ROOT

CASES = "tests/cases/elaborate"

MODELS: dict[str, tuple[str, str | None]] = {
    **{f"resnet{depth}": ("specs/resnet.yaml", f"resnet{depth}") for depth in (18, 34, 50, 101, 152)},
    **{f"densenet{depth}": (f"{CASES}/densenet121.yaml", f"densenet{depth}") for depth in (121, 161, 169, 201)},
    **{f"efficientnet_b{size}": (f"{CASES}/efficientnet.yaml", f"efficientnet_b{size}") for size in range(8)},
    **{f"convnext_{size}": (f"{CASES}/convnext_tiny.yaml", f"convnext_{size}") for size in ("tiny", "small", "base")},
    "googlenet": (f"{CASES}/googlenet.yaml", None),
    **{name: (f"specs/{name}.yaml", None) for name in ("digits_cnn", "lenet5", "mlp", "simple_cnn")},
}
"""Spec (from the project's root) and variant, by name; those of torchvision have its names."""

assert all((ROOT / path).exists() for path, _ in MODELS.values())
