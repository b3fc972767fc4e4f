"""A spec as one file: what it extends and imports in it, its variant chosen, the parameters of every file bound.

The parameters of blocks and the loops stay, so it reads like the spec. A library's blocks keep their names, as far
as no two have the same; an imported network becomes a block for each set of arguments that it is called with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from specdl.diagnostics import Diagnostic, Diagnostics, Span, SpecError
from specdl.ir.program import Function
from specdl.source import SpanTree
from specdl.spec.binding import Unbindable, bind_text
from specdl.spec.entries import BESIDE, parse_head
from specdl.spec.file import Imported, Spec, SpecFile
from specdl.spec.linking import identifier

_LOOP = ("index", "first", "last")
_APART = frozenset(
    {"specdl", "imports", "extends", "params", "variants", "blocks", "layers", "models", "steps", "sample"}
)

Place = tuple[str, int, int]
"""File, line and column."""

Bind = Callable[[Spec, Mapping[str, Any]], Mapping[str, Any]]
"""The values of a file's parameters, where some are given."""


def single_file(spec: Spec, bind: Bind, functions: Mapping[str, Function]) -> dict[str, Any]:
    """The data of the one file. Raises `SpecError` where it can't be done.

    `bind` evaluates the parameters of a file; `functions` are those of the compiled spec: what isn't built of an
    imported network is left out.
    """
    merged = _Merged(bind, functions)
    try:
        data = merged.main(spec)
    except Unbindable as error:
        help = "`specdl show --ir` prints what it compiles to"
        raise SpecError([Diagnostic("E0021", f"this spec can't be shown as one file: {error}", help=help)]) from error
    order = {key: position for position, key in enumerate(SpecFile.model_fields)}
    return dict(sorted(data.items(), key=lambda item: order.get(item[0], len(order))))


@dataclass
class _Merged:
    """The blocks of all files under the names that they have in one."""

    bind: Bind
    functions: Mapping[str, Function]
    blocks: dict[str, Any] = field(default_factory=dict)
    names: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def main(self, spec: Spec) -> dict[str, Any]:
        """The spec's own data; what it calls goes into `blocks`."""
        one = _File(self, spec, self.bind(spec, {}))
        for name in spec.blocks:
            self.names[one.key(name)] = name
        data = {key: one.value(value, ()) for key, value in spec.data.items() if key not in _APART}
        if spec.data.get("layers") is not None:
            data["layers"] = one.entries(spec.data["layers"], ())
        if spec.data.get("models") is not None:
            data["models"] = {name: one.scope(item, ()) for name, item in spec.data["models"].items()}
        if spec.data.get("steps") is not None:
            data["steps"] = [one.scope(item, ()) for item in spec.data["steps"]]
        if spec.data.get("sample") is not None:
            data["sample"] = one.scope(spec.data["sample"], tuple(spec.data["sample"].get("params") or ()))
        # Blocks of its own that are not needed for this variant stay away; a name may also stand in an argument.
        own: dict[str, Any] = {}
        while True:
            words = set(re.findall(r"\w+", repr((data, self.blocks, own))))
            missing = [name for name in spec.blocks if name in words and name not in own]
            if not missing:
                break
            own |= {name: one.block(name) for name in missing}
        if self.blocks or own:
            data["blocks"] = {**self.blocks, **{name: own[name] for name in spec.blocks if name in own}}
        return {"specdl": spec.data["specdl"], "name": spec.name, **data}

    def block(self, file: _File, name: str) -> str:
        """The name in the one file of a block that a file declares; it is added where it isn't there yet."""
        key = file.key(name)
        if key not in self.names:
            self.names[key] = self._free(name, file.spec)
            self.blocks[self.names[key]] = None  # keeps the name while the block is made
            self.blocks[self.names[key]] = file.block(name)
        return self.names[key]

    def network(self, spec: Spec, name: str, arguments: Mapping[str, Any]) -> str:
        """The block that an imported network is, for these arguments."""
        key = (spec.file, repr(sorted(arguments.items())), "")
        if key not in self.names:
            self.names[key] = self._free(name, spec)
            self.blocks[self.names[key]] = None
            self.blocks[self.names[key]] = self._network(spec, dict(arguments))
        return self.names[key]

    def _network(self, spec: Spec, given: dict[str, Any]) -> dict[str, Any]:
        if spec.ties or spec.init:
            raise Unbindable(f"`{spec.file}` ties weights or says how they begin, which a block can't")
        variant, wanted = given.pop("variant", None), given.pop("outputs", None)
        chosen = {} if variant is None else dict(spec.data.get("variants", {}).get(variant) or {})
        given = {**chosen, **given}
        file = _File(self, spec, self.bind(spec, given), given)
        places = self._places(spec, wanted)
        layers = _built(spec.data["layers"], spec.spans.child("layers"), places)
        outputs = file.value(spec.data.get("outputs"), ()) if wanted is None else wanted
        block: dict[str, Any] = {"inputs": list(spec.inputs)}
        if outputs is not None:
            block["outputs"] = [outputs] if isinstance(outputs, str) else outputs
        return {**block, "layers": file.entries(layers, ())}

    def _places(self, spec: Spec, wanted: Any) -> set[Place]:
        """Where the layers stand that were built of an imported network for the wanted outputs."""
        names = {wanted} if isinstance(wanted, str) else {str(name) for name in wanted or ()}
        own = [item for item in self.functions.values() if item.span.file == spec.file and item.kind == "block"]
        roots = [item for item in own if item.span == spec.spans.key("layers") and names == set(item.output_names)]
        found: set[Place] = set()
        waiting = [item.key for item in roots] or list(self.functions)
        seen: set[str] = set()
        while waiting:
            key = waiting.pop()
            if key not in seen:
                seen.add(key)
                for node in self.functions[key].nodes:
                    found.add((node.span.file, node.span.line, node.span.column))
                    waiting += [node.callee] if isinstance(node.callee, str) else []
        return found

    def _free(self, name: str, spec: Spec) -> str:
        taken = {*self.blocks, *self.names.values()}
        if name not in taken:
            return name
        stem = identifier(PurePath(spec.file).stem)
        number = 1
        while (other := f"{stem}_{name}" + ("" if number == 1 else f"_{number}")) in taken:
            number += 1
        return other


