"""Training steps: what `steps` says, and the one step that `loss` and `losses` are short for; and `sample`.

A step is a function over the batch's fields that calls networks and ends in losses. Supervised learning is the step
that calls the network with the fields of its inputs' names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from specdl.diagnostics import Diagnostics, Note, Span, did_you_mean
from specdl.elaborate.drafts import FunctionDraft, NodeDraft, Ref, freeze, localize
from specdl.elaborate.elaborator import Elaborator
from specdl.elaborate.models import Network, declare_input
from specdl.elaborate.scopes import Abandoned, Bound, EntryScope, Frame, Poisoned, Site
from specdl.elaborate.step_elaborator import StepElaborator, ancestors
from specdl.ir.program import Function, LossTerm, Mode, Step
from specdl.ir.types import TensorType, bind_symbols, substitute
from specdl.source import SpanTree
from specdl.spec.entries import Argument, Entry, parse_entry
from specdl.spec.file import Spec
from specdl.spec.label import label_field
from specdl.spec.models import SampleSpec, StepSpec
from specdl.spec.validate import show


@dataclass(frozen=True, slots=True)
class LossEntry:
    """A term of a loss: the entry without its `weight`, the weight, and its name in reports."""

    entry: Entry
    weight: Any
    name: str


def loss_entries(entries: Sequence[Entry], elaborator: Elaborator) -> tuple[LossEntry, ...]:
    """The terms of a loss with their weights checked. Mistakes are recorded."""
    found: list[LossEntry] = []
    names: set[str] = set()
    for entry in entries:
        weight: Any = 1.0
        arguments = entry.arguments
        if isinstance(arguments, Mapping) and "weight" in arguments:
            weight = _weight(arguments["weight"], entry.spans.child("weight"), elaborator)
            arguments = {key: value for key, value in arguments.items() if key != "weight"} or None
        if weight is None:
            continue
        base = entry.targets[0].value if entry.targets else entry.operator.value
        name, number = base, 1
        while name in names:
            number += 1
            name = f"{base}_{number}"
        names.add(name)
        found.append(LossEntry(replace(entry, arguments=arguments), weight, name))
    return tuple(found)


def _weight(value: Any, spans: SpanTree, elaborator: Elaborator) -> Any:
    """A number, or a schedule in the scheduler's words; None after a mistake."""
    diagnostics = elaborator.diagnostics
    draft = FunctionDraft("", "", "step", spans.span)
    try:
        value = elaborator.resolve(value, spans, EntryScope(Frame(draft, {}, elaborator.home), {}, None))
    except Poisoned:
        return None
    if isinstance(value, Mapping):
        from specdl.spec.recipe import parse_schedule  # a fifth of the time that a spec without data needs

        return parse_schedule(value, spans, diagnostics)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        help = "a number that changes is a schedule: `{linear: {start: 0, end: 1, steps: 5000}}`"
        diagnostics.add("E0203", f"`weight` must be a number, got {show(value)}", spans.span, help=help)
        return None
    return float(value)


# ---- `loss` and `losses` -----------------------------------------------------------------------------


def short_losses(
    spec: Spec, draft: FunctionDraft, fields: Mapping[str, TensorType] | None, diagnostics: Diagnostics
) -> Sequence[Entry]:
    """The terms under `losses`, or the one that `loss` is short for."""
    if spec.losses is not None:
        return spec.losses
    short = None if spec.loss is None else _short_loss(spec, draft, fields, diagnostics)
    return () if short is None else (short,)


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


