"""`elaborate`: a parsed spec becomes a typed program.

The networks are elaborated, then the training steps, which are functions over the batch's fields that call them
(supervised learning is one such step), then how samples are made.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from specdl.diagnostics import Diagnostics, Note, did_you_mean
from specdl.elaborate.calls import MAX_LAYERS
from specdl.elaborate.drafts import FunctionDraft, freeze
from specdl.elaborate.elaborator import Elaborator
from specdl.elaborate.models import Models, Network
from specdl.elaborate.scopes import EntryScope, Frame, Poisoned
from specdl.elaborate.sizes import too_long
from specdl.ir.dims import BATCH, Dim, SymDim, extent, multiple
from specdl.ir.program import Function, Program, Step
from specdl.ir.types import TensorType
from specdl.spec.file import Spec
from specdl.spec.models import NETWORK

if TYPE_CHECKING:
    from specdl.elaborate.steps import Steps


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
                from specdl.spec.data import When

                place = spans.child("transforms", position, "when")
                modes = [elaborator.resolve(when, place, _in_mode(scope, training)) for training in (True, False)]
                bound["transforms"][position]["when"] = When(*modes)
            sections[key] = bound
        except Poisoned:
            continue
    return elaborator, sections


def file_params(spec: Spec, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a file's parameters, some of them given. Raises `SpecError`."""
    diagnostics = Diagnostics()
    elaborator = Elaborator(replace(spec, params={**spec.params, **given}), diagnostics)
    elaborator.bind_file_params(elaborator.home)
    diagnostics.raise_if_failed()
    return elaborator.params


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


def elaborate(
    elaborator: Elaborator,
    fields: Mapping[str, TensorType] | None = None,
    measured: Collection[str] = (),
    texts: Collection[str] = (),
) -> Program | None:
    """The program of a spec, or None after mistakes.

    `fields` are the types of a batch's fields, where known; `measured` names the values that metrics read; `texts` the
    fields of text, which no network takes.
    """
    spec, diagnostics = elaborator.spec, elaborator.diagnostics
    networks = Models(elaborator).all()
    whole = len(networks) == len(spec.networks)
    if fields is None and spec.steps is not None and "data" not in spec.data:
        fields = {}  # a step may draw all that it needs
    steps: tuple[Step, ...] = ()
    functions: dict[str, Function] = {}
    used, reached = set(elaborator.used_blocks), set(elaborator.reached_blocks)
    sample: str | None = None
    if any(part is not None for part in (spec.loss, spec.losses, spec.steps, spec.sample)):
        # Here, because the classes of losses take a fifth of the time that a spec without them needs.
        from specdl.elaborate.steps import Steps

        made = Steps(elaborator, networks, fields or {}, measured)
        if spec.steps is None:
            steps = _supervised(made, networks, fields, texts)
        elif fields is not None and whole:
            steps = made.all(spec.steps)
        if spec.sample is not None and whole:
            sample = made.sample(spec.sample)
        functions = made.functions
        used |= made.elaborator.used_blocks
        reached |= made.elaborator.reached_blocks
    _check_unreached(elaborator, reached)
    if whole:
        _warn_unused(elaborator, used)
    if diagnostics.failed or not networks:
        return None
    ordered: dict[str, Function] = {}
    for network in networks.values():
        for block in network.elaborator.blocks.values():
            freeze(block, ordered)
        freeze(network.draft, ordered)
    keys = {name: network.draft.key for name, network in networks.items()}
    ordered = _reachable(ordered, keys.values())
    unrolled = _unrolled(ordered)
    for network in networks.values():
        if unrolled[network.draft.key] > MAX_LAYERS:
            message = f"a spec may have {MAX_LAYERS:,} layers, the calls of blocks unrolled"
            diagnostics.add("E0210", message, network.spec.spans.key("layers"))
            return None
    origins = {name: network.origin for name, network in networks.items() if network.origin is not None}
    return Program(spec.name, ordered | functions, keys, steps, origins, sample)


