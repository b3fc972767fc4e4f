"""Transforms: what they declare is what they do, and a seed decides what they draw."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from specdl.data.transforms import TRANSFORMS, RandomAffine, RandomCrop, Transform
from specdl.ir.dims import BATCH
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError

IMAGES = torch.rand((5, 3, 12, 10), generator=torch.Generator().manual_seed(0))
TYPE = TensorType((BATCH, 3, 12, 10))

CASES: list[tuple[str, dict[str, Any]]] = [
    ("resize", {"size": 6}),
    ("resize", {"size": [24, 7]}),
    ("normalize", {"mean": 0.5}),
    ("normalize", {"mean": [0.1, 0.2, 0.3], "std": [1, 2, 3]}),
    ("normalize", {"mean": "imagenet"}),
    ("pad", {"padding": 2}),
    ("random_crop", {"size": 8}),
    ("random_crop", {"size": [12, 10], "padding": 2}),
    ("random_horizontal_flip", {}),
    ("random_affine", {"degrees": 20, "translate": 0.1, "scale": [0.8, 1.2]}),
]


def apply(
    transform: Transform, *tensors: torch.Tensor, seed: int = 0, training: bool = True
) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    for step in (transform,) if training else transform.evaluation():
        tensors = step.apply(tensors, generator)
    return tensors


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_the_declared_type_is_what_comes_out(name: str, arguments: dict[str, Any], training: bool) -> None:
    transform = TRANSFORMS[name].model_validate(arguments)
    (found,) = apply(transform, IMAGES, training=training)
    assert tuple(found.shape) == (5, *transform.infer(TYPE).shape[1:])
    assert found.dtype == torch.float32


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_the_seed_decides_while_training(name: str, arguments: dict[str, Any]) -> None:
    transform = TRANSFORMS[name].model_validate(arguments)
    assert torch.equal(*(apply(transform, IMAGES, seed=3)[0] for _ in range(2)))
    if transform.random:
        assert not torch.equal(apply(transform, IMAGES, seed=3)[0], apply(transform, IMAGES, seed=4)[0])
        assert torch.equal(*(apply(transform, IMAGES, seed=seed, training=False)[0] for seed in (3, 4)))


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_fields_of_one_entry_share_the_draw(name: str, arguments: dict[str, Any]) -> None:
    first, second = apply(TRANSFORMS[name].model_validate(arguments), IMAGES, IMAGES.clone())
    assert torch.equal(first, second)


def test_imagenet_statistics() -> None:
    (found,) = apply(TRANSFORMS["normalize"].model_validate({"mean": "imagenet"}), IMAGES)
    expected = reference.normalize(IMAGES, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(found, expected)


def test_evaluation_crops_the_centre() -> None:
    (found,) = apply(RandomCrop(size=8), IMAGES, training=False)
    torch.testing.assert_close(found, reference.center_crop(IMAGES, [8, 8]))


def test_a_turn_is_torchvisions() -> None:
    transform = RandomAffine(degrees=180.0)
    drawn = transform.draw(IMAGES, torch.Generator().manual_seed(0))
    angle = math.degrees(math.atan2(float(drawn[0, 1, 0]) * 12 / 10, float(drawn[0, 0, 0])))
    found = transform.change(IMAGES, drawn)[0]
    bilinear = reference.InterpolationMode.BILINEAR
    expected = [reference.rotate(IMAGES[0], sign * angle, interpolation=bilinear) for sign in (1, -1)]
    # Sampling at the border differs by design: torchvision's grid is rounded to pixels there.
    assert min(float((found - turned).abs().mean()) for turned in expected) < 1e-3


def test_masks_keep_their_numbers() -> None:
    masks = torch.randint(0, 4, (5, 1, 12, 10), generator=torch.Generator().manual_seed(0))
    for name in ("random_affine", "resize"):
        transform = TRANSFORMS[name].model_validate({"degrees": 30} if name == "random_affine" else {"size": 7})
        (found,) = apply(transform, masks)
        assert found.dtype == torch.int64
        assert set(found.unique().tolist()) <= {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("name", "arguments", "type"),
    [
        ("resize", {"size": 6}, TensorType((BATCH, 64))),
        ("normalize", {"mean": "imagenet"}, TensorType((BATCH, 1, 8, 8))),
        ("normalize", {"mean": 0.0, "std": 0.0}, TYPE),
        ("normalize", {"mean": 0.0}, TensorType((BATCH, 1, 8, 8), "uint8")),
        ("random_crop", {"size": 20}, TYPE),
    ],
)
def test_types_that_do_not_fit_are_refused(name: str, arguments: dict[str, Any], type: TensorType) -> None:
    with pytest.raises(TypeRuleError):
        TRANSFORMS[name].model_validate(arguments).infer(type)
