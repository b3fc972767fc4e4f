"""`elaborate`: a parsed spec becomes a typed program.

Inputs are typed, the network is elaborated, then the losses: supervised learning is one training step,
written as a function over the batch's fields that calls the network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specdl.diagnostics import Diagnostics, Note, did_you_mean
from specdl.elaborate.calls import MAX_LAYERS
from specdl.elaborate.drafts import FunctionDraft, NodeDraft, Ref, freeze, localize
from specdl.elaborate.elaborator import Elaborator
from specdl.elaborate.scopes import Abandoned, EntryScope, Frame, Poisoned, Site
from specdl.ir.dims import BATCH, Dim, SymDim, symbol
from specdl.ir.program import Function, LossTerm, Program, Step
from specdl.ir.types import DTYPES, TensorType
from specdl.spec.entries import Argument, Entry, parse_entry
from specdl.spec.file import Spec
from specdl.spec.label import label_field
from specdl.spec.validate import show

MAX_INPUT_SIZE = 2**40
"""The largest size of an input's axis: PyTorch counts elements with 63 bits."""

NETWORK = "model"
"""The name of a spec's only network."""


def bind_sections(spec: Spec, diagnostics: Diagnostics) -> tuple[Elaborator, dict[str, Any]]:
    """Binds the parameters, and evaluates the expressions in the sections about data and training."""
    elaborator = Elaborator(spec, diagnostics)
    elaborator.bind_file_params(elaborator.home)
    scope = EntryScope(Frame(_root(spec), {}, elaborator.home), {}, None)
    sections: dict[str, Any] = {}
    for key, value in spec.sections.items():
        try:
            spans = spec.spans.child(key)
            rest, whens = _without_whens(value) if key == "data" else (value, {})
            bound = _lists(elaborator.resolve(rest, spans, scope))
            for position, when in whens.items():
                # Here, because the recipe's classes take a fifth of the time that a spec without data needs.
                from specdl.spec.recipe import When

                place = spans.child("transforms", position, "when")
                modes = [elaborator.resolve(when, place, _in_mode(scope, training)) for training in (True, False)]
                bound["transforms"][position]["when"] = When(*modes)
            sections[key] = bound
        except Poisoned:
            continue
    return elaborator, sections


def _without_whens(data: Any) -> tuple[Any, dict[int, Any]]:
    """The section `data`, and apart from it each transform's `when`, which alone may ask for `training`."""
    transforms = data.get("transforms") if isinstance(data, Mapping) else None
    if not isinstance(transforms, list):
        return data, {}
    whens = {at: item["when"] for at, item in enumerate(transforms) if isinstance(item, Mapping) and "when" in item}
    rest = [
        {key: value for key, value in item.items() if key != "when"} if at in whens else item
        for at, item in enumerate(transforms)
    ]
    return {**data, "transforms": rest}, whens


def _in_mode(scope: EntryScope, training: bool) -> EntryScope:
    return EntryScope(scope.frame, {**scope.loop, "training": training}, scope.flow)


def _lists(value: Any) -> Any:
    """A resolved section as YAML gave it: lists, not tuples."""
    if isinstance(value, tuple):
        return [_lists(item) for item in value]
    return {key: _lists(item) for key, item in value.items()} if isinstance(value, dict) else value


def elaborate(elaborator: Elaborator, fields: Mapping[str, TensorType] | None = None) -> Program | None:
    """The program of a spec, or None after mistakes. `fields` are the types of a batch's fields, where known."""
    spec, diagnostics = elaborator.spec, elaborator.diagnostics
    draft = _root(spec)
    draft.key = elaborator.unique_key(spec.name)
    frame = Frame(draft, {}, elaborator.home)
    # Where the inputs are missing, that alone is said.
    flow = None if spec.inputs else Ref(draft, "", None, spec.spans.span)
    for name, data in spec.inputs.items():
        ref = _input(name, data, elaborator, draft, frame)
        frame.values[name] = ref
        flow = flow or ref
    if not spec.layers:
        return None
    try:
        last = elaborator.entries(spec.layers, Site(frame, draft, flow=flow))
        elaborator.outputs(draft, frame, last, spec.outputs, spec.spans.child("outputs"), spec.spans.key("layers"))
    except (Poisoned, Abandoned):
        return None
    if fields is not None:
        _check_fields(spec, draft, fields, diagnostics)
    entries = _loss_entries(spec, draft, fields, diagnostics)
    _training_outputs(entries, draft, frame, fields or {})
    functions: dict[str, Function] = {}
    steps: tuple[Step, ...] = ()
    if entries and fields is not None and not diagnostics.failed:
        steps = _supervised(elaborator, entries, draft, fields, functions)
    _warn_unused(elaborator)
    if diagnostics.failed:
        return None
    ordered: dict[str, Function] = {}
    for block in elaborator.blocks.values():
        freeze(block, ordered)
    freeze(draft, ordered)
    ordered = _reachable(ordered, draft.key)
    if _unrolled(ordered)[draft.key] > MAX_LAYERS:
        message = f"a spec may have {MAX_LAYERS:,} layers, the calls of blocks unrolled"
        diagnostics.add("E0210", message, spec.spans.key("layers"))
        return None
    return Program(spec.name, ordered | functions, {NETWORK: draft.key}, steps)


