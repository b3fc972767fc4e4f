"""Sources of examples, one a file; `SOURCES` has all of them by name."""

from __future__ import annotations

from specdl.data.sources.base import DefaultSplit, Described, Source
from specdl.data.sources.cifar10 import Cifar10
from specdl.data.sources.corpus import Text, TextPairs
from specdl.data.sources.csv_table import Csv
from specdl.data.sources.datasets_hub import Datasets
from specdl.data.sources.digits import Digits
from specdl.data.sources.files import Files
from specdl.data.sources.idx import FashionMnist, Mnist
from specdl.data.sources.image_folder import ImageFolder
from specdl.data.sources.imagenet import Imagenet
from specdl.data.sources.jsonl import Jsonl
from specdl.data.sources.npz import Npz
from specdl.data.sources.pairs import Pairs
from specdl.data.sources.parallel_text import ParallelText
from specdl.data.sources.parquet import Parquet
from specdl.data.sources.torchvision_sets import Torchvision

SOURCES: dict[str, type[Source]] = {
    source.name: source
    for source in (
        Digits,
        ImageFolder,
        Imagenet,
        Csv,
        Files,
        Npz,
        Mnist,
        FashionMnist,
        Cifar10,
        Torchvision,
        Text,
        TextPairs,
        Jsonl,
        Pairs,
        ParallelText,
        Parquet,
        Datasets,
    )
}
"""Sources by their name in a spec."""

__all__ = ["SOURCES", "Cifar10", "DefaultSplit", "Described", "Digits", "Source", "Torchvision"]
