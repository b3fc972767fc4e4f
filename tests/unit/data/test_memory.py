"""Batches from memory."""

from __future__ import annotations

import torch

from specdl.data.memory import Examples, Step
from specdl.data.transforms import TRANSFORMS

CPU = torch.device("cpu")
FIELDS = {
    "image": torch.arange(20.0).view(20, 1, 1, 1).expand(20, 1, 6, 6).contiguous(),
    "label": torch.arange(20),
}
PARTS = {"train": torch.arange(15), "validation": torch.arange(15, 20)}


def step(name: str, arguments: dict[str, float], *, evaluation: bool = True) -> Step:
    return Step(TRANSFORMS[name].model_validate(arguments), ("image",), ("image",), True, evaluation)


def examples(*steps: Step, seed: int = 0) -> Examples:
    return Examples(FIELDS, PARTS, steps, device=CPU, seed=seed)


def test_an_epoch_holds_every_training_example_once_in_its_own_order() -> None:
    served = examples()
    first, second = served.begin_epoch(0), served.begin_epoch(1)
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(15))
    assert first.tolist() != second.tolist()
    assert torch.equal(first, examples().begin_epoch(0))
    assert not torch.equal(first, examples(seed=1).begin_epoch(0))


def test_evaluation_keeps_the_order_and_the_rest() -> None:
    batches = list(examples().batches("validation", 2))
    assert [batch["label"].tolist() for batch in batches] == [[15, 16], [17, 18], [19]]


def test_transforms_run_in_the_order_written() -> None:
    served = examples(
        step("normalize", {"mean": 1.0}), step("random_crop", {"size": 4}), step("normalize", {"mean": 0.0, "std": 2.0})
    )
    batch = served.training_batch(torch.tensor([3, 5]))
    assert batch["image"].shape == (2, 1, 4, 4)
    assert batch["image"][:, 0, 0, 0].tolist() == [1.0, 2.0]


def test_what_is_for_training_only_stays_out_of_evaluation() -> None:
    served = examples(step("normalize", {"mean": 1.0}, evaluation=False))
    assert served.training_batch(torch.tensor([16]))["image"][0, 0, 0, 0] == 15
    assert next(served.batches("validation", 5))["image"][1, 0, 0, 0] == 16


def test_the_fields_given_are_left_alone() -> None:
    before = FIELDS["image"].clone()
    examples(step("normalize", {"mean": 1.0}))
    assert torch.equal(FIELDS["image"], before)
