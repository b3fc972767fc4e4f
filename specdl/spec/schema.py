"""The language as a JSON Schema, from the classes of its operators and sections: what an editor completes with.

A layer entry is one object with every operator under `properties`, never an `anyOf` of objects with one key each:
an editor then proposes each operator once, and blames an argument where it stands. For the same reason the types
that a value may have are listed in one `type` where that can be: JSON Schema's bounds for numbers, lists and
mappings don't disturb one another. docs/decisions/0014-schema-for-editors.md has what was measured.

A schema can't know the blocks that a spec declares, so any word may be an operator here; `specdl check` has the
last word.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter

from specdl.data.fields import FIELD_TYPES, FieldSpec
from specdl.data.sources import SOURCES
from specdl.data.tokenizers import TOKENIZERS
from specdl.data.transforms import ANY_TRANSFORMS, TRANSFORMS
from specdl.ir.types import DTYPES
from specdl.objectives.losses import LOSSES
from specdl.objectives.metrics import METRICS
from specdl.objectives.optimizers import OPTIMIZERS, Group
from specdl.objectives.schedulers import SCHEDULERS
from specdl.ops import OPERATORS
from specdl.ops.initializers import Init
from specdl.spec.budget import LIMITS
from specdl.spec.data import DataSection
from specdl.spec.file import LANGUAGE_VERSION, BlockFile, SpecFile
from specdl.spec.models import AverageFile, NetworkFile, SampleFile, StepFile, TrainedFile
from specdl.spec.recipe import Train
from specdl.spec.weights import WeightsFile

Schema = dict[str, Any]

DIALECT = "http://json-schema.org/draft-07/schema#"

EXPRESSION = r"\$"
"""A word with `$` in it may be an expression of any type."""

_TARGETS = r"^(?:[\w$].*=)?\s*"
_INPUTS = r"\s*(?:\(.*\))?\s*$"
_WORD = r"[A-Za-z_]\w*(?:\.\w+)*"
_HEAD = _TARGETS + _WORD + _INPUTS
"""`name = operator(inputs)`: the shape of a head, whatever its words."""

_HEAD_MESSAGE = "A layer is written `name = operator(inputs): arguments`"

STRUCTURE: dict[str, str] = {
    "sequence": "A group. A named one counts its children, as `nn.Sequential` does.",
    "repeat": "The `body` so many times, fresh weights each; `index`, `first`, `last` are in scope.",
    "for": "A table walked row by row: the `body` once a row; `index`, `first`, `last` are in scope.",
    "residual": "body(x) + shortcut(x); the shortcut is the identity unless given.",
    "branches": "Parallel paths over one input, brought together by `merge`; an empty path is the identity.",
    "use": "A block or an operator whose name is a parameter; `with` holds its arguments.",
    "call": "A layer that already exists, run again with the same weights: its name.",
    "compute": "Arithmetic on named values, as in PyTorch: `mu + exp(0.5 * logvar) * noise`.",
}
"""Structural entries, and what they mean."""

_BESIDE: dict[str, str] = {
    "when": "A condition, decided when the spec is compiled. Where it is false, the entry isn't there.",
    "init": "How its weights begin: an initializer for each, such as `{weight: {normal: {std: 0.02}}}`.",
    "body": "The layers of a `repeat` or `for`.",
    "merge": "How `branches` come together: `concat`, `add`, `mul` or any operator over several values.",
    "with": "The arguments of `use`.",
}
"""What may stand beside an operator in an entry."""


def json_schema() -> Schema:
    """The schema of a spec."""
    definitions: Schema = {}
    layers = _entries("layer", OPERATORS, definitions, structural=True)
    sections: Schema = {
        "specdl": {"const": LANGUAGE_VERSION},
        "inputs": _inputs(),
        "outputs": _OUTPUTS,
        "blocks": {"type": "object", "additionalProperties": {"$ref": "#/definitions/block"}},
        "layers": layers,
        "sizes": _sizes(),
        "tie": _ties(),
        "init": _initial(),
        "losses": _entries("loss", LOSSES, definitions, more=_LOSS_WEIGHT, others=True),
        "loss": _chosen("loss", LOSSES, definitions, more=_LOSS_WEIGHT),
        "metrics": _entries("metric", METRICS, definitions),
        "optimizer": _optimizer(definitions),
        "scheduler": _chosen("scheduler", SCHEDULERS, definitions),
        "data": _data(definitions),
        "train": _mapping(Train),
        "weights": _weights(),
        "budget": {
            "type": "object",
            "properties": {
                **{name: {"type": ["number", "string"], "description": text} for name, text in LIMITS.items()},
                "sizes": {"type": "object", "additionalProperties": {"type": ["integer", "string"]}},
            },
            "additionalProperties": False,
        },
        "freeze": {"type": ["array", "string"], "items": {"type": "string"}},
        "models": {"type": "object", "additionalProperties": {"$ref": "#/definitions/network"}},
        "steps": {"type": "array", "items": {"$ref": "#/definitions/step"}},
        "sample": _file(SampleFile, {"layers": layers, "inputs": _inputs(minimum=0), "outputs": _OUTPUTS}),
    }
    definitions["block"] = _file(BlockFile, {"layers": layers})
    definitions["network"] = _network(layers)
    definitions["step"] = _file(
        StepFile,
        {
            "layers": layers,
            "losses": sections["losses"],
            "update": {"type": ["string", "array"], "items": {"type": "string"}},
            "every": {"type": ["integer", "string"], "minimum": 1, "pattern": EXPRESSION},
            "mode": {
                "type": "object",
                "additionalProperties": {
                    "anyOf": [{"enum": ["train", "eval"]}, {"type": "string", "pattern": EXPRESSION}]
                },
            },
        },
    )
    return {
        "$schema": DIALECT,
        "title": "specdl",
        "description": "A neural network, and how it is trained, in one file.",
        **{key: value for key, value in _file(SpecFile, sections).items() if key != "required"},
        **_needed(),
        "definitions": definitions,
    }


_OUTPUTS: Schema = {"type": ["string", "array", "object"]}


def _network(layers: Schema) -> Schema:
    """A network of its own, one of an earlier run, or the average of another; their keys tell them apart."""
    own = _file(NetworkFile, {"layers": layers, "inputs": _inputs(), "outputs": _OUTPUTS})
    number = {"type": ["number", "string"], "minimum": 0, "exclusiveMaximum": 1, "pattern": EXPRESSION}
    trained = _file(
        TrainedFile,
        {
            "from": {"type": "string"},
            "network": {"type": "string"},
            "outputs": _OUTPUTS,
            "freeze": {"type": ["boolean", "string"], "pattern": EXPRESSION},
        },
    )
    average = _file(AverageFile, {"ema": {"type": "string"}, "decay": number})
    rest = {"if": {"required": ["ema"]}, "then": average, "else": own}
    return {"if": {"required": ["from"]}, "then": trained, "else": rest}


def schema_text() -> str:
    """The schema as the text of a file."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def _needed() -> Schema:
    """A spec has its version, `inputs` and `layers`, unless a key says that they stand elsewhere."""
    elsewhere = [{"required": [key]} for key in ("models", "blocks")]
    return {
        "if": {"not": {"required": ["extends"]}},
        "then": {
            "required": ["specdl"],
            "if": {"not": {"anyOf": elsewhere}},
            "then": {"required": ["inputs", "layers"]},
        },
    }


