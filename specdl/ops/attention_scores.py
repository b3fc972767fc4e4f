"""Attention in ONNX: the nodes that score queries against keys, and read the values.

Written out up to opset 22, and as one `Attention` node from opset 23 on. -inf would make NaN of a row without anything
to attend, so the lowest finite number stands for it, and such rows are multiplied by 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from specdl.ir.dims import Dim
from specdl.ir.types import DType, TensorType
from specdl.ops.base import OnnxGraph

_LOWEST: dict[DType, float] = {"float16": -65504.0, "bfloat16": -3.3895313892515355e38, "float64": -1e300}
_LOWEST_FLOAT32 = -3.4028234663852886e38


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of one attention: `T` queries over `S` keys."""

    batch: Dim
    heads: Dim
    kv_heads: Dim
    queries: Dim
    keys: Dim
    features: int
    value_features: int

    @property
    def flops(self) -> Dim:
        """Both matrix products, two for each multiply-add."""
        return 2 * (self.features + self.value_features) * self.batch * self.heads * self.queries * self.keys


@dataclass(frozen=True, slots=True)
class Extras:
    """What else an attention reads, by its dtype: the position among the inputs, and the type."""

    mask: tuple[int, TensorType] | None = None
    bias: tuple[int, TensorType] | None = None


def extras_of(types: Sequence[TensorType], first: int) -> Extras:
    """Which of the types from position `first` on is the mask and which is the bias."""
    found = {type.dtype == "bool": (first + index, type) for index, type in enumerate(types[first:])}
    return Extras(found.get(True), found.get(False))


