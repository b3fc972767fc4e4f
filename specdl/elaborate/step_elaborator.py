"""The entries of training steps and of `sample`: as in a network, and over the spec's networks.

Networks are called by name, numbers may stand for inputs, losses and `gradient` exist, and nothing owns weights.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from specdl.diagnostics import Note, Span
from specdl.elaborate.calls import _listing, _types
from specdl.elaborate.drafts import FunctionDraft, NodeDraft, Ref, localize
from specdl.elaborate.elaborator import Elaborator
from specdl.elaborate.models import Network
from specdl.elaborate.run_time import Column, RunTimeLoops
from specdl.elaborate.scopes import Bound, Poisoned, Site
from specdl.elaborate.sizes import too_long
from specdl.ir.types import BATCH, TensorType, bind_symbols, substitute
from specdl.objectives.losses import LOSSES
from specdl.objectives.steps import STEP_OPS
from specdl.ops import OPERATORS
from specdl.ops.base import Op
from specdl.ops.broadcasting import Number
from specdl.ops.numbers import Full, NumberOp
from specdl.source import SpanTree
from specdl.spec.entries import Argument, Entry

_STEPS = {"step", "sample"}


class StepElaborator(RunTimeLoops):
    """Elaborates steps; `networks` are those that they may call."""

    def __init__(self, base: Elaborator, networks: Mapping[str, Network]) -> None:
        super().__init__(base.spec, base.diagnostics, {**LOSSES, **STEP_OPS})
        self.base, self.home, self.keys = base, base.home, base.keys
        self.networks = networks
        self.batches: dict[FunctionDraft, Ref] = {}
        self.fulls: dict[Any, Ref] = {}

    # ---- networks ------------------------------------------------------------------------------------

    def apply(
        self,
        entry: Entry,
        name: str,
        name_span: Span,
        arguments: Any,
        spans: SpanTree,
        own_name: str | None,
        site: Site,
    ) -> Bound:
        """Applies a network, an operator or a block."""
        network = self.networks.get(name)
        if network is not None:
            if arguments is not None:
                message = f"the network `{name}` takes inputs, no arguments"
                raise self.fail(site.frame, "E0203", message, spans.span, help=f"write `{name}(x)`")
            return self.call_network(entry, network, own_name, site)
        if any(item.name == name for item in self.spec.networks):
            raise Poisoned  # a mistake in the network
        result = super().apply(entry, name, name_span, arguments, spans, own_name, site)
        if name == "gradient":
            self.check_gradient(entry, site)
        return result

    def call_network(self, entry: Entry, network: Network, own_name: str | None, site: Site) -> Bound:
        """Calls a network, which always shares its weights. Raises `Poisoned`."""
        if site.draft.root.kind not in _STEPS:
            message = f"the network `{network.name}` is called by a step, not by a block"
            help = "give the block the value as an input"
            raise self.fail(site.frame, "E0703", message, entry.operator.span, help=help)
        draft = network.draft
        ports = [f"{value.name}?" if value.optional else value.name for value in draft.inputs]
        inputs = self.inputs(network.name, ports, entry, site)
        wanted = [value.type for value in draft.inputs]
        inputs = [self.filled(ref, type, entry, site) for ref, type in zip(inputs, wanted, strict=True)]
        wanted = [type for ref, type in zip(inputs, wanted, strict=True) if ref is not None]
        given = _types(inputs)
        sizes = bind_symbols(wanted, given)
        if sizes is None:
            message = f"`{network.name}` takes {_listing(wanted)}, got {_listing(given)}"
            notes = [Note("the network is here", network.spec.span)]
            raise self.fail(site.frame, "E0204", message, entry.operator.span, notes=notes)
        for type, takes in zip(given, wanted, strict=True):
            if (most := too_long(type, takes)) is not None:
                name, bound = most
                message = f"`{network.name}` takes at most {bound:,} ({name}), but gets {type}"
                notes = [Note("the network is here", network.spec.span)]
                help = f"cut the texts (`tokenize(…): {{max_length: {bound}}}`), or raise the bound under `sizes`"
                raise self.fail(site.frame, "E0204", message, entry.operator.span, notes=notes, help=help)
        count = network.inference_outputs
        types = [substitute(type, sizes) for type in draft.output_types()[:count]]
        names = tuple(draft.output_names[:count])
        node = NodeDraft("", draft.key, inputs, [], types, entry.span, False, names, network=network.name)
        self.name(node, own_name, network.name, True, entry, site)
        return self.finish(node, own_name, site.draft)

    def function_of(self, node: NodeDraft) -> FunctionDraft | None:
        """The function of a network or block that a node calls."""
        network = None if node.network is None else self.networks.get(node.network)
        if network is not None:
            return network.draft
        return super().function_of(node) or self.base.function_of(node)

    # ---- numbers -------------------------------------------------------------------------------------

    def read(self, argument: Argument, site: Site, operator: str = "") -> Bound:
        """The value that an argument names, or the number that it is. Raises `Poisoned`."""
        value: Any = argument.value
        if isinstance(value, str) and "$" in value:
            value = self.each(value, SpanTree(argument.span, inner=argument.span), site.scope)
        if self.takes_numbers(operator, site):
            if isinstance(value, Column):
                return self.column(value, str(argument.value), argument.span, site)
            if isinstance(value, (bool, int, float)):
                return self.constant(value, argument.span, site)
        value = value.values[0] if isinstance(value, Column) else value
        return super().read(replace(argument, value=value), site, operator)

    def takes_numbers(self, operator: str, site: Site) -> bool:
        """Whether a number may stand for an input of what has this name."""
        if operator in self.networks or _is_block(operator, site) or operator in LOSSES:
            return True
        cls = self.losses.get(operator) or OPERATORS.get(operator)
        return cls is not None and cls.takes_numbers

    def number(self, text: str, spans: SpanTree, site: Site) -> Any:
        """An expression in a `compute`: its value, or the number of the loop's iteration. Raises `Poisoned`."""
        value = self.each(text, spans, site.scope)
        return self.column(value, text, spans.span, site) if isinstance(value, Column) else value

    def constant(self, value: bool | float, span: Span, site: Site) -> Ref:
        """A number as a value of the function under construction."""
        op, draft = NumberOp(value=value), site.draft
        node = NodeDraft(draft.free_layer_name("number"), op, [], [], list(op.infer()), span, False)
        draft.name_layer(node)
        draft.nodes.append(node)
        node.outputs.append(draft.unique("number"))
        return Ref(draft, node.outputs[0], node.types[0], span)

    def inputs(
        self,
        name: str,
        ports: Sequence[str],
        entry: Entry,
        site: Site,
        defaults: Mapping[str, str] | None = None,
        maybe: Collection[str] | None = None,
    ) -> list[Ref | None]:
        """The inputs of an operator, block or network; a number for a block is one for each example."""
        found = super().inputs(name, ports, entry, site, defaults, maybe)
        if name in self.networks or not _is_block(name, site):
            return found
        return [
            ref
            if ref is None or ref.type is None or not _is_number(ref)
            else self.filled(ref, TensorType((BATCH,), ref.type.dtype), entry, site)
            for ref in found
        ]

    def filled(self, ref: Ref | None, wanted: TensorType, entry: Entry, site: Site) -> Ref | None:
        """The value; a number becomes a tensor of the type that is wanted. Raises `Poisoned`."""
        if ref is None or not _is_number(ref):
            return ref
        if ref.type is not None and ref.type.floating and not wanted.floating:
            message = f"the number is a float, but {wanted} is wanted here"
            raise self.fail(site.frame, "E0204", message, ref.span)
        known = (site.draft, ref.draft, ref.name, wanted)
        if known in self.fulls:
            return self.fulls[known]
        op = Full(shape=wanted.shape[1:], dtype=wanted.dtype)
        made = self.emit(
            entry, op, [ref, self.like(entry, site)], None, SpanTree(entry.span), replace(site, number=None)
        )
        assert isinstance(made, Ref)
        self.fulls[known] = made
        return made

    def like(self, entry: Entry, site: Site, op: Op | None = None, inputs: Sequence[Ref | None] = ()) -> Ref | None:
        """A value that has the batch; where `sample` is given none, how many samples are wanted is an input."""
        # What flows would be carried through a loop for that.
        named = super().like(entry, site.with_flow(None), op, inputs)
        batched = named is not None and named.type is not None and named.type.batched
        found = named if batched else super().like(entry, site, op, inputs)
        root = site.draft.root
        if root.kind != "sample" or (found is not None and found.type is not None and found.type.batched):
            return found
        batch = self.batches.get(root)
        if batch is None:
            batch = self.batches[root] = root.add_input("batch", TensorType((BATCH,)), entry.span)
        return localize(batch, site.draft)

    # ---- what a step can't have ----------------------------------------------------------------------

    def enter(self, node: NodeDraft, entry: Entry, site: Site) -> None:
        """Adds a named node to its level; in a step it can't have weights."""
        if node.has_weights and site.draft.root.kind in _STEPS:
            what = node.callee.operator if isinstance(node.callee, Op) else entry.operator.value
            message = f"`{what}` has weights, but a step owns none"
            help = "put it into a network under `models:`, which the step calls"
            self.fail(site.frame, "E0705", message, entry.operator.span, help=help)
            node.has_weights = False
        super().enter(node, entry, site)

    def check_gradient(self, entry: Entry, site: Site) -> None:
        """Records a gradient where there can't be one. Raises `Poisoned`."""
        draft = site.draft
        if draft.kind != "step":
            message = "`gradient` stands directly in a step, not in a group, block or `sample`"
            raise self.fail(site.frame, "E0707", message, entry.operator.span)
        y, x = draft.nodes[-1].inputs
        if y is None or x is None:
            return
        if x.name not in ancestors(draft, y.name):
            message = f"`{y.name}` doesn't depend on `{x.name}`, so there is no gradient between them"
            raise self.fail(site.frame, "E0707", message, entry.operator.span)


def ancestors(draft: FunctionDraft, name: str) -> set[str]:
    """The values of a function through which gradients may flow to `name`, itself included; not through a stop."""
    found = {name}
    for node in reversed(draft.nodes):
        if found.isdisjoint(node.outputs):
            continue
        if isinstance(node.callee, Op) and node.callee.operator == "stop_gradient":
            continue
        inputs = node.callee.arguments if isinstance(node.callee, FunctionDraft) else node.inputs
        found.update(ref.name for ref in inputs if ref is not None)
    return found


def _is_block(name: str, site: Site) -> bool:
    """Whether a block, or an imported network, has this name here."""
    spec = site.frame.home.spec
    return name in spec.blocks or name in spec.imported


def _is_number(ref: Ref | None) -> bool:
    return ref is not None and isinstance(ref.type, Number)