def _file(cls: type[BaseModel], parts: Mapping[str, Schema]) -> Schema:
    """The keys of a file or block; `parts` say more of some of them than their Python types do."""
    found = _mapping(cls)
    for key, part in parts.items():
        if key in found["properties"]:
            found["properties"][key] = {**_described(found["properties"][key]), **part}
    return {**found, "type": "object"}


def _described(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key in _NOTES}


def _inputs(minimum: int = 1) -> Schema:
    size = {"type": ["integer", "string"], "minimum": 1}
    shape: Schema = {
        "type": ["array", "string"],
        "pattern": EXPRESSION,
        "items": size,
        "description": "Sizes without the batch; a name such as `T` is a size known at run time.",
    }
    dtype = {"enum": list(DTYPES), "default": "float32", "description": "The type of its numbers."}
    optional = {"type": "boolean", "default": False, "description": "Whether it may be absent."}
    return {
        "type": "object",
        "minProperties": minimum,
        "additionalProperties": {
            **shape,
            "type": ["array", "object", "string"],
            "properties": {"shape": shape, "dtype": dtype, "optional": optional},
            "required": ["shape"],
            "additionalProperties": False,
        },
    }


def _sizes() -> Schema:
    bound = {"type": ["integer", "string"], "minimum": 1, "pattern": EXPRESSION}
    bounds = {"min": {**bound, "description": "The smallest."}, "max": {**bound, "description": "The largest."}}
    return {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "minProperties": 1,
            "properties": bounds,
            "additionalProperties": False,
        },
    }


