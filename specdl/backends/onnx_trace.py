"""ONNX of a network with layers of the user's own: PyTorch's exporter follows the module, since the IR can't."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import onnx

from specdl.diagnostics import Diagnostic, EnvironmentFailure, SpecError
from specdl.ir.dims import evaluate, symbols_of
from specdl.ir.program import Program

if TYPE_CHECKING:
    from torch import nn

_EXAMPLE = 8
"""The size that stands for a symbol while the module is followed."""


def traced(program: Program, module: nn.Module, opset: int) -> onnx.ModelProto:
    """The ONNX model that `torch.onnx.export` makes, with the program's names of inputs and outputs.

    Every symbolic size stays dynamic. Raises `EnvironmentFailure` without onnxscript, which PyTorch's exporter needs,
    and `SpecError` where it can't follow a layer.
    """
    import torch

    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        message = "a custom layer is exported by PyTorch, which needs onnxscript: pip install onnxscript"
        raise EnvironmentFailure(message) from error
    main = program.main
    sizes = dict.fromkeys(symbols_of(dim for value in main.inputs for dim in value.type.shape), _EXAMPLE)
    sizes["N"] = 2
    inputs: list[Any] = []
    shapes: list[dict[int, Any]] = []
    for value in main.inputs:
        shape = [int(str(evaluate(dim, sizes))) for dim in value.type.shape]
        dtype = getattr(torch, value.type.dtype)
        inputs.append(torch.zeros(shape, dtype=dtype) if not value.type.floating else torch.randn(shape, dtype=dtype))
        shapes.append({axis: str(dim) for axis, dim in enumerate(value.type.shape) if not isinstance(dim, int)})
    outputs = main.output_names[: len(main.outputs) - main.training_outputs]
    training = module.training
    module.eval()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = torch.onnx.export(
                module,
                tuple(inputs),
                dynamo=True,
                verbose=False,
                opset_version=opset,
                input_names=[value.name for value in main.inputs],
                output_names=list(outputs),
                dynamic_shapes=[{axis: _dim(name) for axis, name in item.items()} for item in shapes],
            )
            assert made is not None
            model: onnx.ModelProto = made.model_proto
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        help = "PyTorch's exporter must be able to follow your layer's `forward`"
        raise SpecError([Diagnostic("E0810", f"PyTorch can't export a custom layer: {reason}", help=help)]) from error
    finally:
        module.train(training)
    return model


def _dim(name: str) -> Any:
    """A size of the exporter's: of this name, or what it finds out itself."""
    import torch

    return torch.export.Dim(name) if name.isidentifier() else torch.export.Dim.AUTO
