"""OpenCV's operations on images, in its own words and numbers: brightness is 0 to 255 there.

A floating-point image in [0, 1] becomes bytes for the operation and brightness again behind it; bytes stay bytes.
Each image is treated by itself, and the same in training and in evaluation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from specdl.data.extras import require
from specdl.data.transforms.base import Colour
from specdl.ir.types import TensorType
from specdl.ops.arguments import Size2, spread
from specdl.ops.base import TypeRuleError

if TYPE_CHECKING:
    import numpy as np
    import torch

_PAGE = "https://docs.opencv.org/4.x/{}.html"
_FILTER, _MISC = _PAGE.format("d4/d86/group__imgproc__filter"), _PAGE.format("d7/d1b/group__imgproc__misc")
_GEOMETRY, _COLOUR = (
    _PAGE.format("da/d54/group__imgproc__transform"),
    _PAGE.format("d8/d01/group__imgproc__color__conversions"),
)
_FEATURE, _HISTOGRAM = _PAGE.format("dd/d1a/group__imgproc__feature"), _PAGE.format("d6/dc7/group__imgproc__hist")


class OpenCV(Colour):
    """Base of OpenCV's operations: `operate` sees one image of bytes, `[H, W]` or `[H, W, C]`."""

    grey: ClassVar[bool] = False
    """Whether it wants one channel."""

    def infer(self, type: TensorType) -> TensorType:
        n, channels, h, w = super().infer(type).shape
        if self.grey and channels != 1:
            help = "make it grey first: `image = cv2.grayscale(image)`"
            raise TypeRuleError(f"expects an image of one channel, got {type}", help=help)
        if channels not in {1, 3, 4}:
            raise TypeRuleError(f"expects an image of one, three or four channels, got {type}")
        return type.with_shape(n, *self.result(channels, h, w))

    def result(self, *shape: Any) -> tuple[Any, ...]:
        """Channels, height and width behind the operation."""
        return shape

    def operate(self, cv2: Any, image: np.ndarray) -> np.ndarray:
        """One image behind the operation."""
        raise NotImplementedError

    def change(self, tensor: torch.Tensor, drawn: Any) -> torch.Tensor:
        import numpy as np
        import torch

        cv2 = require("cv2", f"the transform `{self.name}`")
        bytes = tensor if tensor.dtype == torch.uint8 else (tensor.clamp(0, 1) * 255).round().to(torch.uint8)
        rows = bytes.permute(0, 2, 3, 1).cpu().contiguous().numpy()
        found = []
        for row in rows:
            image = self.operate(cv2, row[..., 0] if row.shape[-1] == 1 else row)
            found.append(image[..., None] if image.ndim == 2 else image)
        stacked = torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous().to(tensor.device)
        return stacked if tensor.dtype == torch.uint8 else stacked.to(tensor.dtype) / 255


class Grayscale(OpenCV):
    """Colours to one channel of brightness (`cvtColor`)."""

    name: ClassVar[str] = "cv2.grayscale"
    reference: ClassVar[str] = _COLOUR

    def result(self, *shape: Any) -> tuple[Any, ...]:
        return (1, *shape[1:])

    def operate(self, cv2: Any, image: np.ndarray) -> np.ndarray:
        if image.ndim == 2:
            return image
        found: np.ndarray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY if image.shape[2] == 3 else cv2.COLOR_RGBA2GRAY)
        return found


_INTERPOLATIONS = Literal["nearest", "linear", "area", "cubic", "lanczos4"]


