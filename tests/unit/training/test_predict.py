"""Prediction on image files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from specdl.data.sources import SOURCES
from specdl.data.transforms import Resize
from specdl.diagnostics import SpecError
from specdl.training.evaluate import evaluate
from specdl.training.inference import inference_of_run
from specdl.training.loop import train
from specdl.training.predict import predict
from specdl.training.progress import Silent
from tests.unit.training.fake import SPEC, FakeModel

TEXT = SPEC.replace("epochs: 2", "epochs: 8").replace(
    "image = random_affine(image): {degrees: 10, translate: 0.05}", "image = normalize(image): {mean: 0.3, std: 0.4}"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(FakeModel(TEXT), folder=folder, progress=Silent())
    return folder


def digit_files(folder: Path, count: int, mode: str = "L") -> list[Path]:
    fields = SOURCES["digits"]().load().fields
    files = []
    for position in range(count):
        pixels = (fields["image"][position, 0] * 255).round().to(torch.uint8).numpy()
        file = folder / f"{position}-{int(fields['label'][position])}.png"
        Image.fromarray(pixels).convert(mode).save(file)
        files.append(file)
    return files


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_digits_are_recognised(run: Path, tmp_path: Path, mode: str) -> None:
    files = digit_files(tmp_path, 100, mode)
    predictions = predict(FakeModel(TEXT), run, files)
    assert [prediction.file for prediction in predictions] == [str(file) for file in files]
    right = sum(prediction.label == file.stem[-1] for prediction, file in zip(predictions, files, strict=True))
    assert right >= 85  # the network reaches 93 % and more; a wrong scale or order leaves chance


def test_probabilities_are_sorted_and_sum_to_one(run: Path, tmp_path: Path) -> None:
    (prediction,) = predict(FakeModel(TEXT), run, digit_files(tmp_path, 1), top=10)
    values = [guess.probability for guess in prediction.top]
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(1, abs=1e-5)
    assert sorted(guess.label for guess in prediction.top) == list("0123456789")
    assert (prediction.label, prediction.probability) == (prediction.top[0].label, values[0])


def test_every_file_that_can_not_be_read_is_named_with_its_reason(run: Path, tmp_path: Path) -> None:
    good = digit_files(tmp_path, 1)
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not an image")
    whole = good[0].read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    bad = [tmp_path / name for name in ("missing.png", "empty.png", "text.png", "half.png")]
    with pytest.raises(SpecError) as caught:
        predict(FakeModel(TEXT), run, [*good, *bad, tmp_path])
    found = [item.message for item in caught.value.diagnostics]
    for file, reason in zip(bad, ("doesn't exist", "empty", "no image", "damaged"), strict=True):
        assert any(str(file) in message and reason in message for message in found)
    assert any("folder" in message for message in found)
    assert len(found) == 5


def test_evaluation_of_the_parts(run: Path) -> None:
    measured = {part: evaluate(FakeModel(TEXT), run, part) for part in ("train", "validation")}
    assert measured["train"]["accuracy"] > 0.9
    with pytest.raises(SpecError, match="no part `test`"):
        evaluate(FakeModel(TEXT), run, "test")


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no checkpoint"):
        evaluate(FakeModel(TEXT), tmp_path)


def test_an_image_of_another_size_is_resized_as_the_transform_does(run: Path, tmp_path: Path) -> None:
    pixels = torch.randint(0, 256, (40, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    Image.fromarray(pixels.numpy()).save(tmp_path / "image.png")
    inference = inference_of_run(FakeModel(TEXT), run)
    assert inference is not None
    small = Resize(size=(8, 8)).change(pixels[None, None] / 255, None)
    torch.testing.assert_close(inference.read(tmp_path / "image.png"), (small - 0.3) / 0.4)
