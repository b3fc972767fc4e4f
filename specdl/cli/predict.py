"""`specdl predict`: what a trained run says about some files."""

from __future__ import annotations

from pathlib import Path

import click

from specdl.cli.common import json_option, load_run, print_json


@click.command("predict")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--top", type=click.IntRange(min=1), default=3, help="How many classes to name.")
@json_option
def command(run: Path, files: tuple[Path, ...], top: int, as_json: bool) -> None:
    """Classify image FILEs with the run in the folder RUN.

    Example: specdl predict runs/digits-cnn/latest seven.png
    """
    model = load_run(run)

    from specdl.training.predict import predict

    predictions = predict(model, run, files, top=top)
    if as_json:
        rows = [
            {"file": item.file, "top": [{"label": guess.label, "probability": guess.probability} for guess in item.top]}
            for item in predictions
        ]
        print_json({"run": str(run), "predictions": rows})
        return
    for item in predictions:
        guesses = ", ".join(f"{guess.label} {guess.probability:.1%}" for guess in item.top)
        click.echo(f"{item.file}: {guesses}")
