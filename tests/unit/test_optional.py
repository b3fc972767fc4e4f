"""Optional inputs of networks: one module for every combination of them, and an ONNX file for any."""

from __future__ import annotations

import itertools
from pathlib import Path

import onnx
import pytest
import torch

from specdl.api import Model, compile_source, load
from specdl.diagnostics import SpecError
from specdl.ir.given import with_inputs
from specdl.ir.verify import InvalidProgram, verify
from specdl.source import parse_text
from tests.conftest import CASES, compiled

CASE = CASES / "language" / "optional_inputs.yaml"
NAMES = ("kinds", "mask", "memory")
SCALED = """inputs: {x: [4], scale: {shape: [4], optional: true}}
layers:
  - y = linear: 4
  - y = mul(y, scale):
    when: $(given(scale))
  - relu
"""


def values() -> dict[str, torch.Tensor]:
    mask = torch.ones(2, 5, dtype=torch.bool)
    mask[1, 3:] = False
    return {
        "tokens": torch.randint(0, 50, (2, 5), generator=torch.Generator().manual_seed(0)),
        "kinds": torch.ones(2, 5, dtype=torch.int64),
        "mask": mask,
        "memory": torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(1)),
    }


def test_what_is_absent_is_none() -> None:
    module = load(CASE).module().eval()
    given = values()
    tokens = given["tokens"]
    assert torch.equal(module(tokens), module(tokens, torch.zeros_like(tokens)))
    outputs = {
        names: module(tokens, **{name: given[name] for name in names})
        for count in range(4)
        for names in itertools.combinations(NAMES, count)
    }
    for one, other in itertools.combinations(outputs, 2):
        assert not torch.allclose(outputs[one], outputs[other]), (one, other)


@pytest.mark.parametrize("absent", [names for count in range(4) for names in itertools.combinations(NAMES, count)])
def test_onnx_without_some(tmp_path: Path, absent: tuple[str, ...]) -> None:
    model = load(CASE)
    result = model.export_onnx(tmp_path / "model.onnx", model.module(), without=absent)
    assert result.verified  # against the module, which gets None for what is absent
    inputs = [item.name for item in onnx.load(tmp_path / "model.onnx").graph.input]
    assert inputs == ["tokens", *(name for name in NAMES if name not in absent)]


def test_onnx_without_what_must_be_given(tmp_path: Path) -> None:
    for name, help in (("tokens", "optional are"), ("msk", "did you mean `mask`")):
        with pytest.raises(SpecError, match=help):
            load(CASE).export_onnx(tmp_path / "model.onnx", without=[name])


def test_costs_are_with_everything_given() -> None:
    model = load(CASE)
    module = model.module()
    assert model.parameters == sum(parameter.numel() for parameter in module.parameters())
    with_everything = with_inputs(model.program)
    assert verify(with_everything).main.nodes[1].skip  # the zeros where no kinds are given
    assert [value.name for value in with_inputs(model.program, NAMES).main.inputs] == ["tokens"]
    for count in range(4):
        for absent in itertools.combinations(NAMES, count):
            verify(with_inputs(model.program, absent))


def test_a_program_without_optional_inputs_stays_as_it_is() -> None:
    program = compiled("inputs: {x: [4]}\nlayers: [linear: 4]\n").program
    assert with_inputs(program) is program


def test_given_is_known_within_a_condition() -> None:
    model = compiled(
        "inputs: {x: [4], scale: {shape: [4], optional: true}}\nlayers:\n"
        "  - body = sequence:\n      - linear: $(scale.features if given(scale) else 7)\n      - mul(_, scale)\n"
        "    when: $(given(scale))\n"
        "  - other = linear(x): $(5 if given(scale) else 4)\n    when: $(not given(scale))\n"
        "  - y = identity(body)\n    when: $(given(scale))\n"
        "  - y = identity(other)\n    when: $(not given(scale))\n  - relu(y)\n".replace(
            "identity(body)", "identity(body):"
        ).replace("identity(other)", "identity(other):")
    )
    module = model.module()
    x, scale = torch.randn(2, 4), torch.randn(2, 4)
    assert torch.allclose(module(x, scale), torch.relu(module.body[0](x) * scale))
    assert torch.allclose(module(x), torch.relu(module.other(x)))


