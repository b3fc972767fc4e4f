"""Batches whose examples are mixed, and their labels with them."""

from __future__ import annotations

import pytest
import torch

from specdl.data.transforms import BATCH_TRANSFORMS, Transform
from specdl.ir.dims import BATCH
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError

IMAGE, LABEL = TensorType((BATCH, 3, 12, 10)), TensorType((BATCH,), "int64")
# Each image is its number everywhere, so a mixed pixel shows what it is made of.
IMAGES = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 12, 10).contiguous()
LABELS = torch.arange(6)


def make(name: str, **arguments: object) -> Transform:
    return BATCH_TRANSFORMS[name].model_validate({"num_classes": 6, **arguments})


def apply(transform: Transform, seed: int = 0, labels: torch.Tensor = LABELS) -> tuple[torch.Tensor, torch.Tensor]:
    image, label = transform.apply([IMAGES, labels], torch.Generator().manual_seed(seed))
    return image, label


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_labels_say_what_the_images_are_made_of(name: str) -> None:
    shares = set()
    for seed in range(8):
        image, label = apply(make(name, alpha=1.0), seed)
        assert label.dtype == torch.float32
        torch.testing.assert_close(label.sum(1), torch.ones(6))
        # The mean of an image is what its label says of the numbers of the two that it is made of.
        torch.testing.assert_close(image.mean((1, 2, 3)), label @ torch.arange(6.0))
        for at in range(6):
            assert set(label[at].nonzero().flatten().tolist()) <= {at, (at - 1) % 6}
        shares.add(round(float(label[0, 0]), 6))
    assert len(shares) > 5


def test_cutmix_replaces_one_box() -> None:
    image, label = apply(make("cutmix"), 3)
    for at in range(6):
        other = image[at, 0] != float(at)
        rows, columns = other.any(1).sum(), other.any(0).sum()
        assert int(other.sum()) == int(rows * columns)
        assert 1 - float(label[at, at]) == pytest.approx(int(other.sum()) / 120, abs=1e-6)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_batch_that_is_not_mixed_has_soft_labels_too(name: str) -> None:
    image, label = apply(make(name, p=0.0))
    assert torch.equal(image, IMAGES)
    assert torch.equal(label, torch.eye(6))


def test_soft_labels_are_mixed_again() -> None:
    _, once = apply(make("mixup"))
    _, twice = apply(make("cutmix"), labels=once)
    torch.testing.assert_close(twice.sum(1), torch.ones(6))
    assert int((twice > 0).sum(1).max()) == 3


def test_alpha_decides_how_even_the_shares_are() -> None:
    def spread(alpha: float) -> float:
        shares = torch.tensor([float(apply(make("mixup", alpha=alpha), seed)[1][0, 0]) for seed in range(200)])
        return float(shares.std())

    # The standard deviation of Beta(a, a) is 1 / sqrt(4 (2a + 1)): 0.456 and 0.109.
    assert spread(0.1) == pytest.approx(0.456, abs=0.04)
    assert spread(10.0) == pytest.approx(0.109, abs=0.02)


def test_types() -> None:
    transform = BATCH_TRANSFORMS["mixup"].model_validate({})
    soft = TensorType((BATCH, 6))
    assert transform.with_classes([None, 6]).infer_fields([IMAGE, LABEL]) == (IMAGE, soft)
    assert transform.infer_fields([IMAGE, soft]) == (IMAGE, soft)
    for types in ([IMAGE], [IMAGE, LABEL], [IMAGE.with_dtype("uint8"), soft], [IMAGE, TensorType((BATCH, 3), "int64")]):
        with pytest.raises(TypeRuleError):
            transform.infer_fields(types)
    with pytest.raises(ValueError, match="a label is 5, but there are 3 classes"):
        apply(make("mixup", num_classes=3))