def _reachable(functions: Mapping[str, Function], root: str) -> dict[str, Function]:
    """The functions that `root` calls, itself included: what only a layer called that isn't built is left out."""
    found = {root}
    for key in reversed(list(functions)):  # callees come first
        if key in found:
            found.update(node.callee for node in functions[key].nodes if isinstance(node.callee, str))
    return {key: function for key, function in functions.items() if key in found}


def _unrolled(functions: Mapping[str, Function]) -> dict[str, int]:
    """The number of layers of each function (callees come first), those of the functions that it calls included."""
    totals: dict[str, int] = {}
    for function in functions.values():
        inner = (totals[node.callee] for node in function.nodes if isinstance(node.callee, str))
        totals[function.key] = len(function.nodes) + sum(inner)
    return totals


def _root(spec: Spec) -> FunctionDraft:
    return FunctionDraft(spec.name, spec.name, "network", spec.spans.key("layers"))


_DTYPES = {"long": "int64", "int": "int64", "float": "float32", "double": "float64", "half": "float16"}
"""Other words for dtypes."""


def _input(name: str, data: Any, elaborator: Elaborator, draft: FunctionDraft, frame: Frame) -> Ref:
    spec, diagnostics = elaborator.spec, elaborator.diagnostics
    spans = spec.spans.child("inputs", name)
    span = spec.spans.child("inputs").key(name)
    broken = Ref(draft, name, None, span)
    if not name.isidentifier() or name in {"_", "input"}:
        diagnostics.add(
            "E0106", f"`{name}` is not a name for an input", span, help="names have letters, digits and `_`"
        )
        return broken
    dtype: Any = "float32"
    shape: Any = data
    shape_spans = spans
    if isinstance(data, Mapping):
        for key in data:
            if key not in {"shape", "dtype"}:
                diagnostics.add(
                    "E0201",
                    f"an input has no `{key}`",
                    spans.key(key),
                    help=did_you_mean(key, ["shape", "dtype"]) or "it has `shape` and `dtype`",
                )
                return broken
        if "shape" not in data:
            diagnostics.add(
                "E0202", f"the input `{name}` needs a `shape`", span, help="e.g. `{shape: [T], dtype: int64}`"
            )
            return broken
        shape, dtype, shape_spans = data["shape"], data.get("dtype", "float32"), spans.child("shape")
    if dtype not in DTYPES:
        diagnostics.add(
            "E0203",
            f"there is no dtype {show(dtype)}",
            spans.at("dtype"),
            help=f"write `{_DTYPES[dtype]}`"
            if isinstance(dtype, str) and dtype in _DTYPES
            else did_you_mean(str(dtype), DTYPES) or f"one of {', '.join(DTYPES)}",
        )
        return broken
    try:
        sizes = elaborator.resolve(shape, shape_spans, EntryScope(frame, {}, None))
    except Poisoned:
        return broken
    if not isinstance(sizes, tuple):
        diagnostics.add(
            "E0203",
            f"the shape of `{name}` must be a list of sizes without the batch, got {show(sizes)}",
            shape_spans.span,
            help="e.g. `[3, 224, 224]`",
        )
        return broken
    dims: list[Dim] = [BATCH]
    for index, size in enumerate(sizes):
        whole = isinstance(size, int) and not isinstance(size, bool)
        if isinstance(size, SymDim) or (whole and 1 <= size <= MAX_INPUT_SIZE):
            dims.append(size)
        elif isinstance(size, str) and size.isidentifier() and size not in {"N", "None"}:
            dims.append(symbol(size))
        else:
            help = "a number from 1, or a name such as `T` for a size known at run time"
            if index == 0 and size in ("N", "None", None, -1):
                help = "the batch is implied: leave it out"
            elif whole and size > MAX_INPUT_SIZE:
                help = f"a size is at most {MAX_INPUT_SIZE:,}"
            diagnostics.add("E0203", f"{show(size)} is not a size", shape_spans.at(index), help=help)
            return broken
    return draft.add_input(name, TensorType(tuple(dims), dtype), span)


