"""Entries that make a node: operators, blocks, `use`, `call` and `compute`.

A block is elaborated once for each set of parameters and input types, and shared by all calls with them.
"""

from __future__ import annotations

import math
import re
from collections import ChainMap
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from specdl.diagnostics import Diagnostics, Note, Span, did_you_mean
from specdl.elaborate.drafts import FunctionDraft, NodeDraft, Presence, Ref, freeze, localize
from specdl.elaborate.elsewhere import layer_below
from specdl.elaborate.hints import ValueHint, input_hint
from specdl.elaborate.initial import layer_rules
from specdl.elaborate.reserved import why_reserved
from specdl.elaborate.resolver import Resolver
from specdl.elaborate.scopes import ABSENT, Abandoned, Absent, Bound, Frame, Home, Parted, Poisoned, Site
from specdl.elaborate.shapes import Tracer, type_advice
from specdl.elaborate.sizes import check_sizes
from specdl.ir.dims import too_complicated
from specdl.ir.program import Function, Guard
from specdl.ir.state import parameter_keys
from specdl.ir.types import TensorType
from specdl.ops import OPERATORS
from specdl.ops.base import Op, TypeRuleError, Weight
from specdl.ops.compute import Compute, ComputeError, fits, parse_compute
from specdl.source import SpanTree
from specdl.spec.entries import LEVELS, STRUCTURAL, Entry
from specdl.spec.expressions import ExpressionError, never_closes, pieces
from specdl.spec.file import Block, Spec
from specdl.spec.habits import called_help, operator_help, operator_meant
from specdl.spec.overrides import REQUIRED
from specdl.spec.validate import check_names, show, validate

if TYPE_CHECKING:
    from specdl.ops.custom import Custom

_PATH = re.compile(r"\b[A-Za-z_]\w*(?:\.\w+)+")
_NUMBERED = re.compile(r"\.__(\d+)")

_TWICE = "say what each is called: `outputs: {first: value, second: value}`"

_ALWAYS = "what a network or block gives, it always gives: make a value for the other case too"

MAX_NESTING = 64
MAX_STEPS = 300_000
BLOCK_STEPS = 20  # a block costs about as much as so many entries
MAX_FAILURES = 2_000
MAX_LAYERS = 100_000
MAX_WEIGHTS = 10**13
"""Ten times the largest networks; what is meant to be smaller than that doesn't overflow PyTorch's sizes."""


