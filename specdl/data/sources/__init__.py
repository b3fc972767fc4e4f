"""Sources of examples, one a file; `SOURCES` has all of them by name."""

from __future__ import annotations

from specdl.data.sources.base import DefaultSplit, Source
from specdl.data.sources.cifar10 import Cifar10
from specdl.data.sources.digits import Digits

SOURCES: dict[str, type[Source]] = {source.name: source for source in (Digits, Cifar10)}
"""Sources by their name in a spec."""

__all__ = ["SOURCES", "Cifar10", "DefaultSplit", "Digits", "Source"]
