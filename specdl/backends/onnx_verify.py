"""Compares an ONNX file with the PyTorch module that it was made from, by running both.

Random inputs at two batch sizes, and at two values of every other symbolic size: what was frozen by
mistake shows there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from specdl.diagnostics import Diagnostic, SpecError
from specdl.ir.dims import evaluate, symbols_of
from specdl.ir.program import Program
from specdl.ir.types import TensorType
from specdl.ops.embedding import Embedding

TOLERANCE = 1e-4
"""The largest difference, relative to the largest number of an output.

Float32 holds about seven digits. ONNX Runtime fuses layers and adds in another order than PyTorch, which in
networks of some hundred layers costs up to three of them; a wrong weight or attribute costs all of them.
"""


@dataclass(frozen=True, slots=True)
class Verification:
    """An export: `max_abs_error` over all outputs and sizes (None where it was not verified)."""

    path: str
    opset: int
    nodes: int
    max_abs_error: float | None
    verified: bool
    sizes: tuple[Mapping[str, int], ...]


def verify_onnx(path: str | Path, module: nn.Module, program: Program) -> tuple[float, tuple[Mapping[str, int], ...]]:
    """The largest absolute difference between file and module, and the sizes that were compared.

    Raises `SpecError` past the tolerance, or when ONNX Runtime refuses the file.
    """
    try:
        onnx.checker.check_model(str(path), full_check=True)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise SpecError([Diagnostic("E0801", f"ONNX Runtime refuses the exported model: {error}")]) from error
    sizes = _sizes(program)
    was_training = module.training
    module.eval()
    worst = 0.0
    try:
        for index, known in enumerate(sizes):
            worst = max(worst, _compare(session, module, program, known, seed=index))
    finally:
        module.train(was_training)
    return worst, sizes


def _sizes(program: Program) -> tuple[dict[str, int], ...]:
    """Two batch sizes, and two values of every other symbol."""
    symbols = sorted(symbols_of(dim for value in program.main.inputs for dim in value.type.shape) - {"N"})
    first = {"N": 1, **{name: 5 + index for index, name in enumerate(symbols)}}
    second = {"N": 3, **{name: 9 + 2 * index for index, name in enumerate(symbols)}}
    return first, second


def _compare(
    session: onnxruntime.InferenceSession, module: nn.Module, program: Program, sizes: Mapping[str, int], seed: int
) -> float:
    generator = torch.Generator().manual_seed(seed)
    rows = _rows(program)
    inputs = {value.name: _random(value.type, sizes, rows, generator) for value in program.main.inputs}
    # Where one session and one module use the same numbers, only the arithmetic can differ.
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    with torch.no_grad():
        expected = module(*(value.to(device) for value in inputs.values()))
    references = [expected] if isinstance(expected, Tensor) else list(expected)
    found = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    worst = 0.0
    for output, reference, actual in zip(session.get_outputs(), references, found, strict=True):
        worst = max(worst, _difference(output.name, reference.cpu().numpy(), actual, sizes))
    return worst


def _difference(name: str, expected: Any, actual: Any, sizes: Mapping[str, int]) -> float:
    """The largest absolute difference. Raises `SpecError` past the tolerance."""
    at = ", ".join(f"{symbol}={size}" for symbol, size in sizes.items())
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        kinds = f"{actual.dtype}{list(actual.shape)} instead of {expected.dtype}{list(expected.shape)}"
        raise SpecError([Diagnostic("E0802", f"the exported output `{name}` is {kinds} at {at}")])
    if not expected.size:
        return 0.0
    if not np.issubdtype(expected.dtype, np.floating):
        if (expected != actual).any():
            raise SpecError([Diagnostic("E0802", f"the exported output `{name}` differs from PyTorch's at {at}")])
        return 0.0
    error = float(np.nanmax(np.abs(expected - actual), initial=0.0))
    scale = max(1.0, float(np.nanmax(np.abs(expected), initial=0.0)))
    same_holes = bool((np.isnan(expected) == np.isnan(actual)).all())
    if not same_holes or not error <= TOLERANCE * scale:
        message = f"the exported output `{name}` differs from PyTorch's by {error:.3g} at {at}"
        help = "please report this with the spec; the file was not written"
        raise SpecError([Diagnostic("E0802", message, help=help)])
    return error


def _random(type: TensorType, sizes: Mapping[str, int], rows: int, generator: torch.Generator) -> Tensor:
    shape = [int(str(evaluate(dim, sizes))) for dim in type.shape]
    if type.dtype == "bool":
        return torch.rand(shape, generator=generator) < 0.7
    if not type.floating:
        return torch.randint(0, rows, shape, generator=generator).to(getattr(torch, type.dtype))
    return torch.randn(shape, generator=generator).to(getattr(torch, type.dtype))


def _rows(program: Program) -> int:
    """A bound for integer inputs: the rows of the smallest embedding, else a small number."""
    found = [
        node.callee.num_embeddings
        for function in program.functions.values()
        for node in function.nodes
        if isinstance(node.callee, Embedding)
    ]
    return min(found, default=8)
