"""Batches from memory, and the same ones decoded one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from specdl.data.examples import Examples
from specdl.data.lazy import LazyExamples
from specdl.data.memory import MemoryExamples
from specdl.data.pipeline import Pipeline, Step, epoch_order, seed_of
from specdl.data.transforms import TRANSFORMS

CPU = torch.device("cpu")
FIELDS = {
    "image": torch.arange(20.0).view(20, 1, 1, 1) + torch.arange(36.0).view(1, 1, 6, 6) / 100,
    "label": torch.arange(20),
}
PARTS = {"train": torch.arange(15), "validation": torch.arange(15, 20)}


class Decoded:
    """The same examples one by one; notes the threads that ask."""

    parts = None
    classes: dict[str, tuple[str, ...]] = {}

    def __init__(self) -> None:
        self.threads: set[str] = set()
        self.asked: list[int] = []

    def __len__(self) -> int:
        return 20

    def get(self, position: int) -> dict[str, Any]:
        self.threads.add(threading.current_thread().name)
        self.asked.append(position)
        return {name: tensor[position] for name, tensor in FIELDS.items()}

    def keep(self, room: int) -> None:
        pass

    def inspect(self, position: int) -> None:
        pass

    def name(self, position: int) -> str:
        return f"{position}.png"

    def column(self, field: str) -> torch.Tensor | None:
        return FIELDS["label"] if field == "label" else None


def step(name: str, arguments: dict[str, float]) -> Step:
    return Step(TRANSFORMS[name].model_validate(arguments), ("image",), ("image",))


def pipeline(*steps: Step, only_training: bool = False, batch: tuple[Step, ...] = ()) -> Pipeline:
    evaluation = [
        Step(transform, item.inputs, item.outputs) for item in steps for transform in item.transform.evaluation()
    ]
    return Pipeline(steps, () if only_training else tuple(evaluation), batch)


CROP = {"size": 4}
NOTHING = Pipeline()


def in_memory(steps: Pipeline = NOTHING, seed: int = 0, **options: Any) -> Examples:
    return MemoryExamples(FIELDS, PARTS, steps, device=CPU, seed=seed, **options)


def decoded(steps: Pipeline = NOTHING, seed: int = 0, **options: Any) -> Examples:
    return LazyExamples(Decoded(), PARTS, steps, device=CPU, seed=seed, **options)


def with_workers(steps: Pipeline = NOTHING, **options: Any) -> Examples:
    return decoded(steps, workers=2, **options)


EVERY = pytest.mark.parametrize("examples", [in_memory, decoded, with_workers])


def labels(examples: Examples, epoch: int, size: int = 4) -> list[int]:
    return [at for batch in examples.training(epoch, range(-(-15 // size)), size) for at in batch["label"].tolist()]


@EVERY
def test_an_epoch_holds_every_training_example_once_in_its_own_order(examples: Callable[..., Examples]) -> None:
    served = examples()
    first, second = labels(served, 0), labels(served, 1)
    assert sorted(first) == sorted(second) == list(range(15))
    assert first != second
    assert first == labels(examples(), 0) == labels(in_memory(), 0)
    assert first != labels(examples(seed=1), 0)


@EVERY
def test_a_batch_is_the_same_whatever_was_served_before(examples: Callable[..., Examples]) -> None:
    whole = list(examples(pipeline(step("random_crop", CROP))).training(3, range(4), 4))
    rest = list(examples(pipeline(step("random_crop", CROP))).training(3, range(2, 4), 4))
    for batch, again in zip(whole[2:], rest, strict=True):
        assert torch.equal(batch["image"], again["image"])
        assert torch.equal(batch["label"], again["label"])


def test_any_number_of_workers_serves_the_same() -> None:
    for batch, again in zip(
        decoded(pipeline(step("random_crop", CROP))).training(1, range(4), 4),
        with_workers(pipeline(step("random_crop", CROP))).training(1, range(4), 4),
        strict=True,
    ):
        assert torch.equal(batch["image"], again["image"])


def test_workers_decode_in_the_background_and_end_with_the_iterator() -> None:
    records = Decoded()
    served = LazyExamples(records, PARTS, Pipeline(), device=CPU, seed=0, workers=2).training(0, range(15), 1)
    next(served)
    served.close()
    assert all(name.startswith("specdl-data") for name in records.threads)
    assert len(records.asked) < 15


@EVERY
def test_processes_share_a_batch(examples: Callable[..., Examples]) -> None:
    served = examples()
    (whole,) = served.training(0, range(1, 2), 4)
    shares = [next(served.training(0, range(1, 2), 4, rank=rank, processes=2)) for rank in range(2)]
    assert whole["label"].tolist() == [
        at for pair in zip(*(s["label"].tolist() for s in shares), strict=True) for at in pair
    ]


@EVERY
def test_evaluation_keeps_the_order_and_the_rest(examples: Callable[..., Examples]) -> None:
    batches = list(examples().batches("validation", 2))
    assert [batch["label"].tolist() for batch in batches] == [[15, 16], [17, 18], [19]]


@EVERY
def test_transforms_run_in_the_order_written(examples: Callable[..., Examples]) -> None:
    served = examples(
        pipeline(
            step("normalize", {"mean": 1.0}), step("random_crop", CROP), step("normalize", {"mean": 0.0, "std": 2.0})
        )
    )
    batch = next(served.training(0, range(1), 2))
    assert batch["image"].shape == (2, 1, 4, 4)
    assert torch.equal((batch["image"][:, 0, 0, 0] * 2 + 1).floor().long(), batch["label"])


@EVERY
def test_what_is_for_training_only_stays_out_of_evaluation(examples: Callable[..., Examples]) -> None:
    served = examples(pipeline(step("normalize", {"mean": 1.0}), only_training=True))
    batch = next(served.training(0, range(1), 2))
    assert torch.equal(batch["image"][:, 0, 0, 0].long() + 1, batch["label"])
    assert next(served.batches("validation", 5))["image"][1, 0, 0, 0] == 16


@EVERY
def test_steps_of_a_batch_run_on_it_while_training_alone(examples: Callable[..., Examples]) -> None:
    served = examples(pipeline(batch=(step("normalize", {"mean": 100.0}),)))
    assert next(served.training(0, range(1), 4))["image"].max() < 0
    assert next(served.batches("validation", 4))["image"].min() > 0


@EVERY
def test_a_weighted_sampler_draws_by_its_weights(examples: Callable[..., Examples]) -> None:
    weights = torch.zeros(20)
    weights[3], weights[7] = 1.0, 2.0
    assert set(labels(examples(weights=weights), 0)) == {3, 7}


def test_the_fields_given_are_left_alone() -> None:
    before = FIELDS["image"].clone()
    in_memory(pipeline(step("normalize", {"mean": 1.0})))
    assert torch.equal(FIELDS["image"], before)


def test_an_order_depends_on_seed_and_epoch() -> None:
    orders = {tuple(epoch_order(torch.arange(8), seed, epoch).tolist()) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_seeds_differ_in_the_bits_that_torch_reads() -> None:
    seeds = {seed_of(seed, epoch, at) & 0xFFFFFFFF for seed in range(4) for epoch in range(10) for at in range(100)}
    assert len(seeds) == 4000
