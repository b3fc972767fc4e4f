"""Pydantic's verdict on some arguments, told in the words of a spec and at the place in the file.

Any class whose fields are a spec's arguments (operators, losses, optimizers, data sources, sections) is
validated here, so unknown names get the nearest right one and wrong types say what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from specdl.diagnostics import Diagnostics, Note, Span, did_you_mean, nearest
from specdl.source import SpanTree, resolve_scalar
from specdl.spec.habits import argument_help, argument_meant, choice_help, key_help

Model = TypeVar("Model", bound=BaseModel)

Hint = Callable[[Sequence[Any], Any], str | None]
"""What to write instead of a value of the wrong type, from its path and itself; asked only after a mistake."""


def validate(
    cls: type[Model],
    data: Mapping[str, Any],
    spans: SpanTree,
    diagnostics: Diagnostics,
    *,
    what: str,
    code: str = "E0203",
    notes: tuple[Note, ...] = (),
    noun: str = "argument",
    hint: Hint | None = None,
    context: Mapping[str, Any] | None = None,
) -> Model | None:
    """An instance of `cls`, or None after its mistakes were recorded.

    `what` names the thing in messages (`conv2d`), `noun` its fields; `spans` is the tree of `data`; `hint`
    knows what a wrong value may be meant to be; `context` is what pydantic tells the validators of `cls`.
    """
    try:
        return cls.model_validate(data, context=context)
    except ValidationError as error:
        items = error.errors(include_url=False)
        meant = {
            argument_meant(str(item["loc"][-1]), _names(cls)) for item in items if item["type"] == "extra_forbidden"
        }
        for item in items:
            # An argument that is there under another name isn't missing as well.
            if item["type"] != "missing" or item["loc"][-1] not in meant:
                _report(item, cls, data, spans, diagnostics, what, code, notes, noun, hint)
        return None


def repair(
    cls: type[BaseModel], data: Mapping[str, Any], spans: SpanTree
) -> tuple[dict[str, Any], SpanTree, frozenset[str]]:
    """The keys of a file or block as far as they are right, so that one wrong key doesn't hide other mistakes.

    A misspelt key counts as the one that was meant, other unknown ones and those of a wrong type are left out. Also
    gives the names of what is left out. Records nothing: `validate` has told each.
    """
    names = {field.alias or name: name for name, field in cls.model_fields.items()}
    kept, keys, children = {}, dict(spans.keys), dict(spans.children)
    for key, value in data.items():
        meant = key if key in names else nearest(str(key), names)
        if meant is None or (meant != key and meant in data):
            continue
        kept[meant] = value
        if meant != key:
            keys[meant] = spans.key(key)
            children[meant] = spans.child(key)
    wrong: frozenset[str] = frozenset()
    try:
        cls.model_validate(kept)
    except ValidationError as error:
        wrong = frozenset(str(item["loc"][0]) for item in error.errors(include_url=False) if item["loc"])
    kept = {key: value for key, value in kept.items() if key not in wrong}
    return kept, SpanTree(spans.span, keys, children, spans.inner), wrong


def check_names(
    cls: type[BaseModel],
    data: Mapping[str, Any],
    spans: SpanTree,
    diagnostics: Diagnostics,
    *,
    what: str,
    notes: tuple[Note, ...] = (),
) -> None:
    """Records the arguments that `cls` doesn't have, where their values aren't known."""
    known = _names(cls)
    for name in data:
        if name not in known:
            _unknown(cls, str(name), data[name], spans.key(name), diagnostics, what, notes, "argument", nested=False)


def _report(
    item: Any,
    cls: type[BaseModel],
    data: Mapping[str, Any],
    spans: SpanTree,
    diagnostics: Diagnostics,
    what: str,
    code: str,
    notes: tuple[Note, ...],
    noun: str,
    hint: Hint | None,
) -> None:
    # A pydantic location may hold names of union members; only steps that exist in the data are ours.
    path: list[Any] = []
    value: Any = data
    for step in item["loc"]:
        if (isinstance(value, Mapping) and step in value) or (
            isinstance(value, (list, tuple)) and isinstance(step, int) and step < len(value)
        ):
            path.append(step)
            value = value[step]
    kind = item["type"]
    name = str(item["loc"][-1]) if item["loc"] else ""
    if kind == "extra_forbidden":
        place = spans.key(*path) if path else spans.span
        _unknown(cls, name, value, place, diagnostics, what, notes, noun, nested=len(path) > 1)
    elif kind == "missing":
        diagnostics.add(
            "E0202",
            f"{_quoted(what)} needs `{name}`",
            spans.at(*path) if path else spans.span,
            help=_description(cls, name),
            notes=notes,
        )
    else:
        argument = ".".join(str(step) for step in path)
        where = f"`{argument}` of {_quoted(what)}" if argument else _quoted(what)
        # A verdict on the whole needs no echo of it.
        got = f", got {show(value)}" if argument or kind in _WORDS else ""
        help: str | None = None if hint is None else hint(path, value)
        if help is None and kind in _NUMBERS and _is_quoted_number(value):
            help = "without the quotes it is a number"
        elif help is None and isinstance(value, str):
            help = _word_help(value, _message(item))
        if help is None and kind in _LISTS and isinstance(value, (str, int, float)):
            help = f"a list has brackets: `[{value}]`"
        diagnostics.add(code, f"{where}: {_message(item)}{got}", spans.at(*path), help=help, notes=notes)


_NUMBERS = frozenset({"int_type", "float_type"})
_LISTS = frozenset({"list_type", "tuple_type"})


def _word_help(value: str, message: str) -> str | None:
    """The word that is meant, where the message lists the words that are expected."""
    words = re.findall(r"'(\w+)'", message)
    return did_you_mean(value.lower(), words) if words else None


def _is_quoted_number(value: Any) -> bool:
    return isinstance(value, str) and isinstance(resolve_scalar(value), (int, float))


def _quoted(what: str) -> str:
    """A name in backquotes; a phrase (`a spec`) as it is."""
    return what if " " in what else f"`{what}`"


def _names(cls: type[BaseModel]) -> list[str]:
    """The fields as a spec writes them."""
    return [field.alias or name for name, field in cls.model_fields.items()]


def _unknown(
    cls: type[BaseModel],
    name: str,
    value: Any,
    span: Span,
    diagnostics: Diagnostics,
    what: str,
    notes: tuple[Note, ...],
    noun: str,
    nested: bool,
) -> None:
    fields = _names(cls)
    key, colon, rest = name.partition(":")
    if colon and rest and value is None and key in fields:
        meant = f"write `{key}: {rest.strip()}`"
        diagnostics.add("E0153", "a colon needs a space behind it", span, help=meant, notes=notes)
        return
    help: str | None = None
    if noun == "key" and not nested:
        help = (key_help(name) if what == "a spec" else None) or did_you_mean(name, fields)
    elif not nested:
        help = argument_help(name, what, value, fields, getattr(cls, "inferred", ()))
    if help is None and not fields:
        help = f"`{what}` takes no arguments"
    elif help is None and not nested:
        help = f"it takes {', '.join(f'`{field}`' for field in fields)}"
    diagnostics.add("E0201", f"{_quoted(what)} has no {noun} `{name}`", span, help=help, notes=notes)


def _description(cls: type[BaseModel], name: str) -> str | None:
    field = cls.model_fields.get(name)
    return f"`{name}`: {field.description}" if field is not None and field.description else None


_WORDS: dict[str, str] = {
    "int_type": "expected an integer",
    "int_from_float": "expected an integer",
    "float_type": "expected a number",
    "bool_type": "expected true or false",
    "string_type": "expected a word",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "dict_type": "expected a mapping",
    "model_type": "expected a mapping of arguments",
    "model_attributes_type": "expected a mapping of arguments",
    "none_required": "expected nothing",
}

_BOUNDS: dict[str, tuple[str, str]] = {
    "greater_than": ("gt", "must be greater than"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be less than"),
    "less_than_equal": ("le", "must be at most"),
}


def _message(item: Any) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind in _WORDS:
        return _WORDS[kind]
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{words} {context[key]}"
    if kind in {"literal_error", "enum"}:
        return f"expected one of {context['expected']}"
    message = str(item["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


MAX_SHOWN = 100


def show(value: Any) -> str:
    """A value as a message quotes it: short, in YAML's spelling."""
    text = _spelled(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _spelled(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"`{value}`" if len(value) <= 60 else f"`{value[:57]}...`"
    if isinstance(value, (list, tuple)):
        return (
            "[" + ", ".join(show(item).strip("`") for item in value) + "]"
            if len(value) <= 12
            else f"a list of {len(value)}"
        )
    if isinstance(value, Mapping):
        return (
            "a mapping"
            if len(value) > 4 or any(len(str(key)) > 60 for key in value)
            else "{" + ", ".join(f"{key}: {show(item).strip('`')}" for key, item in value.items()) + "}"
        )
    return str(value)


def choose(name: str, table: Mapping[str, Any], span: Span, diagnostics: Diagnostics, *, what: str) -> Any | None:
    """The entry of `table` that `name` names, or None after the mistake was recorded."""
    if name in table:
        return table[name]
    listing = ", ".join(f"`{key}`" for key in sorted(table)) if len(table) <= 12 else None
    help = choice_help(name, table) or (f"known: {listing}" if listing else None)
    diagnostics.add("E0206", f"there is no {what} `{name}`", span, help=help)
    return None
