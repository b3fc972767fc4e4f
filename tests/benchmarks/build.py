"""A spec becomes an `nn.Module`, beside torchvision's constructor of the same model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from tests.benchmarks.harness import Numbers, Side, compare
from tests.benchmarks.report import Promise, Topic, at_most, milliseconds, show
from tests.benchmarks.zoo import MODELS

NAMES = ("resnet18", "resnet50", "densenet121")

TIMES = 5


def run(quick: bool) -> Topic:
    """The first module of a process, later ones, and what the numbers of the weights cost in them."""
    promises: list[Promise] = []
    rows: list[list[str]] = []
    for name in NAMES[:1] if quick else NAMES:
        sides = [Side("specdl", ours, {"name": name}), Side("torchvision", theirs, {"name": name})]
        found = compare(sides, 1 if quick else 4, title=f"build {name}")
        promises.append(at_most(f"spec → `nn.Module`, {name}, against torchvision", 1.1, found.ratio(*PAIR, "again")))
        for number, title in (
            ("first", "first in the process"),
            ("again", "later"),
            ("meta", "later, without numbers"),
        ):
            both = [milliseconds(found.spread(side, number)) for side in PAIR]
            rows.append([name, title, *both, show(found.ratio(*PAIR, number), "×")])
        rows.append([name, "of that, reading and compiling", milliseconds(found.spread("specdl", "compile")), "", ""])
    return Topic(
        "From a spec to a module",
        "specdl's time is everything: reading the YAML file, compiling it, writing the source, executing it, and "
        "constructing the module with its initial weights. Both sides have imported torch and their library before. "
        "The promise is judged on later modules of a process; the first one includes what is imported when needed. "
        "*Without numbers* constructs on the meta device, where no weights are drawn.",
        promises,
        ["model", "", "specdl", "torchvision", "specdl against torchvision"],
        rows,
        [
            "Drawing initial weights is most of the time of either side, and not the same work: torchvision draws "
            "PyTorch's initial weights and then its own over them, the spec asks for PyTorch's alone."
        ],
    )


PAIR = ("specdl", "torchvision")


def ours(name: str) -> Numbers:
    """Seconds from the file to the module."""
    import specdl.api
    import specdl.backends.torch_load

    path, variant = MODELS[name]

    def make() -> Any:
        return specdl.api.load(path, variant).module()

    compile = _later(lambda: specdl.api.load(path, variant).program)
    return {**_timed(make), "compile": compile}


def theirs(name: str) -> Numbers:
    """Seconds of torchvision's constructor."""
    import torchvision

    make = getattr(torchvision.models, name)
    return _timed(lambda: make(weights=None))


def _timed(make: Callable[[], Any]) -> Numbers:
    import torch

    first = _once(make)
    again = _later(make)
    with torch.device("meta"):
        return {"first": first, "again": again, "meta": _later(make)}


def _later(make: Callable[[], Any]) -> float:
    return statistics.median(_once(make) for _ in range(TIMES))


def _once(make: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    make()
    return time.perf_counter() - begin
