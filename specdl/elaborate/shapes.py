"""Where a shape came from, and what would mend two that don't fit: the notes and the help of an error about shapes.

A value is followed back through the layers that keep its size along an axis, to the layer that made that size.
Nothing here runs unless a mistake was found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from specdl.diagnostics import Note, Span
from specdl.elaborate.drafts import FunctionDraft, NodeDraft, Ref
from specdl.ir.dims import Dim
from specdl.ir.types import TensorType
from specdl.ops import OPERATORS
from specdl.ops.base import Op, TypeRuleError
from specdl.ops.windows import LAYOUTS

MAX_TRACE = 300
"""Layers through which a size is followed back."""
MAX_SHOWN = 8
"""Changes of a size that a note lists."""


@dataclass(frozen=True, slots=True)
class Made:
    """A value and the layer that made it; None for an input."""

    type: TensorType
    node: NodeDraft | None
    span: Span

    def argument(self, name: str) -> object:
        """An argument of the layer, where it is an operator that has it."""
        return getattr(self.node.callee, name, None) if self.node is not None else None

    @property
    def operator(self) -> str:
        """The operator's name; empty for a block or an input."""
        callee = None if self.node is None else self.node.callee
        return callee.operator if isinstance(callee, Op) else ""


@dataclass(frozen=True, slots=True)
class Tracer:
    """Follows values back. `enter` gives the function that a node calls, where it is a block or a network."""

    enter: Callable[[NodeDraft], FunctionDraft | None]

    def trace(self, ref: Ref) -> Iterator[Made]:
        """A value, then the value that it was made of by the first input of equal rank, and so on.

        Groups, blocks and networks are entered, and left again by their inputs.
        """
        current: Ref | None = ref
        entered: list[tuple[FunctionDraft, NodeDraft]] = []
        makers: dict[FunctionDraft, dict[str, NodeDraft]] = {}
        for _ in range(MAX_TRACE):
            if current is None or current.type is None:
                return
            draft, type = current.draft, current.type
            if draft not in makers:
                makers[draft] = {name: node for node in draft.nodes for name in node.outputs}
            node = makers[draft].get(current.name)
            if node is None:
                around = self._outside(current, entered)
                if around is None:
                    yield Made(type, None, current.span)
                    return
                current = around
                continue
            inner = node.callee if isinstance(node.callee, FunctionDraft) else self.enter(node)
            if inner is not None and inner.outputs:
                if not isinstance(node.callee, FunctionDraft):
                    entered.append((inner, node))
                name = inner.outputs[min(node.outputs.index(current.name), len(inner.outputs) - 1)]
                made = next((item for item in inner.nodes if name in item.outputs), None)
                current = Ref(inner, name, type, current.span if made is None else made.span)
                continue
            yield Made(type, node, current.span)
            current = next((item for item in node.inputs if item and item.type and item.type.rank == type.rank), None)

    def _outside(self, ref: Ref, entered: list[tuple[FunctionDraft, NodeDraft]]) -> Ref | None:
        """The value that an input of a group, block or network stands for; None for an input of the whole."""
        draft = ref.draft
        place = next((at for at, value in enumerate(draft.inputs) if value.name == ref.name), None)
        given: Sequence[Ref | None] = ()
        if draft.call is not None:
            given = draft.arguments
        elif entered and entered[-1][0] is draft:
            given = entered.pop()[1].inputs
        return given[place] if place is not None and place < len(given) else None

    def origin(self, ref: Ref, axis: int) -> Made | None:
        """The layer or input that gave a value its size along an axis."""
        last: Made | None = None
        for made in self.trace(ref):
            if last is not None and made.type.shape[axis] != last.type.shape[axis]:
                return last
            last = made
        return last

    def history(self, ref: Ref, axis: int) -> str | None:
        """How a size shrank on its way: `32 → 16 (line 5) → 8 (line 7)`."""
        chain = list(self.trace(ref))
        changes = [
            f"{new.type.shape[axis]} (line {new.span.line})"
            for new, old in pairwise(chain)
            if new.type.shape[axis] != old.type.shape[axis]
        ]
        if len(changes) < 2:
            return None
        shown = changes[:MAX_SHOWN][::-1]
        first = str(chain[-1].type.shape[axis]) if len(changes) <= MAX_SHOWN else "…"
        return " → ".join([first, *shown])


