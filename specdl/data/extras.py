"""Packages that only some data needs: imported when it is opened, with a clear error where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from specdl.diagnostics import Diagnostic, SpecError

_EXTRAS = {
    "torchvision": "vision",
    "cv2": "vision",
    "tokenizers": "text",
    "datasets": "data",
    "pyarrow": "data",
}


def require(module: str, what: str) -> Any:
    """A module that `what` needs. Raises `SpecError` where its package isn't installed."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        help = f"install it: pip install 'specdl[{_EXTRAS[package]}]'"
        raise SpecError([Diagnostic("E0536", f"{what} needs the package `{package}`", help=help)]) from error
