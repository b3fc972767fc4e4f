"""Parameters, bytes and FLOPs against what PyTorch itself counts in the module."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from torch.utils.flop_counter import FlopCounterMode

from specdl.analysis.cost import cost, cost_rows
from specdl.api import Model
from tests.conftest import compiled
from tests.unit.small_specs import FEATURES, small_specs


def counted(model: Model, *inputs: torch.Tensor) -> int:
    """The FLOPs of the module's forward, as PyTorch counts them."""
    module = model.module().eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return counter.get_total_flops()


@settings(max_examples=60)
@given(small_specs())
def test_small_specs_cost_what_pytorch_counts(text: str) -> None:
    model = compiled(text)
    module, state = model.module(), model.module().state_dict()
    assert model.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert model.cost.trainable_parameters == model.parameters
    assert model.cost.parameter_bytes == sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    assert model.cost.flops == counted(model, torch.ones(1, FEATURES))
    top = [row for row in cost_rows(model.program) if row.depth == 0]
    assert sum(row.parameters for row in top) == model.parameters
    assert sum(int(str(row.flops)) for row in top) == model.cost.flops


def test_rows_below_what_is_not_run_cost_no_flops() -> None:
    model = compiled(
        "inputs: {x: [4]}\nlayers:\n  - dead = sequence:\n      - linear: 8\n      - inner = sequence: [linear: 3]\n"
        "  - logits = linear(x): 2\n"
    )
    rows = {row.path: (row.parameters, row.flops) for row in cost_rows(model.program)}
    assert rows["dead.0"] == (40, 0)
    assert rows["dead.inner.0"] == (27, 0)
    assert rows["logits"] == (10, 16)


def test_batch_and_lengths() -> None:
    text = "inputs: {tokens: {shape: [T], dtype: int64}}\nlayers:\n"
    text += "  - embedding: {num_embeddings: 11, embedding_dim: 4}\n  - linear: 6\n  - batch_norm1d\n"
    model = compiled(text.replace("  - batch_norm1d\n", ""))
    assert str(model.cost.flops) == "48*T"
    found = cost(model.program, {"N": 3, "T": 5})
    assert found.flops == counted(model, torch.zeros(3, 5, dtype=torch.int64))
    assert found.activation_bytes == 3 * 5 * (4 + 6) * 4
    assert found.parameters == 11 * 4 + 4 * 6 + 6


def test_buffers_are_bytes_but_no_parameters() -> None:
    model = compiled("inputs: {x: [4]}\nlayers:\n  - batch_norm1d\n  - shift = buffer: [4]\n  - compute: shift + _\n")
    state = model.module().state_dict()
    assert model.parameters == 2 * 4
    assert model.cost.parameter_bytes == sum(tensor.numel() * tensor.element_size() for tensor in state.values())


def test_training_outputs_cost_weights_but_no_inference() -> None:
    model = compiled(
        "inputs: {image: [1, 8, 8]}\noutputs: [logits]\nlayers:\n  - features = flatten\n  - auxiliary = linear: 10\n"
        "  - logits = linear(features): 10\ndata: {source: digits}\n"
        "losses:\n  - cross_entropy(logits, label)\n  - cross_entropy(auxiliary, label)\n"
        "optimizer: {sgd: {lr: 0.1}}\n"
    )
    assert model.parameters == 2 * 650
    assert model.cost.flops == 2 * 64 * 10 == counted(model, torch.zeros(1, 1, 8, 8))
