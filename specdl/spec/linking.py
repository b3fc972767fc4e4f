"""`parse_spec`: a source, with everything that it imports, becomes one `Spec`.

A library brings in its blocks, a spec with layers its whole network under its name. What a file imports is its
own business: its blocks can call it, the files that import the file can't.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from specdl.diagnostics import Diagnostics, Note, Span
from specdl.ops import OPERATORS
from specdl.source import Source
from specdl.spec.entries import STRUCTURAL
from specdl.spec.extends import Flat, flatten
from specdl.spec.file import Imported, Spec, parse_file
from specdl.spec.imports import Files, Opened, Reference


def parse_spec(
    source: Source,
    diagnostics: Diagnostics,
    *,
    variant: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    root: str | Path | None = None,
) -> Spec | None:
    """Checks the structure of a spec and of what it imports. Mistakes go to `diagnostics`; None when nothing can be
    made of it.

    `root` is the folder in which imported files may lie; the spec's own unless given.
    """
    linker = _Linker(Files(source, root), diagnostics)
    flat = flatten(linker.files.main, linker.files, diagnostics)
    spec = None if flat is None else parse_file(flat, diagnostics, variant=variant, overrides=overrides)
    if flat is None or spec is None:
        return None
    return replace(linker.link(spec, flat), texts=dict(diagnostics.texts))


class _Linker:
    """Parses the files that a spec imports, each once, and gives every file its names."""

    def __init__(self, files: Files, diagnostics: Diagnostics) -> None:
        self.files, self.diagnostics = files, diagnostics
        self.parsed: dict[str, Spec | None] = {}

    def link(self, spec: Spec, flat: Flat) -> Spec:
        """The spec with the names that its imports bring in."""
        if not flat.imports:
            return spec
        found: dict[str, Imported] = {}
        specs: dict[str, tuple[Spec, Reference]] = {}
        incomplete = False
        for reference in flat.imports:
            other = self.open(reference)
            if other is None:
                incomplete = True
            elif other.file not in specs:
                specs[other.file] = other, reference
                incomplete |= len(other.blocks) < len(other.data.get("blocks") or ())
                for name, item in _brings(other, reference.span):
                    self.add(name, item, spec, found)
            elif specs[other.file][1].owner is reference.owner:
                # A base and the spec that extends it may well import the same file.
                message = f"`{reference.path}` is imported twice"
                notes = [Note("it is imported here first", specs[other.file][1].span)]
                self.diagnostics.add("E0126", message, reference.span, notes=notes, help="keep one of them")
        imports = tuple(other for other, _ in specs.values())
        return replace(spec, imported=found, imports=imports, incomplete=incomplete)

    def open(self, reference: Reference) -> Spec | None:
        """The spec or library that a reference names."""
        opened = self.files.open(reference, self.diagnostics)
        if opened is None:
            return None
        file = opened.source.file
        if file not in self.parsed:
            self.parsed[file] = self.parse(opened)
        return self.parsed[file]

    def parse(self, opened: Opened) -> Spec | None:
        """A file that is imported, with what it imports itself."""
        flat = flatten(opened, self.files, self.diagnostics)
        spec = None if flat is None else parse_file(flat, self.diagnostics)
        if flat is None or spec is None:
            return None
        if not spec.library and "name" not in spec.data:
            spec = replace(spec, name=Path(spec.file).stem)
        return self.link(spec, flat)

    def add(self, name: str, item: Imported, spec: Spec, found: dict[str, Imported]) -> None:
        """Enters a name, unless it means something already."""
        what = f"the block `{name}`" if item.block is not None else f"the network `{name}`"
        if name in found:
            other = found[name]
            message = f"`{item.spec.file}` and `{other.spec.file}` both bring in `{name}`"
            notes = [Note("one is here", _place(item)), Note("the other one is here", _place(other))]
            help = "rename one of them, or import one file only"
            self.diagnostics.add("E0126", message, item.span, notes=notes, help=help)
        elif name in spec.blocks:
            message = f"{what} of `{item.spec.file}` has the name of a block of this file"
            notes = [
                Note("the imported one is here", _place(item)),
                Note("this file's is here", spec.blocks[name].span),
            ]
            self.diagnostics.add("E0126", message, item.span, notes=notes, help="rename one of them")
        elif name in OPERATORS or name in STRUCTURAL:
            message = f"{what} of `{item.spec.file}` has the name of a built-in operator"
            notes = [Note("it is here", _place(item))]
            self.diagnostics.add("E0126", message, item.span, notes=notes, help=f"rename it: `{name}_block`, say")
        else:
            found[name] = item


def _brings(spec: Spec, span: Span) -> Iterator[tuple[str, Imported]]:
    """The names that an import brings in."""
    if not spec.library:
        yield identifier(spec.name), Imported(spec, None, span)
        return
    for name, block in spec.blocks.items():
        yield name, Imported(spec, block, span)


def _place(item: Imported) -> Span:
    if item.block is not None:
        return item.block.span
    return item.spec.spans.at("name") if "name" in item.spec.data else item.spec.spans.span.part(0, 1)


def identifier(name: str) -> str:
    """A model's name as entries call it: `deeplab-v3` is `deeplab_v3`."""
    word = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")
    return f"_{word}" if not word or word[0].isdigit() else word
