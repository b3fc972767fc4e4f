"""Serves batches of examples that are decoded one by one, ahead of the training loop and in the background.

The workers are threads: decoders and torch's kernels let go of Python's lock, nothing is copied between processes,
and none is left behind when the run is stopped. Each example draws from a generator of its own, seeded by the
seed, the epoch and its position in the epoch, so any number of workers serves the same batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from specdl.data.columns import Columns, Tensors, collate, concatenate, one
from specdl.data.examples import BatchSize, Budget, Records
from specdl.data.images import Unreadable
from specdl.data.loading import bad_files, different_sizes, find_bad
from specdl.data.pipeline import EVALUATION, Pipeline, Step, epoch_order, seed_of, whole_batches
from specdl.diagnostics import Diagnostic, Span, SpecError


class LazyExamples:
    """`Examples` (see examples.py) that are decoded when they are asked for.

    With 0 `workers` everything is done when a batch is asked for; otherwise that many threads work up to `AHEAD`
    batches ahead. `weights` are those of a weighted sampler, one an example; `ragged` are the fields that a batch is
    padded in, with what fills them up; `span` is where the data is named.
    """

    def __init__(
        self,
        records: Records,
        parts: Mapping[str, torch.Tensor],
        pipeline: Pipeline,
        *,
        device: torch.device,
        seed: int,
        workers: int = 0,
        ragged: Mapping[str, int | float] | None = None,
        weights: torch.Tensor | None = None,
        bucket: str | None = None,
        span: Span | None = None,
    ) -> None:
        self._records, self._pipeline = records, pipeline
        self._parts = dict(parts)
        self._weights = None if weights is None else weights[self._parts["train"]]
        self._device, self._seed, self._workers, self._ragged = device, seed, workers, ragged or {}
        self._span = span
        if pipeline.arrangement is not None or bucket is not None:
            what = "bucket" if pipeline.arrangement is None else pipeline.arrangement.transform.name
            help = "keep them there: `data: {in_memory: true}`, with images of one size"
            raise SpecError([Diagnostic("E0565", f"`{what}` needs all examples in memory", span, help=help)])

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts."""
        return tuple(self._parts)

    def count(self, part: str) -> int:
        """The number of examples of a part."""
        return len(self._parts[part])

    def batch_count(self, size: BatchSize, processes: int = 1) -> int:
        """The number of batches of an epoch."""
        return whole_batches(self.count("train"), self._plain(size), processes)

    def _plain(self, size: BatchSize) -> int:
        if isinstance(size, Budget):
            help = "give `batch_size` as a number of examples"
            message = f"`batch_size` needs the lengths of `{size.field}`, so all examples in memory"
            raise SpecError([Diagnostic("E0565", message, self._span, help=help)])
        return size

    def training(
        self, epoch: int, batches: range, size: BatchSize, *, rank: int = 0, processes: int = 1
    ) -> Generator[Tensors, None, None]:
        """Batches of an epoch; see `Examples.training`."""
        size = self._plain(size)
        order = epoch_order(self._parts["train"], self._seed, epoch, self._weights).tolist()

        def positions(number: int) -> range:
            return range(len(order))[number * size + rank : (number + 1) * size : processes]

        def make(position: int) -> Columns:
            return self._example(order[position], self._pipeline.training, seed_of(self._seed, epoch, position))

        generator = torch.Generator()
        for number, batch in zip(batches, self._ahead(make, map(positions, batches)), strict=True):
            if self._pipeline.batch:
                generator.manual_seed(seed_of(self._seed, epoch, number * size + rank))
                for step in self._pipeline.batch:
                    step.run(batch, generator)
            yield batch

    def batches(self, part: str, size: BatchSize) -> Generator[Tensors, None, None]:
        """All examples of a part in order, transformed as in evaluation."""
        indices, size = self._parts[part].tolist(), self._plain(size)
        chosen = (indices[start : start + size] for start in range(0, len(indices), size))
        steps, seed = self._pipeline.evaluation, self._seed
        yield from self._ahead(lambda index: self._example(index, steps, seed_of(seed, EVALUATION, index)), chosen)

    def _example(self, index: int, steps: Sequence[Step], seed: int) -> Columns:
        """One example behind its transforms, its fields with a batch axis of 1."""
        fields: Columns = {name: one(value) for name, value in self._records.get(index).items()}
        generator = torch.Generator().manual_seed(seed)
        for step in steps:
            step.run(fields, generator)
        return fields

    def _failed(self) -> SpecError:
        """A file turned out to be bad in the middle of a run: all of them are looked for, and listed."""
        bad = find_bad(self._records, self._workers, decode=True)
        return bad_files(bad, len(self._records), self._span)

    def _ahead(
        self, make: Callable[[int], Columns], batches: Iterable[Sequence[int]]
    ) -> Generator[Tensors, None, None]:
        """Batches of what `make` makes of each number, made ahead of time where there are workers."""
        try:
            yield from self._made(make, batches)
        except Unreadable as error:
            raise self._failed() from error

    def _made(self, make: Callable[[int], Columns], batches: Iterable[Sequence[int]]) -> Generator[Tensors, None, None]:
        if not self._workers:
            for numbers in batches:
                yield self._finish([make(number) for number in numbers])
            return
        executor = ThreadPoolExecutor(self._workers, thread_name_prefix="specdl-data")
        waiting: deque[list[Future[Columns]]] = deque()
        try:
            for numbers in batches:
                waiting.append([executor.submit(make, number) for number in numbers])
                if len(waiting) > AHEAD:
                    yield self._finish([future.result() for future in waiting.popleft()])
            while waiting:
                yield self._finish([future.result() for future in waiting.popleft()])
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def _finish(self, examples: Sequence[Columns]) -> Tensors:
        batch: Columns = {}
        for name in examples[0]:
            columns = [example[name] for example in examples]
            try:
                batch[name] = concatenate(columns, self._ragged.get(name))
            except ValueError as error:
                raise SpecError([_different_sizes(name, columns)]) from error
        return {name: tensor.to(self._device) for name, tensor in collate(batch, self._ragged).items()}


def _different_sizes(name: str, columns: Sequence[Any]) -> Diagnostic:
    first = columns[0]
    return different_sizes(name, next(item for item in columns if item.shape != first.shape)[0], first[0])


AHEAD = 3
"""Batches that are being made while one is used."""
