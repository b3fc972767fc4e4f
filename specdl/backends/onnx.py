"""The IR becomes ONNX, without tracing: every operator adds its own nodes, and names stay the user's.

A layer's node and value are called by its path (`layer1.0.conv1`), its weights by their `state_dict` keys.
Only what the inference outputs need is written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from onnx import helper, numpy_helper

from specdl.backends.onnx_file import write_model
from specdl.backends.onnx_graph import Graph, free_name
from specdl.backends.onnx_trace import traced
from specdl.backends.torch_source import custom_layers
from specdl.diagnostics import Diagnostic, SpecError, did_you_mean
from specdl.ir.given import with_inputs
from specdl.ir.program import Function, Program
from specdl.ir.state import aliases, stored
from specdl.ops.base import Op

if TYPE_CHECKING:
    from torch import Tensor, nn

    from specdl.backends.onnx_verify import Verification

OPSET = 20
"""The opset that is written unless another is asked for."""

OPSETS = range(18, 24)
"""The opsets that operators are written for."""

EXTERNAL_DATA_BYTES = 1_500_000_000
"""Above this, weights lie in a file beside the model: a protobuf message may not pass 2 GB."""


def emit_onnx(
    program: Program,
    state: Mapping[str, Any],
    *,
    network: str | None = None,
    opset: int = OPSET,
    without: Collection[str] = (),
) -> onnx.ModelProto:
    """The ONNX model of a network with the weights of `state` (numpy arrays by `state_dict` key).

    ONNX decides when it is written which optional inputs there are: all but those in `without`.
    """
    model, weights = _emit(with_inputs(program, without), state, network, opset)
    _add_weights(model, weights)
    return model


def _add_weights(model: onnx.ModelProto, weights: Mapping[str, Any]) -> None:
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())


def _emit(
    program: Program, state: Mapping[str, Any], network: str | None, opset: int
) -> tuple[onnx.ModelProto, Mapping[str, Any]]:
    """The model without its weights, and these."""
    function = program.main if network is None else program.functions[program.networks[network]]
    graph = Graph(state, opset, aliases=aliases(program.functions, function))
    for value in function.inputs:
        graph.add_input(value.name, value.type)
    names: dict[str, str] = {}
    values = {value.name: value.name for value in function.inputs}
    _inline(program, function, graph, values, "", "", names)
    count = len(function.outputs) - function.training_outputs
    inputs = [value.name for value in function.inputs]
    public = _public_names(function, count, {*inputs, *graph.initializers})
    types = function.output_types()
    outputs = [(values[function.outputs[index]], public[index], types[index]) for index in range(count)]
    made = graph.finish(program.name, inputs, outputs, names)
    model = helper.make_model(
        made,
        producer_name="specdl",
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=helper.find_min_ir_version_for([helper.make_opsetid("", opset)]),
    )
    return model, graph.initializers


def _public_names(function: Function, count: int, taken: set[str]) -> list[str]:
    """The outputs' names; one that an input or a weight has gets a suffix, since ONNX has one name space."""
    names = function.output_names[:count]
    free = taken.union(names)
    return [free_name(f"{name}_output", free) if name in taken else name for name in names]


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
    program: Program,
    module: nn.Module,
    path: str | Path,
    *,
    verify: bool = True,
    opset: int | None = None,
    without: Collection[str] = (),
    metadata: Mapping[str, str] | None = None,
    sidecar: str | None = None,
    companions: Mapping[str, str] | None = None,
) -> Verification:
    """Writes the ONNX file of a module, checked and compared with it before it takes its name.

    Optional inputs of the network are inputs of the file, but for those in `without`. `metadata` goes into the file;
    `sidecar` is the text of a file beside it, of its name and `.json`; `companions` are those of further files.

    Raises `SpecError` when the module isn't this program's or ONNX Runtime's outputs differ from its own,
    `EnvironmentFailure` when the file can't be written. Whatever is raised, no file was written or changed.
    """
    from specdl.backends.onnx_verify import Verification, verify_onnx
    from specdl.files import replacing

    opset = OPSET if opset is None else opset
    if opset not in OPSETS:
        help = f"choose one from {OPSETS[0]} to {OPSETS[-1]}"
        raise SpecError([Diagnostic("E0804", f"ONNX opset {opset} can't be written", help=help)])
    names = [value.name for value in program.main.inputs]
    _check_optional(program.main, without)
    program = with_inputs(program, without)
    tensors = module.state_dict()
    _check_state(program, tensors)
    weights: Mapping[str, Any] = {}
    if custom_layers(program):
        model = traced(program, module, opset)
    else:
        state = {key: value.detach().cpu().numpy() for key, value in tensors.items()}
        model, weights = _emit(program, state, None, opset)
    helper.set_model_props(model, dict(metadata or {}))
    with replacing(path) as file:
        beside = {} if sidecar is None else {f"{file.name}.json": sidecar}
        for name, text in {**beside, **(companions or {})}.items():
            file.with_name(name).write_text(text, encoding="utf-8")
        if sum(array.nbytes for array in weights.values()) > EXTERNAL_DATA_BYTES:
            _add_weights(model, weights)
            onnx.save_model(model, file, save_as_external_data=True, location=f"{file.name}.weights")
        else:
            write_model(file, model, weights)
        report = verify_onnx(file, module, program, names) if verify else None
    if report is None:
        return Verification(str(path), opset, len(model.graph.node), None, False, ())
    error, sizes = report
    return Verification(str(path), opset, len(model.graph.node), error, error is not None, sizes)


def _check_optional(function: Function, without: Collection[str]) -> None:
    """Raises `SpecError` for an input that can't be left out."""
    optional = [value.name for value in function.inputs if value.optional]
    for name in without:
        if name not in optional:
            listing = ", ".join(f"`{item}`" for item in optional)
            help = did_you_mean(name, optional) or (f"optional are {listing}" if optional else "none is optional")
            raise SpecError([Diagnostic("E0367", f"the network has no optional input `{name}`", help=help)])


def _check_state(program: Program, state: Mapping[str, Tensor]) -> None:
    """Raises `SpecError` unless a module's `state_dict` has the weights of the program's network."""
    for item in stored(program.functions, program.main):
        key, weight = item.key, item.weight
        found = state.get(key)
        wanted = f"{weight.dtype}{list(weight.shape)}"
        if found is None:
            got = "has none"
        elif tuple(found.shape) != weight.shape or str(found.dtype) != f"torch.{weight.dtype}":
            got = f"has {str(found.dtype).removeprefix('torch.')}{list(found.shape)}"
        else:
            continue
        message = f"the module is not this spec's: `{key}` must be {wanted}, the module {got}"
        help = "export the module that `model.module()` made, in its own dtype"
        raise SpecError([Diagnostic("E0803", message, help=help)])
