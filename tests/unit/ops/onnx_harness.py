"""Holds an operator's ONNX nodes against its PyTorch module, in ONNX Runtime.

A program of one node is exported and run at several sizes. Nothing here knows any operator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
import torch

from specdl.backends.onnx import OPSET, emit_onnx
from specdl.backends.torch_load import load_module
from specdl.diagnostics import Span
from specdl.ir.dims import evaluate, symbols_of
from specdl.ir.program import Function, Node, Program, Value
from specdl.ir.types import TensorType
from specdl.ir.verify import verify
from specdl.ops.base import Op
from specdl.passes import run_passes

HERE = Span("<test>", 1, 1, 1, 2)

TOLERANCE = 2e-5
"""One layer in float32: seven digits, of which sums over some hundred numbers in another order cost two."""


def program_of(op: Op, *types: TensorType | None) -> Program:
    """A program whose network is one node; an optional input of type None is left out."""
    given = [type for type in types if type is not None]
    outputs = op.infer(*given)
    names = tuple(f"output{index}" for index in range(len(outputs)))
    inputs = tuple(Value(f"input{index}", type) for index, type in enumerate(given))
    left = iter(inputs)
    ports = tuple(None if type is None else next(left).name for type in types)
    node = Node("layer", op, ports, names, outputs, HERE)
    function = Function("network", "network", "network", inputs, (node,), names, names, HERE)
    return run_passes(verify(Program("test", {"network": function}, {"model": "network"})))


def check_onnx(
    op: Op,
    *types: TensorType | None,
    sizes: Sequence[Mapping[str, int]] = ({"N": 2, "T": 5, "S": 4}, {"N": 3, "T": 7, "S": 2}),
    tolerance: float = TOLERANCE,
    rows: int = 5,
    opset: int = OPSET,
    positive: bool = False,
    masked: bool = False,
) -> onnx.ModelProto:
    """Outputs of ONNX Runtime equal those of PyTorch at all sizes; gives the model for further looks.

    Integer inputs are drawn below `rows`; `positive` draws floats above zero (logarithms, roots). Where `masked`,
    the first row of booleans is false throughout.
    """
    program = program_of(op, *types)
    torch.manual_seed(0)
    module = load_module(program).eval()
    stored = module.state_dict()
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point() and name in stored:
            buffer.data.uniform_(0.5, 1.5)
    for parameter in module.parameters():
        # Weights that begin as ones or zeros would hide what is left out.
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    state = {key: value.numpy() for key, value in module.state_dict().items()}
    model = emit_onnx(program, state, opset=opset)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save_model(model, path)
        onnx.checker.check_model(str(path), full_check=True)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    present = [type for type in types if type is not None]
    symbols = symbols_of(dim for type in present for dim in type.shape)
    for known in sizes if symbols else sizes[:1]:
        given = [_random(type, known, rows, positive) for type in present]
        for value in given:
            if masked and value.dtype == torch.bool:
                value[0] = False
        with torch.no_grad():
            expected = module(*given)
        references = [expected] if isinstance(expected, torch.Tensor) else list(expected)
        feeds = {f"input{index}": value.numpy() for index, value in enumerate(given)}
        for reference, actual in zip(references, session.run(None, feeds), strict=True):
            wanted = reference.detach().numpy()
            assert actual.dtype == wanted.dtype, f"{op!r}: {actual.dtype} instead of {wanted.dtype}"
            assert actual.shape == wanted.shape, f"{op!r}: {actual.shape} instead of {wanted.shape} at {known}"
            np.testing.assert_allclose(actual, wanted, rtol=tolerance, atol=tolerance, err_msg=f"{op!r} at {known}")
    return model


def _random(type: TensorType, sizes: Mapping[str, int], rows: int, positive: bool) -> torch.Tensor:
    shape = [int(str(evaluate(dim, sizes))) for dim in type.shape]
    if type.dtype == "bool":
        return torch.rand(shape) < 0.5
    if not type.floating:
        return torch.randint(0, rows, shape).to(getattr(torch, type.dtype))
    values = torch.rand(shape) + 0.1 if positive else torch.randn(shape)
    return values.to(getattr(torch, type.dtype))
