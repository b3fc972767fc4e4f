"""What tells a layer where in a sequence something stands, from the numbers that `positions` gives.

All of them work on each position alone or on pairs of them, so that they are right for any length, and for a
sequence that goes on where an earlier one stopped.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from specdl.diagnostics import did_you_mean
from specdl.ir.dims import Dim, SymDim
from specdl.ir.types import TensorType
from specdl.ops.base import Call, Continued, Family, OnnxGraph, Op, TypeRuleError, Weight, divisor_help, require_static

_BASE = "The slowest wave has 2π times so many positions, the fastest 2π."
_KEYS = "Those of the keys are the queries' unless given."


def _require_positions(positions: TensorType, place: int = 0) -> None:
    """Guards that an input numbers the places of a sequence. Raises `TypeRuleError`."""
    if positions.dtype not in ("int64", "int32"):
        raise TypeRuleError(
            f"expects positions (int64 or int32), got {positions}",
            input=place,
            help="`positions(x)` numbers the places of a sequence `[N, T, ...]`",
        )


def _even(features: int) -> int:
    if features % 2:
        raise ValueError(f"`features` must be even, as there is a sine for each cosine, got {features}")
    return features


# ---- waves -------------------------------------------------------------------------------------------


def _exponents(features: int) -> Any:
    """2i / features, for half as many waves as features, in the float32 in which PyTorch divides."""
    import numpy as np

    return np.arange(0, features, 2, dtype=np.float32) / np.float32(features)


def _angles(graph: OnnxGraph, positions: str, rates: Any) -> str:
    """Each position times each rate: `[...]` -> `[..., waves]`."""
    (column,) = graph.node("Unsqueeze", [graph.cast(positions, "float32"), graph.constant([-1], "int64")])
    return graph.node("Mul", [column, graph.constant(rates, "float32")])[0]


class SinusoidalPositions(Op):
    """Sines and cosines of positions, from fast waves to slow ones: `[...]` -> `[..., features]`.

    The numbers that the 2017 Transformer adds to its embeddings: sine and cosine of position / base^(2i / features).
    """

    operator: ClassVar[str] = "sinusoidal_positions"
    family: ClassVar[Family] = "embedding"
    position_wise: ClassVar[bool] = True
    main: ClassVar[str | None] = "features"
    inputs: ClassVar[tuple[str, ...]] = ("positions",)
    support: ClassVar[tuple[str, ...]] = ("sinusoidal_positions.SinusoidalPositions",)
    reference: ClassVar[str] = "https://arxiv.org/abs/1706.03762"

    features: int = Field(ge=2, le=1_000_000, description="How many numbers for each position; even.")
    base: float = Field(default=10000.0, gt=1, allow_inf_nan=False, description=_BASE)
    interleaved: bool = Field(
        default=True, description="Whether each cosine follows its sine; otherwise all sines come first."
    )

    @model_validator(mode="after")
    def _in_pairs(self) -> Self:
        _even(self.features)
        return self

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (positions,) = types
        if positions.dtype == "bool":
            raise TypeRuleError(f"expects numbers, got {positions}", input=0)
        return (TensorType((*positions.shape, self.features)),)

    def torch_module(self, *types: TensorType) -> Call | None:
        given = self.given()
        return Call("SinusoidalPositions", (given.pop("features"),), tuple(given.items()))

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        import numpy as np

        rates = np.float32(1) / np.float32(self.base) ** _exponents(self.features)
        angles = _angles(graph, inputs[0], rates)
        waves = [*graph.node("Sin", [angles]), *graph.node("Cos", [angles])]
        if not self.interleaved:
            return graph.node("Concat", waves, axis=-1)
        last = graph.constant([-1], "int64")
        (pairs,) = graph.node("Concat", [graph.node("Unsqueeze", [wave, last])[0] for wave in waves], axis=-1)
        shape = graph.constant([*[0] * types[0].rank, self.features], "int64")
        return graph.node("Reshape", [pairs, shape])

    def title(self) -> str:
        return f"Sinusoidal positions {self.features}"


_SCALINGS: dict[str, dict[str, float | int | None]] = {
    "linear": {"factor": None},
    "llama3": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}
"""How positions are stretched, with transformers' names; None for what must be given."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """A way to stretch positions, and all of its arguments."""

    kind: str
    arguments: tuple[tuple[str, float | int], ...]

    def __str__(self) -> str:
        return f"{self.kind} {{{', '.join(f'{key}: {value}' for key, value in self.arguments)}}}"


