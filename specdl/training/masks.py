"""A predicted mask as an image file."""

from __future__ import annotations

from pathlib import Path

import torch

from specdl.diagnostics import Diagnostic, SpecError
from specdl.files import replacing
from specdl.training.predict import Prediction


def mask_of(scores: torch.Tensor) -> torch.Tensor:
    """The mask that scores `[C, H, W]` (or `[H, W]`) mean, in bytes.

    Several classes give the index of the best one; a single one gives 255 where it is likelier than not, its scores
    being logits or, where none is below 0 or above 1, probabilities.
    """
    if scores.dim() == 3 and len(scores) > 1:
        return scores.argmax(0).to(torch.uint8)
    probabilities = bool((scores >= 0).all()) and bool((scores <= 1).all())
    return (scores.reshape(scores.shape[-2:]) > (0.5 if probabilities else 0.0)).to(torch.uint8) * 255


def write_mask(prediction: Prediction, folder: Path) -> Path:
    """Writes the mask of a file as a PNG of its name. Raises `SpecError` for an output that is no mask."""
    from PIL import Image

    if prediction.output.dim() not in {2, 3} or (prediction.output.dim() == 3 and len(prediction.output) > 256):
        message = f"a mask has scores [C, H, W], the network gives {list(prediction.output.shape)}"
        raise SpecError([Diagnostic("E0607", message)])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{Path(prediction.file).stem}.png"
    with replacing(path) as temporary:
        Image.fromarray(mask_of(prediction.output).numpy()).save(temporary, format="PNG")
    return path