def _ties() -> Schema:
    key = {"type": "string", "description": "The weight that is stored: a layer's path and the weight's name."}
    when = {"when": {**_condition(), "markdownDescription": "Whether the line counts."}}
    line = {"type": "object", "minProperties": 1, "properties": when, "additionalProperties": key}
    return {"type": "array", "items": line}


def _initial() -> Schema:
    """Patterns of keys with initializers."""
    initializer = _flat(TypeAdapter(Init).json_schema(), {})
    return {"type": "object", "additionalProperties": initializer}


# ---- entries -----------------------------------------------------------------------------------------

_LOSS_WEIGHT: Schema = {
    "weight": {
        "type": ["number", "object", "string"],
        "pattern": EXPRESSION,
        "description": "The weight of this term: a number, or a schedule in the scheduler's words.",
    }
}


def _entries(
    kind: str,
    table: Mapping[str, type[BaseModel]],
    definitions: Schema,
    *,
    structural: bool = False,
    more: Schema | None = None,
    others: bool = False,
) -> Schema:
    """A list of entries over a table. Adds the definitions of an entry of this `kind` and of its operators.

    `more` are arguments that all of them have besides their own; `others` says that words outside the table may
    be operators too.
    """
    calls = _calls(kind, table, definitions, more)
    bare = {name: _text(name, cls) for name, cls in table.items() if not _required(cls)}
    beside: Schema = {"when": {**_condition(), "markdownDescription": _BESIDE["when"]}}
    extra: Schema = {"minProperties": 1, "maxProperties": 2}
    if structural:
        calls |= _structure(f"#/definitions/{kind}s", definitions)
        beside |= _beside()
        extra = _one_operator()
    open = structural or others
    definitions[f"{kind}s"] = {"type": "array", "items": {"$ref": f"#/definitions/{kind}"}}
    definitions[kind] = {
        "anyOf": [
            _bare_entry(bare, sorted(set(calls) - set(bare)), None if open else sorted(bare), kind in _BARE_KINDS),
            {
                "type": "object",
                "properties": {**calls, **beside},
                "patternProperties": {_headed(name): call for name, call in calls.items()},
                "additionalProperties": _OTHER if open else False,
                "propertyNames": {"pattern": _HEAD, "patternErrorMessage": _HEAD_MESSAGE},
                **extra,
            },
        ]
    }
    return {"$ref": f"#/definitions/{kind}s"}


_OTHER: Schema = {"markdownDescription": "A block of this spec, with its arguments."}


