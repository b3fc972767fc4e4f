"""Variants and overrides change the data, and only what they name."""

from __future__ import annotations

from typing import Any

import pytest

from specdl.api import compile_source
from specdl.diagnostics import SpecError
from specdl.source import parse_text
from specdl.spec.overrides import parse_override

TEXT = """
specdl: 1
params: {width: 8, sizes: [4, 5], act: relu, name: $act, needed: required}
variants:
  wide: {width: 32, needed: 1}
inputs: {image: [1, 8, 8]}
layers:
  - flatten
  - hidden = linear: $width
  - use: $act
  - linear: 10
data: {source: digits, split: {validation: 0.2}}
loss: cross_entropy
optimizer: sgd
train: {epochs: 3}
"""


def model(variant: str | None = None, **overrides: Any) -> Any:
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return compile_source(parse_text(TEXT, "x.yaml"), variant, dotted)


def refusal(variant: str | None = None, **overrides: Any) -> str:
    with pytest.raises(SpecError) as error:
        model(variant, **overrides)
    (found,) = error.value.diagnostics
    place = "-" if found.span is None else f"{found.span.file}:{found.span.line}:{found.span.column}"
    return f"{found.code} {place} {found.message} | {found.help}"


def test_a_variant_sets_parameters() -> None:
    assert model("wide").parameters == 64 * 32 + 32 + 32 * 10 + 10
    assert model(params__needed=1).parameters == 64 * 8 + 8 + 8 * 10 + 10


def test_an_override_beats_the_variant() -> None:
    assert model("wide", params__width=2).parameters == 64 * 2 + 2 + 2 * 10 + 10


def test_the_source_stays_as_it_was() -> None:
    source = parse_text(TEXT, "x.yaml")
    compile_source(source, "wide", {"params.sizes.0": 9, "train.epochs": 7, "optimizer.sgd.lr": 0.5})
    assert source.data == parse_text(TEXT, "x.yaml").data
    assert source.spans == parse_text(TEXT, "x.yaml").spans


def test_sections_take_keys_that_the_file_leaves_out() -> None:
    compiled = model(
        "wide", optimizer__sgd__lr=0.5, train__seed=3, data__split__seed=4, scheduler__cosine__warmup_steps=5
    )
    recipe = compiled.recipe
    assert recipe is not None
    assert (recipe.train.seed, recipe.train.epochs) == (3, 3)
    assert recipe.optimizer.optimizer.lr == 0.5
    assert recipe.data.split.seed == 4
    assert recipe.data.split.validation == 0.2
    assert recipe.scheduler.warmup_steps == 5


def test_items_of_lists() -> None:
    assert refusal("wide", params__sizes__2=1).startswith(
        "E0303 <params.sizes.2=1>:1:1 the spec has no `params.sizes.2`"
    )
    assert model("wide", params__sizes__1=1).parameters


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "params__widht",
            3,
            "E0303 <params.widht=3>:1:1 the spec has no parameter `params.widht` | did you mean `width`?",
        ),
        ("params__width", "big", "E0304 <params.width=big>:1:1 parameter `width` is a number (32), got `big` | None"),
        (
            "params__act",
            3,
            "E0304 <params.act=3>:1:1 parameter `act` is a word (`relu`), got 3 | "
            "quote it in YAML if it is meant as a word",
        ),
        ("params__sizes", 3, "E0304 <params.sizes=3>:1:1 parameter `sizes` is a list ([4, 5]), got 3 | None"),
        ("parms__width", 3, "E0303 <parms.width=3>:1:1 the spec has no `parms` | did you mean `params`?"),
        ("trian__epochs", 3, "E0303 <trian.epochs=3>:1:1 the spec has no `trian` | did you mean `train`?"),
        ("inputs__picture", [3], "E0303 <inputs.picture=[3]>:1:1 the spec has no `inputs.picture` | None"),
        (
            "layers__99",
            "relu",
            "E0303 <layers.99=relu>:1:1 the spec has no `layers.99` | it has 4 items, counted from 0",
        ),
    ],
)
def test_what_is_refused(key: str, value: Any, message: str) -> None:
    assert refusal("wide", **{key: value}) == message


def test_a_wrong_value_is_reported_at_the_override() -> None:
    found = refusal("wide", train__epochs="many")
    assert "<train.epochs=many>:1:14" in found
    found = refusal("wide", train__epoch=3)
    assert "<train.epoch=3>:1:1" in found
    assert "`epochs`" in found


def test_an_unknown_variant_names_the_known() -> None:
    assert refusal("wied") == "E0302 x.yaml:4:1 there is no variant `wied` | did you mean `wide`?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.epochs=3", ("train.epochs", 3)),
        ("params.lr=1e-3", ("params.lr", 1e-3)),
        ("name=on", ("name", "on")),
        ("params.sizes=[1, 2]", ("params.sizes", [1, 2])),
        ("params.x=", ("params.x", None)),
        ("params.formula=a=b", ("params.formula", "a=b")),
    ],
)
def test_the_value_is_yaml(text: str, expected: tuple[str, Any]) -> None:
    assert parse_override(text) == expected


def test_a_value_that_is_no_yaml() -> None:
    with pytest.raises(SpecError, match="E0152"):
        parse_override("params.sizes=[1, 2")
