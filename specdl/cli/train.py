"""`specdl train`: a spec becomes a run folder with a trained model."""

from __future__ import annotations

import os
from pathlib import Path

import click

from specdl.cli.common import json_option, load_model, print_json, require_run, spec_arguments


@click.command("train")
@spec_arguments
@click.option("--folder", type=click.Path(path_type=Path), help="The run's folder; runs/NAME/TIME unless given.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with this run.")
@json_option
def command(
    spec: str, overrides: tuple[str, ...], variant: str | None, folder: Path | None, resume: Path | None, as_json: bool
) -> int:
    """Train SPEC. Ctrl-C saves and says how to resume.

    Example: specdl train specs/digits_cnn.yaml train.epochs=5 optimizer.adamw.lr=1e-3
    """
    model = load_model(spec, variant, overrides)
    if resume is not None:
        require_run(resume)

    from specdl.training.errors import Interrupted, TrainingFailed
    from specdl.training.loop import train

    try:
        run = train(model, folder=folder, resume=resume)
    except (TrainingFailed, Interrupted) as error:
        prefix = "error: " if isinstance(error, TrainingFailed) else ""
        click.echo(f"{prefix}{error}", err=True)
        return error.exit_code
    if os.environ.get("RANK", "0") != "0":  # of several processes, the first one tells
        return 0
    if as_json:
        print_json({"run": str(run.folder), "metrics": run.metrics})
        return 0
    for name, value in run.metrics.items():
        click.echo(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    click.echo(f"run: {run.folder}")
    return 0