def type_advice(
    tracer: Tracer, error: TypeRuleError, op: Op, given: Sequence[Ref], told: Collection[Span]
) -> tuple[str | None, list[Note]]:
    """The help and the notes of an operator that can't take its inputs; `told` are lines that are shown anyway."""
    help, notes = error.help, shape_notes(tracer, error, given, told)
    one = given[error.input] if error.input is not None and error.input < len(given) else None
    other = given[error.against] if error.against is not None and error.against < len(given) else None
    if op.family == "loss" and one is not None and other is not None:
        better, more = loss_notes(tracer, other, one)
        made = [(ref, next(tracer.trace(ref), None)) for ref in (other, one)]
        places = [(ref.type, ref.span if item is None else item.span) for ref, item in made]
        notes = [Note(f"{type} comes from here", span) for type, span in places if span not in told]
        if better is None:
            return help, notes
        return (better, [*more, *notes[1:]]) if more or not help else (f"{better}; {help}", notes)
    if help is None and one is not None and other is not None and op.family == "merge":
        first, second = sorted((one, other), key=given.index)
        help = sum_help(tracer, first, second, op.operator)
    if help is None and one is not None and other is None and error.argument is None:
        help = input_help(tracer, op, one)
    return help, notes


# ---- notes -------------------------------------------------------------------------------------------


def shape_notes(tracer: Tracer, error: TypeRuleError, given: Sequence[Ref], told: Collection[Span]) -> list[Note]:
    """Where the inputs came from that don't fit: one line, or both."""
    places = [place for place in (error.input, error.against) if place is not None and place < len(given)]
    if not places:
        return []
    if len(places) == 1:
        ref = given[places[0]]
        notes = [] if ref.span in told else [Note(f"its input {ref.type} comes from here", ref.span)]
        steps = None if error.axis is None else tracer.history(ref, error.axis)
        return [*notes, Note(f"it shrank on its way: {steps}")] if steps is not None else notes
    first, second = (given[place] for place in sorted(places))
    notes = origin_notes(tracer, first, second, error.axis) + origin_notes(tracer, second, first, error.axis)
    return [note for note in notes if note.span not in told]


def origin_notes(tracer: Tracer, ref: Ref, other: Ref, axis: int | None = None) -> list[Note]:
    """Where a value got the sizes in which it differs from another."""
    assert ref.type is not None
    assert other.type is not None
    axes = differing(ref.type, other.type) if axis is None else [axis]
    places: dict[Span, list[int]] = {}
    for place in axes:
        made = tracer.origin(ref, place)
        # From an input on, where the value was made says more.
        span = ref.span if made is None or made.node is None else made.span
        places.setdefault(span, []).append(place)
    if not places or set(places) == {ref.span}:
        return [Note(f"{ref.type} comes from here", ref.span)]
    return [
        Note(
            f"{_axes(where)} of {ref.type} {'becomes' if len(where) == 1 else 'become'} {_sizes(ref.type, where)} here",
            span,
        )
        for span, where in places.items()
    ]


def _axes(axes: Sequence[int]) -> str:
    listing = ", ".join(map(str, axes[:-1])) + (f" and {axes[-1]}" if len(axes) > 1 else str(axes[0]))
    return f"axis {listing}" if len(axes) == 1 else f"axes {listing}"


def _sizes(type: TensorType, axes: Sequence[int]) -> str:
    return "×".join(str(type.shape[axis]) for axis in axes)


