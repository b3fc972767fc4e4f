"""Sources and the split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from specdl.data.sources import SOURCES, Cifar10
from specdl.data.split import split_indices
from specdl.diagnostics import SpecError


def test_digits_are_sklearns() -> None:
    fields = SOURCES["digits"]().load().fields
    expected = load_digits()
    np.testing.assert_array_equal(fields["image"].numpy()[:, 0] * 16, expected.images)
    np.testing.assert_array_equal(fields["label"].numpy(), expected.target)


def write_cifar(folder: Path, rows: int = 10) -> list[np.ndarray]:
    """Five files of CIFAR-10's binary version, of random pixels; gives their rows of a label and an image."""
    generator = np.random.default_rng(0)
    parts = [generator.integers(0, 256, (rows, 3073), dtype=np.uint8) for _ in range(5)]
    for number, part in enumerate(parts, 1):
        part[:, 0] = np.arange(rows) % 10
        (folder / f"data_batch_{number}.bin").write_bytes(part.tobytes())
    return parts


def test_cifar10_reads_its_binary_version(tmp_path: Path) -> None:
    inner = tmp_path / "cifar-10-batches-bin"
    inner.mkdir()
    parts = write_cifar(inner)
    fields = Cifar10(root=str(tmp_path)).load().fields
    assert fields["label"].tolist() == [label for part in parts for label in part[:, 0]]
    # Rows are the red pixels, then the green, then the blue ones, line by line.
    np.testing.assert_array_equal(fields["image"][13, 1, 5] * 255, parts[1][3, 1 + 1024 + 5 * 32 :][:32])


@pytest.mark.parametrize("damage", [b"", b"cut", bytes([11]) + bytes(3072), None])
def test_a_file_of_cifar10_that_is_damaged_or_missing_is_told(tmp_path: Path, damage: bytes | None) -> None:
    write_cifar(tmp_path)
    file = tmp_path / "data_batch_4.bin"
    file.unlink() if damage is None else file.write_bytes(damage)
    with pytest.raises(SpecError, match=r"E0515.*data_batch_4.bin"):
        Cifar10(root=str(tmp_path)).load()


def test_what_is_loaded_is_what_was_declared(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    for source in (Cifar10(root=str(tmp_path)), SOURCES["digits"]()):
        fields = source.load().fields
        assert list(fields) == list(source.fields())
        for name, type in source.fields().items():
            assert tuple(fields[name].shape[1:]) == type.shape[1:]
            assert str(fields[name].dtype) == f"torch.{type.dtype}"
            classes = source.classes(name)
            assert classes is None or len(classes) == int(fields[name].max()) + 1


def test_pixels_lie_between_zero_and_one() -> None:
    image = SOURCES["digits"]().load().fields["image"]
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
