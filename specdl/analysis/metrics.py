"""Finds a metric that doesn't fit what it compares, before training has begun.

A metric without parentheses compares the last output with the label. With several outputs that is easily another
one than was meant, and a measure of the wrong value is worse than none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from specdl.analysis.soft_labels import as_indices, soft_labels
from specdl.diagnostics import Diagnostics, Note, did_you_mean
from specdl.ir.dims import BATCH, SymDim
from specdl.ir.program import Program
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError
from specdl.spec.label import label_field

if TYPE_CHECKING:
    from specdl.objectives.metrics import Metric
    from specdl.spec.data import Data
    from specdl.spec.recipe import MetricEntry, Recipe


def usual_inputs(inputs: Collection[str], outputs: Sequence[str], fields: Mapping[str, TensorType]) -> tuple[str, str]:
    """What a bare metric compares: the last output in evaluation with the label. All are names."""
    return outputs[-1], label_field(inputs, fields) or "label"


def check_metrics(program: Program, recipe: Recipe, data: Data, diagnostics: Diagnostics) -> None:
    """Records a mistake for each metric that compares an unknown value, or values that don't belong together."""
    if [step.name for step in program.steps] != ["supervised"]:
        return  # the values of a written step are found when it was elaborated
    outputs = _outputs(program)
    # Of a label that holds probabilities, the likeliest class is compared.
    soft = {name: as_indices(data.fields[name]) for name in soft_labels(program) if name in data.fields}
    known = {**data.fields, **outputs, **soft}
    inputs = [value.name for value in program.main.inputs]
    usual = usual_inputs(inputs, list(outputs), data.fields)
    for entry in recipe.metrics:
        named = [_is_known(name, entry, known, diagnostics) for name in entry.inputs or usual]
        if all(named):
            _check(entry, usual, known, outputs, program, diagnostics)


def _outputs(program: Program) -> dict[str, TensorType]:
    """The outputs of the network in evaluation."""
    main = program.main
    count = len(main.outputs) - main.training_outputs
    return dict(zip(main.output_names[:count], main.output_types(), strict=False))


def _is_known(name: str, entry: MetricEntry, known: Mapping[str, TensorType], diagnostics: Diagnostics) -> bool:
    if name in known:
        return True
    listing = ", ".join(f"`{value}`" for value in known)
    diagnostics.add(
        "E0512",
        f"`{entry.metric.name}` finds no `{name}`: it compares outputs of the network and fields of the data",
        entry.span,
        help=did_you_mean(name, known) or f"there are {listing}; `outputs` makes another value an output",
    )
    return False


def _check(
    entry: MetricEntry,
    usual: tuple[str, str],
    known: Mapping[str, TensorType],
    outputs: Mapping[str, TensorType],
    program: Program,
    diagnostics: Diagnostics,
) -> None:
    metric = entry.metric
    prediction, target = entry.inputs or usual
    if any(_open(known[name]) for name in (prediction, target)):
        return  # sizes that are known only with a batch: the first one decides
    try:
        metric.check(known[prediction], known[target])
    except TypeRuleError as error:
        fitting = [name for name in outputs if name != prediction and _fits(metric, outputs[name], known[target])]
        help = f"name the value: `{_written(entry, fitting[-1], target)}`" if fitting else error.help
        if not fitting and entry.inputs is None and not help:
            help = f"name what it compares: `{_written(entry, 'prediction', 'target')}`, each an output or a field"
        message = f"`{metric.name}` of `{prediction}` and `{target}` {error.message}"
        diagnostics.add("E0513", message, entry.span, help=help)
        return
    if entry.inputs is None:
        compared = dict(_compared(program, outputs, target))
        if compared and prediction not in compared:
            other = next(reversed(compared))
            diagnostics.add(
                "E0513",
                f"`{metric.name}` would compare the last output, `{prediction}`, with `{target}`, "
                f"but the loss compares `{other}` with it",
                entry.span,
                notes=[compared[other]],
                help=f"name the value: `{_written(entry, other, target)}`",
            )


def _written(entry: MetricEntry, prediction: str, target: str) -> str:
    return f"{entry.metric.name}({prediction}, {target})"


def _open(type: TensorType) -> bool:
    return any(isinstance(size, SymDim) and size != BATCH for size in type.shape)


def _fits(metric: Metric, prediction: TensorType, target: TensorType) -> bool:
    try:
        metric.check(prediction, target)
    except TypeRuleError:
        return False
    return True


def _compared(program: Program, outputs: Collection[str], target: str) -> Iterator[tuple[str, Note]]:
    """The outputs that a loss compares with a field, each with the place of that loss."""
    from specdl.objectives.losses import Loss

    for step in program.steps:
        for node in program.functions[step.evaluation].nodes:
            if isinstance(node.callee, Loss) and target in node.inputs:
                for name in node.inputs:
                    if name in outputs:
                        yield str(name), Note("the loss is here", node.span)
