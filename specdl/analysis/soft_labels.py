"""Labels that are probabilities of classes: made so for good (`one_hot`), or in training alone (`mixup`).

The types of a program are those of evaluation. Where a batch transform gives a field another type in training, every
reader of it must take both, which is checked here; metrics compare the likeliest class of a soft label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from specdl.diagnostics import Diagnostics, Note
from specdl.ir.program import Program
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError

if TYPE_CHECKING:
    from specdl.spec.data import Data, TransformEntry


def soft_labels(program: Program) -> frozenset[str]:
    """The fields that a cross-entropy takes as probabilities, one for each class on axis 1."""
    from specdl.objectives.losses import CrossEntropy

    found: set[str] = set()
    for step in program.steps:
        function = program.functions.get(step.function)
        if function is None:
            continue
        fields, types = {value.name for value in function.inputs}, function.types()
        for node in function.nodes:
            if isinstance(node.callee, CrossEntropy) and len(node.inputs) == 2:
                scores, target = node.inputs
                if scores is not None and target in fields and types[scores].shape == types[target].shape:
                    found.add(target)
    return frozenset(found)


def compared(program: Program) -> tuple[tuple[str, str], ...]:
    """The outputs of the first network that losses compare with fields, each with its field."""
    from specdl.objectives.losses import Loss

    found: list[tuple[str, str]] = []
    for step in program.steps:
        function = program.functions.get(step.function)
        if function is None:
            continue
        fields = {value.name for value in function.inputs}
        outputs: dict[str, str] = {}
        for node in function.nodes:
            if node.network == next(iter(program.networks)):
                outputs.update(zip(node.outputs, program.main.output_names, strict=False))
            elif isinstance(node.callee, Loss) and len(node.inputs) == 2:
                scores, target = node.inputs
                if scores in outputs and target in fields:
                    found.append((outputs[str(scores)], str(target)))
    return tuple(found)


def as_indices(type: TensorType) -> TensorType:
    """The type of a soft label's likeliest class."""
    return TensorType((type.shape[0], *type.shape[2:]), "int64")


def check_training_types(program: Program, data: Data, diagnostics: Diagnostics) -> None:
    """Records a mistake where something reads a field that has another type in training, and can't take that."""
    changed = {name: type for name, type in data.training_fields.items() if data.fields.get(name) != type}
    if not changed:
        return
    from specdl.objectives.losses import Loss

    for step in program.steps:
        function = program.functions[step.function]
        types = function.types()
        names = changed.keys() & {value.name for value in function.inputs}
        for node in function.nodes:
            read = [name for name in node.inputs if name in names]
            if not read:
                continue
            field = str(read[0])
            if not isinstance(node.callee, Loss):
                callee = node.callee if isinstance(node.callee, str) else node.callee.operator
                diagnostics.add(
                    "E0540",
                    f"`{field}` is {changed[field]} in training, but `{callee.split('/')[-1]}` takes {types[field]}",
                    node.span,
                    notes=[Note("a batch transform changes it here", _writer(data, field).span)],
                    help="make it so for evaluation too: `label = one_hot(label)` among the transforms",
                )
                continue
            inputs = [name for name in node.inputs if name is not None]
            soft = [changed.get(name, types[name]) if name in names else types[name] for name in inputs]
            usual = [types[name] for name in inputs]
            try:
                node.callee.infer(*soft)
                same = node.callee.torch_function(inputs, *soft) == node.callee.torch_function(inputs, *usual)
                problem = None if same else f"takes {types[field]}"
            except TypeRuleError as error:
                problem = error.message
            if problem is not None:
                diagnostics.add(
                    "E0540",
                    f"`{field}` is {changed[field]} in training: `{node.callee.operator}` {problem}",
                    node.span,
                    notes=[Note("a batch transform changes it here", _writer(data, field).span)],
                    help="`cross_entropy` takes probabilities of classes too",
                )


def _writer(data: Data, field: str) -> TransformEntry:
    return next(entry for entry in reversed(data.batch_transforms) if field in entry.outputs)