class Resize(OpenCV):
    """Scales images to a size. Unlike `resize` it doesn't smooth when shrinking, unless `interpolation` is `area`."""

    name: ClassVar[str] = "cv2.resize"
    main: ClassVar[str | None] = "size"
    reference: ClassVar[str] = _GEOMETRY

    size: Size2 = Field(description="Height and width; one number for both.")
    interpolation: _INTERPOLATIONS = Field(default="linear", description="How numbers between pixels are found.")

    def infer(self, type: TensorType) -> TensorType:
        if type.rank == 4 and not type.floating and type.dtype != "uint8":
            raise TypeRuleError(f"expects a picture, got a mask {type}", help="`resize` takes the nearest in a mask")
        return super().infer(type)

    def result(self, *shape: Any) -> tuple[Any, ...]:
        return (shape[0], *spread(self.size, 2))

    def operate(self, cv2: Any, image: np.ndarray) -> np.ndarray:
        height, width = spread(self.size, 2)
        how = getattr(cv2, f"INTER_{self.interpolation.upper()}")
        found: np.ndarray = cv2.resize(image, (width, height), interpolation=how)
        return found


class GaussianBlur(OpenCV):
    """Blurs images with a Gaussian."""

    name: ClassVar[str] = "cv2.gaussian_blur"
    main: ClassVar[str | None] = "ksize"
    reference: ClassVar[str] = _FILTER

    ksize: Size2 = Field(description="Height and width of the window, odd; one number for both.")
    sigma: float = Field(default=0.0, ge=0, description="Standard deviation; 0 takes the one that fits the window.")

    def infer(self, type: TensorType) -> TensorType:
        _require_odd(*spread(self.ksize, 2))
        return super().infer(type)

    def operate(self, cv2: Any, image: np.ndarray) -> np.ndarray:
        height, width = spread(self.ksize, 2)
        found: np.ndarray = cv2.GaussianBlur(image, (width, height), self.sigma)
        return found


def _require_odd(*sizes: int) -> None:
    if any(size % 2 == 0 for size in sizes):
        raise TypeRuleError("needs an odd `ksize`, so that the window has a middle", argument="ksize")


class MedianBlur(OpenCV):
    """Takes the middle of the brightnesses around each pixel: against specks."""

    name: ClassVar[str] = "cv2.median_blur"
    main: ClassVar[str | None] = "ksize"
    reference: ClassVar[str] = _FILTER

    ksize: int = Field(ge=3, description="Side of the window, odd.")

    def infer(self, type: TensorType) -> TensorType:
        _require_odd(self.ksize)
        return super().infer(type)

    def operate(self, cv2: Any, image: np.ndarray) -> np.ndarray:
        found: np.ndarray = cv2.medianBlur(image, self.ksize)
        return found


class BilateralFilter(OpenCV):
    """Smooths and keeps edges."""

    name: ClassVar[str] = "cv2.bilateral_filter"
    main: ClassVar[str | None] = "d"
    reference: ClassVar[str] = _FILTER

    d: int = Field(default=5, ge=1, description="Diameter of the window.")
    sigma_color: float = Field(default=75.0, gt=0, description="How unlike colours may be that are mixed.")
    sigma_space: float = Field(default=75.0, gt=0, description="How far apart pixels may be that are mixed.")

    def infer(self, type: TensorType) -> TensorType:
        found = super().infer(type)
        if type.shape[1] == 4:
            raise TypeRuleError(f"expects an image of one or three channels, got {type}")
        return found

    def operate(self, cv2: Any, image: np.ndarray) -> np.ndarray:
        found: np.ndarray = cv2.bilateralFilter(image, self.d, self.sigma_color, self.sigma_space)
        return found


class Canny(OpenCV):
    """Edges: 255 on them, 0 elsewhere; one channel."""

    name: ClassVar[str] = "cv2.canny"
    reference: ClassVar[str] = _FEATURE

    threshold1: float = Field(
        default=100.0, ge=0, description="Gradients above it are edges where they join a strong one."
    )
    threshold2: float = Field(default=200.0, ge=0, description="Gradients above it are edges.")
    aperture_size: Literal[3, 5, 7] = Field(default=3, description="Size of the Sobel operator.")
    l2_gradient: bool = Field(default=False, description="Whether the gradient's norm is the Euclidean one.")

    def infer(self, type: TensorType) -> TensorType:
        found = super().infer(type)
        if type.shape[1] == 4:
            raise TypeRuleError(f"expects an image of one or three channels, got {type}")
        return found

    def result(self, *shape: Any) -> tuple[Any, ...]:
        return (1, *shape[1:])

    def operate(self, cv2: Any, image: np.ndarray) -> np.ndarray:
        found: np.ndarray = cv2.Canny(
            image, self.threshold1, self.threshold2, apertureSize=self.aperture_size, L2gradient=self.l2_gradient
        )
        return found


