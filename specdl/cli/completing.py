"""What a shell proposes behind `specdl`: specs, variants, overrides, networks, codes and words.

Every command names its parameters alike (`spec`, `overrides`, `variant`, …), so one table says what completes them.
A proposal that ends in `.`, `=`, `:` or `/` is not finished: the scripts of `specdl completion` put no space behind it.
Whatever goes wrong while a spec is half written, a completion proposes less and says nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click
from click.shell_completion import CompletionItem, split_arg_string

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from specdl.spec.file import Spec

Item = CompletionItem[str]
Completer = Callable[[click.Context, str], Iterable[Item]]

UNFINISHED = (".", "=", ":", "/")
"""What a proposal ends in that is to be typed on."""


def add_completers(command: click.Command) -> None:
    """Lets a command, and those below it, complete their parameters."""
    for param in command.params:
        completer = _COMPLETERS.get(str(param.name))
        if completer is not None:
            param.shell_complete = _safely(completer)  # type: ignore[method-assign, assignment]
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            add_completers(inner)


def _safely(completer: Completer) -> Callable[[click.Context, str], list[Item]]:
    def complete(context: click.Context, incomplete: str) -> list[Item]:
        try:
            return [item for item in completer(context, incomplete) if item.value.startswith(incomplete)]
        except Exception:  # noqa: BLE001  # a traceback would land in the user's command line
            return []

    return complete


# ---- specs and runs ----------------------------------------------------------------------------------


def _files(incomplete: str, *endings: str) -> Iterator[Item]:
    """Folders, and files that end so."""
    folder, _ = os.path.split(incomplete)
    for entry in sorted(Path(folder or ".").iterdir(), key=lambda path: path.name):
        if entry.name.startswith("."):
            continue
        shown = os.path.join(folder, entry.name)
        if entry.is_dir():
            yield CompletionItem(f"{shown}/")
        elif entry.suffix in endings:
            yield CompletionItem(shown)


def complete_spec(context: click.Context, incomplete: str) -> Iterator[Item]:
    """YAML files, and the specs that come with specdl."""
    if "zoo:".startswith(incomplete):
        yield CompletionItem("zoo:", help="the specs that come with specdl")
    if incomplete.startswith("zoo:"):
        from specdl.zoo import zoo

        yield from (CompletionItem(f"zoo:{name}", help=entry.paper) for name, entry in zoo().items())
    else:
        yield from _files(incomplete, ".yaml", ".yml")


def complete_run(context: click.Context, incomplete: str) -> Iterator[Item]:
    """Folders; a run's own folder is complete as it is."""
    for item in _files(incomplete):
        run = Path(item.value)
        yield CompletionItem(item.value.rstrip("/") if (run / "spec.yaml").is_file() else item.value)


def complete_source(context: click.Context, incomplete: str) -> Iterator[Item]:
    """Runs, specs, ONNX files."""
    yield from complete_run(context, incomplete)
    yield from complete_spec(context, incomplete)
    yield from _files(incomplete, ".onnx")


def complete_zoo(context: click.Context, incomplete: str) -> Iterator[Item]:
    """The names of the specs that come with specdl."""
    from specdl.zoo import zoo

    yield from (CompletionItem(name, help=entry.paper) for name, entry in zoo().items())


# ---- what a spec has ---------------------------------------------------------------------------------


def _spec(context: click.Context) -> Spec | None:
    """The spec that the command line names so far, as far as it can be read."""
    from specdl.diagnostics import Diagnostics
    from specdl.source import load_source
    from specdl.spec.linking import parse_spec

    named = context.params.get("spec") or context.params.get("source") or context.params.get("specs")
    if isinstance(named, (tuple, list)):
        named = named[0] if named else None
    named = named or next(_written(), None)
    if not named:
        return None
    path = Path(named)
    source = load_source(path / "spec.yaml" if path.is_dir() else named)
    return parse_spec(source, Diagnostics(), variant=None)


def _written() -> Iterator[str]:
    """The words of the command line that are specs: behind an option without its value, click reads no arguments."""
    for word in split_arg_string(os.environ.get("COMP_WORDS", ""))[1:]:
        if word.startswith("zoo:") or Path(word).is_file():
            yield word


def complete_variant(context: click.Context, incomplete: str) -> Iterator[Item]:
    """The variants of the spec."""
    spec = _spec(context)
    if spec is not None:
        yield from map(CompletionItem, spec.variants)


def complete_network(context: click.Context, incomplete: str) -> Iterator[Item]:
    """The networks of the spec."""
    spec = _spec(context)
    if spec is not None and spec.several:
        yield from (CompletionItem(network.name) for network in spec.networks)


def complete_step(context: click.Context, incomplete: str) -> Iterator[Item]:
    """The training steps of the spec, and `sample`."""
    spec = _spec(context)
    if spec is not None:
        yield from (CompletionItem(step.name) for step in spec.steps or ())
        if spec.sample is not None:
            yield CompletionItem("sample")


def complete_specs(context: click.Context, incomplete: str) -> Iterator[Item]:
    """Specs, and overrides behind the first of them."""
    if context.params.get("specs"):
        yield from complete_override(context, incomplete)
    yield from complete_spec(context, incomplete)


# ---- overrides ---------------------------------------------------------------------------------------


