"""Serves batches from tensors in memory: slicing them costs a tenth of what a data loader does.

Transforms that decide nothing at random are run once over all examples; from the first random one on they run
on each batch, whose draws depend on the seed, the epoch and the batch's first position alone.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping

import torch

from specdl.data.columns import Column, Columns, Ragged, Tensors, collate
from specdl.data.examples import BatchSize, Budget
from specdl.data.pipeline import (
    EVALUATION,
    Pipeline,
    budgeted,
    budgeted_order,
    epoch_order,
    seed_of,
    whole_batches,
)
from specdl.diagnostics import Diagnostic, SpecError


class MemoryExamples:
    """`Examples` (see examples.py) in memory.

    `weights` are those of a weighted sampler, one an example; `bucket` is the field whose lengths decide which
    examples share a batch. `ragged` are the fields that a batch is padded in, with what fills them up.

    Raises `SpecError` where a part has too little to be arranged.
    """

    def __init__(
        self,
        fields: Mapping[str, Column],
        parts: Mapping[str, torch.Tensor],
        pipeline: Pipeline,
        *,
        device: torch.device,
        seed: int,
        weights: torch.Tensor | None = None,
        bucket: str | None = None,
        ragged: Mapping[str, int | float] | None = None,
    ) -> None:
        self._device, self._seed, self._ragged = device, seed, ragged or {}
        self._weights = None if weights is None else weights[parts["train"]]
        columns: Columns = {name: column.to(device) for name, column in fields.items()}
        fixed, self._pipeline = pipeline.apart()
        for step in fixed:
            step.run(columns, torch.Generator())
        # The columns of each part (the same ones, unless examples were made anew), and its positions in them.
        self._parts = {name: (columns, positions) for name, positions in parts.items()}
        if pipeline.arrangement is not None:
            for name, positions in parts.items():
                try:
                    arranged = pipeline.arrangement.run(columns, positions.to(device))
                except ValueError as error:
                    what = pipeline.arrangement.transform.name
                    raise SpecError([Diagnostic("E0508", f"`{what}`: the part `{name}` {error}")]) from error
                self._parts[name] = (arranged, torch.arange(len(next(iter(arranged.values())))))
        self._lengths = None if bucket is None else self._lengths_of(bucket, "bucket")
        self._bounds: dict[tuple[Budget, int], list[tuple[int, int]]] = {}

    def _lengths_of(self, field: str, word: str, part: str = "train") -> torch.Tensor:
        """The lengths of a part's examples."""
        columns, positions = self._parts[part]
        column = columns.get(field)
        if not isinstance(column, Ragged):
            help = "name a field whose length is known before training, and differs: the tokens that `tokenize` made"
            raise SpecError(
                [Diagnostic("E0565", f"`{word}` needs the lengths of `{field}` before training", help=help)]
            )
        return column.lengths.cpu()[positions]

    def _bounds_of(self, budget: Budget, processes: int) -> list[tuple[int, int]]:
        """Where the training examples, sorted by length, are cut into batches."""
        known = budget, processes
        if known not in self._bounds:
            lengths = self._lengths_of(budget.field, "batch_size").sort().values
            self._bounds[known] = budgeted(lengths, budget.tokens, processes)
        return self._bounds[known]

    def batch_count(self, size: BatchSize, processes: int = 1) -> int:
        """The number of batches of an epoch."""
        if isinstance(size, Budget):
            return len(self._bounds_of(size, processes))
        return whole_batches(self.count("train"), size, processes)

    def _served(
        self, epoch: int, batches: range, size: BatchSize, processes: int
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """The positions of each of those batches, and what its random numbers are seeded with."""
        positions = self._parts["train"][1]
        if isinstance(size, Budget):
            lengths = self._lengths_of(size.field, "batch_size")
            made = budgeted_order(positions, self._seed, epoch, lengths, self._bounds_of(size, processes))
            for number in batches:
                yield number * processes, made[number].to(self._device)
            return
        order = epoch_order(positions, self._seed, epoch, self._weights, lengths=self._lengths, size=size)
        order = order.to(self._device)
        for number in batches:
            yield number * size, order[number * size : (number + 1) * size]

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts."""
        return tuple(self._parts)

    def count(self, part: str) -> int:
        """The number of examples of a part."""
        return len(self._parts[part][1])

    def training(
        self, epoch: int, batches: range, size: BatchSize, *, rank: int = 0, processes: int = 1
    ) -> Generator[Tensors, None, None]:
        """Batches of an epoch; see `Examples.training`."""
        pipeline, generator = self._pipeline, torch.Generator()
        items = tuple(self._parts["train"][0].items())
        for start, positions in self._served(epoch, batches, size, processes):
            indices = positions[rank::processes]
            batch: Columns = {name: column.index_select(0, indices) for name, column in items}
            if pipeline.training or pipeline.batch:
                generator.manual_seed(seed_of(self._seed, epoch, start + rank))
            for step in pipeline.training:
                step.run(batch, generator)
            tensors = collate(batch, self._ragged)
            for step in pipeline.batch:
                step.run(tensors, generator)
            yield tensors

    def batches(self, part: str, size: BatchSize) -> Generator[Tensors, None, None]:
        """All examples of a part in order, transformed as in evaluation."""
        columns, positions = self._parts[part]
        indices = positions.to(self._device)
        generator = torch.Generator()
        if isinstance(size, Budget):
            bounds = budgeted(self._lengths_of(size.field, "batch_size", part), size.tokens)
        else:
            bounds = [(start, start + size) for start in range(0, len(indices), size)]
        for start, end in bounds:
            chosen = indices[start:end]
            batch: Columns = {name: column.index_select(0, chosen) for name, column in columns.items()}
            generator.manual_seed(seed_of(self._seed, EVALUATION, start))
            for step in self._pipeline.evaluation:
                step.run(batch, generator)
            yield collate(batch, self._ragged)
