"""Image files become tensors as they are meant, or are refused with the reason."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as reference

from specdl.data.images import Unreadable, inspect_image, read_image
from specdl.ir.dims import BATCH
from specdl.ir.types import TensorType
from tests.unit.data.pictures import mask_type, noise, picture_type

RGB = noise(5, 7, 3)


def saved(folder: Path, image: Image.Image, name: str = "image.png", **options: object) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


def test_colours_are_what_torchvision_reads(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(RGB))
    expected = reference.to_dtype(reference.pil_to_tensor(Image.open(path)), torch.float32, scale=True)
    # torchvision multiplies by 1/255, here 255 divides: the last digit may differ.
    torch.testing.assert_close(read_image(path, picture_type(3)), expected, rtol=2e-7, atol=0)
    assert torch.equal(read_image(path, picture_type(3, "uint8")), torch.from_numpy(RGB).permute(2, 0, 1))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.gif", "a.webp", "a.tif", "a.ppm"])
def test_formats(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path, Image.new("RGB", (6, 4), (200, 40, 90)), name)
    inspect_image(path)
    found = read_image(path, picture_type(3))
    assert found.shape == (3, 4, 6)
    # JPEG, WebP and GIF round a colour; by how much is theirs.
    assert found.mean((1, 2)).tolist() == pytest.approx([200 / 255, 40 / 255, 90 / 255], abs=0.02)


def test_colours_to_brightness_and_back(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(RGB))
    grey = read_image(path, picture_type(1))
    expected = reference.rgb_to_grayscale(torch.from_numpy(RGB).permute(2, 0, 1))
    # Both use ITU-R 601's weights; Pillow rounds them to 1/65536.
    torch.testing.assert_close(grey, expected.float() / 255, rtol=0, atol=1.01 / 255)
    grey_file = saved(tmp_path, Image.fromarray(RGB[..., 0]), "grey.png")
    assert torch.equal(read_image(grey_file, picture_type(3)), read_image(grey_file, picture_type(1)).expand(3, -1, -1))


def test_sixteen_bits_keep_their_range(tmp_path: Path) -> None:
    wide = np.arange(0, 65536, 2731, dtype=np.uint16).reshape(4, 6)
    path = saved(tmp_path, Image.fromarray(wide))
    expected = torch.from_numpy(wide.astype(np.float32) / 65535)
    torch.testing.assert_close(read_image(path, picture_type(1))[0], expected)
    torch.testing.assert_close(read_image(path, picture_type(3))[2], expected)
    assert torch.equal(read_image(path, picture_type(1, "uint8"))[0], (expected * 255).round().to(torch.uint8))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_show_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (3, 2), (10, 20, 30, 255))
    image.putpixel((1, 0), (10, 20, 30, 0))
    path = saved(tmp_path, image.convert(mode))
    found = read_image(path, picture_type(3))
    assert found[:, 0, 1].tolist() == pytest.approx([1, 1, 1])
    assert found[:, 1, 1].max() < 0.2


def test_four_channels_keep_the_transparency(tmp_path: Path) -> None:
    pixels = noise(4, 4, 4)
    path = saved(tmp_path, Image.fromarray(pixels))
    torch.testing.assert_close(read_image(path, picture_type(4)), torch.from_numpy(pixels).permute(2, 0, 1) / 255)


def test_a_palette_is_colours_in_a_picture_and_numbers_in_a_mask(tmp_path: Path) -> None:
    numbers = np.array([[0, 1, 2], [2, 1, 0]], dtype=np.uint8)
    image = Image.new("P", (3, 2))
    image.putdata([0, 1, 2, 2, 1, 0])
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    path = saved(tmp_path, image)
    assert read_image(path, picture_type(3))[:, 0, 1].tolist() == [0, 1, 0]
    assert torch.equal(read_image(path, mask_type()), torch.from_numpy(numbers).long())


def test_masks_are_numbers_as_the_file_has_them(tmp_path: Path) -> None:
    ids = np.array([[0, 300], [65535, 7]], dtype=np.uint16)
    path = saved(tmp_path, Image.fromarray(ids))
    assert read_image(path, mask_type()).tolist() == ids.tolist()
    one = TensorType((BATCH, 1, *mask_type().shape[1:]), "int32")
    assert read_image(path, one).shape == (1, 2, 2)
    with pytest.raises(Unreadable, match="65535, which int16 can't hold"):
        read_image(path, mask_type("int16"))
    bits = saved(tmp_path, Image.fromarray(np.array([[True, False]])), "bits.png")
    assert read_image(bits, mask_type()).tolist() == [[1, 0]]
    assert read_image(bits, mask_type("bool")).tolist() == [[True, False]]
    with pytest.raises(Unreadable, match="one whole number a pixel, this is RGB"):
        read_image(saved(tmp_path, Image.fromarray(RGB), "rgb.png"), mask_type())


def test_the_orientation_that_a_camera_noted_is_honoured(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter to the right
    path = saved(tmp_path, Image.fromarray(RGB), exif=exif)
    found = read_image(path, picture_type(3, "uint8"))
    assert torch.equal(found, torch.from_numpy(RGB).permute(2, 0, 1).rot90(-1, (1, 2)))


def test_cmyk_and_floating_point(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("CMYK", (2, 2), (0, 255, 255, 0)), "print.jpg")
    assert read_image(path, picture_type(3))[:, 0, 0].tolist() == pytest.approx([1, 0, 0], abs=0.03)
    tiff = saved(tmp_path, Image.fromarray(np.ones((2, 2), np.float32)), "measured.tif")
    with pytest.raises(Unreadable, match="floating-point numbers"):
        read_image(tiff, picture_type(1))


def test_sizes_that_the_type_has(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(RGB))
    assert read_image(path, TensorType((BATCH, 3, 5, 7))).shape == (3, 5, 7)
    with pytest.raises(Unreadable, match=r"is 5 × 7 \(height × width\), not 7 × 5"):
        read_image(path, TensorType((BATCH, 3, 7, 5)))


def bomb(width: int = 25_000) -> bytes:
    """A PNG of 500 million pixels in 70 bytes, all of which it claims in its head."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + (20_000).to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def bad_files(folder: Path) -> dict[str, Path]:
    """Files that are no images, by what is wrong with them."""
    whole = io.BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(whole, "PNG")
    jpeg = io.BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(jpeg, "JPEG")
    damaged = bytearray(whole.getvalue())
    damaged[len(damaged) // 2] ^= 0xFF
    contents = {
        "is empty": b"",
        "is no image of a known format": b"not an image at all",
        "is damaged": bytes(damaged),
        "pixels": bomb(),
        "is cut off": whole.getvalue()[:-200],
        "is cut off ": jpeg.getvalue()[:-300],
        "is no image of a known format ": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    }
    found = {}
    for number, (reason, content) in enumerate(contents.items()):
        found[reason] = folder / f"bad{number}.png"
        found[reason].write_bytes(content)
    (folder / "folder.png").mkdir()
    return {**found, "is a folder": folder / "folder.png", "doesn't exist": folder / "nowhere.png"}


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    for reason, path in bad_files(tmp_path).items():
        with pytest.raises(Unreadable) as caught:
            read_image(path, picture_type(3))
        # Decoding meets the end too early; a look finds that the end is missing.
        assert reason.strip().replace("cut off", "damaged") in str(caught.value)
        if reason != "is damaged":
            with pytest.raises(Unreadable, match=reason.strip()):
                inspect_image(path)


def test_a_bomb_prints_no_warning(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(5_000))  # a hundred million: Pillow only warns
    code = (
        "import sys; from tests.unit.data.pictures import picture_type\n"
        "from specdl.data.images import Unreadable, inspect_image\n"
        "try: inspect_image(sys.argv[1])\n"
        "except Unreadable as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "pixels" in done.stdout
    assert done.stderr == ""


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    generator = random.Random(0)
    path = tmp_path / "mutated"
    refused = 0
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"):
        whole = io.BytesIO()
        Image.fromarray(noise(12, 12, 3)).save(whole, kind)
        for _ in range(60):
            content = bytearray(whole.getvalue())
            for _ in range(generator.randint(1, 8)):
                content[generator.randrange(len(content))] = generator.randrange(256)
            path.write_bytes(
                bytes(content[: generator.randint(1, len(content))] if generator.random() < 0.3 else content)
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # Pillow's notes on damaged metadata
                for look in (inspect_image, lambda file: read_image(file, picture_type(3))):
                    try:
                        look(path)
                    except Unreadable:
                        refused += 1
    assert refused > 200


def test_the_files_stay_as_they_are(tmp_path: Path) -> None:
    files = [*bad_files(tmp_path).values(), saved(tmp_path, Image.fromarray(RGB), "good.jpg")]
    before = {path: path.read_bytes() for path in files if path.is_file()}
    for path in files:
        for look in (inspect_image, lambda file: read_image(file, picture_type(3))):
            try:
                look(path)
            except Unreadable:
                continue
    assert {path: path.read_bytes() for path in files if path.is_file()} == before
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "folder.png"])
