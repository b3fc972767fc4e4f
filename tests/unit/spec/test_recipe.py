"""The sections about data and training: what is understood, and every mistake at its place."""

from __future__ import annotations

import subprocess
import sys

import pytest

from specdl.diagnostics import Diagnostics
from specdl.source import parse_text
from specdl.spec.data import When
from specdl.spec.recipe import Recipe, parse_recipe


def parse(text: str) -> tuple[Recipe | None, Diagnostics]:
    source = parse_text(text, "spec.yaml")
    diagnostics = Diagnostics(texts={source.file: source.text})
    data = source.data.get("data")
    for item in data.get("transforms", ()) if isinstance(data, dict) else ():
        if isinstance(item, dict) and item.get("when") == "$(training)":  # expressions are evaluated before
            item["when"] = When(True, False)
    return parse_recipe(source.data, source.spans, diagnostics), diagnostics


FULL = """
data:
  source: digits
  batch_size: 64
  split: {validation: 0.1, test: 0.1, stratify: label, seed: 3}
  transforms:
    - image = random_affine(image): {degrees: 10, translate: 0.05}
      when: $(training)
    - image = resize(image): 16
    - image = normalize(image): 0.3
metrics: [accuracy, f1: {average: micro}, "top3 = accuracy(logits, label)": 3]
optimizer:
  adamw: {lr: 1e-3}
  groups:
    - {match: ["*.bias"], weight_decay: 0}
scheduler: {cosine: {warmup_steps: 50}}
train:
  epochs: 15
  seed: 7
  precision: bf16
  accumulate: 2
  clip: {norm: 1.0}
  ema: 0.99
  early_stopping: {monitor: validation/top3, patience: 3}
  checkpoint: {every: 100, unit: step, keep: 2}
  validate: {every: 2}
"""


def test_a_full_recipe() -> None:
    recipe, diagnostics = parse(FULL)
    assert not diagnostics.items
    assert recipe is not None
    assert recipe.data is not None
    assert str(recipe.data.raw["image"]) == "[N, 1, 8, 8]"
    assert str(recipe.data.fields["image"]) == "[N, 1, 16, 16]"
    assert [entry.when.evaluation for entry in recipe.data.transforms] == [False, True, True]
    assert [(entry.name, entry.inputs) for entry in recipe.metrics] == [
        ("accuracy", None),
        ("f1", None),
        ("top3", ("logits", "label")),
    ]
    assert recipe.optimizer.groups[0].weight_decay == 0
    assert recipe.optimizer.lr_span is not None
    assert (recipe.optimizer.lr_span.line, recipe.optimizer.lr_span.column) == (13, 15)
    assert recipe.train.validate_.every == 2
    assert (recipe.monitor.name, recipe.monitor.mode) == ("validation/top3", "max")


def test_defaults() -> None:
    recipe, _ = parse("data: {source: digits}")
    assert recipe is not None
    assert recipe.data is not None
    assert (recipe.data.split.validation, recipe.data.split.stratify) == (0.2, "label")
    assert recipe.optimizer.optimizer.name == "adamw"
    assert recipe.scheduler.name == "constant"
    assert (recipe.monitor.name, recipe.monitor.mode) == ("validation/loss", "min")


def test_a_spec_without_data_has_a_recipe_without_data() -> None:
    recipe, _ = parse("optimizer: {sgd: 0.1}")
    assert recipe is not None
    assert recipe.data is None
    assert recipe.optimizer.optimizer.lr == 0.1


