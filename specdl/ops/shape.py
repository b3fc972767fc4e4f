"""Operators that only rearrange: the numbers stay, the axes change."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from specdl.ir.dims import Dim, SymDim, product, symbol
from specdl.ir.types import DType, TensorType
from specdl.ops.axes import Axes, Axis, AxisList, SizesToFill, resolve, resolve_all
from specdl.ops.base import Call, Family, OnnxGraph, Op, TypeRuleError, require_static
from specdl.ops.text import dim_text, expression, method, postfix

_TENSOR = "https://docs.pytorch.org/docs/stable/generated/torch.Tensor"

MAX_PIECES = 1_000
_MODULE = "https://docs.pytorch.org/docs/stable/generated/torch.nn"


class _Shape(Op):
    """Base: in ONNX most of these are a reshape to the inferred shape."""

    family: ClassVar[Family] = "shape"

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (output,) = self.infer(*types)
        return (graph.reshape(inputs[0], output.shape),)


def fill_sizes(sizes: Sequence[Dim], total: Dim, whole: str) -> tuple[Dim, ...]:
    """The sizes with -1 replaced by what makes their product `total`. Raises `TypeRuleError`."""
    known = product(size for size in sizes if size != -1)
    if -1 not in sizes:
        if known != total:
            raise TypeRuleError(f"{_listed(sizes)} holds {known} elements, but {whole} has {total}", input=0)
        return tuple(sizes)
    if list(sizes).count(-1) > 1:
        raise TypeRuleError("only one size can be -1")
    rest = _quotient(total, known)
    if rest is None:
        raise TypeRuleError(f"{total} elements of {whole} can't be divided into {_listed(sizes)}", input=0)
    return tuple(rest if size == -1 else size for size in sizes)


def _quotient(total: Dim, known: Dim) -> Dim | None:
    """`total / known` where it is exact, else None."""
    if isinstance(known, int):
        whole = total // known
        return whole if whole * known == total else None
    if len(known.terms) != 1 or not isinstance(total, SymDim):
        return None
    ((divisor, factor),) = known.terms
    rest: Dim = 0
    for monomial, count in total.terms:
        left = list(monomial)
        for atom in divisor:
            if atom not in left:
                return None
            left.remove(atom)
        if count % factor:
            return None
        rest = rest + product([count // factor, *(SymDim((((atom,), 1),)) for atom in left)])
    return rest


def _placeholders(types: Sequence[TensorType]) -> list[tuple[str, TensorType]]:
    """Values of these types under any names: to see whether they have the sizes that are needed."""
    return [(f"x{place}", type) for place, type in enumerate(types)]


def _listed(sizes: Sequence[Dim]) -> str:
    return "[" + ", ".join(map(str, sizes)) + "]"


class Flatten(_Shape):
    """Joins the axes from `start_dim` to `end_dim` into one; by default all but the batch."""

    operator: ClassVar[str] = "flatten"
    position_wise: ClassVar[bool] = True
    main: ClassVar[str | None] = "start_dim"
    reference: ClassVar[str] = f"{_MODULE}.Flatten.html"

    start_dim: Axis = Field(default=1, description="The first axis that is joined; the batch is 0.")
    end_dim: Axis = Field(default=-1, description="The last axis that is joined.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        start = resolve(self.start_dim, x.rank, "start_dim", shape=x)
        end = resolve(self.end_dim, x.rank, "end_dim", shape=x)
        if start > end:
            raise TypeRuleError(f"`start_dim` {self.start_dim} comes after `end_dim` {self.end_dim} in {x}")
        return (x.with_shape(*x.shape[:start], product(x.shape[start : end + 1]), *x.shape[end + 1 :]),)

    def torch_module(self, *types: TensorType) -> Call | None:
        return Call("nn.Flatten", (), tuple(self.given().items()))

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        own = (self.start_dim,) if self.end_dim == -1 else (self.start_dim, self.end_dim)
        return method(arguments[0], "flatten", *(() if own == (0,) else own))


class Unflatten(_Shape):
    """Splits one axis into several: the inverse of flatten. One of the sizes may be -1.

    `like` is a value that has the sizes that x lacks.
    """

    operator: ClassVar[str] = "unflatten"
    position_wise: ClassVar[bool] = True
    inputs: ClassVar[tuple[str, ...]] = ("x", "like?")
    reference: ClassVar[str] = f"{_MODULE}.Unflatten.html"

    dim: Axis = Field(description="The axis that is split; the batch is 0.")
    unflattened_size: SizesToFill = Field(description="The sizes that it becomes.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x = types[0]
        if not x.rank:
            raise TypeRuleError("a single number has no axis to split", input=0)
        axis = resolve(self.dim, x.rank, shape=x)
        sizes = fill_sizes(self.unflattened_size, x.shape[axis], f"axis {self.dim} of {x}")
        self._texts(_placeholders(types))
        return (x.with_shape(*x.shape[:axis], *sizes, *x.shape[axis + 1 :]),)

    def _texts(self, values: Sequence[tuple[str, TensorType]]) -> list[str]:
        return [dim_text(size, values) for size in self.unflattened_size]

    def torch_module(self, *types: TensorType) -> Call | None:
        if any(isinstance(size, SymDim) for size in self.unflattened_size):
            return None
        return Call("nn.Unflatten", (self.dim, self.unflattened_size))

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        sizes = ", ".join(self._texts(list(zip(arguments, types, strict=True))))
        text = f"({sizes},)" if len(self.unflattened_size) == 1 else f"({sizes})"
        return expression(f"{postfix(arguments[0])}.unflatten", [str(self.dim), text])


class Reshape(_Shape):
    """Gives every example another shape of as many elements. The batch is left out; one size may be -1.

    `like` is a value that has the sizes that x lacks.
    """

    operator: ClassVar[str] = "reshape"
    inputs: ClassVar[tuple[str, ...]] = ("x", "like?")
    main: ClassVar[str | None] = "shape"
    support: ClassVar[tuple[str, ...]] = ("reshape.Reshape",)
    reference: ClassVar[str] = f"{_TENSOR}.reshape.html"

    shape: SizesToFill = Field(description="The shape without the batch.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x = types[0]
        if not x.rank:
            raise TypeRuleError("a single number has no batch to keep", input=0)
        sizes = fill_sizes(self.shape, product(x.shape[1:]), f"an example of {x}")
        self._texts(_placeholders(types))
        return (x.with_shape(x.shape[0], *sizes),)

    def _texts(self, values: Sequence[tuple[str, TensorType]]) -> list[str]:
        _, x = values[0]
        sizes = [dim_text(size, values) for size in self.shape]
        if x.batched and all(isinstance(size, int) and size != -1 for size in self.shape):
            return ["-1", *sizes]
        return [dim_text(x.shape[0], values), *sizes]

    def torch_module(self, *types: TensorType) -> Call | None:
        if any(isinstance(size, SymDim) for size in self.shape):
            return None
        return Call("Reshape", self.shape)

    def works_position_wise(self, types: Sequence[TensorType], length: SymDim) -> bool:
        # Only what stands behind the sequence's axis takes another shape.
        (output,) = self.infer(*types)
        before = types[0].shape.index(length) + 1 if length in types[0].shape else 0
        return output.shape[:before] == types[0].shape[:before]

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return expression(f"{postfix(arguments[0])}.reshape", self._texts(list(zip(arguments, types, strict=True))))


class Permute(Op):
    """Reorders the axes: axis `dims[i]` becomes axis i."""

    operator: ClassVar[str] = "permute"
    family: ClassVar[Family] = "shape"
    position_wise: ClassVar[bool] = True
    main: ClassVar[str | None] = "dims"
    support: ClassVar[tuple[str, ...]] = ("permute.Permute",)
    reference: ClassVar[str] = f"{_TENSOR}.permute.html"

    dims: AxisList = Field(description="All axes in their new order; the batch is 0.")

    def _order(self, x: TensorType) -> tuple[int, ...]:
        order = resolve_all(self.dims, x, "dims")
        if len(self.dims) != x.rank:
            raise TypeRuleError(
                f"needs all {x.rank} axes of {x}, got {list(self.dims)}", argument="dims", help="the batch is axis 0"
            )
        return order

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        return (x.with_shape(*(x.shape[axis] for axis in self._order(x))),)

    def torch_module(self, *types: TensorType) -> Call | None:
        return Call("Permute", self.dims)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return method(arguments[0], "permute", *self.dims)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node("Transpose", inputs, perm=list(self._order(types[0])))


def _first_of_two(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise PydanticCustomError("axis", "expected an axis, or a list of the two axes that change places")
    return value


class Transpose(Op):
    """Two axes change places: `transpose: [1, 2]`."""

    operator: ClassVar[str] = "transpose"
    family: ClassVar[Family] = "shape"
    position_wise: ClassVar[bool] = True
    main: ClassVar[str | None] = "dim0"
    reference: ClassVar[str] = f"{_TENSOR}.transpose.html"

    dim0: Annotated[
        int,
        PlainValidator(_first_of_two),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "integer"},
                    {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
                ]
            }
        ),
    ] = Field(description="One axis, or both as a list; the batch is 0.")
    dim1: Axis = Field(description="The other axis.")

    @model_validator(mode="before")
    @classmethod
    def _both_in_a_list(cls, data: Any) -> Any:
        pair = data.get("dim0") if isinstance(data, dict) else None
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and "dim1" not in data:
            return {**data, "dim0": pair[0], "dim1": pair[1]}
        return data

    def _order(self, x: TensorType) -> list[int]:
        first = resolve(self.dim0, x.rank, "dim0", shape=x)
        second = resolve(self.dim1, x.rank, "dim1", shape=x)
        order = list(range(x.rank))
        if order:
            order[first], order[second] = second, first
        return order

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        return (x.with_shape(*(x.shape[axis] for axis in self._order(x))),)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return method(arguments[0], "transpose", self.dim0, self.dim1)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node("Transpose", inputs, perm=self._order(types[0]))


class Squeeze(_Shape):
    """Takes axes of size 1 away."""

    operator: ClassVar[str] = "squeeze"
    position_wise: ClassVar[bool] = True
    main: ClassVar[str | None] = "dim"
    reference: ClassVar[str] = f"{_TENSOR}.squeeze.html"

    dim: Axes = Field(description="The axis or axes; the batch is 0.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        axes = resolve_all(self.dim, x)
        for axis in axes:
            require_static(x.shape[axis], f"the size of axis {axis} of {x}")
        return (x.with_shape(*(size for axis, size in enumerate(x.shape) if axis not in axes or size != 1)),)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return method(arguments[0], "squeeze", self.dim)


class Unsqueeze(_Shape):
    """Puts in an axis of size 1."""

    operator: ClassVar[str] = "unsqueeze"
    position_wise: ClassVar[bool] = True
    main: ClassVar[str | None] = "dim"
    reference: ClassVar[str] = f"{_TENSOR}.unsqueeze.html"

    dim: Axis = Field(description="Where the new axis goes; the batch is 0.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        axis = resolve(self.dim, x.rank + 1)
        return (x.with_shape(*x.shape[:axis], 1, *x.shape[axis:]),)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return method(arguments[0], "unsqueeze", self.dim)

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        axis = resolve(self.dim, types[0].rank + 1)
        return graph.node("Unsqueeze", [inputs[0], graph.constant([axis], "int64")])


class _Pieces(Op):
    """Cuts an axis into pieces, one output each."""

    family: ClassVar[Family] = "shape"
    position_wise: ClassVar[bool] = True
    outputs: ClassVar[tuple[str, ...]] = ("*pieces",)

    def sizes(self, size: Dim, x: TensorType) -> tuple[Dim, ...]:
        """The sizes of the pieces of an axis of the given size."""
        raise NotImplementedError

    def _axis(self, x: TensorType) -> int:
        raise NotImplementedError

    def _guarded_axis(self, dim: int, x: TensorType) -> int:
        if not x.rank:
            raise TypeRuleError("a single number can't be cut", input=0)
        return resolve(dim, x.rank, shape=x)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        axis = self._axis(x)
        pieces = self.sizes(x.shape[axis], x)
        return tuple(x.with_shape(*x.shape[:axis], piece, *x.shape[axis + 1 :]) for piece in pieces)

    def torch_targets(self, names: Sequence[str]) -> str:
        return ", ".join(names) if len(names) > 1 else f"({names[0]},)"

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (x,) = types
        axis = self._axis(x)
        sizes = self.sizes(x.shape[axis], x)
        if len(set(sizes)) == 1:
            return graph.node("Split", inputs, outputs=len(sizes), axis=axis, num_outputs=len(sizes))
        return graph.node("Split", [inputs[0], graph.shape(sizes)], outputs=len(sizes), axis=axis)


class Chunk(_Pieces):
    """Cuts an axis into `chunks` equal pieces (the last may be shorter), one output each."""

    operator: ClassVar[str] = "chunk"
    main: ClassVar[str | None] = "chunks"
    reference: ClassVar[str] = f"{_TENSOR}.chunk.html"

    chunks: int = Field(ge=1, le=MAX_PIECES, description="How many pieces.")
    dim: Axis = Field(default=0, description="The axis that is cut; the batch is 0.")

    def _axis(self, x: TensorType) -> int:
        return self._guarded_axis(self.dim, x)

    def sizes(self, size: Dim, x: TensorType) -> tuple[Dim, ...]:
        if isinstance(size, int) and size:
            return _cut(size, -(-size // self.chunks), size)
        piece = size // self.chunks
        if piece * self.chunks != size:
            raise TypeRuleError(
                f"axis {self.dim} of {x} has `{size}` elements, which may not divide by {self.chunks}",
                argument="dim",
                help="say which axis is cut, e.g. `dim: -1`",
            )
        return (piece,) * self.chunks

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return method(arguments[0], "chunk", self.chunks, **({"dim": self.dim} if self.dim else {}))


def _cut(size: int, piece: int, whole: int) -> tuple[int, ...]:
    if size // piece > MAX_PIECES:
        raise TypeRuleError(f"makes at most {MAX_PIECES:,} pieces, not {-(-size // piece):,}")
    return tuple(min(piece, whole - start) for start in range(0, size, piece))


def _split_sizes(value: Any) -> Dim | tuple[Dim, ...]:
    items = value if isinstance(value, (list, tuple)) else (value,)
    found: list[Dim] = [symbol(item) if isinstance(item, str) and item.isidentifier() else item for item in items]
    if not items or any(isinstance(item, bool) or not isinstance(item, (int, SymDim)) for item in found):
        raise PydanticCustomError("split", "expected the size of a piece, or a list of sizes")
    if any(isinstance(item, int) and item < 0 for item in found) or value == 0:
        raise PydanticCustomError("split", "sizes of pieces are at least 1")
    return tuple(found) if isinstance(value, (list, tuple)) else found[0]


class Split(_Pieces):
    """Cuts an axis into pieces of one size (the last may be shorter) or of the listed sizes, one output each."""

    operator: ClassVar[str] = "split"
    main: ClassVar[str | None] = "split_size_or_sections"
    reference: ClassVar[str] = f"{_TENSOR}.split.html"

    split_size_or_sections: Annotated[
        Any,
        PlainValidator(_split_sizes),
        WithJsonSchema(
            {"anyOf": [{"type": ["integer", "string"]}, {"type": "array", "items": {"type": ["integer", "string"]}}]}
        ),
    ] = Field(description="The size of a piece, or the sizes of all pieces.")
    dim: Axis = Field(default=0, description="The axis that is cut; the batch is 0.")

    def _axis(self, x: TensorType) -> int:
        return self._guarded_axis(self.dim, x)

    def sizes(self, size: Dim, x: TensorType) -> tuple[Dim, ...]:
        wanted = self.split_size_or_sections
        if isinstance(wanted, tuple):
            total: Dim = 0
            for item in wanted:
                total = total + item
            if total != size:
                raise TypeRuleError(
                    f"the pieces {_listed(wanted)} add up to {total}, but axis {self.dim} of {x} has {size}",
                    argument="split_size_or_sections",
                )
            self._texts("x", x)
            return wanted
        if isinstance(size, int) and isinstance(wanted, int):
            return _cut(size, wanted, size) if size else (0,)
        count = next((count for count in range(1, MAX_PIECES) if wanted * count == size), None)
        if count is None:
            raise TypeRuleError(
                f"axis {self.dim} of {x} has `{size}` elements, so the number of pieces isn't known",
                argument="dim",
                help="say which axis is cut, e.g. `dim: -1`",
            )
        self._texts("x", x)
        return (wanted,) * count

    def _texts(self, name: str, x: TensorType) -> str:
        wanted = self.split_size_or_sections
        if isinstance(wanted, tuple):
            return f"[{', '.join(dim_text(item, [(name, x)]) for item in wanted)}]"
        return dim_text(wanted, [(name, x)])

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        sizes = self._texts(arguments[0], types[0])
        return expression(f"{postfix(arguments[0])}.split", [sizes], **({"dim": self.dim} if self.dim else {}))


class Expand(Op):
    """Repeats axes of size 1, without copying. -1 keeps an axis, `N` is the batch: `expand(token): [N, -1, -1]`.

    All axes are listed; further ones may stand in front. `like` is a value that has the sizes that x lacks.
    """

    operator: ClassVar[str] = "expand"
    family: ClassVar[Family] = "shape"
    position_wise: ClassVar[bool] = True
    main: ClassVar[str | None] = "sizes"
    inputs: ClassVar[tuple[str, ...]] = ("x", "like?")
    reference: ClassVar[str] = f"{_TENSOR}.expand.html"

    sizes: SizesToFill = Field(description="The new size of each axis.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        x = types[0]
        added = len(self.sizes) - x.rank
        if added < 0:
            raise TypeRuleError(f"needs a size for each axis of {x}, got {_listed(self.sizes)}", argument="sizes")
        shape: list[Dim] = []
        for place, size in enumerate(self.sizes):
            old: Dim = x.shape[place - added] if place >= added else 1
            if size == -1 and place < added:
                raise TypeRuleError(f"-1 keeps an axis, but axis {place} is a new one", argument="sizes")
            if size not in (-1, old) and old != 1:
                raise TypeRuleError(
                    f"only an axis of size 1 can be stretched: axis {place - added} of {x} is {old}, not {size}",
                    argument="sizes",
                )
            shape.append(old if size == -1 else size)
        self._texts(_placeholders(types))
        return (x.with_shape(*shape),)

    def _texts(self, values: Sequence[tuple[str, TensorType]]) -> list[str]:
        return [dim_text(size, values) for size in self.sizes]

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return expression(f"{postfix(arguments[0])}.expand", self._texts(list(zip(arguments, types, strict=True))))

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        (output,) = self.infer(*types)
        return graph.node("Expand", [inputs[0], graph.shape(output.shape)])


class Identity(Op):
    """The value itself, for instance under another name."""

    operator: ClassVar[str] = "identity"
    family: ClassVar[Family] = "shape"
    position_wise: ClassVar[bool] = True
    reference: ClassVar[str] = f"{_MODULE}.Identity.html"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return (types[0],)

    def torch_module(self, *types: TensorType) -> Call | None:
        return Call("nn.Identity")

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return arguments[0]

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return graph.node("Identity", inputs)


class Cast(Op):
    """The value in another dtype."""

    operator: ClassVar[str] = "cast"
    family: ClassVar[Family] = "shape"
    position_wise: ClassVar[bool] = True
    main: ClassVar[str | None] = "dtype"
    reference: ClassVar[str] = f"{_TENSOR}.to.html"

    dtype: DType = Field(description="The dtype: float32, int64, bool, …")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return (types[0].with_dtype(self.dtype),)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return expression(f"{postfix(arguments[0])}.to", [f"torch.{self.dtype}"])

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        return (graph.cast(inputs[0], self.dtype),)

    def title(self) -> str:
        return f"To {self.dtype}"


class Positions(Op):
    """The positions 0 … T-1 of a sequence `[N, T, ...]`: `[T]` of int64."""

    operator: ClassVar[str] = "positions"
    family: ClassVar[Family] = "shape"
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.arange.html"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        (x,) = types
        if x.rank < 2:
            raise TypeRuleError(f"expects a sequence [N, T, ...], got {x}", input=0)
        return (TensorType((x.shape[1],), "int64"),)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        x = postfix(arguments[0])
        return f"torch.arange({x}.shape[1], device={x}.device)"

    def onnx(self, graph: OnnxGraph, inputs: Sequence[str], types: Sequence[TensorType]) -> tuple[str, ...]:
        start, step = graph.constant(0, "int64"), graph.constant(1, "int64")
        return graph.node("Range", [start, graph.reshape(graph.shape([types[0].shape[1]]), []), step])

    def continued(self, types: Sequence[TensorType], length: SymDim) -> Op | None:
        return _ContinuedPositions() if types[0].shape[1] == length else None


class _ContinuedPositions(Positions):
    support: ClassVar[tuple[str, ...]] = ("continued.Past", "continued.ContinuedPositions")

    def torch_module(self, *types: TensorType) -> Call | None:
        return Call("ContinuedPositions")

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        return None


OPS: tuple[type[Op], ...] = (
    Flatten,
    Unflatten,
    Reshape,
    Permute,
    Transpose,
    Squeeze,
    Unsqueeze,
    Chunk,
    Split,
    Expand,
    Identity,
    Cast,
    Positions,
)
