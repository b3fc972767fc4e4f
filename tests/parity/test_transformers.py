"""Language models of the zoo against transformers: the same keys, strictly loaded, and the same numbers.

The configurations are real ones with small sizes and random weights; a key or a shape that differs shows all the same,
and parameters are counted at full size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from specdl.api import Model, load
from tests.parity.language import CASES, MASK, TOKENS, Case, ejected, parameters_at_full_size, saved

pytest.importorskip("transformers", reason="the `dev` extra installs it")

TOLERANCE = 1e-5
"""Attention is computed in another order than transformers' eager one; float32 then differs in its last digits."""
GRADIENT_TOLERANCE = 1e-4
"""Gradients are sums over all positions, and some are of size 10 and more: as many of their digits agree."""

each = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def close(found: list[Tensor], wanted: list[Tensor], tolerance: float = TOLERANCE) -> None:
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.shape == theirs.shape
        assert torch.allclose(ours, theirs, atol=tolerance, rtol=tolerance), float((ours - theirs).abs().max())


def pair(case: Case, folder: Path) -> tuple[Model, nn.Module, nn.Module]:
    """The spec, its module with the reference's weights, loaded by the spec's own rules, and the reference."""
    theirs = case.theirs()
    path = saved(theirs, folder / "reference.safetensors")
    model = case.small(**{"weights.load": str(path)})
    return model, model.module().eval(), theirs


@each
def test_numbers_are_those_of_transformers(case: Case, tmp_path: Path) -> None:
    model, ours, theirs = pair(case, tmp_path)
    state = theirs.state_dict()
    constants = {key for key in state if key.endswith("embed_positions.weight") and case.spec == "transformer"}
    assert ours.state_dict().keys() == state.keys() - constants
    assert model.parameters == sum(item.numel() for item in theirs.parameters() if item.requires_grad)
    fields = case.fields()
    alone = ejected(model, tmp_path)
    alone.load_state_dict(ours.state_dict())
    with torch.no_grad():
        for mask in (None, MASK):
            wanted = case.real(case.call(theirs, fields, mask), mask)
            close(case.real(case.own(ours, fields, mask), mask), wanted)
            close(case.real(case.own(alone.eval(), fields, mask), mask), wanted)
        if "token_type_ids" in fields:
            fields.pop("token_type_ids")
            close([*case.own(ours, fields)], [*case.call(theirs, fields)])


@each
def test_onnx_runtime_gives_them_at_three_lengths(case: Case, tmp_path: Path) -> None:
    model, ours, theirs = pair(case, tmp_path)
    path = tmp_path / "model.onnx"
    model.export_onnx(path, ours, verify=False)
    session = onnxruntime.InferenceSession(str(path))
    for length in (2, 5, 11):
        fields = case.fields(length)
        mask = torch.cat([MASK] * 3, 1)[:, :length]
        mask[:, 0] = True
        feeds = {name: value.numpy() for name, value in {**fields, case.mask: mask}.items()}
        found = [torch.from_numpy(np.asarray(value)) for value in session.run(None, feeds)]
        with torch.no_grad():
            close(case.real(found, mask), case.real(case.call(theirs, fields, mask), mask))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.causal])
def test_no_position_sees_what_comes_later(name: str) -> None:
    case = CASES[name]
    assert case.causal is not None
    module = case.small().module().eval()
    fields = case.fields()
    cut = 2
    changed = fields[case.causal].clone()
    changed[:, cut:] = (changed[:, cut:] + 7) % 300
    with torch.no_grad():
        (before,) = case.own(module, fields)
        (after,) = case.own(module, {**fields, case.causal: changed})
    close([after[:, :cut]], [before[:, :cut]])
    assert (after[:, cut:] - before[:, cut:]).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "t5", "bart"])
