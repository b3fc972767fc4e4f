"""What is written with a cache is what transformers writes with the same weights: greedily and by beam search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from specdl.api import load
from specdl.passes.piecewise import Piecewise
from specdl.training.decoding import Choice, search, write
from specdl.training.speaker import Grows, Pieces, Whole, cut, in_pieces
from tests.conftest import CASES

transformers = pytest.importorskip("transformers", reason="the `dev` extra installs it")

PROMPTS = [[5, 9, 2, 7], [1], [3, 3, 8, 4, 6, 11, 2]]
END = 29


def speakers(
    path: Path, reference: nn.Module, grows: Grows, transposed: tuple[str, ...] = (), **params: Any
) -> tuple[Pieces, Whole]:
    """The spec's network with the reference's weights, piece by piece and whole."""
    model = load(path, None, {f"params.{key}": value for key, value in params.items()})
    state = {
        key: tensor.T if transposed and key.endswith(transposed) else tensor
        for key, tensor in reference.state_dict().items()
    }
    module = model.module(weights=False).eval()
    module.load_state_dict(state)
    others = {value.name for value in model.program.main.inputs if not value.optional} - grows.names()
    made = cut(model.program, grows, others)
    assert isinstance(made, Piecewise)
    return Pieces(in_pieces(made, module), grows, made.limit, made.once), Whole(module, grows, None)


def check(speaker: Pieces | Whole, reference: Any, begin: list[int], fixed: Mapping[str, Tensor], **given: Any) -> None:
    """Both ways to write give the tokens that transformers gives."""
    options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": END, "pad_token_id": END, "use_cache": True}
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
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.3, generator=generator)
    return reference.eval()


@pytest.mark.parametrize("prompt", PROMPTS)
def test_gpt2(prompt: list[int]) -> None:
    config = transformers.GPT2Config(vocab_size=30, n_positions=24, n_embd=24, n_layer=2, n_head=2)
    reference = spread(transformers.GPT2LMHeadModel(config), 0)
    weights = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    params = {"vocabulary": 30, "length": 24, "width": 24, "layers": 2, "heads": 2}
    for speaker in speakers(CASES / "elaborate" / "gpt2.yaml", reference, Grows("tokens"), weights, **params):
        check(speaker, reference, prompt, {}, input_ids=torch.tensor([prompt]))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_llama(prompt: list[int]) -> None:
    config = transformers.LlamaConfig(
        vocab_size=30,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=40,
        rms_norm_eps=1e-5,
    )
    reference = spread(transformers.LlamaForCausalLM(config), 1)
    params = {"vocabulary": 30, "width": 24, "layers": 2, "heads": 4, "kv_heads": 2, "hidden": 40, "head": 6}
    for speaker in speakers(CASES / "text" / "llama.yaml", reference, Grows("tokens"), **params):
        check(speaker, reference, prompt, {}, input_ids=torch.tensor([prompt]))
