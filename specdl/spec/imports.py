"""The files behind a spec: what `imports` and `extends` name, read once each and within limits.

A path is relative to the file that names it, and leads to a plain file in the folder of the spec (or in the
folder that the user allows). Files are told apart by their real path, so that links can't hide a cycle.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from specdl.diagnostics import Diagnostics, Note, Span, SpecError, nearest
from specdl.source import MAX_BYTES, MAX_NODES, Source, SpanTree, load_source
from specdl.spec.validate import show
from specdl.zoo import PREFIX, zoo_file, zoo_folder

MAX_FILES = 64
MAX_TOTAL_BYTES = 4 * MAX_BYTES
MAX_TOTAL_NODES = 2 * MAX_NODES


@dataclass(frozen=True, slots=True)
class Opened:
    """A file, and what led to it (None for the file that the user named)."""

    source: Source
    by: Reference | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """A path that a file names under `imports` or `extends` (`word`)."""

    path: str
    word: str
    span: Span
    owner: Opened

    def chain(self) -> Iterator[Reference]:
        """This reference, the one that led to its file, and so on up to the file that the user named."""
        reference: Reference | None = self
        while reference is not None:
            yield reference
            reference = reference.owner.by


def references(value: Any, spans: SpanTree, owner: Opened, diagnostics: Diagnostics) -> tuple[Reference, ...]:
    """The paths of a list `imports`."""
    if value is None:
        return ()
    if not isinstance(value, list):
        help = f"write `imports: [{value}]`" if isinstance(value, str) else "e.g. `imports: [blocks/attention.yaml]`"
        diagnostics.add("E0120", f"`imports` is a list of files, got {show(value)}", spans.span, help=help)
        return ()
    found = (reference(item, "imports", spans.at(index), owner, diagnostics) for index, item in enumerate(value))
    return tuple(item for item in found if item is not None)


def reference(value: Any, word: str, span: Span, owner: Opened, diagnostics: Diagnostics) -> Reference | None:
    """A path as a reference, or None after a mistake in its form was recorded."""
    plain = isinstance(value, str) and value != "" and "\0" not in value
    if not plain:
        diagnostics.add("E0120", f"`{word}` names a file, got {show(value)}", span, help="e.g. `blocks/attention.yaml`")
    elif value.startswith(PREFIX):
        return Reference(value, word, span, owner)
    elif "://" in value:
        help = "download it, and name the file"
        diagnostics.add("E0120", f"`{value}` is not a file: nothing is fetched from elsewhere", span, help=help)
    elif os.path.isabs(value) or value.startswith("~"):
        help = "write the path from this file's folder"
        diagnostics.add("E0120", f"`{value}` is not a path relative to this file", span, help=help)
    else:
        return Reference(value, word, span, owner)
    return None


class Files:
    """Reads the files that one spec needs. `root` is the folder that they may lie in, the spec's own unless given."""

    def __init__(self, main: Source, root: str | Path | None = None) -> None:
        self.main = Opened(main)
        self._sources: dict[str, Source] = {}
        self._root: str | None = None
        if main.path is not None:
            self._root = os.path.realpath(main.path.parent if root is None else root)
            self._sources[os.path.realpath(main.path)] = main

    def open(self, reference: Reference, diagnostics: Diagnostics) -> Opened | None:
        """The file that a reference names, or None after the mistake was recorded."""
        owner = reference.owner.source
        shipped = reference.path.startswith(PREFIX)
        if (owner.path is None or self._root is None) and not shipped:
            help = "save it as a file, and check that"
            message = f"a spec that is no file can't name others under `{reference.word}`"
            diagnostics.add("E0121", message, reference.span, help=help)
            return None
        if shipped:
            try:
                path = zoo_file(reference.path)
            except SpecError as error:
                (first,) = error.diagnostics
                diagnostics.add(first.code, first.message, reference.span, help=first.help)
                return None
        else:
            assert owner.path is not None
            path = owner.path.parent / reference.path
        real = os.path.realpath(path)
        if not shipped and not self._allows(owner, real):
            help = "move it there, or allow a folder that holds both: `--import-root FOLDER`"
            message = f"`{reference.path}` leads out of the spec's folder"
            diagnostics.add("E0123", message, reference.span, help=help)
            return None
        if self._closes_a_cycle(reference, real, diagnostics):
            return None
        source = self._sources.get(real) or self._read(path, real, reference, diagnostics)
        return None if source is None else Opened(source, reference)

    def _allows(self, owner: Source, real: str) -> bool:
        """Whether a path leads to the folder of the spec; what a shipped spec names lies in the zoo."""
        zoo = os.path.realpath(zoo_folder())
        at_home = owner.path is not None and Path(os.path.realpath(owner.path)).is_relative_to(zoo)
        roots = [root for root in (self._root, zoo if at_home else None) if root is not None]
        return any(Path(real).is_relative_to(root) for root in roots)

    def _closes_a_cycle(self, reference: Reference, real: str, diagnostics: Diagnostics) -> bool:
        chain: list[Reference] = []
        for link in reference.chain():
            path = link.owner.source.path
            chain.append(link)
            if path is not None and os.path.realpath(path) == real:
                break
        else:
            return False
        if len(chain) == 1:
            help = "take the line away"
            diagnostics.add("E0124", f"`{reference.path}` is this file itself", reference.span, help=help)
            return True
        files = " → ".join([*(link.owner.source.file for link in reversed(chain)), chain[-1].owner.source.file])
        notes = [Note(f"`{link.path}` is named here", link.span) for link in reversed(chain[1:])]
        help = "move what both need into a file of its own"
        diagnostics.add("E0124", f"these files need each other: {files}", reference.span, notes=notes, help=help)
        return True

    def _read(self, path: Path, real: str, reference: Reference, diagnostics: Diagnostics) -> Source | None:
        span = reference.span
        try:
            facts = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            help = _nearest_file(reference.owner.source.path, reference.path)
            diagnostics.add("E0122", f"there is no file `{reference.path}`", span, help=help)
            return None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            diagnostics.add("E0122", f"can't read `{reference.path}`: {reason}", span)
            return None
        if not stat.S_ISREG(facts.st_mode):
            what = "a folder" if stat.S_ISDIR(facts.st_mode) else "no plain file"
            diagnostics.add("E0122", f"`{reference.path}` is {what}", span, help="name a YAML file")
            return None
        if len(self._sources) >= MAX_FILES:
            diagnostics.add("E0002", f"a spec may be made of {MAX_FILES} files", span)
            return None
        try:
            source = replace(load_source(_display(path)), path=path)
        except SpecError as error:
            diagnostics.take(error, Note("it is named here", span))
            return None
        self._sources[real] = source
        everything = self._sources.values()
        if sum(len(item.text) for item in everything) > MAX_TOTAL_BYTES:
            message = f"the files of a spec may have {MAX_TOTAL_BYTES:,} characters together"
        elif sum(item.nodes for item in everything) > MAX_TOTAL_NODES:
            message = f"the files of a spec may have {MAX_TOTAL_NODES:,} values together, aliases expanded"
        else:
            diagnostics.texts[source.file] = source.text
            return source
        diagnostics.add("E0002", message, span)
        return None


