"""Small image files for the tests: the digits as files, and pictures in every way that files hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from specdl.data.sources import SOURCES
from specdl.ir.dims import BATCH, symbol
from specdl.ir.types import DType, TensorType


def digit_folder(root: Path, count: int, *, varied: bool = False) -> Path:
    """A folder of class folders with that many digits; `varied` ones have other sizes."""
    fields = SOURCES["digits"]().load()
    images, labels = fields.column("image"), fields.column("label")
    assert images is not None
    assert labels is not None
    for position in range(count):
        pixels = (images[position, 0] * 255).round().to(torch.uint8).numpy()
        image = Image.fromarray(pixels)
        if varied:
            image = image.resize((8 + position % 3, 8 + position % 4))
        folder = root / str(int(labels[position]))
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{position:04}.png")
    return root


def picture_type(channels: int, dtype: DType = "float32") -> TensorType:
    """The type of pictures of any size."""
    return TensorType((BATCH, channels, symbol("H"), symbol("W")), dtype)


def mask_type(dtype: DType = "int64") -> TensorType:
    """The type of masks of any size."""
    return TensorType((BATCH, symbol("H"), symbol("W")), dtype)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Random bytes."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
