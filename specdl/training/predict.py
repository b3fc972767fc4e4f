"""Classifies image files with the trained network of a run.

A file becomes what the network was trained on: the channels and the size of the source's images, brightness in
[0, 1], and then the transforms that evaluation uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from specdl.diagnostics import Diagnostic, Diagnostics, SpecError
from specdl.ir.types import TensorType
from specdl.training.evaluate import load_network
from specdl.training.examples import require_data
from specdl.training.model import Model

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Guess:
    """A class with its probability."""

    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network says about a file: the likeliest classes, best first."""

    file: str
    top: tuple[Guess, ...]

    @property
    def label(self) -> str:
        """The likeliest class."""
        return self.top[0].label

    @property
    def probability(self) -> float:
        """Its probability."""
        return self.top[0].probability


def predict(model: Model, folder: Path, files: Sequence[str | Path], *, top: int = 3) -> list[Prediction]:
    """The likeliest classes of each image file.

    Raises `SpecError` that names every file that can't be read, with the reason, before anything is computed; and
    for a network that doesn't classify one image.
    """
    _, data = require_data(model.recipe)
    name, *others = [value.name for value in model.program.main.inputs if not value.optional]
    raw = data.raw.get(name)
    if others or raw is None or raw.rank != 4 or raw.shape[1] not in _MODES:
        message = f"`predict` reads images, but the inputs are {', '.join(f'`{name}`' for name in model.input_names)}"
        raise SpecError([Diagnostic("E0607", message)])
    images = _read_all(files, raw)
    network = load_network(model, folder)
    classes = next((found for field in data.raw if (found := data.source.classes(field))), None)
    generator = torch.Generator()
    predictions: list[Prediction] = []
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            rows = []
            for image in images[start : start + _BATCH]:
                fields = {name: image}
                for entry in data.transforms:
                    if entry.when.evaluation and entry.inputs == entry.outputs == (name,):
                        (fields[name],) = entry.transform.apply([fields[name]], generator, training=False)
                rows.append(fields[name])
            output = network(*[torch.cat(rows)])
            scores = output[-1] if isinstance(output, (tuple, list)) else output
            if scores.dim() != 2:
                shape = list(scores.shape)
                raise SpecError(
                    [Diagnostic("E0607", f"`predict` needs scores [N, classes], the network gives {shape}")]
                )
            for file, row in zip(files[start : start + _BATCH], _probabilities(scores), strict=True):
                best = row.topk(min(top, len(row)))
                guesses = zip(best.indices.tolist(), best.values.tolist(), strict=True)
                predictions.append(
                    Prediction(
                        str(file), tuple(Guess(classes[at] if classes else str(at), value) for at, value in guesses)
                    )
                )
    return predictions


def _probabilities(scores: torch.Tensor) -> torch.Tensor:
    """Softmax of logits or log-probabilities; scores that are probabilities already stay."""
    if bool((scores >= 0).all()) and torch.allclose(scores.sum(1), scores.new_ones(len(scores)), atol=1e-4):
        return scores
    return scores.float().softmax(1)


def _read_all(files: Sequence[str | Path], type: TensorType) -> list[torch.Tensor]:
    diagnostics = Diagnostics()
    images: list[torch.Tensor] = []
    for file in files:
        try:
            images.append(read_image(Path(file), type))
        except (OSError, ValueError, SyntaxError) as error:  # Pillow raises SyntaxError for broken PNG chunks
            diagnostics.add("E0608", f"can't read the image `{file}`: {_reason(Path(file), error)}")
    diagnostics.raise_if_failed()
    return images


def _reason(path: Path, error: Exception) -> str:
    if not path.exists():
        return "there is no such file"
    if path.is_dir():
        return "it is a folder"
    if path.stat().st_size == 0:
        return "it is empty"
    if type(error).__name__ == "UnidentifiedImageError":
        return "it is no image that Pillow knows"
    return str(error)


def read_image(path: Path, type: TensorType) -> torch.Tensor:
    """An image file as `[1, C, H, W]` in [0, 1], with the channels and (where it has numbers) the size of `type`."""
    import warnings

    import numpy as np
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as opened:
                image = opened.convert(_MODES[int(type.shape[1])])  # type: ignore[arg-type]
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise ValueError("it has too many pixels") from error
    height, width = type.shape[2:]
    if isinstance(height, int) and isinstance(width, int) and image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    array = np.asarray(image, dtype=np.float32) / 255
    tensor = torch.from_numpy(array if array.ndim == 3 else array[..., None])
    return tensor.permute(2, 0, 1).unsqueeze(0).contiguous()
