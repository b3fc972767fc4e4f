"""`specdl eval`: the loss and metrics of a trained run on held-out data."""

from __future__ import annotations

from pathlib import Path

import click

from specdl.cli.common import allow_python_option, json_option, load_run, print_json


@click.command("eval")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.option("--split", default="validation", help="Which part of the data: validation, test or train.")
@click.option("--checkpoint", type=click.Choice(["best", "last"]), help="Which weights; the best unless given.")
@allow_python_option
@json_option
def command(run: Path, split: str, checkpoint: str | None, as_json: bool) -> None:
    """Measure the run in the folder RUN.

    Example: specdl eval runs/digits-cnn/latest --split train
    """
    model = load_run(run)

    from specdl.training.evaluate import evaluate

    metrics = evaluate(model, run, split, checkpoint=checkpoint)
    if as_json:
        print_json({"run": str(run), "split": split, "metrics": metrics})
        return
    for name, value in metrics.items():
        click.echo(f"{split}/{name}: {value:.4f}")
