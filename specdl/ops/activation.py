"""Elementwise activations: the shape stays, the numbers bend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from specdl.ir.types import TensorType
from specdl.ops.base import Call, Family, OnnxGraph, Op, require_floating


class _Activation(Op):
    """An elementwise function of one floating-point tensor."""

    family: ClassVar[Family] = "activation"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        require_floating(types[0])
        return (types[0],)


class Relu(_Activation):
    """max(0, x)."""

    operator: ClassVar[str] = "relu"
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.nn.ReLU.html"

    def torch_module(self, *types: TensorType) -> Call | None:
        return Call("nn.ReLU")

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return f"F.relu({arguments[0]})"

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node("Relu", inputs)

    def title(self) -> str:
        return "ReLU"


OPS: tuple[type[Op], ...] = (Relu,)
