"""Fully connected layers."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from specdl.ir.dims import Dim
from specdl.ir.types import TensorType
from specdl.ops.base import Call, Family, OnnxGraph, Op, TypeRuleError, Weight, require_floating, require_static


class Linear(Op):
    """A fully connected layer over the last axis: `[..., in] -> [..., out_features]`."""

    operator: ClassVar[str] = "linear"
    family: ClassVar[Family] = "linear"
    position_wise: ClassVar[bool] = True
    main: ClassVar[str | None] = "out_features"
    inferred: ClassVar[tuple[str, ...]] = ("in_features",)
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html"

    out_features: int = Field(ge=1, description="Size of the last axis of the output.")
    bias: bool = Field(default=True, description="Whether to add a learned bias.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        require_floating(x, help="put an `embedding` before it")
        if x.rank < 2:
            raise TypeRuleError(f"expects [N, ..., features], got {x}", input=0)
        require_static(x.shape[-1], "the number of input features")
        return (x.with_shape(*x.shape[:-1], self.out_features),)

    def weights(self, *types: TensorType) -> tuple[Weight, ...]:
        features = require_static(types[0].shape[-1], "the number of input features")
        weight = Weight("weight", (self.out_features, features))
        return (weight, Weight("bias", (self.out_features,))) if self.bias else (weight,)

    def torch_module(self, *types: TensorType) -> Call | None:
        keywords = () if self.bias else (("bias", False),)
        return Call("nn.Linear", (types[0].shape[-1], self.out_features), keywords)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        if types[0].rank == 2:
            operands = [inputs[0], graph.weight("weight"), *([graph.weight("bias")] if self.bias else [])]
            return graph.node("Gemm", operands, transB=1)
        product = graph.node("MatMul", [inputs[0], graph.transposed("weight")])
        return graph.node("Add", [*product, graph.weight("bias")]) if self.bias else product

    def flops(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> Dim:
        return 2 * outputs[0].elements * inputs[0].shape[-1]

    def title(self) -> str:
        return f"Linear {self.out_features}"


OPS: tuple[type[Op], ...] = (Linear,)
