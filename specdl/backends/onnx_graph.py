"""An ONNX graph under construction: what operators see while they add their nodes.

Nodes are kept as plain tuples until the graph is finished, so that what nothing needs can be dropped and
values can take the names of the layers that made them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from specdl.ir.dims import Dim, FloorDiv, SymDim, multiple
from specdl.ir.types import DType, TensorType

ONNX_TYPES: dict[str, int] = {
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
}


@dataclass(slots=True)
class OnnxNode:
    """A node before it is written."""

    op_type: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


@dataclass(slots=True)
class Graph:
    """Implements `specdl.ops.base.OnnxGraph`. `state` holds the model's weights by their keys."""

    state: Mapping[str, Any]
    opset: int
    nodes: list[OnnxNode] = field(default_factory=list)
    initializers: dict[str, Any] = field(default_factory=dict)
    types: dict[str, TensorType] = field(default_factory=dict)
    path: str = ""
    owner: str = ""
    sources: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """Where each symbol's size is read: a graph input, its axis, and how many times the size that is."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """The keys of tied weights, and under which key each is stored."""
    _constants: dict[Any, str] = field(default_factory=dict)
    _dims: dict[Dim, str] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)

    # ---- what operators call -------------------------------------------------------------------------

    def node(self, op_type: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> tuple[str, ...]:
        """Adds a node; gives the names of its outputs."""
        name = self.unique(f"{self.path}/{op_type}")
        made = [name if index == 0 else f"{name}:{index}" for index in range(outputs)]
        kept = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(OnnxNode(op_type, name, list(inputs), made, kept))
        return tuple(made)

    def weight(self, name: str) -> str:
        """The initializer of this layer's own parameter or buffer."""
        key = f"{self.owner}.{name}" if name else self.owner
        key = self.aliases.get(key, key)
        if key not in self.initializers:
            self.initializers[key] = self.state[key]
        return key

    def transposed(self, name: str) -> str:
        """This layer's own matrix, turned around; a tied one is turned when the model is loaded, not stored twice."""
        key = f"{self.owner}.{name}"
        if key in self.aliases or key in self.aliases.values():
            return self.node("Transpose", [self.weight(name)], perm=[1, 0])[0]
        return self.initializer(f"{name}_transposed", self.array(name).T)

    def array(self, name: str) -> Any:
        """The numbers of this layer's own parameter or buffer."""
        return np.asarray(self.state[f"{self.owner}.{name}" if name else self.owner])

    def initializer(self, suffix: str, array: Any) -> str:
        """A tensor made from this layer's weights, under a name of its own."""
        key = f"{self.owner}.{suffix}"
        self.initializers.setdefault(key, np.ascontiguousarray(array))
        return key

    def constant(self, value: Any, dtype: DType) -> str:
        """A constant tensor; equal ones are stored once."""
        array = np.asarray(value, dtype=helper.tensor_dtype_to_np_dtype(ONNX_TYPES[dtype]))
        key = (dtype, array.shape, array.tobytes())
        found = self._constants.get(key)
        if found is None:
            found = self._constants[key] = self.unique(_constant_name(array))
            self.initializers[found] = array
        return found

    def shape(self, dims: Sequence[Dim]) -> str:
        """A one-dimensional int64 tensor that holds some sizes."""
        if all(isinstance(dim, int) for dim in dims):
            return self.constant(list(dims), "int64")
        pieces = [self.size(dim) for dim in dims]
        if len(pieces) == 1:
            return pieces[0]
        return self.node("Concat", pieces, axis=0)[0]

    def reshape(self, value: str, dims: Sequence[Dim]) -> str:
        """The value in another shape; sizes that are kept or follow from the others are not computed."""
        sizes: list[Dim] = list(dims)
        known = self.types.get(value)
        if known is not None:
            # 0 keeps the size of the same axis.
            for axis, dim in enumerate(sizes):
                if isinstance(dim, SymDim) and axis < known.rank and known.shape[axis] == dim:
                    sizes[axis] = 0
        symbolic = [axis for axis, dim in enumerate(sizes) if isinstance(dim, SymDim)]
        if len(symbolic) == 1:
            sizes[symbolic[0]] = -1
        if any(isinstance(dim, SymDim) for dim in sizes):
            sizes = list(dims)
        return self.node("Reshape", [value, self.shape(sizes)])[0]

    def cast(self, value: str, dtype: DType) -> str:
        """The value with another dtype."""
        return self.node("Cast", [value], to=ONNX_TYPES[dtype])[0]

    # ---- sizes that are known at run time ------------------------------------------------------------

    def size(self, dim: Dim) -> str:
        """A size as an int64 tensor with one element."""
        if isinstance(dim, int):
            return self.constant([dim], "int64")
        found = self._dims.get(dim)
        if found is None:
            found = self._dims[dim] = self._size(dim)
        return found

    def _size(self, dim: SymDim) -> str:
        total: str | None = None
        for monomial, factor in dim.terms:
            parts = [self._atom(atom) for atom in monomial]
            if factor != 1 or not parts:
                parts.append(self.constant([factor], "int64"))
            term = parts[0]
            for part in parts[1:]:
                (term,) = self.node("Mul", [term, part])
            total = term if total is None else self.node("Add", [total, term])[0]
        assert total is not None
        return total

    def _atom(self, atom: str | FloorDiv) -> str:
        if isinstance(atom, FloorDiv):
            # ONNX divides integers toward zero, which is the floor for sizes.
            whole = self.size(atom.numerator)
            return self.node("Div", [whole, self.constant([atom.denominator], "int64")])[0]
        symbol = SymDim((((atom,), 1),))
        found = self._dims.get(symbol)
        if found is None:
            name, axis, factor = self.sources[atom]
            (found,) = self.node("Shape", [name], start=axis, end=axis + 1)
            if factor > 1:
                (found,) = self.node("Div", [found, self.constant([factor], "int64")])
            self._dims[symbol] = found
        return found

    # ---- finishing -----------------------------------------------------------------------------------

    def unique(self, wanted: str) -> str:
        """A name that no value has yet."""
        return free_name(wanted, self._names)

    def add_input(self, name: str, type: TensorType) -> None:
        """Declares a graph input, whose symbolic axes are where sizes are read."""
        self._names.add(name)
        self.types[name] = type
        for axis, dim in enumerate(type.shape):
            counted = multiple(dim)
            if counted is not None and counted[1] < self.sources.get(counted[0], ("", 0, counted[1] + 1))[2]:
                self.sources[counted[0]] = name, axis, counted[1]

    def finish(
        self, name: str, inputs: Sequence[str], outputs: Sequence[tuple[str, str, TensorType]], names: Mapping[str, str]
    ) -> onnx.GraphProto:
        """The finished graph without its initializers, of which only the used ones are kept.

        Outputs are (value, public name, type); `names` renames values.
        """
        renamed: dict[str, str] = {}
        for value, public, _ in outputs:
            if value in inputs or value in self.initializers or value in renamed:
                self.nodes.append(OnnxNode("Identity", public, [value], [public], {}))
            else:
                renamed[value] = public
        # ONNX has one name space: inputs, weights and outputs keep their names, a layer's value gives way.
        taken = {*inputs, *self.initializers, *(public for _, public, _ in outputs)}
        for value, wanted in names.items():
            if value not in renamed:
                renamed[value] = free_name(wanted, taken)
        live = self._live({public if renamed.get(value) != public else value for value, public, _ in outputs})
        protos = [
            helper.make_node(
                node.op_type,
                [renamed.get(item, item) for item in node.inputs],
                [renamed.get(item, item) for item in node.outputs],
                name=node.name,
                **node.attributes,
            )
            for node in live
        ]
        used = {item for node in live for item in node.inputs}
        self.initializers = {key: np.asarray(value) for key, value in self.initializers.items() if key in used}
        return helper.make_graph(
            protos,
            name,
            [_value_info(item, self.types[item]) for item in inputs],
            [_value_info(public, type) for _, public, type in outputs],
        )

    def _live(self, wanted: set[str]) -> list[OnnxNode]:
        """The nodes that the outputs need, in order."""
        kept: list[OnnxNode] = []
        for node in reversed(self.nodes):
            if wanted.intersection(node.outputs):
                kept.append(node)
                wanted.update(node.inputs)
        kept.reverse()
        return kept


def free_name(wanted: str, taken: set[str]) -> str:
    """`wanted`, or with a number where that is taken; from then on it is taken too."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name)
    return name


def _constant_name(array: Any) -> str:
    """`constant` with its value where that is short."""
    if array.size <= 4:
        return f"constant {array.tolist()}"
    return f"constant {list(array.shape)}"


def _value_info(name: str, type: TensorType) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(
        name, ONNX_TYPES[type.dtype], [dim if isinstance(dim, int) else str(dim) for dim in type.shape]
    )


__all__ = ["ONNX_TYPES", "Graph", "free_name"]
