"""A layer entry, `name = operator(inputs): arguments`, becomes an `Entry`.

The head is parsed here, before anything looks at the arguments, so that mistakes in it have a column.
Structural entries (`sequence`, `repeat`, `for`, `residual`, `branches`) hold their entries parsed as well.
Names may still contain `$name` and `$( … )`: they are bound when the spec is elaborated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from specdl.diagnostics import Diagnostics, Note, Span
from specdl.source import SpanTree, resolve_scalar
from specdl.spec.expressions import ExpressionError, closing, pieces
from specdl.spec.habits import entry_help, list_help
from specdl.spec.validate import show


@dataclass(frozen=True, slots=True)
class Text:
    """A word of a head with its place."""

    value: str
    span: Span


@dataclass(frozen=True, slots=True)
class Argument:
    """One input in a head's parentheses: a value's name, `_`, or a number; `keyword` for `name=value`."""

    value: str | int | float
    keyword: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list of layers.

    `body` holds the entries of a `sequence`, `repeat`, `for` or `residual`; `paths` those of `branches`;
    `shortcut` a residual's. `inputs` is None where the head has no parentheses.
    """

    targets: tuple[Text, ...]
    operator: Text
    inputs: tuple[Argument, ...] | None
    arguments: Any
    spans: SpanTree
    span: Span
    body: tuple[Entry, ...] = ()
    paths: tuple[tuple[Entry, ...], ...] = ()
    shortcut: tuple[Entry, ...] | None = None
    merge: Text | None = None
    given: Mapping[str, Any] | str | None = None
    given_spans: SpanTree | None = None
    when: Any = True
    when_spans: SpanTree | None = None
    init: Mapping[str, Any] | None = None
    init_spans: SpanTree | None = None


