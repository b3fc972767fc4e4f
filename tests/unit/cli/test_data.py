"""`specdl data`: what it counts, what it finds wrong, and the picture that it draws."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.cli.conftest import Command, one_error
from tests.unit.data.pictures import digit_folder, noise

SPEC = """
specdl: 1
name: photos
inputs: {image: [1, 8, 8]}
layers: [flatten, linear: 10]
data:
  source: {image_folder: photos}
  fields: {image: [1, H, W]}
  split: {validation: 0.25, stratify: label}
  transforms:
    - image = random_resized_crop(image): 8
    - image = normalize(image): symmetric
loss: cross_entropy
"""


@pytest.fixture
def photos(folder: Path) -> Path:
    (folder / "photos.yaml").write_text(SPEC)
    return digit_folder(folder / "photos", 80, varied=True)


def test_good_data(specdl: Command, photos: Path) -> None:
    done = specdl("data", "photos.yaml", "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["source"] == "image_folder"
    assert sum(found["parts"].values()) == 80
    counts = found["classes"]["label"]
    assert list(counts) == [str(digit) for digit in range(10)]
    assert {name: sum(row.values()) for name, row in counts.items()} == {
        name: len(list((photos / name).iterdir())) for name in counts
    }
    image = found["fields"]["image"]
    assert (image["type"], image["smallest"], image["largest"]) == ("[N, 1, H, W]", [1, 8, 8], [1, 11, 10])
    pixels = np.concatenate([np.asarray(Image.open(path)).ravel() for path in photos.glob("*/*.png")]) / 255
    assert image["mean"] == pytest.approx([pixels.mean()], rel=1e-5)
    assert image["std"] == pytest.approx([pixels.std()], rel=1e-5)
    assert (image["low"], image["high"]) == (0.0, 1.0)
    assert found["behind_transforms"]["image"]["largest"] == [1, 8, 8]
    assert found["behind_transforms"]["image"]["low"] == pytest.approx(-1)
    assert (found["unreadable"], found["duplicates"], found["problems"], found["sheet"]) == ([], [], [], None)


def test_what_is_wrong(specdl: Command, photos: Path) -> None:
    files = sorted(photos.glob("*/*.png"))
    (photos / "0" / "again.png").write_bytes(files[0].read_bytes())
    (photos / "9" / "also.png").write_bytes(files[0].read_bytes())
    files[5].write_bytes(files[5].read_bytes()[:40])
    (photos / "1" / "empty.jpg").touch()
    done = specdl("data", "photos.yaml", "--json")
    assert done.code == 1
    found = json.loads(done.out)
    assert {Path(item["name"]).name for item in found["unreadable"]} == {files[5].name, "empty.jpg"}
    (group,) = found["duplicates"]
    assert {Path(name).name for name in group["names"]} == {files[0].name, "again.png", "also.png"}
    assert group["labels"] == ["0", "9"]
    assert any("can't be read" in problem for problem in found["problems"])
    assert any("different labels" in problem for problem in found["problems"])
    text = specdl("data", "photos.yaml").out
    assert "empty.jpg: it is empty" in text
    assert text.count("problem: ") == len(found["problems"])


def test_classes_that_the_network_lacks(specdl: Command, photos: Path) -> None:
    done = specdl("data", "photos.yaml", "layers.1.linear=7", "--json")
    assert done.code == 1
    assert "scores 7 classes, but `label` of `image_folder` has 10" in json.loads(done.out)["problems"][0]


def test_the_sheet_shows_examples_and_their_masks(specdl: Command, folder: Path) -> None:
    for name in "abc":
        Image.fromarray(noise(20, 30, 3, seed=ord(name))).save(folder / f"{name}.png")
        mask = np.zeros((20, 30), np.uint16)
        mask[5:15, 10:20] = 400
        Image.fromarray(mask).save(folder / f"{name}_mask.png")
    (folder / "pairs.yaml").write_text("""
specdl: 1
inputs: {image: [3, 16, 16]}
layers: [scores = conv2d: {out_channels: 1, kernel_size: 1}]
data:
  source: {files: .}
  fields:
    image: {shape: [3, H, W], files: "*.png"}
    mask: {shape: [1, H, W], dtype: int64, files: "*_mask.png"}
  transforms:
    - image, mask = resize(image, mask): [16, 16]
    - image, mask = random_horizontal_flip(image, mask)
    - mask = binarize(mask)
    - mask = to_dtype(mask): float32
  split: {validation: 0.34}
losses: [{"bce_with_logits(scores, mask)": {}}]
""")
    done = specdl("data", "pairs.yaml", "-o", "sheet.png")
    assert (done.code, done.lines()[-1]) == (0, "drew sheet.png")
    sheet = np.asarray(Image.open(folder / "sheet.png")).astype(int)
    # Two examples of training: the file, evaluation and four draws each.
    assert sheet.shape == (8 + 2 * (128 + 20 + 8), 8 + 6 * (128 + 8), 3)
    middle = sheet[8 + 64 - 10 : 8 + 64 + 10, 8 + 54 : 8 + 74]
    assert middle[..., 2].mean() > middle[..., 0].mean() + 20  # the mask is laid over in colour


def test_the_sheet_of_a_mixed_batch(specdl: Command, photos: Path) -> None:
    text = SPEC.replace(
        "loss: cross", "  batch_transforms:\n    - image, label = mixup(image, label): {num_classes: 10}\nloss: cross"
    )
    Path("photos.yaml").write_text(text)
    assert specdl("data", "photos.yaml", "-o", "sheet.png").code == 0
    with Image.open("sheet.png") as sheet:
        assert sheet.height == 8 + 9 * (128 + 20 + 8)


def test_data_in_memory_and_nothing_to_draw(specdl: Command, folder: Path) -> None:
    lines = specdl("data", "tiny.yaml").lines()
    assert lines[0] == "digits: 1,797 examples: train 1,438, validation 359"
    assert any(line.split()[:3] == ["0", "142", "36"] for line in lines)
    (folder / "table.csv").write_text("x,y\n" + "".join(f"{number},{2 * number}\n" for number in range(20)))
    (folder / "table.yaml").write_text("""
specdl: 1
inputs: {x: [1]}
layers: [out = linear: 1]
data: {source: {csv: table.csv}, fields: {x: [1], y: [1]}}
losses: [{"mse(out, y)": {}}]
""")
    done = specdl("data", "table.yaml", "-o", "sheet.png")
    assert done.lines()[-1] == "nothing to draw: no field of `csv` is an image"
    assert not Path("sheet.png").exists()


def test_mistakes(specdl: Command, photos: Path) -> None:
    one_error(specdl("data", "photos.yaml", "data.source.image_folder=photo"), "E0531", "did you mean `photos`?")
    one_error(specdl("data", "photos.yaml", "data.source.image_folder=photos/1"), "E0531", "has no folders")