class Threshold(OpenCV):
    """Compares brightness with a threshold: `binary` gives `maxval` above it and 0 elsewhere."""

    name: ClassVar[str] = "cv2.threshold"
    main: ClassVar[str | None] = "thresh"
    reference: ClassVar[str] = _MISC

    thresh: float | Literal["otsu", "triangle"] = Field(
        default=127.0, description="The threshold, or how it is found for each image (one channel)."
    )
    maxval: float = Field(default=255.0, ge=0, le=255, description="What `binary` gives.")
    type: Literal["binary", "binary_inv", "trunc", "tozero", "tozero_inv"] = Field(
        default="binary", description="What happens on either side."
    )

    def infer(self, type: TensorType) -> TensorType:
        found = super().infer(type)
        if isinstance(self.thresh, str) and type.shape[1] != 1:
            help = "make it grey first: `image = cv2.grayscale(image)`"
            raise TypeRuleError(f"`{self.thresh}` expects an image of one channel, got {type}", help=help)
        return found

    def operate(self, cv2: Any, image: np.ndarray) -> np.ndarray:
        kind = getattr(cv2, f"THRESH_{self.type.upper()}")
        found: np.ndarray
        if isinstance(self.thresh, str):
            _, found = cv2.threshold(image, 0, self.maxval, kind | getattr(cv2, f"THRESH_{self.thresh.upper()}"))
        else:
            _, found = cv2.threshold(image, self.thresh, self.maxval, kind)
        return found


class AdaptiveThreshold(OpenCV):
    """Compares each pixel with the mean around it: for uneven light."""

    name: ClassVar[str] = "cv2.adaptive_threshold"
    main: ClassVar[str | None] = "block_size"
    reference: ClassVar[str] = _MISC
    grey: ClassVar[bool] = True

    block_size: int = Field(default=11, ge=3, description="Side of the neighbourhood, odd.")
    c: float = Field(default=2.0, description="What is taken off the mean.")
    method: Literal["mean", "gaussian"] = Field(default="gaussian", description="How the mean is weighted.")
    type: Literal["binary", "binary_inv"] = Field(default="binary", description="What happens on either side.")
    max_value: float = Field(default=255.0, gt=0, le=255, description="What pixels above it become.")

    def infer(self, type: TensorType) -> TensorType:
        if self.block_size % 2 == 0:
            raise TypeRuleError("needs an odd `block_size`, so that it has a middle", argument="block_size")
        return super().infer(type)

    def operate(self, cv2: Any, image: np.ndarray) -> np.ndarray:
        method = getattr(cv2, f"ADAPTIVE_THRESH_{self.method.upper()}_C")
        kind = getattr(cv2, f"THRESH_{self.type.upper()}")
        found: np.ndarray = cv2.adaptiveThreshold(image, self.max_value, method, kind, self.block_size, self.c)
        return found


class Morphology(OpenCV):
    """Grows or shrinks what is bright: `open` takes specks away, `close` fills holes."""

    name: ClassVar[str] = "cv2.morphology"
    main: ClassVar[str | None] = "op"
    reference: ClassVar[str] = _FILTER

    op: Literal["erode", "dilate", "open", "close", "gradient", "tophat", "blackhat"] = Field(description="Which.")
    ksize: Size2 = Field(default=3, description="Height and width of the window; one number for both.")
    shape: Literal["rect", "ellipse", "cross"] = Field(default="rect", description="Shape of the window.")
    iterations: int = Field(default=1, ge=1, le=100, description="How often.")

    def operate(self, cv2: Any, image: np.ndarray) -> np.ndarray:
        height, width = spread(self.ksize, 2)
        window = cv2.getStructuringElement(getattr(cv2, f"MORPH_{self.shape.upper()}"), (width, height))
        how = getattr(cv2, f"MORPH_{self.op.upper()}")
        found: np.ndarray = cv2.morphologyEx(image, how, window, iterations=self.iterations)
        return found


