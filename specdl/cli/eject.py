"""`specdl eject`: the model as PyTorch source that runs without specdl."""

from __future__ import annotations

import click

from specdl.cli.common import load_model, spec_arguments


@click.command("eject")
@spec_arguments
@click.option("-o", "--output", metavar="FILE", help="Where to write; stdout unless given.")
def command(spec: str, overrides: tuple[str, ...], variant: str | None, output: str | None) -> None:
    """Write SPEC as readable PyTorch source: it imports only torch and the standard library.

    Example: specdl eject specs/resnet.yaml --variant resnet50 -o resnet50.py
    """
    model = load_model(spec, variant, overrides)
    if output is None:
        click.echo(model.source(), nl=False)
        return
    from specdl.files import write_text

    write_text(output, model.source())
    click.echo(f"wrote {output}")
