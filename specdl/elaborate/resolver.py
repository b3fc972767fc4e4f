"""The names of a spec, looked up: parameters and expressions, values and paths, the inputs of an entry."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from specdl.diagnostics import Diagnostics, Note, Span, did_you_mean
from specdl.elaborate.drafts import FunctionDraft, NodeDraft, Presence, Ref, localize, maker
from specdl.elaborate.elsewhere import parameter_advice, value_advice
from specdl.elaborate.initial import read_rules
from specdl.elaborate.scopes import (
    ABSENT,
    UNKNOWN,
    Absent,
    Bound,
    EntryScope,
    Frame,
    Home,
    Parted,
    Poisoned,
    Site,
    Undecided,
    UnknownType,
)
from specdl.elaborate.sizes import Bounds, read_sizes
from specdl.elaborate.ties import Line
from specdl.ir.program import InitRule
from specdl.ir.types import TensorType
from specdl.ops import OPERATORS
from specdl.source import SpanTree
from specdl.spec.entries import Argument, Entry, Text, may_name
from specdl.spec.expressions import ExpressionError, substitute
from specdl.spec.file import Spec
from specdl.spec.overrides import REQUIRED
from specdl.spec.tied import TieSpec
from specdl.spec.validate import show

_WORD = re.compile(r"[A-Za-z0-9_]+\Z")


class Resolver:
    """Looks names up for one spec, and records what can't be found."""

    def __init__(self, spec: Spec, diagnostics: Diagnostics) -> None:
        self.spec, self.diagnostics = spec, diagnostics
        self.home = Home(spec, {})
        self.sizes: Bounds = {}
        self.size_names: set[str] = set()

    def fail(
        self,
        frame: Frame,
        code: str,
        message: str,
        span: Span,
        *,
        help: str | None = None,
        notes: Iterable[Note] = (),
    ) -> Poisoned:
        """Records a mistake, with the calls that lead to it, and gives the exception to raise."""
        self.diagnostics.add(code, message, span, help=help, notes=[*notes, *frame.notes])
        return Poisoned()

    # ---- parameters and expressions ------------------------------------------------------------------

    @property
    def params(self) -> dict[str, Any]:
        """The spec's own parameters."""
        return self.home.params

    def bind_file_params(self, home: Home) -> None:
        """Evaluates a file's own parameters, in order; a default may use the earlier ones."""
        spec, params = home.spec, home.params
        draft = FunctionDraft("", "", "network", Span(spec.file, 1, 1, 1, 2))
        for name, value in spec.params.items():
            span = spec.params_spans.key(name)
            if not name.isidentifier():
                self.diagnostics.add("E0106", f"`{name}` is not a name for a parameter", span)
            if value == REQUIRED:
                help = f"set it on the command line, `params.{name}=…`, or choose a `--variant`"
                if home is not self.home:
                    help = "give it a value: nothing sets the parameters of a library"
                self.diagnostics.add("E0202", f"the parameter `{name}` has no value", span, help=help)
                params[name] = UNKNOWN
                continue
            scope = EntryScope(Frame(draft, {}, home), {}, None)
            try:
                params[name] = self.resolve(value, spec.params_spans.child(name), scope)
            except Poisoned:
                params[name] = UNKNOWN

    def resolve(self, value: Any, spans: SpanTree, scope: EntryScope) -> Any:
        """A raw YAML value with its expressions evaluated; lists become tuples. Raises `Poisoned`."""
        try:
            return self.decided(value, spans, scope)
        except Undecided as undecided:
            name = undecided.presence.name
            message = f"whether `{name}` is given is only known when the network runs: it can't decide this"
            help = f"write two entries, one with `when: $(given({name}))`, one with `when: $(not given({name}))`"
            raise self.fail(scope.frame, "E0366", message, spans.span, help=help) from None

    def decided(self, value: Any, spans: SpanTree, scope: EntryScope) -> Any:
        """As `resolve`. Raises `Undecided` where an expression asks for what only the run decides."""
        if isinstance(value, str):
            if "$" not in value:
                return value
            try:
                return _tuples(substitute(value, scope))
            except ExpressionError as error:
                self.expression_error(error, spans, scope)
                raise Poisoned from None
            except UnknownType:
                raise Poisoned from None
        if isinstance(value, list):
            return tuple(self.resolve(item, spans.child(index), scope) for index, item in enumerate(value))
        if isinstance(value, Mapping):
            return {key: self.resolve(item, spans.child(key), scope) for key, item in value.items()}
        return value

    def expression_error(self, error: ExpressionError, spans: SpanTree, scope: EntryScope) -> None:
        """Records a mistake in an expression at its column."""
        span = spans.text(error.offset, error.length)
        help, notes = (error.help, ()) if error.unknown is None else parameter_advice(error.unknown, scope)
        self.diagnostics.add("E0401", error.message, span, help=help, notes=[*notes, *scope.frame.notes])

    def text(self, text: Text, scope: EntryScope) -> str:
        """A word of a head with its expressions evaluated. Raises `Poisoned`."""
        if "$" not in text.value:
            return text.value
        word = str(self.resolve(text.value, SpanTree(text.span, inner=text.span), scope))
        if not _WORD.match(word):
            raise self.fail(scope.frame, "E0106", f"`{text.value}` gives {show(word)}, which is not a name", text.span)
        return word

    def tied(self, lines: Iterable[TieSpec], scope: EntryScope) -> list[Line]:
        """The lines of `tie` that count, their expressions evaluated; not those that have a mistake."""
        found: list[Line] = []
        for line in lines:
            try:
                if not self.holds(line.when, line.when_spans or SpanTree(line.alias.span), scope):
                    continue
                alias, key = (
                    str(self.resolve(word.value, SpanTree(word.span, inner=word.span), scope))
                    for word in (line.alias, line.key)
                )
            except Poisoned:
                continue
            found.append(Line(alias, key, line))
        return found

    def read_sizes(self, scope: EntryScope) -> None:
        """Reads the bounds of sizes into `sizes`."""
        spans = self.spec.spans.child("sizes")
        values: dict[str, Any] = {}
        for name, value in self.spec.sizes.items():
            try:
                values[name] = self.resolve(value, spans.child(name), scope)
            except Poisoned:
                continue
        self.sizes = read_sizes(values, spans, self.diagnostics)

    def holds(self, when: Any, spans: SpanTree, scope: EntryScope) -> bool:
        """The value of a condition that stands outside of the layers. Raises `Poisoned`."""
        value = self.resolve(when, spans, scope)
        if not isinstance(value, bool):
            raise self.fail(scope.frame, "E0402", f"`when` must be true or false, got {show(value)}", spans.span)
        return value

    def rules(self, written: Mapping[str, Any], spans: SpanTree, scope: EntryScope) -> list[InitRule]:
        """The rules of an `init` with their expressions evaluated, without those that have a mistake."""
        values: dict[str, Any] = {}
        keys, children = dict(spans.keys), dict(spans.children)
        for pattern, value in written.items():
            place = spans.key(pattern)
            try:
                name = str(self.resolve(pattern, SpanTree(place, inner=place), scope))
                values[name] = self.resolve(value, spans.child(pattern), scope)
            except Poisoned:
                continue
            keys[name], children[name] = place, spans.child(pattern)
        return read_rules(values, SpanTree(spans.span, keys, children), self.diagnostics, scope.frame.notes)

    # ---- values --------------------------------------------------------------------------------------

    def no_flow(self, frame: Frame, span: Span) -> Poisoned:
        """Records that nothing flows in."""
        return self.fail(frame, "E0310", "there is no value above this entry", span, help="name its input: `relu(x)`")

    def not_given(self, need: str, entry: Entry, frame: Frame) -> Poisoned:
        """Records that an optional input of the block was left out where its value is needed."""
        message = f"{need}, but the optional value that flows in was not given"
        help = "leave the entry out then: `when: $(given(mask))`"
        return self.fail(frame, "E0307", message, entry.operator.span, help=help)

    def read(self, argument: Argument, site: Site, operator: str = "") -> Bound:
        """The value that an argument in a head's parentheses names. Raises `Poisoned`."""
        name: Any = argument.value
        if isinstance(name, str) and "$" in name:
            name = self.resolve(name, SpanTree(argument.span, inner=argument.span), site.scope)
        if not isinstance(name, str):
            if isinstance(name, TensorType):
                message = f"`{argument.value}` is the type of a value, {name}, and not the value"
                help = f"a value is named without `$`: `{str(argument.value).strip('$()')}`"
                raise self.fail(site.frame, "E0306", message, argument.span, help=help)
            message = f"`{name}` is a number, but the inputs of a layer are values"
            help = "compute with numbers: `compute: 2 * x`"
            cls, block = OPERATORS.get(operator), self.spec.blocks.get(operator)
            if argument.keyword is not None:
                help = f"arguments stand behind the colon: `{operator}: {{{argument.keyword}: {name}}}`"
            elif (cls is not None and cls.main is not None) or (block is not None and block.params):
                help = f"arguments stand behind the colon: `{operator}: {name}`"
            raise self.fail(site.frame, "E0306", message, argument.span, help=help)
        if name == "_":
            if site.flow is None:
                raise self.no_flow(site.frame, argument.span)
            return site.flow
        return self.value(name, argument.span, site.frame)

    def value(self, name: str, span: Span, frame: Frame) -> Bound:
        """The value of that name, or of that path into a named group. Raises `Poisoned`."""
        if name in frame.values:
            return frame.values[name]
        found = self.path(name, frame) if "." in name else None
        if found is not None:
            return found
        if any(may_name(entry, name.split(".")[0]) for entry in frame.lost):
            raise Poisoned
        help, notes = value_advice(name, span, frame)
        raise self.fail(frame, "E0306", f"there is no value `{name}` here", span, help=help, notes=notes)

    def path(self, name: str, frame: Frame) -> Bound | None:
        """`features.3`, `blocks.*`, or an output of a block call such as `fpn.p2`."""
        first, *rest = name.split(".")
        owner: FunctionDraft | None
        node: NodeDraft | None
        group = frame.groups.get(first)
        if group is not None:
            owner, node = group.parent, group.call
        else:
            holder = frame.values.get(first)
            if not isinstance(holder, Ref):
                return None
            if holder.type is None:
                raise Poisoned
            owner, node = holder.draft, maker(holder)
        for position, step in enumerate(rest):
            last = position == len(rest) - 1
            if node is None:
                return None
            if isinstance(node.callee, FunctionDraft):
                owner = node.callee
                if step == "*" and last:
                    return tuple(output(owner, item, 0) for item in owner.nodes if item.name.isdigit())
                node = owner.layer(step)
            elif step in node.output_names and last and owner is not None:
                return output(owner, node, node.output_names.index(step))
            else:
                return None
        return None if node is None or owner is None else output(owner, node, 0)

    def local(self, value: Bound, entry: Entry, site: Site, *, maybe: bool = False) -> Ref | None:
        """A single value, seen from the function under construction; None for an absent one. Raises `Poisoned`.

        One that may be absent when the network runs is taken only where `maybe`.
        """
        if isinstance(value, Parted):
            settled = value.settled(site.assumed)
            if settled is None:
                raise self.parted(value, entry, site)
            return self.local(settled, entry, site, maybe=maybe)
        if isinstance(value, Absent):
            return None
        if isinstance(value, tuple):
            message = f"{len(value)} values flow in here, where one is expected"
            raise self.fail(
                site.frame, "E0307", message, entry.span, help="give `branches` a `merge`, or name its values"
            )
        if value.type is None:
            raise Poisoned
        if value.presence is not None and value.presence.opposite in site.assumed:
            return None
        if value.presence is not None and value.presence not in site.assumed and not maybe:
            raise self.perhaps_absent(value, entry, site)
        return localize(value, site.draft)

    def perhaps_absent(self, value: Ref, entry: Entry, site: Site) -> Poisoned:
        """Records that a value may be absent where it is needed."""
        assert value.presence is not None
        name = value.presence.name
        is_input = site.frame.optional.get(name) is value
        what = f"`{name}`" if is_input else f"a value that exists only {self.where(value.presence)}"
        condition = f"given({name})" if value.presence.given else f"not given({name})"
        message = f"`{entry.operator.value}` needs {what}, which may be absent when the network runs"
        help = f"say when: `when: $({condition})`" + (
            f"; or make it where it is absent: `{name} = …` with `when: $(not given({name}))`" if is_input else ""
        )
        notes = [] if is_input else [Note("it is made here", value.span)]
        return self.fail(site.frame, "E0365", message, entry.operator.span, notes=notes, help=help)

    def parted(self, value: Parted, entry: Entry, site: Site) -> Poisoned:
        """Records that one of two values flows, and that they are of different kinds."""
        sides = [value.value, value.otherwise]
        shown = [str(side.type) if isinstance(side, Ref) else "nothing" for side in sides]
        where = self.where(value.presence)
        message = f"what `{entry.operator.value}` reads is {shown[0]} {where}, and {shown[1]} otherwise"
        notes = [Note("one is made here", side.span) for side in sides if isinstance(side, Ref)]
        help = "name the value that is meant, or give both the same shape and dtype"
        return self.fail(site.frame, "E0365", message, entry.operator.span, notes=notes, help=help)

    def where(self, presence: Presence) -> str:
        """A condition in words."""
        return f"where `{presence.name}` is {'given' if presence.given else 'absent'}"

    # ---- the inputs of an entry ----------------------------------------------------------------------

    def single_input(self, entry: Entry, site: Site) -> Bound | None:
        """What flows into a structural entry: its one input in parentheses, or the value above."""
        if entry.inputs is None:
            return site.flow
        if len(entry.inputs) != 1:
            raise self.fail(site.frame, "E0307", f"`{entry.operator.value}` takes one input", entry.span)
        return self.read(entry.inputs[0], site)

    def inputs(
        self,
        name: str,
        ports: Sequence[str],
        entry: Entry,
        site: Site,
        defaults: Mapping[str, str] | None = None,
        maybe: Collection[str] | None = None,
    ) -> list[Ref | None]:
        """The inputs of an operator or block in the order of its ports. Raises `Poisoned`.

        Ports are written `x`, `mask?` (optional) or `*xs` (any number); `defaults` maps a port to another. `maybe` are
        the ports that take what may be absent when the network runs: the optional ones, unless given.
        """
        defaults = defaults or {}
        variadic = bool(ports) and ports[0].startswith("*")
        plain = [port.lstrip("*").rstrip("?") for port in ports]
        required = [port for port in plain if f"{port}?" not in ports and port not in defaults]
        bound: dict[str, Bound] = {}
        many: list[Bound] = []
        if entry.inputs is not None:
            many = self.listed(name, plain, variadic, entry, site, bound)
        elif ports:
            if len(required) > 1 or variadic:
                listing = f"{name}(_, other)" if variadic else f"{name}({', '.join(['_', *plain[1:]])})"
                message = f"`{name}` has several inputs; they must be listed"
                raise self.fail(site.frame, "E0307", message, entry.operator.span, help=f"write `{listing}`")
            if site.flow is None:
                raise self.no_flow(site.frame, entry.operator.span)
            bound[plain[0]] = site.flow
        for port, default in defaults.items():
            if port not in bound and default in bound:
                bound[port] = bound[default]
        missing = [] if variadic else [port for port in required if port not in bound]
        if missing or (variadic and not many):
            missing_name = missing[0] if missing else plain[0]
            empty = entry.inputs == () and len(required) == 1
            help = f"for the value above, leave the parentheses out: `{name}`" if empty else None
            message = f"`{name}` needs its input `{missing_name}`"
            raise self.fail(site.frame, "E0307", message, entry.operator.span, help=help)
        for port, value in [(plain[0], value) for value in many] if variadic else bound.items():
            if isinstance(value, Absent) and (variadic or port in required):
                raise self.not_given(f"`{name}` needs its input `{port}`", entry, site.frame)
        if variadic:
            return [self.local(value, entry, site) for value in many]
        maybe = [port for port in plain if port not in required and port not in defaults] if maybe is None else maybe
        return [self.local(bound.get(port, ABSENT), entry, site, maybe=port in maybe) for port in plain]

    def listed(
        self, name: str, plain: Sequence[str], variadic: bool, entry: Entry, site: Site, bound: dict[str, Bound]
    ) -> list[Bound]:
        """Reads the inputs in a head's parentheses into `bound`, or gives them in order. Raises `Poisoned`."""
        many: list[Bound] = []
        failed = False
        for index, argument in enumerate(entry.inputs or ()):
            try:
                value = self.read(argument, site, name)
            except Poisoned:
                failed = True
                continue
            if variadic and argument.keyword is None:
                many.extend(value if isinstance(value, tuple) else (value,))
            elif argument.keyword in bound:
                self.fail(site.frame, "E0307", f"`{name}` gets its input `{argument.keyword}` twice", argument.span)
                failed = True
            elif argument.keyword in plain and not variadic:
                bound[str(argument.keyword)] = value
            elif argument.keyword is not None:
                message, help = f"`{name}` has no input `{argument.keyword}`", did_you_mean(argument.keyword, plain)
                self.fail(site.frame, "E0307", message, argument.span, help=help)
                failed = True
            elif index < len(plain):
                bound[plain[index]] = value
            else:
                count = "no inputs" if not plain else "one input" if len(plain) == 1 else f"{len(plain)} inputs"
                self.fail(site.frame, "E0307", f"`{name}` takes {count}", argument.span)
                failed = True
        if failed:
            raise Poisoned
        return many


def output(owner: FunctionDraft, node: NodeDraft, index: int) -> Ref:
    """One of the values that a node of `owner` makes; of unknown type after a mistake in the node."""
    if index >= len(node.outputs):
        return Ref(owner, "", None, node.span)
    return Ref(owner, node.outputs[index], node.types[index], node.span, node.presence)


def _tuples(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value
