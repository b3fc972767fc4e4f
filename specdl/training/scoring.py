"""Measures a network on a part of the examples: the mean of each loss term, and the metrics."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from specdl.diagnostics import Diagnostic, SpecError
from specdl.ir.dims import BATCH
from specdl.ir.program import Step
from specdl.ir.types import DTYPES, TensorType
from specdl.ops.base import TypeRuleError
from specdl.spec.recipe import MetricEntry
from specdl.training.model import StepFunction


def total_loss(step: Step) -> Callable[[Mapping[str, torch.Tensor]], torch.Tensor | None]:
    """What adds up a step's terms, each averaged and weighted; terms that are absent (in evaluation) are skipped."""
    weights = [(term.name, term.weight) for term in step.terms if isinstance(term.weight, float)]
    if len(weights) == 1 and weights[0][1] == 1.0:
        (only, _) = weights[0]

        def single(terms: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
            term = terms.get(only)
            return term if term is None or term.dim() == 0 else term.mean()

        return single

    def several(terms: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        total: torch.Tensor | None = None
        for name, weight in weights:
            term = terms.get(name)
            if term is None:
                continue
            weighted = (term if term.dim() == 0 else term.mean()) * weight
            total = weighted if total is None else total + weighted
        return total

    return several


class Scorer:
    """Measures networks again and again with the same metrics. `default_inputs` are what a bare metric compares.

    Of the labels in `soft`, which hold probabilities, the likeliest class is compared.
    """

    def __init__(
        self,
        steps: Sequence[tuple[Step, StepFunction]],
        metrics: Sequence[MetricEntry],
        default_inputs: tuple[str, str],
        soft: Collection[str] = (),
    ) -> None:
        self._soft = soft
        self._steps = [(step, function, total_loss(step)) for step, function in steps]
        self._metrics = [(entry, entry.inputs or default_inputs) for entry in metrics]
        self._made: dict[str, Any] = {}

    def score(
        self, networks: Mapping[str, nn.Module], batches: Iterable[Mapping[str, torch.Tensor]]
    ) -> dict[str, float]:
        """`loss` and each metric by name. The networks are put into eval mode and back into the mode they had."""
        modes = [(module, module.training) for network in networks.values() for module in network.modules()]
        for network in networks.values():
            network.eval()
        for metric in self._made.values():
            metric.reset()
        total, count = 0.0, 0
        with torch.inference_mode():
            for batch in batches:
                size = len(next(iter(batch.values())))
                for _, function, add_up in self._steps:
                    terms, values = function(networks, batch)
                    loss = add_up(terms)
                    total += 0.0 if loss is None else float(loss) * size
                    self._update({**batch, **values})
                count += size
        for module, training in modes:
            module.training = training
        scores = {"loss": total / max(count, 1)}
        scores.update({name: float(metric.compute()) for name, metric in self._made.items()})
        return scores

    def _update(self, values: Mapping[str, torch.Tensor]) -> None:
        for entry, (prediction, name) in self._metrics:
            target = values[name].argmax(1) if name in self._soft else values[name]
            if entry.name not in self._made:
                self._made[entry.name] = _make(entry, values[prediction], target)
            self._made[entry.name].update(values[prediction], target)


def _make(entry: MetricEntry, prediction: torch.Tensor, target: torch.Tensor) -> Any:
    types = _type_of(prediction), _type_of(target)
    try:
        entry.metric.check(*types)
    except TypeRuleError as error:
        message = f"`{entry.name}` {error.message}"
        raise SpecError([Diagnostic("E0513", message, entry.span, help=error.help)]) from error
    return entry.metric.make(*types).to(prediction.device)


def _type_of(tensor: torch.Tensor) -> TensorType:
    dtype = next(name for name in DTYPES if getattr(torch, name) == tensor.dtype)
    return TensorType((BATCH, *tensor.shape[1:]), dtype)  # type: ignore[arg-type]
