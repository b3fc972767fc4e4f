"""Embeddings: a learned vector for each of a fixed number of things."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from specdl.ir.types import TensorType
from specdl.ops.base import Call, Family, OnnxGraph, Op, TypeRuleError, Weight

_INTEGERS = "give the input its dtype, `{shape: [T], dtype: int64}`, or `cast` the value to int64"


class Embedding(Op):
    """Replaces each index by its row of a learned table: `[...]` of integers -> `[..., embedding_dim]`."""

    operator: ClassVar[str] = "embedding"
    family: ClassVar[Family] = "embedding"
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html"

    num_embeddings: int = Field(ge=1, description="How many rows the table has: the size of the vocabulary.")
    embedding_dim: int = Field(ge=1, description="The length of each vector.")
    padding_idx: int | None = Field(default=None, description="An index whose vector starts as zeros and never learns.")

    @model_validator(mode="after")
    def _padding_within_table(self) -> Self:
        if self.padding_idx is not None and not -self.num_embeddings <= self.padding_idx < self.num_embeddings:
            raise ValueError(f"`padding_idx` must be within the {self.num_embeddings} rows, got {self.padding_idx}")
        return self

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        if x.dtype not in ("int64", "int32"):
            raise TypeRuleError(f"expects integers (int64 or int32), got {x}", input=0, help=_INTEGERS)
        return (TensorType((*x.shape, self.embedding_dim)),)

    def weights(self, *types: TensorType) -> tuple[Weight, ...]:
        return (Weight("weight", (self.num_embeddings, self.embedding_dim)),)

    def torch_module(self, *types: TensorType) -> Call | None:
        keywords: tuple[tuple[str, Any], ...] = ()
        if self.padding_idx is not None:
            keywords = (("padding_idx", self.padding_idx),)
        return Call("nn.Embedding", (self.num_embeddings, self.embedding_dim), keywords)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node("Gather", [graph.weight("weight"), inputs[0]], axis=0)

    def title(self) -> str:
        return f"Embedding {self.num_embeddings}×{self.embedding_dim}"


OPS: tuple[type[Op], ...] = (Embedding,)