def complete_override(context: click.Context, incomplete: str) -> Iterator[Item]:
    """`train.epochs=`: level by level, from what the spec has and from what its sections may have."""
    spec = _spec(context)
    data: Mapping[str, Any] = {} if spec is None else spec.data
    key, equals, _ = incomplete.partition("=")
    if equals:
        yield from _values(key, data)
        return
    path = key.split(".")[:-1]
    prefix = "".join(f"{step}." for step in path)
    for name, (ending, help) in _names(path, data).items():
        yield CompletionItem(f"{prefix}{name}{ending}", help=help)


def _names(path: list[str], data: Mapping[str, Any]) -> dict[str, tuple[str, str | None]]:
    """The keys at a path, each with `.` where it leads on and `=` where a value follows, and what it means."""
    from specdl.spec.overrides import OPEN_SECTIONS

    if not path:
        wanted = ["params", *OPEN_SECTIONS, "name"]
        kept = [name for name in wanted if name in data or name in OPEN_SECTIONS]
        return {name: ("=" if name == "name" else ".", None) for name in kept}
    found: dict[str, tuple[str, str | None]] = {}
    here: Any = data
    for step in path:
        here = {here: None} if isinstance(here, str) else here
        here = here.get(step) if isinstance(here, Mapping) else None
    if isinstance(here, str):
        here = {here: None}
    if isinstance(here, Mapping):
        for name, value in here.items():
            chosen = path[0] in ("optimizer", "scheduler", "loss") and len(path) == 1
            found[str(name)] = ("." if isinstance(value, Mapping) or chosen else "=", None)
    cls = _class_at(path)
    for name, field in {} if cls is None else cls.model_fields.items():
        shown = field.alias or name
        ending = "." if _section(field) is not None else "="
        found[shown] = (found.get(shown, (ending, None))[0], field.description)
    return found


def _class_at(path: list[str]) -> type[BaseModel] | None:
    """The class of a section, or of what it chose, at a path below it."""
    from specdl.data.sources import SOURCES
    from specdl.objectives.losses import LOSSES
    from specdl.objectives.optimizers import OPTIMIZERS
    from specdl.objectives.schedulers import SCHEDULERS
    from specdl.spec.data import DataSection
    from specdl.spec.recipe import Train
    from specdl.spec.weights import WeightsFile

    tables: dict[str, Mapping[str, type[BaseModel]]] = {
        "optimizer": OPTIMIZERS,
        "scheduler": SCHEDULERS,
        "loss": LOSSES,
    }
    if path[0] in tables:
        return tables[path[0]].get(path[1]) if len(path) == 2 else None
    if path[:2] == ["data", "source"]:
        return SOURCES.get(path[2]) if len(path) == 3 else None
    sections: dict[str, type[BaseModel]] = {"data": DataSection, "train": Train, "weights": WeightsFile}
    cls = sections.get(path[0])
    for step in path[1:]:
        field = None if cls is None else _field(cls, step)
        cls = None if field is None else _section(field)
    return cls


def _field(cls: type[BaseModel], name: str) -> FieldInfo | None:
    return next((field for key, field in cls.model_fields.items() if (field.alias or key) == name), None)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """The class of a field that is a mapping with keys of its own."""
    from pydantic import BaseModel

    for item in (field.annotation, *get_args(field.annotation)):
        if isinstance(item, type) and issubclass(item, BaseModel):
            return item
    return None


def _values(key: str, data: Mapping[str, Any]) -> Iterator[Item]:
    """The values that a key may have, where they can be listed, and the one that it has."""
    *path, name = key.split(".")
    cls = _class_at(path) if path else None
    field = None if cls is None else _field(cls, name)
    here: Any = data
    for step in (*path, name):
        here = here.get(step) if isinstance(here, Mapping) else None
    values = [] if field is None else list(_listed(field.annotation))
    if isinstance(here, bool):
        values += ["true", "false"]
    elif isinstance(here, (str, int, float)) and " " not in str(here) and "$" not in str(here):
        values.append(str(here))
    yield from (CompletionItem(f"{key}={value}") for value in dict.fromkeys(values))


def _listed(annotation: Any) -> Iterator[str]:
    """The words of a `Literal`, true and false."""
    if annotation is bool:
        yield from ("true", "false")
    elif get_origin(annotation) is Literal:
        yield from (str(word) for word in get_args(annotation))
    else:
        for inner in get_args(annotation):
            yield from _listed(inner)


# ---- explain -----------------------------------------------------------------------------------------


def complete_explained(context: click.Context, incomplete: str) -> Iterator[Item]:
    """Codes with their titles, and the words of the language."""
    if incomplete[:1] in "EW":
        from specdl.catalogue import everything

        yield from (CompletionItem(entry.code, help=entry.title) for entry in everything())
    if not incomplete[:1].isupper():
        from specdl.reference import summaries

        yield from (CompletionItem(name, help=text) for name, text in summaries())


_COMPLETERS: dict[str, Completer] = {
    "name": complete_zoo,
    "network": complete_network,
    "overrides": complete_override,
    "resume": complete_run,
    "run": complete_run,
    "source": complete_source,
    "spec": complete_spec,
    "specs": complete_specs,
    "step": complete_step,
    "variant": complete_variant,
    "variants": complete_variant,
    "word": complete_explained,
}
"""What completes a parameter, by its name."""
