"""Compares an ONNX file with the PyTorch module that it was made from, by running both.

Random inputs at two batch sizes, and at two values of every other symbolic size: what was frozen by
mistake shows there. An output that draws random numbers is compared in shape and dtype only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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

EPSILONS = 16
"""Where a dtype's own precision is coarser (float16), as many of its last digits may differ."""

DISCRETE = 1e-3
"""The share of an integer or boolean output that may differ: `argmax` over a large image meets near ties, which
the last digit decides. A wrong weight or attribute changes far more."""

_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}

Sizes = Mapping[str, int]
"""The values of the symbols; `N` is the batch."""


@dataclass(frozen=True, slots=True)
class Verification:
    """An export: `max_abs_error` over all outputs and sizes, None where it was not verified (or all is random)."""

    path: str
    opset: int
    nodes: int
    max_abs_error: float | None
    verified: bool
    sizes: tuple[Sizes, ...]


def verify_onnx(
    path: str | Path, module: nn.Module, program: Program, inputs: Sequence[str] | None = None
) -> tuple[float | None, tuple[Sizes, ...]]:
    """The largest absolute difference between file and module, and the sizes that were compared.

    `inputs` are those of the module, where the program has no longer all of them: these are optional. None where every
    output draws random numbers. Raises `SpecError` past the tolerance, or when PyTorch or ONNX Runtime can't run the
    model.
    """
    try:
        onnx.checker.check_model(str(path), full_check=True)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise SpecError([Diagnostic("E0801", f"ONNX Runtime refuses the exported model: {error}")]) from error
    random = random_outputs(onnx.load(path, load_external_data=False).graph)
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        cases = _cases(module, program, inputs or [value.name for value in program.main.inputs])
        errors = [error for case in cases for error in _compare(session, case, random)]
    finally:
        for part, training in modes.items():
            part.training = training
    return max(errors, default=None), tuple(case.sizes for case in cases)


def random_outputs(graph: onnx.GraphProto) -> set[str]:
    """The outputs that depend on random numbers."""
    drawn: set[str] = set()
    for node in graph.node:
        if node.op_type in _RANDOM or drawn.intersection(node.input):
            drawn.update(node.output)
    return drawn.intersection(output.name for output in graph.output)


@dataclass(frozen=True, slots=True)
class _Case:
    """Random inputs of one size, and what PyTorch makes of them."""

    sizes: Sizes
    inputs: Mapping[str, Any]
    outputs: Sequence[Any]


def _cases(module: nn.Module, program: Program, names: Sequence[str]) -> list[_Case]:
    """Two batch sizes and two values of every other symbol: the first pair that the module can take.

    A convolution needs more rows than its kernel, a table of positions has an end.
    """
    dims = [dim for value in program.main.inputs for dim in value.type.shape]
    bounds = {atom: (getattr(atom, "low", None), getattr(atom, "high", None)) for atom in symbols_of(dims) - {"N"}}
    pairs = _pairs(bounds)
    first: tuple[Exception, Sizes] | None = None
    for pair in pairs:
        cases: list[_Case] = []
        for seed, lengths in enumerate(pair):
            sizes = {"N": 1 + 2 * seed, **lengths}
            try:
                cases.append(_case(module, program, names, sizes, seed))
            except Exception as error:  # noqa: BLE001 - whatever PyTorch raises on sizes that don't fit
                first = first or (error, sizes)
                break
        else:
            return cases
    assert first is not None
    reason, where = first
    declared = len(pairs) == 1 and len(where) > 1
    message = f"PyTorch can't run the model to compare with at {_listing(where)}: {reason}"
    help = "narrow the bounds under `sizes`" if declared else "export without verifying if this is meant"
    raise SpecError([Diagnostic("E0805", message, help=help)]) from reason


def _pairs(bounds: Mapping[str, tuple[int | None, int | None]]) -> list[tuple[dict[str, int], dict[str, int]]]:
    """Two values for each symbol, to be tried in turn; of declared sizes those at their bounds, as far as that pays."""
    found: list[tuple[dict[str, int], dict[str, int]]] = []
    declared = {name: _within(low, high) for name, (low, high) in bounds.items() if low is not None}
    free = sorted(set(bounds) - set(declared))
    for first, second in _PAIRS if free else _PAIRS[:1]:
        small = {name: first(place) for place, name in enumerate(free)}
        large = {name: second(place) for place, name in enumerate(free)}
        for name, (least, most) in declared.items():
            small[name], large[name] = least, most
        found.append((small, large))
    return found


