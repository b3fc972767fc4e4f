"""`specdl check`: every mistake of some specs at once, without importing torch."""

from __future__ import annotations

import click

from specdl.cli.common import (
    diagnostics_json,
    human,
    import_root,
    import_root_option,
    print_json,
    show_diagnostics,
    split_overrides,
)
from specdl.diagnostics import Diagnostic, SpecError


@click.command("check")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC... [KEY=VALUE]...")
@click.option("--variant", metavar="NAME", help="Check this variant.")
@import_root_option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to tell mistakes.")
def command(specs: tuple[str, ...], variant: str | None, form: str) -> int:
    """Check SPECs: keys, types, names, shapes. Exit code 1 if any is wrong.

    Example: specdl check specs/resnet.yaml --variant resnet50 params.classes=10
    """
    from specdl.api import Library, check

    files, overrides = split_overrides(specs)
    found: list[Diagnostic] = []
    failed = False
    for file in files:
        try:
            model = check(file, variant, overrides, import_root=import_root())
        except SpecError as error:
            failed = True
            found.extend(error.diagnostics)
            if form == "text":
                show_diagnostics(error)
            continue
        if isinstance(model, Library):
            if form == "text":
                count = len(model.spec.blocks)
                click.echo(f"{file}: ok, {count} block{'s' if count > 1 else ''}")
            continue
        found.extend(model.warnings)
        if form == "text":
            if model.warnings:
                show_diagnostics(SpecError(model.warnings, model.spec.texts))
            click.echo(f"{file}: ok, {human(model.parameters)} parameters")
    if form == "json":
        print_json({"ok": not failed, "diagnostics": diagnostics_json(found)})
    return 1 if failed else 0
