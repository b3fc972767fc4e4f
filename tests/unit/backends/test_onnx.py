"""ONNX export: names, outputs, sizes, weights, and what happens to the file when something is wrong."""

from __future__ import annotations

import errno
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from torch import nn

from specdl.api import Model
from specdl.backends import onnx as backend
from specdl.backends.onnx_file import write_model
from specdl.backends.onnx_verify import verify_onnx
from specdl.diagnostics import EnvironmentFailure, SpecError
from tests.conftest import SPECS, compiled
from tests.unit.small_specs import small_specs

LINEAR = "inputs: {x: [4]}\nlayers:\n  - hidden = linear: 3\n  - relu\n  - logits = linear: 2\n"
NORM = "inputs: {x: [3]}\nlayers:\n  - batch_norm1d\n  - dropout: 0.5\n  - linear: 2\n"


def exported(model: Model, folder: Path, module: nn.Module | None = None, **options: Any) -> onnx.ModelProto:
    path = folder / "model.onnx"
    result = model.export_onnx(path, module, **options)
    assert result.verified
    return onnx.load(path)


def outputs_of(proto: onnx.ModelProto) -> list[str]:
    return [output.name for output in proto.graph.output]


def code_of(error: pytest.ExceptionInfo[SpecError]) -> str:
    return error.value.diagnostics[0].code


def randomised(module: nn.Module) -> nn.Module:
    """A module whose weights and statistics are none of those that a fresh one has."""
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5)
    return module


# ---- names -------------------------------------------------------------------------------------------


def test_values_and_weights_have_the_names_of_the_spec(tmp_path: Path) -> None:
    graph = exported(compiled(LINEAR), tmp_path).graph
    assert [name for node in graph.node for name in node.output] == ["hidden", "relu", "logits"]
    assert [node.name for node in graph.node] == ["hidden/Gemm", "relu/Relu", "logits/Gemm"]
    keys = [f"{layer}.{kind}" for layer in ("hidden", "logits") for kind in ("weight", "bias")]
    assert [tensor.name for tensor in graph.initializer] == keys


def test_weights_of_groups_and_blocks_have_the_keys_of_the_state_dict(tmp_path: Path) -> None:
    model = compiled(
        "inputs: {x: [4]}\nblocks:\n  block:\n    layers:\n      - up = linear: 6\n      - down = linear: 4\n"
        "layers:\n  - body = sequence:\n      - block\n      - block\n  - call: body\n  - linear: 2\n"
    )
    module = model.module()
    graph = exported(model, tmp_path, module).graph
    assert {tensor.name for tensor in graph.initializer} == set(module.state_dict())
    assert len(graph.node) == 2 * 2 * 2 + 1  # called twice: two blocks of two layers; and the head


@pytest.mark.parametrize(
    ("text", "inputs", "outputs"),
    [
        ("inputs: {relu: [4]}\nlayers:\n  - linear: 4\n  - relu\n  - linear: 2\n", ["relu"], ["output"]),
        ("inputs: {x: [4]}\nlayers:\n  - x = linear: 4\n  - x = relu\n  - x = tanh\n", ["x"], ["x_output"]),
        ("inputs: {x: [4]}\noutputs: {a: b}\nlayers:\n  - a = linear: 4\n  - relu\n  - b = linear: 2\n", ["x"], ["a"]),
        ("inputs: {x: [4]}\noutputs: {a: b, b: a}\nlayers:\n  - a = linear: 4\n  - b = linear: 2\n", ["x"], ["a", "b"]),
        (
            "inputs: {x: [4], x_output: [4]}\noutputs: {x: b}\nlayers:\n  - b = linear(x): 2\n",
            ["x", "x_output"],
            ["x_output_2"],
        ),
        (
            "inputs: {x: [4]}\noutputs: {x: b, x_output: c}\nlayers:\n  - b = linear: 2\n  - c = linear: 2\n",
            ["x"],
            ["x_output_2", "x_output"],
        ),
        ("inputs: {x: [4]}\noutputs: {a: b, c: b}\nlayers:\n  - b = linear: 2\n", ["x"], ["a", "c"]),
        ("inputs: {x: [4]}\noutputs: [x, b]\nlayers:\n  - b = linear: 2\n", ["x"], ["x_output", "b"]),
        (
            "inputs: {x: [4]}\noutputs: [scale, b]\nlayers:\n  - scale = parameter: [3]\n  - b = linear(x): 2\n",
            ["x"],
            ["scale_output", "b"],
        ),
    ],
    ids=[
        "an input called like a layer",
        "a name used again",
        "an output called like another layer",
        "outputs that change names",
        "an output called like an input",
        "a suffix that is taken",
        "one value as two outputs",
        "an input as output",
        "a parameter as output",
    ],
)
def test_names_that_meet_in_onnx_are_told_apart(
    text: str, inputs: list[str], outputs: list[str], tmp_path: Path
) -> None:
    # Each of these is verified: the outputs have PyTorch's numbers in PyTorch's order.
    proto = exported(compiled(text), tmp_path)
    assert [value.name for value in proto.graph.input] == inputs
    assert outputs_of(proto) == outputs


