"""Positions as waves, rotations and biases: types against PyTorch, numbers against the papers' formulas, and ONNX."""

from __future__ import annotations

import cmath
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.nn.alibi import Alibi as AlibiModule
from specdl.nn.relative_position_bias import RelativePositionBias as RelativeModule
from specdl.nn.rotary_embedding import RotaryEmbedding as RotaryModule
from specdl.nn.rotary_positions import RotaryPositions as WavesModule
from specdl.nn.sinusoidal_positions import SinusoidalPositions as SinusoidalModule
from specdl.ops.base import Op
from specdl.ops.positional import Alibi, RelativePositionBias, RotaryEmbedding, RotaryPositions, SinusoidalPositions
from specdl.ops.text import literal
from tests.unit.ops.harness import check, check_arguments, check_symbolic, make, refusal_of, tensor
from tests.unit.ops.onnx_harness import check_onnx

T, S = symbol("T"), symbol("S")
PLACES = tensor(T, dtype="int64")
EACH = tensor(BATCH, T, dtype="int64")
LLAMA = {"llama3": {"factor": 4.0, "original_max_position_embeddings": 64}}

ROUNDED = 2e-5
"""float32 angles of some hundred radians are rounded at the fifth digit."""


# ---- types -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [SinusoidalPositions, RotaryPositions])
@given(
    shape=st.lists(st.integers(1, 4), max_size=3),
    dtype=st.sampled_from(["int64", "int32"]),
    features=st.sampled_from([2, 4, 10]),
)
def test_waves(op: type[Op], shape: list[int], dtype: str, features: int) -> None:
    check(make(op, {"features": features}), tensor(*shape, dtype=dtype))


@pytest.mark.parametrize("op", [SinusoidalPositions, RotaryPositions])
@pytest.mark.parametrize("arguments", [{"features": 3}, {"features": 0}, {"features": 4, "base": 1.0}])
def test_wrong_waves(op: type[Op], arguments: dict[str, Any]) -> None:
    assert refusal_of(op, arguments, tensor(3, dtype="int64")) is not None


def test_waves_of_times() -> None:
    """A diffusion step's time is a number for each example."""
    check(make(SinusoidalPositions, {"features": 4, "interleaved": False}), tensor(3))
    refusal = refusal_of(RotaryPositions, {"features": 4}, tensor(3))
    assert refusal is not None
    assert "positions(x)" in (refusal.help or "")


@given(
    heads=st.sampled_from([None, 1, 2, 3]),
    shape=st.lists(st.sampled_from([2, 4, 6]), min_size=3, max_size=4),
    waves=st.lists(st.sampled_from([1, 2, 4]), min_size=2, max_size=3),
    interleaved=st.booleans(),
)
def test_rotary_embedding(heads: int | None, shape: list[int], waves: list[int], interleaved: bool) -> None:
    x, table = tensor(*shape), tensor(*waves)
    arguments = {"heads": heads, "interleaved": interleaved}
    refusal = refusal_of(RotaryEmbedding, arguments, x, table)
    if refusal is None:
        check(make(RotaryEmbedding, arguments), x, table)
    elif len(shape) == (4 if heads is None else 3) and shape[-1] % (heads or 1) == 0 and shape[-2] == waves[-2] > 1:
        # PyTorch has no such operator: what doesn't fit is a wave too many, or another batch.
        features = shape[-1] // (heads or 1)
        assert waves[-1] % 2 or waves[-1] > features or waves[0] not in (1, shape[0])


