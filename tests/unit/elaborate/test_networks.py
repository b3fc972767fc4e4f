"""Networks from elsewhere, and what a step's program says of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from specdl.analysis.cost import cost
from specdl.api import Model, load
from specdl.diagnostics import SpecError
from specdl.ir.program import Loop, Origin, Program
from specdl.ir.verify import InvalidProgram, verify
from tests.conftest import CASES, compiled

RUN = """
specdl: 1
name: vae
params: {width: 6}
models:
  encoder:
    inputs: {image: [1, 8, 8]}
    layers:
      - flatten
      - hidden = linear: $width
      - z = linear: 2
  decoder: {inputs: {z: [2]}, layers: [linear: 64]}
"""


def spec_over(tmp_path: Path, keys: str, folder: str = "runs/vae") -> Model:
    run = tmp_path / "runs" / "vae" / "latest"
    run.mkdir(parents=True)
    (run / "spec.yaml").write_text(RUN, encoding="utf-8")
    text = f"""
specdl: 1
params: {{width: 99}}
models:
  codes: {{from: {folder}{keys}}}
  head: {{inputs: {{z: [6]}}, layers: [linear: 10]}}
data: {{source: digits}}
steps:
  - name: classify
    update: head
    layers:
      - codes(image)
      - scores = head
    losses: [\"cross_entropy(scores, label)\"]
"""
    (tmp_path / "spec.yaml").write_text(text, encoding="utf-8")
    return load(tmp_path / "spec.yaml")


def test_a_network_of_a_run_has_the_run_spec_s_layers_and_parameters(tmp_path: Path) -> None:
    model = spec_over(tmp_path, ", network: encoder, outputs: [hidden], freeze: true")
    codes = model.program.network("codes")
    assert [str(type) for type in codes.output_types()] == ["[N, 6]"], "the run's `width`, not this spec's"
    assert model.program.origins == {"codes": Origin(run="runs/vae", network="encoder", frozen=True)}
    assert model.program.steps[0].modes == {"codes": "eval", "head": "train"}
    # All weights stay, since the run's checkpoint has them: 64·6 + 6 and 6·2 + 2.
    assert cost(model.program, network="codes").parameters == 390 + 14
    assert cost(model.program, network="codes").trainable_parameters == 0
    assert model.cost.trainable_parameters == 70
    assert list(model.module("codes").state_dict()) == ["hidden.weight", "hidden.bias", "z.weight", "z.bias"]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (", network: coder", "(?s)E0703.*no network `coder`.*did you mean `encoder`"),
        (", outputs: [hiden], network: encoder", "E0306.*no value `hiden`"),
        (", freeze: maybe", "E0203.*true or false"),
        (", network: decoder", "E0204.*takes \\[N, 2\\]"),
    ],
)
def test_mistakes_about_a_run_are_told(tmp_path: Path, keys: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        spec_over(tmp_path, keys)


def test_a_run_whose_spec_is_wrong_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "spec.yaml").write_text("specdl: 1\ninputs: {x: [4]}\nlayers: [rely]\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"E0710.*has mistakes") as error:
        spec_over(tmp_path, "", "broken")
    assert "there is no operator or block `rely`" in str(error.value)


def test_an_average_is_another_network_of_the_same_function() -> None:
    program = load(CASES / "models" / "distillation.yaml").program
    assert program.networks["teacher"] == program.networks["student"]
    assert program.origins == {"teacher": Origin(average_of="student", decay=0.996)}
    assert program.steps[0].modes == {"student": "train", "teacher": "train"}


def test_networks_take_other_lengths() -> None:
    model = compiled("""
models:
  encoder:
    inputs: {tokens: {shape: [T], dtype: int64}}
    layers: [embedding: {num_embeddings: 9, embedding_dim: 4}]
sample:
  inputs: {long: {shape: [S], dtype: int64}, short: {shape: [5], dtype: int64}}
  layers:
    - a = encoder(long)
    - b = encoder(short)
  outputs: [a, b]
""")
    assert model.program.sample is not None
    types = model.program.functions[model.program.sample].output_types()
    assert [str(type) for type in types] == ["[N, S, 4]", "[N, 5, 4]"]


def test_a_network_that_nothing_updates_is_warned_of() -> None:
    model = compiled("""
models:
  one: {inputs: {image: [1, 8, 8]}, layers: [flatten, {linear: 10}]}
  two: {inputs: {image: [1, 8, 8]}, layers: [flatten, {linear: 10}]}
data: {source: digits}
steps:
  - {name: only, update: one, layers: [one = one(image)], losses: ["cross_entropy(one, label)"]}
optimizer: {one: {adam: {lr: 0.1}}, two: {adam: {lr: 0.2}}}
""")
    assert [(item.code, "`two`" in item.message) for item in model.warnings] == [("W0004", True), ("W0003", True)]
    assert model.recipe is not None
    assert model.recipe.optimizer_of("two").optimizer.lr == 0.2


def changed(program: Program, **fields: Any) -> Program:
    """The program with other fields in the node of its sampling that is a loop."""
    assert program.sample is not None
    function = program.functions[program.sample]
    nodes = tuple(replace(node, **fields) if node.loop else node for node in function.nodes)
    return replace(program, functions={**program.functions, function.key: replace(function, nodes=nodes)})


@pytest.mark.parametrize(
    ("loop", "told"),
    [
        (Loop(1, 0, ((), ())), "has no iterations"),
        (Loop(9, 50, ((0,) * 50, (0,) * 50)), "carries more than there is"),
        (Loop(1, 50, ((0,) * 50, (0,) * 49)), "columns of another length"),
        (Loop(1, 50, ((0,) * 50,)), "gives other input types"),
    ],
)
def test_a_broken_loop_is_found(loop: Loop, told: str) -> None:
    program = load(CASES / "models" / "ddpm.yaml").program
    assert verify(program) is program
    with pytest.raises(InvalidProgram, match=told):
        verify(changed(program, loop=loop))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"sample": "nothing"}, "no function `nothing`"),
        ({"origins": {"nobody": Origin()}}, "is no network"),
        ({"origins": {"generator": Origin(average_of="discriminator")}}, "isn't that of `discriminator`"),
        ({"networks": {"generator": "discriminator", "discriminator": "generator"}}, "is not its network's function"),
    ],
)
def test_a_broken_program_of_several_networks_is_found(fields: dict[str, Any], told: str) -> None:
    program = load(CASES / "models" / "gan.yaml").program
    with pytest.raises(InvalidProgram, match=told):
        verify(replace(program, **fields))
