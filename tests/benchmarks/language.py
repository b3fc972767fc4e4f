"""Language models: a training step against the same model written by hand, and what writing a token costs.

The GPT is nanoGPT's (docs/tutorials/nanogpt.py), the BERT transformers' own with the same attention kernel. Writing is
compared with transformers' `generate` on the same weights, and with working out the whole text again for each token.
"""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tests.benchmarks.harness import ROOT, Comparison, Numbers, Side, compare
from tests.benchmarks.report import Promise, Topic, at_least, at_most, milliseconds, show
from tests.benchmarks.step import RATE, Clock, Clocked
from tests.benchmarks.step import Job as ClockedJob

if TYPE_CHECKING:
    import torch
    from torch import nn

    from specdl.api import Model


@dataclass(frozen=True, slots=True)
class Job:
    """A model over `length` tokens of `vocabulary`, `batch` texts a step."""

    batch: int
    length: int
    width: int
    layers: int
    heads: int
    vocabulary: int
    steps: int
    epochs: int
    rounds: int

    @property
    def clock(self) -> ClockedJob:
        """What the clock counts."""
        return ClockedJob("", (self.length,), self.vocabulary, self.batch, self.steps, self.epochs, self.rounds)


JOBS = {
    "GPT, 128 wide": Job(12, 64, 128, 4, 4, 65, steps=40, epochs=5, rounds=9),
    "GPT, 384 wide": Job(8, 128, 384, 6, 6, 65, steps=6, epochs=5, rounds=5),
    "BERT, 256 wide": Job(8, 128, 256, 4, 4, 1000, steps=8, epochs=5, rounds=7),
}
WRITER: dict[str, Any] = {"vocab_size": 1000, "n_positions": 1024, "n_embd": 256, "n_layer": 6, "n_head": 8}
PROMPT, WRITTEN, FEW = 16, 960, 64
"""Tokens of the prompt; tokens that are written, so many in each of the stretches that are compared."""


def run(quick: bool) -> Topic:
    """Training steps, then writing."""
    promises: list[Promise] = []
    rows: list[list[str]] = []
    for name, job in list(JOBS.items())[: 1 if quick else None]:
        arguments = {"name": name, "epochs": 2 if quick else job.epochs}
        theirs = Side("by hand" if name.startswith("GPT") else "transformers", by_hand, arguments)
        found = compare([Side("specdl", specdl_trainer, arguments), theirs], 1 if quick else job.rounds, title=name)
        ratio = found.ratio("specdl", theirs.name)
        promises.append(at_most(f"training step, {name}, against {theirs.name}", 1.02, ratio))
        rows.append([name, "a training step", "specdl", milliseconds(found.spread("specdl")), ""])
        rows.append([name, "a training step", theirs.name, milliseconds(found.spread(theirs.name)), show(ratio, "×")])
    found = writing(quick)
    promises += [
        at_most("a token behind 960, against one behind 16", 1.5, found.ratio("specdl", "specdl, first", "late")),
        at_least("writing, faster than without a cache", 5, found.ratio("without a cache", "specdl")),
        at_most("writing, against transformers' `generate`", 1.0, found.ratio("specdl", "transformers")),
    ]
    for side in ("specdl", "without a cache", "transformers"):
        against = "" if side == "specdl" else show(found.ratio("specdl", side), "×")
        rows.append(["GPT-2, 256 wide", "a token", side, milliseconds(found.spread(side)), against])
        rows.append(["GPT-2, 256 wide", "one of the first 64", side, milliseconds(found.spread(side, "early")), ""])
        rows.append(["GPT-2, 256 wide", "one of the last 64", side, milliseconds(found.spread(side, "late")), ""])
    sizes = "; ".join(f"{name}, {job.layers} layers: {job.batch} × {job.length} tokens" for name, job in JOBS.items())
    how = (
        "A training step is measured as above, in specdl's trainer and in a loop by hand; all sides use fused AdamW "
        f"and clip gradients to 1. {sizes}. The GPT by hand is nanoGPT's (docs/tutorials/nanogpt.py); the BERT is "
        "transformers' `BertForPreTraining` with scaled dot-product attention and both of its losses. "
        f"Writing: {WRITTEN} tokens behind a prompt of {PROMPT}, the likeliest each time, of a GPT-2 of 6 layers; all "
        "sides have the same weights and write the same tokens."
    )
    return Topic("Language models", how, promises, ["model", "what", "side", "time", "specdl against it"], rows)