class EqualizeHist(OpenCV):
    """Spreads brightness evenly from 0 to 255; of colours, their lightness (Y of YCrCb) alone."""

    name: ClassVar[str] = "cv2.equalize_hist"
    reference: ClassVar[str] = _HISTOGRAM

    def infer(self, type: TensorType) -> TensorType:
        found = super().infer(type)
        if type.shape[1] == 4:
            raise TypeRuleError(f"expects an image of one or three channels, got {type}")
        return found

    def operate(self, cv2: Any, image: np.ndarray) -> np.ndarray:
        return _on_lightness(cv2, image, cv2.equalizeHist)


class Clahe(OpenCV):
    """Spreads brightness evenly within tiles, up to a limit of contrast; of colours, their lightness alone."""

    name: ClassVar[str] = "cv2.clahe"
    main: ClassVar[str | None] = "clip_limit"
    reference: ClassVar[str] = _HISTOGRAM

    clip_limit: float = Field(default=2.0, gt=0, description="The limit of contrast.")
    tile_grid_size: Size2 = Field(default=8, description="Tiles in height and width; one number for both.")

    def infer(self, type: TensorType) -> TensorType:
        return EqualizeHist().infer(type)

    def operate(self, cv2: Any, image: np.ndarray) -> np.ndarray:
        rows, columns = spread(self.tile_grid_size, 2)
        return _on_lightness(cv2, image, cv2.createCLAHE(self.clip_limit, (columns, rows)).apply)


def _on_lightness(cv2: Any, image: np.ndarray, change: Any) -> np.ndarray:
    found: np.ndarray
    if image.ndim == 2:
        found = change(image)
        return found
    parts = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    parts[..., 0] = change(parts[..., 0])
    found = cv2.cvtColor(parts, cv2.COLOR_YCrCb2RGB)
    return found


class Sobel(OpenCV):
    """How fast brightness changes: the gradient's size, cut off at 255; one channel."""

    name: ClassVar[str] = "cv2.sobel"
    main: ClassVar[str | None] = "ksize"
    reference: ClassVar[str] = _FILTER
    grey: ClassVar[bool] = True

    ksize: Literal[1, 3, 5, 7] = Field(default=3, description="Size of the operator.")

    def operate(self, cv2: Any, image: np.ndarray) -> np.ndarray:
        across, down = (cv2.Sobel(image, cv2.CV_32F, *order, ksize=self.ksize) for order in ((1, 0), (0, 1)))
        found: np.ndarray = cv2.convertScaleAbs(cv2.magnitude(across, down))
        return found


class Laplacian(OpenCV):
    """The Laplacian's size, cut off at 255: bright on edges and spots; one channel."""

    name: ClassVar[str] = "cv2.laplacian"
    main: ClassVar[str | None] = "ksize"
    reference: ClassVar[str] = _FILTER
    grey: ClassVar[bool] = True

    ksize: Literal[1, 3, 5, 7] = Field(default=1, description="Size of the operator.")

    def operate(self, cv2: Any, image: np.ndarray) -> np.ndarray:
        found: np.ndarray = cv2.convertScaleAbs(cv2.Laplacian(image, cv2.CV_32F, ksize=self.ksize))
        return found


OPENCV: tuple[type[OpenCV], ...] = (
    Grayscale,
    Resize,
    GaussianBlur,
    MedianBlur,
    BilateralFilter,
    Canny,
    Threshold,
    AdaptiveThreshold,
    Morphology,
    EqualizeHist,
    Clahe,
    Sobel,
    Laplacian,
)
"""OpenCV's operations."""

__all__ = ["OPENCV", "OpenCV"]
