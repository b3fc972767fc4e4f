"""OpenCV's operations, against OpenCV called directly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from specdl.data.transforms import TRANSFORMS
from specdl.data.transforms.opencv import OPENCV
from tests.unit.data.pictures import noise

GREY, COLOUR = noise(24, 32), noise(24, 32, 3, seed=1)

CASES: list[tuple[str, dict[str, Any], Callable[[Any], Any], np.ndarray]] = [
    ("grayscale", {}, lambda image: cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), COLOUR),
    ("resize", {"size": [10, 20]}, lambda image: cv2.resize(image, (20, 10)), COLOUR),
    (
        "resize",
        {"size": 12, "interpolation": "area"},
        lambda i: cv2.resize(i, (12, 12), interpolation=cv2.INTER_AREA),
        GREY,
    ),
    ("gaussian_blur", {"ksize": [3, 5]}, lambda image: cv2.GaussianBlur(image, (5, 3), 0), COLOUR),
    ("gaussian_blur", {"ksize": 5, "sigma": 2.0}, lambda image: cv2.GaussianBlur(image, (5, 5), 2.0), GREY),
    ("median_blur", {"ksize": 3}, lambda image: cv2.medianBlur(image, 3), COLOUR),
    ("bilateral_filter", {"d": 5}, lambda image: cv2.bilateralFilter(image, 5, 75, 75), COLOUR),
    ("canny", {"threshold1": 60, "threshold2": 120}, lambda image: cv2.Canny(image, 60, 120), GREY),
    ("canny", {"l2_gradient": True}, lambda image: cv2.Canny(image, 100, 200, L2gradient=True), COLOUR),
    ("threshold", {"thresh": 90}, lambda image: cv2.threshold(image, 90, 255, cv2.THRESH_BINARY)[1], COLOUR),
    (
        "threshold",
        {"thresh": 90, "type": "trunc"},
        lambda image: cv2.threshold(image, 90, 255, cv2.THRESH_TRUNC)[1],
        GREY,
    ),
    (
        "threshold",
        {"thresh": "otsu", "type": "binary_inv"},
        lambda image: cv2.threshold(image, 0, 255, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)[1],
        GREY,
    ),
    (
        "adaptive_threshold",
        {"block_size": 7, "c": 3, "method": "mean"},
        lambda i: cv2.adaptiveThreshold(i, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 7, 3),
        GREY,
    ),
    (
        "morphology",
        {"op": "close", "ksize": [3, 5], "shape": "ellipse", "iterations": 2},
        lambda i: cv2.morphologyEx(
            i, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 3)), iterations=2
        ),
        COLOUR,
    ),
    ("morphology", {"op": "erode"}, lambda image: cv2.erode(image, np.ones((3, 3), np.uint8)), GREY),
    ("equalize_hist", {}, cv2.equalizeHist, GREY),
    ("clahe", {"clip_limit": 3.0, "tile_grid_size": [2, 4]}, lambda i: cv2.createCLAHE(3.0, (4, 2)).apply(i), GREY),
    (
        "sobel",
        {},
        lambda i: cv2.convertScaleAbs(cv2.magnitude(cv2.Sobel(i, cv2.CV_32F, 1, 0), cv2.Sobel(i, cv2.CV_32F, 0, 1))),
        GREY,
    ),
    ("laplacian", {"ksize": 3}, lambda i: cv2.convertScaleAbs(cv2.Laplacian(i, cv2.CV_32F, ksize=3)), GREY),
]


def as_field(image: np.ndarray) -> torch.Tensor:
    tensor = torch.from_numpy(image)
    return (tensor[None] if tensor.dim() == 2 else tensor.permute(2, 0, 1))[None]


@pytest.mark.parametrize(("name", "arguments", "direct", "image"), CASES)
def test_the_same_as_opencv(name: str, arguments: dict[str, Any], direct: Any, image: np.ndarray) -> None:
    transform = TRANSFORMS[f"cv2.{name}"].model_validate(arguments)
    expected = as_field(direct(image.copy()))
    (bytes_,) = transform.apply([as_field(image)], torch.Generator())
    assert torch.equal(bytes_, expected)
    (numbers,) = transform.apply([as_field(image).float() / 255], torch.Generator())
    torch.testing.assert_close(numbers, expected.float() / 255)


def test_every_operation_is_compared() -> None:
    assert {f"cv2.{name}" for name, *_ in CASES} == {operation.name for operation in OPENCV}


def test_colours_are_equalised_in_their_lightness() -> None:
    (found,) = TRANSFORMS["cv2.equalize_hist"]().apply([as_field(COLOUR)], torch.Generator())
    lightness = cv2.cvtColor(found[0].permute(1, 2, 0).numpy(), cv2.COLOR_RGB2YCrCb)[..., 0]
    before = cv2.cvtColor(COLOUR, cv2.COLOR_RGB2YCrCb)[..., 0]
    assert int(lightness.max()) - int(lightness.min()) > int(before.max()) - int(before.min())


def test_the_courses_steps_follow_one_another() -> None:
    field = as_field(COLOUR).float() / 255
    for name, arguments in (
        ("grayscale", {}),
        ("resize", {"size": 16}),
        ("gaussian_blur", {"ksize": 5}),
        ("threshold", {"thresh": 127}),
        ("canny", {"threshold1": 100, "threshold2": 200}),
    ):
        (field,) = TRANSFORMS[f"cv2.{name}"].model_validate(arguments).apply([field], torch.Generator())
    image = cv2.resize(cv2.cvtColor(COLOUR, cv2.COLOR_RGB2GRAY), (16, 16))
    image = cv2.threshold(cv2.GaussianBlur(image, (5, 5), 0), 127, 255, cv2.THRESH_BINARY)[1]
    torch.testing.assert_close(field, as_field(cv2.Canny(image, 100, 200)).float() / 255)