# ---- what is written ---------------------------------------------------------------------------------


def test_dead_layers_are_not_written(tmp_path: Path) -> None:
    model = compiled("inputs: {x: [4]}\nlayers:\n  - unused = linear: 4\n  - logits = linear(x): 3\n")
    graph = exported(model, tmp_path).graph
    assert [node.name for node in graph.node] == ["logits/Gemm"]
    assert [tensor.name for tensor in graph.initializer] == ["logits.weight", "logits.bias"]


def test_a_dead_layer_in_a_live_group_is_not_written(tmp_path: Path) -> None:
    text = "inputs: {x: [4]}\nlayers:\n  - body = sequence:\n      - first = linear: 3\n      - second = linear: 5\n"
    model = compiled(text + "  - logits = linear(first): 2\n")
    assert [node.name for node in exported(model, tmp_path).graph.node] == ["body.first/Gemm", "logits/Gemm"]


def test_what_only_a_loss_reads_is_not_written(tmp_path: Path) -> None:
    model = compiled(
        "inputs: {image: [1, 8, 8]}\noutputs: [logits]\nlayers:\n  - features = flatten\n  - auxiliary = linear: 10\n"
        "  - logits = linear(features): 10\ndata: {source: digits}\n"
        "losses:\n  - cross_entropy(logits, label)\n  - cross_entropy(auxiliary, label)\noptimizer: {sgd: {lr: 0.1}}\n"
    )
    module = model.module()
    module.train()
    assert len(module(torch.zeros(2, 1, 8, 8))) == 2
    proto = exported(model, tmp_path, module)
    assert outputs_of(proto) == ["logits"]
    assert not any("auxiliary" in tensor.name for tensor in proto.graph.initializer)


def test_several_inputs_and_outputs_in_their_order(tmp_path: Path) -> None:
    model = compiled(
        "inputs: {tokens: {shape: [T], dtype: int64}, weights: [T, 3], mask: {shape: [T], dtype: bool}}\n"
        "outputs: {score: total, words: embedded, length: mask}\n"
        "layers:\n  - embedded = embedding(tokens): {num_embeddings: 5, embedding_dim: 4}\n"
        "  - joined = concat(embedded, weights): 2\n  - total = linear: 2\n"
    )
    graph = exported(model, tmp_path).graph
    kinds = [(value.name, value.type.tensor_type.elem_type) for value in graph.input]
    proto = onnx.TensorProto
    assert kinds == [("tokens", proto.INT64), ("weights", proto.FLOAT), ("mask", proto.BOOL)]
    assert [value.name for value in graph.output] == ["score", "words", "length"]
    shape = [dim.dim_param or dim.dim_value for dim in graph.input[1].type.tensor_type.shape.dim]
    assert shape == ["N", "T", 3]


def test_sizes_that_are_verified(tmp_path: Path) -> None:
    result = compiled(LINEAR).export_onnx(tmp_path / "m.onnx")
    assert [sizes["N"] for sizes in result.sizes] == [1, 3]
    tokens = "inputs: {a: [S, 2], b: [T, 2]}\nlayers:\n  - concat(a, b): 1\n"
    first, second = compiled(tokens).export_onnx(tmp_path / "m.onnx").sizes
    assert all(first[name] != second[name] for name in "NST")
    assert first["S"] != first["T"]


@pytest.mark.parametrize(
    ("layers", "size"),
    [("conv1d: {out_channels: 2, kernel_size: 11}", 16), ("conv1d: {out_channels: 2, kernel_size: 60}", 64)],
)
def test_sizes_that_the_layers_can_take_are_found(layers: str, size: int, tmp_path: Path) -> None:
    result = compiled(f"inputs: {{x: [1, T]}}\nlayers:\n  - {layers}\n").export_onnx(tmp_path / "m.onnx")
    assert result.sizes[0]["T"] == size


