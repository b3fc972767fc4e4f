"""Writes an ONNX file with its weights straight from memory.

protobuf for Python would copy the weights into messages, these into the model, and all of it into one string:
most of an export's time and three times its memory. In its wire format a message is its fields one after
another, in any order, so the weights can follow the rest of the model as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, helper

_GRAPH = ModelProto.DESCRIPTOR.fields_by_name["graph"].number
_INITIALIZER = GraphProto.DESCRIPTOR.fields_by_name["initializer"].number
_RAW_DATA = TensorProto.DESCRIPTOR.fields_by_name["raw_data"].number


def write_model(path: Path, model: ModelProto, weights: Mapping[str, Any]) -> None:
    """Writes `model` with `weights` (numpy arrays by name) as its initializers beside those that it has."""
    graph = [model.graph.SerializeToString()]
    for name, array in weights.items():
        flat = np.ascontiguousarray(array).reshape(-1)
        if sys.byteorder == "big":
            flat = flat.byteswap()
        raw = flat.view(np.uint8).data
        tensor = TensorProto(name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype))
        head = tensor.SerializeToString() + _head(_RAW_DATA, raw.nbytes)
        graph += [_head(_INITIALIZER, len(head) + raw.nbytes) + head, raw]
    rest = ModelProto()
    rest.CopyFrom(model)
    rest.ClearField("graph")
    with path.open("wb") as file:
        file.write(rest.SerializeToString() + _head(_GRAPH, sum(len(piece) for piece in graph)))
        file.writelines(graph)


def _head(field: int, length: int) -> bytes:
    """What stands before the bytes of a field that is a message or bytes: its number and its length, as varints."""
    found = bytearray()
    for value in (field << 3 | 2, length):
        while value > 0x7F:
            found.append(value & 0x7F | 0x80)
            value >>= 7
        found.append(value)
    return bytes(found)


__all__ = ["write_model"]