STRUCTURAL = ("sequence", "repeat", "for", "residual", "branches", "use", "call", "compute", "rearrange")
LEVELS = ("sequence", "repeat", "for", "residual", "branches")
"""Those of which each is a level of its own where it has a name or a number."""
_EXTRA_KEYS: dict[str, tuple[str, ...]] = {
    "repeat": ("body",),
    "for": ("body",),
    "branches": ("merge",),
    "use": ("with",),
}
BESIDE = frozenset({"when", "init", "body", "merge", "with"})
"""The keys that may stand beside an operator in an entry."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_NAME_WITH_EXPRESSIONS = re.compile(r"(?:[A-Za-z0-9_]|\$[A-Za-z_][A-Za-z0-9_]*|\$\(.*\))+\Z", re.DOTALL)
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.(?:[A-Za-z0-9_]+|\*))*\Z")


def parse_entries(data: Any, spans: SpanTree, diagnostics: Diagnostics, *, where: str) -> tuple[Entry, ...]:
    """The entries of a list of layers; `where` names the list in messages (`layers`)."""
    if data is None:
        return ()
    if not isinstance(data, list):
        diagnostics.add("E0102", f"`{where}` must be a list of layers", spans.span, help=list_help(data))
        return ()
    parsed = (parse_entry(item, spans.child(index), diagnostics) for index, item in enumerate(data))
    return tuple(entry for entry in parsed if entry is not None)


def may_name(entry: Entry, name: str) -> bool:
    """Whether the entry, or one inside of it, may give a value this name; names may hold expressions."""
    if any(_matches(target.value, name) for target in entry.targets):
        return True
    inner = (*entry.body, *(entry.shortcut or ()), *(item for path in entry.paths for item in path))
    return any(may_name(item, name) for item in inner)


def _matches(target: str, name: str) -> bool:
    if "$" not in target:
        return target == name
    try:
        parts = pieces(target)
    except ExpressionError:
        return True
    return re.fullmatch("".join(".*" if part.expression else re.escape(part.text) for part in parts), name) is not None


def parse_entry(data: Any, spans: SpanTree, diagnostics: Diagnostics) -> Entry | None:
    """One entry, or None after its mistake was recorded."""
    if isinstance(data, str):
        return _build(data, None, SpanTree(spans.span), spans.inner or spans.span, {}, spans, diagnostics)
    if not isinstance(data, Mapping):
        diagnostics.add(
            "E0103",
            f"a layer is written `name = operator(inputs): arguments`, this is {_what(data)}",
            spans.span,
            help="to leave a layer out, remove its line"
            if data is None
            else "each layer is an entry of its own, `- conv2d: {…}`; parallel paths are `branches`"
            if isinstance(data, list)
            else None,
        )
        return None
    heads = [key for key in data if key not in BESIDE]
    if not heads:
        diagnostics.add("E0103", f"this entry has `{next(iter(data), '')}` but no operator", spans.span)
        return None
    head, *others = heads
    if others:
        if _open(head):
            help = "quote the head if it holds a comma"
        elif (meant := entry_help(data, others[0])) is not None:
            help = meant
        elif data[head] is None:
            help = f"indent it under `{head}:` if it is an argument, or begin it with `- ` if it is a layer"
        else:
            help = "begin it with `- ` to make it a layer of its own"
        diagnostics.add(
            "E0104",
            f"one entry holds one layer, but here is `{others[0]}` beside `{head}`",
            spans.key(others[0]),
            notes=[Note("the entry begins here", spans.key(head))],
            help=help,
        )
        return None
    return _build(head, data[head], spans.child(head), spans.key(head), data, spans, diagnostics)


def _what(data: Any) -> str:
    return {type(None): "nothing", bool: "true or false", list: "a list"}.get(type(data), "a number")


def _open(head: str) -> bool:
    return head.count("(") != head.count(")")


def _build(
    head: str,
    arguments: Any,
    spans: SpanTree,
    place: Span,
    extra: Mapping[str, Any],
    tree: SpanTree,
    diagnostics: Diagnostics,
) -> Entry | None:
    parsed = parse_head(head, place, diagnostics)
    if parsed is None:
        return None
    targets, operator, inputs = parsed
    name = operator.value
    allowed = ("when", "init", *_EXTRA_KEYS.get(name, ()))
    for key in extra:
        if key in BESIDE and key not in allowed:
            diagnostics.add("E0101", f"`{name}` has no `{key}`", tree.key(key), help=_extra_help(key))
    body: tuple[Entry, ...] = ()
    paths: tuple[tuple[Entry, ...], ...] = ()
    shortcut: tuple[Entry, ...] | None = None
    if name == "sequence":
        body = parse_entries(arguments, spans, diagnostics, where="sequence")
    elif name in {"repeat", "for"}:
        if "body" not in extra:
            diagnostics.add(
                "E0105", f"`{name}` needs a `body`", place, help="write `body:` under it, with a list of layers"
            )
        else:
            body = parse_entries(extra["body"], tree.child("body"), diagnostics, where="body")
    elif name == "residual":
        body, shortcut = _residual(arguments, spans, diagnostics)
    elif name == "branches":
        paths = _branches(arguments, spans, diagnostics)
    merge = extra.get("merge")
    if merge is not None and not isinstance(merge, str):
        diagnostics.add("E0103", "`merge` names one operator: concat, add, mul, …", tree.at("merge"))
        merge = None
    given = extra.get("with")
    if given is not None and not isinstance(given, Mapping) and not (isinstance(given, str) and "$" in given):
        diagnostics.add("E0103", "`with` is a mapping of arguments", tree.at("with"))
        given = None
    return Entry(
        targets=targets,
        operator=operator,
        inputs=inputs,
        arguments=arguments,
        spans=spans,
        span=place,
        body=body,
        paths=paths,
        shortcut=shortcut,
        merge=None if merge is None else Text(merge, tree.at("merge")),
        given=given,
        given_spans=tree.child("with"),
        when=extra.get("when", True),
        when_spans=tree.child("when"),
        init=None if "init" not in extra else _init(name, extra["init"], tree, diagnostics),
        init_spans=tree.child("init"),
    )


_WITHOUT_WEIGHTS = {
    "call": "it runs a layer with that layer's weights: write `init` there",
    "compute": "it has no weights",
    "rearrange": "it has no weights",
    "parameter": "its `init` stands among its arguments: `{shape: [8], init: zeros}`",
    "buffer": "its `init` stands among its arguments: `{shape: [8], init: zeros}`",
}


def _init(name: str, data: Any, tree: SpanTree, diagnostics: Diagnostics) -> Mapping[str, Any] | None:
    """What stands beside an entry as `init`: initializers by the names of weights."""
    help = _WITHOUT_WEIGHTS.get(name)
    if help is not None:
        diagnostics.add("E0172", f"`{name}` has no `init` beside it", tree.key("init"), help=help)
        return None
    if isinstance(data, Mapping) and data:
        return data
    help = f"say of which: `init: {{weight: {data}}}`" if isinstance(data, str) else "e.g. `init: {weight: zeros}`"
    diagnostics.add("E0172", f"`init` has an initializer for each weight, got {show(data)}", tree.at("init"), help=help)
    return None


def _extra_help(key: str) -> str:
    return {
        "body": "`body` belongs to `repeat` and `for`; a residual has it inside: `residual: {body: [...]}`",
        "merge": "`merge` belongs to `branches`",
        "with": "`with` belongs to `use`; an operator's or block's arguments stand behind its colon",
    }[key]


def _residual(
    arguments: Any, spans: SpanTree, diagnostics: Diagnostics
) -> tuple[tuple[Entry, ...], tuple[Entry, ...] | None]:
    if not isinstance(arguments, Mapping):
        return parse_entries(arguments, spans, diagnostics, where="residual"), None
    for key in arguments:
        if key not in {"body", "shortcut"}:
            diagnostics.add(
                "E0101", f"`residual` has no `{key}`", spans.key(key), help="it takes `body` and `shortcut`"
            )
    body = parse_entries(arguments.get("body"), spans.child("body"), diagnostics, where="body")
    if "shortcut" not in arguments:
        return body, None
    return body, parse_entries(arguments["shortcut"], spans.child("shortcut"), diagnostics, where="shortcut")


def _branches(arguments: Any, spans: SpanTree, diagnostics: Diagnostics) -> tuple[tuple[Entry, ...], ...]:
    if not isinstance(arguments, list) or not arguments:
        diagnostics.add("E0102", "`branches` is a list of paths, each a list of layers", spans.span)
        return ()
    paths: list[tuple[Entry, ...]] = []
    for index, path in enumerate(arguments):
        place = spans.child(index)
        # A loop in place of a path makes one path a row.
        is_loop = isinstance(path, Mapping) and any(re.search(r"(^|=\s*)(for|repeat)\b", key) for key in path)
        if isinstance(path, list) or is_loop:
            shifted = SpanTree(place.span, children={0: place}) if is_loop else place
            paths.append(parse_entries([path] if is_loop else path, shifted, diagnostics, where="branches"))
        else:
            diagnostics.add(
                "E0102", "each path of `branches` is a list of layers", place.span, help="write `- [layer, layer]`"
            )
    return tuple(paths)


def parse_head(
    head: str, place: Span, diagnostics: Diagnostics
) -> tuple[tuple[Text, ...], Text, tuple[Argument, ...] | None] | None:
    """Splits `a, b = operator(x, mask=y)`; None after a mistake was recorded. `place` is where the text begins."""

    def fail(code: str, message: str, offset: int, length: int, help: str | None = None) -> None:
        diagnostics.add(code, message, place.part(offset, length) if place.line == place.end_line else place, help=help)

    equals = _top_level(head, "=")
    left, right_offset = ("", 0) if equals is None else (head[:equals], equals + 1)
    targets: list[Text] = []
    if equals is not None:
        for offset, text in _split(left, 0):
            if not _NAME_WITH_EXPRESSIONS.match(text):
                fail(
                    "E0106",
                    f"`{text}` is not a name" if text else "a name is missing here",
                    offset,
                    max(len(text), 1),
                    _name_help(text),
                )
                return None
            if text != "_" and any(text == target.value for target in targets):
                advice = "give each value a name of its own, or `_` where none is needed"
                fail("E0350", f"two values are called `{text}`", offset, len(text), advice)
            targets.append(Text(text, place.part(offset, len(text))))
    right = head[right_offset:]
    stripped = right.strip()
    offset = right_offset + len(right) - len(right.lstrip())
    bracket = stripped.find("(") if not stripped.startswith("$") else -1
    word = stripped if bracket < 0 else stripped[:bracket].rstrip()
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*", word):
        if stripped.count(")") > stripped.count("(") and diagnostics.items and diagnostics.items[-1].code == "E0108":
            return None  # the other half of a head that YAML cut at its comma
        several = place.line != place.end_line
        fail(*_no_operator(word, stripped, left.strip(), offset, called=bracket >= 0, several_lines=several))
        return None
    operator = Text(word, place.part(offset, len(word)))
    if bracket < 0:
        return tuple(targets), operator, None
    end = closing(stripped, bracket)
    if end is None:
        fail(
            "E0108",
            "this `(` never closes",
            offset + bracket,
            1,
            'inside `[ ]` or `{ }` YAML cuts a head at its comma: quote it, `"concat(a, b)"`',
        )
        return None
    rest = stripped[end + 1 :].strip()
    if rest and place.line != place.end_line:
        fail(*_several_lines(stripped))
        return None
    if rest:
        tight = re.match(r":[^\s:]", rest)
        if tight is not None:
            meant = f"write `{head[: offset + end + 1]}: {rest[1:]}`"
            fail("E0153", "a colon needs a space behind it", offset + end + 1, 1, meant)
            return None
        # Whoever quotes a head often quotes its arguments too.
        help = f'the colon stands outside the quotes: `"{head[: offset + end + 1]}"{rest}`' if rest[0] == ":" else None
        fail("E0107", f"`{rest}` doesn't belong behind the inputs", offset + end + 1, len(stripped) - end - 1, help)
        return None
    inputs: list[Argument] = []
    inner = stripped[bracket + 1 : end]
    if inner.strip():
        for at, text in _split(inner, offset + bracket + 1):
            argument = _input(text, at, place)
            if argument is None:
                fail(
                    "E0109",
                    f"`{text}` is not an input" if text else "an input is missing here",
                    at,
                    max(len(text), 1),
                    _input_help(text),
                )
                return None
            inputs.append(argument)
    return tuple(targets), operator, tuple(inputs)


def _several_lines(text: str) -> tuple[str, str, int, int, str | None]:
    help = "entries of one list begin with `- ` in one column"
    return "E0151", f"YAML reads several lines as one layer, `{text}`", 0, 1, help


def _no_operator(
    word: str, text: str, left: str, offset: int, *, called: bool, several_lines: bool
) -> tuple[str, str, int, int, str | None]:
    """What is wrong with `word`, which stands where an operator's name does: code, message, place, what to write.

    `text` is all that stands right of the `=`, `left` what stands left of it; `called` says that inputs follow.
    """
    name = f"{left} = " if left else ""
    if word.startswith("$"):
        return "E0107", "an operator's name can't be an expression here", offset, len(word), f"write `use: {word}`"
    if several_lines:
        return _several_lines(text)
    tight = None if called else re.fullmatch(r"([A-Za-z_]\w*):(\S.*)", text)
    if tight is not None:
        help = f"write `{name}{tight.group(1)}: {tight.group(2)}`"
        return "E0153", "a colon needs a space behind it", offset, tight.end(1) + 1, help
    message = f"`{word}` is not an operator" if word else "an operator is missing here"
    length = max(len(word), 1)
    if (expression := _as_compute(text)) is not None:
        return "E0107", message, offset, length, f"write `{name}compute: {expression}`"
    if " " in word and not left:
        first, _, rest = word.partition(" ")
        return "E0107", message, offset, length, f"a name is given with `=`: `{first} = {rest.strip()}`"
    return "E0107", message, offset, length, None


def _as_compute(text: str) -> str | None:
    """The text where it is arithmetic or an index, which `compute` is for."""
    return text if re.fullmatch(r"[\w.]+\s*([-+*/@]\s*[\w.(]|\[).*|-\s*[\w.(].*", text) else None


def _input(text: str, offset: int, place: Span) -> Argument | None:
    keyword: str | None = None
    span = place.part(offset, len(text))
    equals = _top_level(text, "=")
    if equals is not None:
        keyword, text = text[:equals].strip(), text[equals + 1 :].strip()
        if not _NAME.match(keyword):
            return None
    if "$" in text and not text.startswith("["):
        return Argument(text, keyword, span)
    value = resolve_scalar(text)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Argument(value, keyword, span)
    return Argument(text, keyword, span) if _PATH.match(text) else None


def _input_help(text: str) -> str | None:
    if text.startswith("["):
        return f"inputs are listed without brackets: `{text.strip('[]')}`"
    if re.search(r"[-+*/\[]", text):
        return "inputs are names of values; compute on a line of its own: `y = compute: …`"
    return None


def _name_help(text: str) -> str | None:
    fixed = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_")
    return f"names have letters, digits and `_`: `{fixed}`" if _NAME.match(fixed) else None


def _top_level(text: str, character: str) -> int | None:
    """Where `character` first stands outside brackets and quotes."""
    depth = 0
    for position, found in enumerate(text):
        if found in "([{":
            depth += 1
        elif found in ")]}":
            depth -= 1
        elif found == character and depth == 0:
            return position
    return None


def _split(text: str, offset: int) -> list[tuple[int, str]]:
    """The comma-separated parts of `text`, stripped, each with its offset."""
    parts: list[tuple[int, str]] = []
    start = depth = 0
    for position, found in enumerate([*text, ","]):
        if found in "([{":
            depth += 1
        elif found in ")]}":
            depth -= 1
        elif found == "," and depth == 0:
            part = text[start:position]
            parts.append((offset + start + len(part) - len(part.lstrip()), part.strip()))
            start = position + 1
    return parts
