"""Image files become tensors, and every conversion on the way is meant.

A field of floating-point numbers is brightness in [0, 1], one of `uint8` is the bytes, each with the channels that
its type has; other integers are the numbers of a mask as the file holds them (a palette's indices, instance ids).
The orientation that a camera noted is honoured. Transparent pixels show white, as on paper. What can't be read,
or would have to be guessed, is refused with the reason.
"""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specdl.ir.types import TensorType

if TYPE_CHECKING:
    import torch
    from PIL import Image as Pillow

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".jp2")
"""What files of images are called."""

_FORMATS = ("JPEG", "MPO", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Formats that are opened: not those for which Pillow runs other programs (EPS)."""

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_WIDE = ("I", "I;16", "I;16B", "I;16L", "I;16N")

# What Pillow raises for files that aren't what they claim to be.
_FAILURES = (OSError, ValueError, SyntaxError, EOFError, TypeError, LookupError, ArithmeticError, struct.error)


class Unreadable(Exception):
    """A file can't be used; the text is the reason, as it follows the file's name."""


def is_image(type: TensorType) -> bool:
    """Whether a field (its type in a batch) can be read from image files."""
    if type.rank == 3:
        return not type.floating
    return type.rank == 4 and type.shape[1] in (_MODES if _shows_colour(type) else (1,))


def _shows_colour(type: TensorType) -> bool:
    return type.floating or (type.dtype == "uint8" and type.rank == 4)


def read_image(path: str | Path, type: TensorType) -> torch.Tensor:
    """A file as one example of a field, `[C, H, W]` or `[H, W]`. Raises `Unreadable`.

    `type` is the field's in a batch; where its height or width is a number, the file's must be that.
    """
    return unpack(read_packed(path, type), type)


def read_packed(path: str | Path, type: TensorType) -> torch.Tensor:
    """The same as it is kept in memory: a picture of bytes as `[H, W, C]`, which `unpack` makes the field's numbers."""
    with _opened(path) as image:
        return _packed(image, type)


def unpack(packed: torch.Tensor, type: TensorType) -> torch.Tensor:
    """What `read_packed` gave as the field's own numbers."""
    import torch

    if not _shows_colour(type) or packed.dtype != torch.uint8:
        return packed
    planes = packed.permute(2, 0, 1)
    if not type.floating:
        return planes.contiguous()
    # One pass over memory, which is most of what decoding costs behind the decoder itself.
    found = torch.empty(planes.shape, dtype=getattr(torch, type.dtype))
    return torch.div(planes, 255, out=found)


def to_tensor(image: Pillow.Image, type: TensorType) -> torch.Tensor:
    """A Pillow image as one example of a field. Raises `Unreadable`."""
    return unpack(_packed(image, type), type)


def _packed(image: Pillow.Image, type: TensorType) -> torch.Tensor:
    from PIL import ImageOps

    with _reasons():
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        tensor = _brightness(image, type) if _shows_colour(type) else _numbers(image, type)
    _check_size(size_of(tensor, type), type)
    return tensor


def size_of(packed: torch.Tensor, type: TensorType) -> tuple[int, int]:
    """Height and width of what `read_packed` gave."""
    import torch

    height, width = packed.shape[:2] if _shows_colour(type) and packed.dtype == torch.uint8 else packed.shape[-2:]
    return int(height), int(width)


def _check_size(found: tuple[int, int], type: TensorType) -> None:
    wanted = type.shape[-2:]
    if any(isinstance(size, int) and size != got for size, got in zip(wanted, found, strict=True)):
        raise Unreadable(f"is {found[0]} × {found[1]} (height × width), not {wanted[0]} × {wanted[1]}")


def inspect_image(path: str | Path) -> None:
    """Looks at a file without decoding it: that it is there, is an image of a sane size, and isn't cut off.

    Raises `Unreadable`. What is damaged within is found only by decoding.
    """
    with _opened(path) as image:
        ending = _ENDINGS.get(image.format or "")
    if ending is None:
        return
    with Path(path).open("rb") as file:
        file.seek(max(os.path.getsize(path) - _TAIL, 0))
        if ending not in file.read():
            raise Unreadable("is cut off: its end is missing")


_ENDINGS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}
_TAIL = 4096
"""Bytes in which the end of a file is looked for: some programs append notes of their own."""