def _calls(
    kind: str, table: Mapping[str, type[BaseModel]], definitions: Schema, more: Schema | None = None
) -> dict[str, Schema]:
    """A reference to the arguments of each name in a table."""
    for name, cls in table.items():
        definitions[f"{kind}.{name}"] = _arguments(name, cls, more or {})
    found: dict[str, Schema] = {name: {"$ref": f"#/definitions/{kind}.{name}"} for name in table}
    if kind in _BARE_KINDS:
        # An editor is to propose each word once: the bare one where nothing is required. Its arguments are proposed
        # all the same, so what hides the key stands around the reference.
        for name, cls in table.items():
            if not _required(cls):
                found[name] = {"allOf": [found[name]], "doNotSuggest": True}
    return found


def _headed(name: str) -> str:
    """The pattern of a head that gives this operator a name, inputs or both."""
    name = name.replace(".", r"\.")  # `cv2.canny`
    return rf"^(?:.*=\s*{name}\s*(?:\(.*\))?|{name}\s*\(.*\))\s*$"


_BARE_KINDS = ("layer", "metric", "transform", "batch_transform")
"""Entries that often are a word alone, which is then what an editor proposes; a loss has its inputs listed."""


def _bare_entry(bare: Mapping[str, str], never: list[str], only: list[str] | None, proposed: bool) -> Schema:
    """An entry without arguments: a word. `never` are those that need some, `only` all that there are, if known.

    The words are constants for the editor to propose and to explain, beside an alternative that takes every head.
    """
    heads = [{"const": name, "markdownDescription": text} for name, text in bare.items()] if proposed else []
    named = [{"pattern": _headed(name), "markdownDescription": text} for name, text in bare.items()]
    words = _WORD if only is None else f"(?:{'|'.join(only)})"
    refused = f"(?!(?:{'|'.join(never)}){_INPUTS})" if never else ""
    return {
        "type": "string",
        "pattern": f"{_TARGETS}{refused}{words}{_INPUTS}",
        "patternErrorMessage": f"{_HEAD_MESSAGE}; some operators need arguments",
        "anyOf": [*heads, *named, {}],
    }


def _structure(layers: str, definitions: Schema) -> dict[str, Schema]:
    """A reference to the schema of each structural entry."""
    inside = {"$ref": layers}
    path: Schema = {
        "type": ["array", "object"],
        "items": {"$ref": layers.removesuffix("s")},
        "description": "A path; a `for` or `repeat` in its place makes one path a row.",
    }
    shapes: dict[str, Schema] = {
        "sequence": inside,
        "repeat": {"type": ["integer", "string"], "minimum": 0, "pattern": EXPRESSION},
        "for": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": ["array", "string"],
                "pattern": EXPRESSION,
                "patternErrorMessage": "Expected a list of values or an expression with `$`",
                "description": "A column: its values, row by row.",
            },
        },
        "residual": {
            "type": ["array", "object"],
            "items": {"$ref": layers.removesuffix("s")},
            "properties": {
                "body": {**inside, "description": "The layers."},
                "shortcut": {**inside, "description": "What is added instead of the input itself."},
            },
            "required": ["body"],
            "additionalProperties": False,
        },
        "branches": {"type": "array", "minItems": 1, "items": path},
        "use": {"type": "string"},
        "call": {"type": "string"},
        "compute": {"type": ["string", "number", "boolean"]},
    }
    for name, shape in shapes.items():
        definitions[f"layer.{name}"] = {"markdownDescription": STRUCTURE[name], **shape}
    return {name: {"$ref": f"#/definitions/layer.{name}"} for name in shapes}


def _beside() -> Schema:
    shapes: dict[str, Schema] = {
        "when": _condition(),
        "init": {**_initial(), "minProperties": 1},
        "body": {"$ref": "#/definitions/layers"},
        "merge": {"type": "string", "examples": ["concat", "add", "mul"]},
        "with": {"type": ["object", "string", "null"], "pattern": EXPRESSION},
    }
    return {key: {**shape, "markdownDescription": _BESIDE[key]} for key, shape in shapes.items()}


