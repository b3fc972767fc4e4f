"""The IR becomes ONNX, without tracing: every operator adds its own nodes, and names stay the user's.

A layer's node and value are called by its path (`layer1.0.conv1`), its weights by their `state_dict` keys.
Only what the inference outputs need is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from onnx import helper

from specdl.backends.onnx_graph import Graph
from specdl.ir.program import Function, Program
from specdl.ops.base import Op

if TYPE_CHECKING:
    from torch import nn

    from specdl.backends.onnx_verify import Verification

OPSET = 20
"""The opset that is written unless another is asked for."""

EXTERNAL_DATA_BYTES = 1_500_000_000
"""Above this, weights lie in a file beside the model: a protobuf message may not pass 2 GB."""


def emit_onnx(
    program: Program, state: Mapping[str, Any], *, network: str | None = None, opset: int = OPSET
) -> onnx.ModelProto:
    """The ONNX model of a network with the weights of `state` (numpy arrays by `state_dict` key)."""
    function = program.main if network is None else program.functions[program.networks[network]]
    graph = Graph(state, opset)
    for value in function.inputs:
        graph.add_input(value.name, value.type)
    names: dict[str, str] = {}
    values = {value.name: value.name for value in function.inputs}
    _inline(program, function, graph, values, "", "", names)
    count = len(function.outputs) - function.training_outputs
    public = _public_names(function, count)
    types = function.output_types()
    outputs = [(values[function.outputs[index]], public[index], types[index]) for index in range(count)]
    made = graph.finish(program.name, [value.name for value in function.inputs], outputs, names)
    return helper.make_model(
        made,
        producer_name="specdl",
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=helper.find_min_ir_version_for([helper.make_opsetid("", opset)]),
    )


def _public_names(function: Function, count: int) -> list[str]:
    """The outputs' names; one that is also an input's gets a suffix, since ONNX has one name space."""
    inputs = {value.name for value in function.inputs}
    return [f"{name}_output" if name in inputs else name for name in function.output_names[:count]]


def _inline(
    program: Program,
    function: Function,
    graph: Graph,
    values: dict[str, str],
    prefix: str,
    owner: str,
    names: dict[str, str],
) -> None:
    """Adds the nodes of a function; `values` maps its inputs (and then all its values) to ONNX values.

    `prefix` is where its nodes stand; `owner` is where its weights are, which differs below a `call`.
    """
    for node in function.nodes:
        if node.skip or node.training_only:
            continue
        path = f"{prefix}{node.name}"
        weights = f"{owner}{node.name if node.shares is None else node.shares}"
        inputs = ["" if name is None else values[name] for name in node.inputs]
        if isinstance(node.callee, Op):
            graph.path, graph.owner = path, weights
            types = [graph.types[name] for name in inputs if name]
            made = node.callee.onnx(graph, inputs, types)
            suffixes = node.callee.output_names(len(node.types))
            for index, (name, result, type) in enumerate(zip(node.outputs, made, node.types, strict=True)):
                values[name] = result
                graph.types[result] = type
                if result not in inputs and result not in graph.initializers:
                    names.setdefault(result, path if index == 0 else f"{path}.{suffixes[index]}")
            continue
        callee = program.functions[node.callee]
        inner = {value.name: name for value, name in zip(callee.inputs, filter(None, inputs), strict=True)}
        _inline(program, callee, graph, inner, f"{path}.", f"{weights}.", names)
        for name, result in zip(node.outputs, callee.outputs, strict=False):
            if result in inner:
                values[name] = inner[result]


def export_onnx(
    program: Program, module: nn.Module, path: str | Path, *, verify: bool = True, opset: int | None = None
) -> Verification:
    """Writes the ONNX file of a module, checked and compared with it before it takes its name.

    Raises `SpecError` when ONNX Runtime's outputs differ, `EnvironmentFailure` when the file can't be written.
    """
    from specdl.backends.onnx_verify import Verification, verify_onnx
    from specdl.files import replacing

    state = {key: value.detach().cpu().numpy() for key, value in module.state_dict().items()}
    model = emit_onnx(program, state, opset=opset or OPSET)
    size = sum(array.nbytes for array in state.values())
    with replacing(path) as temporary:
        if size > EXTERNAL_DATA_BYTES:
            weights = f"{Path(path).name}.weights"
            onnx.save_model(model, temporary, save_as_external_data=True, location=weights)
        else:
            onnx.save_model(model, temporary)
        if verify:
            error, sizes = verify_onnx(temporary, module, program)
        else:
            error, sizes = None, ()
    return Verification(str(path), opset or OPSET, len(model.graph.node), error, verify, sizes)