@contextmanager
def _opened(path: str | Path) -> Iterator[Pillow.Image]:
    from PIL import Image

    try:
        size = os.stat(path)
    except OSError as error:
        raise Unreadable("doesn't exist" if isinstance(error, FileNotFoundError) else _told(error)) from error
    if os.path.isdir(path):
        raise Unreadable("is a folder")
    if size.st_size == 0:
        raise Unreadable("is empty")
    with _reasons():
        opened = Image.open(path, formats=_formats())
    with opened as image:
        yield image


@contextmanager
def _reasons() -> Iterator[None]:
    """Turns what Pillow raises into `Unreadable`."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except UnidentifiedImageError as error:
        raise Unreadable("is no image of a known format") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unreadable(f"has more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels") from error
    except (*_FAILURES, zlib.error) as error:
        raise Unreadable(f"is damaged: {_told(error)}") from error


def _told(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


@cache
def _formats() -> tuple[str, ...]:
    """The formats that this Pillow knows; also turns its warning of too many pixels into an error, for good."""
    from PIL import Image

    Image.init()
    warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _brightness(image: Pillow.Image, type: TensorType) -> torch.Tensor:
    import torch

    channels = type.shape[1]
    assert isinstance(channels, int)
    if image.mode in _WIDE:
        wide = _wide(image)
        if type.dtype == "uint8":
            wide = wide / 257
        tensor = (wide / 65535 if type.floating else wide.round()).expand(min(channels, 3), -1, -1)
        if channels == 4:
            tensor = torch.cat([tensor, torch.full_like(tensor[:1], 1 if type.floating else 255)])
        if type.floating:
            return tensor.to(getattr(torch, type.dtype)).contiguous()
        return tensor.to(torch.uint8).permute(1, 2, 0).contiguous()
    if image.mode == "F":
        raise Unreadable("holds floating-point numbers, whose range isn't known")
    if channels != 4 and image.has_transparency_data:
        image = _on_white(image)
    pixels = _pixels(image if image.mode == _MODES[channels] else image.convert(_MODES[channels]))
    return pixels.unsqueeze(2) if pixels.dim() == 2 else pixels


def _on_white(image: Pillow.Image) -> Pillow.Image:
    from PIL import Image

    top = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", top.size, "white"), top).convert("RGB")


def _wide(image: Pillow.Image) -> torch.Tensor:
    """Sixteen bits a pixel, `[1, H, W]` in float32."""
    import torch

    tensor = _pixels(image).to(torch.float32)
    if bool((tensor < 0).any()) or bool((tensor > 65535).any()):
        raise Unreadable("holds numbers of 32 bits, whose range isn't known")
    return tensor[None]


def _numbers(image: Pillow.Image, type: TensorType) -> torch.Tensor:
    """The numbers of a mask."""
    import torch

    if len(image.getbands()) != 1 or image.mode == "F":
        raise Unreadable(f"is no mask: a mask has one whole number a pixel, this is {image.mode}")
    pixels = _pixels(image)
    dtype = getattr(torch, type.dtype)
    if dtype != torch.bool and pixels.numel() and int(pixels.max()) > torch.iinfo(dtype).max:
        raise Unreadable(f"has the number {int(pixels.max())}, which {type.dtype} can't hold")
    pixels = pixels.to(dtype)
    return pixels if type.rank == 3 else pixels[None]


def _pixels(image: Pillow.Image) -> torch.Tensor:
    import numpy as np
    import torch

    array: Any = np.array(image)  # a copy: Pillow's own memory can't be written to
    if array.dtype == np.uint16:
        array = array.astype(np.int32)
    return torch.from_numpy(array)
