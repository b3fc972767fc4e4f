"""Transforms: what they declare is what they do, a seed decides what they draw, and torchvision does the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as reference

from specdl.data.extras import require
from specdl.data.transforms import ANY_TRANSFORMS, BATCH_TRANSFORMS, TRANSFORMS, Transform
from specdl.data.transforms.augment import AUTO, MIX, RAND, TRIVIAL, Space, operate
from specdl.data.transforms.geometry import CenterCrop, RandomAffine, RandomCrop, RandomResizedCrop, Resize, box
from specdl.data.transforms.numbers import STATISTICS
from specdl.ir.dims import BATCH
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError

IMAGES = torch.rand((5, 3, 12, 10), generator=torch.Generator().manual_seed(0))
TYPE = TensorType((BATCH, 3, 12, 10))

CASES: list[tuple[str, dict[str, Any]]] = [
    ("resize", {"size": 6}),
    ("resize", {"size": [24, 7]}),
    ("resize", {"size": [24, 7], "interpolation": "bicubic"}),
    ("normalize", {"mean": 0.5}),
    ("normalize", {"mean": [0.1, 0.2, 0.3], "std": [1, 2, 3]}),
    ("normalize", {"mean": "imagenet"}),
    ("pad", {"padding": 2}),
    ("center_crop", {"size": 7}),
    ("center_crop", {"size": [16, 9]}),
    ("random_crop", {"size": 8}),
    ("random_crop", {"size": [12, 10], "padding": 2}),
    ("random_crop", {"size": [12, 10], "padding": 2, "padding_mode": "reflect"}),
    ("random_resized_crop", {"size": 6}),
    ("random_resized_crop", {"size": [5, 9], "scale": [0.5, 1.0]}),
    ("random_horizontal_flip", {}),
    ("random_vertical_flip", {"p": 0.6}),
    ("random_affine", {"degrees": 20, "translate": 0.1, "scale": [0.8, 1.2], "shear": 10}),
    ("random_rotation", {"degrees": 30}),
    ("random_rotation", {"degrees": [10, 60], "fill": 0.5}),
    ("random_perspective", {"p": 0.8}),
    ("color_jitter", {"brightness": 0.4, "contrast": [0.5, 1.5], "saturation": 0.3, "hue": 0.2}),
    ("grayscale", {}),
    ("grayscale", {"num_output_channels": 3}),
    ("random_grayscale", {"p": 0.5}),
    ("gaussian_blur", {"kernel_size": 3}),
    ("gaussian_blur", {"kernel_size": 5, "sigma": 1.0}),
    ("random_erasing", {"p": 0.9}),
    ("random_erasing", {"p": 0.9, "value": "random"}),
    ("auto_augment", {}),
    ("auto_augment", {"policy": "svhn"}),
    ("rand_augment", {}),
    ("trivial_augment_wide", {}),
    ("augmix", {}),
    ("to_dtype", {"dtype": "uint8", "scale": True}),
    ("binarize", {"above": 0.5}),
    ("cv2.grayscale", {}),
    ("cv2.resize", {"size": [6, 9]}),
    ("cv2.gaussian_blur", {"ksize": 3}),
    ("cv2.median_blur", {"ksize": 3}),
    ("cv2.bilateral_filter", {"d": 3}),
    ("cv2.canny", {}),
    ("cv2.threshold", {"thresh": 100}),
    ("cv2.morphology", {"op": "open"}),
    ("cv2.equalize_hist", {}),
    ("cv2.clahe", {"tile_grid_size": 2}),
]


def make(name: str, arguments: dict[str, Any]) -> Transform:
    return (TRANSFORMS | BATCH_TRANSFORMS)[name].model_validate(arguments)


def apply(
    transform: Transform, *tensors: torch.Tensor, seed: int = 0, training: bool = True
) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    for step in (transform,) if training else transform.evaluation():
        tensors = step.apply(tensors, generator)
    return tensors


def behind(transform: Transform, type: TensorType, training: bool = True) -> TensorType:
    types: Sequence[TensorType] = (type,)
    for step in (transform,) if training else transform.evaluation():
        types = step.infer_fields(types)
    return types[0]


def test_every_transform_of_images_is_among_the_cases() -> None:
    grey = {"cv2.adaptive_threshold", "cv2.sobel", "cv2.laplacian"}  # of one channel
    of_images = set(ANY_TRANSFORMS) - set(BATCH_TRANSFORMS)
    assert {name for name, _ in CASES} | grey | {"one_hot"} == of_images


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_the_declared_type_is_what_comes_out(name: str, arguments: dict[str, Any], dtype: str, training: bool) -> None:
    transform = make(name, arguments)
    images = IMAGES if dtype == "float32" else (IMAGES * 255).to(torch.uint8)
    try:
        type = behind(transform, TensorType(TYPE.shape, dtype), training)  # type: ignore[arg-type]
    except TypeRuleError:
        assert (name, dtype) in {("normalize", "uint8"), ("to_dtype", "uint8")}
        return
    (found,) = apply(transform, images, training=training)
    assert tuple(found.shape) == (5, *type.shape[1:])
    assert str(found.dtype) == f"torch.{type.dtype}"


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_the_seed_decides_while_training(name: str, arguments: dict[str, Any]) -> None:
    transform = make(name, arguments)
    assert torch.equal(*(apply(transform, IMAGES, seed=3)[0] for _ in range(2)))
    if transform.random and arguments.get("sigma") != 1.0:
        # Whatever is drawn for five images, four seeds don't all draw the same.
        found = [apply(transform, IMAGES, seed=seed)[0] for seed in range(4)]
        assert any(not torch.equal(found[0], other) for other in found[1:])
        assert torch.equal(*(apply(transform, IMAGES, seed=seed, training=False)[0] for seed in (3, 4)))


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_the_generators_of_others_are_left_alone(name: str, arguments: dict[str, Any]) -> None:
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()
    apply(make(name, arguments), IMAGES)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numbers).all()


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_fields_of_one_entry_share_the_draw(name: str, arguments: dict[str, Any]) -> None:
    first, second = apply(make(name, arguments), IMAGES, IMAGES.clone())
    assert torch.equal(first, second)


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_the_fields_given_are_left_alone(name: str, arguments: dict[str, Any]) -> None:
    before = IMAGES.clone()
    apply(make(name, arguments), IMAGES)
    assert torch.equal(IMAGES, before)


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_each_image_gets_what_it_would_get_alone(name: str, arguments: dict[str, Any]) -> None:
    """What evaluation does to a batch is what it does to its images, so that inference agrees with it."""
    whole = apply(make(name, arguments), IMAGES, training=False)[0]
    alone = torch.cat([apply(make(name, arguments), image[None], training=False)[0] for image in IMAGES])
    # PyTorch's kernels add in another order for another batch.
    torch.testing.assert_close(whole, alone, rtol=1e-5, atol=1e-6)


# ---- against torchvision -----------------------------------------------------------------------------

PHOTO = torch.rand((2, 3, 40, 56), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [20, 48, [20, 30], [48, 20]])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_resize(size: Any, interpolation: str) -> None:
    (found,) = apply(make("resize", {"size": size, "interpolation": interpolation}), PHOTO)
    mode = "nearest-exact" if interpolation == "nearest" else interpolation
    expected = v2.Resize(size, interpolation=v2.InterpolationMode(mode), antialias=True)(PHOTO)
    torch.testing.assert_close(found, expected)
    (small,) = apply(make("resize", {"size": size}), (PHOTO * 255).to(torch.uint8))
    wanted = v2.Resize(size, antialias=True)((PHOTO * 255).to(torch.uint8))
    # torchvision scales bytes with weights of 16 bits, which rounds differently here and there.
    assert int((small.int() - wanted.int()).abs().max()) <= 1


@pytest.mark.parametrize("size", [20, 21, [20, 31], [50, 20], [60, 61]])
def test_center_crop(size: Any) -> None:
    (found,) = apply(make("center_crop", {"size": size}), PHOTO)
    assert torch.equal(found, v2.CenterCrop(size)(PHOTO))


def test_evaluation_takes_the_usual_middle() -> None:
    (cut,) = apply(RandomCrop(size=8), PHOTO, training=False)
    torch.testing.assert_close(cut, reference.center_crop(PHOTO, [8, 8]))
    (found,) = apply(RandomResizedCrop(size=28), PHOTO, training=False)
    expected = v2.Compose([v2.Resize(32, antialias=True), v2.CenterCrop(28)])(PHOTO)
    torch.testing.assert_close(found, expected)
    assert RandomResizedCrop(size=224).evaluation() == (Resize(size=256), CenterCrop(size=224))


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_random_crop_cuts_where_it_draws(mode: str) -> None:
    transform = RandomCrop(size=30, padding=4, padding_mode=mode)  # type: ignore[arg-type]
    tops, lefts = transform.draw(PHOTO, torch.Generator().manual_seed(0))
    found = transform.change(PHOTO, (tops, lefts))
    padded = reference.pad(PHOTO, [4], padding_mode=mode)
    for image, whole, top, left in zip(found, padded, tops.tolist(), lefts.tolist(), strict=True):
        assert torch.equal(image, whole[:, top : top + 30, left : left + 30])


def test_random_resized_crop_scales_the_part_that_it_draws() -> None:
    transform = RandomResizedCrop(size=16)
    drawn = transform.draw(PHOTO, torch.Generator().manual_seed(0))
    found = transform.change(PHOTO, drawn)
    for image, whole, part in zip(found, PHOTO, drawn, strict=True):
        torch.testing.assert_close(image, reference.resized_crop(whole, *part, [16, 16], antialias=True))


def test_boxes_have_the_areas_and_shapes_asked_for() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [box(300, 400, (0.1, 0.6), (0.5, 2.0), generator) for _ in range(400)]
    areas, shapes = ([h * w / 120_000 for _, _, h, w in drawn], [w / h for _, _, h, w in drawn])
    # Sides are rounded to whole pixels.
    assert min(areas) > 0.099
    assert max(areas) < 0.601
    assert min(shapes) > 0.49
    assert max(shapes) < 2.03
    assert max(areas) - min(areas) > 0.45
    assert all(0 <= top <= 300 - h and 0 <= left <= 400 - w for top, left, h, w in drawn)
    assert box(10, 1000, (1.0, 1.0), (0.75, 4 / 3), generator) == (0, 493, 10, 13)


def test_affine_is_torchvisions() -> None:
    size = 41
    y, x = torch.meshgrid(torch.linspace(-3, 3, size), torch.linspace(-3, 3, size), indexing="ij")
    smooth = torch.stack([torch.sin(x + 0.3 * y), torch.cos(y - 0.5 * x), torch.sin(x * y / 3)])[None]
    transform = RandomAffine(degrees=40.0, translate=0.1, scale=(0.8, 1.3), shear=15.0)
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        matrix = transform.draw(smooth, generator)[0].double()
        angle = math.degrees(math.atan2(float(matrix[1, 0]), float(matrix[1, 1])))
        scale = 1 / math.hypot(float(matrix[1, 0]), float(matrix[1, 1]))
        turn = math.radians(angle)
        slope = (float(matrix[0, 1]) * scale + math.sin(turn)) / math.cos(turn)
        # What torchvision needs to lead back to the same matrix: it turns the other way, and shears along x.
        theirs = reference.affine(
            smooth,
            angle=-angle,
            translate=[0, 0],
            scale=scale,
            shear=[math.degrees(math.atan(slope)), 0.0],
            interpolation=v2.InterpolationMode.BILINEAR,
        )
        moved = transform.change(smooth, torch.cat([matrix[:, :2], torch.zeros(2, 1)], dim=1)[None])
        middle = (..., slice(14, 27), slice(14, 27))
        difference = (moved[middle] - theirs[middle]).abs().max()
        # What is left is float32's: the middle pixel is the same, and the matrix has six digits.
        assert float(difference) < 1e-4


def test_what_comes_into_view_is_filled() -> None:
    white = torch.ones(6, 3, 16, 16)
    assert float(apply(make("random_affine", {"degrees": 40, "fill": 1.0}), white)[0].min()) == pytest.approx(1.0)
    assert float(apply(make("random_affine", {"degrees": 40}), white)[0].min()) == 0.0
    # torchvision takes a pixel on the border for a quarter outside twice.
    assert float(apply(make("random_rotation", {"degrees": 40, "fill": 1.0}), white)[0].min()) > 0.7


@pytest.mark.parametrize("degrees", [180.0])
def test_a_turn_is_torchvisions(degrees: float) -> None:
    transform = RandomAffine(degrees=degrees)
    drawn = transform.draw(IMAGES, torch.Generator().manual_seed(0))
    angle = math.degrees(math.atan2(float(drawn[0, 1, 0]) * 12 / 10, float(drawn[0, 0, 0])))
    found = transform.change(IMAGES, drawn)[0]
    bilinear = reference.InterpolationMode.BILINEAR
    expected = [reference.rotate(IMAGES[0], sign * angle, interpolation=bilinear) for sign in (1, -1)]
    # Sampling at the border differs by design: torchvision's grid is rounded to pixels there.
    assert min(float((found - turned).abs().mean()) for turned in expected) < 1e-3


def test_colour_jitter_adjusts_in_the_order_drawn() -> None:
    transform = make("color_jitter", {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1})
    drawn = transform.draw(PHOTO, torch.Generator().manual_seed(0))
    found = transform.change(PHOTO, drawn)
    orders = {tuple(name for name, _ in one) for one in drawn}
    assert len(orders) == 2
    for image, whole, one in zip(found, PHOTO, drawn, strict=True):
        for name, amount in one:
            low, high = (-0.1, 0.1) if name == "hue" else (0.6, 1.4)
            assert low <= amount <= high
            whole = getattr(reference, f"adjust_{name}")(whole, amount)
        torch.testing.assert_close(image, whole)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("grayscale", {}, v2.Grayscale()),
        ("random_grayscale", {"p": 1.0}, v2.RandomGrayscale(1.0)),
        ("gaussian_blur", {"kernel_size": 5, "sigma": 1.3}, v2.GaussianBlur(5, 1.3)),
        ("random_horizontal_flip", {"p": 1.0}, v2.RandomHorizontalFlip(1.0)),
        ("random_vertical_flip", {"p": 1.0}, v2.RandomVerticalFlip(1.0)),
        ("normalize", {"mean": "imagenet"}, v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])),
        ("to_dtype", {"dtype": "uint8", "scale": True}, v2.ToDtype(torch.uint8, scale=True)),
        (
            "random_rotation",
            {"degrees": [30, 30]},
            v2.RandomRotation([30, 30], interpolation=v2.InterpolationMode.BILINEAR),
        ),
    ],
)
def test_torchvision_does_the_same(name: str, arguments: dict[str, Any], expected: Any) -> None:
    (found,) = apply(make(name, arguments), PHOTO)
    # torchvision truncates where it scales to bytes, here they are rounded.
    torch.testing.assert_close(found, expected(PHOTO), rtol=1e-5, atol=1.0 if found.dtype == torch.uint8 else 1e-5)


def test_perspective_moves_corners_inwards() -> None:
    transform = make("random_perspective", {"p": 1.0, "distortion_scale": 0.6})
    drawn = transform.draw(PHOTO, torch.Generator().manual_seed(0))
    corners = [[0, 0], [55, 0], [55, 39], [0, 39]]
    for places in drawn:
        for (x, y), (to_x, to_y) in zip(corners, places, strict=True):
            assert abs(to_x - x) <= 0.6 * 28
            assert abs(to_y - y) <= 0.6 * 20
            assert 0 <= to_x <= 55
            assert 0 <= to_y <= 39
    expected = reference.perspective(
        PHOTO[0], corners, drawn[0], interpolation=v2.InterpolationMode.BILINEAR, fill=[0.0]
    )
    torch.testing.assert_close(transform.change(PHOTO, drawn)[0], expected)


def test_erasing_blanks_one_box() -> None:
    transform = make("random_erasing", {"p": 1.0, "scale": [0.1, 0.3], "value": 7.0})
    (found,) = apply(transform, PHOTO)
    for image, before in zip(found, PHOTO, strict=True):
        blank = (image == 7.0).all(0)
        rows, columns = blank.any(1).nonzero().flatten(), blank.any(0).nonzero().flatten()
        assert int(blank.sum()) == len(rows) * len(columns)
        assert 0.08 < int(blank.sum()) / blank.numel() < 0.32
        assert torch.equal(image[:, ~blank], before[:, ~blank])


@pytest.mark.parametrize(
    ("space", "cls", "bins"),
    [
        (AUTO, v2.AutoAugment, 10),
        (RAND, v2.RandAugment, 31),
        (TRIVIAL, v2.TrivialAugmentWide, 31),
        (MIX, v2.AugMix, 10),
    ],
)
def test_operations_and_amounts_are_torchvisions(space: Space, cls: Any, bins: int) -> None:
    known = cls._AUGMENTATION_SPACE
    assert set(space.names) == set(known)
    image = (PHOTO[0] * 255).to(torch.uint8)
    for name in space.names:
        amounts, signed = known[name]
        wanted = amounts(bins, 40, 56)
        for at in (0, 1, bins // 2, bins - 1):
            amount = space.amount(name, at / (bins - 1), 40, 56, negative=False)
            assert amount == pytest.approx(0.0 if wanted is None else float(wanted[at]), abs=1e-5)
        assert (space.amount(name, 1.0, 40, 56, negative=True) < 0) == signed
        middle = space.amount(name, 0.5, 40, 56, negative=False)
        expected = cls()._apply_image_or_video_transform(image, name, middle, v2.InterpolationMode.NEAREST, {})
        assert torch.equal(operate(image, (name, middle)), expected)


@pytest.mark.parametrize("policy", ["imagenet", "cifar10", "svhn"])
def test_auto_augment_draws_from_its_policy(policy: str) -> None:
    transform = make("auto_augment", {"policy": policy})
    pairs = require("torchvision.transforms.v2", "").AutoAugment(v2.AutoAugmentPolicy(policy))._policies
    names = {tuple(name for name, _, _ in pair) for pair in pairs}
    drawn = transform.draw(PHOTO.repeat(50, 1, 1, 1), torch.Generator().manual_seed(0))
    assert {tuple(name for name, _ in one) for one in drawn if len(one) == 2} <= names
    assert len({tuple(one) for one in drawn}) > 20


def test_augmix_is_a_mean_of_chains() -> None:
    transform = make("augmix", {"alpha": 1.0, "chain_depth": 2})
    own, chains = transform.draw(PHOTO, torch.Generator().manual_seed(0))[0]
    assert own + sum(weight for weight, _ in chains) == pytest.approx(1)
    assert [len(chain) for _, chain in chains] == [2, 2, 2]
    (found,) = apply(make("augmix", {}), PHOTO)
    assert float(found.min()) > -0.01
    assert float(found.max()) < 1.01


# ---- masks, types, mistakes --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 1, 12, 10), (5, 12, 10)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.bool])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (name, arguments)
        for name, arguments in CASES
        if name in {"resize", "pad", "center_crop"} or name.startswith("random_")
    ],
)
def test_masks_keep_their_numbers(name: str, arguments: dict[str, Any], shape: tuple[int, ...], dtype: Any) -> None:
    transform = make(name, arguments)
    masks = torch.randint(0, 4, shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    type = TensorType((BATCH, *shape[1:]), str(dtype).removeprefix("torch."))  # type: ignore[arg-type]
    try:
        (wanted,) = transform.infer_fields([type])
    except TypeRuleError as error:
        assert name in {"random_grayscale", "random_erasing"}
        assert "mask" in error.message or len(shape) == 3
        return
    (found,) = apply(transform, masks)
    assert found.dtype == dtype
    assert tuple(found.shape[1:]) == wanted.shape[1:]
    assert set(found.unique().tolist()) <= {0, 1, 2, 3}


def test_an_image_and_its_mask_move_together() -> None:
    """The mask is where the image is bright, before and after."""
    image = torch.zeros(4, 1, 32, 32)
    image[:, :, 8:20, 12:18] = 1.0
    mask = (image > 0.5).long()
    for name in ("random_affine", "random_rotation", "random_perspective", "random_resized_crop", "random_crop"):
        arguments = {"random_affine": {"degrees": 40}, "random_rotation": {"degrees": 40}}.get(name, {})
        size = {"size": 24} if name.endswith("crop") else {}
        moved, marked = apply(make(name, {**arguments, **size}), image, mask)
        agree = ((moved > 0.5) == (marked > 0)).float().mean()
        # Between pixels the image is interpolated and the mask takes the nearest: half a pixel along the edge.
        assert float(agree) > 0.93, name
        assert 0.01 < float((marked > 0).float().mean()) < 0.6


@pytest.mark.parametrize(
    ("name", "arguments", "type"),
    [
        ("resize", {"size": 6}, TensorType((BATCH, 64))),
        ("normalize", {"mean": "imagenet"}, TensorType((BATCH, 1, 8, 8))),
        ("normalize", {"mean": 0.0, "std": 0.0}, TYPE),
        ("normalize", {"mean": 0.0}, TensorType((BATCH, 1, 8, 8), "uint8")),
        ("random_crop", {"size": 20}, TYPE),
        ("color_jitter", {"brightness": 0.1}, TensorType((BATCH, 1, 8, 8), "int64")),
        ("color_jitter", {"hue": 0.6}, TYPE),
        ("gaussian_blur", {"kernel_size": 4}, TYPE),
        ("one_hot", {"num_classes": 3}, TYPE),
        ("one_hot", {}, TensorType((BATCH,), "int64")),
        ("to_dtype", {"dtype": "int64", "scale": True}, TYPE),
        ("to_dtype", {"dtype": "float64", "scale": True}, TYPE),
        ("cv2.adaptive_threshold", {}, TYPE),
        ("cv2.gaussian_blur", {"ksize": 4}, TYPE),
        ("cv2.canny", {}, TensorType((BATCH, 8, 8), "int64")),
        ("cv2.threshold", {"thresh": "otsu"}, TYPE),
    ],
)
def test_types_that_do_not_fit_are_refused(name: str, arguments: dict[str, Any], type: TensorType) -> None:
    with pytest.raises(TypeRuleError):
        make(name, arguments).infer(type)


def test_named_statistics_are_those_of_their_data() -> None:
    mean, std = STATISTICS["imagenet"]
    from torchvision.models import MobileNet_V2_Weights

    preset = MobileNet_V2_Weights.IMAGENET1K_V1.transforms()
    assert (list(mean), list(std)) == (list(preset.mean), list(preset.std))
    assert all(len(a) == len(b) and all(0 < s < 1 for s in b) for a, b in STATISTICS.values())


def test_binarize_and_one_hot() -> None:
    masks = torch.tensor([[0, 3, 300]])
    assert apply(make("binarize", {}), masks)[0].tolist() == [[0, 1, 1]]
    (found,) = apply(make("one_hot", {"num_classes": 4}), torch.tensor([2, 0]))
    assert found.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    assert make("one_hot", {}).with_classes([7]).infer(TensorType((BATCH,), "int64")).shape == (BATCH, 7)


def test_a_transform_is_recorded_with_all_its_arguments() -> None:
    assert make("normalize", {"mean": "imagenet"}).recorded() == {
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    assert make("resize", {"size": [3, 4]}).recorded() == {"size": [3, 4], "interpolation": "bilinear"}