@pytest.mark.parametrize(
    ("types", "message", "help"),
    [
        ((tensor(BATCH, T, 32), PLACES), "the waves of `rotary_positions`", "rotary_positions(places): 64"),
        ((tensor(BATCH, T, 32), tensor(S, 8)), "waves for each position", ""),
        ((tensor(BATCH, 4, T, 8), tensor(T, 8)), "[N, T, h·d]", "leave `heads` out"),
        ((tensor(BATCH, T, 30), tensor(T, 8)), "into 4 heads", "divided by"),
        ((tensor(BATCH, T, 32), tensor(T, 16)), "can't turn 16 features", "rotary_positions(…): 8"),
        ((tensor(BATCH, T, 32, dtype="int64"), tensor(T, 8)), "floating-point", ""),
    ],
)
def test_refused_rotation(types: tuple[Any, ...], message: str, help: str) -> None:
    refusal = refusal_of(RotaryEmbedding, {"heads": 4}, *types)
    assert refusal is not None
    assert message in refusal.message
    assert help in (refusal.help or "")


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ("llama", "did you mean `llama3`?"),
        ({"linear": {}}, "`linear` needs `factor`"),
        ({"linear": {"by": 2}}, "no argument `by`"),
        ({"llama3": {"factor": "4"}}, "`factor` must be a number above 0"),
        ({"llama3": {"original_max_position_embeddings": 1.5}}, "an integer above 0"),
        ({"llama3": {"low_freq_factor": 4.0}}, "less than"),
        ({"llama3": [8]}, "a mapping"),
        (4, "expected `llama3`"),
    ],
)
def test_wrong_scaling(scaling: Any, message: str) -> None:
    refusal = refusal_of(RotaryPositions, {"features": 4, "scaling": scaling}, tensor(3, dtype="int64"))
    assert refusal is not None
    assert message in refusal.message


@pytest.mark.parametrize("op", [RelativePositionBias, Alibi])
@given(
    heads=st.sampled_from([0, 1, 2, 3]),
    shapes=st.lists(st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=3), min_size=1, max_size=2),
    dtype=st.sampled_from(["int64", "int32"]),
)
def test_pair_biases(op: type[Op], heads: int, shapes: list[list[int]], dtype: str) -> None:
    types = [tensor(*shape, dtype=dtype) for shape in shapes]
    if all(len(shape) < 3 for shape in shapes) and heads:
        check_arguments(op, {"heads": heads}, *types)
    else:
        assert refusal_of(op, {"heads": heads}, *types) is not None


@pytest.mark.parametrize(
    "arguments",
    [{"buckets": 3}, {"buckets": 2}, {"max_distance": 8}, {"buckets": 1, "bidirectional": False}],
)
def test_wrong_buckets(arguments: dict[str, Any]) -> None:
    assert refusal_of(RelativePositionBias, {"heads": 2, **arguments}, tensor(3, dtype="int64")) is not None


def test_symbolic_sizes() -> None:
    sizes = {"N": 2, "T": 3, "S": 5}
    keys = tensor(S, dtype="int64")
    check_symbolic(SinusoidalPositions(features=8), EACH, sizes=sizes)
    check_symbolic(RotaryPositions(features=8), PLACES, sizes=sizes)
    check_symbolic(RotaryEmbedding(heads=4), tensor(BATCH, T, 32), tensor(BATCH, T, 8), sizes=sizes)
    check_symbolic(RelativePositionBias(heads=2), PLACES, keys, sizes=sizes)
    check_symbolic(Alibi(heads=2), EACH, keys, sizes=sizes)


# ---- numbers ---------------------------------------------------------------------------------------------


def test_waves_are_the_papers() -> None:
    """Vaswani et al. 2017, section 3.5: PE(pos, 2i) = sin(pos / 10000^(2i/d)), PE(pos, 2i+1) = cos(...)."""
    found = SinusoidalModule(6)(torch.arange(50))
    for position in (0, 1, 49):
        for i in range(3):
            angle = position / 10000 ** (2 * i / 6)
            assert found[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=ROUNDED)
            assert found[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=ROUNDED)
    halves = SinusoidalModule(6, interleaved=False)(torch.arange(50))
    torch.testing.assert_close(halves, torch.cat([found[:, ::2], found[:, 1::2]], dim=1), rtol=0, atol=0)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("heads", [None, 2])
