"""Data sets that torchvision fetches."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from specdl.data.examples import Bad, Records, Stacked
from specdl.data.extras import require
from specdl.data.fields import Fields, FieldSpec
from specdl.data.images import Unreadable, is_image, to_tensor
from specdl.data.paths import FilePath
from specdl.data.sources.base import DefaultSplit, Source
from specdl.diagnostics import Diagnostic, SpecError, nearest
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError


@dataclass(frozen=True, slots=True)
class _Set:
    """What is known of a data set: its images, how many classes, and how torchvision is asked for each part."""

    shape: tuple[int | str, ...]
    classes: int
    parts: Mapping[str, Mapping[str, Any]]


_TRAIN: Mapping[str, Mapping[str, Any]] = {"train": {"train": True}, "test": {"train": False}}
_SPLITS: Mapping[str, Mapping[str, Any]] = {"train": {"split": "train"}, "test": {"split": "test"}}
_ANY = (3, "H", "W")

_SETS: dict[str, _Set] = {
    "MNIST": _Set((1, 28, 28), 10, _TRAIN),
    "FashionMNIST": _Set((1, 28, 28), 10, _TRAIN),
    "KMNIST": _Set((1, 28, 28), 10, _TRAIN),
    "CIFAR10": _Set((3, 32, 32), 10, _TRAIN),
    "CIFAR100": _Set((3, 32, 32), 100, _TRAIN),
    "SVHN": _Set((3, 32, 32), 10, _SPLITS),
    "STL10": _Set((3, 96, 96), 10, _SPLITS),
    "GTSRB": _Set(_ANY, 43, _SPLITS),
    "EuroSAT": _Set((3, 64, 64), 10, {"": {}}),
    "OxfordIIITPet": _Set(_ANY, 37, {"train": {"split": "trainval"}, "test": {"split": "test"}}),
    "Flowers102": _Set(
        _ANY, 102, {"train": {"split": "train"}, "validation": {"split": "val"}, "test": {"split": "test"}}
    ),
    "DTD": _Set(_ANY, 47, {"train": {"split": "train"}, "validation": {"split": "val"}, "test": {"split": "test"}}),
    "StanfordCars": _Set(_ANY, 196, _SPLITS),
    "FGVCAircraft": _Set(
        _ANY, 100, {"train": {"split": "train"}, "validation": {"split": "val"}, "test": {"split": "test"}}
    ),
    "Food101": _Set(_ANY, 101, _SPLITS),
    "Caltech101": _Set(_ANY, 101, {"": {}}),
}


def _known(value: Any) -> str:
    if isinstance(value, str) and value in _SETS:
        return value
    close = nearest(str(value), _SETS) or nearest(str(value).upper(), _SETS)
    words = f"`{close}`" if close else f"one of {', '.join(_SETS)}"
    raise PydanticCustomError("set", "expected a data set of torchvision: {words}", {"words": words})


Name = Annotated[str, PlainValidator(_known), WithJsonSchema({"enum": list(_SETS)})]


class Torchvision(Source):
    """A data set for classification that torchvision downloads: `torchvision:CIFAR10` for short.

    Its own parts are kept: its test images are the part `test`. It is downloaded once, into `root`.
    """

    name: ClassVar[str] = "torchvision"
    main: ClassVar[str | None] = "name"
    reference: ClassVar[str] = "https://docs.pytorch.org/vision/stable/datasets.html"
    default_split: ClassVar[DefaultSplit] = DefaultSplit(validation=0.1, stratify="label")

    set: Name = Field(alias="name", description="The data set, as torchvision calls its class.")
    root: FilePath = Field(default="data", validate_default=True, description="The folder to keep it in.")
    download: bool = Field(default=True, description="Whether to download it where it isn't there.")

    def with_fields(self, wanted: Fields) -> Self:
        for name, field in wanted.items():
            if name != "image" or not is_image(field.type):
                message = "of a data set of torchvision only the `image` can be declared, as `[1, H, W]` or `[3, H, W]`"
                raise TypeRuleError(message, argument=name)
        return self._with(wanted)

    def fields(self) -> Mapping[str, TensorType]:
        image = self._wanted.get("image", FieldSpec(shape=_SETS[self.set].shape))
        return {"image": image.type, "label": FieldSpec(shape=(), dtype="int64").type}

    def classes(self, field: str) -> tuple[str, ...] | None:
        return tuple(map(str, range(_SETS[self.set].classes))) if field == "label" else None

    def load(self) -> Stacked | Records:
        datasets = require("torchvision.datasets", f"the data source `torchvision:{self.set}`")
        opened = {part: self._open(datasets, options) for part, options in _SETS[self.set].parts.items()}
        return _Sets(opened, self.fields()["image"], _SETS[self.set].classes)

    def _open(self, datasets: Any, options: Mapping[str, Any]) -> Any:
        try:
            return getattr(datasets, self.set)(root=self.root, download=self.download, **options)
        except (OSError, RuntimeError) as error:  # no network, or a file that isn't what its checksum says
            message = f"torchvision can't get `{self.set}` into `{self.root}`: {str(error).strip().splitlines()[0]}"
            help = "download it where there is internet, and put it into `root` as torchvision does"
            raise SpecError([Diagnostic("E0537", message, help=help)]) from error


class _Sets:
    """Parts of a data set of torchvision as `Records`, one after another."""

    def __init__(self, sets: Mapping[str, Any], type: TensorType, classes: int) -> None:
        import torch

        self._type = type
        self.bad: Sequence[Bad] = ()
        self._examples = [(data, index) for data in sets.values() for index in range(len(data))]
        self._labels = torch.cat([torch.as_tensor(_labels(data)) for data in sets.values()]).to(torch.int64)
        self.parts: Mapping[str, torch.Tensor] | None = None
        if "" not in sets:
            ends = list(itertools.accumulate(len(data) for data in sets.values()))
            self.parts = {
                part: torch.arange(end - len(data), end) for (part, data), end in zip(sets.items(), ends, strict=True)
            }
        names: Sequence[Any] = getattr(next(iter(sets.values())), "classes", None) or ()
        self.classes = {"label": tuple(map(str, names if len(names) == classes else range(classes)))}

    def __len__(self) -> int:
        return len(self._examples)

    def get(self, position: int) -> dict[str, Any]:
        """One example. Raises `Unreadable`."""
        data, index = self._examples[position]
        try:
            image, _ = data[index]
        except (OSError, ValueError, SyntaxError) as error:
            raise Unreadable(f"is damaged: {error}") from error
        return {"image": to_tensor(image, self._type), "label": self._labels[position]}

    def keep(self, room: int) -> None:
        """What torchvision decodes is not kept."""

    def inspect(self, position: int) -> None:
        """torchvision checked the files."""

    def name(self, position: int) -> str:
        """What messages call an example."""
        data, index = self._examples[position]
        return f"{type(data).__name__}[{index}]"

    def column(self, field: str) -> Any:
        """The labels."""
        return self._labels if field == "label" else None

    def texts(self, field: str) -> None:
        """There is no text."""


def _labels(data: Any) -> Any:
    """The labels of a data set of torchvision, without decoding its images where it has them apart."""
    for name in ("targets", "labels", "_labels", "y"):
        found = getattr(data, name, None)
        if found is not None:
            return found
    samples = getattr(data, "_samples", None) or getattr(data, "samples", None)
    if samples is not None:
        return [label for _, label in samples]
    return [label for _, label in (data[index] for index in range(len(data)))]
