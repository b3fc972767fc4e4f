"""Writing ONNX from the IR, beside `torch.onnx.export`, which traces the same module."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.harness import Numbers, Side, compare
from tests.benchmarks.report import Promise, Topic, at_least, milliseconds, show
from tests.benchmarks.zoo import MODELS

NAMES = ("resnet18", "resnet50")


def run(quick: bool) -> Topic:
    """The first export of a process, which is what a user waits for, and the next one."""
    promises: list[Promise] = []
    rows: list[list[str]] = []
    for name in NAMES[:1] if quick else NAMES:
        sides = [Side("specdl", ours, {"name": name}), Side("torch.onnx.export", theirs, {"name": name})]
        found = compare(sides, 1 if quick else 3, title=f"export {name}")
        for number, title in (("first", "first in the process"), ("again", "next")):
            faster = found.ratio("torch.onnx.export", "specdl", number)
            promises.append(at_least(f"export, {name}, {title}, faster than torch.onnx.export by", 10, faster))
            both = [milliseconds(found.spread(side.name, number)) for side in sides]
            rows.append([name, title, *both, show(faster, "×")])
        rows.append([name, "reading and compiling the spec", milliseconds(found.spread("specdl", "compile")), "", ""])
    return Topic(
        "ONNX export",
        "From a module in memory to a file with a dynamic batch, without verification (which `specdl export` does "
        "unless told otherwise, and `torch.onnx.export` doesn't unless asked). `torch.onnx.export` is called with "
        "`dynamo=True` and otherwise its defaults. Both sides have imported everything before. specdl writes from the "
        "compiled spec, which it has whenever there is a module; the time for that has its own line.",
        promises,
        ["model", "", "specdl", "torch.onnx.export", "specdl faster by"],
        rows,
    )


def ours(name: str) -> Numbers:
    """Seconds of our export, and of the compilation before it."""
    import specdl.api
    import specdl.backends.onnx_verify  # imports ONNX Runtime, which an export that isn't verified doesn't run
    from specdl.backends.onnx import export_onnx

    path, variant = MODELS[name]
    specdl.api.load(path, variant)  # what is imported when needed
    begin = time.perf_counter()
    model = specdl.api.load(path, variant)
    compile = time.perf_counter() - begin
    module = model.module().eval()
    return {**_twice(lambda file: export_onnx(model.program, module, file, verify=False)), "compile": compile}


def theirs(name: str) -> Numbers:
    """Seconds of `torch.onnx.export`."""
    import onnxscript  # noqa: F401 - imported by the first export otherwise

    import specdl

    model = specdl.load(*MODELS[name])
    module = model.module().eval()
    return _twice(lambda file: torch_export(module, file))


def torch_export(module: Any, file: Path) -> None:
    """PyTorch's exporter, for one image of 224 × 224 pixels and a dynamic batch."""
    import torch

    batch = torch.export.Dim("batch", min=1)
    # Two images, since a batch of one would be taken for a constant.
    example = torch.randn(2, 3, 224, 224)
    torch.onnx.export(module, (example,), file, dynamo=True, dynamic_shapes=({0: batch},))


def _twice(export: Callable[[Path], object]) -> Numbers:
    found: Numbers = {}
    for number in ("first", "again"):
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            export(Path(folder) / "model.onnx")
            found[number] = time.perf_counter() - begin
    return found
