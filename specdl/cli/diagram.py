"""`specdl diagram`: the model as a picture."""

from __future__ import annotations

import click

from specdl.cli.common import load_model, spec_arguments


@click.command("diagram")
@spec_arguments
@click.option("-o", "--output", required=True, metavar="FILE", help="A file that ends in .svg, .png or .dot.")
@click.option("--network", metavar="NAME", help="Which of several networks; the first unless given.")
@click.option("--step", metavar="NAME", help="Draw this training step, or `sample`, instead of a network.")
@click.option("--theme", type=click.Choice(["light", "dark"]), default="light", help="Colours.")
@click.option("--direction", type=click.Choice(["TB", "BT", "LR"]), default="TB", help="Which way it runs.")
@click.option("--depth", type=click.IntRange(min=0), help="How many levels of blocks to open.")
@click.option("--dpi", type=click.IntRange(min=30, max=1200), default=150, help="Resolution of a PNG.")
def command(
    spec: str,
    overrides: tuple[str, ...],
    variant: str | None,
    output: str,
    network: str | None,
    step: str | None,
    theme: str,
    direction: str,
    depth: int | None,
    dpi: int,
) -> None:
    """Draw SPEC.

    Example: specdl diagram specs/resnet.yaml --variant resnet18 -o resnet18.svg
    """
    if network is not None and step is not None:
        raise click.UsageError("--network and --step exclude each other")
    model = load_model(spec, variant, overrides)
    path = model.diagram(output, network=network, step=step, theme=theme, direction=direction, depth=depth, dpi=dpi)
    click.echo(f"wrote {path}")
