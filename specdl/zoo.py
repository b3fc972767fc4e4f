"""The specs that come with specdl: their index, and `zoo:NAME` as the name of a file.

`zoo:blocks/NAME` is a library, blocks that the shipped specs share; the index doesn't list those.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from specdl.diagnostics import Diagnostic, SpecError, did_you_mean

PREFIX = "zoo:"
INDEX = Path(__file__).parent / "zoo_index.yaml"
COUNTS = Path(__file__).parent / "zoo_counts.json"


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """A shipped spec. `counts` has its parameters and FLOPs by variant, the spec as it stands under no name."""

    name: str
    file: Path
    paper: str
    year: int | None
    link: str | None
    counts: Mapping[str, tuple[int, int | str]]


def zoo_folder() -> Path:
    """Where the shipped specs lie: in the package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "specs"
    return inside if inside.is_dir() else package.parent / "specs"


@cache
def zoo() -> dict[str, ZooEntry]:
    """The shipped specs by name, in the order of the index."""
    from specdl.source import parse_text

    folder = zoo_folder()
    counts: dict[str, Any] = {}
    if COUNTS.is_file():
        counts = json.loads(COUNTS.read_text(encoding="utf-8"))
    found: dict[str, ZooEntry] = {}
    for item in parse_text(INDEX.read_text(encoding="utf-8"), INDEX.name).data:
        numbers = {name: (pair[0], pair[1]) for name, pair in counts.get(item["name"], {}).items()}
        found[item["name"]] = ZooEntry(
            item["name"], folder / item["file"], item["paper"], item.get("year"), item.get("link"), numbers
        )
    return found


@cache
def zoo_libraries() -> dict[str, Path]:
    """The libraries of blocks by name: `blocks/transformer`."""
    return {f"blocks/{path.stem}": path for path in sorted((zoo_folder() / "blocks").glob("*.yaml"))}


def zoo_file(name: str) -> Path:
    """The file of a shipped spec or library: `resnet`, `zoo:resnet`, `zoo:blocks/transformer`.

    Raises `SpecError` for an unknown name.
    """
    word = name.removeprefix(PREFIX)
    libraries = zoo_libraries()
    if word in libraries:
        return libraries[word]
    entry = zoo().get(word)
    if entry is None:
        help = did_you_mean(word, [*zoo(), *libraries]) or "`specdl zoo` lists the shipped specs"
        raise SpecError([Diagnostic("E0030", f"the zoo has no spec `{word}`", help=help)])
    return entry.file
