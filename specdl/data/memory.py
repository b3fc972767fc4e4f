"""Serves batches from tensors in memory: slicing them costs a tenth of what a data loader does.

Transforms that decide nothing at random are run once over all examples; from the first random one on they run
on each batch, whose draws depend on the seed, the epoch and the batch's first position alone.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping

import torch

from specdl.data.pipeline import EVALUATION, Pipeline, epoch_order, seed_of

Tensors = dict[str, torch.Tensor]


class MemoryExamples:
    """`Examples` (see examples.py) in memory. `weights` are those of a weighted sampler, one an example."""

    def __init__(
        self,
        fields: Mapping[str, torch.Tensor],
        parts: Mapping[str, torch.Tensor],
        pipeline: Pipeline,
        *,
        device: torch.device,
        seed: int,
        weights: torch.Tensor | None = None,
    ) -> None:
        self._device, self._seed = device, seed
        self._parts = dict(parts)
        self._weights = None if weights is None else weights[self._parts["train"]]
        self._fields = {name: tensor.to(device) for name, tensor in fields.items()}
        fixed, self._pipeline = pipeline.apart()
        for step in fixed:
            step.run(self._fields, torch.Generator())

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts."""
        return tuple(self._parts)

    def count(self, part: str) -> int:
        """The number of examples of a part."""
        return len(self._parts[part])

    def training(
        self, epoch: int, batches: range, size: int, *, rank: int = 0, processes: int = 1
    ) -> Generator[Tensors, None, None]:
        """Batches of an epoch; see `Examples.training`."""
        order = epoch_order(self._parts["train"], self._seed, epoch, self._weights).to(self._device)
        steps, generator = (*self._pipeline.training, *self._pipeline.batch), torch.Generator()
        items = tuple(self._fields.items())
        for number in batches:
            start = number * size
            indices = order[start + rank : start + size : processes]
            batch = {name: tensor.index_select(0, indices) for name, tensor in items}
            if steps:
                generator.manual_seed(seed_of(self._seed, epoch, start + rank))
                for step in steps:
                    step.run(batch, generator)
            yield batch

    def batches(self, part: str, size: int) -> Generator[Tensors, None, None]:
        """All examples of a part in order, transformed as in evaluation."""
        indices = self._parts[part].to(self._device)
        generator = torch.Generator()
        for start in range(0, len(indices), size):
            chosen = indices[start : start + size]
            batch = {name: tensor.index_select(0, chosen) for name, tensor in self._fields.items()}
            generator.manual_seed(seed_of(self._seed, EVALUATION, start))
            for step in self._pipeline.evaluation:
                step.run(batch, generator)
            yield batch