def _scaling(value: Any) -> Scaling:
    """Reads `llama3`, `{linear: 4}` or `{llama3: {factor: 32}}`. Raises a pydantic error."""
    if isinstance(value, Scaling):
        return value
    name: Any = value if isinstance(value, str) else None
    given: Any = {}
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, given),) = value.items()
    if name is None:
        raise PydanticCustomError("scaling", "expected `llama3`, or e.g. {{linear: {{factor: 4}}}}")
    known = _SCALINGS.get(name)
    if known is None:
        help = did_you_mean(str(name), _SCALINGS) or f"known are {', '.join(_SCALINGS)}"
        raise _wrong_scaling(f"there is no scaling `{name}`; {help}")
    given = {"factor": given} if isinstance(given, (int, float)) else given or {}
    if not isinstance(given, Mapping):
        raise _wrong_scaling(f"the arguments of `{name}` are a mapping")
    for key, number in given.items():
        if key not in known:
            raise _wrong_scaling(f"`{name}` has no argument `{key}`; it takes {', '.join(known)}")
        whole = key == "original_max_position_embeddings"
        kind = int if whole else (int, float)
        if isinstance(number, bool) or not isinstance(number, kind) or not 0 < number < math.inf:
            raise _wrong_scaling(f"`{key}` must be {'an integer' if whole else 'a number'} above 0")
    chosen: dict[str, Any] = {**known, **given}
    if chosen["factor"] is None:
        raise _wrong_scaling(f"`{name}` needs `factor`")
    if name == "llama3" and chosen["low_freq_factor"] >= chosen["high_freq_factor"]:
        raise _wrong_scaling("`low_freq_factor` must be less than `high_freq_factor`")
    return Scaling(name, tuple((key, number) for key, number in chosen.items()))


def _wrong_scaling(message: str) -> PydanticCustomError:
    return PydanticCustomError("scaling", "{message}", {"message": message})


_SCALING_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"enum": ["llama3"]},
        *(
            {
                "type": "object",
                "required": [name],
                "additionalProperties": False,
                "properties": {
                    name: {
                        "anyOf": [
                            {"type": "number"},
                            {
                                "type": "object",
                                "additionalProperties": False,
                                "properties": {key: {"type": "number"} for key in arguments},
                            },
                        ]
                    }
                },
            }
            for name, arguments in _SCALINGS.items()
        ),
    ]
}


