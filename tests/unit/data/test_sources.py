"""Sources and the split."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from specdl.data.sources import SOURCES
from specdl.data.split import split_indices


def test_digits_are_sklearns() -> None:
    fields = SOURCES["digits"]().load()
    expected = load_digits()
    np.testing.assert_array_equal(fields["image"].numpy()[:, 0] * 16, expected.images)
    np.testing.assert_array_equal(fields["label"].numpy(), expected.target)


def test_what_is_loaded_is_what_was_declared() -> None:
    for cls in SOURCES.values():
        source = cls()
        fields = source.load()
        assert list(fields) == list(source.fields())
        for name, type in source.fields().items():
            assert tuple(fields[name].shape[1:]) == type.shape[1:]
            assert str(fields[name].dtype) == f"torch.{type.dtype}"
            classes = source.classes(name)
            assert classes is None or len(classes) == int(fields[name].max()) + 1


def test_pixels_lie_between_zero_and_one() -> None:
    image = SOURCES["digits"]().load()["image"]
    assert (float(image.min()), float(image.max())) == (0.0, 1.0)


LABELS = torch.cat([torch.full((count,), label) for label, count in enumerate((50, 30, 7, 13))])


@pytest.mark.parametrize("labels", [None, LABELS])
def test_every_example_is_in_one_part(labels: torch.Tensor | None) -> None:
    parts = split_indices(100, {"validation": 0.2, "test": 0.1}, labels=labels)
    assert {name: len(indices) for name, indices in parts.items()} == {"train": 70, "validation": 20, "test": 10}
    assert torch.cat(list(parts.values())).sort().values.tolist() == list(range(100))


def test_stratified_parts_have_the_classes_shares() -> None:
    parts = split_indices(100, {"validation": 0.2}, labels=LABELS)
    for part, share in (("train", 0.8), ("validation", 0.2)):
        counts = torch.bincount(LABELS[parts[part]], minlength=4)
        wanted = torch.bincount(LABELS) * share
        assert float((counts - wanted).abs().max()) < 1


def test_the_seed_decides() -> None:
    one, same, other = (split_indices(100, {"validation": 0.2}, seed=seed)["validation"] for seed in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_part_without_examples_is_refused() -> None:
    with pytest.raises(ValueError, match="validation"):
        split_indices(10, {"validation": 0.01})
