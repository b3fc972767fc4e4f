"""LSTM, GRU and RNN against PyTorch: shapes, `state_dict`, FLOPs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.ops import recurrent
from specdl.ops.base import Op
from specdl.ops.recurrent import Gru, Lstm, Rnn
from specdl.ops.text import literal
from tests.unit.ops.harness import check, check_arguments, check_symbolic, make, refusal_of, tensor


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


@pytest.mark.parametrize(("shape", "message"), [((BATCH, 8), "N, T, C"), ((BATCH, 8, symbol("T")), "must be known")])
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
