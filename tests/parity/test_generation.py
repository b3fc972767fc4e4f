"""What is written with a cache is what transformers writes with the same weights: greedily and by beam search."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from specdl.passes.piecewise import Piecewise
from specdl.training.decoding import Choice, search, write
from specdl.training.speaker import GrowingInputs, Pieces, Whole, cut, in_pieces
from tests.parity.language import CASES, saved

pytest.importorskip("transformers", reason="the `dev` extra installs it")

PROMPTS = [[5, 9, 2, 7], [4], [3, 3, 8, 4, 6, 11, 2]]
SOURCE = torch.tensor([[4, 9, 2, 7, 3]])
HIDDEN = torch.tensor([[True, True, True, False, False]])
END, MOST, BEAMS = 299, 8, 4
DECODERS = [name for name, case in CASES.items() if case.causal == "tokens"]
ANSWERING = [name for name, case in CASES.items() if case.causal == "target"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks of 24 features gain nothing by threads, which wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def spread(module: nn.Module) -> nn.Module:
    """The module with weights so large that tokens differ clearly in their scores, and rounding never decides."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        if parameter.dim() > 1 and parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3, generator=generator)
    return module


def check(name: str, folder: Path, begin: list[int], fixed: dict[str, Tensor], **given: Any) -> None:
    """Piece by piece and as a whole, both ways to write give the tokens that transformers gives."""
    case = CASES[name]
    reference: Any = spread(case.theirs())
    model = case.small(**{"weights.load": str(saved(reference, folder / "theirs.safetensors"))})
    module = model.module().eval()
    grows = GrowingInputs(str(case.causal))
    made = cut(model.program, grows, fixed)
    assert isinstance(made, Piecewise)
    options = {"max_new_tokens": MOST, "do_sample": False, "eos_token_id": END, "pad_token_id": END}
    options |= {"forced_eos_token_id": None, "decoder_start_token_id": begin[0], "early_stopping": False}
    greedy = reference.generate(**given, **options)[0].tolist()
    best = reference.generate(**given, **options, num_beams=BEAMS)[0].tolist()
    tokens, ends = torch.tensor([begin]), frozenset([END])
    for speaker in (Pieces(in_pieces(made, module), grows, made.limit, made.once), Whole(module, grows, None)):
        speaker.begin(fixed)
        assert [*begin, *write(speaker, tokens, MOST, Choice(0.0), torch.Generator(), ends)] == greedy
        speaker.begin(fixed)
        assert [*begin, *search(speaker, tokens, MOST, BEAMS, ends)[0].tokens] == best


@pytest.mark.parametrize("prompt", PROMPTS, ids=len)
@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_goes_on(name: str, prompt: list[int], tmp_path: Path) -> None:
    tokens = torch.tensor([prompt])
    check(name, tmp_path, prompt, {}, input_ids=tokens, attention_mask=torch.ones_like(tokens))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", ANSWERING)
def test_a_decoder_that_reads_an_encoder_answers(name: str, masked: bool, tmp_path: Path) -> None:
    mask = HIDDEN if masked else torch.ones_like(HIDDEN)
    fixed = {"source": SOURCE, "source_mask": mask}
    check(name, tmp_path, [2], fixed, input_ids=SOURCE, attention_mask=mask.long())
