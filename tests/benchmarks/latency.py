"""How fast ONNX Runtime runs our file, beside the file that `torch.onnx.export` writes of the same module."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from tests.benchmarks.harness import Numbers, Side, compare, measure, say
from tests.benchmarks.report import Promise, Topic, at_most, milliseconds, show
from tests.benchmarks.zoo import MODELS

NAMES = ("resnet18", "resnet50")

BATCHES = (1, 8)

SECONDS = 1.0
"""How long one process runs each batch size, behind the warm-up."""


def run(quick: bool) -> Topic:
    """Both files hold the same weights; each process opens one of them."""
    promises: list[Promise] = []
    rows: list[list[str]] = []
    for name in NAMES[:1] if quick else NAMES:
        with tempfile.TemporaryDirectory() as folder:
            say(f"latency {name}: exporting")
            measure(Side("export", write_both, {"name": name, "folder": folder}))
            sides = [Side(side, session, {"file": f"{folder}/{side}.onnx"}) for side in PAIR]
            found = compare(sides, 1 if quick else 7, title=f"latency {name}")
        for batch in BATCHES:
            ratio = found.ratio(*PAIR, str(batch))
            promises.append(
                at_most(f"ONNX latency, {name}, batch {batch}, against torch.onnx.export's file", 1.0, ratio)
            )
            both = [milliseconds(found.spread(side, str(batch))) for side in PAIR]
            rows.append([name, str(batch), *both, show(ratio, "×")])
        rows.append([name, "open the file", *(milliseconds(found.spread(side, "open")) for side in PAIR), ""])
    return Topic(
        "ONNX Runtime",
        "The median time of `session.run` on images of 224 × 224 pixels with ONNX Runtime's defaults on the CPU, one "
        "session a process. Both files were written from the same module with the same weights.",
        promises,
        ["model", "batch", "specdl's file", "torch.onnx.export's file", "specdl against it"],
        rows,
    )


PAIR = ("specdl", "torch")


def write_both(name: str, folder: str) -> Numbers:
    """Writes `specdl.onnx` and `torch.onnx`."""
    import torch

    import specdl
    from tests.benchmarks.export import torch_export

    torch.manual_seed(0)
    model = specdl.load(*MODELS[name])
    module = model.module().eval()
    model.export_onnx(Path(folder) / "specdl.onnx", module, verify=False)
    torch_export(module, Path(folder) / "torch.onnx")
    return {}


def session(file: str) -> Numbers:
    """Seconds to open a file, and of a run at each batch size."""
    import numpy
    import onnxruntime

    begin = time.perf_counter()
    opened = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found = {"open": time.perf_counter() - begin}
    (value,) = opened.get_inputs()
    generator = numpy.random.default_rng(0)
    for batch in BATCHES:
        feed = {value.name: generator.random((batch, 3, 224, 224), dtype=numpy.float32)}
        for _ in range(3):
            opened.run(None, feed)
        times: list[float] = []
        while sum(times) < SECONDS or len(times) < 5:
            begin = time.perf_counter()
            opened.run(None, feed)
            times.append(time.perf_counter() - begin)
        found[str(batch)] = statistics.median(times)
    return found
