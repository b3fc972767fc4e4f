"""YAML text becomes plain data with a tree of positions beside it.

The data is what `yaml.safe_load` would give under YAML 1.2 core rules (`on`, `no` and `yes` are strings,
`1e-3` is a number); the `SpanTree` has the same shape and says where each key and value stands, so that
any later stage can point at the line. Both are built straight from the parser's event stream, which is
where the limits are enforced: a hostile file is refused before it has been expanded.
"""

from __future__ import annotations

import contextlib
import gc
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from specdl.diagnostics import Diagnostics, Note, Span, SpecError
from specdl.yaml_mistakes import yaml_mistake

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_NODES = 100_000
MAX_DIGITS = 250  # an integer of so many digits fits into a float, hexadecimal ones too; what is longer stays a word

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULL = {"", "~", "null", "Null", "NULL"}
_TRUE = {"true", "True", "TRUE"}
_FALSE = {"false", "False", "FALSE"}
_INT = re.compile(r"[-+]?[0-9]+\Z")
_OCTAL = re.compile(r"0o[0-7]+\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_SPECIAL: dict[str, float] = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}


@dataclass(slots=True)
class SpanTree:
    """Positions of one value: `span` of the value, and the trees of its items or entries.

    For a mapping, `keys` has the span of each key and `children` the tree of each value; for a sequence,
    `children` is indexed by position. `inner` is where a scalar's text begins, past an opening quote.
    """

    span: Span
    keys: dict[Any, Span] = field(default_factory=dict)
    children: dict[Any, SpanTree] = field(default_factory=dict)
    inner: Span | None = None

    def at(self, *path: Any) -> Span:
        """The span of the value at `path`; the nearest enclosing one where the path leads nowhere."""
        tree = self
        for step in path:
            child = tree.children.get(step)
            if child is None:
                return tree.keys.get(step, tree.span)
            tree = child
        return tree.span

    def key(self, *path: Any) -> Span:
        """The span of the key at `path` (of the value, where the last step is a position)."""
        tree = self.child(*path[:-1])
        return tree.keys.get(path[-1]) or tree.at(path[-1])

    def child(self, *path: Any) -> SpanTree:
        """The tree at `path`; a tree of the nearest enclosing span where the path leads nowhere."""
        tree = self
        for step in path:
            found = tree.children.get(step)
            if found is None:
                return SpanTree(tree.keys.get(step, tree.span))
            tree = found
        return tree

    def text(self, offset: int, length: int) -> Span:
        """The place of some characters of a scalar's text."""
        inner = self.inner
        if inner is None or self.span.line != self.span.end_line:
            return self.span
        return inner.part(offset, length)


@dataclass(frozen=True, slots=True)
class Source:
    """A loaded file: its text, its data, and where everything stands.

    `file` is its name in messages; `path` where it was read, None for text that is no file. `nodes` are its values,
    aliases expanded.
    """

    file: str
    text: str
    data: Any
    spans: SpanTree
    path: Path | None = None
    nodes: int = 0


def load_source(path: str | Path) -> Source:
    """Reads and parses a YAML file; `zoo:NAME` is one that specdl ships.

    Raises `SpecError` when the file is missing, unreadable, too large, not YAML, or past a limit.
    """
    name = str(path)
    diagnostics = Diagnostics()
    if name.startswith("zoo:"):
        from specdl.zoo import zoo_file

        path = zoo_file(name)
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        diagnostics.add("E0001", f"there is no file `{name}`", help=_similar_file(Path(path)))
    except IsADirectoryError:
        diagnostics.add("E0001", f"`{name}` is a folder, not a spec", help="name the YAML file in it")
    except OSError as error:
        diagnostics.add("E0001", f"can't read `{name}`: {error.strerror}")
    else:
        if len(raw) > MAX_BYTES:
            diagnostics.add("E0002", f"`{name}` has {len(raw):,} bytes; a spec may have {MAX_BYTES:,}")
        else:
            try:
                return replace(parse_text(raw.decode("utf-8-sig"), name), path=Path(path))
            except UnicodeDecodeError as error:
                diagnostics.add("E0003", f"`{name}` isn't UTF-8 text (byte {error.start})")
    raise SpecError(diagnostics.sorted(), diagnostics.texts)


def _similar_file(path: Path) -> str | None:
    from specdl.diagnostics import did_you_mean

    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix in {".yaml", ".yml"}]
    except OSError:
        return None
    return did_you_mean(path.name, names)


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Pauses Python's cycle collector.

    A compiler makes many objects and throws few away; the collector walks all of them again and again, which
    makes a deep spec cost more than its length. What is made is bounded by the limits on a spec.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@without_collector()
