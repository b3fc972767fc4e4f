"""What commands share: the arguments that name a spec, and how mistakes are shown."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from specdl.diagnostics import Diagnostic, SpecError, human, render

if TYPE_CHECKING:
    from specdl.api import Model

Function = TypeVar("Function", bound=Callable[..., Any])


def spec_arguments(function: Function) -> Function:
    """SPEC, `KEY=VALUE` overrides, `--variant` and `--import-root`, for commands that take one spec."""
    function = import_root_option(function)
    function = click.option("--variant", metavar="NAME", help="Use this variant of the spec.")(function)
    function = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")(function)
    return click.argument("spec", metavar="SPEC")(function)


def import_root_option(function: Function) -> Function:
    """`--import-root` and `--allow-python`, for commands that take specs; `load_model` asks for them."""
    function = allow_python_option(function)
    return click.option(
        "--import-root",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        metavar="FOLDER",
        help="Where imported files may lie; the folder of the spec unless given.",
        expose_value=False,
        callback=lambda context, _, value: context.meta.__setitem__(_IMPORT_ROOT, value),
    )(function)


def allow_python_option(function: Function) -> Function:
    """`--allow-python`, for commands that compile a spec or a run's."""

    def enter(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            from specdl.custom import allowing

            context.with_resource(allowing())

    return click.option(
        "--allow-python",
        is_flag=True,
        help="Let custom layers be imported from Python files beside the spec.",
        expose_value=False,
        callback=enter,
    )(function)


_IMPORT_ROOT = "specdl.import_root"


def import_root() -> Path | None:
    """The folder that `--import-root` names."""
    context = click.get_current_context(silent=True)
    found: Path | None = None if context is None else context.meta.get(_IMPORT_ROOT)
    return found


def json_option(function: Function) -> Function:
    """`--json`, for commands whose result a program may read."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(function)


def split_overrides(words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Separates files from `KEY=VALUE`; the first word is a file even if its name holds `=`."""
    from specdl.spec.overrides import parse_override

    files = [word for position, word in enumerate(words) if position == 0 or "=" not in word]
    overrides = dict(parse_override(word) for word in words[1:] if "=" in word)
    return files, overrides


def parse_overrides(words: Sequence[str]) -> dict[str, Any]:
    """The overrides of a command that takes one spec."""
    from specdl.spec.overrides import parse_override

    for word in words:
        if "=" not in word:
            raise click.UsageError(f"'{word}' is not KEY=VALUE; this command takes one spec")
    return dict(parse_override(word) for word in words)


def load_model(spec: str, variant: str | None, overrides: Sequence[str]) -> Model:
    """Compiles the spec that a command names, and shows its warnings."""
    from specdl.api import load

    model = load(spec, variant, parse_overrides(overrides), import_root=import_root())
    if model.warnings:
        show_diagnostics(SpecError(model.warnings, model.spec.texts))
    return model


def load_run(folder: Path) -> Model:
    """Compiles the spec that a run's folder keeps."""
    from specdl.api import load

    require_run(folder)
    return load(folder / "spec.yaml")


def require_run(folder: Path) -> None:
    """Raises `SpecError` where a folder is no run, naming the latest run in it if it holds some."""
    if (folder / "spec.yaml").is_file():
        return
    what = "is not the folder of a run" if folder.exists() else "doesn't exist"
    runs = sorted(path.parent for path in folder.glob("*/spec.yaml") if path.parent.name != "latest")
    help = f"did you mean `{runs[-1]}`?" if runs else "name a folder that `specdl train` made"
    raise SpecError([Diagnostic("E0605", f"`{folder}` {what}", help=help)])


def on_terminal(stream: TextIO | None) -> bool:
    """Whether a stream leads to a terminal; a closed one (None) doesn't."""
    return stream is not None and stream.isatty()


def colored(stream: TextIO | None) -> bool:
    """Whether to colour: on a terminal that isn't dumb; `NO_COLOR` forbids it and, after it, `FORCE_COLOR` asks for it.

    Both count where they are set and not empty, as https://no-color.org and https://force-color.org have it.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return stream is not None
    return on_terminal(stream) and os.environ.get("TERM") != "dumb"


def show_diagnostics(error: SpecError) -> None:
    """Prints diagnostics as text on stderr, with a count where there are several."""
    color = colored(sys.stderr)
    # click would take colours that were asked for out of a pipe, so it is told as well.
    click.echo(render(error.diagnostics, _texts(error), color=color), err=True, color=color)
    errors = [item for item in error.diagnostics if item.severity == "error"]
    if len(errors) > 1:
        click.echo(f"\n{len(errors)} errors", err=True)


def _texts(error: SpecError) -> dict[str, str]:
    """The texts that the diagnostics point into; what a later stage raised has its place, but not the text."""
    texts = dict(error.texts)
    spans = [span for item in error.diagnostics for span in (item.span, *(note.span for note in item.notes))]
    for span in spans:
        if span is not None and span.file not in texts:
            with contextlib.suppress(OSError, UnicodeDecodeError):
                texts[span.file] = Path(span.file).read_text(encoding="utf-8-sig")
    return texts


def diagnostics_json(diagnostics: Sequence[Diagnostic]) -> list[dict[str, Any]]:
    """Diagnostics as plain data."""
    return [item.as_json() for item in diagnostics]


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on one line of stdout."""
    click.echo(json.dumps(value))


__all__ = ["human"]