def _built(items: list[Any], spans: SpanTree, places: Collection[Place]) -> list[Any]:
    """The entries of which a layer was built, in the named groups too."""
    found: list[Any] = []
    for index, item in enumerate(items):
        tree = spans.child(index)
        begin, end = (tree.span.line, tree.span.column), (tree.span.end_line, tree.span.end_column)
        if not any(file == tree.span.file and begin <= (line, at) <= end for file, line, at in places):
            continue
        if isinstance(item, Mapping):
            item = {
                head: _built(value, tree.child(head), places)
                if isinstance(value, list) and _operator(head) == "sequence"
                else value
                for head, value in item.items()
            }
        found.append(item)
    return found


@dataclass
class _File:
    """One file, its parameters bound to values."""

    merged: _Merged
    spec: Spec
    values: Mapping[str, Any]
    given: Mapping[str, Any] = field(default_factory=dict)

    def key(self, name: str) -> tuple[str, str, str]:
        """What tells a block of this file from all others."""
        return self.spec.file, repr(sorted(self.given.items())), name

    # ---- blocks, networks, steps ---------------------------------------------------------------------

    def block(self, name: str) -> Any:
        """A block's mapping, bound."""
        return self.scope(self.spec.data["blocks"][name], tuple(self.spec.blocks[name].params))

    def scope(self, item: Any, hidden: tuple[str, ...]) -> Any:
        """A mapping with layers: a block, network, step or sample. `hidden` are parameters of its own."""
        return {
            key: self.entries(value, hidden) if key in ("layers", "losses") else self.value(value, hidden)
            for key, value in item.items()
        }

    # ---- values --------------------------------------------------------------------------------------

    def value(self, value: Any, hidden: Collection[str], *, arithmetic: bool = False) -> Any:
        """Any value with the file's parameters in it."""
        if isinstance(value, str):
            return _plain(bind_text(value, self.values, hidden, arithmetic=arithmetic))
        if isinstance(value, list):
            return [self.value(item, hidden) for item in value]
        if isinstance(value, Mapping):
            bound = {key: bind_text(key, self.values, hidden) if "$" in str(key) else key for key in value}
            return {bound[key]: self.value(item, hidden) for key, item in value.items()}
        return value

    # ---- entries -------------------------------------------------------------------------------------

    def entries(self, items: Any, hidden: Collection[str]) -> Any:
        """A list of entries."""
        return [self.entry(item, hidden) for item in items] if isinstance(items, list) else items

    def entry(self, item: Any, hidden: Collection[str]) -> Any:
        """One entry."""
        if isinstance(item, str):
            head, found = self.head(item, None, hidden)
            return head if found is None else {head: found}
        heads = [key for key in item if key not in BESIDE]
        (head,) = heads
        operator = _operator(head)
        inner = (*hidden, *_LOOP, *(item[head] if isinstance(item[head], Mapping) and operator == "for" else ()))
        rest = {
            key: self.entries(value, inner)
            if key == "body"
            else self.callable(value, hidden)
            if key == "merge"
            else self.value(value, hidden)
            for key, value in item.items()
            if key != head
        }
        arguments = self.arguments(operator, item[head], hidden)
        if operator == "use" and isinstance(arguments, str) and "$" not in arguments:
            head = re.sub(r"\buse\b(?=\s*(\(|$))", arguments, head, count=1)
            arguments = rest.pop("with", None)
        bound, arguments = self.head(head, arguments, hidden)
        return bound if arguments is None and not rest else {bound: arguments, **rest}

    def arguments(self, operator: str, value: Any, hidden: Collection[str]) -> Any:
        """What stands behind a head's colon."""
        if operator == "sequence":
            return self.entries(value, hidden)
        if operator == "residual":
            if isinstance(value, Mapping):
                return {key: self.entries(part, hidden) for key, part in value.items()}
            return self.entries(value, hidden)
        if operator == "branches" and isinstance(value, list):
            return [
                self.entries(path, hidden) if isinstance(path, list) else self.entry(path, hidden) for path in value
            ]
        return self.value(value, hidden, arithmetic=operator == "compute")

    def head(self, head: str, arguments: Any, hidden: Collection[str]) -> tuple[str, Any]:
        """A head with its names bound and its block's name in the one file, and the arguments."""
        bound = str(bind_text(head, self.values, hidden))
        parsed = parse_head(bound, Span("", 1, 1, 1, len(bound) + 1), Diagnostics())
        if parsed is None:
            return bound, arguments
        operator = parsed[1]
        name = operator.value
        imported = self.spec.imported.get(name)
        if name not in self.spec.blocks and imported is not None and imported.block is None:
            new = self.network(imported, name, arguments, hidden)
            arguments = None
        else:
            new = self.callable(name, hidden)
        begin = operator.span.column - 1
        return f"{bound[:begin]}{new}{bound[begin + len(name) :]}", arguments

    def network(self, imported: Imported, name: str, arguments: Any, hidden: Collection[str]) -> str:
        """The block for a call of an imported network."""
        given = {} if arguments is None else arguments
        if not isinstance(given, Mapping) or "$" in repr(given):
            raise Unbindable(f"the arguments of `{name}` depend on a block or a loop")
        return self.merged.network(imported.spec, name, given)

    def callable(self, name: Any, hidden: Collection[str]) -> Any:
        """The name of a block in the one file; other words stay."""
        bound = self.value(name, hidden)
        imported = self.spec.imported.get(bound) if isinstance(bound, str) else None
        if isinstance(bound, str) and bound in self.spec.blocks:
            return self.merged.block(self, bound)
        if imported is not None and imported.block is not None:
            other = _File(self.merged, imported.spec, self.merged.bind(imported.spec, {}))
            return self.merged.block(other, str(bound))
        return bound


def _operator(head: str) -> str:
    parsed = parse_head(head, Span("", 1, 1, 1, len(head) + 1), Diagnostics())
    return "" if parsed is None else parsed[1].value


def _plain(value: Any) -> Any:
    """A value as YAML has it: lists, not tuples."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value