class RotaryPositions(Op):
    """The cosines and sines by which `rotary_embedding` turns: positions `[T]` -> `[T, features]`.

    They are made once and serve queries and keys of all layers. `scaling` makes room for longer sequences than those
    of the training: `{linear: {factor: 4}}` stretches all positions, `llama3` (Llama 3.1) only the slow waves.
    """

    operator: ClassVar[str] = "rotary_positions"
    family: ClassVar[Family] = "embedding"
    position_wise: ClassVar[bool] = True
    main: ClassVar[str | None] = "features"
    inputs: ClassVar[tuple[str, ...]] = ("positions",)
    support: ClassVar[tuple[str, ...]] = ("rotary_positions.RotaryPositions",)
    reference: ClassVar[str] = "https://arxiv.org/abs/2104.09864"

    features: int = Field(ge=2, le=1_000_000, description="The features of a head that are turned; even.")
    base: float = Field(default=10000.0, gt=1, allow_inf_nan=False, description=_BASE)
    scaling: Annotated[Scaling, PlainValidator(_scaling), WithJsonSchema(_SCALING_SCHEMA)] | None = Field(
        default=None, description="How positions are stretched: `llama3`, `{linear: {factor: 4}}`."
    )

    @model_validator(mode="after")
    def _in_pairs(self) -> Self:
        _even(self.features)
        return self

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (positions,) = types
        _require_positions(positions)
        return (TensorType((*positions.shape, self.features)),)

    def torch_module(self, *types: TensorType) -> Call | None:
        stretched = () if self.scaling is None else self.scaling.arguments
        base = () if self.base == 10000.0 else (("base", self.base),)
        return Call("RotaryPositions", (self.features,), (*base, *stretched))

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        angles = _angles(graph, inputs[0], self._rates())
        return graph.node("Concat", [*graph.node("Cos", [angles]), *graph.node("Sin", [angles])], axis=-1)

    def _rates(self) -> Any:
        """How far each wave turns from one position to the next, rounded as PyTorch rounds it."""
        import numpy as np

        rates = np.float32(1) / np.float32(self.base) ** _exponents(self.features)
        if self.scaling is None:
            return rates
        named = dict(self.scaling.arguments)
        if self.scaling.kind == "linear":
            return rates / np.float32(named["factor"])
        waves = np.float32(named["original_max_position_embeddings"]) / (np.float32(2 * math.pi) / rates)
        low, high = named["low_freq_factor"], named["high_freq_factor"]
        fast = np.clip((waves - np.float32(low)) / np.float32(high - low), 0, 1)
        return (1 - fast) * rates / np.float32(named["factor"]) + fast * rates

    def title(self) -> str:
        return f"Rotary positions {self.features}"

    def details(self) -> str:
        words = [] if self.base == 10000.0 else [f"base {self.base:g}"]
        return ", ".join([*words, *([] if self.scaling is None else [f"{self.scaling.kind} scaling"])])