def test_a_short_table_of_positions_bounds_the_sizes(tmp_path: Path) -> None:
    model = compiled(
        "inputs: {tokens: {shape: [T], dtype: int64}}\nlayers:\n"
        "  - x = embedding: {num_embeddings: 9, embedding_dim: 2}\n"
        "  - positions = parameter: [4, 2]\n  - compute: x + positions[:$(x.shape[1])]\n"
    )
    assert [sizes["T"] for sizes in model.export_onnx(tmp_path / "m.onnx").sizes] == [2, 3]


def test_opset_and_ir_version(tmp_path: Path) -> None:
    for opset in backend.OPSETS:
        proto = exported(compiled(LINEAR), tmp_path, opset=opset)
        assert [(item.domain, item.version) for item in proto.opset_import] == [("", opset)]
        assert proto.ir_version == onnx.helper.find_min_ir_version_for(list(proto.opset_import))
        assert proto.producer_name == "specdl"


@pytest.mark.parametrize("opset", [0, 17, 99])
def test_an_opset_that_is_not_supported(opset: int, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="choose one from 18 to 23") as error:
        compiled(LINEAR).export_onnx(tmp_path / "m.onnx", opset=opset)
    assert code_of(error) == "E0804"
    assert not list(tmp_path.iterdir())


# ---- weights and modes -------------------------------------------------------------------------------


def test_fresh_weights_unless_a_module_is_given(tmp_path: Path) -> None:
    model = compiled(LINEAR)
    torch.manual_seed(7)
    expected = model.module().state_dict()["hidden.weight"]
    torch.manual_seed(7)
    fresh = exported(model, tmp_path)
    assert np.array_equal(onnx.numpy_helper.to_array(fresh.graph.initializer[0]), expected.numpy())
    module = randomised(model.module())
    given = exported(model, tmp_path, module)
    for tensor in given.graph.initializer:
        assert np.array_equal(onnx.numpy_helper.to_array(tensor), module.state_dict()[tensor.name].numpy())


def test_export_is_in_eval_mode_and_every_modes_is_restored(tmp_path: Path) -> None:
    model = compiled(NORM)
    module = randomised(model.module()).train()
    module.get_submodule("batch_norm1d").eval()  # frozen by its user
    before = {name: part.training for name, part in module.named_modules()}
    state = {key: value.clone() for key, value in module.state_dict().items()}
    exported(model, tmp_path, module)
    assert {name: part.training for name, part in module.named_modules()} == before
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": x.numpy()})
    with torch.no_grad():
        expected = module.eval()(x).numpy()
    # Two layers in float32: sums of three numbers in another order.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_modes_are_restored_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = compiled(NORM)
    module = model.module().train()
    monkeypatch.setattr(module, "forward", lambda x: 1 / 0)
    with pytest.raises(SpecError, match="PyTorch can't run the model to compare with") as error:
        model.export_onnx(tmp_path / "m.onnx", module)
    assert code_of(error) == "E0805"
    assert all(part.training for part in module.modules())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda module: compiled(LINEAR.replace("3", "5")).module(),
            r"`hidden.weight` must be float32\[3, 4\], the mod",
        ),
        (lambda module: nn.Linear(4, 3), "the module has none"),
        (lambda module: nn.Sequential(module), "the module has none"),
        (lambda module: module.half(), r"the module has float16\[3, 4\]"),
        (lambda module: module.bfloat16(), "the module has bfloat16"),
    ],
    ids=["other sizes", "another class", "wrapped", "float16", "bfloat16"],
)
def test_a_module_that_is_not_the_specs(change: Any, told: str, tmp_path: Path) -> None:
    model = compiled(LINEAR)
    with pytest.raises(SpecError, match=told) as error:
        model.export_onnx(tmp_path / "m.onnx", change(model.module()))
    assert code_of(error) == "E0803"
    assert not list(tmp_path.iterdir())


# ---- verification ------------------------------------------------------------------------------------


def test_a_weight_that_differs_fails_loudly(tmp_path: Path) -> None:
    model = compiled(LINEAR)
    module = model.module()
    path = tmp_path / "m.onnx"
    model.export_onnx(path, module)
    with torch.no_grad():
        module.get_parameter("logits.bias")[0] += 1e-2
    with pytest.raises(SpecError, match=r"`logits` differs from PyTorch's by 0\.01 at N=1") as error:
        verify_onnx(path, module, model.program)
    assert code_of(error) == "E0802"