def differing(left: TensorType, right: TensorType) -> list[int]:
    """The axes of `left` whose sizes differ from those of `right`, both counted from the last."""
    shift = left.rank - right.rank
    return [
        axis
        for axis, size in enumerate(left.shape)
        if axis - shift >= 0 and 1 not in (size, right.shape[axis - shift]) and size != right.shape[axis - shift]
    ]


# ---- what would mend it ------------------------------------------------------------------------------


def residual_help(tracer: Tracer, body: Ref, before: Ref) -> str | None:
    """How to mend a residual whose body gives another shape than flows in."""
    after, start = body.type, before.type
    assert after is not None
    assert start is not None
    if after.dtype != start.dtype or after.rank != start.rank:
        return "the body's last layer must give the shape that flows in" if after.rank != start.rank else None
    axes = [axis for axis in range(after.rank) if after.shape[axis] != start.shape[axis]]
    kept = _keeps_size(tracer, body, axes, start)
    if kept is not None:
        return kept
    shortcut = _projection(tracer, body, start, axes)
    return None if shortcut is None else f"give the residual a `shortcut`, e.g. `shortcut: [{shortcut}]`"


def sum_help(tracer: Tracer, first: Ref, second: Ref, operator: str) -> str | None:
    """How to mend two values that are to be added, multiplied or joined."""
    left, right = first.type, second.type
    assert left is not None
    assert right is not None
    if left.rank != right.rank:
        return None
    axes = differing(left, right)
    spatial = [axis for axis in axes if axis >= 2]
    compared = spatial or axes
    small, large = (first, second) if _elements(left, compared) <= _elements(right, compared) else (second, first)
    assert large.type is not None
    kept = _keeps_size(tracer, small, spatial, large.type)
    if spatial and kept is not None:
        return kept
    if spatial and left.rank == 4:
        ratio = _ratio(small, large, spatial)
        by = f"`interpolate: {{scale_factor: {ratio}}}`" if ratio else "`interpolate`"
        return f"bring one to the other's size first: {by}, or another `stride`"
    if axes == [1] and left.rank == 4:
        size = right.shape[1]
        joins = "" if operator == "concat" else "; `concat` joins values of different channels"
        return f"`conv2d: {{out_channels: {size}, kernel_size: 1}}` on the first makes them equal{joins}"
    if axes == [left.rank - 1] and left.rank in (2, 3):
        return f"a `linear: {right.shape[-1]}` on the first makes them equal"
    return None


def _elements(type: TensorType, axes: Sequence[int]) -> int:
    sizes = [size for axis in axes if isinstance(size := type.shape[axis], int)]
    total = 1
    for size in sizes:
        total *= size
    return total


