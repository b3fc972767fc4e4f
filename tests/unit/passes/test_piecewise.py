"""Networks that take a sequence piece by piece: the same as for the whole, or an obstacle that names its line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from specdl.api import Model, compile_source
from specdl.backends.torch_load import load_torch
from specdl.backends.torch_source import emit_torch
from specdl.ir.dims import symbol
from specdl.ir.types import TensorType
from specdl.ops import OPERATORS
from specdl.ops.base import Op
from specdl.ops.compute import parse_compute
from specdl.passes.piecewise import NotPiecewise, piecewise
from specdl.source import parse_text
from tests.unit.ops.harness import build, evaluate_type, flatten, make, run_function

EXACT = 1e-5
"""A piece's matrix products have other shapes than the whole's, so their sums are rounded in another order."""

T = symbol("T")


def compiled(layers: str, inputs: str = "{tokens: {shape: [T], dtype: int64}}", more: str = "") -> Model:
    lines = "\n".join(f"  {line}" for line in layers.strip().splitlines())
    return compile_source(parse_text(f"specdl: 1\nname: net\ninputs: {inputs}\n{more}layers:\n{lines}\n"))


def in_pieces(model: Model, sequence: str = "tokens", absent: tuple[str, ...] = ()) -> tuple[nn.Module, nn.Module]:
    """The network as it is, and the one for pieces with the same weights."""
    whole = model.module().eval()
    pieces = load_torch(emit_torch(piecewise(model.program, sequence, absent).program)).eval()
    pieces.load_state_dict(whole.state_dict())
    return whole, pieces


def check(model: Model, sequence: str = "tokens", growing: tuple[str, ...] = (), **others: Tensor) -> None:
    """Pieces of several lengths, one behind the other, give what the whole gives."""
    torch.manual_seed(0)
    whole, pieces = in_pieces(model, sequence)
    growing = (sequence, *growing)
    given = {name: others.pop(name, torch.randint(0, 20, (2, 12))) for name in growing}
    with torch.no_grad():
        wanted = flatten(whole(**given, **others))[-1]
        found: list[Tensor] = []
        start = 0
        for size in (5, 1, 1, 3, 1, 1):
            piece = {name: value[:, start : start + size] for name, value in given.items()}
            found.append(flatten(pieces(**piece, **others))[-1])
            start += size
    torch.testing.assert_close(torch.cat(found, dim=1), wanted, rtol=EXACT, atol=EXACT)


EMBED = "- x = embedding(tokens): {num_embeddings: 20, embedding_dim: 16}"


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param("- multi_head_attention: {num_heads: 4, causal: true}", id="multi_head_attention"),
        pytest.param("- attention(x, x, x): {heads: 4, causal: true}", id="attention"),
        pytest.param("- attention(x, x, x): {heads: 4, causal: true, window: 3}", id="window"),
        pytest.param(
            "- key = linear(x): 8\n- attention(x, key, key): {heads: 4, kv_heads: 2, causal: true}", id="kv_heads"
        ),
        pytest.param(
            "- parts = rearrange(x): {pattern: b t (h d) -> b h t d, h: 4}\n"
            "- attention(parts, parts, parts): {causal: true}\n- rearrange: b h t d -> b t (h d)",
            id="heads_of_their_own",
        ),
        pytest.param(
            "- places = positions(x)\n- bias = relative_position_bias(places): {heads: 4, bidirectional: false}\n"
            "- bias = compute: bias * 2\n- attention(x, x, x, bias=bias): {heads: 4, causal: true}",
            id="relative_position_bias",
        ),
        pytest.param(
            "- places = positions(x)\n- bias = alibi(places): 4\n"
            "- attention(x, x, x, bias=bias): {heads: 4, causal: true}",
            id="alibi",
        ),
        pytest.param(
            "- places = positions(x)\n- waves = rotary_positions(places): 4\n"
            "- query = rotary_embedding(x, waves): {heads: 4}\n- attention(query, query, x): {heads: 4, causal: true}",
            id="rotary",
        ),
        pytest.param(
            "- places = positions(x)\n- learned = embedding(places): {num_embeddings: 12, embedding_dim: 16}\n"
            "- waves = sinusoidal_positions(places): 16\n- add(x, learned, waves)",
            id="positions",
        ),
        pytest.param(
            "- places = positions(x)\n- rate = compute: 10.0 ** (arange(0, 16, 2) / -16)\n"
            "- angle = compute: places[:, None] * rate\n- wave = concat(angle, angle): {dim: -1}\n- add(x, wave)",
            id="waves_by_hand",
        ),
        pytest.param("- lstm: {hidden_size: 8, num_layers: 2}", id="lstm"),
        pytest.param("- gru: {hidden_size: 8}", id="gru"),
        pytest.param("- rnn: {hidden_size: 8}", id="rnn"),
        pytest.param(
            "- blocks = repeat: 3\n  body:\n    - residual:\n        - layer_norm\n"
            "        - multi_head_attention: {num_heads: 2, causal: true}\n"
            "    - residual:\n        - linear: 32\n        - gelu\n        - linear: 16\n- softmax",
            id="blocks",
        ),
    ],
)
def test_pieces_give_what_the_whole_gives(layers: str) -> None:
    check(compiled(f"{EMBED}\n{layers}\n- linear: 20"))


def test_masks_of_keys_come_piece_by_piece() -> None:
    inputs = "{tokens: {shape: [T], dtype: int64}, mask: {shape: [T], dtype: bool}}"
    mask = torch.rand(2, 12) < 0.7
    for layer in ("attention(x, x, x, mask=mask): {heads: 4", "multi_head_attention(x, mask=mask): {num_heads: 4"):
        check(compiled(f"{EMBED}\n- {layer}, causal: true}}", inputs), growing=("mask",), mask=mask)


CROSS = """
- words = embedding(source): {num_embeddings: 20, embedding_dim: 16}
- memory = multi_head_attention(words, mask=source_mask): 2
- x = embedding(tokens): {num_embeddings: 20, embedding_dim: 16}
- multi_head_attention: {num_heads: 2, causal: true}
- multi_head_attention(_, memory, mask=source_mask): 4
- y = linear: 16
- key = linear(memory): 16
- attention(y, key, memory, mask=source_mask): {heads: 4}
- linear: 20
"""
TWO = "{source: {shape: [S], dtype: int64}, source_mask: {shape: [S], dtype: bool}, tokens: {shape: [T], dtype: int64}}"


def test_a_decoder_reads_its_memory_once() -> None:
    model = compiled(CROSS, TWO)
    check(model, source=torch.randint(0, 20, (2, 7)), source_mask=torch.rand(2, 7) < 0.8)
    made = piecewise(model.program, "tokens")
    assert {"words", "memory", "key"} <= set(made.once)
    assert "y" not in made.once


def test_a_new_text_begins_where_everything_is_forgotten() -> None:
    whole, pieces = in_pieces(compiled(f"{EMBED}\n- multi_head_attention: {{num_heads: 4, causal: true}}"))
    tokens = torch.randint(0, 20, (2, 6))
    with torch.no_grad():
        pieces(torch.randint(0, 20, (3, 4)))
        for module in pieces.modules():
            if hasattr(module, "forget"):
                module.forget()
        torch.testing.assert_close(pieces(tokens), whole(tokens), rtol=EXACT, atol=EXACT)


def test_the_longest_sequence_is_that_of_the_sizes_or_of_learned_positions() -> None:
    learned = f"{EMBED}\n- places = positions(x)\n- embedding(places): {{num_embeddings: 9, embedding_dim: 16}}"
    assert piecewise(compiled(learned).program, "tokens").limit == 9
    assert piecewise(compiled(learned, more="sizes: {T: {max: 7}}\n").program, "tokens").limit == 7
    assert piecewise(compiled(EMBED).program, "tokens").limit is None


@pytest.mark.parametrize(
    ("layers", "message", "line"),
    [
        ("- attention(x, x, x): {heads: 4}", "`attention` reads what comes later in the sequence", 6),
        ("- multi_head_attention: 4", "`multi_head_attention` reads what comes later in the sequence", 6),
        ("- softmax: 1", "`softmax` mixes the positions of the sequence", 6),
        ("- compute: x - mean(x, dim=1, keepdim=True)", "`compute` mixes the positions of the sequence", 6),
        ("- compute: cumsum(x, dim=1)", "`compute` mixes the positions of the sequence", 6),
        ("- compute: x[:, 1:]", "`compute` mixes the positions of the sequence", 6),
        ("- compute: x / $(x.shape[1])", "`compute` mixes the positions of the sequence", 6),
        ("- places = arange(x): T\n- compute: x * places[:, None]", "`arange` mixes the positions of the sequence", 6),
        (
            "- places = positions(x)\n- bias = alibi(places): 4\n- bias = transpose: [2, 3]\n"
            "- attention(x, x, x, bias=bias): {heads: 4, causal: true}",
            "`transpose` mixes the positions of the sequence",
            8,
        ),
        ("- lstm: {hidden_size: 8, bidirectional: true}", "`lstm` reads the sequence from its end too", 6),
        (
            "- output, h, c = lstm: 16\n- ends = rearrange(h): 1 n c -> n 1 c\n- add(output, ends)",
            "`h` is known at the end of the sequence alone",
            6,
        ),
        (
            "- places = positions(x)\n- far = compute: abs(places[None] - places[:, None])\n"
            "- bias = compute: far[None, None] * -1.0\n- attention(x, x, x, bias=bias): {heads: 4, causal: true}",
            "`compute` mixes the positions of the sequence",
            7,
        ),
        (
            "- first = multi_head_attention: {num_heads: 4, causal: true}\n- call: first",
            "`multi_head_attention` is run again with the same weights, and would keep two pasts",
            6,
        ),
        (
            "- transpose: [1, 2]\n- conv1d: {out_channels: 16, kernel_size: 3, padding: 1}\n- transpose: [1, 2]",
            "`conv1d` mixes the positions of the sequence",
            7,
        ),
        ("- compute: mean(x, dim=1)", "`compute` mixes the positions of the sequence", 6),
    ],
)
def test_what_mixes_positions_is_told_with_its_line(layers: str, message: str, line: int) -> None:
    with pytest.raises(NotPiecewise) as caught:
        piecewise(compiled(f"{EMBED}\n{layers}").program, "tokens")
    assert caught.value.obstacle.message == message
    assert caught.value.obstacle.span.line == line


def test_what_nothing_needs_is_no_obstacle() -> None:
    model = compiled(f"{EMBED}\n- pooled = compute: mean(x, dim=1)\n- y = linear(x): 20", more="outputs: [pooled, y]\n")
    check(model)


def test_a_sequence_needs_a_length_of_its_own() -> None:
    model = compiled("- linear: 4", "{tokens: [8, 3]}")
    with pytest.raises(NotPiecewise, match="no axis of any length"):
        piecewise(model.program, "tokens")


# ---- operators -------------------------------------------------------------------------------------------

SEQUENCE = TensorType((2, T, 6))
NUMBERS = TensorType((2, T), "int64")
FLAGS = TensorType((2, T), "bool")
HEADS = TensorType((2, 3, T, 4))
ONE = TensorType((6,))

CASES: list[tuple[str, dict[str, Any], tuple[TensorType, ...]]] = [
    *((name, {}, (SEQUENCE,)) for name in ("relu", "gelu", "silu", "tanh", "exp", "neg", "square", "glu", "swiglu")),
    *((name, {}, (SEQUENCE, SEQUENCE)) for name in ("add", "mul", "sub", "div", "maximum", "lt")),
    ("add", {}, (SEQUENCE, ONE)),
    ("add", {}, (SEQUENCE, TensorType((2, 1, 6)))),
    ("dropout", {"p": 0.5}, (SEQUENCE,)),
    ("clamp", {"min": 0.0}, (SEQUENCE,)),
    ("where", {}, (TensorType((2, T, 1), "bool"), SEQUENCE, SEQUENCE)),
    ("logical_not", {}, (FLAGS,)),
    ("linear", {"out_features": 3}, (SEQUENCE,)),
    ("embedding", {"num_embeddings": 9, "embedding_dim": 3}, (NUMBERS,)),
    ("layer_norm", {}, (SEQUENCE,)),
    ("rms_norm", {}, (SEQUENCE,)),
    ("layer_norm2d", {}, (TensorType((2, 6, T, 1)),)),
    ("batch_norm1d", {}, (TensorType((2, 6, T)),)),
    ("softmax", {}, (SEQUENCE,)),
    ("log_softmax", {"dim": 1}, (HEADS,)),
    ("concat", {"dim": -1}, (SEQUENCE, SEQUENCE)),
    ("stack", {"dim": 1}, (SEQUENCE, SEQUENCE)),
    ("matmul", {}, (SEQUENCE, TensorType((6, 4)))),
    ("matmul", {}, (TensorType((2, 4, 6)), TensorType((2, 6, T)))),
    *((name, {"dim": -1}, (SEQUENCE,)) for name in ("mean", "sum", "amax", "argmax", "std", "norm", "logsumexp")),
    ("flatten", {"start_dim": 2}, (TensorType((2, T, 3, 4)),)),
    ("unflatten", {"dim": -1, "unflattened_size": [2, 3]}, (SEQUENCE,)),
    ("permute", {"dims": [0, 2, 1]}, (SEQUENCE,)),
    ("transpose", {"dim0": 1, "dim1": 2}, (HEADS,)),
    ("squeeze", {"dim": 2}, (TensorType((2, T, 1)),)),
    ("unsqueeze", {"dim": 1}, (SEQUENCE,)),
    ("chunk", {"chunks": 2, "dim": -1}, (SEQUENCE,)),
    ("split", {"split_size_or_sections": [2, 4], "dim": -1}, (SEQUENCE,)),
    ("expand", {"sizes": [-1, 3, -1, -1]}, (TensorType((2, 1, T, 4)),)),
    ("identity", {}, (SEQUENCE,)),
    ("cast", {"dtype": "int64"}, (SEQUENCE,)),
    ("rearrange", {"pattern": "b t (h d) -> b h t d", "h": 2}, (SEQUENCE,)),
    ("reshape", {"shape": ["T", 2, 3]}, (SEQUENCE,)),
    ("sinusoidal_positions", {"features": 4}, (NUMBERS,)),
    ("rotary_positions", {"features": 4}, (NUMBERS,)),
    ("rotary_embedding", {"heads": 3}, (SEQUENCE, TensorType((2, T, 2)))),
]

MIXING: list[tuple[str, dict[str, Any], tuple[TensorType, ...]]] = [
    ("softmax", {"dim": 1}, (SEQUENCE,)),
    ("log_softmax", {"dim": 2}, (HEADS,)),
    ("cumsum", {"dim": 1}, (SEQUENCE,)),
    ("instance_norm1d", {}, (TensorType((2, 6, T)),)),
    ("batch_norm1d", {"track_running_stats": False}, (TensorType((2, 6, T)),)),
    ("group_norm", {"num_groups": 2}, (TensorType((2, 6, T)),)),
    ("conv1d", {"out_channels": 4, "kernel_size": 3, "padding": 1}, (TensorType((2, 6, T)),)),
    ("max_pool1d", {"kernel_size": 3, "stride": 1, "padding": 1}, (TensorType((2, 6, T)),)),
    ("reshape", {"shape": [6, "T"]}, (SEQUENCE,)),
]


def ran(op: Op, module: nn.Module | None, tensors: list[Tensor], types: tuple[TensorType, ...]) -> list[Tensor]:
    with torch.no_grad():
        return flatten(run_function(op, tensors, *types) if module is None else module(*tensors))


@pytest.mark.parametrize(
    ("name", "arguments", "types"), CASES, ids=[f"{at}-{case[0]}" for at, case in enumerate(CASES)]
)
def test_position_wise_operators_are_so_in_pytorch(
    name: str, arguments: dict[str, Any], types: tuple[TensorType, ...]
) -> None:
    op = make(OPERATORS[name], arguments)
    assert op.works_position_wise(types, T)
    length = 5
    concrete = tuple(evaluate_type(type, {"T": length}) for type in types)
    tensors = [
        torch.randn(type.shape) if type.floating else torch.randint(0, 2, type.shape).to(getattr(torch, type.dtype))
        for type in concrete  # type: ignore[arg-type]
    ]
    call = op.torch_module(*types)
    module = None if call is None else build(op, call)
    wanted = ran(op, module, tensors, types)
    axes = [type.shape.index(T) if T in type.shape else None for type in types]
    behind = [type.shape.index(T) for type in op.infer(*types)]
    for start, end in ((0, 2), (2, 3), (3, length)):
        cut = [x if axis is None else x.narrow(axis, start, end - start) for x, axis in zip(tensors, axes, strict=True)]
        for found, whole, axis in zip(ran(op, module, cut, types), wanted, behind, strict=True):
            torch.testing.assert_close(found, whole.narrow(axis, start, end - start), rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize(
    ("name", "arguments", "types"), MIXING, ids=[f"{at}-{case[0]}" for at, case in enumerate(MIXING)]
)
def test_operators_that_mix_positions_say_so(
    name: str, arguments: dict[str, Any], types: tuple[TensorType, ...]
) -> None:
    op = make(OPERATORS[name], arguments)
    assert T in op.infer(*types)[0].shape, "the shape alone would tell"
    assert not op.works_position_wise(types, T)


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ("x * 2 + 1", True),
        ("x[:, :, None] + x[:, :, :, None]", True),
        ("x[:, :, 0]", True),
        ("softmax(x, dim=2)", True),
        ("softmax(x, dim=1)", False),
        ("x[:, ::2]", False),
        ("x / T", False),
        ("x * (arange(0, 6) + 1)", True),
        ("x - mean(x, dim=1, keepdim=True)", False),
    ],
)
def test_expressions_are_position_wise_where_all_of_their_operators_are(text: str, alone: bool) -> None:
    op = parse_compute(text, {"T": T} if "T" in text else {})
    assert op.works_position_wise([SEQUENCE], T) is alone