MOST_VERIFIED = 512
"""A longer sequence tells nothing more, and attention takes its square."""


def _within(low: int, high: int | None) -> tuple[int, int]:
    """The least value of a declared size, and the most or something well above the least."""
    beyond = 2 * low + 7
    if high is None or (high > MOST_VERIFIED and beyond < high):
        return low, beyond
    return low, high


_PAIRS: tuple[tuple[Callable[[int], int], Callable[[int], int]], ...] = (
    (lambda place: 5 + place, lambda place: 9 + 2 * place),
    (lambda place: 8 * (place + 2), lambda place: 8 * (place + 3)),
    (lambda place: 64 * (place + 1), lambda place: 64 * (place + 2)),
    (lambda place: 2 + place, lambda place: 3 + place),
    (lambda place: 256 + place, lambda place: 300 + place),
    (lambda place: 1024 * (place + 1), lambda place: 1280 * (place + 1)),
    (lambda place: 8000 * (place + 1), lambda place: 9600 * (place + 1)),
)
"""Sizes of the symbol at a position: odd ones, multiples of 8 and 64, small, large, and half a second of sound."""


def _case(module: nn.Module, program: Program, names: Sequence[str], sizes: Sizes, seed: int) -> _Case:
    generator = torch.Generator().manual_seed(seed)
    rows = _rows(program)
    inputs = {value.name: _random(value.type, sizes, rows, generator) for value in program.main.inputs}
    device = next((tensor.device for tensor in (*module.parameters(), *module.buffers())), torch.device("cpu"))
    with torch.no_grad():
        made = module(*(inputs[name].to(device) if name in inputs else None for name in names))
    outputs = [made] if isinstance(made, Tensor) else list(made)
    return _Case(
        sizes,
        {name: value.numpy() for name, value in inputs.items()},
        [value.detach().cpu().numpy() for value in outputs],  # a parameter may be an output,
    )


def _compare(session: onnxruntime.InferenceSession, case: _Case, random: set[str]) -> Iterator[float]:
    """The differences of the outputs at one size. Raises `SpecError` past the tolerance."""
    try:
        found = session.run(None, case.inputs)
    except Exception as error:
        message = f"ONNX Runtime can't run the exported model at {_listing(case.sizes)}: {error}"
        raise SpecError([Diagnostic("E0801", message)]) from error
    for output, expected, actual in zip(session.get_outputs(), case.outputs, found, strict=True):
        if expected.shape != actual.shape or expected.dtype != actual.dtype:
            kinds = f"{actual.dtype}{list(actual.shape)} instead of {expected.dtype}{list(expected.shape)}"
            raise _differs(f"is {kinds}", output.name, case.sizes)
        if output.name not in random:
            yield _difference(output.name, expected, actual, case.sizes)


def _difference(name: str, expected: Any, actual: Any, sizes: Sizes) -> float:
    """The largest absolute difference of two arrays of one shape. Raises `SpecError` past the tolerance."""
    if not np.issubdtype(expected.dtype, np.floating):
        if np.count_nonzero(expected != actual) > DISCRETE * expected.size:
            raise _differs("differs from PyTorch's", name, sizes)
        return 0.0
    finite = np.isfinite(expected)
    # Infinities and NaN must stand where PyTorch has them; they say nothing about the size of the other numbers.
    if not np.array_equal(expected[~finite], actual[~finite], equal_nan=True) or not np.isfinite(actual[finite]).all():
        raise _differs("has infinities or NaN where PyTorch has none, or the other way round,", name, sizes)
    wide = expected[finite].astype(np.float64)
    error = float(np.abs(wide - actual[finite]).max(initial=0.0))
    scale = max(1.0, float(np.abs(wide).max(initial=0.0)))
    if error > max(TOLERANCE, EPSILONS * float(np.finfo(expected.dtype).eps)) * scale:
        raise _differs(f"differs from PyTorch's by {error:.3g}", name, sizes)
    return error


def _differs(what: str, name: str, sizes: Sizes) -> SpecError:
    message = f"the exported output `{name}` {what} at {_listing(sizes)}"
    return SpecError([Diagnostic("E0802", message, help="please report this with the spec; the file was not written")])


def _listing(sizes: Sizes) -> str:
    return ", ".join(f"{symbol}={size}" for symbol, size in sizes.items())


def _random(type: TensorType, sizes: Sizes, rows: int, generator: torch.Generator) -> Tensor:
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