def test_gradients(name: str, tmp_path: Path) -> None:
    """One of encoders, two of decoders, two of both."""
    case = CASES[name]
    _, ours, theirs = pair(case, tmp_path)
    fields = case.fields()
    generator = torch.Generator().manual_seed(1)
    wanted, found = case.call(theirs, fields), case.own(ours, fields)
    factors = [torch.randn(value.shape, generator=generator) for value in wanted]
    sum((value * factor).sum() for value, factor in zip(wanted, factors, strict=True)).backward()
    sum((value * factor).sum() for value, factor in zip(found, factors, strict=True)).backward()
    theirs_by_key = dict(theirs.named_parameters())
    compared = 0
    for key, parameter in ours.named_parameters():
        other = theirs_by_key.get(key)
        if other is None:  # of tied weights, each side may store another key
            continue
        assert parameter.grad is not None, key
        assert other.grad is not None, key
        turned = name == "gpt2" and key.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))
        close([parameter.grad], [other.grad.T if turned else other.grad], GRADIENT_TOLERANCE)
        compared += 1
    assert compared >= len(theirs_by_key) - 1


def test_gpt2_loads_as_it_is_published(tmp_path: Path) -> None:
    """The published file has no prefix and no head, but the causal mask of each layer."""
    case = CASES["gpt2"]
    theirs = case.theirs()
    state = {key.removeprefix("transformer."): value.clone() for key, value in theirs.state_dict().items()}
    del state["lm_head.weight"]
    state |= {f"h.{layer}.attn.bias": torch.ones(1, 1, 16, 16) for layer in range(3)}
    save_file(state, tmp_path / "model.safetensors")
    ours = case.small(**{"weights.load": str(tmp_path / "model.safetensors")}).module().eval()
    with torch.no_grad():
        close([*case.own(ours, case.fields())], [*case.call(theirs, case.fields())])


def test_bert_loads_as_it_is_published(tmp_path: Path) -> None:
    """The published file has TensorFlow's names of norms, and no key of the tied matrix."""
    case = CASES["bert"]
    theirs = case.theirs()
    state = {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value.clone()
        for key, value in theirs.state_dict().items()
        if not key.startswith("cls.predictions.decoder")
    }
    save_file(state, tmp_path / "model.safetensors")
    ours = case.small(**{"weights.load": str(tmp_path / "model.safetensors")}).module().eval()
    with torch.no_grad():
        close([*case.own(ours, case.fields())], [*case.call(theirs, case.fields())])


def test_the_paper_s_transformer_is_pytorch_s(tmp_path: Path) -> None:
    """`base` against nn.TransformerEncoder and nn.TransformerDecoder, with the paper's interleaved waves."""
    case = CASES["transformer"]
    model = load("zoo:transformer", "base", overrides={f"params.{key}": value for key, value in case.params.items()})
    ours = model.module().eval()
    state = ours.state_dict()
    sizes: dict[str, Any] = {"d_model": 24, "nhead": 2, "dim_feedforward": 40, "batch_first": True}
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(**sizes), 2, enable_nested_tensor=False).eval()
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(**sizes), 2).eval()
    for side, stack in (("encoder", encoder), ("decoder", decoder)):
        stack.load_state_dict(_pytorch_names(state, f"model.{side}.layers.", side == "decoder"))
    fields = case.fields()

    def placed(tokens: Tensor) -> Tensor:
        places, rates = torch.arange(tokens.shape[1])[:, None], 10000 ** (-torch.arange(0, 24, 2) / 24)
        waves = torch.stack([(places * rates).sin(), (places * rates).cos()], dim=-1).flatten(-2)
        return nn.functional.embedding(tokens, state["model.shared.weight"]) * 24**0.5 + waves

    with torch.no_grad():
        memory = encoder(placed(fields["source"]), src_key_padding_mask=~MASK)
        later = nn.Transformer.generate_square_subsequent_mask(fields["target"].shape[1])
        states = decoder(placed(fields["target"]), memory, tgt_mask=later, memory_key_padding_mask=~MASK)
        close([*case.own(ours, fields, MASK)], [states @ state["model.shared.weight"].T])