def _one_operator() -> Schema:
    """Bounds on the keys of an entry: one operator, and of what may stand beside it no more than belongs there."""
    second: Schema = {"anyOf": [{"required": [key]} for key in ("body", "merge", "with")]}
    beside = [second, *({"required": [key]} for key in ("when", "init"))]
    return {**_counted(beside, 1), "dependencies": {"repeat": ["body"], "for": ["body"]}}


def _counted(beside: Sequence[Schema], most: int) -> Schema:
    """Exactly so many keys, and one more for each of what may stand beside them."""
    if not beside:
        return {"minProperties": most, "maxProperties": most}
    first, *rest = beside
    return {"if": first, "then": _counted(rest, most + 1), "else": _counted(rest, most)}


# ---- arguments ---------------------------------------------------------------------------------------


def _arguments(name: str, cls: type[BaseModel], more: Schema) -> Schema:
    """What stands behind an operator's colon: a mapping of its arguments, its main argument, or an expression."""
    mapping = _mapping(cls)
    mapping["properties"] |= more
    main = getattr(cls, "main", None)
    shape = {**mapping, "type": "object"} if _required(cls) else {**mapping, "type": ["object", "null"]}
    pieces = [shape]
    if main is not None:
        pieces.append({key: value for key, value in mapping["properties"][main].items() if key not in _NOTES})
    return {
        "title": name,
        "description": _sentence(cls),
        "markdownDescription": _text(name, cls),
        **_expression(_union(pieces)),
    }


def _required(cls: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in cls.model_fields.items() if field.is_required()]