# ---- training --------------------------------------------------------------------------------------------


def tensors(name: str) -> dict[str, torch.Tensor]:
    """An epoch of tokens and labels."""
    import torch

    job = JOBS[name]
    generator = torch.Generator().manual_seed(0)
    shape = (job.batch * job.steps, job.length)
    tokens, label = (torch.randint(0, job.vocabulary, shape, generator=generator) for _ in range(2))
    if name.startswith("GPT"):
        return {"tokens": tokens, "label": label}
    label = label.masked_fill(torch.rand(shape, generator=generator) > 0.15, -100)
    follows = torch.randint(0, 2, shape[:1], generator=generator)
    mask = torch.arange(job.length) < torch.randint(64, job.length + 1, (len(tokens), 1), generator=generator)
    kinds = torch.zeros_like(tokens)
    kinds[:, job.length // 2 :] = 1
    return {
        "input_ids": tokens,
        "token_type_ids": kinds,
        "attention_mask": mask,
        "labels": label,
        "follows": follows,
    }


def specdl_trainer(name: str, epochs: int) -> Numbers:
    """`specdl.train`, with all that a run writes."""
    from specdl.training.loop import train
    from specdl.training.progress import Lines

    clock = Clock(JOBS[name].clock, epochs)
    with tempfile.TemporaryDirectory() as folder:
        train(Clocked(load(name, epochs), clock), folder=Path(folder), progress=Lines())
    return clock.seconds()


def load(name: str, epochs: int) -> Model:
    """The spec with `tensors` as its data."""
    import specdl
    from specdl.data.examples import Stacked
    from specdl.data.sources import SOURCES, DefaultSplit, Source
    from specdl.ir.dims import BATCH
    from specdl.ir.types import TensorType

    job, made = JOBS[name], tensors(name)

    class Noise(Source):
        """Tokens, as a source of examples."""

        name: ClassVar[str] = "noise"
        default_split: ClassVar[DefaultSplit] = DefaultSplit(validation=0.0)

        def fields(self) -> Mapping[str, TensorType]:
            return {
                key: TensorType((BATCH, *value.shape[1:]), "bool" if key == "attention_mask" else "int64")
                for key, value in made.items()
            }

        def load(self) -> Stacked:
            return Stacked(made)

    SOURCES["noise"] = Noise
    params: dict[str, Any] = {"vocabulary": job.vocabulary, "width": job.width, "heads": job.heads, "dropout": 0.0}
    params |= {"layers": job.layers, "length": job.length}
    overrides: dict[str, Any] = {
        "data": {"source": "noise", "batch_size": job.batch},
        "metrics": [],
        "optimizer": {"adamw": {"lr": RATE}},
        "scheduler": "constant",
        "train": {
            "epochs": epochs,
            "clip": {"norm": 1.0},
            "validate": {"every": epochs},
            "checkpoint": {"every": epochs},
        },
    }
    if not name.startswith("GPT"):
        params["hidden"] = 4 * job.width
    path = "specs/text/char_gpt.yaml" if name.startswith("GPT") else "specs/text/bert.yaml"
    return specdl.load(ROOT / path, None, {**overrides, **{f"params.{key}": value for key, value in params.items()}})


def by_hand(name: str, epochs: int) -> Numbers:
    """The loop that one writes, with the fused optimizer."""
    import torch

    job, made = JOBS[name], tensors(name)
    clock = Clock(job.clock, epochs)
    torch.manual_seed(0)
    model, loss_of = (gpt if name.startswith("GPT") else bert)(job)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    model.train()
    for _ in range(epochs):
        total = 0.0
        for indices in torch.randperm(job.batch * job.steps).split(job.batch):
            clock.tick()
            loss = loss_of({key: value[indices] for key, value in made.items()})
            total += loss.item() * len(indices)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        print(f"loss {total / (job.batch * job.steps):.4f}")
    return clock.seconds()


Loss = Callable[[Mapping[str, Any]], Any]


def gpt(job: Job) -> tuple[nn.Module, Loss]:
    """nanoGPT's model, and its loss of a batch."""
    path = ROOT / "docs" / "tutorials" / "nanogpt.py"
    found = importlib.util.spec_from_file_location("nanogpt", path)
    assert found is not None
    assert found.loader is not None
    module: Any = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    module.LENGTH, module.WIDTH, module.LAYERS, module.HEADS = job.length, job.width, job.layers, job.heads
    model = module.GPT(job.vocabulary)
    return model, lambda batch: module.loss_of(model, batch["tokens"], batch["label"])


def bert(job: Job) -> tuple[nn.Module, Loss]:
    """transformers' model for both of BERT's tasks, and its loss of a batch."""
    import transformers

    config = transformers.BertConfig(
        vocab_size=job.vocabulary,
        hidden_size=job.width,
        num_hidden_layers=job.layers,
        num_attention_heads=job.heads,
        intermediate_size=4 * job.width,
        max_position_embeddings=job.length,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = transformers.BertForPreTraining(config)
    assert model.config._attn_implementation == "sdpa"
    return (
        model,
        lambda batch: (
            model(
                input_ids=batch["input_ids"],
                token_type_ids=batch["token_type_ids"],
                attention_mask=batch["attention_mask"],
                labels=batch["labels"],
                next_sentence_label=batch["follows"],
            ).loss
        ),
    )


# ---- writing ---------------------------------------------------------------------------------------------


def writing(quick: bool) -> Comparison:
    """What a token costs on each side; `specdl, first` has the cost of the first tokens under the name of the last."""
    written = 2 * FEW if quick else WRITTEN
    sides = [
        Side("specdl", specdl_writes, {"cache": True, "written": written}),
        Side("without a cache", specdl_writes, {"cache": False, "written": written}),
        Side("transformers", transformers_writes, {"written": written}),
    ]
    found = compare(sides, 1 if quick else 5, title="writing")
    rounds = [{**item, "specdl, first": {"late": item["specdl"]["early"]}} for item in found.rounds]
    return Comparison(rounds)


def reference() -> Any:
    """transformers' GPT-2 with weights that all sides use."""
    import torch
    import transformers

    torch.manual_seed(0)
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**WRITER, bos_token_id=0, eos_token_id=0)).eval()


