"""`specdl weights`: what loading a file into a spec's network would do, before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from specdl.cli.common import import_root_option, json_option, load_model, print_json
from specdl.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    from specdl.weights.rules import Plan

_SHOWN = 12


@click.command("weights")
@click.argument("spec", metavar="SPEC")
@click.argument("words", nargs=-1, metavar="[FILE] [KEY=VALUE]...")
@click.option("--variant", metavar="NAME", help="Use this variant of the spec.")
@click.option("--network", metavar="NAME", help="Which of several networks; the first unless given.")
@click.option("--all", "everything", is_flag=True, help="List every tensor.")
@import_root_option
@json_option
def command(
    spec: str, words: tuple[str, ...], variant: str | None, network: str | None, everything: bool, as_json: bool
) -> int:
    """Compare the tensors of FILE (or of the spec's own `weights`) with the network of SPEC; nothing is loaded.

    FILE may be a safetensors or PyTorch file, an index of shards, a run, or a published name such as
    `torchvision:resnet50/IMAGENET1K_V2`. Exit code 1 where strict loading would fail.

    Example: specdl weights zoo:resnet resnet18.pth
    """
    from dataclasses import replace

    from specdl.spec.weights import Weights
    from specdl.weights.load import network_tensors, plan_of, weight_files
    from specdl.weights.rules import Rules, proposed_rename

    files = [word for word in words if "=" not in word]
    model = load_model(spec, variant, [word for word in words if "=" in word])
    chosen = network or next(iter(model.program.networks))
    model.program.network(chosen)
    weights = model.weights.get(chosen)
    if files:
        loads = tuple((file, None) for file in files)
        weights = Weights(loads, Rules({})) if weights is None else replace(weights, loads=loads)
    if weights is None or not weights.loads:
        help = "name one: `specdl weights SPEC FILE`"
        raise SpecError([Diagnostic("E0931", f"`{spec}` has no `weights`, and no file is named", help=help)])
    paths = weight_files(weights)
    plan = plan_of(weights, model.program, paths, chosen)
    rule = None
    if not plan.fits and not weights.rules.rename:
        from specdl.weights.files import read_infos

        rule = proposed_rename(network_tensors(model.program, chosen), read_infos(paths))
    if as_json:
        print_json(
            {
                "fits": plan.fits,
                "files": [str(path) for path in paths],
                "matched": len(plan.matches),
                "missing": list(plan.missing),
                "unexpected": list(plan.unexpected),
                "shapes": [
                    {"ours": item.ours, "theirs": item.theirs, "wanted": str(item.wanted), "found": str(item.found)}
                    for item in plan.misfits
                ],
                "skipped": list(plan.skipped),
                "ignored": list(plan.ignored),
                "near": dict(plan.near),
                "unused": [{"kind": kind, "pattern": pattern} for kind, pattern in plan.unused],
                "rename": rule,
            }
        )
        return int(not plan.fits)
    for line in _text(plan, paths, rule, None if everything else _SHOWN):
        click.echo(line)
    return int(not plan.fits)


def _text(plan: Plan, files: tuple[Path, ...], rule: dict[str, str] | None, most: int | None) -> Iterator[str]:
    turned = sum(item.transposed for item in plan.matches)
    yield f"{', '.join(str(path) for path in files)}"
    yield f"  matched     {len(plan.matches):,}" + (f", {turned:,} of them transposed" if turned else "")
    groups = {
        "missing": [_missing(name, plan) for name in plan.missing],
        "unexpected": list(plan.unexpected),
        "shapes": [f"{item.ours}: {item.wanted}, the file has {item.found}" for item in plan.misfits],
        "skipped": list(plan.skipped),
        "ignored": list(plan.ignored),
        "unused": [f"{kind}: {pattern}" for kind, pattern in plan.unused],
    }
    for title, names in groups.items():
        if not names:
            continue
        yield f"  {title:<11} {len(names):,}"
        shown = names if most is None else names[:most]
        yield from (f"    {name}" for name in shown)
        if len(names) > len(shown):
            yield f"    … and {len(names) - len(shown):,} more (--all lists them)"
    if rule is not None:
        ((pattern, target),) = rule.items()
        yield f'  this makes all names fit: `rename: {{"{pattern}": "{target}"}}`'
    yield "it fits" if plan.fits else "strict loading would fail"


def _missing(name: str, plan: Plan) -> str:
    near = plan.near.get(name)
    return f"{name}  (the file has {near})" if near else name