def _pytorch_names(state: dict[str, Tensor], prefix: str, decoder: bool) -> dict[str, Tensor]:
    """The layers of a stack under the keys of nn.TransformerEncoderLayer or nn.TransformerDecoderLayer."""
    norms = ["self_attn_layer_norm", *(["encoder_attn_layer_norm"] if decoder else []), "final_layer_norm"]
    names = {"fc1": "linear1", "fc2": "linear2", **{norm: f"norm{index}" for index, norm in enumerate(norms, 1)}}
    found: dict[str, Tensor] = {}
    for layer in range(2):
        for kind in ("weight", "bias"):
            for ours, theirs in names.items():
                found[f"layers.{layer}.{theirs}.{kind}"] = state[f"{prefix}{layer}.{ours}.{kind}"]
            for ours, theirs in (("self_attn", "self_attn"), ("encoder_attn", "multihead_attn"))[: 1 + decoder]:
                parts = [state[f"{prefix}{layer}.{ours}.{part}_proj.{kind}"] for part in ("q", "k", "v", "out")]
                found[f"layers.{layer}.{theirs}.in_proj_{kind}"] = torch.cat(parts[:3])
                found[f"layers.{layer}.{theirs}.out_proj.{kind}"] = parts[3]
    return found


def test_roberta_counts_positions_behind_the_padding(tmp_path: Path) -> None:
    """Positions begin at `padding_idx + 1`, and padding takes none, wherever it stands."""
    case = CASES["roberta"]
    _, ours, theirs = pair(case, tmp_path)
    tokens = torch.tensor([[1, 1, 5, 9, 2], [4, 1, 8, 3, 1]])
    with torch.no_grad():
        for mask in (None, tokens != 1):
            found, wanted = case.own(ours, {"input_ids": tokens}, mask), case.call(theirs, {"input_ids": tokens}, mask)
            close(case.real(found, mask), case.real(wanted, mask))
    assert TOKENS.eq(1).any()


def bert(width: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": 4 * width
    }  # fmt: skip


