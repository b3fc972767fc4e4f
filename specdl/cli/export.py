"""`specdl export`: verified ONNX of a trained run, or of a spec with fresh weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from specdl.cli.common import import_root_option, json_option, load_model, load_run, print_json


@click.command("export")
@click.argument("source", metavar="RUN_OR_SPEC")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--variant", metavar="NAME", help="Use this variant of the spec.")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the ONNX file.")
@click.option("--network", metavar="NAME", help="Which of several networks; the first unless given.")
@click.option("--without", multiple=True, metavar="INPUT", help="Leave this optional input out of the file.")
@click.option("--opset", type=click.IntRange(18, 23), help="ONNX opset; 20 unless given.")
@click.option("--no-verify", is_flag=True, help="Don't compare the file with PyTorch in ONNX Runtime.")
@import_root_option
@json_option
def command(
    source: str,
    overrides: tuple[str, ...],
    variant: str | None,
    output: str,
    network: str | None,
    without: tuple[str, ...],
    opset: int | None,
    no_verify: bool,
    as_json: bool,
) -> None:
    """Write the model of a run's folder, or of a spec with fresh weights, as ONNX.

    Example: specdl export runs/digits-cnn/latest -o digits.onnx
    """
    if Path(source).is_dir():
        if overrides or variant:
            raise click.UsageError("a run has its own parameters; overrides and --variant are for specs")
        model = load_run(Path(source))
        from specdl.training.evaluate import load_network
        from specdl.training.inference import inference_of_run

        module = load_network(model, Path(source), network=network)
        inference = inference_of_run(model, Path(source))
    else:
        model = load_model(source, variant, overrides)
        import torch

        torch.manual_seed(0 if model.recipe is None else model.recipe.train.seed)
        module, inference = model.module(network), None
    options: dict[str, Any] = {"opset": opset, "network": network, "without": without, "inference": inference}
    result = model.export_onnx(output, module, verify=not no_verify, **options)
    if as_json:
        print_json(
            {
                "path": result.path,
                "opset": result.opset,
                "nodes": result.nodes,
                "max_abs_error": result.max_abs_error,
                "verified": result.verified,
            }
        )
        return
    told = (
        f"equal to PyTorch within {result.max_abs_error:.1e} at batch sizes "
        + " and ".join(str(sizes["N"]) for sizes in result.sizes)
        if result.verified
        else "not verified"
    )
    click.echo(f"wrote {result.path}: {result.nodes} nodes, opset {result.opset}, {told}")