class Calls(Resolver):
    """Makes nodes. `blocks` are the functions of blocks so far, callees first."""

    def __init__(self, spec: Spec, diagnostics: Diagnostics, losses: Mapping[str, type[Op]] | None = None) -> None:
        super().__init__(spec, diagnostics)
        self.losses = losses or {}
        self.blocks: dict[Any, FunctionDraft] = {}
        self.frozen: dict[str, Function] = {}
        self.frozen_blocks = 0
        self.signatures: dict[str, tuple[list[TensorType], bool]] = {}
        self.used_blocks: set[str] = set()
        self.reached_blocks: set[str] = set()
        self.libraries: dict[str, Home] = {}
        self.keys: dict[str, int] = {}
        self.instances: dict[Any, Op] = {}
        self.layers = 0
        self.steps = 0
        self.depth = 0
        self.failures = 0

    def entries(self, entries: Sequence[Entry], site: Site) -> Bound | None:
        """Elaborates a list of entries; gives the last value."""
        raise NotImplementedError

    def finished(self, draft: FunctionDraft) -> Mapping[str, Function]:
        """A finished function with all that blocks are so far, as functions of the IR."""
        own: dict[str, Function] = {}
        freeze(draft, own)
        return ChainMap(own, self.finished_blocks())

    def finished_blocks(self) -> dict[str, Function]:
        """The functions of blocks so far, as functions of the IR."""
        for block in islice(self.blocks.values(), self.frozen_blocks, None):
            freeze(block, self.frozen)
        self.frozen_blocks = len(self.blocks)
        return self.frozen

    def unique_key(self, name: str) -> str:
        """A key for a function that no other has."""
        number = self.keys[name] = self.keys.get(name, 0) + 1
        return name if number == 1 else f"{name}#{number}"

    # ---- operators -----------------------------------------------------------------------------------

    def use(self, entry: Entry, own_name: str | None, site: Site) -> Bound:
        """`use: $block` with `with: {...}`: an operator or block whose name is computed."""
        name = self.resolve(entry.arguments, entry.spans, site.scope)
        if not isinstance(name, str):
            message = f"`use` needs the name of a block or operator, got {show(name)}"
            raise self.fail(site.frame, "E0205", message, entry.spans.span)
        spans = entry.given_spans if entry.given is not None and entry.given_spans else SpanTree(entry.span)
        return self.apply(entry, name, entry.spans.span, entry.given, spans, own_name, site)

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
        """Applies an operator or a block."""
        home = site.frame.home
        block = home.spec.blocks.get(name)
        if block is not None:
            return self.block(entry, block, home, arguments, spans, own_name, site)
        imported = home.spec.imported.get(name)
        if imported is not None and imported.block is not None:
            home = self.library(imported.spec)
            return self.block(entry, imported.block, home, arguments, spans, own_name, site)
        if imported is not None:
            return self.network(entry, name, imported.spec, arguments, spans, own_name, site)
        cls = self.losses.get(name) or OPERATORS.get(name)
        if home.spec.several and any(network.name == name for network in home.spec.networks):
            message = f"`{name}` is a network, which only `steps` and `sample` call"
            advice = "make it a block, to use it inside another network"
            raise self.fail(site.frame, "E0703", message, name_span, help=advice)
        if cls is None and (home.spec.incomplete or name in (home.spec.data.get("blocks") or ())):
            raise Poisoned  # it is a block that couldn't be read, or may be one of a file that couldn't
        if cls is None:
            help = self.unknown_callable_help(name, entry, arguments, home.spec)
            if site.draft.layer(name) is not None:
                listed = "" if entry.inputs is None else f"({', '.join(str(item.value) for item in entry.inputs)})"
                help = f"`{name}` is a layer; to run it again, write `call{listed}: {name}`"
            raise self.fail(site.frame, "E0205", f"there is no operator or block `{name}`", name_span, help=help)
        op: Op | None = None
        try:
            op = self.operator(cls, name, arguments, spans, site)
        finally:
            # The inputs are looked up even where an argument is wrong, so that both mistakes are told.
            inputs = self.operator_inputs(cls, name, entry, site, op)
        return self.emit(entry, op, inputs, own_name, spans, site)

    def unknown_callable_help(self, name: str, entry: Entry, arguments: Any, spec: Spec) -> str | None:
        """What to write instead of a name that nothing callable has."""
        for file in spec.imports:
            if not file.library and name in file.blocks:
                return f"`{name}` is inside of `{file.file}`, which brings in its network; move the block to a library"
            for further in file.imports:
                if name in further.blocks:
                    return f"`{name}` is a block of `{further.file}`: import that file too"
        known = [*self.losses, *OPERATORS, *spec.blocks, *spec.imported, *STRUCTURAL]
        inner = arguments if isinstance(arguments, str) else None
        if isinstance(arguments, Mapping) and len(arguments) == 1:
            inner = next(iter(arguments))
        if inner is not None and not entry.targets and operator_meant(inner, known) is not None:
            return f"a name is given with `=`: `{name} = {operator_meant(inner, known)}: …`"
        if any(not isinstance(item.value, str) for item in entry.inputs or ()):  # nn.Conv2d(3, 8, 3)
            meant = operator_meant(name, known)
            cls = None if meant is None else OPERATORS.get(meant)
            required = [] if cls is None else [key for key, field in cls.model_fields.items() if field.is_required()]
            return called_help(name, known, required) or operator_help(name, known)
        return operator_help(name, known)

    def library(self, spec: Spec) -> Home:
        """An imported library, its parameters bound."""
        home = self.libraries.get(spec.file)
        if home is None:
            home = self.libraries[spec.file] = Home(spec, {}, spec.file)
            self.bind_file_params(home)
        return home

    def network(
        self, entry: Entry, name: str, spec: Spec, arguments: Any, spans: SpanTree, own_name: str | None, site: Site
    ) -> Bound:
        """Calls the whole network of an imported spec."""
        raise NotImplementedError

    def operator_inputs(
        self, cls: type[Op], name: str, entry: Entry, site: Site, op: Op | None = None
    ) -> list[Ref | None]:
        """The inputs of an operator; one that makes a tensor from nothing takes batch, sizes and device of a value
        here. `op` is None after a mistake in its arguments.
        """
        if cls.inputs == ("like?",) and entry.inputs is None:
            return [self.like(entry, site, op)]
        inputs = self.inputs(name, cls.inputs, entry, site, maybe=cls.may_be_absent)
        lacking = len(inputs) == 1 or op is None or not fits(op, *_types(inputs))
        if cls.inputs[-1:] == ("like?",) and inputs[-1] is None and lacking:
            inputs[-1] = self.like(entry, site, op, inputs)
        return inputs if len(inputs) == 1 or cls.inputs[-1:] != ("like?",) or inputs[-1] is not None else inputs[:-1]

    def like(self, entry: Entry, site: Site, op: Op | None = None, inputs: Sequence[Ref | None] = ()) -> Ref | None:
        """A value of this block or network with which `op` can work beside its `inputs`: the one above or the newest
        that has the batch, or else any. Beside other inputs, None where none helps.
        """
        above = [] if site.flow is None else [site.flow]
        known = [value for value in [*above, *reversed(site.frame.values.values())] if isinstance(value, Ref)]
        known = [value for value in known if value.presence is None or value.presence in site.assumed]
        known.sort(key=lambda value: value.type is None or not value.type.batched)
        if not known:
            return None
        given = _types(inputs)
        if op is None or (known[0].type is None and not given):
            return None if given else self.local(known[0], entry, site)
        fitting = (value for value in known if value.type is not None and fits(op, *given, value.type))
        found = next(fitting, None if given else known[0])
        return None if found is None else self.local(found, entry, site)

    def operator(self, cls: type[Op], name: str, arguments: Any, spans: SpanTree, site: Site) -> Op:
        """The operator with its arguments checked. Raises `Poisoned`."""
        try:
            value = self.resolve(arguments, spans, site.scope)
        except Poisoned:
            if isinstance(arguments, Mapping) and not any(map(_is_cut, arguments.values())):
                check_names(cls, arguments, spans, self.diagnostics, what=name, notes=site.frame.notes)
            raise
        key = (cls, frozen(value))
        found = self.instances.get(key)
        if found is not None:
            return found
        fields: Mapping[str, Any]
        if value is None:
            fields = {}
        elif isinstance(value, Mapping):
            fields = value
        elif cls.main is None:
            by_name = f"takes its arguments by name: {', '.join(cls.model_fields)}"
            takes = by_name if cls.model_fields else "takes no arguments"
            help = None
            if name in self.losses and isinstance(value, (int, float)):
                help = f"the weight of a term is written `{{weight: {value}}}`"
            elif isinstance(value, str) and value in site.frame.values:
                help = input_hint(name, value)
            elif isinstance(value, tuple) and value and all(isinstance(item, str) for item in value):
                help = f"inputs stand in parentheses: `{name}({', '.join(value)})`"
            raise self.fail(site.frame, "E0203", f"`{name}` {takes}, got {show(value)}", spans.span, help=help)
        else:
            fields = {cls.main: value}
            spans = SpanTree(spans.span, {cls.main: spans.span}, {cls.main: spans})
        hint = ValueHint(cls, arguments, site.scope)
        op = validate(cls, fields, spans, self.diagnostics, what=name, notes=site.frame.notes, hint=hint)
        if op is None:
            raise Poisoned
        if op.operator == "custom":
            self.permit(cast("Custom", op), spans, site)
        self.instances[key] = op
        return op

    def permit(self, op: Custom, spans: SpanTree, site: Site) -> None:
        """Lets a custom layer be imported from beside the file that names it, if the user has allowed that."""
        from specdl.custom import allowed

        if allowed():
            op.permit(Path(site.frame.home.spec.file).parent)
        elif op.output is None:
            help = "look at the file, then give `--allow-python`; or declare what it gives: `output: [64, 8, 8]`"
            message = f"`{op.layer}` is Python, which a spec may not run by itself"
            raise self.fail(site.frame, "E0901", message, spans.at("layer"), help=help)
        else:
            message = f"the weights of `{op.layer}` aren't counted, since its Python isn't run"
            help = "`--allow-python` runs it"
            self.diagnostics.add("W0020", message, spans.at("layer"), severity="warning", help=help)

    def emit(
        self, entry: Entry, op: Op, inputs: Sequence[Ref | None], own_name: str | None, spans: SpanTree, site: Site
    ) -> Bound:
        """Adds the node of an operator whose inputs are known."""
        types = _types(inputs)
        try:
            outputs = _inferred(op, inputs)
            weights = op.weights(*types)
            if self.spec.sizes or op.operator == "embedding":
                check_sizes(op, inputs, outputs)
        except TypeRuleError as error:
            raise self.type_error(error, op, inputs, entry, spans, site.frame) from None
        if any(too_complicated(dim) for type in outputs for dim in type.shape):
            message = f"`{op.operator}` gives a size that is too large"
            raise self.fail(site.frame, "E0210", message, entry.operator.span)
        count = sum(math.prod(weight.shape) for weight in weights)
        if count > MAX_WEIGHTS:
            message = f"`{op.operator}` would have {count:.1e} weights; a layer may have {MAX_WEIGHTS:.0e}"
            raise self.fail(site.frame, "E0210", message, entry.operator.span)
        names = op.output_names(len(outputs))
        node = NodeDraft("", op, list(inputs), [], list(outputs), entry.span, bool(weights), names)
        self.name(node, own_name, op.operator, op.counted, entry, site)
        return self.finish(node, own_name, site.draft, entry)

    def type_error(
        self,
        error: TypeRuleError,
        op: Op,
        inputs: Sequence[Ref | None],
        entry: Entry,
        spans: SpanTree,
        frame: Frame,
    ) -> Poisoned:
        """Records that an operator can't take its inputs, and where they came from."""
        if op.operator == "custom" and error.message.startswith("["):
            code, _, message = error.message[1:].partition("] ")
            return self.fail(frame, code, message, spans.at("layer"), help=error.help)
        span = entry.operator.span
        if error.argument is not None:
            span = _place(spans, error.argument, str(getattr(op, error.argument)), error.part)
        help: str | None = error.help
        notes: list[Note] = []
        if self.may_search():
            given = [ref for ref in inputs if ref is not None]
            told = {entry.span, *(note.span for note in frame.notes if note.span is not None)}
            help, notes = type_advice(Tracer(self.function_of), error, op, given, told)
        return self.fail(frame, "E0204", f"`{op.operator}` {error.message}", span, help=help, notes=notes)

    def function_of(self, node: NodeDraft) -> FunctionDraft | None:
        """The function of a block that a node calls."""
        return next((block for block in self.blocks.values() if block.key == node.callee), None)

    # ---- names ---------------------------------------------------------------------------------------

    def name(self, node: NodeDraft, own_name: str | None, base: str, counted: bool, entry: Entry, site: Site) -> None:
        """Names a layer by LANGUAGE's rules 1, 3, 5 and 6, and adds it to its level."""
        self.layers += 1
        if self.layers > MAX_LAYERS:
            self.fail(site.frame, "E0210", f"a spec may have {MAX_LAYERS:,} layers", node.span)
            raise Abandoned
        draft = site.draft
        if own_name is None and site.number is not None:
            node.name = site.number
        elif own_name is not None:
            node.name = own_name
            draft.position += draft.counted
        elif draft.counted and counted:
            node.name = str(draft.position)
            draft.position += 1
        else:
            node.name = draft.free_layer_name(base)
        self.enter(node, entry, site)

    def enter(self, node: NodeDraft, entry: Entry, site: Site) -> None:
        """Adds a named node to its level; two layers with weights can't share a name."""
        self.check_reserved(node, entry, site)
        holder = site.draft.name_layer(node)
        if holder is not None:
            message = f"two layers with weights are called `{node.name}`"
            looped = holder.span == node.span
            help = f"number them: `{node.name}_$(index) = …`" if looped else "give one of them another name"
            self.fail(
                site.frame, "E0305", message, node.span, help=help, notes=[Note("the first one is here", holder.span)]
            )
            node.name = site.draft.free_layer_name(node.name)
            site.draft.name_layer(node)
        if entry.init is not None and (isinstance(node.callee, FunctionDraft) or entry.operator.value not in LEVELS):
            self.begin(node, entry, site)
        if site.guard is not None:
            condition = localize(site.frame.optional[site.guard.name], site.draft)
            node.presence, node.guard = site.guard, Guard(condition.name, site.guard.given)
        site.draft.nodes.append(node)

    def begin(self, node: NodeDraft, entry: Entry, site: Site) -> None:
        """Says how the weights of a layer begin, by the `init` beside its entry."""
        rules = self.rules(entry.init or {}, entry.init_spans or SpanTree(entry.span), site.scope)
        weights: list[tuple[str, Weight]]
        if isinstance(node.callee, Op):
            weights = [(weight.name, weight) for weight in node.callee.weights(*_types(node.inputs))]
        else:
            group = node.callee if isinstance(node.callee, FunctionDraft) else None
            functions = self.finished_blocks() if group is None else self.finished(group)
            function = functions[str(node.callee) if group is None else group.key]
            weights = [(key, item.weight) for key, item in parameter_keys(functions, function).values()]
        weights = [(name, weight) for name, weight in weights if not weight.buffer]
        node.init = layer_rules(rules, weights, entry.operator.value, self.diagnostics, site.frame.notes)

    def check_reserved(self, node: NodeDraft, entry: Entry, site: Site) -> None:
        """Records a layer whose module would take the name of an attribute that PyTorch's modules have."""
        why = why_reserved(node.name, counted=site.draft.counted)
        if why is None or site.draft.kind in {"step", "sample", "loop"}:
            return
        if isinstance(node.callee, Op) and node.callee.torch_module(*_types(node.inputs)) is None:
            return  # only a value: it becomes no attribute
        other = f"{node.name.strip('_')}_layer"
        if len(entry.targets) == 1:
            place, help = entry.targets[0].span, f"call it `{other}`"
        else:
            place, help = entry.operator.span, f"give it another name: `{other} = {entry.operator.value}`"
        message = f"`{node.name}` {why}, so no layer can have this name"
        self.fail(site.frame, "E0315", message, place, help=help)

    def finish(self, node: NodeDraft, own_name: str | None, draft: FunctionDraft, entry: Entry | None = None) -> Bound:
        """Makes the values of a node; several names on the left of its entry are what its values are called."""
        base = own_name or (node.name if node.name.isidentifier() else _value_base(node))
        targets = [target.value for target in entry.targets] if entry is not None else []
        named = targets if len(targets) > 1 and all(map(str.isidentifier, targets)) else []
        refs: list[Ref] = []
        for index, type in enumerate(node.types):
            name = base if index == 0 else f"{base}_{node.output_names[index]}"
            name = draft.unique(named[index] if index < len(named) else name)
            node.outputs.append(name)
            refs.append(Ref(draft, name, type, node.span, node.presence))
        return refs[0] if len(refs) == 1 else tuple(refs)

    # ---- blocks --------------------------------------------------------------------------------------

    def block(
        self,
        entry: Entry,
        block: Block,
        home: Home,
        arguments: Any,
        spans: SpanTree,
        own_name: str | None,
        site: Site,
    ) -> Bound:
        """Calls a block of a file."""
        if home is self.home:
            self.used_blocks.add(block.name)
        frame = site.frame
        if any(block is other for other in frame.stack):  # blocks of several files may have one name
            names = [item.name for item in frame.stack]
            chain = " → ".join([*names[names.index(block.name) :], block.name])
            raise self.fail(frame, "E0309", f"the block `{block.name}` calls itself: {chain}", entry.operator.span)
        ports, defaults = ["input"], {}
        if block.inputs is not None:
            ports = [f"{item.name}{'?' if item.optional else ''}" for item in block.inputs]
            defaults = {item.name: item.default for item in block.inputs if item.default is not None}
        values = self.block_arguments(block, arguments, spans, site)
        inputs = self.inputs(block.name, ports, entry, site, defaults)
        names = [port.rstrip("?") for port in ports]
        types = {name: None if ref is None else ref.type for name, ref in zip(names, inputs, strict=True)}
        maybe = frozenset(name for name, ref in zip(names, inputs, strict=True) if may_be_absent(ref, site))
        params = self.block_params(block, home, values, types, maybe, entry, site)
        refs = dict(zip(names, inputs, strict=True))
        same = {name: other for name, other in defaults.items() if refs[name] is refs[other] and other not in maybe}
        inputs = [None if name in same else ref for name, ref in refs.items()]
        key = (home.key, block.name, frozen(params), tuple(types.values()), maybe, frozenset(same))
        callee = self.blocks.get(key)
        if callee is None:
            if home is self.home:
                self.reached_blocks.add(block.name)
            callee = self.elaborate_block(block, home, params, types, maybe, same, entry, frame)
            callee.implied = frozenset(
                name
                for name, default in block.params.items()
                if name not in values and (default is True or (isinstance(default, str) and "$" in default))
            )
            self.blocks[key] = callee
            self.signatures[callee.key] = (callee.output_types(), callee.has_weights())
        return self.call_function(entry, block.name, callee, inputs, own_name, site)

    def call_function(
        self,
        entry: Entry,
        name: str,
        callee: FunctionDraft,
        inputs: Sequence[Ref | None],
        own_name: str | None,
        site: Site,
    ) -> Bound:
        """Adds the node that calls the finished function of a block or network."""
        if not callee.outputs:
            raise Poisoned
        types_out, has_weights = self.signatures[callee.key]
        node = NodeDraft(
            "",
            callee.key,
            [ref for ref in inputs if ref is not None],
            [],
            list(types_out),
            entry.span,
            has_weights=has_weights,
            output_names=tuple(callee.output_names),
        )
        self.name(node, own_name, name, True, entry, site)
        return self.finish(node, own_name, site.draft)

    def block_arguments(self, block: Block, arguments: Any, spans: SpanTree, site: Site) -> dict[str, Any]:
        """The arguments of a block call by parameter. Raises `Poisoned`."""
        if arguments is None:
            return {}
        if isinstance(arguments, str) and "$" in arguments:
            arguments = self.resolve(arguments, spans, site.scope)
        if not isinstance(arguments, Mapping):
            if not block.params:
                named = isinstance(arguments, str) and arguments in site.frame.values
                help = input_hint(block.name, str(arguments)) if named else None
                message = f"the block `{block.name}` has no parameters"
                raise self.fail(site.frame, "E0203", message, spans.span, help=help)
            return {next(iter(block.params)): self.resolve(arguments, spans, site.scope)}
        for key, value in arguments.items():
            if _is_cut(value):
                # YAML cut it at its comma, so the next keys are its other half: say only that.
                self.resolve(value, spans.child(key), site.scope)
        listing = ", ".join(f"`{name}`" for name in block.params)
        failed = False
        for key in arguments:
            if key not in block.params:
                help = did_you_mean(key, block.params) or (f"it has {listing}" if listing else "it has no parameters")
                message = f"the block `{block.name}` has no parameter `{key}`"
                self.fail(site.frame, "E0201", message, spans.key(key), help=help)
                failed = True
        if failed:
            raise Poisoned
        return {key: self.resolve(value, spans.child(key), site.scope) for key, value in arguments.items()}

    def block_params(
        self,
        block: Block,
        home: Home,
        values: Mapping[str, Any],
        types: Mapping[str, TensorType | None],
        maybe: Collection[str],
        entry: Entry,
        site: Site,
    ) -> dict[str, Any]:
        """All parameters of a block, defaults evaluated in order. Raises `Poisoned`."""
        params: dict[str, Any] = {}
        inner = FunctionDraft(block.name, block.name, "block", block.span)
        frame = Frame(inner, params, home, notes=(_used_here(block, entry), *site.frame.notes[:3]))
        for name, type in types.items():
            presence = Presence(name) if name in maybe else None
            frame.values[name] = ABSENT if type is None else Ref(inner, name, type, entry.span, presence)
        scope = Site(frame, inner, flow=next(iter(frame.values.values()), None)).scope
        for name, default in block.params.items():
            if name in values:
                params[name] = values[name]
            elif default == REQUIRED:
                message = f"the block `{block.name}` needs `{name}`"
                raise self.fail(
                    site.frame,
                    "E0202",
                    message,
                    entry.operator.span,
                    notes=[Note("it is declared here", block.params_spans.key(name))],
                )
            else:
                params[name] = self.resolve(default, block.params_spans.child(name), scope)
        return params

    def elaborate_block(
        self,
        block: Block,
        home: Home,
        params: Mapping[str, Any],
        types: Mapping[str, TensorType | None],
        maybe: Collection[str],
        same: Mapping[str, str],
        entry: Entry,
        caller: Frame,
    ) -> FunctionDraft:
        """The function of a block for these parameters and types. It has no outputs after a mistake.

        `maybe` are the inputs that may be absent when it runs, `same` those that are the value of another one.
        """
        self.steps += BLOCK_STEPS
        draft = FunctionDraft(self.unique_key(block.name), block.name, "block", block.span, parameters=dict(params))
        notes = (_used_here(block, entry), *caller.notes[:3])
        frame = Frame(draft, params, home, notes=notes, stack=(*caller.stack, block))
        flow: Ref | None = None
        for name, type in types.items():
            if name in same:
                continue
            if type is None:
                frame.values[name] = ABSENT
                continue
            presence = Presence(name) if name in maybe else None
            ref = draft.add_input("x" if block.inputs is None else name, type, entry.span, presence)
            if presence is not None:
                frame.optional[name] = ref
            flow = flow or ref
            if block.inputs is not None:
                frame.values[name] = ref
        for name in same:
            other = same[name]
            while other in same:
                other = same[other]
            frame.values[name] = frame.values[other]
        site = Site(frame, draft, flow=flow)
        only = block.layers[0] if len(block.layers) == 1 else None
        try:
            if only is not None and only.operator.value == "sequence" and not only.targets and only.when is True:
                draft.counted = True  # LANGUAGE rule 4: the block is that sequence
                last = self.entries(only.body, site.with_flow(self.single_input(only, site)))
            else:
                last = self.entries(block.layers, site)
            self.outputs(draft, frame, last, block.outputs, block.outputs_spans, block.span)
        except Poisoned:
            draft.outputs.clear()
        return draft

    def outputs(
        self, draft: FunctionDraft, frame: Frame, last: Bound | None, wanted: Any, spans: SpanTree, span: Span
    ) -> None:
        """Sets the outputs of a block or network. Raises `Poisoned`."""
        chosen: list[tuple[str, Bound]] = []
        failed = False
        if wanted is None:
            if last is None:
                raise self.fail(frame, "E0311", f"`{draft.name}` gives no value", span)
            items = last if isinstance(last, tuple) else (last,)
            names = [_name_of(frame, item) for item in items]
            if len(set(names)) < len(names):
                names = [f"{name}_{index}" for index, name in enumerate(names)]
            chosen = list(zip(names, items, strict=True))
        elif not isinstance(wanted, (str, Mapping, list, tuple)):
            message = "`outputs` is a list of names, or maps names to values"
            raise self.fail(frame, "E0112", message, spans.span)
        else:
            listed = [wanted] if isinstance(wanted, str) else wanted
            if not listed:
                help = "name a value, or leave `outputs` out: then it gives its last value"
                raise self.fail(frame, "E0112", "`outputs` is empty", spans.span, help=help)
            scope = Site(frame, draft).scope
            pairs = wanted.items() if isinstance(wanted, Mapping) else [(str(name), name) for name in listed]
            for index, (name, value) in enumerate(pairs):
                key = name if isinstance(wanted, Mapping) else index
                place = spans.at(key)
                try:
                    if isinstance(value, str) and "$" in value:
                        value = self.resolve(value, spans.child(key), scope)
                        if value is None:
                            continue
                    if not isinstance(wanted, Mapping):
                        name = str(value).removesuffix(".*").replace(".", "_")
                    if not name.isidentifier():
                        where = spans.key(name) if isinstance(wanted, Mapping) else place
                        help = "names have letters, digits and `_`"
                        raise self.fail(frame, "E0106", f"`{name}` is not a name for an output", where, help=help)
                    if not isinstance(value, str):
                        message = f"an output is the name of a value, got {show(value)}"
                        raise self.fail(frame, "E0112", message, place)
                    chosen.append((name, self.value(value, place, frame)))
                except Poisoned:
                    failed = True
        for name, bound in chosen:
            if isinstance(bound, Parted):
                message = f"the output `{name}` is another value {self.where(bound.presence.opposite)}"
                raise self.fail(frame, "E0365", message, span if wanted is None else spans.span)
            items = bound if isinstance(bound, tuple) else () if isinstance(bound, Absent) else (bound,)
            for index, item in enumerate(items):
                if item.type is None:
                    raise Poisoned
                if item.presence is not None:
                    message = f"the output `{name}` exists only {self.where(item.presence)}"
                    notes = [Note("it is made here", item.span)]
                    place = span if wanted is None else spans.span
                    raise self.fail(frame, "E0365", message, place, notes=notes, help=_ALWAYS)
                unique = name if len(items) == 1 else f"{name}_{index}"
                if unique in draft.output_names:
                    raise self.fail(frame, "E0112", f"two outputs are called `{unique}`", spans.span, help=_TWICE)
                draft.outputs.append(localize(item, draft).name)
                draft.output_names.append(unique)
        if failed:
            raise Poisoned
        if not draft.outputs:
            place = span if wanted is None else spans.span
            raise self.fail(frame, "E0311", f"`{draft.name}` gives no value", place)

    # ---- compute and call ----------------------------------------------------------------------------

    def compute(self, entry: Entry, own_name: str | None, site: Site) -> Bound:
        """`compute: mu + exp(0.5 * logvar) * noise`: one node for the whole expression."""
        frame = site.frame
        if entry.inputs is not None:
            raise self.fail(frame, "E0307", "`compute` names its values in the expression", entry.operator.span)
        if not isinstance(entry.arguments, (str, int, float)) or isinstance(entry.arguments, bool):
            raise self.fail(
                frame,
                "E0403",
                "`compute` is an expression over values",
                entry.spans.span,
                help="e.g. `compute: mu + noise`",
            )
        text = str(entry.arguments)
        try:
            op, numbers = self.compute_op(text, entry, site)
        except ComputeError as error:
            place = entry.spans.text(error.offset, error.length)
            raise self.fail(frame, "E0403", error.message, place, help=error.help) from None
        inputs: list[Ref | None] = []
        failed = False
        for encoded in op.names:
            name = _NUMBERED.sub(r".\1", encoded)
            place = entry.spans.text(max(text.find(name), 0), len(name))
            try:
                bound = site.flow if name == "_" else numbers.get(name) or self.value(name, place, frame)
                if bound is None:
                    raise self.no_flow(frame, place)
                if isinstance(bound, Absent):
                    raise self.fail(frame, "E0306", f"the optional input `{name}` was not given", place)
                inputs.append(self.local(bound, entry, site))
            except Poisoned:
                failed = True
        if failed:
            raise Poisoned
        if op.needs_like:
            inputs.append(self.like(entry, site, op))
        return self.emit(entry, op, inputs, own_name, entry.spans, site)

    def compute_op(self, text: str, entry: Entry, site: Site) -> tuple[Compute, dict[str, Ref]]:
        """Parses a `compute` with its `$` expressions as constants. Raises `ComputeError` and `Poisoned`.

        An expression that is only a number at run time stays a name; the second result says of which value.
        """
        try:
            parts = pieces(text)
        except ExpressionError as error:
            self.expression_error(error, entry.spans, site.scope)
            raise Poisoned from None
        constants: dict[str, Any] = {}
        numbers: dict[str, Ref] = {}
        written: dict[str, str] = {}
        out: list[str] = []
        for part in parts:
            if not part.expression:
                # `features.0` is no Python; the number gets a name that no layer has.
                out.append(_PATH.sub(lambda path: re.sub(r"\.(\d+)", r".__\1", path.group()), part.text))
                continue
            # A placeholder as long as what it replaces keeps the columns of later mistakes right.
            lead, trail = (1, 0) if text[part.offset - 1] == "$" else (2, 1)
            start, width = part.offset - lead, len(part.text) + lead + trail
            place = entry.spans.text(start, width)
            placeholder = f"__{len(constants) + len(numbers)}".ljust(width, "_")
            value = self.number(text[start : start + width], SpanTree(place, inner=place), site)
            if isinstance(value, Ref):
                numbers[placeholder], written[placeholder] = value, text[start : start + width]
            else:
                constants[placeholder] = value
            out.append(placeholder)
        encoded = "".join(out)
        try:
            op = parse_compute(encoded, constants)
        except ComputeError as error:
            # Places in the text that was parsed become places in the text that was written.
            offset, end = (
                len(_NUMBERED.sub(r".\1", encoded[:at])) for at in (error.offset, error.offset + error.length)
            )
            message = _NUMBERED.sub(r".\1", error.message)
            raise ComputeError(message, offset, max(end - offset, 1), error.help) from None
        readable = _NUMBERED.sub(r".\1", op.text)
        for placeholder, expression in written.items():
            readable = readable.replace(placeholder, expression)
        return op.model_copy(update={"text": readable}), numbers

    def number(self, text: str, spans: SpanTree, site: Site) -> Any:
        """An expression in a `compute`: its value, or the value of the program that it is at run time."""
        return self.resolve(text, spans, site.scope)

    def call_again(self, entry: Entry, own_name: str | None, site: Site) -> Bound:
        """`call(x): head`: a layer that exists, run again with the same weights."""
        draft, frame = site.draft, site.frame
        wanted = self.resolve(entry.arguments, entry.spans, site.scope)
        path = self.layer_to_call(wanted, entry, site)
        node = path[-1]
        callee = node.callee
        if isinstance(callee, FunctionDraft) and len(callee.arguments) > 1:
            message = f"`{wanted}` reads several values of its level, so it can't be called again"
            raise self.fail(frame, "E0312", message, entry.spans.span, help="make it a block with inputs")
        before = callee.arguments if isinstance(callee, FunctionDraft) else node.inputs
        ports = callee.inputs if isinstance(callee, Op) else tuple(f"input{index}" for index in range(len(before)))
        inputs = self.inputs("call", ports, entry, site)
        types, first = _types(inputs), _types(before)
        outputs = list(node.types)
        if not outputs:
            raise Poisoned  # a mistake in the layer
        fits = types == first
        if isinstance(callee, Op):
            try:
                outputs = list(_inferred(callee, inputs))
                fits = callee.weights(*types) == callee.weights(*first)
            except TypeRuleError as error:
                raise self.type_error(error, callee, inputs, entry, entry.spans, frame) from None
        if not fits:
            message = f"`{wanted}` was made for {_listing(first)}, got {_listing(types)}"
            notes = [Note("the layer is here", node.span)]
            raise self.fail(frame, "E0204", message, entry.spans.span, notes=notes)
        name = draft.free_layer_name(f"{node.name}_again")
        target = callee.key if isinstance(callee, FunctionDraft) else callee
        again = NodeDraft(name, target, inputs, [], outputs, entry.span, False, node.output_names, shares=path)
        self.enter(again, entry, site)
        if isinstance(callee, FunctionDraft):
            callee.calls_again.append((draft, again))
        return self.finish(again, own_name, draft)

    def layer_to_call(self, wanted: Any, entry: Entry, site: Site) -> tuple[NodeDraft, ...]:
        """The layer that a `call` names, behind the groups that hold it. Raises `Poisoned`."""
        owner: FunctionDraft | None = site.draft
        while owner is not None and isinstance(wanted, str):
            path = _find_layer(owner, wanted)
            if path and owner is site.draft:
                return path
            if path:
                raise self.fail(
                    site.frame,
                    "E0312",
                    f"`{wanted}` belongs to the level around this group, so the group can't call it",
                    entry.spans.span,
                    help="call it outside the group, or leave the group unnamed",
                    notes=[Note("the layer is here", path[-1].span)],
                )
            owner = owner.parent
        known = site.frame.values.get(wanted) if isinstance(wanted, str) else None
        if isinstance(known, Ref) and known.type is None:
            raise Poisoned  # a mistake in that layer
        raise self.fail(
            site.frame,
            "E0312",
            f"there is no layer {show(wanted)} above to call again",
            entry.spans.span,
            help=did_you_mean(str(wanted), site.draft.layer_names()) or layer_below(str(wanted), site.frame),
        )


