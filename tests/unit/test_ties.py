"""`tie:` through all stages: one parameter in PyTorch, in files and in ONNX, whatever its keys are."""

from __future__ import annotations

import copy
from pathlib import Path

import onnx
import pytest
import torch

from specdl.analysis.cost import cost_rows
from specdl.api import Model, compile_source, load
from specdl.diagnostics import SpecError
from specdl.source import parse_text
from specdl.training.checkpoint import load_tensors, load_weights, save_tensors
from tests.conftest import CASES, compiled

LANGUAGE = """inputs: {tokens: {shape: [T], dtype: int64}}
layers:
  - embed = embedding: {num_embeddings: 40, embedding_dim: 8}
  - hidden = linear: 8
  - head = linear: {out_features: 40, bias: false}
tie:
  - head.weight: embed.weight
"""
CASE = CASES / "language" / "tied_weights.yaml"


def case() -> Model:
    return load(CASE)


def tokens() -> torch.Tensor:
    return torch.tensor([[1, 2, 3]])


def test_it_is_one_parameter_under_two_keys() -> None:
    model = compiled(LANGUAGE)
    module = model.module()
    assert module.head.weight is module.embed.weight
    assert list(module.state_dict()) == ["embed.weight", "hidden.weight", "hidden.bias", "head.weight"]
    assert [name for name, _ in module.named_parameters()] == ["embed.weight", "hidden.weight", "hidden.bias"]


def test_both_layers_give_it_their_gradient() -> None:
    module = compiled(LANGUAGE).module()
    module(tokens()).sum().backward()
    found = module.embed.weight.grad
    assert found is not None
    assert found[[0, 39]].abs().sum() > 0  # tokens that aren't in the input: the head's share
    with torch.no_grad():
        hidden = module.hidden(module.embed(tokens())).sum((0, 1))
    assert torch.allclose(found[0], hidden)
    assert not torch.allclose(found[1], hidden)  # the embedding's share comes on top


def test_it_counts_and_costs_once() -> None:
    for model in (compiled(LANGUAGE), case()):
        module = model.module()
        assert model.parameters == sum(parameter.numel() for parameter in module.parameters())
        assert model.cost.parameter_bytes == 4 * model.parameters
        rows = cost_rows(model.program)
        assert sum(row.parameters for row in rows if row.depth == 0) == model.parameters
        for row in rows:
            inner = [other.parameters for other in rows if other.path.rpartition(".")[0] == row.path]
            assert not inner or row.parameters == sum(inner)


@pytest.mark.parametrize("rank", [2, 3])
def test_onnx_has_it_once(tmp_path: Path, rank: int) -> None:
    text = LANGUAGE if rank == 3 else LANGUAGE.replace("  - hidden", "  - mean: {dim: 1}\n  - hidden")
    model = compiled(text)
    module = model.module()
    assert model.export_onnx(tmp_path / "model.onnx", module).verified
    graph = onnx.load(tmp_path / "model.onnx").graph
    found = [tensor for tensor in graph.initializer if 40 in tensor.dims]
    assert [(tensor.name, list(tensor.dims)) for tensor in found] == [("embed.weight", [40, 8])]


def test_onnx_of_every_kind_of_tie(tmp_path: Path) -> None:
    model = case()
    assert model.export_onnx(tmp_path / "model.onnx").verified
    names = [tensor.name for tensor in onnx.load(tmp_path / "model.onnx").graph.initializer]
    assert {"shared.weight", "encoder.1.weight", "decoder.bias", "decoder.h.0.weight"} < set(names)
    aliases = {tie.alias for tie in model.program.main.ties}
    assert not aliases.intersection(name.removesuffix("_transposed") for name in names)


def test_every_kind_of_tie_in_pytorch() -> None:
    model = case()
    module = model.module()
    state = module.state_dict()
    for tie in model.program.main.ties:
        assert state[tie.alias].data_ptr() == state[tie.key].data_ptr()
    distinct = {tensor.data_ptr() for tensor in state.values()}
    assert len(distinct) == len(state) - len(model.program.main.ties)
    assert {"head.proxy.weight", "decoder.h.last.weight"} < set(state)  # keys that no layer owns
    source, target = torch.zeros(2, 3, dtype=torch.int64), torch.ones(2, 5, dtype=torch.int64)
    assert module(source, target).shape == (2, 5, 50)


