"""`specdl predict`: what a trained run, an ONNX file or a spec with weights says about some files or texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specdl.cli.common import import_root_option, json_option, load_model, load_run, print_json
from specdl.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    import torch

    from specdl.training.guesses import Guess
    from specdl.training.predict import Prediction, Predictor
    from specdl.training.predict_text import TextPrediction, TextPredictor

TAB = "\t"
_FEW = 6
"""How many numbers of a vector are shown."""


@click.command("predict")
@click.argument("source", metavar="RUN_OR_ONNX_OR_SPEC")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="A text itself; may be given several times.")
@click.option("--variant", metavar="NAME", help="Use this variant of the spec.")
@click.option("--top", type=click.IntRange(min=1), default=3, help="How many classes to name.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="The folder for masks, one PNG a file."
)
@import_root_option
@json_option
def command(
    source: str,
    files: tuple[Path, ...],
    texts: tuple[str, ...],
    variant: str | None,
    top: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Say what a run, an exported ONNX file, or a spec whose weights are its own makes of image FILEs or texts.

    Classes are named with their probabilities, numbers printed, masks written into a folder. A FILE of texts has one a
    line; the two of a pair have a tab between them. Of a language model the likeliest next tokens are named; of a
    network that makes a vector of a text, the other texts most like it, with the cosine of the two vectors.

    Example: specdl predict runs/digits-cnn/latest seven.png
    """
    if not files and not texts:
        raise click.UsageError("name a FILE, or give a --text")
    predictor = _predictor(source, variant)
    from specdl.training.predict_text import TextPredictor

    if isinstance(predictor, TextPredictor):
        _tell_texts(predictor, files, texts, source, top, as_json)
        return
    if texts:
        message = f"`{source}` reads image files, not texts"
        raise SpecError([Diagnostic("E0607", message, help="name a FILE in place of `--text`")])
    predictions = predictor(files, top=top)
    kind = predictor.inference.kind
    if kind == "mask":
        _write_masks(predictions, output, source, as_json)
        return
    if as_json:
        print_json({"run": source, "predictions": [_row(item, kind) for item in predictions]})
        return
    for item in predictions:
        words = _guesses(item.top) if kind == "classes" else _numbers(item.output)
        click.echo(f"{item.file}: {words}")


def _tell_texts(
    predictor: TextPredictor, files: tuple[Path, ...], texts: tuple[str, ...], source: str, top: int, as_json: bool
) -> None:
    from specdl.training.predict_text import texts_of

    predictions = predictor([*texts, *texts_of(files)], top=top)
    kind = predictor.inference.kind
    if kind == "values" and all(item.output.dim() == 1 for item in predictions):
        _tell_vectors(predictions, source, top, as_json)
        return
    if as_json:
        print_json({"run": source, "predictions": [_text_row(item, kind) for item in predictions]})
        return
    quoted = kind in ("next_token", "masked_token")
    for item in predictions:
        text = item.text.replace(TAB, " | ")
        if item.tokens:
            click.echo(text)
            for word, guesses in item.tokens:
                click.echo(f"  {word}: {_guesses(guesses, quoted)}")
        else:
            click.echo(f"{text}: {_guesses(item.top, quoted) if item.top else _numbers(item.output)}")


def _tell_vectors(predictions: Sequence[TextPrediction], source: str, top: int, as_json: bool) -> None:
    """Vectors are for programs, which read them as JSON; for a reader they say which texts are alike."""
    from specdl.training.predict_text import similar

    found = similar(predictions, top)
    if as_json:
        rows = [
            {**_text_row(item, "values"), "similar": [{"text": other.text, "cosine": cosine} for other, cosine in near]}
            for item, near in zip(predictions, found, strict=True)
        ]
        print_json({"run": source, "predictions": rows})
        return
    for item, near in zip(predictions, found, strict=True):
        count = len(item.output)
        few = _numbers(item.output[:_FEW]) + (", …" if count > _FEW else "")
        click.echo(f"{item.text.replace(TAB, ' | ')}: {few} ({count} numbers)")
        for other, cosine in near:
            click.echo(f"  {cosine:5.2f}  {other.text.replace(TAB, ' | ')}")


def _guesses(guesses: Sequence[Guess], quoted: bool = False) -> str:
    return ", ".join(
        f"{json.dumps(guess.label, ensure_ascii=False) if quoted else guess.label} {guess.probability:.1%}"
        for guess in guesses
    )


def _numbers(output: torch.Tensor) -> str:
    return ", ".join(f"{value:.4g}" for value in output.flatten().tolist())


def _predictor(source: str, variant: str | None) -> Predictor | TextPredictor:
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
    return {"file": item.file, **_said(item.top, item.output, kind)}


def _text_row(item: TextPrediction, kind: str) -> dict[str, Any]:
    if item.tokens:
        tokens = [{"token": word, **_said(guesses, item.output, "classes")} for word, guesses in item.tokens]
        return {"text": item.text, "tokens": tokens}
    return {"text": item.text, **_said(item.top, item.output, "classes" if item.top else kind)}


def _said(top: Sequence[Guess], output: torch.Tensor, kind: str) -> dict[str, Any]:
    if kind != "classes":
        return {"output": output.tolist()}
    return {"top": [{"label": guess.label, "probability": guess.probability} for guess in top]}


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