def _used_here(block: Block, entry: Entry) -> Note:
    return Note(f"in the block `{block.name}`, which is used here", entry.span)


def may_be_absent(ref: Ref | None, site: Site) -> bool:
    """Whether only the run tells if there is a value."""
    return ref is not None and ref.presence is not None and ref.presence not in site.assumed


def _is_cut(value: Any) -> bool:
    """Whether YAML cut an expression at its comma: the keys behind it are then its other half."""
    return isinstance(value, str) and never_closes(value)


def _types(refs: Sequence[Ref | None]) -> list[TensorType]:
    return [ref.type for ref in refs if ref is not None and ref.type is not None]


def _inferred(op: Op, inputs: Sequence[Ref | None]) -> tuple[TensorType, ...]:
    """The types of an operator's outputs. Raises `TypeRuleError`."""
    if any(port.endswith("?") for port in op.inputs):
        named = zip((port.rstrip("?") for port in op.inputs), inputs, strict=False)
        op.check_ports({port: ref.type for port, ref in named if ref is not None and ref.type is not None})
    return op.infer(*_types(inputs))


def _place(spans: SpanTree, argument: str, text: str, part: tuple[int, int] | None) -> Span:
    """Where an argument stands, or a part of its text, where the spec has this very text."""
    found = spans.child(argument) if spans.inner is None else spans  # a scalar is the main argument
    if part is None or found.inner is None:
        return spans.at(argument)
    width = found.span.end_column - found.inner.column  # with the closing quote, where there is one
    return found.text(*part) if width in (len(text), len(text) + 1) else found.span


