"""Attention: every position of a sequence reads from those of another, weighted by how well they match.

A mask is boolean and true where something is attended; a bias is added to the scores. So their dtypes tell
them apart where one of the two is left out. A row whose mask is false everywhere gives zeros, as
`F.scaled_dot_product_attention` does, in ONNX too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from specdl.ir.dims import Dim, SymDim
from specdl.ir.types import DType, TensorType
from specdl.ops.attention_scores import Extras, Scores, Sizes, extras_of
from specdl.ops.base import (
    Call,
    Continued,
    Family,
    OnnxGraph,
    Op,
    TypeRuleError,
    Weight,
    divisor_help,
    require_float32,
    require_floating,
    require_static,
)
from specdl.ops.text import expression

_SDPA = "ScaledDotProductAttention"
_DROPOUT = "Probability to drop an attention weight, in training."
_CAUSAL = "Whether position t attends only to positions up to t."
_MASK_FORMS = "[N, S], [N, T, S] or [N, h, T, S]"


def _check_mask(mask: TensorType, sizes: Sizes, position: int) -> None:
    """Guards that a mask has one of its forms; axes of size 1 are stretched."""
    target = (sizes.batch, sizes.heads, sizes.queries, sizes.keys)
    if mask.rank not in (2, 3, 4):
        raise TypeRuleError(f"expects a mask {_MASK_FORMS}, got {mask}", input=position)
    wanted = target if mask.rank == 4 else (target[0], *target[-1:]) if mask.rank == 2 else (target[0], *target[2:])
    if any(size not in (1, full) for size, full in zip(mask.shape, wanted, strict=True)):
        missing = mask.shape == target[4 - mask.rank :]
        help = "for all examples alike, give it a batch axis of size 1: `mask[None]` in a `compute`"
        raise TypeRuleError(
            f"expects a mask {_MASK_FORMS}, here {_listed(wanted)}, got {mask}",
            input=position,
            help=help if missing else None,
        )


def _check_bias(bias: TensorType, sizes: Sizes, dtype: DType, position: int) -> None:
    """Guards that a bias can be added to the scores `[N, h, T, S]`."""
    target = (sizes.batch, sizes.heads, sizes.queries, sizes.keys)
    if bias.dtype != dtype:
        raise TypeRuleError(f"expects a bias of {dtype}, as the query is, got {bias}", input=position)
    fits = 2 <= bias.rank <= 4 and all(
        size in (1, full) for size, full in zip(reversed(bias.shape), reversed(target), strict=False)
    )
    if not fits or (bias.batched and bias.rank < 4):
        raise TypeRuleError(
            f"expects a bias that can be added to the scores [N, h, T, S], here {_listed(target)}, got {bias}",
            input=position,
            help="give it the axes that it lacks: `bias[:, None]` in a `compute`" if bias.batched else None,
        )


def _common_batch(types: Sequence[TensorType]) -> Dim:
    """The batch of some inputs; one without examples of its own (size 1) serves all. Raises `TypeRuleError`."""
    batch: Dim = 1
    for position, type in enumerate(types):
        if type.shape[0] != 1 and batch not in (1, type.shape[0]):
            raise TypeRuleError(f"expects inputs of one batch, got {types[0]} and {type}", input=position)
        batch = batch if type.shape[0] == 1 else type.shape[0]
    return batch


def _listed(sizes: Sequence[Dim]) -> str:
    return "[" + ", ".join(map(str, sizes)) + "]"


class Attention(Op):
    """softmax(Q·Kᵀ·scale + bias)·V: every query reads the values, weighted by how well their keys match.

    Query, key and value are `[N, T, h·d]` with `heads`, or `[N, h, T, d]` without. Fewer key heads than heads are
    shared by groups of them. The mask is boolean, true = attend: `[N, S]`, `[N, T, S]` or `[N, h, T, S]`; the bias
    is added to the scores `[N, h, T, S]`: `alibi`, `relative_position_bias`, or your own. A query that may attend
    nothing gives zeros.
    """

    operator: ClassVar[str] = "attention"
    family: ClassVar[Family] = "attention"
    main: ClassVar[str | None] = "heads"
    inputs: ClassVar[tuple[str, ...]] = ("query", "key", "value", "mask?", "bias?")
    may_be_absent: ClassVar[tuple[str, ...]] = ("mask", "bias")
    support: ClassVar[tuple[str, ...]] = (f"scaled_dot_product_attention.{_SDPA}",)
    reference: ClassVar[str] = (
        "https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html"
    )

    heads: int | None = Field(default=None, ge=1, description="Number of heads in `[N, T, h·d]`.")
    kv_heads: int | None = Field(
        default=None, ge=1, description="Number of heads of key and value; `heads` by default."
    )
    causal: bool = Field(default=False, description=_CAUSAL)
    window: int | None = Field(
        default=None,
        ge=1,
        description="Attends only to positions less than so many away: with `causal`, the last ones.",
    )
    scale: float | None = Field(default=None, allow_inf_nan=False, description="Factor of the scores; 1/√d by default.")
    dropout: float = Field(default=0.0, ge=0, le=1, description=_DROPOUT)

    @property
    def random(self) -> bool:  # type: ignore[override]
        """Whether it drops anything."""
        return self.dropout > 0

    def check_ports(self, ports: Mapping[str, TensorType]) -> None:
        """Guards the dtypes by which mask and bias are told apart. Raises `TypeRuleError`."""
        places = list(ports)
        if "mask" in ports and ports["mask"].dtype != "bool":
            help = "scores that are added are the `bias`; a mask of numbers becomes boolean by `mask != 0`"
            message = f"expects a boolean mask, true = attend, got {ports['mask']}"
            raise TypeRuleError(message, help=help, input=places.index("mask"))
        if "bias" in ports and not ports["bias"].floating:
            help = "what is true or false is the `mask`" if ports["bias"].dtype == "bool" else "`cast` it"
            message = f"expects a bias of floating-point numbers, got {ports['bias']}"
            raise TypeRuleError(message, help=help, input=places.index("bias"))

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        sizes = self._sizes(types)
        extras = extras_of(types, 3)
        if extras.mask is not None:
            _check_mask(extras.mask[1], sizes, extras.mask[0])
        if extras.bias is not None:
            _check_bias(extras.bias[1], sizes, types[0].dtype, extras.bias[0])
        if self.heads is None:
            return (types[0].with_shape(sizes.batch, sizes.heads, sizes.queries, sizes.value_features),)
        return (types[0].with_shape(sizes.batch, sizes.queries, self.heads * sizes.value_features),)

    def _sizes(self, types: Sequence[TensorType]) -> Sizes:
        """The sizes of the inputs, once they fit together. Raises `TypeRuleError`."""
        if self.heads is None and self.kv_heads is not None:
            raise TypeRuleError("has `kv_heads` only with `heads`", argument="kv_heads", help="give `heads` too")
        (q_heads, queries, features), (k_heads, keys, key_features), (v_heads, values, value_features) = (
            self._parts(position, type, types[0].dtype) for position, type in enumerate(types[:3])
        )
        if key_features != features:
            raise TypeRuleError(
                f"needs query and key of one size a head, got {types[0]} and {types[1]}: {features} against "
                f"{key_features}",
                input=1,
                help=_kv_help(self, types[1], features),
            )
        if values != keys:
            raise TypeRuleError(f"needs a value for each key, got {types[1]} and {types[2]}", input=2, against=1)
        if v_heads != k_heads:
            raise TypeRuleError(
                f"needs key and value of as many heads, got {types[1]} and {types[2]}", input=2, against=1
            )
        whole = isinstance(q_heads, int) and isinstance(k_heads, int) and k_heads > 0 and q_heads % k_heads == 0
        if q_heads != k_heads and not whole:
            raise TypeRuleError(
                f"can't share {k_heads} key heads among {q_heads} heads",
                argument=None if self.heads is None else "kv_heads",
                input=1,
                help="the number of heads must be a multiple of the number of key heads",
            )
        return Sizes(_common_batch(types[:3]), q_heads, k_heads, queries, keys, features, value_features)

    def _parts(self, position: int, type: TensorType, dtype: DType) -> tuple[Dim, Dim, int]:
        """Heads, length and features a head of one input. Raises `TypeRuleError`."""
        name = self.inputs[position]
        if not type.floating or type.dtype != dtype:
            what = f"of {dtype}, as the query is" if type.floating else "of floating-point numbers"
            raise TypeRuleError(f"expects a {name} {what}, got {type}", input=position)
        if self.heads is None:
            if type.rank != 4:
                help = "give `heads`, if heads and features share the last axis" if type.rank == 3 else None
                raise TypeRuleError(f"expects a {name} [N, h, T, d], got {type}", input=position, help=help)
            return type.shape[1], type.shape[2], _static(type, position)
        if type.rank != 3:
            help = "leave `heads` out, where they have an axis of their own" if type.rank == 4 else None
            raise TypeRuleError(f"expects a {name} [N, T, h·d], got {type}", input=position, help=help)
        heads = self.heads if position == 0 else self.kv_heads or self.heads
        features = _static(type, position)
        if features % heads or not features:
            argument = "kv_heads" if position and self.kv_heads else "heads"
            raise TypeRuleError(
                f"can't divide the {features} features of the {name} into {heads} heads",
                argument=argument,
                input=position,
                help=divisor_help(features, heads),
            )
        return heads, type.shape[1], features // heads

    def torch_module(self, *types: TensorType) -> Call | None:
        return Call(_SDPA, (), tuple(self.given().items()))

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        # PyTorch's function alone has no heads, one mask at most, and no notion of training.
        full_mask = all(type.dtype != "bool" or type.rank == 4 for type in types[3:])
        if self.heads is not None or self.dropout or self.window or not full_mask or len(types) - 3 + self.causal > 1:
            return None
        sizes = self._sizes(types)
        keywords: dict[str, Any] = {"is_causal": True} if self.causal else {}
        if self.scale is not None:
            keywords["scale"] = self.scale
        if sizes.heads != sizes.kv_heads:
            keywords["enable_gqa"] = True
        named = [f"attn_mask={name}" for name in arguments[3:] if name != "None"]
        return expression("F.scaled_dot_product_attention", [*arguments[:3], *named], **keywords)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        given = [name for name in inputs if name]
        extras = extras_of(types, 3)
        scores = Scores(graph, self._sizes(types), types[0].dtype, self.causal, self.scale, self.window)
        scores.read(extras, given)
        batches = {type.shape[0] for type in types[:3]}
        if graph.opset >= 23 and types[0].dtype == "float32" and len(batches) == 1:
            return (scores.single(given[:3], joined=self.heads is not None),)
        query, key, value = given[:3]
        if self.heads is not None:
            query, key, value = scores.split(query, "query"), scores.split(key, "key"), scores.split(value, "value")
        else:
            (key,) = graph.node("Transpose", [key], perm=[0, 1, 3, 2])
        result = scores.attend(query, key, value)
        return (scores.join(result) if self.heads is not None else result,)

    def flops(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> Dim:
        return self._sizes(inputs).flops

    def works_position_wise(self, types: Sequence[TensorType], length: SymDim) -> bool:
        # It reads from another sequence, in the same way at each position.
        queries, keys = types[0].shape[-2], types[1].shape[-2]
        ordered = self.causal or self.window is not None
        return queries == length and keys != length and not ordered and _of_queries(types[3:], length)

    def continued(self, types: Sequence[TensorType], length: SymDim) -> Op | None:
        if length not in types[1].shape:
            return None
        if not self.causal:
            raise TypeRuleError("reads what comes later in the sequence", help="make it `causal`")
        if types[0].shape[-2] != length or types[1].shape[-2] != length:
            raise TypeRuleError("works along another axis than that of the sequence")
        extras = extras_of(types, 3)
        _check_continued_mask(extras.mask, length)
        if extras.bias is not None and extras.bias[1].shape[-2:] != (length, length):
            message = f"has a bias {extras.bias[1]}, which must say something of each query and key"
            raise TypeRuleError(message, input=extras.bias[0])
        return _ContinuedAttention(**self.given())

    def title(self) -> str:
        return "Attention" if self.heads is None else f"Attention, {_count(self.heads, 'head')}"

    def details(self) -> str:
        words = ["causal"] if self.causal else []
        if self.window is not None:
            words.append(f"window {self.window}")
        if self.kv_heads not in (None, self.heads):
            words.append(_count(self.kv_heads or 1, "key head"))
        if self.dropout:
            words.append(f"dropout {self.dropout:g}")
        return ", ".join(words)


def _static(type: TensorType, position: int) -> int:
    """The number of features of an input."""
    if not isinstance(type.shape[-1], int):
        raise TypeRuleError(f"needs the features of {type} when the spec is compiled", input=position)
    return type.shape[-1]


def _kv_help(op: Attention, key: TensorType, features: int) -> str | None:
    """`kv_heads` that would fit, where the key has fewer heads than the query."""
    size = key.shape[-1]
    if op.heads is None or op.kv_heads is not None or not isinstance(size, int) or size % features:
        return None
    fitting = size // features
    return f"`kv_heads: {fitting}`?" if op.heads % fitting == 0 else None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class _ContinuedAttention(Continued, Attention):
    support: ClassVar[tuple[str, ...]] = (*Attention.support, "continued.Past", f"continued.Continued{_SDPA}")


def _of_queries(extras: Sequence[TensorType], length: SymDim) -> bool:
    """Whether masks and biases have the sequence, if at all, as the axis of the queries `[..., T, S]`."""
    return all(length not in (*type.shape[:-2], type.shape[-1]) for type in extras)


def _check_continued_mask(mask: tuple[int, TensorType] | None, length: SymDim) -> None:
    """Guards that a mask is one of the keys, which comes piece by piece as they do."""
    if mask is not None and (mask[1].rank != 2 or mask[1].shape[1] != length):
        raise TypeRuleError(f"has a mask {mask[1]}, where one of the keys, [N, S], can go on", input=mask[0])


class MultiHeadAttention(Op):
    """Attention with learned projections of query, key, value and result: `nn.MultiheadAttention`, batch first.

    `multi_head_attention(x): 8` is self-attention, `multi_head_attention(x, memory): 8` reads from the memory.
    Shapes: query `[N, T, C]`, key and value `[N, S, ...]`; the mask is boolean, true = attend: `[N, S]`,
    `[N, T, S]` or `[N, h, T, S]`. A query that may attend nothing gives the projection's bias.
    """

    operator: ClassVar[str] = "multi_head_attention"
    family: ClassVar[Family] = "attention"
    main: ClassVar[str | None] = "num_heads"
    inputs: ClassVar[tuple[str, ...]] = ("query", "key?", "value?", "mask?")
    may_be_absent: ClassVar[tuple[str, ...]] = ("mask",)
    inferred: ClassVar[tuple[str, ...]] = ("embed_dim", "kdim", "vdim", "batch_first")
    support: ClassVar[tuple[str, ...]] = ("multi_head_attention.MultiHeadAttention",)
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiheadAttention.html"

    num_heads: int = Field(ge=1, description="Number of heads, which share the features of the query.")
    dropout: float = Field(default=0.0, ge=0, le=1, description=_DROPOUT)
    bias: bool = Field(default=True, description="Whether the projections have biases.")
    causal: bool = Field(default=False, description=_CAUSAL)

    @property
    def random(self) -> bool:  # type: ignore[override]
        """Whether it drops anything."""
        return self.dropout > 0

    def check_ports(self, ports: Mapping[str, TensorType]) -> None:
        """Guards what the types alone can't tell: which inputs were left out. Raises `TypeRuleError`."""
        places = list(ports)
        if "value" in ports and "key" not in ports:
            raise TypeRuleError("has a value but no key", input=places.index("value"), help="give `key=` too")
        for name in ("key", "value"):
            if name in ports:
                require_floating_input(ports[name], name, places.index(name))
        if "mask" in ports and ports["mask"].dtype != "bool":
            message = f"expects a boolean mask, true = attend, got {ports['mask']}"
            raise TypeRuleError(message, input=places.index("mask"), help="a mask of numbers: `mask != 0`")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        sizes = self._sizes(types)
        mask = extras_of(types, 1).mask
        if mask is not None:
            _check_mask(mask[1], sizes, mask[0])
        return (types[0].with_shape(sizes.batch, sizes.queries, types[0].shape[-1]),)

    @staticmethod
    def _operands(types: Sequence[TensorType]) -> tuple[TensorType, TensorType, TensorType]:
        """Query, key and value; one that wasn't given is the one before it."""
        query, *rest = [type for type in types if type.dtype != "bool"] or types[:1]
        key = rest[0] if rest else query
        return query, key, rest[1] if len(rest) > 1 else key

    def _sizes(self, types: Sequence[TensorType]) -> Sizes:
        """The sizes of the inputs, once they fit together. Raises `TypeRuleError`."""
        operands = self._operands(types)
        for position, (type, name) in enumerate(zip(operands, ("query", "key", "value"), strict=True)):
            place = min(position, sum(other.dtype != "bool" for other in types) - 1)
            if type.rank != 3:
                help = "an image becomes a sequence by `rearrange: n c h w -> n (h w) c`" if type.rank == 4 else None
                raise TypeRuleError(f"expects a {name} [N, T, C], got {type}", input=max(place, 0), help=help)
            require_floating(type, help="put an `embedding` before it")
            require_float32(type)
            _static(type, max(place, 0))
        query, key, value = operands
        if key.shape[1] != value.shape[1]:
            raise TypeRuleError(f"needs a value for each key, got {key} and {value}", input=2)
        features = require_static(query.shape[-1], "the number of features")
        if features % self.num_heads or not features:
            raise TypeRuleError(
                f"can't divide the {features} features of {query} into {self.num_heads} heads",
                argument="num_heads",
                input=0,
                help=divisor_help(features, self.num_heads),
            )
        head = features // self.num_heads
        batch = _common_batch(operands)
        return Sizes(batch, self.num_heads, self.num_heads, query.shape[1], key.shape[1], head, head)

    def _features(self, types: Sequence[TensorType]) -> tuple[int, int, int]:
        """Features of query, key and value."""
        query, key, value = (require_static(type.shape[-1], "the features") for type in self._operands(types))
        return query, key, value

    def weights(self, *types: TensorType) -> tuple[Weight, ...]:
        query, key, value = self._features(types)
        if query == key == value:
            found = [Weight("in_proj_weight", (3 * query, query))]
        else:
            sizes = {"q": query, "k": key, "v": value}
            found = [Weight(f"{name}_proj_weight", (query, size)) for name, size in sizes.items()]
        if self.bias:
            found.append(Weight("in_proj_bias", (3 * query,)))
        found.append(Weight("out_proj.weight", (query, query)))
        return (*found, Weight("out_proj.bias", (query,))) if self.bias else tuple(found)

    def torch_module(self, *types: TensorType) -> Call | None:
        query, key, value = self._features(types)
        sizes = () if query == key == value else (("kdim", key), ("vdim", value))
        return Call("MultiHeadAttention", (query,), (*self.given().items(), *sizes))

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        given = [name for name in inputs if name]
        scores = Scores(graph, self._sizes(types), types[0].dtype, self.causal, None)
        scores.read(Extras(extras_of(types, 1).mask), given)
        names = [name for name, type in zip(given, types, strict=True) if type.dtype != "bool"]
        query, key, value = self._projected(graph, names, types)
        batches = {type.shape[0] for type in types if type.dtype != "bool"}
        if graph.opset >= 23 and len(batches) == 1:
            result = scores.single([query, key, value], joined=True)
        else:
            parts = (scores.split(query, "query"), scores.split(key, "key"), scores.split(value, "value"))
            result = scores.join(scores.attend(*parts))
        weight = graph.transposed("out_proj.weight")
        projected = graph.node("MatMul", [result, weight])
        return graph.node("Add", [*projected, graph.weight("out_proj.bias")]) if self.bias else projected

    def _projected(self, graph: OnnxGraph, names: Sequence[str], types: Sequence[TensorType]) -> Sequence[str]:
        """Query, key and value after their projections; of self-attention with one matrix product."""
        import numpy as np

        query, key, value = self._features(types)
        packed = query == key == value
        if len(names) == 1 and packed:
            weight = graph.transposed("in_proj_weight")
            (product,) = graph.node("MatMul", [names[0], weight])
            if self.bias:
                (product,) = graph.node("Add", [product, graph.weight("in_proj_bias")])
            return graph.node("Split", [product], outputs=3, axis=-1, num_outputs=3)
        arrays = (
            np.split(graph.array("in_proj_weight"), 3)
            if packed
            else [graph.array(f"{role}_proj_weight") for role in "qkv"]
        )
        biases = np.split(graph.array("in_proj_bias"), 3) if self.bias else [None] * 3
        found: list[str] = []
        for index, (role, array, bias) in enumerate(zip("qkv", arrays, biases, strict=True)):
            operand = names[min(index, len(names) - 1)]
            (part,) = graph.node("MatMul", [operand, graph.initializer(f"{role}_proj_weight_transposed", array.T)])
            if bias is not None:
                (part,) = graph.node("Add", [part, graph.initializer(f"{role}_proj_bias", bias)])
            found.append(part)
        return found

    def flops(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> Dim:
        query, key, value = self._operands(inputs)
        projected = query.elements + key.elements + value.elements + outputs[0].elements
        return 2 * require_static(query.shape[-1], "the features") * projected + self._sizes(inputs).flops

    def continued(self, types: Sequence[TensorType], length: SymDim) -> Op | None:
        query, key, value = self._operands(types)
        mask = extras_of(types, 1).mask
        if query.shape[1] != length:
            raise TypeRuleError("reads a sequence that isn't whole yet")
        if length in key.shape or length in value.shape:
            if not self.causal:
                raise TypeRuleError("reads what comes later in the sequence", help="make it `causal`")
            _check_continued_mask(mask, length)
            return _ContinuedMultiHeadAttention(**self.given())
        if self.causal or not _of_queries([] if mask is None else [mask[1]], length):
            raise TypeRuleError("reads another sequence up to a position of this one")
        return _RememberingMultiHeadAttention(**self.given())

    def title(self) -> str:
        return f"Multi-head attention, {_count(self.num_heads, 'head')}"

    def details(self) -> str:
        words = ["causal"] if self.causal else []
        return ", ".join([*words, f"dropout {self.dropout:g}"] if self.dropout else words)


class _ContinuedMultiHeadAttention(Continued, MultiHeadAttention):
    support: ClassVar[tuple[str, ...]] = (
        *MultiHeadAttention.support,
        "continued.Past",
        "continued.ContinuedMultiHeadAttention",
    )


class _RememberingMultiHeadAttention(MultiHeadAttention):
    support: ClassVar[tuple[str, ...]] = (
        *MultiHeadAttention.support,
        "continued.Past",
        "continued.RememberingMultiHeadAttention",
    )

    def torch_module(self, *types: TensorType) -> Call | None:
        call = super().torch_module(*types)
        return None if call is None else replace(call, function="RememberingMultiHeadAttention")


def require_floating_input(type: TensorType, name: str, position: int) -> None:
    """Guards that a named input is floating point."""
    if not type.floating:
        raise TypeRuleError(f"expects a {name} of floating-point numbers, got {type}", input=position)


OPS: tuple[type[Op], ...] = (Attention, MultiHeadAttention)
