"""What is written with a cache is what transformers writes with the same weights: greedily and by beam search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from specdl.api import load
from specdl.passes.piecewise import Piecewise
from specdl.training.decoding import Choice, search, write
from specdl.training.speaker import Grows, Pieces, Whole, cut, in_pieces
from tests.conftest import SPECS

transformers = pytest.importorskip("transformers", reason="the `dev` extra installs it")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks of 24 features gain nothing by threads, which wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


PROMPTS = [[5, 9, 2, 7], [1], [3, 3, 8, 4, 6, 11, 2]]
END = 299


def speakers(
    path: Path,
    reference: nn.Module,
    grows: Grows,
    transposed: tuple[str, ...] = (),
    variant: str | None = None,
    mask: bool = False,
    **params: Any,
) -> tuple[Pieces, Whole]:
    """The spec's network with the reference's weights, piece by piece and whole."""
    model = load(path, variant, {f"params.{key}": value for key, value in params.items()})
    state = {
        key: tensor.T if transposed and key.endswith(transposed) else tensor
        for key, tensor in reference.state_dict().items()
    }
    module = model.module(weights=False).eval()
    known = module.state_dict()
    module.load_state_dict({key: value for key, value in state.items() if "embed_positions" not in key or key in known})
    others = {value.name for value in model.program.main.inputs if mask or not value.optional} - grows.names()
    made = cut(model.program, grows, others)
    assert isinstance(made, Piecewise)
    return Pieces(in_pieces(made, module), grows, made.limit, made.once), Whole(module, grows, None)


def check(speaker: Pieces | Whole, reference: Any, begin: list[int], fixed: Mapping[str, Tensor], **given: Any) -> None:
    """Both ways to write give the tokens that transformers gives."""
    options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": END, "pad_token_id": END, "use_cache": True}
    options |= {"forced_eos_token_id": None, "decoder_start_token_id": begin[0], "early_stopping": False}
    tokens = torch.tensor([begin])
    speaker.begin(fixed)
    found = list(write(speaker, tokens, 12, Choice(0.0), torch.Generator(), frozenset([END])))
    wanted = reference.generate(**given, **options)[0].tolist()
    assert [*begin, *found] == wanted
    speaker.begin(fixed)
    best = search(speaker, tokens, 12, 4, frozenset([END]))[0]
    wanted = reference.generate(**given, **options, num_beams=4)[0].tolist()
    assert [*begin, *best.tokens] == wanted


def spread(reference: nn.Module, seed: int) -> nn.Module:
    """Weights so large that tokens differ clearly in their scores, and rounding never decides."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in reference.parameters():
        if parameter.dim() > 1 and parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3, generator=generator)
    return reference.eval()


@pytest.mark.parametrize("prompt", PROMPTS)
def test_gpt2(prompt: list[int]) -> None:
    config = transformers.GPT2Config(vocab_size=500, n_positions=24, n_embd=24, n_layer=2, n_head=2)
    reference = spread(transformers.GPT2LMHeadModel(config), 0)
    weights = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    params = {"vocabulary": 500, "length": 24, "width": 24, "layers": 2, "heads": 2}
    for speaker in speakers(SPECS / "text" / "gpt2.yaml", reference, Grows("tokens"), weights, **params):
        check(speaker, reference, prompt, {}, input_ids=torch.tensor([prompt]))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_llama(prompt: list[int]) -> None:
    config = transformers.LlamaConfig(
        vocab_size=500,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=40,
        rms_norm_eps=1e-5,
    )
    reference = spread(transformers.LlamaForCausalLM(config), 1)
    params = {"vocabulary": 500, "width": 24, "layers": 2, "heads": 4, "kv_heads": 2, "hidden": 40, "head": 6}
    for speaker in speakers(SPECS / "text" / "llama.yaml", reference, Grows("tokens"), **params):
        check(speaker, reference, prompt, {}, input_ids=torch.tensor([prompt]))


SOURCE = torch.tensor([[4, 9, 2, 7, 3]])


def answers(
    spec: str, reference: nn.Module, variant: str | None = None, start: int = 0, mask: bool = False, **params: Any
) -> None:
    """A decoder that reads an encoder, with part of its input hidden or without."""
    given: dict[str, Tensor] = {"input_ids": SOURCE}
    fixed: dict[str, Tensor] = {"source": SOURCE}
    if mask:
        fixed["source_mask"] = torch.tensor([[True, True, True, False, False]])
        given["attention_mask"] = fixed["source_mask"].long()
    found = speakers(SPECS / "text" / spec, reference, Grows("target"), variant=variant, mask=mask, **params)
    for speaker in found:
        check(speaker, reference, [start], fixed, **given)


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("variant", ["t5-small", "t5-v1.1-small"])
def test_t5(variant: str, mask: bool) -> None:
    gated = variant != "t5-small"
    config = transformers.T5Config(
        vocab_size=500,
        d_model=24,
        d_kv=6,
        d_ff=40,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu" if gated else "relu",
    )
    reference = spread(transformers.T5ForConditionalGeneration(config), 2)
    params = {"vocabulary": 500, "width": 24, "head": 6, "heads": 4, "hidden": 40, "layers": 2}
    answers("t5.yaml", reference, variant, mask=mask, tied=True, **params)


@pytest.mark.parametrize("mask", [False, True])
def test_bart(mask: bool) -> None:
    config = transformers.BartConfig(
        vocab_size=500,
        d_model=24,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=40,
        decoder_ffn_dim=40,
        max_position_embeddings=1024,
    )
    reference = spread(transformers.BartForConditionalGeneration(config), 3)
    params = {"vocabulary": 500, "width": 24, "layers": 2, "heads": 2, "hidden": 40}
    answers("bart.yaml", reference, start=2, mask=mask, **params)


def test_the_first_transformer() -> None:
    config = transformers.MarianConfig(
        vocab_size=500,
        d_model=24,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=40,
        decoder_ffn_dim=40,
        max_position_embeddings=24,
        scale_embedding=True,
        activation_function="silu",
        decoder_vocab_size=500,
        pad_token_id=END,
        eos_token_id=END,
    )
    reference = spread(transformers.MarianMTModel(config), 4)
    params = {"vocabulary": 500, "width": 24, "layers": 2, "heads": 2, "hidden": 40}
    answers("transformer.yaml", reference, "opus-mt", **params)