def parse_text(text: str, file: str = "<text>") -> Source:
    """Parses YAML text. Raises `SpecError` with the place of the mistake."""
    diagnostics = Diagnostics(texts={file: text})
    builder = _Builder(file, diagnostics)
    try:
        data, spans = builder.document(text)
    except yaml.MarkedYAMLError as error:
        _report_yaml_error(error, file, diagnostics)
    except yaml.YAMLError as error:  # a control character, for instance: it has no mark
        diagnostics.add("E0004", f"not YAML: {str(error).splitlines()[0]}", _start(file))
    diagnostics.raise_if_failed()
    return Source(file, text, data, spans, nodes=builder.nodes)


def _start(file: str) -> Span:
    return Span(file, 1, 1, 1, 2)


def _report_yaml_error(error: yaml.MarkedYAMLError, file: str, diagnostics: Diagnostics) -> None:
    found = yaml_mistake(error, diagnostics.texts[file], file)
    if "nesting depth" in (error.problem or ""):  # libyaml looks ahead, and has a limit of its own
        found = replace(found, code="E0002", message=f"nested deeper than {MAX_DEPTH} levels", notes=(), help=None)
    diagnostics.add(found.code, found.message, found.span, notes=found.notes, help=found.help)


@dataclass(slots=True)
class _Anchored:
    data: Any
    spans: SpanTree
    nodes: int


