"""LSTM, GRU and RNN against PyTorch: shapes, `state_dict`, FLOPs; initial states and lengths."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.ops import recurrent
from specdl.ops.base import Op, TypeRuleError
from specdl.ops.recurrent import Gru, Lstm, Rnn
from specdl.ops.text import literal
from tests.unit.ops.harness import build, check, check_arguments, check_symbolic, flatten, make, refusal_of, tensor
from tests.unit.ops.onnx_harness import check_onnx


@pytest.mark.parametrize("op", recurrent.OPS, ids=lambda op: op.operator)
@given(
    hidden_size=st.integers(0, 4),
    num_layers=st.integers(0, 3),
    bias=st.booleans(),
    bidirectional=st.booleans(),
    dropout=st.sampled_from([0.0, 0.5, 1.5]),
    shape=st.lists(st.integers(1, 4), min_size=3, max_size=3),
)
def test_arguments(
    op: type[Op],
    hidden_size: int,
    num_layers: int,
    bias: bool,
    bidirectional: bool,
    dropout: float,
    shape: list[int],
) -> None:
    arguments = {
        "hidden_size": hidden_size,
        "num_layers": num_layers,
        "bias": bias,
        "bidirectional": bidirectional,
        "dropout": dropout,
    }
    if dropout > 1 and num_layers <= 1:
        # The call leaves it out, as there is nothing between the layers; the number is wrong all the same.
        assert refusal_of(op, arguments, tensor(*shape)) is not None
    else:
        check_arguments(op, arguments, tensor(*shape))


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_nonlinearity(nonlinearity: str) -> None:
    check(make(Rnn, {"hidden_size": 4, "nonlinearity": nonlinearity}), tensor(2, 3, 5))


@pytest.mark.parametrize("op", recurrent.OPS, ids=lambda op: op.operator)
def test_symbolic_sizes(op: type[Op]) -> None:
    made = make(op, {"hidden_size": 4, "num_layers": 2, "bidirectional": True})
    check_symbolic(made, tensor(BATCH, symbol("T"), 8), sizes={"N": 2, "T": 3})


@pytest.mark.parametrize(
    ("shape", "message"), [((BATCH, 8), "N, T, C"), ((BATCH, 8, symbol("T")), "when the spec is compiled")]
)
def test_refused_inputs(shape: tuple[object, ...], message: str) -> None:
    refusal = refusal_of(Lstm, {"hidden_size": 4}, tensor(*shape))  # type: ignore[arg-type]
    assert refusal is not None
    assert message in refusal.message


def test_text() -> None:
    x = tensor(BATCH, symbol("T"), 8)
    lstm = Lstm(hidden_size=16, num_layers=2, dropout=0.1)
    assert literal(lstm.torch_module(x)) == "nn.LSTM(8, 16, num_layers=2, dropout=0.1, batch_first=True)"
    assert literal(Gru(hidden_size=16, dropout=0.1).torch_module(x)) == "nn.GRU(8, 16, batch_first=True)"
    assert (lstm.title(), lstm.details()) == ("LSTM 16", "2 layers")


def test_targets() -> None:
    lstm = Lstm(hidden_size=16)
    assert lstm.torch_targets(["output", "h", "c"]) == "output, (h, c)"
    assert lstm.torch_targets(["_", "h", "_"]) == "_, (h, _)"
    assert lstm.torch_targets(["output", "_", "_"]) == "output, _"
    assert Gru(hidden_size=16).torch_targets(["output", "h"]) == "output, h"


# ---- initial states and lengths --------------------------------------------------------------------------

T = symbol("T")
KINDS = pytest.mark.parametrize("op", recurrent.OPS, ids=lambda op: op.operator)


def _states(op: type[Op], *shape: Any) -> list[Any]:
    return [tensor(*shape)] * (len(op.outputs) - 1)


@KINDS
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_lengths(op: type[Op], bidirectional: bool, begun: bool) -> None:
    """Each sequence of a padded batch gives what it gives alone, and zeros behind its end."""
    torch.manual_seed(0)
    made = make(op, {"hidden_size": 4, "num_layers": 2, "bidirectional": bidirectional})
    x, lengths = tensor(3, 6, 5), tensor(3, dtype="int64")
    rows = 4 if bidirectional else 2
    types = [x, *(_states(op, rows, 3, 4) if begun else []), lengths]
    assert made.infer(*types) == made.infer(x)
    assert made.weights(*types) == made.weights(x)
    assert made.flops(types, made.infer(*types)) == made.flops([x], made.infer(x))
    packed = build(made, made.torch_module(*types))  # type: ignore[arg-type]
    plain = build(made, made.torch_module(x))  # type: ignore[arg-type]
    plain.load_state_dict(packed.state_dict(), strict=True)
    batch, steps = torch.randn(3, 6, 5), torch.tensor([6, 2, 4])
    states = [torch.randn(rows, 3, 4) for _ in op.outputs[1:]] if begun else []
    output, *finals = flatten(packed(batch, *states, lengths=steps))
    for row, length in enumerate(steps.tolist()):
        begin = [state[:, row : row + 1] for state in states]
        arguments = [] if not begin else [tuple(begin) if len(begin) == 2 else begin[0]]
        alone, *wanted = flatten(plain(batch[row : row + 1, :length], *arguments))
        # The same products in a batch of another size: float32 rounds the last digit differently.
        torch.testing.assert_close(output[row : row + 1, :length], alone, rtol=1e-5, atol=1e-6)
        assert not output[row, length:].any()
        for final, one in zip(finals, wanted, strict=True):
            torch.testing.assert_close(final[:, row : row + 1], one, rtol=1e-5, atol=1e-6)


@KINDS
def test_an_empty_sequence_reads_one_step(op: type[Op]) -> None:
    made = make(op, {"hidden_size": 4})
    layer = build(made, made.torch_module(tensor(2, 3, 5), tensor(2, dtype="int64")))  # type: ignore[arg-type]
    x = torch.randn(2, 3, 5)
    for found, wanted in zip(
        flatten(layer(x, lengths=torch.tensor([3, 0]))), flatten(layer(x, lengths=torch.tensor([3, 1]))), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@KINDS
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [None, "int64", "int32"])
def test_onnx(op: type[Op], bidirectional: bool, begun: bool, bias: bool, dtype: str | None) -> None:
    if dtype is None and not begun:
        return  # test_onnx_nodes.py has the plain ones
    made = make(op, {"hidden_size": 4, "num_layers": 2, "bidirectional": bidirectional, "bias": bias})
    x = tensor(BATCH, T, 5)
    states: list[Any] = _states(op, 4 if bidirectional else 2, BATCH, 4)
    lengths = [] if dtype is None else [tensor(BATCH, dtype=dtype)]
    inputs = [x, *(states if begun else [None] * len(states)), *lengths]
    sizes = ({"N": 3, "T": 5}, {"N": 2, "T": 7}, {"N": 1, "T": 5})
    check_onnx(made, *inputs, sizes=sizes, rows=6)


@KINDS
def test_symbolic_sizes_of_all_inputs(op: type[Op]) -> None:
    made = make(op, {"hidden_size": 4})
    inputs = [tensor(BATCH, T, 8), *_states(op, 1, BATCH, 4), tensor(BATCH, dtype="int64")]
    check_symbolic(made, *inputs, sizes={"N": 2, "T": 3})


@pytest.mark.parametrize(
    ("ports", "message", "help"),
    [
        ({"lengths": tensor(BATCH)}, "lengths [N] of integers", "sum(mask, dim=1)"),
        ({"h": tensor(BATCH, dtype="int64")}, "a state of floating-point numbers", "lengths=…"),
        ({"h": tensor(1, BATCH, 4)}, "both states", ""),
    ],
)
def test_ports(ports: dict[str, Any], message: str, help: str) -> None:
    with pytest.raises(TypeRuleError) as caught:
        Lstm(hidden_size=4).check_ports({"x": tensor(BATCH, T, 8), **ports})
    assert message in caught.value.message
    assert help in (caught.value.help or "")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (tensor(2, BATCH, 4), "expects a state [1, N, 4]"),
        (tensor(BATCH, 4), "expects a state [1, N, 4]"),
        (tensor(BATCH, T, dtype="int64"), "expects lengths [N]"),
        (tensor(BATCH, dtype="bool"), "expects lengths [N]"),
    ],
)
def test_refused_states_and_lengths(other: Any, message: str) -> None:
    refusal = refusal_of(Gru, {"hidden_size": 4}, tensor(BATCH, T, 8), other)
    assert refusal is not None
    assert message in refusal.message


def test_text_with_lengths() -> None:
    lengths = tensor(BATCH, dtype="int64")
    call = Gru(hidden_size=16).torch_module(tensor(BATCH, T, 8), lengths)
    assert literal(call) == "PackedGRU(8, 16, batch_first=True)"
