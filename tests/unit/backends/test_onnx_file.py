"""The file that is written field by field is the one that protobuf itself would write, but for the fields' order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from specdl.backends.onnx import emit_onnx
from specdl.backends.onnx_file import write_model
from tests.conftest import SPECS


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.arange(6, dtype=np.float32).reshape(2, 3).T,  # not contiguous
        np.arange(40_000, dtype=np.float64),  # lengths of several bytes
        np.array(7, dtype=np.int64),  # no axes
        np.zeros((0, 3), dtype=np.float16),  # no elements
        np.array([True, False]),
        np.array([1.5, -2], dtype=helper.tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16)),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_weights_are_written_as_they_are(array: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    output = helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
    node = helper.make_node("Identity", ["w"], ["y"])
    model = helper.make_model(helper.make_graph([node], "g", [], [output]))
    write_model(path, model, {"w": array})
    read = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(array, "w"))
    assert read == model
    onnx.checker.check_model(read, full_check=True)


def test_a_network_is_the_same_as_from_protobuf(tmp_path: Path) -> None:
    import specdl

    model = specdl.load(SPECS / "lstm_classifier.yaml")
    module = model.module()
    path = tmp_path / "m.onnx"
    model.export_onnx(path, module, verify=False)
    state = {key: value.numpy() for key, value in module.state_dict().items()}
    found = onnx.load(path)
    del found.metadata_props[:]  # what `predict` needs is written beside the network
    assert found == emit_onnx(model.program, state)