class RotaryEmbedding(Op):
    """Turns pairs of the features of a query or key by angles that grow with the position.

    So their product depends on how far they stand apart. x is `[N, T, h·d]` with `heads`, or `[N, h, T, d]` without;
    the waves are those of `rotary_positions`. Where a head has more features than the waves, those behind stay.
    """

    operator: ClassVar[str] = "rotary_embedding"
    family: ClassVar[Family] = "embedding"
    position_wise: ClassVar[bool] = True
    main: ClassVar[str | None] = "heads"
    inputs: ClassVar[tuple[str, ...]] = ("x", "waves")
    support: ClassVar[tuple[str, ...]] = ("rotary_embedding.RotaryEmbedding",)
    reference: ClassVar[str] = "https://arxiv.org/abs/2104.09864"
    example: ClassVar[str] = """\
- query = embedding(tokens): {num_embeddings: 1000, embedding_dim: 64}
- places = positions(tokens)
- waves = rotary_positions: 16
- query = rotary_embedding(query, waves): 4"""

    heads: int | None = Field(default=None, ge=1, description="Number of heads in `[N, T, h·d]`.")
    interleaved: bool = Field(
        default=False,
        description="Whether neighbours are a pair (GPT-J); otherwise features i and i + half (LLaMA).",
    )

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x, waves = types
        length, features = self._parts(x)
        if waves.dtype != "float32" or waves.rank not in (2, 3):
            raise TypeRuleError(
                f"expects the waves of `rotary_positions`, [T, d] or [N, T, d], got {waves}",
                input=1,
                help="`waves = rotary_positions(places): 64` makes them of `places = positions(tokens)`",
            )
        if waves.shape[-2] != length:
            raise TypeRuleError(f"needs waves for each position, got {x} and {waves}", input=1, against=0)
        if waves.rank == 3 and waves.shape[0] not in (1, x.shape[0]):
            raise TypeRuleError(f"expects inputs of one batch, got {x} and {waves}", input=1, against=0)
        turned = require_static(waves.shape[-1], "the number of waves")
        if turned % 2 or turned > features:
            raise TypeRuleError(
                f"can't turn {turned} features of a head that has {features}",
                input=1,
                help=f"`rotary_positions(…): {features - features % 2}`",
            )
        return (x,)

    def _parts(self, x: TensorType) -> tuple[Dim, int]:
        """Length and features a head. Raises `TypeRuleError`."""
        if not x.floating:
            raise TypeRuleError(f"expects floating-point numbers, got {x}", input=0)
        if x.rank != (4 if self.heads is None else 3):
            layout = "[N, h, T, d]" if self.heads is None else "[N, T, h·d]"
            hints = {3: "give `heads`, if heads and features share the last axis"}
            help = (
                hints.get(x.rank) if self.heads is None else "leave `heads` out, where they have an axis of their own"
            )
            raise TypeRuleError(f"expects {layout}, got {x}", input=0, help=help if x.rank in (3, 4) else None)
        features = require_static(x.shape[-1], "the number of features")
        heads = self.heads or 1
        if features % heads:
            raise TypeRuleError(
                f"can't divide the {features} features into {heads} heads",
                argument="heads",
                input=0,
                help=divisor_help(features, heads),
            )
        return x.shape[-2], features // heads

    def torch_module(self, *types: TensorType) -> Call | None:
        return Call("RotaryEmbedding", (), tuple(self.given().items()))

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        x, waves = types
        _, features = self._parts(x)
        turned = require_static(waves.shape[-1], "the number of waves")
        value, table = inputs
        if x.dtype != "float32":
            table = graph.cast(table, x.dtype)
        if self.heads is not None or waves.rank == 3:
            place = graph.constant([1 if self.heads is None else -2], "int64")
            (table,) = graph.node("Unsqueeze", [table, place])
        cosine, sine = graph.node("Split", [table], outputs=2, axis=-1, num_outputs=2)
        if self.heads is not None:
            (value,) = graph.node("Reshape", [value, graph.constant([0, 0, self.heads, features], "int64")])
        rest: list[str] = []
        if turned < features:
            sizes = graph.constant([turned, features - turned], "int64")
            value, *rest = graph.node("Split", [value, sizes], outputs=2, axis=-1)
        pair = self._split(graph, value, turned)
        a, b = pair
        left = graph.node("Sub", [*graph.node("Mul", [a, cosine]), *graph.node("Mul", [b, sine])])
        right = graph.node("Add", [*graph.node("Mul", [b, cosine]), *graph.node("Mul", [a, sine])])
        value = self._join(graph, left[0], right[0], turned)
        if rest:
            (value,) = graph.node("Concat", [value, *rest], axis=-1)
        if self.heads is None:
            return (value,)
        return graph.node("Reshape", [value, graph.constant([0, 0, self.heads * features], "int64")])

    def _split(self, graph: OnnxGraph, value: str, turned: int) -> tuple[str, ...]:
        """The two features of each pair."""
        if not self.interleaved:
            return graph.node("Split", [value], outputs=2, axis=-1, num_outputs=2)
        shape = graph.constant([0, 0, 0, turned // 2, 2], "int64")
        (pairs,) = graph.node("Reshape", [value, shape])
        return tuple(graph.node("Gather", [pairs, graph.constant(place, "int64")], axis=-1)[0] for place in (0, 1))

    def _join(self, graph: OnnxGraph, left: str, right: str, turned: int) -> str:
        """The pairs where they came from."""
        if not self.interleaved:
            return graph.node("Concat", [left, right], axis=-1)[0]
        last = graph.constant([-1], "int64")
        parts = [graph.node("Unsqueeze", [part, last])[0] for part in (left, right)]
        (pairs,) = graph.node("Concat", parts, axis=-1)
        return graph.node("Reshape", [pairs, graph.constant([0, 0, 0, turned], "int64")])[0]

    def title(self) -> str:
        return "Rotary embedding"

    def details(self) -> str:
        return "interleaved" if self.interleaved else ""


# ---- biases of attention -----------------------------------------------------------------------------


_CONTINUING = ("continued.Past", "continued.ContinuedBias")


class _PairBias(Op):
    """Base of what adds a number to the score of each query and key, by their positions."""

    family: ClassVar[Family] = "attention"
    main: ClassVar[str | None] = "heads"
    inputs: ClassVar[tuple[str, ...]] = ("positions", "key_positions?")

    heads: int = Field(ge=1, le=100_000, description="The heads of the attention.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        for place, type in enumerate(types):
            _require_positions(type, place)
            if type.rank not in (1, 2):
                raise TypeRuleError(f"expects positions [T] or [N, T], got {type}", input=place)
        queries, keys = types[0], types[-1]
        batches = {type.shape[0] for type in types if type.rank == 2} - {1}
        if len(batches) > 1:
            raise TypeRuleError(f"expects positions of one batch, got {queries} and {keys}", input=1, against=0)
        batch: Dim = next(iter(batches), 1)
        return (TensorType((batch, self.heads, queries.shape[-1], keys.shape[-1])),)

    def works_position_wise(self, types: Sequence[TensorType], length: SymDim) -> bool:
        return len(types) == 2 and length not in types[1].shape

    def continued(self, types: Sequence[TensorType], length: SymDim) -> Op | None:
        if len(types) == 2:
            return None
        return self._continuing()(**self.given())

    def _continuing(self) -> type[Op]:
        """The operator that keeps the positions of earlier keys."""
        raise NotImplementedError

    def distance(self, graph: OnnxGraph, inputs: Sequence[str]) -> str:
        """Key minus query, `[T, S]` or `[N, T, S]`, of int64."""
        given = [name for name in inputs if name]
        queries, keys = given[0], given[-1]
        (column,) = graph.node("Unsqueeze", [graph.cast(queries, "int64"), graph.constant([-1], "int64")])
        (row,) = graph.node("Unsqueeze", [graph.cast(keys, "int64"), graph.constant([-2], "int64")])
        return graph.node("Sub", [row, column])[0]

    def title(self) -> str:
        noun = "head" if self.heads == 1 else "heads"
        return f"{self.operator.replace('_', ' ').capitalize()}, {self.heads} {noun}"


class RelativePositionBias(_PairBias):
    """T5's relative positions: a learned number for each head and range of distances, for the `bias` of attention.

    Positions `[T]` of the queries and `[S]` of the keys (the same unless given) -> `[1, heads, T, S]`. Half of the
    buckets hold one distance each, the others ranges that grow up to `max_distance`.
    """

    operator: ClassVar[str] = "relative_position_bias"
    support: ClassVar[tuple[str, ...]] = ("relative_position_bias.RelativePositionBias",)
    reference: ClassVar[str] = "https://arxiv.org/abs/1910.10683"

    buckets: int = Field(default=32, ge=1, le=10_000, description="How many ranges of distances have a number.")
    max_distance: int = Field(default=128, ge=1, le=100_000, description="Where the last range begins.")
    bidirectional: bool = Field(
        default=True, description="Whether keys behind the query have buckets of their own; a decoder has none."
    )

    def _continuing(self) -> type[Op]:
        return _ContinuedRelativePositionBias

    @property
    def _side(self) -> int:
        return self.buckets // 2 if self.bidirectional else self.buckets

    @model_validator(mode="after")
    def _room_for_ranges(self) -> Self:
        if self._side < 2 or (self.bidirectional and self.buckets % 2):
            least = "an even number from 4" if self.bidirectional else "at least 2"
            raise ValueError(f"`buckets` must be {least}, got {self.buckets}")
        if self.max_distance <= self._side // 2:
            raise ValueError(
                f"`max_distance` must be more than {self._side // 2}, the distances that have a bucket each"
            )
        return self

    def weights(self, *types: TensorType) -> tuple[Weight, ...]:
        return (Weight("weight", (self.buckets, self.heads)),)

    def torch_module(self, *types: TensorType) -> Call | None:
        given = self.given()
        return Call("RelativePositionBias", (given.pop("heads"),), tuple(given.items()))

    def numbers(self) -> list[int]:
        """The bucket of each distance from -max_distance to max_distance; the module has the same in PyTorch."""
        side, furthest = self._side, self.max_distance
        exact = side // 2
        found: list[int] = []
        for distance in range(-furthest, furthest + 1):
            far = abs(distance) if self.bidirectional else max(-distance, 0)
            borders = (furthest**step * exact ** (side - exact - step) for step in range(1, side - exact))
            bucket = far if far < exact else exact + sum(border <= far ** (side - exact) for border in borders)
            found.append(bucket + (side if self.bidirectional and distance > 0 else 0))
        return found

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        furthest = graph.constant(self.max_distance, "int64")
        low = graph.constant(-self.max_distance, "int64")
        (near,) = graph.node("Clip", [self.distance(graph, inputs), low, furthest])
        (place,) = graph.node("Add", [near, furthest])
        (bucket,) = graph.node("Gather", [graph.constant(self.numbers(), "int64"), place], axis=0)
        (bias,) = graph.node("Gather", [graph.weight("weight"), bucket], axis=0)
        if any(type.rank == 2 for type in types):
            return graph.node("Transpose", [bias], perm=[0, 3, 1, 2])
        (bias,) = graph.node("Transpose", [bias], perm=[2, 0, 1])
        return graph.node("Unsqueeze", [bias, graph.constant([0], "int64")])

    def details(self) -> str:
        return f"{self.buckets} buckets up to {self.max_distance}"


class _ContinuedRelativePositionBias(Continued, RelativePositionBias):
    support: ClassVar[tuple[str, ...]] = (
        *RelativePositionBias.support,
        *_CONTINUING,
        "continued.ContinuedRelativePositionBias",
    )


class Alibi(_PairBias):
    """Attention to what is far away costs: -slope·|distance|, for the `bias` of attention; each head has its slope.

    Positions `[T]` of the queries and `[S]` of the keys (the same unless given) -> `[1, heads, T, S]`. Nothing in it
    learns, and it needs no other positions.
    """

    operator: ClassVar[str] = "alibi"
    support: ClassVar[tuple[str, ...]] = ("alibi.Alibi",)
    reference: ClassVar[str] = "https://arxiv.org/abs/2108.12409"

    def torch_module(self, *types: TensorType) -> Call | None:
        return Call("Alibi", (self.heads,))

    def slopes(self) -> list[float]:
        """The cost of a step, head by head; the module has the same in PyTorch."""
        whole = 1 << (self.heads.bit_length() - 1)
        slopes = [2 ** (-8 * (head + 1) / whole) for head in range(whole)]
        return slopes + [2 ** (-4 * (2 * head + 1) / whole) for head in range(self.heads - whole)]

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (far,) = graph.node("Abs", [self.distance(graph, inputs)])
        each = any(type.rank == 2 for type in types)
        axis = graph.constant([1] if each else [0, 1], "int64")
        (far,) = graph.node("Unsqueeze", [graph.cast(far, "float32"), axis])
        slopes = graph.constant([[[-slope]] for slope in self.slopes()], "float32")
        return graph.node("Mul", [far, slopes])

    def title(self) -> str:
        return f"ALiBi, {self.heads} {'head' if self.heads == 1 else 'heads'}"

    def _continuing(self) -> type[Op]:
        return _ContinuedAlibi


class _ContinuedAlibi(Continued, Alibi):
    support: ClassVar[tuple[str, ...]] = (*Alibi.support, *_CONTINUING, "continued.ContinuedAlibi")


OPS: tuple[type[Op], ...] = (
    SinusoidalPositions,
    RotaryPositions,
    RotaryEmbedding,
    RelativePositionBias,
    Alibi,
)