def _check_fields(spec: Spec, draft: FunctionDraft, fields: Mapping[str, TensorType], diagnostics: Diagnostics) -> None:
    """Each input of the network takes the field of its name; their types must agree."""
    for value in draft.inputs:
        span = spec.spans.child("inputs").key(value.name)
        given = fields.get(value.name)
        if given is None:
            listing = ", ".join(f"`{name}`" for name in fields)
            diagnostics.add(
                "E0313",
                f"the data has no field `{value.name}`",
                span,
                help=did_you_mean(value.name, fields) or f"its fields are {listing}",
                notes=[Note("the data source is here", spec.spans.at("data"))],
            )
        elif given.dtype != value.type.dtype or not _fits(given, value.type):
            diagnostics.add(
                "E0204",
                f"the input `{value.name}` is {value.type}, but the data gives {given}",
                spec.spans.at("inputs", value.name),
                notes=[Note("the data source is here", spec.spans.at("data"))],
                help="change the input, or transform the data (`data: {transforms: [...]}`)",
            )


def _fits(given: TensorType, wanted: TensorType) -> bool:
    """Whether data of one type can be an input of another; a symbol takes any size."""
    return given.rank == wanted.rank and all(
        a == b or isinstance(a, SymDim) or (isinstance(b, SymDim) and b != BATCH)
        for a, b in zip(given.shape, wanted.shape, strict=True)
    )


# ---- losses ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _LossEntry:
    entry: Entry
    weight: float
    name: str


def _loss_entries(
    spec: Spec, draft: FunctionDraft, fields: Mapping[str, TensorType] | None, diagnostics: Diagnostics
) -> tuple[_LossEntry, ...]:
    entries = spec.losses
    if entries is None:
        if spec.loss is None:
            return ()
        short = _short_loss(spec, draft, fields, diagnostics)
        entries = () if short is None else (short,)
    found: list[_LossEntry] = []
    names: set[str] = set()
    for entry in entries:
        weight: Any = 1.0
        arguments = entry.arguments
        if isinstance(arguments, Mapping) and "weight" in arguments:
            weight = arguments["weight"]
            arguments = {key: value for key, value in arguments.items() if key != "weight"}
        if isinstance(weight, bool) or not isinstance(weight, (int, float)):
            diagnostics.add("E0203", f"`weight` must be a number, got {show(weight)}", entry.spans.at("weight"))
            continue
        base = entry.targets[0].value if entry.targets else entry.operator.value
        name, number = base, 1
        while name in names:
            number += 1
            name = f"{base}_{number}"
        names.add(name)
        found.append(_LossEntry(_with_arguments(entry, arguments), float(weight), name))
    return tuple(found)


def _with_arguments(entry: Entry, arguments: Any) -> Entry:
    return Entry(
        targets=entry.targets,
        operator=entry.operator,
        inputs=entry.inputs,
        arguments=arguments,
        spans=entry.spans,
        span=entry.span,
        when=entry.when,
        when_spans=entry.when_spans,
    )


def _short_loss(
    spec: Spec, draft: FunctionDraft, fields: Mapping[str, TensorType] | None, diagnostics: Diagnostics
) -> Entry | None:
    """`loss: cross_entropy` is the last output against the label."""
    spans = spec.spans.child("loss")
    entry = parse_entry(spec.loss, spans, diagnostics)
    if entry is None:
        return None
    if entry.inputs is not None:
        diagnostics.add(
            "E0114",
            "`loss` is short for the last output against the label",
            spans.span,
            help="write terms with inputs under `losses:`",
        )
        return None
    label = label_field([value.name for value in draft.inputs], fields)
    if label is None:
        diagnostics.add(
            "E0314",
            "the data has no single field to compare the output with",
            spans.span,
            help="name it: `losses: [cross_entropy(logits, label)]`",
        )
        return None
    place = entry.operator.span
    inputs = (Argument(draft.output_names[-1], None, place), Argument(label, None, place))
    return Entry(entry.targets, entry.operator, inputs, entry.arguments, entry.spans, place)


