"""A spec as the files that a run keeps: one for the spec, with its variant, its overrides and what it extends in it,
and a copy of each file that it imports. They need nothing outside of their folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from specdl.spec.file import Spec
from specdl.spec.linking import identifier

MAIN = "spec.yaml"
FOLDER = "imports"


def resolved_files(spec: Spec, paths: Mapping[tuple[Any, ...], Any] | None = None) -> dict[str, str]:
    """YAML texts by their path in the run's folder, `spec.yaml` last: what it names is there before it is.

    `paths` are the files of data that the spec names, absolute, by where they stand in it: the data stays where it is.
    """
    names: dict[str, str] = {}
    texts: dict[str, str] = {}
    for other in spec.imports:
        _store(other, names, texts)
    data = dict(spec.data)
    for place, path in (paths or {}).items():
        data = _put(data, place, path)
    texts[MAIN] = _dump(replace(spec, data=data), [f"{FOLDER}/{names[other.file]}" for other in spec.imports])
    return texts


def _put(data: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy of some data with a value at a place."""
    if not place:
        return value
    step, *rest = place
    if isinstance(data, list):
        return [_put(item, tuple(rest), value) if at == step else item for at, item in enumerate(data)]
    data = data if isinstance(data, dict) else {}
    return {**data, step: _put(data.get(step, {}), tuple(rest), value)}


def _store(spec: Spec, names: dict[str, str], texts: dict[str, str]) -> None:
    if spec.file in names:
        return
    stem = identifier(PurePath(spec.file).stem)
    taken = set(names.values())
    number = 1
    while (name := f"{stem}.yaml" if number == 1 else f"{stem}_{number}.yaml") in taken:
        number += 1
    names[spec.file] = name
    for other in spec.imports:
        _store(other, names, texts)
    texts[f"{FOLDER}/{name}"] = _dump(spec, [names[other.file] for other in spec.imports])


def _dump(spec: Spec, imports: list[str]) -> str:
    import yaml

    data = {"specdl": spec.data["specdl"], "name": spec.name, **spec.data}
    if imports:
        data = {"specdl": data.pop("specdl"), "name": data.pop("name"), "imports": imports, **data}
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)
