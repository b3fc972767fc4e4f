"""Random valid specs against PyTorch and ONNX Runtime: what holds for each operator must hold for any mixture.

A spec grows entry by entry. Each candidate fits the rank of the value above; one that the compiler refuses is
dropped, since what an operator accepts is tested elsewhere. The finished spec is ejected, executed and exported.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from specdl.analysis.cost import cost
from specdl.api import Model, compile_source
from specdl.diagnostics import SpecError
from specdl.ir.dims import evaluate
from specdl.ir.types import TensorType
from specdl.source import parse_text

Entry = Any
"""One layer of a spec, as plain data."""

NAMES = [
    "self", "torch", "nn", "F", "math", "Tensor",
    "a", "b", "c", "d", "x", "features", "head", "conv1", "relu", "linear", "forward",
    "class", "in", "None", "training", "input_", "output", "sum", "weight", "bias", "type", "super", "modules",
    "N", "T", "children", "layers", "index", "eval", "name", "x_2", "is", "lambda", "parameters",
    "state_dict",
]  # fmt: skip

ACTIVATIONS = [
    "relu", "relu6", "leaky_relu", "prelu", "elu", "celu", "selu", "gelu", "silu", "mish", "sigmoid", "tanh",
    "softplus", "hardsigmoid", "hardswish", "hardtanh", "softmax", "identity", "dropout", "stop_gradient", "abs",
    "neg", "sin", "erf",
]  # fmt: skip

COMPUTE = [
    "_ * 2 + 1", "_ - mean(_, dim=1, keepdim=True)", "sigmoid(_) * _", "_ / 3 - 0.5", "-_", "_[:, :1] + _",
    "tanh(_) + $scale * _", "where(_ > 100, 0.5, _)", "_ * (1 - _ * 0.1)", "clamp(_, min=-2, max=2)",
    "maximum(_, -_)", "concat([_, _ * 2], dim=1)", "_[:, 0] + 1", "sum(_, dim=-1)", "_[:, None]",
    "transpose(_, 1, -1)", "_[..., -1]", "_ + randn_like(_) * 0", "softmax(_, dim=1)", "_ * 0.5",
]  # fmt: skip

BLOCKS: dict[str, Any] = {
    "conv_act": {
        "params": {"width": "required", "act": "relu", "norm": True},
        "layers": [
            {"conv = conv2d": {"out_channels": "$width", "kernel_size": 3, "padding": 1, "bias": "$(not norm)"}},
            {"bn = batch_norm2d": None, "when": "$norm"},
            {"use": "$act"},
        ],
    },
    "bottleneck": {
        "params": {"ratio": 2},
        "layers": [
            {
                "residual": {
                    "body": [
                        {"conv_act": {"width": "$(max(1, input.channels // ratio))"}},
                        {"conv_act": {"width": "$(input.channels * 1)", "act": "silu"}},
                    ],
                    "shortcut": [{"conv2d": {"out_channels": "$(max(1, x.channels // ratio))", "kernel_size": 1}}],
                }
            },
            "relu",
        ],
        "inputs": {"x": "required"},
    },
    "mlp": {
        "params": {"width": 6, "depth": 1},
        "layers": [{"sequence": [{"repeat": "$depth", "body": [{"linear": "$width"}, "gelu"]}, {"linear": "$width"}]}],
    },
    "gate": {
        "inputs": {"x": "required", "y": "x", "bias": "optional"},
        "outputs": {"mixed": "mixed", "weight": "weight"},
        "layers": [
            {"weight = sequence(x)": [{"linear": "$(x.features)"}, "sigmoid"]},
            {"mixed = compute": "weight * y"},
            {"mixed = add(mixed, bias)": None, "when": "$(given(bias))"},
        ],
    },
    "encoder": {
        "params": {"heads": 2},
        "layers": [
            {"residual": ["layer_norm", {"mlp": {"width": "$(input.features)", "depth": "$heads"}}]},
            {"norm = layer_norm": None},
        ],
    },
}

INPUTS = [
    {"x": [3, 8, 8]}, {"x": [2, 7, 5]}, {"x": [6]}, {"x": [4, 6]}, {"x": ["T", 6]}, {"x": [3, "H", 8]},
    {"x": [5], "y": [5]}, {"x": [3, 6, 6], "y": [2, 6, 6]}, {"x": [4, 6], "y": [6]}, {"x": ["T", 6], "y": ["T", 6]},
]  # fmt: skip

SIZES = [{"N": 2, "T": 5, "H": 9}, {"N": 3, "T": 8, "H": 12}]
"""Two values of every size that is known at run time."""


def compiled(
    inputs: dict[str, Any], layers: list[Entry], outputs: list[str] | None = None, loop: dict[str, Any] | None = None
) -> Model | None:
    """The model, or None where the compiler refuses the spec."""
    data: dict[str, Any] = {
        "specdl": 1,
        "name": "random-model",
        "params": {"scale": 0.5, "act": "tanh", "yes": True, "no": False, **(loop or {})},
        "inputs": inputs,
        "blocks": BLOCKS,
        "layers": layers,
    }
    if outputs:
        data["outputs"] = outputs
    try:
        return compile_source(parse_text(json.dumps(data), "random.yaml"))  # JSON is YAML, and quickly written
    except SpecError:
        return None


@dataclass
class Level:
    """A list of entries under construction: what flows in and which names can be read."""

    draw: st.DrawFn
    inputs: dict[str, list[Any]]
    depth: int
    loop: dict[str, Any] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    values: dict[str, TensorType] = field(default_factory=dict)
    layers: dict[str, TensorType] = field(default_factory=dict)

    def type(self, entries: list[Entry]) -> TensorType | None:
        """The type that flows out of some entries; None where they are refused."""
        model = compiled(self.inputs, entries or ["identity"], loop=self.loop)
        if model is None:
            return None
        main = model.program.main
        types = main.output_types()
        (first, *others) = types
        fits = first.floating and 2 <= first.rank <= 5 and not others
        return first if fits and _elements(first) <= 4096 else None

    def grow(self, count: int, keep: bool = False) -> None:
        """Adds up to `count` entries. With `keep` the last type is the first."""
        flow = first = self.type([])
        if flow is None:
            return  # a size such as 2*T, which no input can have
        for _ in range(count):
            entry = candidate(self, flow, keep)
            wanted = [*self.entries, *(entry if isinstance(entry, list) else [entry])]
            after = self.type(wanted)
            if after is None or (keep and after != first):
                continue
            self.entries, flow = wanted, after
            head = _head(wanted[-1])
            if "=" in head and "," not in head:
                self.values[head.split("=")[0].strip()] = after


def _elements(type: TensorType) -> int:
    return int(str(evaluate(type.elements, SIZES[1])))


def _head(entry: Entry) -> str:
    return entry if isinstance(entry, str) else next(iter(entry))


def _shape(type: TensorType) -> list[Any]:
    """A type as an input writes it."""
    return [size if isinstance(size, int) else str(size) for size in type.shape[1:]]


def _name(level: Level, head: str) -> str:
    """The head, often with a name on the left."""
    if level.draw(st.integers(0, 2)):
        return head
    return f"{level.draw(st.sampled_from(NAMES))} = {head}"


def _with(head: str, arguments: Any) -> Entry:
    return head if arguments is None else {head: arguments}


def candidate(level: Level, flow: TensorType, keep: bool) -> Entry | list[Entry]:
    """An entry (or some) that may fit the value above."""
    draw = level.draw
    simple: list[Any] = [_operator, _operator, _operator, _activation, _compute, _merge, _again, _block]
    nested = [_sequence, _repeat, _for, _residual, _branches, _when, _squeeze_excite]
    kind = draw(st.sampled_from([*simple, *(nested if level.depth < 3 else [])]))
    entry: Entry | list[Entry] = kind(level, flow, keep)
    return entry


def _activation(level: Level, flow: TensorType, keep: bool) -> Entry:
    return _name(level, level.draw(st.sampled_from(ACTIVATIONS)))


def _compute(level: Level, flow: TensorType, keep: bool) -> Entry:
    return {_name(level, "compute"): level.draw(st.sampled_from(COMPUTE))}


def _operator(level: Level, flow: TensorType, keep: bool) -> Entry | list[Entry]:
    draw = level.draw
    axis = flow.shape[1] if flow.rank == 4 else flow.shape[-1]
    size = axis if isinstance(axis, int) else 1
    width = size if keep else draw(st.integers(1, 8))
    kernel = draw(st.integers(1, 3))
    flag = draw(st.booleans())
    general: list[tuple[str, Any]] = [
        ("linear", width if flag else {"out_features": width, "bias": False}),
        ("layer_norm", None),
        ("rms_norm", {"eps": 0.01}),  # the default, 1e-7, blows rounding errors up
        ("flatten", None),
        ("flatten", {"start_dim": 2}),
        ("transpose", {"dim0": 1, "dim1": -1}),
        ("unsqueeze", 1),
        ("squeeze", 1),
        ("glu", {"dim": -1 if flag else 1}),
        ("mean", {"dim": -1, "keepdim": flag}),
        ("cumsum", 1),
        ("clamp", {"min": -1.0}),
    ]
    images: list[tuple[str, Any]] = [
        ("conv2d", {"out_channels": width, "kernel_size": 3, "padding": 1, "bias": flag}),
        ("conv2d", {"out_channels": width, "kernel_size": kernel, "padding": "same"}),
        ("conv2d", {"out_channels": size, "kernel_size": [1, kernel], "groups": size, "padding": [0, kernel // 2]}),
        ("conv2d", {"out_channels": width, "kernel_size": kernel, "stride": 2, "dilation": 2 if flag else 1}),
        ("conv_transpose2d", {"out_channels": width, "kernel_size": kernel, "stride": 2, "output_padding": int(flag)}),
        ("batch_norm2d", None),
        ("batch_norm2d", {"affine": False}),
        ("instance_norm2d", {"affine": flag}),
        ("group_norm", {"num_groups": 1}),
        ("layer_norm2d", None),
        ("max_pool2d", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": flag}),
        ("max_pool2d", 2),
        ("avg_pool2d", {"kernel_size": 2, "stride": 1 + flag, "count_include_pad": flag, "padding": 1}),
        ("adaptive_avg_pool2d", kernel),
        ("adaptive_avg_pool2d", 1),
        ("interpolate", {"scale_factor": 2, "mode": "bilinear" if flag else "nearest"}),
        ("pixel_shuffle", 2),
        *([] if any(not isinstance(side, int) for side in flow.shape[1:]) else [("pixel_unshuffle", 2)]),
        ("dropout2d", 0.5),
        ("permute", [0, 2, 3, 1]),
        ("reshape", [size, -1]),
    ]
    rows: list[tuple[str, Any]] = [
        ("conv1d", {"out_channels": width, "kernel_size": kernel, "padding": "same"}),
        ("conv1d", {"out_channels": width, "kernel_size": kernel, "stride": 2}),
        ("conv_transpose1d", {"out_channels": width, "kernel_size": kernel}),
        ("batch_norm1d", None),
        ("max_pool1d", 2),
        ("avg_pool1d", {"kernel_size": 2, "ceil_mode": flag}),
        ("adaptive_avg_pool1d", 1),
        ("lstm", {"hidden_size": width, "num_layers": kernel, "bidirectional": flag}),
        ("gru", {"hidden_size": width, "bidirectional": flag}),
        ("rnn", {"hidden_size": width, "bias": flag}),
    ]
    vectors: list[tuple[str, Any]] = [
        ("batch_norm1d", None),
        ("unflatten", {"dim": 1, "unflattened_size": [1, -1]}),
        ("reshape", [-1, 1]),
    ]
    choice = [*general, *({4: images, 3: rows, 2: vectors}.get(flow.rank, []))]
    head, arguments = draw(st.sampled_from(choice))
    if head in {"lstm", "gru"} and flag:
        names = "output, state" if kernel == 1 else "output"
        return _with(f"{names} = {head}", arguments)
    return _with(_name(level, head), arguments)


def _merge(level: Level, flow: TensorType, keep: bool) -> Entry:
    known = [*level.inputs, *level.values]
    other = level.draw(st.sampled_from(known))
    head = level.draw(st.sampled_from(["add", "mul", "sub", "concat", "maximum", "stack", "gate", "div"]))
    if head == "div":
        return {_name(level, "compute"): f"_ / (abs({other}) + 1)"}
    if head == "gate" and level.draw(st.booleans()):
        return f"mixed, weight = gate(_, bias={other})"
    return _name(level, f"{head}(_, {other})")


def _again(level: Level, flow: TensorType, keep: bool) -> Entry | list[Entry]:
    """Shared weights: a layer, and the same layer again."""
    name = level.draw(st.sampled_from(NAMES))
    inner = Level(level.draw, {"x": _shape(flow)}, level.depth + 1, level.loop)
    if level.draw(st.booleans()):
        inner.grow(3, keep=True)
        first: Entry = {f"{name} = sequence": inner.entries or ["relu"]}
    else:
        first = {f"{name} = linear": flow.shape[-1] if isinstance(flow.shape[-1], int) else 3}
    return [first, {_name(level, "call"): name}]


def _block(level: Level, flow: TensorType, keep: bool) -> Entry:
    draw = level.draw
    name = draw(st.sampled_from({4: ["conv_act", "bottleneck"]}.get(flow.rank, ["mlp", "gate", "encoder"])))
    arguments: dict[str, Any] = {}
    if name == "conv_act":
        act = draw(st.sampled_from(["relu", "$act", "identity"]))
        arguments = {"width": draw(st.integers(1, 6)), "act": act, "norm": draw(st.booleans())}
    elif name == "bottleneck":
        arguments = {"ratio": draw(st.integers(1, 2))}
    elif name == "mlp":
        arguments = {"width": draw(st.integers(1, 6)), "depth": draw(st.integers(0, 2))}
    if draw(st.booleans()):
        return {_name(level, "use"): name, "with": arguments}
    return _with(_name(level, name), arguments or None)


def _inner(level: Level, flow: TensorType, count: int, keep: bool, **loop: Any) -> list[Entry]:
    """Entries of a group over the value above, which may read named values around it."""
    around = {name: _shape(type) for name, type in level.values.items()}
    inputs = {"the_flow": _shape(flow), **around}
    inner = Level(level.draw, inputs, level.depth + 1, {**level.loop, **loop})
    inner.grow(count, keep)
    return inner.entries if "the_flow" not in json.dumps(inner.entries) else []


def _sequence(level: Level, flow: TensorType, keep: bool) -> Entry:
    return {_name(level, "sequence"): _inner(level, flow, 4, keep) or ["relu"]}


def _repeat(level: Level, flow: TensorType, keep: bool) -> Entry:
    body = _inner(level, flow, 3, True, index=1, last=False) or ["relu"]
    return {_name(level, "repeat"): level.draw(st.integers(0, 3)), "body": body}


def _for(level: Level, flow: TensorType, keep: bool) -> Entry:
    widths = level.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    head = {"conv2d": {"out_channels": "$width", "kernel_size": 1}} if flow.rank == 4 else {"linear": "$width"}
    tail = level.draw(st.sampled_from(["relu", {"relu": None, "when": "$(not last)"}, {"use": "$act"}]))
    named = level.draw(st.booleans())
    if named:
        (operator, arguments), *_ = head.items()
        head = {f"layer$(index + 1) = {operator}": arguments}
    return {_name(level, "for"): {"width": widths}, "body": [head, tail]}


def _residual(level: Level, flow: TensorType, keep: bool) -> Entry:
    body = _inner(level, flow, 3, True) or ["relu"]
    if level.draw(st.booleans()):
        return {_name(level, "residual"): body}
    return {_name(level, "residual"): {"body": body, "shortcut": _inner(level, flow, 2, True)}}


def _branches(level: Level, flow: TensorType, keep: bool) -> Entry:
    paths = [_inner(level, flow, 2, True) for _ in range(level.draw(st.integers(1, 3)))]
    merge = level.draw(st.sampled_from(["concat", "add", "mul", "stack"]))
    return {_name(level, "branches"): paths, "merge": merge}


def _when(level: Level, flow: TensorType, keep: bool) -> Entry:
    entry = _operator(level, flow, keep)
    condition = level.draw(st.sampled_from(["$yes", "$no", "$(scale > 1)", "$(input.rank > 2)"]))
    assert not isinstance(entry, list)
    return {**({entry: None} if isinstance(entry, str) else entry), "when": condition}


def _squeeze_excite(level: Level, flow: TensorType, keep: bool) -> Entry:
    if flow.rank != 4 or not isinstance(flow.shape[1], int):
        return {"branches": [[], [{"linear": 1}, "sigmoid"]], "merge": "mul"}
    gate = [
        {"adaptive_avg_pool2d": 1},
        {"conv2d": {"out_channels": 2, "kernel_size": 1}},
        "silu",
        {"conv2d": {"out_channels": flow.shape[1], "kernel_size": 1}},
        "sigmoid",
    ]
    return {_name(level, "branches"): [[], gate], "merge": "mul"}


@st.composite
def programs(draw: st.DrawFn) -> dict[str, Any]:
    """The inputs, layers and outputs of a spec that compiles."""
    inputs = draw(st.sampled_from(INPUTS))
    level = Level(draw, inputs, 0)
    level.grow(draw(st.integers(1, 12)))
    outputs = None
    names = [name for name in level.values if name not in inputs]
    if names and draw(st.booleans()):
        outputs = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    layers = level.entries or ["relu"]
    if outputs and compiled(inputs, layers, outputs) is None:
        outputs = None
    return {"inputs": inputs, "layers": layers, "outputs": outputs}


def arguments(model: Model, sizes: dict[str, int]) -> list[torch.Tensor]:
    """Random inputs at some sizes."""
    shapes = [value.type.shape for value in model.program.main.inputs]
    return [torch.randn([int(str(evaluate(size, sizes))) for size in shape]) for shape in shapes]


def check(inputs: dict[str, Any], layers: list[Entry], outputs: list[str] | None) -> None:
    """Everything that must hold between the IR, PyTorch and ONNX."""
    model = compiled(inputs, layers, outputs)
    assert model is not None
    torch.manual_seed(0)
    module = model.module().eval()
    assert sum(parameter.numel() for parameter in module.parameters()) == model.parameters
    assert model.bound_text()  # one file that says the same, which is compared
    main = model.program.main
    types = main.output_types()[: len(main.outputs) - main.training_outputs]
    for sizes in SIZES:
        with torch.no_grad():
            found = module(*arguments(model, sizes))
        tensors = list(found) if isinstance(found, (tuple, list)) else [found]
        expected = [tuple(evaluate(size, sizes) for size in type.shape) for type in types]
        assert [tuple(tensor.shape) for tensor in tensors] == expected
        assert [str(tensor.dtype) for tensor in tensors] == [f"torch.{type.dtype}" for type in types]
    # On the CPU an LSTM is one fused kernel, which PyTorch's counter doesn't see.
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        model.module().eval()(*arguments(model, SIZES[0]))
    assert cost(model.program, SIZES[0]).flops == counter.get_total_flops()
    module.train()(*arguments(model, SIZES[0]))
    with tempfile.TemporaryDirectory() as folder:
        model.export_onnx(Path(folder) / "model.onnx", module.eval(), verify=True)


# PyTorch copies the input of a convolution with an even kernel and `padding: same`, and warns of it.
evenly = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


@evenly
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(programs())
def test_a_random_program_is_the_same_everywhere(program: dict[str, Any]) -> None:
    check(**program)


@evenly
@pytest.mark.slow
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(programs())
def test_many_random_programs(program: dict[str, Any]) -> None:
    check(**program)