def test_a_checkpoint_holds_it_once_and_gives_it_back_tied(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = case()
    module = model.module()
    save_tensors(path, module.state_dict())
    assert path.stat().st_size < 4 * model.parameters + 4096  # a header besides
    other = model.module()
    load_weights(other, load_tensors(path), "the file")
    for (key, tensor), found in zip(module.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(tensor, found), key
    assert other.lm_head.weight is other.shared.weight


def test_copies_and_other_devices_keep_it_tied() -> None:
    module = compiled(LANGUAGE).module()
    assert copy.deepcopy(module).head.weight is not module.head.weight
    for other in (copy.deepcopy(module), module.double(), module.to("cpu")):
        assert other.head.weight is other.embed.weight


def test_an_average_of_a_network_is_tied_as_it_is() -> None:
    text = (
        LANGUAGE.replace("\n", "\n    ").replace("inputs", "    inputs", 1).replace("tie:", "#").replace("- head.", "#")
    )
    header = "specdl: 1\nmodels:\n  coder:\n"
    more = "  slow: {ema: coder, decay: 0.9}\ntie:\n  - coder.head.weight: coder.embed.weight\n"
    model = compile_source(parse_text(f"{header}{text.rstrip()}\n{more}", "test.yaml"))
    for module in model.modules().values():
        assert module.head.weight is module.embed.weight
    assert model.parameters == 2 * (40 * 8 + 8 * 8 + 8)


def test_expressions_name_keys() -> None:
    text = LANGUAGE.replace("head.weight: embed.weight", "$(word).weight: $(where).weight")
    module = compiled("params: {word: head, where: embed}\n" + text).module()
    assert module.head.weight is module.embed.weight


@pytest.mark.parametrize("tied", [True, False])
def test_a_line_counts_where_its_condition_holds(tied: bool) -> None:
    model = compiled(f"params: {{tied: {str(tied).lower()}}}\n{LANGUAGE}    when: $tied\n")
    module = model.module()
    assert (module.head.weight is module.embed.weight) is tied
    with pytest.raises(SpecError, match="E0402"):
        compiled(f"{LANGUAGE}    when: 3\n")


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(f"specdl: 1\n{text}")
    return folder / "main.yaml"


IMPORTING = """imports: [inner.yaml]
inputs: {tokens: {shape: [T], dtype: int64}}
layers:
  - first = inner(tokens)
  - second = inner(tokens)
  - third = inner(tokens): {outputs: [hidden]}
  - concat(first, second, third): {dim: -1}
"""


def test_an_imported_network_brings_its_ties(tmp_path: Path) -> None:
    model = load(write(tmp_path, inner=f"name: inner\n{LANGUAGE}", main=IMPORTING))
    module = model.module()
    for part in (module.first, module.second):
        assert part.head.weight is part.embed.weight
    assert module.first.head.weight is not module.second.head.weight
    assert "third.head.weight" not in module.state_dict()  # not built, so there is nothing to tie
    assert model.parameters == 3 * (40 * 8 + 8 * 8 + 8)
    assert model.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert model.export_onnx(tmp_path / "model.onnx", module).verified
    names = [tensor.name for tensor in onnx.load(tmp_path / "model.onnx").graph.initializer if 40 in tensor.dims]
    assert names == ["first.embed.weight", "second.embed.weight", "third.embed.weight"]


def test_where_the_stored_weight_is_not_built_the_aliases_are_still_one(tmp_path: Path) -> None:
    inner = LANGUAGE.replace(
        "  - embed =", "  - shared = embedding(tokens): {num_embeddings: 40, embedding_dim: 8}\n  - embed ="
    )
    inner = inner.replace("- embed = embedding:", "- embed = embedding(tokens):")
    inner = inner.replace("head.weight: embed.weight", "head.weight: shared.weight\n  - embed.weight: shared.weight")
    assert load(write(tmp_path, main=f"name: inner\n{inner}")).parameters == 40 * 8 + 8 * 8 + 8
    main = "imports: [inner.yaml]\ninputs: {tokens: {shape: [T], dtype: int64}}\nlayers: [part = inner]\n"
    module = load(write(tmp_path, inner=f"name: inner\n{inner}", main=main)).module()
    assert module.part.head.weight is module.part.embed.weight
    assert "part.shared.weight" not in module.state_dict()


def test_a_spec_may_tie_what_it_imports(tmp_path: Path) -> None:
    more = "tie:\n  - second.embed.weight: first.head.weight\n  - second.head.weight: first.embed.weight\n"
    with pytest.raises(SpecError) as error:
        load(write(tmp_path, inner=f"name: inner\n{LANGUAGE}", main=IMPORTING + more))
    assert [item.code for item in error.value.diagnostics] == ["E0361", "E0361"]
    more = "tie:\n  - third.embed.weight: first.head.weight\n"
    model = load(write(tmp_path, inner=f"name: inner\n{LANGUAGE}", main=IMPORTING + more))
    module = model.module()
    assert module.third.embed.weight is module.first.embed.weight
    assert model.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert model.export_onnx(tmp_path / "model.onnx", module).verified


def test_training_moves_it_once(tmp_path: Path) -> None:
    from specdl.training.loop import train

    text = """inputs: {image: [1, 8, 8]}
layers:
  - flatten
  - a = linear: 64
  - relu
  - b = linear: 64
  - logits = linear: 10
tie: [b.weight: a.weight]
data: {source: digits}
loss: cross_entropy
optimizer: {sgd: {lr: 0.1, weight_decay: 0.1}}
train: {max_steps: 2, seed: 0, ema: 0.9}
"""
    model = compiled(text)
    run = train(model, folder=tmp_path / "run")
    saved = load_tensors(run.folder / "checkpoints" / "last" / "model.safetensors")
    assert torch.equal(saved["a.weight"], saved["b.weight"])
    fresh = model.module()
    load_weights(fresh, saved, "the run")
    assert fresh.a.weight is fresh.b.weight