@pytest.mark.parametrize("turned", [8, 4])
@pytest.mark.parametrize("each", [False, True])
def test_rotation_multiplies_complex_numbers(interleaved: bool, heads: int | None, turned: int, each: bool) -> None:
    """Su et al. 2021, section 3.2: a pair of features, seen as a complex number, times e^(i·position·rate)."""
    torch.manual_seed(0)
    places = torch.tensor([[3, 0, 7], [1, 100, 2]]) if each else torch.tensor([3, 0, 7])
    x = torch.randn(2, 3, 2, 8)  # [N, T, h, d]
    given = x.flatten(2) if heads else x.transpose(1, 2)
    found = RotaryModule(heads, interleaved)(given, WavesModule(turned)(places))
    found = found.view(2, 3, 2, 8) if heads else found.transpose(1, 2)
    for example in range(2):
        for t in range(3):
            position = int(places[example, t] if each else places[t])
            for i in range(turned // 2):
                first, second = (2 * i, 2 * i + 1) if interleaved else (i, i + turned // 2)
                pair = x[example, t, 0]
                wanted = complex(pair[first], pair[second]) * cmath.exp(1j * position / 10000 ** (2 * i / turned))
                assert found[example, t, 0, first].item() == pytest.approx(wanted.real, abs=ROUNDED)
                assert found[example, t, 0, second].item() == pytest.approx(wanted.imag, abs=ROUNDED)
    torch.testing.assert_close(found[..., turned:], x[..., turned:], rtol=0, atol=0)


def test_products_depend_on_the_distance_alone() -> None:
    query, key = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)

    def score(t: int, s: int) -> float:
        turned = [RotaryModule()(x, WavesModule(16)(torch.tensor([place]))) for x, place in ((query, t), (key, s))]
        return (turned[0] * turned[1]).sum().item()

    assert score(5, 2) == pytest.approx(score(105, 102), abs=1e-4)  # sums of sixteen rounded products
    assert score(5, 2) != pytest.approx(score(5, 3), abs=1e-3)


def test_scaling_stretches_slow_waves() -> None:
    """Llama 3.1: waves shorter than length/high stay, those longer than length/low are divided by the factor."""
    places = torch.tensor([1])

    def rates(**arguments: Any) -> torch.Tensor:
        cosine, sine = WavesModule(32, 100.0, **arguments)(places).double().chunk(2, dim=-1)
        return torch.atan2(sine, cosine)[0]

    plain = rates()
    torch.testing.assert_close(rates(factor=4.0), plain / 4, rtol=1e-5, atol=1e-7)  # float32 angles
    found = rates(factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
    length = 2 * math.pi / plain
    fast, slow = length < 64 / 4, length > 64
    assert fast.any()
    assert slow.any()
    torch.testing.assert_close(found[fast], plain[fast], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found[slow], plain[slow] / 4, rtol=1e-5, atol=1e-7)
    between = found[~(fast | slow)] / plain[~(fast | slow)]
    assert bool(((between > 0.25) & (between < 1)).all())


def test_buckets_of_distances() -> None:
    op = RelativePositionBias(heads=1)
    numbers = dict(zip(range(-128, 129), op.numbers(), strict=True))
    assert [numbers[-far] for far in (0, 1, 7, 8, 11, 12, 16, 127, 128)] == [0, 1, 7, 8, 8, 9, 10, 15, 15]
    assert numbers[1] == 17
    causal = RelativePositionBias(heads=1, bidirectional=False)
    numbers = dict(zip(range(-128, 129), causal.numbers(), strict=True))
    assert (numbers[5], numbers[-15], numbers[-16], numbers[-128]) == (0, 15, 16, 31)


def test_relative_bias_reads_its_table() -> None:
    module = RelativeModule(3, buckets=8, max_distance=20, bidirectional=True)
    op = RelativePositionBias(heads=3, buckets=8, max_distance=20)
    assert module.numbers.tolist() == op.numbers()
    queries, keys = torch.tensor([40, 41]), torch.tensor([0, 40, 43])
    found = module(queries, keys)
    assert found.shape == (1, 3, 2, 3)
    for t, query in enumerate(queries.tolist()):
        for s, key in enumerate(keys.tolist()):
            bucket = op.numbers()[max(min(key - query, 20), -20) + 20]
            torch.testing.assert_close(found[0, :, t, s], module.weight[bucket], rtol=0, atol=0)
    each = module(torch.stack([queries, queries + 1]), keys[None])
    torch.testing.assert_close(each[0], found[0], rtol=0, atol=0)
    assert list(module.state_dict()) == ["weight"]


def test_alibi_costs_distance() -> None:
    """Press et al. 2021: slopes of 8 heads are 1/2 … 1/256; of 12, those and every second one of 16."""
    found = AlibiModule(8)(torch.arange(3), torch.arange(4))
    assert found.shape == (1, 8, 3, 4)
    assert [found[0, head, 2, 0].item() for head in (0, 7)] == [-1.0, -2 / 256]
    assert found[0, 0, 0].tolist() == [0.0, -0.5, -1.0, -1.5]
    twelve = [-slope for slope in AlibiModule(12)(torch.tensor([1]), torch.tensor([0])).flatten().tolist()]
    assert twelve[:8] == [2.0**-power for power in range(1, 9)]
    assert twelve[8:] == pytest.approx([2.0**-power for power in (0.5, 1.5, 2.5, 3.5)])
    assert Alibi(heads=12).slopes() == pytest.approx(twelve)


# ---- ONNX ------------------------------------------------------------------------------------------------

SIZES = ({"N": 2, "T": 5, "S": 7}, {"N": 3, "T": 1, "S": 2}, {"N": 1, "T": 200, "S": 150})


@pytest.mark.parametrize("places", [PLACES, EACH, tensor(BATCH)], ids=str)
@pytest.mark.parametrize("interleaved", [True, False])
def test_onnx_of_waves(places: Any, interleaved: bool) -> None:
    check_onnx(SinusoidalPositions(features=6, interleaved=interleaved), places, sizes=SIZES, rows=50)


@pytest.mark.parametrize("places", [PLACES, EACH], ids=str)
@pytest.mark.parametrize("scaling", [None, "llama3", {"linear": 3}, LLAMA], ids=str)
def test_onnx_of_rotary_positions(places: Any, scaling: Any) -> None:
    op = make(RotaryPositions, {"features": 8, "base": 500.0, "scaling": scaling})
    check_onnx(op, places, sizes=SIZES, rows=100)


@pytest.mark.parametrize("heads", [None, 2])
@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("waves", [tensor(T, 8), tensor(BATCH, T, 4)], ids=str)
def test_onnx_of_rotation(heads: int | None, interleaved: bool, waves: Any) -> None:
    x = tensor(BATCH, T, 16) if heads else tensor(BATCH, 2, T, 8)
    check_onnx(RotaryEmbedding(heads=heads, interleaved=interleaved), x, waves, sizes=SIZES[:2])


@pytest.mark.parametrize("op", [RelativePositionBias(heads=3), Alibi(heads=3)], ids=repr)
@pytest.mark.parametrize(
    "types",
    [(PLACES,), (EACH,), (PLACES, tensor(S, dtype="int64")), (EACH, tensor(BATCH, S, dtype="int64"))],
    ids=str,
)
def test_onnx_of_pair_biases(op: Op, types: Any) -> None:
    check_onnx(op, *types, sizes=SIZES, rows=300)
    if isinstance(op, RelativePositionBias):
        check_onnx(RelativePositionBias(heads=2, bidirectional=False), *types, sizes=SIZES, rows=300)


# ---- text ------------------------------------------------------------------------------------------------


def test_text() -> None:
    assert literal(SinusoidalPositions(features=8).torch_module(PLACES)) == "SinusoidalPositions(8)"
    waves = make(RotaryPositions, {"features": 8, "base": 500000.0, "scaling": {"linear": {"factor": 2}}})
    assert literal(waves.torch_module(PLACES)) == "RotaryPositions(8, base=500000.0, factor=2)"
    assert (waves.title(), waves.details()) == ("Rotary positions 8", "base 500000, linear scaling")
    assert literal(RotaryEmbedding(heads=4).torch_module()) == "RotaryEmbedding(heads=4)"
    bias = RelativePositionBias(heads=4, bidirectional=False)
    assert literal(bias.torch_module()) == "RelativePositionBias(4, bidirectional=False)"
    assert (bias.title(), bias.details()) == ("Relative position bias, 4 heads", "32 buckets up to 128")
    assert (literal(Alibi(heads=4).torch_module()), Alibi(heads=1).title()) == ("Alibi(4)", "ALiBi, 1 head")
