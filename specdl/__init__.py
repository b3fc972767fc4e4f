"""specdl: write a neural network as YAML, get a checked graph, PyTorch, ONNX and a diagram from it."""

from __future__ import annotations

__version__ = "0.1.0"
