"""Sizes that are known at run time, carried through every operator: the module gives at any size what the types say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
import pytest
import torch

from specdl.api import Model
from specdl.diagnostics import SpecError
from specdl.ir.dims import BATCH, Dim, corners, evaluate, extent, multiple, symbol, symbols_of
from specdl.ir.types import TensorType
from specdl.ops import OPERATORS
from tests.conftest import compiled

SEQUENCE = "{x: {shape: [T, 8]}}"
TWO = "{x: {shape: [S, 8]}, y: {shape: [T, 8]}}"
CHANNELS = "{x: [8, T]}"
IMAGE = "{x: [8, H, W]}"
EIGHTS = "{x: [8, 8*H, 8*W]}"
VOLUME = "{x: [8, D, H, W]}"
TABLE = "{x: {shape: [S, T, 4]}}"

ONE_LAYER: dict[str, tuple[str, ...]] = {
    CHANNELS: (
        "conv1d: {out_channels: 4, kernel_size: 3}",
        "conv1d: {out_channels: 4, kernel_size: 3, stride: 2, padding: 1}",
        "conv1d: {out_channels: 4, kernel_size: 5, dilation: 2, padding: same}",
        "conv_transpose1d: {out_channels: 4, kernel_size: 4, stride: 2, padding: 1}",
        "conv_transpose1d: {out_channels: 4, kernel_size: 3, stride: 3, output_padding: 1}",
        "max_pool1d: {kernel_size: 3, stride: 2, padding: 1}",
        "max_pool1d: {kernel_size: 3, stride: 2, ceil_mode: true}",
        "avg_pool1d: {kernel_size: 3, stride: 2, ceil_mode: true}",
        "adaptive_avg_pool1d: 4",
        "adaptive_max_pool1d: 1",
        "batch_norm1d",
        "instance_norm1d",
        "group_norm: 2",
        "prelu: 8",
        "interpolate: {scale_factor: 2}",
        "interpolate: {size: 7}",
        "dropout1d: 0.5",
        "glu: {dim: 1}",
        "softmax: -1",
        "permute: [0, 2, 1]",
        "transpose: [1, 2]",
        "unsqueeze: 1",
        "flatten: {start_dim: 0, end_dim: 1}",
        "unflatten: {dim: 1, unflattened_size: [2, -1]}",
        "reshape: [4, 2, -1]",
        "rearrange: b c t -> b (c t)",
        "mean: {dim: 2}",
        "sum: {dim: -1, keepdim: true}",
        "amax: {dim: 2}",
        "logsumexp: {dim: 2}",
        "std: {dim: 2}",
        "norm: {dim: 2}",
        "argmax: {dim: 2}",
        "cumsum: {dim: 2}",
        "any: {dim: 2}",
    ),
    IMAGE: (
        "conv2d: {out_channels: 4, kernel_size: [3, 5], dilation: [1, 2]}",
        "conv_transpose2d: {out_channels: 4, kernel_size: 2, stride: 2}",
        "max_pool2d: {kernel_size: 3, stride: 2, padding: 1, ceil_mode: true}",
        "avg_pool2d: {kernel_size: 3, stride: 2, padding: 1}",
        "adaptive_avg_pool2d: [null, 4]",
        "adaptive_max_pool2d: 2",
        "interpolate: {scale_factor: 2, mode: bilinear}",
        "interpolate: {scale_factor: 1.5, mode: bilinear}",
        "interpolate: {scale_factor: 0.5}",
        "pixel_shuffle: 2",
        "instance_norm2d",
        "layer_norm2d",
        "batch_norm2d",
        "dropout2d: 0.1",
        "rearrange: b c h w -> b (h w) c",
        "rearrange: {pattern: b (c k) h w -> b c (h k) w, k: 2}",
        "flatten: {start_dim: 2}",
        "mean: {dim: [2, 3]}",
    ),
    EIGHTS: (
        "pixel_unshuffle: 4",
        "conv2d: {out_channels: 4, kernel_size: 3, stride: 2, padding: 1}",
        "avg_pool2d: 8",
        "rearrange: {pattern: b c (h p) (w q) -> b (h w) (p q c), p: 8, q: 4}",
    ),
    VOLUME: (
        "conv3d: {out_channels: 4, kernel_size: 3, padding: 1, stride: 2}",
        "conv_transpose3d: {out_channels: 2, kernel_size: 2, stride: 2}",
        "max_pool3d: 2",
        "avg_pool3d: 2",
        "adaptive_avg_pool3d: 1",
        "batch_norm3d",
    ),
    SEQUENCE: (
        "linear: 4",
        "layer_norm",
        "rms_norm",
        "lstm: 4",
        "gru: {hidden_size: 4, bidirectional: true}",
        "rnn: 4",
        "multi_head_attention: 2",
        "positions",
        "swiglu",
        "geglu: {dim: -1}",
        "chunk: {chunks: 2, dim: -1}",
        "split: {split_size_or_sections: 3, dim: -1}",
        "reshape: [T, 2, 4]",
        'reshape: "$([2 * x.shape[1], 4])"',
        "expand: [N, T, 8]",
        "randn_like",
        "zeros_like",
        "stochastic_depth: {p: 0.1}",
        "cast: float16",
        "prod: {dim: 1}",
        "concat(x, x): {dim: 1}",
        "stack(x, x): {dim: 1}",
        "arange: $(x.shape[1])",
        "linspace: {start: 0.0, end: 1.0, steps: T}",
        "randn: [T, 2]",
        "compute: x[:, 1:]",
        "compute: x[:, 1:-1]",
        "compute: x[:, 1::2]",
        "compute: x[:, -1]",
        "compute: x[:, :$(x.shape[1] // 2)]",
        "compute: x[:, $(x.shape[1] // 2):]",
        "compute: x[:, None] + x[:, :, None]",
        "compute: concat([x, x[:, :1]], dim=1)",
        "compute: x @ transpose(x, 1, 2)",
        "compute: x / $(x.shape[1])",
        "compute: arange(1, $(x.shape[1] + 1), 2)",
        "compute: x * cast(arange($(x.shape[1])) < 3, dtype=float32)[:, None]",
    ),
}
SEVERAL_LAYERS: tuple[tuple[str, ...], ...] = (
    (TWO, "concat(x, y): {dim: 1}", "lstm: 4"),
    (TWO, "multi_head_attention(x, y): 2"),
    (TWO, "q = linear(x): 8", "attention(q, y, y): {heads: 2}"),
    (TWO, "compute: x @ transpose(y, 1, 2)"),
    (TWO, "compute: x[:, :, None] * y[:, None]", "rearrange: b s t d -> b (s t) d"),
    (TWO, "concat(x, y): {dim: 1}", "transpose: [1, 2]", "conv1d: {out_channels: 4, kernel_size: 3, stride: 2}"),
    (TWO, "compute: mean(x, dim=1) + mean(y, dim=1)"),
    (TWO, "c = compute: concat([x, x], dim=1)", "a, b = split(c): {split_size_or_sections: S, dim: 1}", "add(a, b)"),
    (TWO, "c = concat(x, x): {dim: 1}", "a, b = chunk(c): {chunks: 2, dim: 1}", "add(a, b)"),
    (CHANNELS, "conv1d: {out_channels: 8, kernel_size: 4, stride: 2, padding: 1}", "interpolate: {scale_factor: 3}"),
    (CHANNELS, "max_pool1d: 2", "max_pool1d: 2", "interpolate: {scale_factor: 4}", "transpose: [1, 2]", "linear: 3"),
    (CHANNELS, "h = max_pool1d: 2", "interpolate(h, x)", "add(_, x)"),
    (IMAGE, "a = max_pool2d: 2", "b = max_pool2d: 2", "u = interpolate(b, a)", "concat(u, a)", "interpolate(_, x)"),
    (EIGHTS, "a = max_pool2d: 2", "b = max_pool2d: 2", "u = interpolate: {scale_factor: 2}", "concat(u, a)"),
    (SEQUENCE, "p = positions", "embedding(p): {num_embeddings: 300, embedding_dim: 8}", "add(_, x)"),
    (SEQUENCE, "t = parameter: [1, 1, 8]", "concat(t, x): {dim: 1}", "multi_head_attention: 2", "compute: _[:, 0]"),
    (SEQUENCE, "t = parameter: [1, 1, 8]", "e = expand(t, x): [-1, T, 8]", "concat(e, x): {dim: 1}", "layer_norm"),
    (SEQUENCE, "p = positions", "sinusoidal_positions(p): 8", "add(_, x)"),
    (SEQUENCE, "p = positions", "w = rotary_positions(p): 4", "rotary_embedding(x, w): {heads: 2}"),
    (SEQUENCE, "p = positions", "b = relative_position_bias(p): {heads: 2}", "attention(x, x, x, bias=b): {heads: 2}"),
    (SEQUENCE, "p = positions", "b = alibi(p): {heads: 2}", "attention(x, x, x, bias=b): {heads: 2}"),
    (SEQUENCE, "i = argmax: {dim: -1}", "embedding_bag(i): {num_embeddings: 8, embedding_dim: 4}"),
    (SEQUENCE, "i = argmax: {dim: -1, keepdim: true}", "gather(x, i): {dim: -1}"),
    (SEQUENCE, "i = argmax: {dim: -1, keepdim: true}", "take_along_dim(x, i): {dim: -1}"),
    (SEQUENCE, "p = positions", "q = compute: p[:, None] - p[None, :]", "compute: x + mean(abs(q) * 0.5)"),
    (TABLE, "rearrange: b s t d -> (b s) t d", "gru: 4", "rearrange(_, x): {pattern: (b s) t d -> b s t d, s: S}"),
    (TABLE, "flatten: {start_dim: 1, end_dim: 2}", "linear: 3", "unflatten(_, x): {dim: 1, unflattened_size: [S, -1]}"),
    ("{x: {shape: [T, T]}}", "compute: x + transpose(x, 1, 2)"),
)
CASES = [(inputs, layer) for inputs, layers in ONE_LAYER.items() for layer in layers] + list(SEVERAL_LAYERS)
SIZES = ({"N": 2, "D": 9, "H": 6, "W": 10, "S": 7, "T": 9}, {"N": 3, "D": 4, "H": 9, "W": 11, "S": 4, "T": 12})


def model_of(inputs: str, *layers: str) -> Model:
    return compiled(f"inputs: {inputs}\nlayers:\n" + "".join(f"  - {layer}\n" for layer in layers))


def shape_at(type: TensorType, sizes: Mapping[str, Dim]) -> tuple[Dim, ...]:
    return tuple(evaluate(dim, sizes) for dim in type.shape)


@pytest.mark.parametrize("case", CASES, ids=lambda case: " | ".join(case[1:]))
def test_the_module_gives_what_the_types_say(case: tuple[str, ...]) -> None:
    model = model_of(*case)
    main = model.program.main
    assert symbols_of(dim for value in main.inputs for dim in value.type.shape) - {"N"}
    module = model.module().eval()
    for sizes in SIZES:
        inputs = [torch.randn([int(str(dim)) for dim in shape_at(value.type, sizes)]) for value in main.inputs]
        with torch.no_grad():
            made = module(*inputs)
        outputs = [made] if isinstance(made, torch.Tensor) else list(made)
        for output, type in zip(outputs, main.output_types(), strict=True):
            assert tuple(output.shape) == shape_at(type, sizes)
            assert str(output.dtype) == f"torch.{type.dtype}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: " | ".join(case[1:]))
def test_onnx_gives_the_same(case: tuple[str, ...], tmp_path: Path) -> None:
    model_of(*case).export_onnx(tmp_path / "model.onnx")  # compared at two sizes of each symbol


WITHOUT_SIZES = frozenset(
    # Elementwise functions of one or two values, reductions like those above, and what has no size of its input.
    """add mul sub div maximum minimum pow floor_divide remainder eq ne lt le gt ge logical_and logical_or logical_xor
    bitwise_and bitwise_or bitwise_xor where exp log sqrt rsqrt sin cos reciprocal erf abs neg square sign floor ceil
    round ones_like stop_gradient clamp logical_not bitwise_not relu relu6 leaky_relu elu celu selu gelu silu mish
    sigmoid tanh softplus hardsigmoid hardswish hardtanh log_softmax dropout alpha_dropout identity amin var all argmin
    cumprod rand_like rand randint buffer constant matmul squeeze adaptive_max_pool3d custom""".split()  # noqa: SIM905
)


def test_every_operator_is_here_or_has_no_sizes() -> None:
    text = " ".join(" ".join(case[1:]) for case in CASES)
    missing = [name for name in OPERATORS if name not in text and name not in WITHOUT_SIZES]
    assert missing == []


# ---- bounds ------------------------------------------------------------------------------------------


def test_extents() -> None:
    free, bounded, other = symbol("T"), symbol("S", 3, 8), symbol("U", 2, None)
    inf = float("inf")
    assert extent(7) == (7, 7)
    assert extent(free) == (1, inf)
    assert extent(2 * free - 3) == (-1, inf)
    assert extent(bounded * 2 + 1) == (7, 17)
    assert extent(10 - bounded) == (2, 7)
    assert extent(bounded // 2) == (1, 4)
    assert extent(bounded * other) == (6, inf)
    assert extent(-1 * other) == (-inf, -2)
    assert extent(BATCH) == (1, inf)


def test_corners() -> None:
    assert corners(symbol("S", 3, 8) + BATCH) == [{"S": 3}, {"S": 8}]
    assert corners(symbol("S", 3, None)) == [{"S": 3}]
    assert corners(symbol("S", 3, 8) * symbol("T")) == []
    assert corners(5) == []


def test_multiples() -> None:
    assert multiple(8 * symbol("H")) == ("H", 8)
    assert multiple(symbol("H")) == ("H", 1)
    assert multiple(symbol("H") + 1) is None
    assert multiple(symbol("H") // 2) is None
    assert multiple(3) is None


def test_onnx_is_compared_at_the_bounds(tmp_path: Path) -> None:
    text = "inputs: {x: {shape: [T, 4]}, y: {shape: [S, 4]}}\nsizes: {T: {min: 5, max: 20}}\nlayers:\n"
    result = compiled(text + "  - concat(x, y): {dim: 1}\n").export_onnx(tmp_path / "model.onnx")
    assert [sizes["T"] for sizes in result.sizes] == [5, 20]
    assert len({sizes["S"] for sizes in result.sizes}) == 2


def test_a_bound_that_the_model_does_not_hold_is_told(tmp_path: Path) -> None:
    text = "inputs: {x: {shape: [T], dtype: int64}}\nsizes: {T: {min: 1, max: 9}}\nlayers:\n  - p = positions\n"
    text += "  - p = compute: p + 1\n  - embedding(p): {num_embeddings: 9, embedding_dim: 4}\n"
    with pytest.raises(SpecError, match="at N=3, T=9") as error:
        compiled(text).export_onnx(tmp_path / "model.onnx")
    assert error.value.diagnostics[0].help == "narrow the bounds under `sizes`"


def test_multiples_in_onnx_and_in_a_step(tmp_path: Path) -> None:
    model = compiled("inputs: {x: [3, 8*H, 8*W]}\nlayers:\n  - avg_pool2d: 8\n  - compute: _ * $(x.shape[2])\n")
    assert model.export_onnx(tmp_path / "model.onnx").verified
    shape = onnx.load(tmp_path / "model.onnx").graph.input[0].type.tensor_type.shape
    assert [dim.dim_param or dim.dim_value for dim in shape.dim] == ["N", 3, "8*H", "8*W"]
    assert "x.shape[2]" in model.source()


@pytest.mark.parametrize(("size", "fits"), [("8*H", True), ("4*H", True), ("16*H", False), ("H", True)])
def test_data_must_fit_the_multiple(size: str, fits: bool) -> None:
    text = f"inputs: {{image: [1, {size}, 8]}}\nlayers: [{{mean: {{dim: [2, 3]}}}}, {{linear: 10}}]\n"
    text += "data: {source: digits}\nloss: cross_entropy\noptimizer: {sgd: {lr: 0.1}}\n"
    if fits:
        assert compiled(text).program.steps
        return
    with pytest.raises(SpecError, match="but the data gives"):
        compiled(text)


def test_data_must_fit_the_bounds() -> None:
    text = "inputs: {image: [1, H, 8]}\nsizes: {H: {max: 7}}\nlayers: [{mean: {dim: [2, 3]}}, {linear: 10}]\n"
    text += "data: {source: digits}\nloss: cross_entropy\noptimizer: {sgd: {lr: 0.1}}\n"
    with pytest.raises(SpecError, match="but the data gives"):
        compiled(text)


@pytest.mark.parametrize(
    ("condition", "decided"),
    [
        ("x.shape[1] < 9", True),
        ("x.shape[1] <= 8", True),
        ("x.shape[1] < 8", None),
        ("x.shape[1] > 2", True),
        ("x.shape[1] != 9", True),
        ("x.shape[1] == 2", False),
        ("x.shape[1] == 5", None),
        ("x.shape[1] == x.shape[1]", True),
        ("x.shape[1] < x.shape[1]", False),
        ("2 * x.shape[1] >= x.shape[1] + 3", True),
        ("x.shape[1] < 8.5", None),
        ("x.shape[0] >= 1", True),
        ("x.shape[0] == 1", None),
    ],
)
def test_bounds_decide_conditions(condition: str, decided: bool | None) -> None:
    text = "inputs: {x: {shape: [T, 4]}}\nsizes: {T: {min: 3, max: 8}}\nlayers:\n  - linear: 4\n  - relu:\n"
    text += f"    when: $({condition})\n"
    if decided is None:
        with pytest.raises(SpecError, match="only known at run time"):
            compiled(text)
        return
    operators = [node.callee_name for node in compiled(text).program.main.nodes]
    assert operators == ["linear", "relu"][: 1 + decided]