@pytest.mark.parametrize("before", [None, b"an older file"])
def test_a_failed_verification_leaves_what_was_there(
    before: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(path: Path, model: onnx.ModelProto, weights: Any) -> None:
        write_model(path, model, {**weights, "logits.bias": weights["logits.bias"] + 1})

    monkeypatch.setattr(backend, "write_model", wrong)
    path = tmp_path / "m.onnx"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(SpecError) as error:
        compiled(LINEAR).export_onnx(path)
    assert code_of(error) == "E0802"
    assert (path.read_bytes() if path.exists() else None) == before
    assert [file.name for file in tmp_path.iterdir()] == ([] if before is None else ["m.onnx"])


def test_a_batch_frozen_by_mistake_is_found(tmp_path: Path) -> None:
    model = compiled("inputs: {x: [4]}\nlayers:\n  - reshape: [2, 2]\n")
    module = model.module()
    path = tmp_path / "m.onnx"
    model.export_onnx(path, module)
    proto = onnx.load(path)
    shape = next(tensor for tensor in proto.graph.initializer if tensor.data_type == onnx.TensorProto.INT64)
    shape.CopyFrom(onnx.numpy_helper.from_array(np.array([1, 2, 2]), shape.name))
    onnx.save(proto, path)
    with pytest.raises(SpecError, match="can't run the exported model at N=3") as error:
        verify_onnx(path, module, model.program)
    assert code_of(error) == "E0801"


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"nothing of the kind")
    model = compiled(LINEAR)
    with pytest.raises(SpecError, match="ONNX Runtime refuses") as error:
        verify_onnx(path, model.module(), model.program)
    assert code_of(error) == "E0801"


@pytest.mark.parametrize("layer", ["compute: log(relu(x))", "compute: 1 / relu(x)", "compute: log(x)"])
def test_infinities_and_nan_stand_where_pytorch_has_them(layer: str, tmp_path: Path) -> None:
    assert compiled(f"inputs: {{x: [40]}}\nlayers:\n  - {layer}\n").export_onnx(tmp_path / "m.onnx").verified


def test_an_infinity_does_not_excuse_the_numbers_beside_it(tmp_path: Path) -> None:
    # log(relu(x)) has many -inf; a factor of 1.001 in the others must be seen beside them.
    layers = "  - scale = parameter: {shape: [40], init: ones}\n  - compute: scale * log(relu(x))\n"
    model = compiled(f"inputs: {{x: [40]}}\nlayers:\n{layers}")
    module = model.module()
    path = tmp_path / "m.onnx"
    model.export_onnx(path, module)
    with torch.no_grad():
        module.get_parameter("scale").mul_(1.001)
    with pytest.raises(SpecError, match="differs from PyTorch's by"):
        verify_onnx(path, module, model.program)


def test_other_infinities_than_pytorchs_are_found(tmp_path: Path) -> None:
    model = compiled("inputs: {x: [40]}\nlayers:\n  - shift = buffer: [40]\n  - compute: log(relu(x + shift))\n")
    module = model.module()
    path = tmp_path / "m.onnx"
    model.export_onnx(path, module)
    module.get_buffer("shift").fill_(10)
    with pytest.raises(SpecError, match="has infinities or NaN where PyTorch has none"):
        verify_onnx(path, module, model.program)


def test_random_outputs_are_compared_in_shape_only(tmp_path: Path) -> None:
    text = "inputs: {x: [4]}\nlayers:\n  - mu = linear: 3\n  - noise = randn_like(mu)\n  - z = add(mu, noise)\n"
    both = compiled(f"{text}outputs: [z, mu]\n").export_onnx(tmp_path / "m.onnx")
    assert both.verified
    assert both.max_abs_error is not None
    alone = compiled(text).export_onnx(tmp_path / "m.onnx")
    assert not alone.verified
    assert alone.max_abs_error is None


def test_an_index_that_the_last_digit_decides_may_differ(tmp_path: Path) -> None:
    text = "inputs: {x: [5000]}\nlayers:\n  - shift = buffer: [5000]\n  - compute: (x + shift > 0)\n"
    model = compiled(text)
    module = model.module()
    path = tmp_path / "m.onnx"
    model.export_onnx(path, module)
    shift = module.get_buffer("shift")
    shift[:4] = 100.0  # about two of the four were below zero before
    assert verify_onnx(path, module, model.program)[0] == 0
    shift[:40] = 100.0
    with pytest.raises(SpecError, match="differs from PyTorch's at N=1") as error:
        verify_onnx(path, module, model.program)
    assert code_of(error) == "E0802"