@dataclass(slots=True)
class Scores:
    """Adds the ONNX nodes of one attention."""

    graph: OnnxGraph
    sizes: Sizes
    dtype: DType
    causal: bool
    scale: float | None
    window: int | None = None
    mask: str | None = None
    """What is attended, broadcastable to `[N, h, T, S]`."""
    bias: str | None = None

    @property
    def lowest(self) -> str:
        """The lowest finite number: -inf would make NaN of a row without anything to attend."""
        return self.graph.constant(_LOWEST.get(self.dtype, _LOWEST_FLOAT32), self.dtype)

    def read(self, extras: Extras, names: Sequence[str]) -> None:
        """Takes the mask and the bias among the inputs."""
        if extras.mask is not None:
            position, type = extras.mask
            self.mask = names[position]
            if type.rank < 4:
                places = self.graph.constant([1, 2] if type.rank == 2 else [1], "int64")
                (self.mask,) = self.graph.node("Unsqueeze", [self.mask, places])
        if extras.bias is not None:
            position, type = extras.bias
            self.bias = names[position]
            if type.rank < 4:
                places = self.graph.constant(list(range(4 - type.rank)), "int64")
                (self.bias,) = self.graph.node("Unsqueeze", [self.bias, places])

    def split(self, value: str, role: str) -> str:
        """`[N, T, h·d]` as `[N, h, T, d]`; a key as `[N, h, d, T]`."""
        sizes = self.sizes
        heads = sizes.heads if role == "query" else sizes.kv_heads
        features = sizes.value_features if role == "value" else sizes.features
        shape = self.graph.constant([0, 0, heads, features], "int64")
        (parts,) = self.graph.node("Reshape", [value, shape])
        return self.graph.node("Transpose", [parts], perm=[0, 2, 3, 1] if role == "key" else [0, 2, 1, 3])[0]

    def join(self, value: str) -> str:
        """`[N, h, T, d]` as `[N, T, h·d]`."""
        assert isinstance(self.sizes.heads, int)
        (rows,) = self.graph.node("Transpose", [value], perm=[0, 2, 1, 3])
        shape = self.graph.constant([0, 0, self.sizes.heads * self.sizes.value_features], "int64")
        return self.graph.node("Reshape", [rows, shape])[0]

    def attend(self, query: str, key: str, value: str) -> str:
        """The result `[N, h, T, d]` of a query `[N, h, T, d]`, a key `[N, kv, d, S]` and a value `[N, kv, S, d]`."""
        graph, sizes = self.graph, self.sizes
        factor = sizes.features**-0.5 if self.scale is None else self.scale
        if factor != 1:
            (query,) = graph.node("Mul", [query, graph.constant(factor, self.dtype)])
        # The heads of a group stand below each other, so that their key isn't copied for each of them.
        grouped = sizes.heads != sizes.kv_heads and sizes.kv_heads != 1
        if grouped:
            shape = graph.constant([0, sizes.kv_heads, -1, sizes.features], "int64")
            (query,) = graph.node("Reshape", [query, shape])
        (scores,) = graph.node("MatMul", [query, key])
        if grouped:
            shape = graph.shape([0, sizes.heads, sizes.queries, -1])
            (scores,) = graph.node("Reshape", [scores, shape])
        alive = self.alive()
        (weights,) = graph.node("Softmax", [self.masked(scores)], axis=-1)
        if grouped:
            assert isinstance(sizes.heads, int)
            assert isinstance(sizes.kv_heads, int)
            rows = sizes.heads // sizes.kv_heads * sizes.queries
            (weights,) = graph.node("Reshape", [weights, graph.shape([0, sizes.kv_heads, rows, -1])])
        (result,) = graph.node("MatMul", [weights, value])
        if grouped:
            shape = graph.shape([0, sizes.heads, sizes.queries, sizes.value_features])
            (result,) = graph.node("Reshape", [result, shape])
        return result if alive is None else graph.node("Mul", [result, alive])[0]

    def single(self, names: Sequence[str], *, joined: bool) -> str:
        """The result as one `Attention` node of opset 23, which knows no row without anything to attend."""
        graph, sizes = self.graph, self.sizes
        alive = self.alive()
        causal = self.causal and self.mask is None and self.window is None
        mask = self.keep(causal=not causal)
        if self.bias is not None:
            mask = self.finite() if mask is None else graph.node("Where", [mask, self.finite(), self.lowest])[0]
        if mask is not None:  # ONNX Runtime stretches the axes of examples and heads alone
            (mask,) = graph.node("Expand", [mask, graph.shape([1, 1, sizes.queries, sizes.keys])])
        (result,) = graph.node(
            "Attention",
            [*names, *([] if mask is None else [mask])],
            is_causal=int(causal) or None,
            scale=self.scale,
            q_num_heads=sizes.heads if joined else None,
            kv_num_heads=sizes.kv_heads if joined else None,
        )
        if alive is None:
            return result
        if not joined:
            return graph.node("Mul", [result, alive])[0]
        shape = graph.constant([0, 0, sizes.heads, sizes.value_features], "int64")
        (parts,) = graph.node("Reshape", [result, shape])
        (rows,) = graph.node("Transpose", [alive], perm=[0, 2, 1, 3])
        (parts,) = graph.node("Mul", [parts, rows])
        assert isinstance(sizes.heads, int)
        whole = graph.constant([0, 0, sizes.heads * sizes.value_features], "int64")
        return graph.node("Reshape", [parts, whole])[0]

    def masked(self, scores: str) -> str:
        """The scores with the bias, and the lowest number where nothing is attended."""
        if self.bias is not None:
            (scores,) = self.graph.node("Add", [scores, self.finite()])
        keep = self.keep()
        return scores if keep is None else self.graph.node("Where", [keep, scores, self.lowest])[0]

    def finite(self) -> str:
        """The bias with -inf replaced by a number so low that its weight is 0."""
        assert self.bias is not None
        half = self.graph.constant(_LOWEST.get(self.dtype, _LOWEST_FLOAT32) / 2, self.dtype)
        return self.graph.node("Max", [self.bias, half])[0]

    def keep(self, *, causal: bool = True) -> str | None:
        """What mask, window and causality let be attended, or None for everything."""
        causal = self.causal and causal
        if not causal and self.window is None:
            return self.mask
        graph, kept = self.graph, self.mask
        rows = graph.node("Unsqueeze", [self.count(self.sizes.queries), graph.constant([1], "int64")])[0]
        keys = self.count(self.sizes.keys)
        conditions = [graph.node("GreaterOrEqual", [rows, keys])[0]] if causal else []
        if self.window is not None:
            far = graph.node("Sub", [rows, keys])
            conditions += graph.node("Less", [*(far if causal else graph.node("Abs", far)), self.reach])
        for condition in conditions:
            kept = condition if kept is None else graph.node("And", [kept, condition])[0]
        return kept

    @property
    def reach(self) -> str:
        """The window as a number of the graph."""
        return self.graph.constant(self.window, "int64")

    def count(self, size: Dim) -> str:
        """0 … size-1."""
        start, step = self.graph.constant(0, "int64"), self.graph.constant(1, "int64")
        return self.graph.node("Range", [start, self.graph.reshape(self.graph.shape([size]), []), step])[0]

    def alive(self) -> str | None:
        """1 for each query that may attend something and 0 for the others, `[N, h, T, 1]`; None where all may."""
        graph = self.graph
        short = self.window is not None and self.sizes.queries != self.sizes.keys
        if self.mask is None and self.bias is None and not short:
            return None  # a causal query attends to the first key at least, and one with a window to its own
        open = self.keep()
        if self.bias is not None:
            (finite,) = graph.node("Greater", [self.bias, graph.constant(float("-inf"), self.dtype)])
            open = finite if open is None else graph.node("And", [open, finite])[0]
        assert open is not None
        if self.mask is None and self.bias is None:
            (open,) = graph.node("Unsqueeze", [open, graph.constant([0, 1], "int64")])
        numbers = graph.cast(open, self.dtype)
        return graph.node("ReduceMax", [numbers, graph.constant([-1], "int64")], keepdims=1)[0]