def _training_outputs(
    entries: Sequence[_LossEntry], draft: FunctionDraft, frame: Frame, fields: Mapping[str, Any]
) -> None:
    """Values that only a loss reads become outputs in training (LANGUAGE rule 10)."""
    for item in entries:
        for argument in item.entry.inputs or ():
            name = str(argument.value)
            bound = frame.values.get(name)
            if name in fields or name in draft.output_names or not isinstance(bound, Ref) or bound.type is None:
                continue
            ref = localize(bound, draft)
            if any(value.name == ref.name for value in draft.inputs):
                continue
            draft.outputs.append(ref.name)
            draft.output_names.append(name)
            draft.training_outputs += 1


def _supervised(
    elaborator: Elaborator,
    entries: Sequence[_LossEntry],
    network: FunctionDraft,
    fields: Mapping[str, TensorType],
    functions: dict[str, Function],
) -> tuple[Step, ...]:
    from specdl.objectives.losses import LOSSES

    spec = elaborator.spec
    inner = Elaborator(spec, elaborator.diagnostics, LOSSES)
    inner.home = elaborator.home
    inner.keys = elaborator.keys
    types = network.output_types()
    keys: list[str] = []
    terms: list[LossTerm] = []
    for training in (True, False):
        name = "supervised" if training else "supervised_evaluation"
        draft = FunctionDraft(
            inner.unique_key(name), name, "step", spec.spans.key("loss" if spec.losses is None else "losses")
        )
        frame = Frame(draft, {}, elaborator.home)
        for field_name, type in fields.items():
            frame.values[field_name] = draft.add_input(field_name, type, spec.spans.at("data"))
        count = len(network.outputs) - (0 if training else network.training_outputs)
        call = NodeDraft(NETWORK, network.key, [], [], types[:count], network.span, True)
        for value in network.inputs:
            bound = frame.values[value.name]
            assert isinstance(bound, Ref)
            call.inputs.append(bound)
        draft.nodes.append(call)
        outputs: list[Ref] = []
        for output_name, type in zip(network.output_names[:count], call.types, strict=True):
            # A field shadows nothing: an output of the same name is the output from here on.
            unique = draft.unique(output_name)
            call.outputs.append(unique)
            outputs.append(Ref(draft, unique, type, network.span))
            frame.values[output_name] = outputs[-1]
        for item in entries:
            reads = [str(argument.value) for argument in item.entry.inputs or ()]
            if not training and any(name in network.output_names[count:] for name in reads):
                continue
            result = inner.entry(item.entry, Site(frame, draft, flow=outputs[-1]))
            if isinstance(result, Ref) and result.type is not None and result.draft is draft and result not in outputs:
                draft.outputs.append(result.name)
                draft.output_names.append(item.name)
                if training:
                    terms.append(LossTerm(item.name, item.weight, item.entry.span))
        for ref, output_name in zip(outputs, network.output_names, strict=False):
            draft.outputs.append(ref.name)
            draft.output_names.append(output_name)
        freeze(draft, functions)
        keys.append(draft.key)
    return (Step("supervised", keys[0], keys[1], (NETWORK,), tuple(terms)),)


def _warn_unused(elaborator: Elaborator) -> None:
    """Warns of this file's blocks and imports that nothing names: not a call, not a parameter, not another variant."""
    spec = elaborator.spec
    for other in spec.imports:
        names = [name for name, item in spec.imported.items() if item.spec is other]
        if names and not any(re.search(rf"(?<![\w/]){re.escape(name)}(?![\w.])", spec.text) for name in names):
            span = spec.imported[names[0]].span
            if span.file == spec.file:
                message = f"nothing of `{other.file}` is used"
                elaborator.diagnostics.add("W0002", message, span, severity="warning")
    for name, block in elaborator.spec.blocks.items():
        if name in elaborator.used_blocks or block.span.file != elaborator.spec.file:
            continue
        named = len(re.findall(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", elaborator.spec.text))
        if named < 2:
            elaborator.diagnostics.add("W0001", f"the block `{name}` is never used", block.span, severity="warning")


__all__ = ["NETWORK", "bind_sections", "elaborate"]