class _Builder:
    """Builds data and positions from parser events, counting nodes and depth as it goes."""

    def __init__(self, file: str, diagnostics: Diagnostics) -> None:
        self.file = file
        self.diagnostics = diagnostics
        self.anchors: dict[str, _Anchored] = {}
        self.nodes = 0

    def document(self, text: str) -> tuple[Any, SpanTree]:
        loader = _Loader(text)
        try:
            events = self._events(loader)
            next(events)  # stream start
            event = next(events)
            if isinstance(event, yaml.StreamEndEvent):
                return None, SpanTree(_start(self.file))
            result = self._value(next(events), events, 1)
            next(events)  # document end
            event = next(events)
            if not isinstance(event, yaml.StreamEndEvent):
                self._fail("E0005", "a spec is one YAML document", event, help="remove the second `---`")
            return result
        finally:
            loader.dispose()

    def _events(self, loader: Any) -> Iterator[Any]:
        while loader.check_event():
            yield loader.get_event()

    def _span(self, event: Any) -> Span:
        start, end = event.start_mark, event.end_mark
        return Span(self.file, start.line + 1, start.column + 1, end.line + 1, end.column + 1)

    def _fail(self, code: str, message: str, event: Any, help: str | None = None) -> None:
        """Past this mistake nothing can be read: raise at once."""
        self.diagnostics.add(code, message, self._span(event), help=help)
        raise SpecError(self.diagnostics.sorted(), self.diagnostics.texts)

    def _count(self, nodes: int, event: Any) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            self._fail("E0002", f"a spec may have {MAX_NODES:,} values, aliases expanded", event)

    def _value(self, event: Any, events: Iterator[Any], depth: int) -> tuple[Any, SpanTree]:
        if depth > MAX_DEPTH:
            self._fail("E0002", f"nested deeper than {MAX_DEPTH} levels", event)
        if isinstance(event, yaml.AliasEvent):
            found = self.anchors.get(str(event.anchor))
            if found is None:
                help = f'a value that begins with `*` is an alias in YAML; as text it is quoted: `"*{event.anchor}"`'
                self._fail("E0006", f"there is no anchor `&{event.anchor}` above this alias", event, help=help)
                raise AssertionError
            self._count(found.nodes, event)
            return found.data, SpanTree(self._span(event), found.spans.keys, found.spans.children)
        self._count(1, event)
        if event.tag is not None and not (isinstance(event, yaml.ScalarEvent) and event.tag == "!"):
            self._fail("E0007", f"the tag `{event.tag}` is not allowed: a spec holds plain data", event)
        before = self.nodes
        if isinstance(event, yaml.ScalarEvent):
            result = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            result = self._sequence(event, events, depth)
        else:
            result = self._mapping(event, events, depth)
        if event.anchor is not None:
            self.anchors[str(event.anchor)] = _Anchored(*result, nodes=self.nodes - before + 1)
        return result

    def _scalar(self, event: Any) -> tuple[Any, SpanTree]:
        span = self._span(event)
        if not event.style:  # None from the Python parser, empty from the C one
            return resolve_scalar(event.value), SpanTree(span, inner=span)
        inner = span.part(1, 1) if event.style in "'\"" else None
        return event.value, SpanTree(span, inner=inner)

    def _sequence(self, event: Any, events: Iterator[Any], depth: int) -> tuple[Any, SpanTree]:
        items: list[Any] = []
        tree = SpanTree(self._span(event))
        end = event
        for item in events:
            if isinstance(item, yaml.SequenceEndEvent):
                end = item
                break
            data, spans = self._value(item, events, depth + 1)
            tree.children[len(items)] = spans
            items.append(data)
        tree.span = self._extent(event, end, tree.children)
        return items, tree

    def _mapping(self, event: Any, events: Iterator[Any], depth: int) -> tuple[Any, SpanTree]:
        entries: dict[str, Any] = {}
        tree = SpanTree(self._span(event))
        end = event
        for item in events:
            if isinstance(item, yaml.MappingEndEvent):
                end = item
                break
            key = self._key(item)
            span = self._span(item)
            data, spans = self._value(next(events), events, depth + 1)
            if key in entries:
                self.diagnostics.add(
                    "E0008",
                    f"the key `{key}` stands twice in this mapping",
                    span,
                    notes=[Note("it stands here first", tree.keys[key])],
                    help="keep one; a later key never replaces an earlier one silently",
                )
                continue
            entries[key] = data
            tree.keys[key] = span
            tree.children[key] = spans
        tree.span = self._extent(event, end, tree.children)
        return entries, tree

    def _key(self, event: Any) -> str:
        self._count(1, event)
        if not isinstance(event, yaml.ScalarEvent):
            self._fail(
                "E0009",
                "a key must be a word, not a list or a mapping",
                event,
                help="quote it if it holds `{`, `[` or `,`",
            )
        if event.tag is not None and event.tag != "!":
            self._fail("E0007", f"the tag `{event.tag}` is not allowed: a spec holds plain data", event)
        return str(event.value)

    def _extent(self, start: Any, end: Any, children: dict[Any, SpanTree]) -> Span:
        """A flow collection ends at its bracket, a block collection at its last child."""
        begin = start.start_mark
        if start.flow_style or not children:
            stop = end.end_mark
            return Span(self.file, begin.line + 1, begin.column + 1, stop.line + 1, stop.column + 1)
        last = children[next(reversed(children))].span
        return Span(self.file, begin.line + 1, begin.column + 1, last.end_line, last.end_column)


def resolve_scalar(text: str) -> Any:
    """A plain scalar's value under the YAML 1.2 core schema."""
    first = text[:1]
    if first in "-+.0123456789" and text:
        if len(text) > MAX_DIGITS:
            return text
        if _INT.match(text):
            return int(text)
        if _FLOAT.match(text):
            return float(text)
        if _OCTAL.match(text):
            return int(text, 8)
        if _HEX.match(text):
            return int(text, 16)
        return _SPECIAL.get(text.lower(), text)
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    return text
