"""specdl: write a neural network as YAML, get a checked graph, PyTorch, ONNX and a diagram from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from specdl.api import Model, load, train
    from specdl.diagnostics import Diagnostic, SpecError

__all__ = ["Diagnostic", "Model", "SpecError", "__version__", "load", "train"]

_HOMES = {
    "Model": "specdl.api",
    "load": "specdl.api",
    "train": "specdl.api",
    "Diagnostic": "specdl.diagnostics",
    "SpecError": "specdl.diagnostics",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `import specdl` costs nothing."""
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'specdl' has no attribute '{name}'")
