"""Recurrent networks over sequences `[N, T, C]`, with PyTorch's weights, outputs and final states.

They may be told how they begin (`h`, `c`) and how long each sequence is (`lengths`). An input that is left out is
told from the others by its dtype: states are floating-point numbers, lengths are integers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from specdl.ir.dims import Dim, SymDim
from specdl.ir.types import TensorType
from specdl.ops.base import (
    Call,
    Continued,
    Family,
    OnnxGraph,
    Op,
    TypeRuleError,
    Weight,
    require_floating,
    require_rank,
    require_static,
)

_LENGTHS = "of a mask they are `sum(mask, dim=1)` in a `compute`"


def _support(module: str) -> tuple[str, ...]:
    return "packed_recurrent.Packed", f"packed_recurrent.Packed{module}"


class _Recurrent(Op):
    """Base of LSTM, GRU and RNN: `num_layers` over each other, each in one direction or two."""

    family: ClassVar[Family] = "recurrent"
    main: ClassVar[str | None] = "hidden_size"
    inputs: ClassVar[tuple[str, ...]] = ("x", "h?", "lengths?")
    may_be_absent: ClassVar[tuple[str, ...]] = ("lengths",)
    outputs: ClassVar[tuple[str, ...]] = ("output", "h")
    inferred: ClassVar[tuple[str, ...]] = ("input_size", "batch_first")
    module: ClassVar[str]
    gates: ClassVar[tuple[int, ...]]
    """For each of ONNX's gates in its order, the place of the same gate in PyTorch's order."""

    hidden_size: int = Field(ge=1, description="Number of features of the hidden state.")
    num_layers: int = Field(default=1, ge=1, le=1_000, description="How many recurrent layers are stacked.")
    bias: bool = Field(default=True, description="Whether the gates have biases.")
    dropout: float = Field(default=0.0, ge=0, le=1, description="Probability of dropout between the layers.")
    bidirectional: bool = Field(default=False, description="Whether a second direction reads from the end.")

    @property
    def directions(self) -> int:
        """1, or 2 if bidirectional."""
        return 2 if self.bidirectional else 1

    def check_ports(self, ports: Mapping[str, TensorType]) -> None:
        """Guards what tells states and lengths apart. Raises `TypeRuleError`."""
        for place, (name, type) in enumerate(ports.items()):
            if name == "lengths" and type.floating:
                raise TypeRuleError(f"expects lengths [N] of integers, got {type}", input=place, help=_LENGTHS)
            if name in ("h", "c") and not type.floating:
                help = f"name the lengths: `{self.operator}(x, lengths=…)`" if type.rank == 1 else None
                raise TypeRuleError(f"expects a state of floating-point numbers, got {type}", input=place, help=help)
        if ("h" in ports) != ("c" in ports) and "c" in self.outputs:
            raise TypeRuleError("begins with both states, `h` and `c`, or with neither", input=1)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x, *others = types
        require_rank(x, 3, "[N, T, C]", help="an image becomes a sequence by `flatten` and `transpose`")
        require_floating(x, help="put an `embedding` before it")
        require_static(x.shape[-1], "the number of input features")
        batch, length, _ = x.shape
        state = x.with_shape(self.directions * self.num_layers, batch, self.hidden_size)
        for place, other in enumerate(others, 1):
            if other.floating and other != state:
                help = (
                    "the final state of a layer with as many layers, directions and features"
                    if other.rank == 3
                    else None
                )
                raise TypeRuleError(f"expects a state {state}, got {other}", input=place, help=help)
            if not other.floating and (other.dtype not in ("int64", "int32") or other.shape != (batch,)):
                raise TypeRuleError(f"expects lengths [{batch}] of integers, got {other}", input=place, help=_LENGTHS)
        return (x.with_shape(batch, length, self.directions * self.hidden_size), *[state] * (len(self.outputs) - 1))

    def weights(self, *types: TensorType) -> tuple[Weight, ...]:
        rows = len(self.gates) * self.hidden_size
        features = require_static(types[0].shape[-1], "the number of input features")
        found: list[Weight] = []
        for layer in range(self.num_layers):
            for suffix in self._suffixes(layer):
                found.append(Weight(f"weight_ih_{suffix}", (rows, features)))
                found.append(Weight(f"weight_hh_{suffix}", (rows, self.hidden_size)))
                if self.bias:
                    found.append(Weight(f"bias_ih_{suffix}", (rows,)))
                    found.append(Weight(f"bias_hh_{suffix}", (rows,)))
            features = self.directions * self.hidden_size
        return tuple(found)

    def _suffixes(self, layer: int) -> tuple[str, ...]:
        return (f"l{layer}", f"l{layer}_reverse")[: self.directions]

    def torch_module(self, *types: TensorType) -> Call | None:
        keywords = {name: value for name, value in self.given().items() if name != "hidden_size"}
        if self.num_layers == 1:
            keywords.pop("dropout", None)  # there is nothing between the layers, and PyTorch would warn
        arguments = (types[0].shape[-1], self.hidden_size)
        return Call(
            f"nn.{self.module}" if len(types) == 1 else f"Packed{self.module}",
            arguments,
            (*keywords.items(), ("batch_first", True)),
        )

    def onnx_attributes(self) -> dict[str, Any]:
        """The attributes that only this kind of layer has."""
        return {}

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        batch, length, _ = types[0].shape
        (value,) = graph.node("Transpose", inputs[:1], perm=[1, 0, 2])  # ONNX Runtime wants [T, N, C]
        extras = list(zip([name for name in inputs if name][1:], types[1:], strict=True))
        begins = [self._layers(graph, name) for name, type in extras if type.floating]
        steps = ""
        for name, type in extras:
            if not type.floating:
                (steps,) = graph.node("Max", [graph.cast(name, "int32"), graph.constant(1, "int32")])
        states: list[tuple[str, ...]] = []
        for layer in range(self.num_layers):
            parts = ("weight_ih", "weight_hh", "bias") if self.bias else ("weight_ih", "weight_hh")
            operands = [
                graph.initializer(f"{part}_l{layer}_onnx", self._array(graph, part, self._suffixes(layer)))
                for part in parts
            ]
            if begins or steps:
                operands += [*[""] * (3 - len(operands)), steps, *(parts[layer] for parts in begins)]
            output, *state = graph.node(
                self.module,
                [value, *operands],
                outputs=len(self.outputs),
                hidden_size=self.hidden_size,
                direction="bidirectional" if self.bidirectional else "forward",
                **self.onnx_attributes(),
            )
            states.append(tuple(state))
            if layer == self.num_layers - 1:
                break
            (output,) = graph.node("Transpose", [output], perm=[0, 2, 1, 3])
            value = graph.reshape(output, [length, batch, self.directions * self.hidden_size])
        (output,) = graph.node("Transpose", [output], perm=[2, 0, 1, 3])
        result = graph.reshape(output, [batch, length, self.directions * self.hidden_size])
        finals = [
            graph.node("Concat", parts, axis=0)[0] if len(parts) > 1 else parts[0]
            for parts in zip(*states, strict=True)
        ]
        return (result, *finals)

    def _layers(self, graph: OnnxGraph, state: str) -> tuple[str, ...]:
        """The parts of an initial state, layer by layer."""
        if self.num_layers == 1:
            return (state,)
        return graph.node("Split", [state], outputs=self.num_layers, axis=0, num_outputs=self.num_layers)

    def _array(self, graph: OnnxGraph, part: str, suffixes: Sequence[str]) -> Any:
        """The weights of a layer's directions in ONNX's layout: `[directions, gates · hidden, ...]`."""
        import numpy as np

        hidden = self.hidden_size
        rows = [gate * hidden + row for gate in self.gates for row in range(hidden)]
        names = ("bias_ih", "bias_hh") if part == "bias" else (part,)
        return np.stack(
            [np.concatenate([graph.array(f"{name}_{suffix}")[rows] for name in names]) for suffix in suffixes]
        )

    def flops(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> Dim:
        batch, length, _ = inputs[0].shape
        gates = sum(
            weight.shape[0] * weight.shape[1] for weight in self.weights(*inputs) if weight.name.startswith("weight")
        )
        return 2 * gates * batch * length

    def continued(self, types: Sequence[TensorType], length: SymDim) -> Op | None:
        if types[0].shape[1] != length:
            return None
        if self.bidirectional:
            raise TypeRuleError("reads the sequence from its end too", help="leave `bidirectional` out")
        if any(not type.floating for type in types[1:]):
            raise TypeRuleError("stops at lengths, which a sequence that goes on doesn't have")
        return _CONTINUED[self.module](**self.given())

    def title(self) -> str:
        return f"{self.module} {self.hidden_size}"

    def details(self) -> str:
        words = [f"{self.num_layers} layers"] if self.num_layers > 1 else []
        return ", ".join([*words, "bidirectional"] if self.bidirectional else words)


class Lstm(_Recurrent):
    """Long short-term memory. Gives the output at every step, the final hidden states and the final cells.

    It begins with zeros, or with the states `h` and `c`. With `lengths` `[N]`, each sequence ends there: outputs behind
    are zeros, and the final states are those of its last step, in both directions.
    """

    operator: ClassVar[str] = "lstm"
    inputs: ClassVar[tuple[str, ...]] = ("x", "h?", "c?", "lengths?")
    support: ClassVar[tuple[str, ...]] = _support("LSTM")
    outputs: ClassVar[tuple[str, ...]] = ("output", "h", "c")
    module: ClassVar[str] = "LSTM"
    gates: ClassVar[tuple[int, ...]] = (0, 3, 1, 2)  # input, output, forget, cell of input, forget, cell, output
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html"

    def torch_targets(self, names: Sequence[str]) -> str:
        states = list(names[1:])
        if all(name == "_" for name in states):
            return f"{names[0]}, _"
        return f"{names[0]}, ({', '.join([*states, '_'][:2])})"


class Gru(_Recurrent):
    """Gated recurrent unit. Gives the output at every step and the final hidden states.

    It begins with zeros, or with the state `h`. With `lengths` `[N]`, each sequence ends there.
    """

    operator: ClassVar[str] = "gru"
    support: ClassVar[tuple[str, ...]] = _support("GRU")
    module: ClassVar[str] = "GRU"
    gates: ClassVar[tuple[int, ...]] = (1, 0, 2)  # update, reset, new of reset, update, new
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html"

    def torch_targets(self, names: Sequence[str]) -> str:
        return ", ".join([*names, "_"][:2])

    def onnx_attributes(self) -> dict[str, Any]:
        return {"linear_before_reset": 1}


class Rnn(_Recurrent):
    """The plain recurrent network of Elman. Gives the output at every step and the final hidden states.

    It begins with zeros, or with the state `h`. With `lengths` `[N]`, each sequence ends there.
    """

    operator: ClassVar[str] = "rnn"
    support: ClassVar[tuple[str, ...]] = _support("RNN")
    module: ClassVar[str] = "RNN"
    gates: ClassVar[tuple[int, ...]] = (0,)
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.nn.RNN.html"

    nonlinearity: Literal["tanh", "relu"] = Field(default="tanh", description="What the state passes through.")

    def torch_targets(self, names: Sequence[str]) -> str:
        return ", ".join([*names, "_"][:2])

    def onnx_attributes(self) -> dict[str, Any]:
        return {"activations": [self.nonlinearity.capitalize()] * self.directions}


_KEEPING = ("continued.Past", "continued.ContinuedRecurrent")


class _ContinuedLstm(Continued, Lstm):
    support: ClassVar[tuple[str, ...]] = (*_KEEPING, "continued.ContinuedLSTM")


class _ContinuedGru(Continued, Gru):
    support: ClassVar[tuple[str, ...]] = (*_KEEPING, "continued.ContinuedGRU")


class _ContinuedRnn(Continued, Rnn):
    support: ClassVar[tuple[str, ...]] = (*_KEEPING, "continued.ContinuedRNN")


_CONTINUED: dict[str, type[Op]] = {"LSTM": _ContinuedLstm, "GRU": _ContinuedGru, "RNN": _ContinuedRnn}

OPS: tuple[type[Op], ...] = (Lstm, Gru, Rnn)
