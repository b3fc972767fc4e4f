"""Embeddings: a learned vector for each of a fixed number of things, alone or a bag of them at once."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from specdl.ir.types import TensorType
from specdl.ops.base import Call, Family, OnnxGraph, Op, TypeRuleError, Weight, require_rank

_INTEGERS = "give the input its dtype, `{shape: [T], dtype: int64}`, or `cast` the value to int64"


class _Table(Op):
    """Base: a table of learned vectors."""

    family: ClassVar[Family] = "embedding"

    num_embeddings: int = Field(ge=1, description="How many rows the table has: the size of the vocabulary.")
    embedding_dim: int = Field(ge=1, description="The length of each vector.")

    def guard(self, x: TensorType) -> None:
        """Guards that an input holds indices. Raises `TypeRuleError`."""
        if x.dtype not in ("int64", "int32"):
            raise TypeRuleError(f"expects integers (int64 or int32), got {x}", input=0, help=_INTEGERS)

    def weights(self, *types: TensorType) -> tuple[Weight, ...]:
        return (Weight("weight", (self.num_embeddings, self.embedding_dim)),)


def _require_row(padding_idx: int | None, rows: int) -> None:
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise ValueError(f"`padding_idx` must be within the {rows} rows, got {padding_idx}")


class Embedding(_Table):
    """Replaces each index by its row of a learned table: `[...]` of integers -> `[..., embedding_dim]`."""

    operator: ClassVar[str] = "embedding"
    position_wise: ClassVar[bool] = True
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html"

    padding_idx: int | None = Field(default=None, description="An index whose vector starts as zeros and never learns.")

    @model_validator(mode="after")
    def _padding_within_table(self) -> Self:
        _require_row(self.padding_idx, self.num_embeddings)
        return self

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        self.guard(x)
        return (TensorType((*x.shape, self.embedding_dim)),)

    def torch_module(self, *types: TensorType) -> Call | None:
        keywords: tuple[tuple[str, Any], ...] = ()
        if self.padding_idx is not None:
            keywords = (("padding_idx", self.padding_idx),)
        return Call("nn.Embedding", (self.num_embeddings, self.embedding_dim), keywords)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node("Gather", [graph.weight("weight"), inputs[0]], axis=0)

    def title(self) -> str:
        return f"Embedding {self.num_embeddings}×{self.embedding_dim}"


class EmbeddingBag(_Table):
    """The mean (or sum, or maximum) of the rows of all indices of a bag: `[N, T]` of integers -> `[N, embedding_dim]`.

    What equals `padding_idx` isn't in the bag; an empty bag gives zeros.
    """

    operator: ClassVar[str] = "embedding_bag"
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.nn.EmbeddingBag.html"

    mode: Literal["sum", "mean", "max"] = Field(default="mean", description="How a bag's vectors become one.")
    padding_idx: int | None = Field(default=None, description="An index that counts as nothing.")

    @model_validator(mode="after")
    def _padding_within_table(self) -> Self:
        _require_row(self.padding_idx, self.num_embeddings)
        return self

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        self.guard(x)
        require_rank(x, 2, "[N, T]")
        return (TensorType((x.shape[0], self.embedding_dim)),)

    def torch_module(self, *types: TensorType) -> Call | None:
        given = self.given()
        return Call("nn.EmbeddingBag", (given.pop("num_embeddings"), given.pop("embedding_dim")), tuple(given.items()))

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (rows,) = graph.node("Gather", [graph.weight("weight"), inputs[0]], axis=0)
        over = graph.constant([1], "int64")
        kind = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax"}[self.mode]
        if self.padding_idx is None:
            return graph.node(kind, [rows, over], keepdims=0)
        padding = graph.constant(self.padding_idx % self.num_embeddings, types[0].dtype)
        (kept,) = graph.node("Not", graph.node("Equal", [inputs[0], padding]))
        (kept,) = graph.node("Unsqueeze", [kept, graph.constant([2], "int64")])
        counted = graph.cast(kept, "float32")
        if self.mode == "max":
            (some,) = graph.node("ReduceMax", [counted, over], keepdims=0)
            (rows,) = graph.node("Where", [kept, rows, graph.constant(-3.4e38, "float32")])
            (most,) = graph.node("ReduceMax", [rows, over], keepdims=0)
            return graph.node("Mul", [most, some])
        (total,) = graph.node("ReduceSum", [*graph.node("Mul", [rows, counted]), over], keepdims=0)
        if self.mode == "sum":
            return (total,)
        (count,) = graph.node("ReduceSum", [counted, over], keepdims=0)
        return graph.node("Div", [total, *graph.node("Max", [count, graph.constant(1, "float32")])])

    def title(self) -> str:
        return f"Embedding bag {self.num_embeddings}×{self.embedding_dim}"

    def details(self) -> str:
        return self.mode


OPS: tuple[type[Op], ...] = (Embedding, EmbeddingBag)
