"""A small model that stands for a compiled spec, so the loop is tested without the compiler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from specdl.diagnostics import Diagnostics, Span
from specdl.ir.program import LossTerm, Program, Step
from specdl.source import parse_text
from specdl.spec.recipe import Recipe, parse_recipe
from specdl.training.model import StepFunction

SPAN = Span("fake.yaml", 1, 1, 1, 2)

SPEC = """
data:
  source: digits
  batch_size: 64
  transforms:
    - image = random_affine(image): {degrees: 10, translate: 0.05}
metrics: [accuracy]
optimizer: {adamw: {lr: 3e-3}}
scheduler: {cosine: {warmup_steps: 5}}
train: {epochs: 2}
"""


def make_recipe(text: str) -> Recipe:
    source = parse_text(text, "fake.yaml")
    diagnostics = Diagnostics(texts={source.file: source.text})
    recipe = parse_recipe(source.data, source.spans, diagnostics)
    diagnostics.raise_if_failed()
    assert recipe is not None
    return recipe


@dataclass
class FakeModel:
    """A network of two layers on digits, with dropout, and the cross-entropy as its step."""

    text: str = SPEC
    name: str = "fake"
    input_names: tuple[str, ...] = ("image",)
    required_inputs: tuple[str, ...] = ("image",)
    output_names: tuple[str, ...] = ("logits",)
    width: int = 16

    def __post_init__(self) -> None:
        self.recipe = make_recipe(self.text)
        term = LossTerm("cross_entropy", 1.0, SPAN)
        self.program = Program("fake", {}, {"model": "model"}, (Step("train", "train", "train", ("model",), (term,)),))

    def module(self, network: str | None = None, *, weights: bool = True) -> nn.Module:
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, self.width),
            nn.BatchNorm1d(self.width),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(self.width, 10),
        )

    def step_functions(self) -> dict[str, StepFunction]:
        return {"train": self.step}

    def step(
        self, models: Mapping[str, nn.Module], batch: Mapping[str, torch.Tensor]
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        logits = models["model"](batch["image"])
        loss = nn.functional.cross_entropy(logits, batch["label"])
        return {"cross_entropy": loss}, {"logits": logits}

    def resolved_files(self) -> Mapping[str, str]:
        return {"spec.yaml": self.text}


LONG_CHILD = SPEC.replace("epochs: 2", "epochs: 5000")
