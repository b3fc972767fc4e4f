"""`weights:` of a spec, loaded: a plan from the headers, one error with all that doesn't fit, then the tensors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from specdl.diagnostics import Diagnostic, Note, Span, SpecError
from specdl.ir.program import Program
from specdl.ir.state import aliases, stored
from specdl.weights.files import find_files, read_infos, read_tensors
from specdl.weights.published import fetch, is_published
from specdl.weights.rules import Plan, TensorInfo, make_plan

if TYPE_CHECKING:
    from torch import nn

    from specdl.spec.weights import Weights

_SHOWN = 8


def network_tensors(program: Program, network: str | None = None) -> dict[str, TensorInfo]:
    """The tensors of a network's `state_dict`, each once, in its order; no module is made."""
    function = program.network(network)
    tied = aliases(program.functions, function)
    found: dict[str, TensorInfo] = {}
    for item in stored(program.functions, function):
        key = tied.get(item.key, item.key)
        found.setdefault(key, TensorInfo(item.weight.shape, item.weight.dtype))
    return found


def network_aliases(program: Program, network: str | None = None) -> dict[str, str]:
    """The other keys of tied weights, each with the key that stores it."""
    return aliases(program.functions, program.network(network))


def weight_files(weights: Weights) -> tuple[Path, ...]:
    """The files that `load` names, fetched where they are published. Raises `SpecError` at its place."""
    found: list[Path] = []
    for name, span in weights.loads:
        try:
            path = fetch(name) if is_published(name) else Path(os.path.relpath(weights.absolute(name, span)))
            found += find_files(path)
        except SpecError as error:
            raise _at(error, span) from error
    return tuple(found)


def plan_of(weights: Weights, program: Program, files: Sequence[Path], network: str | None = None) -> Plan:
    """What loading some files into a network would do; only their headers are read. Raises `SpecError`."""
    try:
        theirs = read_infos(files)
    except SpecError as error:
        raise _at(error, weights.loads[0][1] if weights.loads else None) from error
    ours = network_tensors(program, network)
    counters = [name for name in ours if name.endswith("num_batches_tracked")]
    return make_plan(ours, theirs, weights.rules, network_aliases(program, network), counters)


def load_weights_of(weights: Weights, program: Program, module: nn.Module, network: str | None = None) -> Plan:
    """Puts the file's tensors into a module, each in the module's own dtype. Raises `SpecError` with all misfits."""
    import torch

    files = weight_files(weights)
    plan = plan_of(weights, program, files, network)
    if not plan.fits:
        raise misfit_error(plan, weights, files)
    tensors = read_tensors(files)
    state = module.state_dict(keep_vars=True)
    with torch.no_grad():
        for match in plan.matches:
            value = tensors[match.theirs]
            state[match.ours].copy_(value.t() if match.transposed else value)
    return plan


def misfit_error(plan: Plan, weights: Weights, files: Sequence[Path]) -> SpecError:
    """One error that lists what strict loading can't do."""
    notes: list[str] = []
    for name in plan.missing:
        near = plan.near.get(name)
        notes.append(f"missing: `{name}`" + (f" (the file has `{near}`)" if near else ""))
    notes += [f"unexpected: `{name}`" for name in plan.unexpected]
    notes += [f"`{item.ours}` is {item.wanted}, the file's `{item.theirs}` is {item.found}" for item in plan.misfits]
    notes += [f"`{kind}` of `{pattern}` fits nothing" for kind, pattern in plan.unused]
    hidden = len(notes) - _SHOWN
    shown = [*notes[:_SHOWN], *([f"and {hidden} more: `specdl weights` lists all"] if hidden > 0 else [])]
    names = ", ".join(f"`{path.name}`" for path in files[:2]) + (", …" if len(files) > 2 else "")
    return SpecError(
        [
            Diagnostic(
                "E0926",
                f"{names} doesn't fit this network: {len(notes)} misfit{'s' if len(notes) > 1 else ''}",
                weights.loads[0][1] if weights.loads else None,
                notes=tuple(Note(note) for note in shown),
                help=advice(plan),
            )
        ]
    )


def advice(plan: Plan) -> str | None:
    """What would mend the plan."""
    if plan.misfits and not plan.missing and not plan.unexpected:
        first = plan.misfits[0]
        if tuple(reversed(first.found.shape)) == first.wanted.shape:
            return f'turn them: `transpose: ["{first.ours}"]`'
        return f'leave them as they are initialised: `skip: ["{first.ours.rpartition(".")[0]}.*"]`'
    if plan.missing and plan.unexpected:
        return 'rename the file\'s tensors: `rename: {"*": "prefix.*"}`; `specdl weights` proposes rules'
    if plan.missing:
        return f'`skip: ["{plan.missing[0]}"]` leaves a tensor as it is initialised'
    if plan.unexpected:
        return f'`ignore: ["{plan.unexpected[0]}"]` passes over a tensor of the file'
    return None


def _at(error: SpecError, span: Span | None) -> SpecError:
    (first, *_) = error.diagnostics
    return SpecError([Diagnostic(first.code, first.message, span, help=first.help, notes=first.notes)])
