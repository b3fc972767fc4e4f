"""Recurrent networks over sequences `[N, T, C]`, with PyTorch's weights, outputs and final states."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from specdl.ir.dims import Dim
from specdl.ir.types import TensorType
from specdl.ops.base import Call, Family, OnnxGraph, Op, Weight, require_floating, require_rank, require_static


class _Recurrent(Op):
    """Base of LSTM, GRU and RNN: `num_layers` over each other, each in one direction or two."""

    family: ClassVar[Family] = "recurrent"
    main: ClassVar[str | None] = "hidden_size"
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

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        require_rank(x, 3, "[N, T, C]", help="an image becomes a sequence by `flatten` and `transpose`")
        require_floating(x, help="put an `embedding` before it")
        require_static(x.shape[-1], "the number of input features")
        batch, length, _ = x.shape
        state = x.with_shape(self.directions * self.num_layers, batch, self.hidden_size)
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
        return Call(f"nn.{self.module}", arguments, (*keywords.items(), ("batch_first", True)))

    def onnx_attributes(self) -> dict[str, Any]:
        """The attributes that only this kind of layer has."""
        return {}

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        batch, length, _ = types[0].shape
        (value,) = graph.node("Transpose", inputs, perm=[1, 0, 2])  # ONNX Runtime wants [T, N, C]
        states: list[tuple[str, ...]] = []
        for layer in range(self.num_layers):
            parts = ("weight_ih", "weight_hh", "bias") if self.bias else ("weight_ih", "weight_hh")
            operands = [
                graph.initializer(f"{part}_l{layer}_onnx", self._array(graph, part, self._suffixes(layer)))
                for part in parts
            ]
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

    def title(self) -> str:
        return f"{self.module} {self.hidden_size}"

    def details(self) -> str:
        words = [f"{self.num_layers} layers"] if self.num_layers > 1 else []
        return ", ".join([*words, "bidirectional"] if self.bidirectional else words)


class Lstm(_Recurrent):
    """Long short-term memory. Gives the output at every step, the final hidden states and the final cells."""

    operator: ClassVar[str] = "lstm"
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
    """Gated recurrent unit. Gives the output at every step and the final hidden states."""

    operator: ClassVar[str] = "gru"
    module: ClassVar[str] = "GRU"
    gates: ClassVar[tuple[int, ...]] = (1, 0, 2)  # update, reset, new of reset, update, new
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html"

    def torch_targets(self, names: Sequence[str]) -> str:
        return ", ".join([*names, "_"][:2])

    def onnx_attributes(self) -> dict[str, Any]:
        return {"linear_before_reset": 1}


class Rnn(_Recurrent):
    """The plain recurrent network of Elman. Gives the output at every step and the final hidden states."""

    operator: ClassVar[str] = "rnn"
    module: ClassVar[str] = "RNN"
    gates: ClassVar[tuple[int, ...]] = (0,)
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.nn.RNN.html"

    nonlinearity: Literal["tanh", "relu"] = Field(default="tanh", description="What the state passes through.")

    def torch_targets(self, names: Sequence[str]) -> str:
        return ", ".join([*names, "_"][:2])

    def onnx_attributes(self) -> dict[str, Any]:
        return {"activations": [self.nonlinearity.capitalize()] * self.directions}


OPS: tuple[type[Op], ...] = (Lstm, Gru, Rnn)
