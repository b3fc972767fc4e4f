"""Language models against transformers: the same keys, strictly loaded, and the same outputs.

The configurations are small, and random; a key or a shape that differs shows all the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from specdl.api import Model, load
from tests.conftest import CASES

transformers = pytest.importorskip("transformers", reason="the `dev` extra installs it")
pytestmark = pytest.mark.slow

TOLERANCE = 1e-5
"""Attention is computed in another order than transformers' eager one; float32 then differs in its last digits."""

SPECS = {"gpt2": CASES / "elaborate" / "gpt2.yaml", **{path.stem: path for path in (CASES / "text").glob("*.yaml")}}
TOKENS = torch.tensor([[5, 9, 2, 0, 7], [1, 1, 3, 8, 4]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.bool)


def spec(name: str, **params: Any) -> Model:
    return load(SPECS[name], overrides={f"params.{key}": value for key, value in params.items()})


def loaded(model: Model, reference: nn.Module, transposed: tuple[str, ...] = ()) -> nn.Module:
    """The spec's module with the reference's weights, each of its keys."""
    state = {
        key: tensor.T if key.endswith(transposed) and transposed else tensor
        for key, tensor in reference.state_dict().items()
    }
    module = model.module().eval()
    assert module.state_dict().keys() == state.keys()
    module.load_state_dict(state)
    assert model.parameters == sum(parameter.numel() for parameter in reference.parameters())
    return module


def exported(model: Model, module: nn.Module, folder: Path) -> None:
    optional = [value.name for value in model.program.main.inputs if value.optional]
    for without in ([], optional):
        assert model.export_onnx(folder / "model.onnx", module, without=without).verified


def close(found: torch.Tensor, wanted: torch.Tensor, mask: torch.Tensor | None = None) -> None:
    if mask is not None:  # what stands at padded places is nobody's business
        found, wanted = found[mask], wanted[mask]
    assert torch.allclose(found, wanted, atol=TOLERANCE)


def test_gpt2(tmp_path: Path) -> None:
    config = transformers.GPT2Config(vocab_size=30, n_positions=16, n_embd=24, n_layer=3, n_head=2)
    reference = transformers.GPT2LMHeadModel(config).eval()
    model = spec("gpt2", vocabulary=30, length=16, width=24, layers=3, heads=2)
    module = loaded(model, reference, ("c_attn.weight", "c_proj.weight", "c_fc.weight"))
    with torch.no_grad():
        close(module(TOKENS), reference(TOKENS).logits)
        close(module(TOKENS, MASK), reference(TOKENS, attention_mask=MASK.long()).logits, MASK)
    exported(model, module, tmp_path)


def test_bert(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=40,
        max_position_embeddings=16,
    )
    reference = transformers.BertForPreTraining(config).eval()
    model = spec("bert", vocabulary=30, width=24, layers=3, heads=2, hidden=40, length=16)
    module = loaded(model, reference)
    kinds = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]])
    for given, keywords in (
        ((), {}),
        ((kinds,), {"token_type_ids": kinds}),
        ((None, MASK), {"attention_mask": MASK.long()}),
        ((kinds, MASK), {"token_type_ids": kinds, "attention_mask": MASK.long()}),
    ):
        with torch.no_grad():
            logits, relation = module(TOKENS, *given)
            wanted = reference(TOKENS, **keywords)
        mask = MASK if "attention_mask" in keywords else None
        close(logits, wanted.prediction_logits, mask)
        close(relation, wanted.seq_relationship_logits)
    exported(model, module, tmp_path)


def test_llama(tmp_path: Path) -> None:
    config = transformers.LlamaConfig(
        vocab_size=30,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=40,
        rms_norm_eps=1e-5,
    )
    reference = transformers.LlamaForCausalLM(config).eval()
    model = spec("llama", vocabulary=30, width=24, layers=2, heads=4, kv_heads=2, hidden=40, head=6)
    module = loaded(model, reference)
    with torch.no_grad():
        close(module(TOKENS), reference(TOKENS).logits)
        close(module(TOKENS, MASK), reference(TOKENS, attention_mask=MASK.long()).logits, MASK)
    exported(model, module, tmp_path)


def test_t5(tmp_path: Path) -> None:
    config = transformers.T5Config(
        vocab_size=30, d_model=24, d_kv=6, d_ff=40, num_layers=2, num_heads=4, dropout_rate=0.1
    )
    reference = transformers.T5ForConditionalGeneration(config).eval()
    model = spec("t5", vocabulary=30, width=24, head=6, heads=4, hidden=40, layers=2)
    module = loaded(model, reference)
    target = TOKENS[:, :4]
    with torch.no_grad():
        close(module(TOKENS, target), reference(TOKENS, decoder_input_ids=target).logits)
        wanted = reference(TOKENS, attention_mask=MASK.long(), decoder_input_ids=target).logits
        close(module(TOKENS, target, MASK), wanted)
    exported(model, module, tmp_path)
