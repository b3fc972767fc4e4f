"""What a compiled spec, a run or an ONNX file says of how its network is used on image files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from specdl.analysis.soft_labels import soft_labels
from specdl.data.images import is_image
from specdl.data.inference import FILE, KEY, Inference, Kind, from_json, steps_for
from specdl.diagnostics import Diagnostic, SpecError
from specdl.ir.types import TensorType
from specdl.spec.label import label_field
from specdl.training.examples import open_pipeline
from specdl.training.model import Model
from specdl.training.run_folder import write_atomically


def inference_of(model: Model, classes: Mapping[str, tuple[str, ...]] | None = None) -> Inference | None:
    """How the network of a spec is used on images; None where the spec doesn't say, or its input is no image.

    `classes` are the names that the data has; those that the spec knows unless given.
    """
    data = None if model.recipe is None else model.recipe.data
    if data is None or len(model.required_inputs) != 1:
        return None
    (target,) = model.required_inputs
    steps, sources = steps_for(target, open_pipeline(data).evaluation)
    if len(sources) != 1:
        return None
    (source,) = sources
    if source not in data.raw or not is_image(data.raw[source]):
        return None
    label = label_field(model.input_names, data.fields)
    names = {**{name: found for name in data.raw if (found := data.source.real_classes(name))}, **(classes or {})}
    named = names.get(label) if label is not None else None
    scored = named is not None or label in soft_labels(model.program)
    kind = _kind(data.fields.get(label) if label is not None else None, scored)
    return Inference(target, source, data.raw[source], steps, kind, named)


def _kind(label: TensorType | None, scored: bool) -> Kind:
    """What a network puts out that is compared with such a field; `scored` where that is known to be classes."""
    if label is not None and label.rank > 2:
        return "mask" if label.rank in {3, 4} else "values"
    if scored or label is None or (label.rank == 1 and not label.floating):
        return "classes"
    return "numbers"


def keep_inference(folder: Path, inference: Inference | None) -> None:
    """Writes it into the folder of a run."""
    if inference is not None:
        write_atomically(folder / FILE, inference.text())


def inference_of_run(model: Model, folder: Path) -> Inference | None:
    """What a run kept; what its spec says where it kept nothing. Raises `SpecError` where it is damaged."""
    path = folder / FILE
    if not path.exists():
        return inference_of(model)
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise _damaged(str(path), error) from error


def inference_of_onnx(metadata: Mapping[str, Any], path: str | Path) -> Inference:
    """What an ONNX file's metadata says. Raises `SpecError` where it says nothing, or is damaged."""
    if KEY not in metadata:
        message = f"`{path}` doesn't say how an image becomes its input, and what its output means"
        help = "export it with `specdl export` from a run, or from a spec that has `data`"
        raise SpecError([Diagnostic("E0620", message, help=help)])
    try:
        return from_json(json.loads(metadata[KEY]))
    except ValueError as error:
        raise _damaged(f"{path}: {KEY}", error) from error


def _damaged(what: str, error: Exception) -> SpecError:
    return SpecError([Diagnostic("E0621", f"`{what}` can't be used: {error}", help="export or train again")])
