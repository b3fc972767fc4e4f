"""Serves batches from tensors in memory: slicing them costs a tenth of what a data loader does.

Transforms that decide nothing at random are run once over all examples; from the first random one on they run
on each batch. The order of an epoch and its random draws depend on the seed and the epoch alone, so a run can
be taken up anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from specdl.data.transforms import Transform

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Step:
    """A transform with the fields that it reads and writes, and the modes in which it runs."""

    transform: Transform
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    training: bool = True
    evaluation: bool = True

    @property
    def fixed(self) -> bool:
        """Whether it does the same in training and in evaluation, every time."""
        return self.training and self.evaluation and not self.transform.random

    def run(self, fields: Tensors, generator: torch.Generator, *, training: bool) -> None:
        """Replaces the written fields."""
        if self.training if training else self.evaluation:
            changed = self.transform.apply([fields[name] for name in self.inputs], generator, training=training)
            fields.update(zip(self.outputs, changed, strict=True))


class Examples:
    """Examples in memory, divided into parts, with their transforms."""

    def __init__(
        self,
        fields: Mapping[str, torch.Tensor],
        parts: Mapping[str, torch.Tensor],
        steps: Sequence[Step],
        *,
        device: torch.device,
        seed: int,
    ) -> None:
        self._device, self._seed = device, seed
        self._parts = dict(parts)
        fixed = next((at for at, step in enumerate(steps) if not step.fixed), len(steps))
        self._fields = {name: tensor.to(device) for name, tensor in fields.items()}
        self.generator = torch.Generator()
        for step in steps[:fixed]:
            step.run(self._fields, self.generator, training=False)
        self._steps = tuple(steps[fixed:])

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts."""
        return tuple(self._parts)

    def count(self, part: str) -> int:
        """The number of examples of a part."""
        return len(self._parts[part])

    def begin_epoch(self, epoch: int) -> torch.Tensor:
        """The order of the training examples in an epoch; seeds the random draws of its batches."""
        self.generator.manual_seed((self._seed * 1_000_003 + epoch) % 2**63)
        indices = self._parts["train"]
        order = indices[torch.randperm(len(indices), generator=self.generator)]
        return order.to(self._device)

    def training_batch(self, indices: torch.Tensor) -> Tensors:
        """The examples at the given positions, transformed for training."""
        batch = {name: tensor.index_select(0, indices) for name, tensor in self._fields.items()}
        for step in self._steps:
            step.run(batch, self.generator, training=True)
        return batch

    def batches(self, part: str, size: int) -> Iterator[Tensors]:
        """All examples of a part in order, transformed as in evaluation."""
        indices = self._parts[part].to(self._device)
        for start in range(0, len(indices), size):
            chosen = indices[start : start + size]
            batch = {name: tensor.index_select(0, chosen) for name, tensor in self._fields.items()}
            for step in self._steps:
                step.run(batch, self.generator, training=False)
            yield batch
