"""What a trained network needs to be used on files: how an image becomes its input, and what its output means.

It is the part of a spec's data that evaluation decides, with the names of the classes as the data had them: a run
keeps it beside its checkpoints, an ONNX file in its metadata, so that neither needs the data or the spec.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from specdl.data.fields import FieldSpec
from specdl.data.images import is_image, read_image
from specdl.data.pipeline import Step
from specdl.data.transforms import TRANSFORMS
from specdl.data.transforms.base import Transform, Unchanged
from specdl.data.transforms.geometry import scaled
from specdl.data.transforms.numbers import Normalize
from specdl.ir.types import TensorType

if TYPE_CHECKING:
    import torch

FILE = "inference.json"
"""Its name in the folder of a run."""

KEY = "specdl.inference"
"""Its name in the metadata of an ONNX file."""

VERSION = 1

Kind = Literal["classes", "numbers", "mask", "values"]


@dataclass(frozen=True, slots=True)
class Inference:
    """How an image file becomes the input of a network, and what the output means.

    `field` is the type in a batch of the image as it is read, under the name `source`; the `steps` make the
    network's `input` of it. The output is scores of `classes`, plain `numbers` (regression), a `mask`, or other
    `values`.
    """

    input: str
    source: str
    field: TensorType
    steps: tuple[Step, ...]
    kind: Kind
    classes: tuple[str, ...] | None = None

    def read(self, path: str | Path) -> torch.Tensor:
        """A file as an input with a batch of one. Raises `Unreadable`."""
        import torch

        height, width = self.field.shape[-2:]
        anything = FieldSpec(shape=(*_sizes(self.field)[:-2], "H", "W"), dtype=self.field.dtype).type
        image = read_image(path, anything)[None]
        if isinstance(height, int) and isinstance(width, int):
            # The network was trained on images of one size; any other is brought to it.
            image = scaled(image, (height, width))
        fields: dict[str, Any] = {self.source: image}
        for step in self.steps:
            step.run(fields, torch.Generator())
        found: torch.Tensor = fields[self.input]
        return found

    def as_json(self) -> dict[str, Any]:
        """Plain data, from which `from_json` makes it again."""
        found: dict[str, Any] = {
            "version": VERSION,
            "input": self.input,
            "source": self.source,
            "shape": _sizes(self.field),
            "dtype": self.field.dtype,
            "transforms": [
                {
                    "transform": step.transform.name,
                    "inputs": list(step.inputs),
                    "outputs": list(step.outputs),
                    "arguments": step.transform.recorded(),
                }
                for step in self.steps
            ],
            "output": self.kind,
        }
        return found if self.classes is None else {**found, "classes": list(self.classes)}

    def text(self) -> str:
        """`as_json` as the text of a file."""
        lines = (
            f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in self.as_json().items()
        )
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def files(self) -> dict[str, str]:
        """The texts of further files that it needs: none."""
        return {}

    def check_place(self, path: Path) -> None:
        """There is nothing beside an exported file that could be in the way."""

    def metadata(self) -> dict[str, str]:
        """The same as texts for the metadata of an ONNX file, and under plain names for other programs."""
        found = {KEY: json.dumps(self.as_json(), ensure_ascii=False)}
        if self.classes is not None:
            found["classes"] = json.dumps(list(self.classes), ensure_ascii=False)
        for step in self.steps:
            if isinstance(step.transform, Normalize) and step.outputs == (self.input,):
                mean, std = step.transform.numbers()
                found |= {"mean": json.dumps(mean), "std": json.dumps(std)}
        return found


def from_json(data: Any) -> Inference:
    """The inverse of `Inference.as_json`. Raises `ValueError` for anything else."""
    try:
        if data["version"] != VERSION:
            raise ValueError(f"it has version {data['version']}, this program reads {VERSION}")
        field = FieldSpec(shape=tuple(data["shape"]), dtype=data["dtype"]).type
        steps = [
            Step(transform_of(item["transform"], item["arguments"]), tuple(item["inputs"]), tuple(item["outputs"]))
            for item in data["transforms"]
        ]
        classes = None if data.get("classes") is None else tuple(map(str, data["classes"]))
        found = Inference(data["input"], data["source"], field, tuple(steps), data["output"], classes)
    except (KeyError, TypeError, ValidationError) as error:
        raise ValueError(f"it lacks, or holds a wrong, {error}") from error
    if not is_image(field) or not all(isinstance(name, str) for name in (found.input, found.source)):
        raise ValueError("it describes no image")
    return found


def transform_of(name: str, arguments: Mapping[str, Any]) -> Any:
    """A transform from its recorded arguments. Raises `ValueError` for an unknown one."""
    known: dict[str, type[Transform]] = {**TRANSFORMS, Unchanged.name: Unchanged}
    if name not in known:
        raise ValueError(f"this program has no transform `{name}`")
    # JSON has lists where the classes, which are strict, have tuples.
    return known[name].model_validate(
        {key: tuple(item) if isinstance(item, list) else item for key, item in arguments.items()}
    )


def _sizes(type: TensorType) -> tuple[int | str, ...]:
    return tuple(size if isinstance(size, int) else str(size) for size in type.shape[1:])


def steps_for(target: str, steps: Sequence[Step]) -> tuple[tuple[Step, ...], set[str]]:
    """Those of some steps that make a field, each without the fields that it is not made of; and the fields behind all.

    A transform that changes several fields alike (an image and its mask) changes each by itself in evaluation.
    """
    needed, found = {target}, []
    for step in reversed(steps):
        if not needed.intersection(step.outputs):
            continue
        inputs, outputs = step.inputs, step.outputs
        if len(inputs) == len(outputs):
            pairs = [pair for pair in zip(inputs, outputs, strict=True) if pair[1] in needed]
            inputs, outputs = tuple(name for name, _ in pairs), tuple(name for _, name in pairs)
        needed = (needed - set(outputs)) | set(inputs)
        found.append(Step(step.transform, inputs, outputs))
    return tuple(reversed(found)), needed