def roberta(width: int, layers: int, heads: int) -> dict[str, Any]:
    return {**bert(width, layers, heads), "vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}


def gpt2(width: int, layers: int, heads: int) -> dict[str, Any]:
    return {"n_embd": width, "n_layer": layers, "n_head": heads}


def llama(vocabulary: int, width: int, layers: int, heads: int, kv_heads: int, hidden: int, **more: Any) -> Any:
    return {
        "vocab_size": vocabulary, "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "intermediate_size": hidden, **more,
    }  # fmt: skip


def t5(width: int, head: int, hidden: int, layers: int, heads: int, *, gated: bool = False) -> dict[str, Any]:
    more = {"feed_forward_proj": "gated-gelu", "own_head": True} if gated else {}
    return {"d_model": width, "d_kv": head, "d_ff": hidden, "num_layers": layers, "num_heads": heads, **more}


def bart(vocabulary: int, width: int, layers: int, heads: int, hidden: int, **more: Any) -> dict[str, Any]:
    both = {"layers": layers, "attention_heads": heads, "ffn_dim": hidden}
    sides = {f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in both.items()}
    return {"vocab_size": vocabulary, "d_model": width, **sides, **more}


MARIAN = {"pad_token_id": 0, "decoder_start_token_id": 0, "static_position_embeddings": True, "scale_embedding": True}

FULL: dict[tuple[str, str], tuple[str, str, dict[str, Any]]] = {
    **{
        ("gpt2", name): ("GPT2LMHeadModel", "GPT2Config", gpt2(*sizes))
        for name, sizes in {
            "gpt2": (768, 12, 12), "gpt2-medium": (1024, 24, 16), "gpt2-large": (1280, 36, 20),
            "gpt2-xl": (1600, 48, 25),
        }.items()
    },
    **{
        (spec, f"bert-{name}"): (reference, "BertConfig", bert(*sizes))
        for name, sizes in {
            "base": (768, 12, 12), "large": (1024, 24, 16), "medium": (512, 8, 8), "small": (512, 4, 8),
            "mini": (256, 4, 4), "tiny": (128, 2, 2),
        }.items()
        for spec, reference in (("bert", "BertForPreTraining"), ("bert_classifier", "BertForSequenceClassification"))
    },
    ("roberta", "roberta-base"): ("RobertaForMaskedLM", "RobertaConfig", roberta(768, 12, 12)),
    ("roberta", "roberta-large"): ("RobertaForMaskedLM", "RobertaConfig", roberta(1024, 24, 16)),
    **{
        ("llama", name): ("LlamaForCausalLM", "LlamaConfig", sizes)
        for name, sizes in {
            "llama-2-7b": llama(32000, 4096, 32, 32, 32, 11008),
            "llama-2-13b": llama(32000, 5120, 40, 40, 40, 13824),
            "llama-2-70b": llama(32000, 8192, 80, 64, 8, 28672),
            "llama-3-8b": llama(128256, 4096, 32, 32, 8, 14336),
            "llama-3-70b": llama(128256, 8192, 80, 64, 8, 28672),
            "llama-3.1-8b": llama(128256, 4096, 32, 32, 8, 14336),
            "llama-3.1-70b": llama(128256, 8192, 80, 64, 8, 28672),
            "llama-3.1-405b": llama(128256, 16384, 126, 128, 8, 53248),
            "llama-3.2-1b": llama(128256, 2048, 16, 32, 8, 8192, tie_word_embeddings=True),
            "llama-3.2-3b": llama(128256, 3072, 28, 24, 8, 8192, tie_word_embeddings=True),
            "smollm2-135m": llama(49152, 576, 30, 9, 3, 1536, tie_word_embeddings=True),
        }.items()
    },
    **{
        ("t5", name): ("T5ForConditionalGeneration", "T5Config", sizes)
        for name, sizes in {
            "t5-small": t5(512, 64, 2048, 6, 8),
            "t5-base": t5(768, 64, 3072, 12, 12),
            "t5-large": t5(1024, 64, 4096, 24, 16),
            "t5-3b": t5(1024, 128, 16384, 24, 32),
            "t5-11b": t5(1024, 128, 65536, 24, 128),
            "t5-v1.1-small": t5(512, 64, 1024, 8, 6, gated=True),
            "t5-v1.1-base": t5(768, 64, 2048, 12, 12, gated=True),
            "t5-v1.1-large": t5(1024, 64, 2816, 24, 16, gated=True),
            "t5-v1.1-xl": t5(2048, 64, 5120, 24, 32, gated=True),
            "t5-v1.1-xxl": t5(4096, 64, 10240, 24, 64, gated=True),
        }.items()
    },
    **{
        ("bart", name): ("BartForConditionalGeneration", "BartConfig", sizes)
        for name, sizes in {
            "bart-base": bart(50265, 768, 6, 12, 3072),
            "bart-large": bart(50265, 1024, 12, 16, 4096),
            "bart-large-cnn": bart(50264, 1024, 12, 16, 4096),
        }.items()
    },
    **{
        ("transformer", name): ("MarianMTModel", "MarianConfig", bart(*sizes, **MARIAN))
        for name, sizes in {
            "base": (37000, 512, 6, 8, 2048), "big": (37000, 1024, 6, 16, 4096), "opus-mt": (58101, 512, 6, 8, 2048)
        }.items()
    },
}  # fmt: skip
"""Every variant of the zoo, with the reference and its configuration."""


def test_all_variants_are_counted() -> None:
    specs = dict.fromkeys(spec for spec, _ in FULL)
    assert set(FULL) == {(spec, variant) for spec in specs for variant in load(f"zoo:{spec}").spec.variants}


FIRST = dict(reversed(FULL)).items()
"""A variant of each spec, which the fast tests count."""


@pytest.mark.parametrize(
    ("spec", "variant"), [pytest.param(*key, marks=[] if key in FIRST else pytest.mark.slow) for key in FULL]
)
def test_parameters_at_full_size(spec: str, variant: str) -> None:
    reference, config, sizes = FULL[spec, variant]
    assert load(f"zoo:{spec}", variant).parameters == parameters_at_full_size(reference, config, **sizes)