def test_training_takes_what_the_data_has() -> None:
    header = "specdl: 1\ninputs: {image: [1, 8, 8], label: {shape: [], dtype: int64, optional: true}}\n"
    rest = """layers:
  - flatten
  - x = linear: 16
  - hint = embedding(label): {num_embeddings: 10, embedding_dim: 16}
    when: $(given(label))
  - x = add(x, hint):
    when: $(given(label))
  - logits = linear: 10
outputs: [logits]
data: {source: digits}
losses: ["cross_entropy(logits, label)"]
optimizer: {sgd: {lr: 0.1}}
"""
    for name, count in (("label", 2), ("labels", 1)):
        text = header + rest.replace("(label)", f"({name})")
        text = text.replace("label: {shape", f"{name}: {{shape")
        model = compile_source(parse_text(text, "test.yaml"))
        step = model.program.functions[model.program.steps[0].function]
        call = next(node for node in step.nodes if node.network is not None)
        assert [value is not None for value in call.inputs] == [True, count == 2]
        run = model.step_functions()["supervised"]
        batch = {"image": torch.rand(3, 1, 8, 8), "label": torch.tensor([1, 2, 3])}
        terms, _ = run({"model": model.module()}, batch)
        assert torch.isfinite(terms["cross_entropy"])


def steps_model() -> Model:
    text = """specdl: 1
models:
  net:
    inputs: {image: [1, 8, 8], label: {shape: [], dtype: int64, optional: true}}
    layers:
      - flatten
      - x = linear: 8
      - hint = embedding(label): {num_embeddings: 10, embedding_dim: 8}
        when: $(given(label))
      - x = add(x, hint):
        when: $(given(label))
data: {source: digits}
steps:
  - name: both
    update: net
    layers:
      - one = net(image)
      - two = net(image, label=label)
    losses: ["mse(one, two)"]
optimizer: {sgd: {lr: 0.1}}
"""
    return compile_source(parse_text(text, "test.yaml"))


def test_a_step_calls_a_network_with_and_without() -> None:
    model = steps_model()
    module = model.module()
    batch = {"image": torch.rand(3, 1, 8, 8), "label": torch.tensor([1, 2, 3])}
    terms, _ = model.step_functions()["both"]({"net": module}, batch)
    hint = module.hint(batch["label"])
    assert torch.allclose(terms["mse"], (hint**2).mean())


def test_an_imported_network(tmp_path: Path) -> None:
    (tmp_path / "inner.yaml").write_text(f"specdl: 1\nname: inner\n{SCALED}")
    main = """specdl: 1
imports: [inner.yaml]
inputs: {x: [4], s: {shape: [4], optional: true}}
layers:
  - a = inner(x)
  - b = inner(x, x)
  - c = inner(x, scale=s)
  - compute: a + 10 * b + 100 * c
"""
    (tmp_path / "main.yaml").write_text(main)
    model = load(tmp_path / "main.yaml")
    module = model.module()
    x, s = torch.randn(2, 4), torch.randn(2, 4)

    def inner(part: torch.nn.Module, scale: torch.Tensor | float) -> torch.Tensor:
        return torch.relu(part.y(x) * scale)

    for scale, given in ((1.0, ()), (s, (s,))):
        wanted = inner(module.a, 1.0) + 10 * inner(module.b, x) + 100 * inner(module.c, scale)
        assert torch.allclose(module(x, *given), wanted)
    for without in ((), ("s",)):
        assert model.export_onnx(tmp_path / "model.onnx", module, without=without).verified


def test_a_read_of_what_may_be_absent_is_no_valid_program() -> None:
    from dataclasses import replace

    program = compiled(SCALED).program
    main = program.main
    nodes = tuple(replace(node, guard=None) for node in main.nodes)
    with pytest.raises(InvalidProgram, match="may be absent"):
        verify(replace(program, functions={**program.functions, main.key: replace(main, nodes=nodes)}))


def test_the_diagram_says_which_inputs_are_optional() -> None:
    from specdl.backends.diagram import emit_dot

    text = emit_dot(compiled(SCALED).program)
    assert text.count("optional") == 1
    assert "choose" not in text.lower()