def test_every_number_of_a_small_discrete_output_counts(tmp_path: Path) -> None:
    model = compiled("inputs: {x: [10]}\nlayers:\n  - shift = buffer: [10]\n  - compute: (x + shift > 0)\n")
    module = model.module()
    path = tmp_path / "m.onnx"
    model.export_onnx(path, module)
    module.get_buffer("shift").copy_(torch.tensor([100.0, -100.0] + [0.0] * 8))  # one of the two must change
    with pytest.raises(SpecError, match="differs from PyTorch's at N="):
        verify_onnx(path, module, model.program)


@settings(max_examples=25)
@given(small_specs())
def test_small_specs_are_equal_to_pytorch(text: str) -> None:
    model = compiled(text)
    with TemporaryDirectory() as folder:
        result = model.export_onnx(Path(folder) / "m.onnx", randomised(model.module()))
        proto = onnx.load(Path(folder) / "m.onnx")
    assert result.verified
    weights = {tensor.name for tensor in proto.graph.initializer if not tensor.name.startswith("constant ")}
    assert weights <= set(model.module().state_dict())


def test_dropout_makes_no_output_random(tmp_path: Path) -> None:
    assert compiled("inputs: {x: [4]}\nlayers:\n  - dropout: 0.5\n").export_onnx(tmp_path / "m.onnx").verified


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"])
def test_dtypes_of_inputs(dtype: str, tmp_path: Path) -> None:
    text = f"inputs: {{x: {{shape: [4], dtype: {dtype}}}}}\nlayers:\n  - compute: 1 + x * x\n"
    assert compiled(text).export_onnx(tmp_path / "m.onnx").verified


def test_a_dtype_that_the_runtime_lacks(tmp_path: Path) -> None:
    text = "inputs: {x: {shape: [4], dtype: bfloat16}}\nlayers:\n  - compute: x * 2\n"
    with pytest.raises(SpecError, match="ONNX Runtime refuses"):
        compiled(text).export_onnx(tmp_path / "m.onnx")


# ---- the file ----------------------------------------------------------------------------------------


def test_a_full_disk_keeps_the_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, model: onnx.ModelProto, weights: Any) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "m.onnx"
    path.write_bytes(b"an older file")
    monkeypatch.setattr(backend, "write_model", full)
    with pytest.raises(EnvironmentFailure, match=r"can't write .*m\.onnx`: No space left on device"):
        compiled(LINEAR).export_onnx(path)
    assert path.read_bytes() == b"an older file"
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailure, match="there is no folder"):
        compiled(LINEAR).export_onnx(tmp_path / "nowhere" / "m.onnx")


def test_large_weights_lie_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "EXTERNAL_DATA_BYTES", 1000)
    model = compiled("inputs: {x: [40]}\nlayers:\n  - logits = linear: 40\n")
    path = tmp_path / "m.onnx"
    size = None
    for _ in range(2):  # the second time over the first
        module = randomised(model.module())
        assert model.export_onnx(path, module).verified
        assert sorted(file.name for file in tmp_path.iterdir()) == ["m.onnx", "m.onnx.weights"]
        assert size in {None, (tmp_path / "m.onnx.weights").stat().st_size}
        size = (tmp_path / "m.onnx.weights").stat().st_size
        assert verify_onnx(path, module, model.program)[0] is not None
    assert path.stat().st_size < 40 * 40


def test_a_failure_with_large_weights_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "EXTERNAL_DATA_BYTES", 0)
    model = compiled(LINEAR)
    module = model.module()
    monkeypatch.setattr(module, "forward", lambda x: 1 / 0)
    with pytest.raises(SpecError):
        model.export_onnx(tmp_path / "m.onnx", module)
    assert not list(tmp_path.iterdir())


def test_the_shipped_specs_pass_the_full_check(tmp_path: Path) -> None:
    import specdl

    for name in ("mlp", "lenet5", "lstm_classifier", "digits_cnn"):
        for opset in (backend.OPSETS[0], backend.OPSETS[-1]):
            path = tmp_path / f"{name}.onnx"
            assert specdl.load(SPECS / f"{name}.yaml").export_onnx(path, opset=opset).verified
            onnx.checker.check_model(str(path), full_check=True)