def _supervised(
    made: Steps, networks: Mapping[str, Network], fields: Mapping[str, TensorType] | None, texts: Collection[str]
) -> tuple[Step, ...]:
    """The step that `loss` and `losses` are short for; none where there are none, or after a mistake."""
    spec, diagnostics = made.spec, made.diagnostics
    written = "loss" if spec.loss is not None else "losses"
    if spec.loss is None and spec.losses is None:
        return ()
    if len(spec.networks) > 1:
        help = "write a step for each network under `steps:`"
        diagnostics.add("E0702", f"`{written}` is for a single network", spec.spans.key(written), help=help)
        return ()
    for network in networks.values():
        if fields is not None:
            _check_fields(spec, network, fields, texts, diagnostics)
        return made.supervised(network, fields is not None)
    return ()


def _reachable(functions: Mapping[str, Function], roots: Iterable[str]) -> dict[str, Function]:
    """The functions that `roots` call, themselves included: what only a layer called that isn't built is left out."""
    found = set(roots)
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


def _check_fields(
    spec: Spec, network: Network, fields: Mapping[str, TensorType], texts: Collection[str], diagnostics: Diagnostics
) -> None:
    """Each input of the network takes the field of its name; their types must agree."""
    for value in network.draft.inputs:
        span = network.spec.spans.child("inputs").key(value.name)
        given = fields.get(value.name)
        if given is None and value.optional:
            continue
        if given is None and value.name in texts:
            diagnostics.add(
                "E0313",
                f"the field `{value.name}` of the data is text, which no network takes",
                span,
                help=f"make numbers of it: `data: {{transforms: [{value.name} = tokenize({value.name}): characters]}}`",
                notes=[Note("the data source is here", spec.spans.at("data"))],
            )
        elif given is None:
            listing = ", ".join(f"`{name}`" for name in fields)
            diagnostics.add(
                "E0313",
                f"the data has no field `{value.name}`",
                span,
                help=did_you_mean(value.name, fields) or f"its fields are {listing}",
                notes=[Note("the data source is here", spec.spans.at("data"))],
            )
        elif (most := too_long(given, value.type)) is not None:
            name, most_known = most
            diagnostics.add(
                "E0204",
                f"the input `{value.name}` takes at most {most_known:,} ({name}), but the data gives {given}",
                network.spec.spans.at("inputs", value.name),
                notes=[Note("the data source is here", spec.spans.at("data"))],
                help=f"cut its texts (`tokenize(…): {{max_length: {most_known}}}`), or raise the bound under `sizes`",
            )
        elif given.dtype != value.type.dtype or not _fits(given, value.type):
            help = "change the input, or transform the data (`data: {transforms: [...]}`)"
            if given.rank == 4 and _fits(value.type, given):
                height, width = value.type.shape[2:]
                change = f"{value.name} = resize({value.name}): [{height}, {width}]"
                help = f"bring both sides to that size among the transforms: `{change}` (one number sets the shorter "
                help += "side alone), or crop them"
            diagnostics.add(
                "E0204",
                f"the input `{value.name}` is {value.type}, but the data gives {given}",
                network.spec.spans.at("inputs", value.name),
                notes=[Note("the data source is here", spec.spans.at("data"))],
                help=help,
            )


def _fits(given: TensorType, wanted: TensorType) -> bool:
    """Whether data of one type can be an input of another; a symbol takes any size within its bounds."""
    return given.rank == wanted.rank and all(
        a == b or (isinstance(b, SymDim) and b != BATCH and _size_fits(a, b))
        for a, b in zip(given.shape, wanted.shape, strict=True)
    )


def _size_fits(given: Dim, wanted: SymDim) -> bool:
    counted = multiple(wanted)
    low, high = extent(wanted)
    if isinstance(given, SymDim):
        return True
    return low <= given <= high and (counted is None or given % counted[1] == 0)


def _check_unreached(elaborator: Elaborator, reached: Collection[str]) -> None:
    """Checks the blocks that no call got to: another variant uses them, nothing does, or the call has a mistake."""
    spec = elaborator.spec
    names = [name for name, block in spec.blocks.items() if name not in reached and block.span.file == spec.file]
    if names:
        from specdl.elaborate.library import check_blocks

        check_blocks(spec, names, elaborator.diagnostics)


def _warn_unused(elaborator: Elaborator, used: Collection[str]) -> None:
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
        if name in used or block.span.file != elaborator.spec.file:
            continue
        named = len(re.findall(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", elaborator.spec.text))
        if named < 2:
            elaborator.diagnostics.add("W0001", f"the block `{name}` is never used", block.span, severity="warning")


__all__ = ["NETWORK", "bind_sections", "elaborate", "file_params"]
