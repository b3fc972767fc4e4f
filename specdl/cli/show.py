"""`specdl show`: a spec as one file with everything in it, or as the typed IR that it compiles to."""

from __future__ import annotations

import click

from specdl.cli.common import load_model, spec_arguments


@click.command("show")
@spec_arguments
@click.option("--ir", is_flag=True, help="Print the typed IR, each node with its line in the spec.")
def command(spec: str, overrides: tuple[str, ...], variant: str | None, ir: bool) -> None:
    """Print SPEC as one file: imports merged, parameters bound; it is itself a valid spec.

    Example: specdl show specs/resnet.yaml --variant resnet50
    """
    model = load_model(spec, variant, overrides)
    if ir:
        from specdl.ir.printer import print_program

        click.echo(print_program(model.program), nl=False)
    else:
        click.echo(model.bound_text(), nl=False)