def _ratio(small: Ref, large: Ref, axes: Sequence[int]) -> int | None:
    """By how much one value is larger than another along some axes, if by a whole number and by the same."""
    assert small.type is not None
    assert large.type is not None
    ratios: set[int] = set()
    for axis in axes:
        less, more = small.type.shape[axis], large.type.shape[axis]
        if not isinstance(less, int) or not isinstance(more, int) or not less or more % less:
            return None
        ratios.add(more // less)
    return ratios.pop() if len(ratios) == 1 else None


def _keeps_size(tracer: Tracer, ref: Ref, axes: Sequence[int], wanted: TensorType) -> str | None:
    """The padding that would have kept the size: where a window without padding took the border away."""
    if not axes or any(axis < 2 for axis in axes):
        return None
    for axis in axes:
        made = tracer.origin(ref, axis)
        size, target = ref.type.shape[axis] if ref.type else None, wanted.shape[axis]
        kernel, stride = _one(made, "kernel_size"), _one(made, "stride")
        dilation = _one(made, "dilation") or 1
        if made is None or kernel is None or stride not in (1, None) or _one(made, "padding") != 0 or kernel % 2 == 0:
            return None
        reach = dilation * (kernel - 1)
        if not isinstance(size, int) or not isinstance(target, int) or target - size != reach:
            return None
    assert made is not None
    return f"`padding: {reach // 2}` in that `{made.operator}` keeps the size"


def _one(made: Made | None, argument: str) -> int | None:
    """A number that holds for all axes."""
    value = None if made is None else made.argument(argument)
    values = set(value) if isinstance(value, tuple) else {value}
    number = values.pop() if len(values) == 1 else None
    return number if isinstance(number, int) else None


def _projection(tracer: Tracer, body: Ref, start: TensorType, axes: Sequence[int]) -> str | None:
    """A layer that brings what flows into a residual to the shape that its body gives."""
    after = body.type
    assert after is not None
    if axes == [after.rank - 1] and after.rank in (2, 3) and not _convolved(tracer, body):
        return f"linear: {after.shape[-1]}"
    if after.rank not in (3, 4, 5) or not isinstance(after.shape[1], int):
        return None
    strides = {_stride(start.shape[axis], after.shape[axis]) for axis in range(2, after.rank)}
    stride = strides.pop() if len(strides) == 1 else None
    if stride is None:
        return None
    strided = f", stride: {stride}" if stride > 1 else ""
    return f"conv{after.rank - 2}d: {{out_channels: {after.shape[1]}, kernel_size: 1{strided}}}"


def _convolved(tracer: Tracer, ref: Ref) -> bool:
    return any(made.operator.startswith("conv") for made in tracer.trace(ref))


def _stride(before: Dim, after: Dim) -> int | None:
    """The stride of a 1×1 window that makes one size of another; None where there is none."""
    if before == after:
        return 1
    if not isinstance(before, int) or not isinstance(after, int) or not 0 < after < before:
        return None
    stride = -(-before // after)
    return stride if (before - 1) // stride + 1 == after else None


def input_help(tracer: Tracer, op: Op, ref: Ref) -> str | None:
    """How to mend an operator whose input has another rank than it works on."""
    assert ref.type is not None
    rank = ref.type.rank
    made = next(tracer.trace(ref), None)
    name = op.operator
    if made is not None and made.operator == "flatten" and name[-2:] in {"1d", "2d", "3d"} and rank == 2:
        if name.startswith("batch_norm"):
            return "behind a `flatten`, it is `batch_norm1d`"
        return "put it before the `flatten`, which leaves one axis of features"
    other = f"{name[:-2]}{rank - 2}d"
    if name[-1] == "d" and name[-2].isdigit() and other != name and other in OPERATORS:
        return f"`{other}` takes {LAYOUTS[rank - 2]}"
    if name == "batch_norm2d" and rank == 2:
        return "`batch_norm1d` takes [N, C]"
    return None


def loss_notes(tracer: Tracer, scores: Ref, target: Ref) -> tuple[str | None, list[Note]]:
    """How to mend scores that have more axes than one class for each example, and where they got them."""
    assert scores.type is not None
    assert target.type is not None
    rank = scores.type.rank
    if target.type.rank != 1 or rank < 3:
        return None, []
    chain = list(tracer.trace(scores))
    for made in chain:
        if made.operator == "linear" and made.type.rank == rank:
            help = "put a `flatten` before it; `linear` works on the last axis and keeps the others"
            if rank == 4:
                help = "`linear` works on the last axis: put `adaptive_avg_pool2d: 1` and `flatten` before it"
            elif rank == 3:
                help = "take one value of the sequence before it, `mean: 1` or `compute: x[:, -1]`"
            return help, [Note(f"{made.type} comes from this `linear`, whose input has {rank} axes", made.span)]
    if rank == 4 and scores.type.shape[2:] == (1, 1):
        return "a `flatten` behind it leaves one score a class", []
    if rank == 4:
        return "`adaptive_avg_pool2d: 1` and `flatten` leave one score a class for each example", []
    return None, []
