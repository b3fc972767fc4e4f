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
from specdl.cli.findings import FORMATS, Finding, github_lines, sarif
from specdl.diagnostics import SpecError


@click.command("check")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC... [KEY=VALUE]...")
@click.option("--variant", metavar="NAME", help="Check this variant.")
@import_root_option
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", help="How to tell mistakes.")
def command(specs: tuple[str, ...], variant: str | None, form: str) -> int:
    """Check SPECs: keys, types, names, shapes. Exit code 1 if any is wrong.

    Example: specdl check specs/resnet.yaml --variant resnet50 params.classes=10
    """
    from specdl.api import Library, check

    files, overrides = split_overrides(specs)
    found: list[Finding] = []
    failed = False
    for file in files:
        try:
            model = check(file, variant, overrides, import_root=import_root())
        except SpecError as error:
            failed = True
            found.extend(Finding(file, item) for item in error.diagnostics)
            if form == "text":
                show_diagnostics(error)
            continue
        if isinstance(model, Library):
            if form == "text":
                count = len(model.spec.blocks)
                click.echo(f"{file}: ok, {count} block{'s' if count > 1 else ''}")
            continue
        found.extend(Finding(file, item) for item in model.warnings)
        if form == "text":
            if model.warnings:
                show_diagnostics(SpecError(model.warnings, model.spec.texts))
            click.echo(f"{file}: ok, {human(model.parameters)} parameters")
    if form == "json":
        print_json({"ok": not failed, "diagnostics": diagnostics_json([finding.diagnostic for finding in found])})
    elif form == "github":
        for line in github_lines(found):
            click.echo(line)
    elif form == "sarif":
        print_json(sarif(found))
    return 1 if failed else 0