def _display(path: Path) -> str:
    """The path as messages show it: without `.` and `..`, unless that would be another file."""
    short = os.path.normpath(path)
    return short if os.path.realpath(short) == os.path.realpath(path) else str(path)


def _nearest_file(owner: Path | None, wanted: str) -> str | None:
    """The nearest existing name for a path, looked for folder by folder."""
    assert owner is not None
    folder, found = owner.parent, ""
    steps = wanted.split("/")
    for position, step in enumerate(steps):
        last = position == len(steps) - 1
        if step in {"", ".", ".."} or (not last and (folder / step).is_dir()):
            folder, found = folder / step, f"{found}{step}/"
            continue
        try:
            with os.scandir(folder) as entries:
                names = [item.name for item in entries if _may_be_meant(item, last)]
        except OSError:
            return None
        name = f"{step}.yaml" if last and f"{step}.yaml" in names else nearest(step, names)
        if name is None:
            listing = ", ".join(f"`{found}{name}`" for name in sorted(names)[:8])
            return f"there is {listing}" if last and listing else None
        found, folder = f"{found}{name}{'' if last else '/'}", folder / name
    return f"did you mean `{found}`?"


def _may_be_meant(item: os.DirEntry[str], last: bool) -> bool:
    return item.name.endswith((".yaml", ".yml")) if last else item.is_dir()
