"""What happens to examples between a source and a batch, whoever serves them: their order and their transforms.

All that is random is drawn from generators seeded by the run's seed, the epoch and a position in it, so any batch
can be made again without those before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from specdl.data.transforms import Transform

if TYPE_CHECKING:
    from specdl.data.columns import Column


@dataclass(frozen=True, slots=True)
class Step:
    """A transform with the fields that it reads and writes."""

    transform: Transform
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, fields: dict[str, Any], generator: torch.Generator) -> None:
        """Replaces the written fields. Fields have a batch axis, which may be 1 long."""
        changed = self.transform.apply([fields[name] for name in self.inputs], generator)
        fields.update(zip(self.outputs, changed, strict=not self.transform.fewer))


@dataclass(frozen=True, slots=True)
class Arrangement:
    """A transform that makes other examples of all those of a part, and the fields that it reads.

    The columns that it arranges are called `names`.
    """

    transform: Transform
    inputs: tuple[str, ...]
    names: tuple[str, ...]

    def run(self, fields: Mapping[str, Column], positions: torch.Tensor) -> dict[str, Column]:
        """The arranged columns of a part. Raises `ValueError` where it has too little."""
        columns = [fields[name].index_select(0, positions) for name in self.inputs]
        return dict(zip(self.names, self.transform.arrange(columns), strict=True))


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What is done to examples: in training, in evaluation, and to a batch in training.

    Where there is an arrangement, `before` are the steps above it, which are the same every time.
    """

    training: tuple[Step, ...] = ()
    evaluation: tuple[Step, ...] = ()
    batch: tuple[Step, ...] = ()
    before: tuple[Step, ...] = ()
    arrangement: Arrangement | None = None

    def apart(self) -> tuple[tuple[Step, ...], Pipeline]:
        """The first steps, as far as they are the same in training and in evaluation every time; and the rest."""
        if self.arrangement is not None:
            return self.before, replace(self, before=())
        count = 0
        for step, other in zip(self.training, self.evaluation, strict=False):
            if step != other or step.transform.varies() or step.transform.random:
                break
            count += 1
        return self.training[:count], Pipeline(self.training[count:], self.evaluation[count:], self.batch)


EVALUATION = 2**32
"""What stands for the number of the epoch in the seeds of an evaluation."""


def seed_of(seed: int, *numbers: int) -> int:
    """A seed for torch's generators that is unlike those of neighbouring numbers.

    torch's generator on the CPU reads the low 32 bits alone, so those must depend on all bits (splitmix64's
    finaliser, https://prng.di.unimi.it/splitmix64.c).
    """
    mixed = seed
    for number in numbers:
        mixed = (mixed + 0x9E3779B97F4A7C15 * (number + 1)) & _64_BITS
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64_BITS
        mixed ^= mixed >> 31
    return mixed & _63_BITS


_64_BITS, _63_BITS = 2**64 - 1, 2**63 - 1


def epoch_order(
    indices: torch.Tensor,
    seed: int,
    epoch: int,
    weights: torch.Tensor | None = None,
    *,
    lengths: torch.Tensor | None = None,
    size: int = 1,
) -> torch.Tensor:
    """The training examples in the order of an epoch: shuffled, or drawn with replacement by their weights.

    With `lengths`, one an example, those of about one length share a batch of `size`.
    """
    generator = torch.Generator().manual_seed(seed_of(seed, epoch))
    if weights is not None:
        return indices[torch.multinomial(weights, len(indices), replacement=True, generator=generator)]
    order = torch.randperm(len(indices), generator=generator)
    if lengths is not None:
        order = _bucketed(order, lengths, size, generator)
    return indices[order]


def whole_batches(count: int, size: int, processes: int = 1) -> int:
    """Batches of an epoch. A last one of one example a process is left out: batch normalisation can't take it."""
    whole, rest = divmod(count, size)
    return max(whole + (rest >= 2 * processes), 1)


def budgeted(lengths: torch.Tensor, tokens: int, least: int = 1) -> list[tuple[int, int]]:
    """Examples in an order, cut into batches whose longest length times their number is at most `tokens`.

    Each batch has `least` examples all the same, so far as there are so many.
    """
    bounds: list[tuple[int, int]] = []
    start, longest = 0, 0
    for at, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if at - start >= least and longest * (at + 1 - start) > tokens:
            bounds.append((start, at))
            start, longest = at, length
    if len(lengths) - start < least and bounds:
        start = bounds.pop()[0]
    return [*bounds, (start, len(lengths))]


def budgeted_order(
    indices: torch.Tensor, seed: int, epoch: int, lengths: torch.Tensor, bounds: Sequence[tuple[int, int]]
) -> list[torch.Tensor]:
    """The batches of an epoch: the examples by length, those of one length shuffled, and cut at the same places.

    So every epoch has as many batches; these are shuffled too.
    """
    generator = torch.Generator().manual_seed(seed_of(seed, epoch))
    order = torch.randperm(len(indices), generator=generator)
    order = indices[order[lengths[order].argsort(stable=True)]]
    return [order[slice(*bounds[at])] for at in torch.randperm(len(bounds), generator=generator).tolist()]


POOL = 64
"""Batches whose examples are sorted by length together: enough to be alike, few enough to differ between epochs."""


def _bucketed(order: torch.Tensor, lengths: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
    """Positions in an order in which those of a batch have about one length; whole batches are then shuffled."""
    pools = [order[start : start + POOL * size] for start in range(0, len(order), POOL * size)]
    joined = torch.cat([pool[lengths[pool].argsort(stable=True)] for pool in pools])
    batches = [joined[start : start + size] for start in range(0, len(joined), size)]
    whole = len(order) // size
    shuffled = torch.randperm(whole, generator=generator).tolist()
    return torch.cat([*(batches[at] for at in shuffled), *batches[whole:]])