def training_outputs(
    entries: Sequence[LossEntry], draft: FunctionDraft, frame: Frame, fields: Mapping[str, Any]
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


class Steps:
    """Makes the steps of a program; `functions` are those that they need, callees first.

    `fields` are the types of a batch's fields, `measured` the names of values that metrics read.
    """

    def __init__(
        self,
        elaborator: Elaborator,
        networks: Mapping[str, Network],
        fields: Mapping[str, TensorType],
        measured: Collection[str] = (),
    ) -> None:
        self.spec, self.diagnostics = elaborator.spec, elaborator.diagnostics
        self.elaborator = StepElaborator(elaborator, networks)
        self.networks, self.fields, self.measured = networks, fields, measured
        self.functions: dict[str, Function] = {}

    def function(self, draft: FunctionDraft) -> Function:
        """The finished function of a step, and those that it calls, in `functions`."""
        for block in self.elaborator.blocks.values():
            if block.key not in self.functions and block.outputs:
                freeze(block, self.functions)
        freeze(draft, self.functions)
        return self.functions[draft.key]

    def frame(self, draft: FunctionDraft) -> Frame:
        """A frame whose values are the fields of a batch."""
        frame = Frame(draft, {}, self.elaborator.home)
        for name, type in self.fields.items():
            frame.values[name] = draft.add_input(name, type, self.spec.spans.at("data"))
        return frame

    def terms(
        self, entries: Sequence[LossEntry], frame: Frame, flow: Bound | None, taken: Collection[Ref] = ()
    ) -> list[tuple[LossEntry, Ref]]:
        """The values of a loss's terms; a term whose `when` is false is none."""
        found: list[tuple[LossEntry, Ref]] = []
        for item in entries:
            result = self.elaborator.entry(item.entry, Site(frame, frame.draft, flow=flow))
            if isinstance(result, tuple):
                message = f"a term of a loss is one value, but `{item.entry.operator.value}` gives {len(result)}"
                self.diagnostics.add("E0307", message, item.entry.operator.span)
            elif isinstance(result, Ref) and result is not flow and result.type is not None and result not in taken:
                if not result.type.floating:
                    message = f"a term of a loss is a floating-point number, got {result.type}"
                    self.diagnostics.add("E0204", message, item.entry.operator.span)
                    continue
                found.append((item, localize(result, frame.draft)))
        return found

    # ---- supervised ----------------------------------------------------------------------------------

    def supervised(self, network: Network, known: bool) -> tuple[Step, ...]:
        """The step that `loss` and `losses` are short for; none after a mistake, or where no fields are `known`."""
        spec, draft = self.spec, network.draft
        fields = self.fields if known else None
        entries = loss_entries(short_losses(spec, draft, fields, self.diagnostics), self.elaborator)
        training_outputs(entries, draft, network.frame, self.fields)
        if not entries or not known or self.diagnostics.failed:
            return ()
        keys: list[str] = []
        terms: list[LossTerm] = []
        for training in (True, False):
            name = "supervised" if training else "supervised_evaluation"
            place = spec.spans.key("loss" if spec.losses is None else "losses")
            step = FunctionDraft(self.elaborator.unique_key(name), name, "step", place)
            frame = self.frame(step)
            count = len(draft.outputs) if training else network.inference_outputs
            outputs = self.call(network, frame, count)
            absent = draft.output_names[count:]
            asked = [item for item in entries if not any(name in absent for name in _reads(item.entry))]
            for item, ref in self.terms(asked, frame, outputs[-1], outputs):
                step.outputs.append(ref.name)
                step.output_names.append(item.name)
                if training:
                    terms.append(LossTerm(item.name, item.weight, item.entry.span))
            for ref, output_name in zip(outputs, draft.output_names, strict=False):
                step.outputs.append(ref.name)
                step.output_names.append(output_name)
            self.function(step)
            keys.append(step.key)
        modes: dict[str, Mode] = {network.name: "train"}
        return (Step("supervised", keys[0], keys[1], (network.name,), tuple(terms), modes=modes),)

    def call(self, network: Network, frame: Frame, count: int) -> list[Ref]:
        """Calls a network with the fields of its inputs' names; its first `count` outputs get their names."""
        step, draft = frame.draft, network.draft
        inputs: list[Ref | None] = []
        wanted: list[TensorType] = []
        for value in draft.inputs:
            field = frame.values.get(value.name)
            inputs.append(field if isinstance(field, Ref) else None)  # an optional input that the data lacks
            wanted += [value.type] if isinstance(field, Ref) else []
        sizes = bind_symbols(wanted, [ref.type for ref in inputs if ref is not None and ref.type]) or {}
        types = [substitute(type, sizes) for type in draft.output_types()[:count]]
        node = NodeDraft(network.name, draft.key, inputs, [], types, draft.span, False, network=network.name)
        step.nodes.append(node)
        outputs: list[Ref] = []
        for name, type in zip(draft.output_names[:count], types, strict=True):
            # A field shadows nothing: an output of the same name is the output from here on.
            node.outputs.append(step.unique(name))
            outputs.append(Ref(step, node.outputs[-1], type, draft.span))
            frame.values[name] = outputs[-1]
        return outputs

    # ---- steps ---------------------------------------------------------------------------------------

    def all(self, steps: Sequence[StepSpec]) -> tuple[Step, ...]:
        """The steps that the spec writes. Mistakes are recorded."""
        updates = {step.name: self.update(step) for step in steps}
        trained = {name for names in updates.values() for name in names}
        found = [self.step(step, updates[step.name], trained) for step in steps]
        for name, network in self.networks.items():
            if name not in trained and network.origin is None and steps and not self.diagnostics.failed:
                message = f"no step updates the network `{name}`: its weights stay as they are initialised"
                self.diagnostics.add("W0004", message, network.spec.span, severity="warning")
        return tuple(step for step in found if step is not None)

    def resolve(self, value: Any, spans: SpanTree) -> Any:
        """A value of a step's key, its expressions evaluated. Raises `Poisoned`."""
        frame = Frame(FunctionDraft("", "", "step", spans.span), {}, self.elaborator.home)
        return self.elaborator.resolve(value, spans, EntryScope(frame, {}, None))

    def update(self, step: StepSpec) -> tuple[str, ...]:
        """The networks that a step updates."""
        spans = step.spans.child("update")
        try:
            value = self.resolve(step.update, spans)
        except Poisoned:
            return ()
        names = value if isinstance(value, tuple) else (value,)
        places = [spans.at(index) for index in range(len(names))] if isinstance(step.update, list) else [spans.span]
        found: list[str] = []
        if not names:
            self.diagnostics.add("E0703", "`update` names a network", spans.span)
        for name, place in zip(names, places, strict=True):
            network = self.named(name, place)
            if network is None:
                continue
            if network.origin is not None and (network.origin.frozen or network.origin.average_of):
                why = "is frozen" if network.origin.frozen else f"is the average of `{network.origin.average_of}`"
                notes = [Note("it is declared here", network.spec.span)]
                message = f"`{name}` {why}, so no step can update it"
                self.diagnostics.add("E0708", message, place, notes=notes)
            elif network.name not in found:
                found.append(network.name)
        return tuple(found)

    def named(self, name: Any, place: Span) -> Network | None:
        """The network of that name; a wrong name is recorded."""
        found = self.networks.get(name) if isinstance(name, str) else None
        if found is None and not any(network.name == name for network in self.spec.networks):
            listing = "there is " + ", ".join(f"`{network.name}`" for network in self.spec.networks)
            help = did_you_mean(str(name), self.networks) or listing
            self.diagnostics.add("E0703", f"there is no network {show(name)}", place, help=help)
        return found

    def step(self, step: StepSpec, update: tuple[str, ...], trained: Collection[str]) -> Step | None:
        """One step. None after a mistake."""
        draft = FunctionDraft(self.elaborator.unique_key(step.name), step.name, "step", step.span)
        frame = self.frame(draft)
        before = len(self.diagnostics.items)
        first = next(iter(frame.values.values()), None)
        try:
            flow = self.elaborator.entries(step.layers, Site(frame, draft, flow=first))
            found = self.terms(loss_entries(step.losses, self.elaborator), frame, flow)
        except (Poisoned, Abandoned):
            return None
        every, modes = self.every(step), self.modes(step)
        if any(item.severity == "error" for item in self.diagnostics.items[before:]):
            return None
        if not found:
            self.diagnostics.add("E0113", f"the step `{step.name}` has no loss", step.spans.key("losses"))
            return None
        self.check_reach(step, update, draft, [ref for _, ref in found])
        for item, ref in found:
            draft.outputs.append(ref.name)
            draft.output_names.append(item.name)
        for name in self.measured:
            bound = frame.values.get(name)
            if isinstance(bound, Ref) and bound.type is not None and name not in self.fields:
                draft.outputs.append(localize(bound, draft).name)
                draft.output_names.append(name)
        if self.diagnostics.failed:
            return None
        function = self.function(draft)
        terms = tuple(LossTerm(item.name, item.weight, item.entry.span) for item, _ in found)
        called = called_networks(function, self.functions)
        usual: dict[str, Mode] = {name: "train" if name in trained else "eval" for name in called}
        return Step(step.name, draft.key, self.evaluation(function), update, terms, every, usual | modes)

    def every(self, step: StepSpec) -> int:
        """At which updates a step runs."""
        spans = step.spans.child("every")
        try:
            value = self.resolve(step.every, spans)
        except Poisoned:
            return 1
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self.diagnostics.add("E0203", f"`every` is a whole number from 1, got {show(value)}", spans.span)
            return 1
        return value

    def modes(self, step: StepSpec) -> dict[str, Mode]:
        """The networks that a step puts into another mode."""
        spans = step.spans.child("mode")
        try:
            value = {} if step.mode is None else self.resolve(step.mode, spans)
        except Poisoned:
            return {}
        if not isinstance(value, Mapping):
            help = "e.g. `mode: {teacher: train}`"
            self.diagnostics.add("E0203", f"`mode` maps networks to modes, got {show(value)}", spans.span, help=help)
            return {}
        found: dict[str, Mode] = {}
        for name, mode in value.items():
            network = self.named(name, spans.key(name))
            if mode not in ("train", "eval"):
                message = f"a network's mode is `train` or `eval`, got {show(mode)}"
                self.diagnostics.add("E0203", message, spans.at(name))
            elif network is not None:
                found[network.name] = mode
        return found

    def check_reach(self, step: StepSpec, update: Sequence[str], draft: FunctionDraft, losses: Sequence[Ref]) -> None:
        """Records a network that a step updates although its loss doesn't depend on it."""
        reached: set[str] = set()
        for ref in losses:
            values = ancestors(draft, ref.name)
            reached.update(name for node in draft.nodes if values & set(node.outputs) for name in _networks_of(node))
        for name in update:
            if name not in reached:
                message = f"the step `{step.name}` updates `{name}`, but no gradient of its loss gets there"
                help = "call it in the step, and let no `stop_gradient` lie between it and the loss"
                self.diagnostics.add("E0709", message, step.spans.at("update"), help=help)

    def evaluation(self, function: Function) -> str:
        """The key of the step without the terms that need a gradient, which evaluation doesn't have."""
        needs: set[str] = set()
        for node in function.nodes:
            derived = not isinstance(node.callee, str) and node.callee.operator == "gradient"
            if derived or needs.intersection(name for name in node.inputs if name is not None):
                needs.update(node.outputs)
        kept = [index for index, value in enumerate(function.outputs) if value not in needs]
        if len(kept) == len(function.outputs):
            return function.key
        name = f"{function.name}_evaluation"
        key = self.elaborator.unique_key(name)
        self.functions[key] = replace(
            function,
            key=key,
            name=name,
            outputs=tuple(function.outputs[index] for index in kept),
            output_names=tuple(function.output_names[index] for index in kept),
        )
        return key

    # ---- samples -------------------------------------------------------------------------------------

    def sample(self, sample: SampleSpec) -> str | None:
        """The key of the function that makes samples. None after a mistake."""
        elaborator = self.elaborator
        draft = FunctionDraft(elaborator.unique_key("sample"), "sample", "sample", sample.span)
        params: dict[str, Any] = {}
        frame = Frame(draft, params, elaborator.home)
        spans = sample.spans
        elaborator.looping = True
        try:
            for name, value in sample.params.items():
                place = spans.child("params", name)
                params[name] = elaborator.resolve(value, place, EntryScope(frame, {}, None))
            flow: Ref | None = None
            for name, data in sample.inputs.items():
                frame.values[name] = ref = declare_input(name, data, spans.child("inputs"), elaborator, frame)
                flow = flow or ref
            last = elaborator.entries(sample.layers, Site(frame, draft, flow=flow))
            elaborator.outputs(draft, frame, last, sample.outputs, spans.child("outputs"), sample.span)
        except (Poisoned, Abandoned):
            return None
        finally:
            elaborator.looping = False
        return None if self.diagnostics.failed else self.function(draft).key


def _networks_of(node: NodeDraft) -> Iterator[str]:
    """The networks that a node calls, itself or in a group."""
    if node.network is not None:
        yield node.network
    if isinstance(node.callee, FunctionDraft):
        for inner in node.callee.nodes:
            yield from _networks_of(inner)


def called_networks(function: Function, functions: Mapping[str, Function]) -> dict[str, None]:
    """The networks that a step calls, in order."""
    found: dict[str, None] = {}
    for node in function.nodes:
        if node.network is not None:
            found[node.network] = None
        elif isinstance(node.callee, str):
            found |= called_networks(functions[node.callee], functions)
    return found


def _reads(entry: Entry) -> list[str]:
    return [str(argument.value) for argument in entry.inputs or ()]
