"""`specdl predict`: what a trained run, an ONNX file or a spec with weights says about some files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specdl.cli.common import import_root_option, json_option, load_model, load_run, print_json
from specdl.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    from specdl.training.predict import Prediction, Predictor


@click.command("predict")
@click.argument("source", metavar="RUN_OR_ONNX_OR_SPEC")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--variant", metavar="NAME", help="Use this variant of the spec.")
@click.option("--top", type=click.IntRange(min=1), default=3, help="How many classes to name.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="The folder for masks, one PNG a file."
)
@import_root_option
@json_option
def command(
    source: str, files: tuple[Path, ...], variant: str | None, top: int, output: Path | None, as_json: bool
) -> None:
    """Classify image FILEs with a run's folder, an exported ONNX file, or a spec whose weights are its own.

    A network that gives numbers has them printed, one that gives masks has them written into a folder.

    Example: specdl predict runs/digits-cnn/latest seven.png
    """
    predictor = _predictor(source, variant)
    predictions = predictor(files, top=top)
    kind = predictor.inference.kind
    if kind == "mask":
        _write_masks(predictions, output, source, as_json)
        return
    if as_json:
        print_json({"run": source, "predictions": [_row(item, kind) for item in predictions]})
        return
    for item in predictions:
        if kind == "classes":
            words = ", ".join(f"{guess.label} {guess.probability:.1%}" for guess in item.top)
        else:
            words = ", ".join(f"{value:.4g}" for value in item.output.flatten().tolist())
        click.echo(f"{item.file}: {words}")


def _predictor(source: str, variant: str | None) -> Predictor:
    path = Path(source)
    if path.suffix == ".onnx":
        from specdl.training.predict import of_onnx

        return of_onnx(path)
    if path.suffix in {".yaml", ".yml"}:
        model = load_model(source, variant, ())
        if model.spec.data.get("weights") is None:
            message = f"`{source}` is not the folder of a run, and its spec has no `weights`"
            raise SpecError([Diagnostic("E0605", message, help="name a folder that `specdl train` made")])
        from specdl.training.predict import of_spec

        return of_spec(model, model.module())
    if variant is not None:
        raise click.UsageError("--variant is for specs; a run has its own parameters")
    model = load_run(path)
    from specdl.training.predict import of_run

    return of_run(model, path)


def _row(item: Prediction, kind: str) -> dict[str, Any]:
    if kind != "classes":
        return {"file": item.file, "output": item.output.tolist()}
    return {"file": item.file, "top": [{"label": guess.label, "probability": guess.probability} for guess in item.top]}


def _write_masks(predictions: list[Prediction], folder: Path | None, source: str, as_json: bool) -> None:
    if folder is None:
        raise click.UsageError("this network gives masks: name a folder for them, `--output masks`")
    from specdl.training.masks import write_mask

    rows = [{"file": item.file, "mask": str(write_mask(item, folder))} for item in predictions]
    if as_json:
        print_json({"run": source, "predictions": rows})
        return
    for row in rows:
        click.echo(f"{row['file']}: {row['mask']}")
