"""Attention against PyTorch's own: types and refusals, numbers, `state_dict`, FLOPs, and ONNX at dynamic lengths."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from specdl.ir.dims import BATCH, symbol
from specdl.ir.types import TensorType
from specdl.nn.multi_head_attention import MultiHeadAttention as MultiHeadAttentionModule
from specdl.nn.scaled_dot_product_attention import ScaledDotProductAttention
from specdl.ops.attention import Attention, MultiHeadAttention
from specdl.ops.base import TypeRuleError
from specdl.ops.text import literal
from tests.unit.ops.harness import check, check_arguments, check_symbolic, make, refusal_of, tensor
from tests.unit.ops.onnx_harness import check_onnx

T, S = symbol("T"), symbol("S")

EXACT = 1e-5
"""The same sums of a few dozen float32 products, in another order."""


# ---- attention: types ------------------------------------------------------------------------------------


@st.composite
def masks(draw: st.DrawFn, heads: int, queries: int, keys: int, batch: int = 2) -> tuple[TensorType, ...]:
    """No mask, or one in one of its forms, each axis whole, 1 or now and then wrong."""
    target = {2: (batch, keys), 3: (batch, queries, keys), 4: (batch, heads, queries, keys)}
    rank = draw(st.sampled_from([0, 2, 3, 4]))
    if not rank:
        return ()
    sizes = [draw(st.sampled_from([size, size, 1, 7])) for size in target[rank]]
    return (tensor(*sizes, dtype="bool"),)


@given(
    data=st.data(),
    heads=st.sampled_from([1, 2, 4]),
    key_heads=st.sampled_from([1, 2, 3, 4]),
    lengths=st.tuples(st.sampled_from([2, 3]), st.sampled_from([2, 3])),
    features=st.tuples(st.sampled_from([2, 4]), st.sampled_from([2, 4, 4]), st.sampled_from([2, 5])),
    causal=st.booleans(),
    value_length=st.sampled_from([0, 0, 0, 3]),
)
def test_split_heads(
    data: st.DataObject,
    heads: int,
    key_heads: int,
    lengths: tuple[int, int],
    features: tuple[int, int, int],
    causal: bool,
    value_length: int,
) -> None:
    queries, keys = lengths
    types = (
        tensor(2, heads, queries, features[0]),
        tensor(2, key_heads, keys, features[1]),
        tensor(2, key_heads, keys + value_length, features[2]),
        *data.draw(masks(heads, queries, keys)),
    )
    check_arguments(Attention, {"causal": causal}, *types)


@given(
    data=st.data(),
    heads=st.sampled_from([1, 2, 3, 4]),
    kv_heads=st.sampled_from([None, 1, 2, 3]),
    widths=st.tuples(st.sampled_from([8, 12]), st.sampled_from([8, 8, 12, 4]), st.sampled_from([8, 12, 4])),
    lengths=st.tuples(st.sampled_from([2, 3]), st.sampled_from([2, 3])),
    causal=st.booleans(),
    dropout=st.sampled_from([0.0, 0.5, 1.5]),
)
def test_joined_heads(
    data: st.DataObject,
    heads: int,
    kv_heads: int | None,
    widths: tuple[int, int, int],
    lengths: tuple[int, int],
    causal: bool,
    dropout: float,
) -> None:
    queries, keys = lengths
    inputs = (tensor(2, queries, widths[0]), tensor(2, keys, widths[1]), tensor(2, keys, widths[2]))
    mask = data.draw(masks(heads, queries, keys))
    arguments = {"heads": heads, "kv_heads": kv_heads, "causal": causal, "dropout": dropout}
    check_arguments(Attention, arguments, *inputs, *mask)


@given(sizes=st.lists(st.sampled_from([1, 2, 3, 5]), min_size=2, max_size=5))
def test_bias(sizes: list[int]) -> None:
    inputs = (tensor(2, 4, 3, 6), tensor(2, 4, 5, 6), tensor(2, 4, 5, 6))
    check_arguments(Attention, {}, *inputs, tensor(2, 5, dtype="bool"), tensor(*sizes))


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "int64"])
@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_dtypes(dtype: str, position: int) -> None:
    types = [tensor(2, 4, 3, 6)] * 3 + [tensor(2, 4, 3, 3)]
    types[position] = tensor(*types[position].shape, dtype=dtype)
    if position == 3 and dtype == "float64":
        # PyTorch takes it and rounds; a spec says so with `cast`.
        assert refusal_of(Attention, {}, *types) is not None
    else:
        check_arguments(Attention, {}, *types)


def test_symbolic_sizes() -> None:
    query, memory = tensor(BATCH, T, 32), tensor(BATCH, S, 16)
    masks = [(), (tensor(BATCH, S, dtype="bool"),), (tensor(BATCH, T, S, dtype="bool"), tensor(1, 8, T, S))]
    for extra in masks:
        op = Attention(heads=8, kv_heads=4)
        check_symbolic(op, query, memory, memory, *extra, sizes={"N": 2, "T": 3, "S": 5})
    check_symbolic(Attention(), *[tensor(BATCH, 4, T, 8)] * 3, sizes={"N": 2, "T": 3})


@pytest.mark.parametrize(
    ("arguments", "types", "message", "help"),
    [
        ({"heads": 5}, [(BATCH, T, 32)] * 3, "can't divide the 32 features of the query into 5 heads", ""),
        ({}, [(BATCH, T, 32)] * 3, "[N, h, T, d]", "give `heads`"),
        ({"heads": 2}, [(BATCH, 2, T, 32)] * 3, "[N, T, h·d]", "leave `heads` out"),
        ({"kv_heads": 2}, [(BATCH, 2, T, 32)] * 3, "`kv_heads` only with `heads`", "give `heads`"),
        ({"heads": 8}, [(BATCH, T, 32), (BATCH, S, 8), (BATCH, S, 8)], "of one size a head", "`kv_heads: 2`?"),
        (
            {"heads": 8, "kv_heads": 3},
            [(BATCH, T, 32), (BATCH, S, 12), (BATCH, S, 12)],
            "share 3 key heads",
            "multiple",
        ),
        ({"heads": 8}, [(BATCH, T, 32), (BATCH, S, 32), (BATCH, T, 32)], "a value for each key", ""),
        ({"heads": 8}, [(2, 4, 32), (3, 4, 32), (3, 4, 32)], "one batch", ""),
        ({"heads": 8}, [(BATCH, T, T)] * 3, "when the spec is compiled", ""),
    ],
)
def test_refused(arguments: dict[str, Any], types: list[tuple[Any, ...]], message: str, help: str) -> None:
    refusal = refusal_of(Attention, arguments, *(tensor(*shape) for shape in types))
    assert refusal is not None
    assert message in refusal.message
    assert help in (refusal.help or "")


def test_refused_masks() -> None:
    inputs = [tensor(BATCH, T, 32)] * 3
    refusal = refusal_of(Attention, {"heads": 8}, *inputs, tensor(T, T, dtype="bool"))
    assert refusal is not None
    assert "mask[None]" in (refusal.help or "")
    refusal = refusal_of(Attention, {"heads": 8}, *inputs, tensor(BATCH, T, T))
    assert refusal is not None
    assert "bias[:, None]" in (refusal.help or "")


@pytest.mark.parametrize(("port", "dtype", "help"), [("mask", "float32", "`bias`"), ("bias", "bool", "`mask`")])
def test_mask_and_bias_are_told_apart(port: str, dtype: str, help: str) -> None:
    x = tensor(BATCH, 4, T, 8)
    ports = {"query": x, "key": x, "value": x, port: tensor(BATCH, 1, T, T, dtype=dtype)}
    with pytest.raises(TypeRuleError) as caught:
        Attention().check_ports(ports)
    assert help in (caught.value.help or "")
    assert caught.value.input == 3


# ---- attention: numbers ----------------------------------------------------------------------------------


def _reference(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    keep: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    scale: float | None = None,
) -> torch.Tensor:
    """The formula, written out, over `[N, h, T, d]`; `keep` is `[N, h, T, S]`."""
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    scores = scores if bias is None else scores + bias
    if keep is not None:
        scores = scores.masked_fill(~keep, -torch.inf)
    return scores.softmax(-1).nan_to_num(0.0) @ value  # NaN: a row without anything to attend


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("form", ["none", "keys", "pairs", "heads"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("window", [None, 1, 2])
def test_numbers(kv_heads: int, form: str, causal: bool, biased: bool, window: int | None) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 5, 32), torch.randn(2, 6, kv_heads * 8), torch.randn(2, 6, kv_heads * 3)
    shape = {"keys": (2, 6), "pairs": (2, 5, 6), "heads": (2, 4, 5, 6)}.get(form)
    mask = None if shape is None else torch.rand(shape) < 0.5
    if mask is not None:
        mask[0] = False
    bias = torch.randn(1, 4, 5, 6) if biased else None
    keep = torch.ones(2, 4, 5, 6, dtype=torch.bool)
    if mask is not None:
        keep = keep & (mask[:, None, None] if form == "keys" else mask[:, None] if form == "pairs" else mask)
    keep = keep.tril() if causal else keep
    if window is not None:
        keep = keep & ((torch.arange(5)[:, None] - torch.arange(6)).abs() < window)
    q, k, v = (
        x.reshape(2, -1, heads, x.shape[-1] // heads).permute(0, 2, 1, 3)
        for x, heads in ((query, 4), (key, kv_heads), (value, kv_heads))
    )
    expected = _reference(q, k, v, keep, bias, scale=0.3)
    for joined in (True, False):
        module = ScaledDotProductAttention(
            heads=4 if joined else None, kv_heads=kv_heads if joined else None, causal=causal, scale=0.3, window=window
        )
        inputs = (query, key, value) if joined else (q, k, v)
        found = module(*inputs, mask, bias)
        wanted = expected.permute(0, 2, 1, 3).reshape(2, 5, -1) if joined else expected
        torch.testing.assert_close(found, wanted, rtol=EXACT, atol=EXACT)


def test_dropout_is_for_training() -> None:
    module = ScaledDotProductAttention(heads=2, dropout=1.0)
    x = torch.randn(2, 3, 8)
    assert module(x, x, x).abs().max() == 0
    evaluated = module.eval()(x, x, x)
    torch.testing.assert_close(evaluated, ScaledDotProductAttention(heads=2)(x, x, x), rtol=0, atol=0)
    assert Attention(heads=2, dropout=0.1).random
    assert not Attention(heads=2).random


# ---- attention: ONNX -------------------------------------------------------------------------------------

SIZES = ({"N": 2, "T": 5, "S": 7}, {"N": 3, "T": 6, "S": 2}, {"N": 1, "T": 1, "S": 1})


@pytest.mark.parametrize("opset", [20, 23])
@pytest.mark.parametrize("kv_heads", [8, 2, 1])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "extra",
    [
        (),
        (tensor(BATCH, S, dtype="bool"),),
        (tensor(BATCH, T, S, dtype="bool"),),
        (tensor(BATCH, 8, T, S, dtype="bool"),),
        (tensor(1, T, S, dtype="bool"),),
        (None, tensor(1, 8, T, S)),
        (None, tensor(T, S)),
        (tensor(BATCH, S, dtype="bool"), tensor(1, 8, T, S)),
    ],
)
def test_onnx(opset: int, kv_heads: int, causal: bool, extra: tuple[TensorType | None, ...]) -> None:
    query, memory = tensor(BATCH, T, 32), tensor(BATCH, S, 4 * kv_heads)
    joined = Attention(heads=8, kv_heads=kv_heads, causal=causal)
    check_onnx(joined, query, memory, memory, *extra, sizes=SIZES, opset=opset, masked=True)
    split = Attention(causal=causal, scale=0.2)
    inputs = (tensor(BATCH, 8, T, 4), tensor(BATCH, kv_heads, S, 4), tensor(BATCH, kv_heads, S, 6))
    check_onnx(split, *inputs, *extra, sizes=SIZES, opset=opset, masked=True)


@pytest.mark.parametrize("opset", [20, 23])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize(
    "extra",
    [(), (tensor(BATCH, S, dtype="bool"),), (None, tensor(1, 8, T, S)), (tensor(BATCH, S, dtype="bool"), tensor(T, S))],
)
def test_onnx_of_a_window(opset: int, causal: bool, window: int, extra: tuple[TensorType | None, ...]) -> None:
    """Of more queries than keys, the last have nothing within reach."""
    query, memory = tensor(BATCH, T, 32), tensor(BATCH, S, 32)
    joined = Attention(heads=8, causal=causal, window=window)
    check_onnx(joined, query, memory, memory, *extra, sizes=SIZES, opset=opset, masked=True)
    x = tensor(BATCH, 8, T, 4)
    extra = tuple(
        None if type is None else type.with_shape(*(T if size == S else size for size in type.shape)) for type in extra
    )
    check_onnx(Attention(causal=causal, window=window), x, x, x, *extra, sizes=SIZES, opset=opset, masked=True)


@pytest.mark.parametrize("opset", [20, 23])
def test_onnx_of_queries_that_are_no_examples(opset: int) -> None:
    """Learned queries have a batch of 1."""
    check_onnx(Attention(heads=4), tensor(1, 3, 16), *[tensor(BATCH, S, 16)] * 2, sizes=SIZES, opset=opset)


def test_onnx_uses_one_node_where_the_opset_has_it() -> None:
    x = tensor(BATCH, T, 16)
    model = check_onnx(Attention(heads=4, causal=True), x, x, x, sizes=SIZES, opset=23)
    assert [node.op_type for node in model.graph.node] == ["Attention"]


# ---- attention: text -------------------------------------------------------------------------------------


def test_text() -> None:
    x, full = tensor(BATCH, 4, T, 8), tensor(BATCH, 4, T, T, dtype="bool")
    names = ["q", "k", "v"]
    assert Attention(causal=True).torch_function(names, x, x, x) == (
        "F.scaled_dot_product_attention(q, k, v, is_causal=True)"
    )
    assert Attention(scale=1.0).torch_function([*names, "None", "bias"], x, x, x, tensor(1, 4, T, T)) == (
        "F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)"
    )
    grouped = tensor(BATCH, 2, T, 8)
    assert Attention().torch_function(names, x, grouped, grouped) == (
        "F.scaled_dot_product_attention(q, k, v, enable_gqa=True)"
    )
    assert Attention(causal=True).torch_function([*names, "mask"], x, x, x, full) is None
    joined = Attention(heads=4, kv_heads=2, dropout=0.1)
    assert literal(joined.torch_module()) == "ScaledDotProductAttention(heads=4, kv_heads=2, dropout=0.1)"
    assert (joined.title(), joined.details()) == ("Attention, 4 heads", "2 key heads, dropout 0.1")
    near = Attention(causal=True, window=8)
    assert near.torch_function(names, x, x, x) is None
    assert (literal(near.torch_module()), near.details()) == (
        "ScaledDotProductAttention(causal=True, window=8)",
        "causal, window 8",
    )


# ---- multi-head attention --------------------------------------------------------------------------------


@given(
    data=st.data(),
    num_heads=st.sampled_from([0, 1, 2, 3]),
    bias=st.booleans(),
    causal=st.booleans(),
    dropout=st.sampled_from([0.0, 0.5, 1.5]),
    memory=st.sampled_from([0, 1, 2]),
    widths=st.tuples(st.sampled_from([4, 6]), st.sampled_from([4, 6]), st.sampled_from([4, 6])),
    lengths=st.tuples(st.sampled_from([2, 3]), st.sampled_from([2, 3])),
)
def test_multi_head_arguments(
    data: st.DataObject,
    num_heads: int,
    bias: bool,
    causal: bool,
    dropout: float,
    memory: int,
    widths: tuple[int, int, int],
    lengths: tuple[int, int],
) -> None:
    queries, keys = lengths
    query, key, value = tensor(2, queries, widths[0]), tensor(2, keys, widths[1]), tensor(2, keys, widths[2])
    given = (query, key, value)[: memory + 1]
    arguments = {"num_heads": num_heads, "bias": bias, "causal": causal, "dropout": dropout}
    mask = data.draw(masks(max(num_heads, 1), queries, keys if memory else queries))
    if mask and memory < 2:  # by position, PyTorch's mask comes fourth
        assert (refusal_of(MultiHeadAttention, arguments, *given, *mask) is None) == (
            refusal_of(MultiHeadAttention, arguments, *(given * 3 if not memory else (query, key, key)), *mask) is None
        )
    else:
        check_arguments(MultiHeadAttention, arguments, *given, *mask)


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ([(BATCH, 32)], "[N, T, C]"),
        ([(BATCH, 3, 8, 8)], "[N, T, C]"),
        ([(BATCH, T, 30)], "into 8 heads"),
        ([(BATCH, T, 32), (BATCH, S, 32), (BATCH, T, 32)], "a value for each key"),
    ],
)
def test_multi_head_refused(types: list[tuple[Any, ...]], message: str) -> None:
    refusal = refusal_of(MultiHeadAttention, {"num_heads": 8}, *(tensor(*shape) for shape in types))
    assert refusal is not None
    assert message in refusal.message


def test_multi_head_ports() -> None:
    x, mask = tensor(BATCH, T, 8), tensor(BATCH, T, dtype="bool")
    op = MultiHeadAttention(num_heads=2)
    op.check_ports({"query": x, "mask": mask})
    for ports, message in [
        ({"query": x, "value": x}, "no key"),
        ({"query": x, "key": mask}, "floating-point"),
        ({"query": x, "mask": x}, "boolean"),
    ]:
        with pytest.raises(TypeRuleError, match=message):
            op.check_ports(ports)


@pytest.mark.parametrize("widths", [(8, 8, 8), (8, 6, 6), (8, 8, 4)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_multi_head_numbers(widths: tuple[int, int, int], bias: bool, causal: bool, masked: bool) -> None:
    """The same weights in `nn.MultiheadAttention` give the same, with its masks, which say what is left out."""
    torch.manual_seed(0)
    kdim, vdim = widths[1:]
    ours = MultiHeadAttentionModule(8, 2, bias=bias, causal=causal, kdim=kdim, vdim=vdim)
    theirs = nn.MultiheadAttention(8, 2, bias=bias, kdim=kdim, vdim=vdim, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    query, key, value = torch.randn(3, 4, 8), torch.randn(3, 5, kdim), torch.randn(3, 5, vdim)
    mask = torch.rand(3, 5) < 0.6
    mask[:, 0] = True  # PyTorch's module has its own ideas about rows without any
    wanted, _ = theirs(
        query,
        key,
        value,
        key_padding_mask=~mask if masked else None,
        attn_mask=~torch.ones(4, 5, dtype=torch.bool).tril() if causal else None,
        need_weights=False,
    )
    found = ours(query, key, value, mask if masked else None)
    torch.testing.assert_close(found, wanted, rtol=EXACT, atol=EXACT)


def test_multi_head_self_attention_has_no_fast_path_to_nan() -> None:
    torch.manual_seed(0)
    module = MultiHeadAttentionModule(8, 2).eval()
    x, mask = torch.randn(2, 4, 8), torch.tensor([[False] * 4, [True] * 4])
    with torch.no_grad():
        found = module(x, mask=mask)
    torch.testing.assert_close(found[0], module.out_proj.bias.expand(4, 8), rtol=0, atol=0)
    torch.testing.assert_close(found[1:], module(x[1:]), rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("arguments", [{}, {"bias": False}, {"kdim": 6}, {"kdim": 6, "vdim": 4}])
def test_multi_head_begins_as_pytorch_does(arguments: dict[str, Any]) -> None:
    torch.manual_seed(3)
    ours = MultiHeadAttentionModule(8, 2, **arguments).state_dict()
    torch.manual_seed(3)
    theirs = nn.MultiheadAttention(8, 2, **arguments).state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("opset", [20, 23])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("form", ["self", "memory", "other sizes", "query alone"])
def test_multi_head_onnx(opset: int, bias: bool, causal: bool, form: str) -> None:
    op = MultiHeadAttention(num_heads=4, bias=bias, causal=causal)
    x, memory, length = tensor(BATCH, T, 16), tensor(BATCH, S, 16 if form == "memory" else 12), S
    inputs: tuple[TensorType | None, ...] = (x, memory, None)
    if form == "self":
        inputs, length = (x, None, None), T
    elif form == "query alone":
        inputs = (tensor(1, 3, 16), memory, memory)
    for mask in ((), (tensor(BATCH, length, dtype="bool"),)):
        check_onnx(op, *inputs, *mask, sizes=SIZES, opset=opset, masked=True)


def test_multi_head_symbolic_and_text() -> None:
    x, memory = tensor(BATCH, T, 16), tensor(BATCH, S, 12)
    op = MultiHeadAttention(num_heads=4, dropout=0.1)
    check_symbolic(op, x, memory, sizes={"N": 2, "T": 3, "S": 5})
    check(op, tensor(2, 3, 16))
    assert literal(op.torch_module(x)) == "MultiHeadAttention(16, num_heads=4, dropout=0.1)"
    assert literal(op.torch_module(x, memory)) == "MultiHeadAttention(16, num_heads=4, dropout=0.1, kdim=12, vdim=12)"
    assert (op.title(), op.details()) == ("Multi-head attention, 4 heads", "dropout 0.1")
    made = make(MultiHeadAttention, {"num_heads": 4})
    assert made.weights(x, memory)[0].name == "q_proj_weight"


def test_reference_agrees_with_pytorch() -> None:
    """The formula in this file is PyTorch's."""
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 4, 5, 8), torch.randn(2, 2, 6, 8), torch.randn(2, 2, 6, 3)
    found = functional.scaled_dot_product_attention(query, key, value, enable_gqa=True)
    torch.testing.assert_close(_reference(query, key, value), found, rtol=EXACT, atol=EXACT)