def _chosen(kind: str, table: Mapping[str, type[BaseModel]], definitions: Schema, more: Schema | None = None) -> Schema:
    """One of a table by its name, or a mapping from its name to its arguments."""
    words = [name for name, cls in table.items() if not _required(cls)]
    return {
        "anyOf": [
            *({"const": name, "markdownDescription": _text(name, table[name])} for name in words),
            {"type": "string", "pattern": EXPRESSION},
            {
                "type": "object",
                "properties": _calls(kind, table, definitions, more),
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ]
    }


def _optimizer(definitions: Schema) -> Schema:
    groups = {"type": "array", "items": _mapping(Group), "description": "Layers with a rate or decay of their own."}
    found = _chosen("optimizer", OPTIMIZERS, definitions, more={"groups": groups})
    mapping = found["anyOf"][-1]
    mapping["properties"]["groups"] = groups
    mapping |= {"if": {"required": ["groups"]}, "then": {"minProperties": 2, "maxProperties": 2}}
    mapping.pop("maxProperties")
    one = {"anyOf": [{"required": [name]} for name in OPTIMIZERS]}
    mapping["else"] = {"if": one, "then": {"maxProperties": 1}}
    # Any other word may be a network, whose optimizer this is.
    mapping["additionalProperties"] = {"$ref": "#/definitions/optimizer"}
    definitions["optimizer"] = found
    return {"$ref": "#/definitions/optimizer"}


def _weights() -> Schema:
    """The section `weights`, or one for each of several networks."""
    own = _mapping(WeightsFile)
    one = {"anyOf": [{"required": [name]} for name in own["properties"]]}
    return {"if": one, "then": own, "else": {"type": "object", "additionalProperties": own}}


def _data(definitions: Schema) -> Schema:
    found = _mapping(DataSection)
    parts = found["properties"]
    source = _chosen("source", SOURCES, definitions)
    sets = SOURCES["torchvision"].model_json_schema()["properties"]["name"]["enum"]
    source["anyOf"].insert(-2, {"enum": [f"torchvision:{name}" for name in sets]})
    parts["source"] |= source
    for key, table in (("transforms", TRANSFORMS), ("batch_transforms", ANY_TRANSFORMS)):
        parts[key] = {**_described(parts[key]), **_entries(key.removesuffix("s"), table, definitions)}
    for name, transform in TRANSFORMS.items():
        if "tokenizer" in transform.model_fields:
            _tokenize(definitions[f"transform.{name}"], transform, definitions)
    field = _mapping(FieldSpec)
    shape = {key: value for key, value in field["properties"]["shape"].items() if key not in _NOTES}
    parts["fields"] = {
        **_described(parts["fields"]),
        "type": "object",
        "additionalProperties": {"anyOf": [{**field, "type": "object"}, shape, {"enum": list(FIELD_TYPES)}]},
    }
    return found


def _tokenize(schema: Schema, transform: type[BaseModel], definitions: Schema) -> None:
    """Puts the tokenizers into the arguments of one like `tokenize`: there, or alone in the place of its arguments."""
    chosen = _chosen("tokenizer", TOKENIZERS, definitions)
    chosen["anyOf"].insert(-1, {"type": "string", "pattern": r"\.json$"})
    definitions["tokenizer"] = chosen
    mapping = _mapping(transform)
    described = {key: text for key, text in mapping["properties"]["tokenizer"].items() if "escription" in key}
    mapping["properties"]["tokenizer"] = {**described, "$ref": "#/definitions/tokenizer"}
    schema["anyOf"] = [mapping, {"$ref": "#/definitions/tokenizer"}]


def _mapping(cls: type[BaseModel]) -> Schema:
    """The fields of a class, as a mapping of arguments."""
    raw = cls.model_json_schema(by_alias=True)
    found = _flat(raw, raw.get("$defs", {}))
    for key in ("description", "pattern"):
        found.pop(key, None)
    link = _link(cls)
    for schema in found.setdefault("properties", {}).values():
        # An editor writes every `default` into the file that it can find, so it is told, not declared.
        default = schema.pop("default", None)
        plain = default is not None and not isinstance(default, (dict, list))
        words = [schema.get("description", ""), f"Default `{_spelled(default)}`." if plain else "", link]
        schema["markdownDescription"] = " ".join(word for word in words if word)
    return {**found, "type": "object"}


_NOTES = ("description", "markdownDescription", "patternErrorMessage")


def _spelled(value: Any) -> str:
    """A default as a spec writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flat(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """A pydantic schema without references and titles, its types listed in one `type` where they can be.

    Every value may be an expression besides.
    """
    if "$ref" in schema:
        schema = {**definitions[schema["$ref"].rsplit("/", 1)[-1]], **schema}
    notes: Schema = {key: schema[key] for key in ("description", "default") if key in schema}
    if "anyOf" in schema:
        return {**notes, **_union([_flat(item, definitions) for item in schema["anyOf"]])}
    found = {key: value for key, value in schema.items() if key not in ("$ref", "$defs", "title", *notes)}
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), Mapping):
            found[key] = _flat(found[key], definitions)
    if "prefixItems" in found:  # the same in each place wherever it is used, and `items` is in every draft
        found["items"] = _flat(found.pop("prefixItems")[0], definitions)
    if "properties" in found:
        found["properties"] = {name: _flat(item, definitions) for name, item in found["properties"].items()}
    if "const" in found:
        found["enum"] = [found.pop("const")]
    if "enum" in found:
        found.pop("type", None)
    return {**notes, **_expression(found)} if found else notes


def _expression(schema: Schema) -> Schema:
    """The schema, or an expression instead."""
    found = _union([schema, {"type": "string", "pattern": EXPRESSION}])
    types = [name for part in found.get("anyOf", [found]) for name in _listed(part)]
    kinds = [_KINDS[name] for name in dict.fromkeys(types) if name in _KINDS]
    words = next((item for item in found.get("anyOf", [found]) if item.get("pattern") == EXPRESSION), None)
    if kinds and words is not None:
        words["patternErrorMessage"] = f"Expected {', '.join(kinds)} or an expression with `$`"
    return found


_KINDS = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping of arguments",
    "null": "nothing",
}


def _union(schemas: Iterable[Schema]) -> Schema:
    """One schema for values of any of these; `anyOf` only where one type would get two sets of bounds."""
    merged: Schema = {}
    apart: list[Schema] = []
    for schema in schemas:
        parts = schema.get("anyOf", [schema])
        for part in parts:
            # Beside others, a list would be what the editor begins to write.
            joined = None if "enum" in part or "items" in part else _join(merged, part)
            if joined is not None:
                merged = joined
            elif part not in apart:
                apart.append(part)
    if not apart:
        return merged
    words = {"enum": list(dict.fromkeys(word for item in apart for word in item.get("enum", ())))}
    return {
        "anyOf": [
            *([words] if words["enum"] else []),
            *([merged] if merged else []),
            *(item for item in apart if "enum" not in item),
        ]
    }


_OF_TYPE: dict[str, tuple[str, ...]] = {
    "string": ("pattern",),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "array": ("items", "minItems", "maxItems"),
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
}
"""The keywords that bound values of a type and let others pass."""


def _join(left: Schema, right: Schema) -> Schema | None:
    """One schema that admits what either does, or None where they bound one type differently."""
    types = _types(left), _types(right)
    if not left:
        return dict(right)
    for name in types[0] | types[1]:
        if name == "string" and "string" in types[0] & types[1]:
            continue
        same = {"integer", "number"} if name in ("integer", "number") else {name}
        if (types[0] & same) and (types[1] & same) and _bounds(left, name) != _bounds(right, name):
            return None
    found = {**left, **right}
    if "string" in types[0] & types[1]:
        patterns = [item.get("pattern") for item in (left, right)]
        if None in patterns:
            found.pop("pattern", None)
        else:
            found["pattern"] = "|".join(
                dict.fromkeys(f"(?:{item})" if item != EXPRESSION else item for item in patterns if item)
            )
    joined = types[0] | types[1]
    if "number" in joined:
        joined -= {"integer"}
    order = [name for name in (*_listed(left), *_listed(right)) if name in joined]
    names = sorted(dict.fromkeys(order), key=lambda name: name == "string")  # the editor inserts the first
    found["type"] = names if len(names) > 1 else names[0]
    return found


def _types(schema: Schema) -> set[str]:
    return set(_listed(schema))


def _listed(schema: Schema) -> list[str]:
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else list(types)


def _bounds(schema: Schema, type: str) -> Schema:
    return {key: schema[key] for key in _OF_TYPE.get(type, ()) if key in schema}


def _condition() -> Schema:
    return {
        "type": ["boolean", "string"],
        "pattern": EXPRESSION,
        "patternErrorMessage": "Expected true, false or an expression",
    }


def _text(name: str, cls: type[BaseModel]) -> str:
    """What an editor shows of an operator: its sentence, inputs and outputs, and where to read on."""
    lines = [_sentence(cls)]
    inputs, outputs = getattr(cls, "inputs", None), getattr(cls, "outputs", ("output",))
    if inputs:
        lines.append(f"Inputs: {', '.join(f'`{item}`' for item in inputs)}")
    if tuple(outputs) != ("output",):
        lines.append(f"Outputs: {', '.join(f'`{item}`' for item in outputs)}")
    if main := getattr(cls, "main", None):
        lines.append(f"`{name}: value` sets `{main}`.")
    if link := _link(cls):
        lines.append(link)
    return "\n\n".join(lines)


def _sentence(cls: type[BaseModel]) -> str:
    return " ".join((cls.__doc__ or "").split())


def _link(cls: type[BaseModel]) -> str:
    address = getattr(cls, "reference", "")
    return f"[{'PyTorch' if 'pytorch.org' in address else 'Reference'}]({address})" if address else ""