@pytest.mark.parametrize(
    ("text", "line", "column", "code", "words"),
    [
        ("data: digits", 1, 7, "E0501", "mapping"),
        ("data: {batch_size: 2}", 1, 7, "E0202", "`source`"),
        ("data: {source: digit}", 1, 16, "E0206", "did you mean `digits`"),
        ("data: {source: digits, batchsize: 2}", 1, 24, "E0201", "did you mean `batch_size`"),
        ("data: {source: digits, batch_size: 0}", 1, 36, "E0501", "at least 1"),
        ("data: {source: digits, split: {validation: 1.5}}", 1, 44, "E0501", "less than 1"),
        ("data: {source: digits, split: {validation: 0.6, test: 0.5}}", 1, 31, "E0501", "leave something"),
        ("data: {source: digits, split: {stratify: lable}}", 1, 42, "E0502", "did you mean `label`"),
        ("data: {source: digits, split: {stratify: image}}", 1, 42, "E0502", "integer field"),
        ("data: {source: digits, transforms: [flip]}", 1, 37, "E0206", "no transform `flip`"),
        ("data: {source: digits, transforms: [{resize: 4}]}", 1, 38, "E0503", "image = resize(image)"),
        ("data: {source: digits, transforms: [{x = resize(y): 4}]}", 1, 49, "E0503", "no field `y`"),
        ("data: {source: digits, transforms: [{x = resize(label): 4}]}", 1, 49, "E0504", "an image"),
        ("metrics: accuracy", 1, 10, "E0501", "list"),
        ("metrics: [acuracy]", 1, 11, "E0206", "did you mean `accuracy`"),
        ("metrics: [accuracy, accuracy: 5]", 1, 21, "E0505", "name of its own"),
        ("metrics: [accuracy(logits)]", 1, 11, "E0505", "prediction"),
        ("optimizer: adamm", 1, 12, "E0206", "did you mean `adam"),
        ("optimizer: {adam: {learning_rate: 1}}", 1, 20, "E0201", "`lr`"),
        ("optimizer: {sgd: {nesterov: true}}", 1, 18, "E0501", "needs a `momentum`"),
        ("optimizer: {adam: {}, sgd: {}}", 1, 12, "E0501", "one optimizer"),
        ("optimizer: {adam: {}, groups: [{lr: 1}]}", 1, 32, "E0202", "`match`"),
        ("scheduler: {constant: 3}", 1, 23, "E0501", "by name"),
        ("train: {epochs: 3, max_steps: 4}", 1, 8, "E0501", "exclude"),
        ("train: {precision: fp8}", 1, 20, "E0501", "bf16"),
        ("train: {clip: {}}", 1, 15, "E0501", "either `norm` or `value`"),
        ("train: {device: gpu}", 1, 17, "E0501", "cuda"),
        ("train: {early_stopping: {monitor: validation/acuracy}}", 1, 35, "E0506", "validation/loss"),
    ],
)
def test_mistakes(text: str, line: int, column: int, code: str, words: str) -> None:
    recipe, diagnostics = parse(text)
    assert recipe is None
    (item,) = diagnostics.items
    assert item.code == code
    assert words in f"{item.message} {item.help}"
    assert item.span is not None
    assert (item.span.line, item.span.column) == (line, column)


def test_a_transform_that_changes_the_shape_only_while_training_is_refused() -> None:
    recipe, diagnostics = parse(
        "data:\n  source: digits\n  transforms:\n    - image = random_crop(image): 6\n      when: $(training)\n"
    )
    assert recipe is None
    assert "[N, 1, 6, 6] in training, but [N, 1, 8, 8] in evaluation" in diagnostics.items[0].message


def test_a_when_is_true_or_false() -> None:
    _, diagnostics = parse(
        "data:\n  source: digits\n  transforms:\n    - image = pad(image): 1\n      when: sometimes\n"
    )
    (item,) = diagnostics.items
    assert "`sometimes`" in item.message
    assert item.span is not None
    assert item.span.line == 5


def test_all_mistakes_are_told_at_once() -> None:
    _, diagnostics = parse(
        "data: {source: digit}\noptimizer: adamm\nscheduler: cosin\nmetrics: [x]\ntrain: {epoch: 1}\n"
    )
    assert [item.span.line for item in diagnostics.sorted() if item.span] == [1, 2, 3, 4, 5]


def test_a_recipe_is_parsed_without_torch() -> None:
    code = "import sys, specdl.spec.recipe; print([name for name in ('torch', 'numpy') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