def _listing(types: Sequence[TensorType]) -> str:
    return ", ".join(map(str, types))


def frozen(value: Any) -> Any:
    """A hashable image of a resolved value; 1, 1.0 and True stay apart."""
    if isinstance(value, Mapping):
        return ("mapping", tuple((key, frozen(item)) for key, item in value.items()))
    if isinstance(value, (list, tuple)):
        return ("list", tuple(frozen(item) for item in value))
    return (type(value).__name__, value)


def _value_base(node: NodeDraft) -> str:
    """What the value of a numbered layer is called."""
    if isinstance(node.callee, Op):
        return node.callee.operator
    name = node.callee.name if isinstance(node.callee, FunctionDraft) else node.callee.split("#")[0]
    return name if name.isidentifier() else "x"


def _name_of(frame: Frame, value: Bound) -> str:
    """What the last value is called: the name that the spec gave it, or `output`."""
    for name, bound in reversed(frame.values.items()):
        if bound is value or (isinstance(bound, tuple) and value in bound):
            return name
    return "output"


def _find_layer(draft: FunctionDraft, path: str) -> tuple[NodeDraft, ...]:
    """A layer by its path below `draft`, behind the layers that lead to it; empty where there is none."""
    found: list[NodeDraft] = []
    for step in path.split("."):
        if found:
            callee = found[-1].callee
            if not isinstance(callee, FunctionDraft):
                return ()
            draft = callee
        node = draft.layer(step)
        if node is None:
            return ()
        found.append(node)
    return tuple(found)