def costs(times: list[float]) -> Numbers:
    """The mean time of a token, and the median time of one of the first and of the last."""
    steps = [after - before for before, after in pairwise(times)]
    return {
        "seconds": statistics.fmean(steps),
        "early": statistics.median(steps[:FEW]),
        "late": statistics.median(steps[-FEW:]),
    }


def specdl_writes(cache: bool, written: int) -> Numbers:
    """The tokens of specdl's speaker, with a cache or without."""
    import torch

    import specdl
    from specdl.passes.piecewise import Piecewise
    from specdl.training.decoding import Choice, write
    from specdl.training.speaker import GrowingInputs, Pieces, Whole, cut, in_pieces

    params = dict(zip(("vocabulary", "length", "width", "layers", "heads"), WRITER.values(), strict=True))
    model = specdl.load(ROOT / "specs/text/gpt2.yaml", None, {f"params.{key}": value for key, value in params.items()})
    module = model.module(weights=False).eval()
    turned = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    module.load_state_dict(
        {key: value.T if key.endswith(turned) else value for key, value in reference().state_dict().items()}
    )
    grows = GrowingInputs("tokens")
    made = cut(model.program, grows, ())
    assert isinstance(made, Piecewise)
    speaker = Pieces(in_pieces(made, module), grows, made.limit, made.once) if cache else Whole(module, grows, None)
    speaker.begin({})
    times: list[float] = []
    for _ in write(speaker, prompt(), written, Choice(0.0), torch.Generator(), frozenset()):
        times.append(time.perf_counter())
    return costs(times)


def prompt() -> torch.Tensor:
    """Tokens to go on with."""
    import torch

    return torch.randint(0, WRITER["vocab_size"], (1, PROMPT), generator=torch.Generator().manual_seed(0))


def transformers_writes(written: int) -> Numbers:
    """`generate` with its own cache; a criterion that stops nothing reads the clock at each token."""
    import torch

    times: list[float] = []

    def tick(tokens: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        times.append(time.perf_counter())
        return torch.zeros(len(tokens), dtype=torch.bool)

    tokens = prompt()
    reference().generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=written,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        stopping_criteria=[tick],
    )
    return costs(times)
