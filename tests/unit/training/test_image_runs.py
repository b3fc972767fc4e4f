"""Training on image files: repeatable whatever the workers, taken up anywhere, and bad files are told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from specdl.api import Model, compile_source
from specdl.diagnostics import SpecError
from specdl.source import parse_text
from specdl.training.errors import Interrupted
from specdl.training.evaluate import evaluate
from specdl.training.loop import train
from specdl.training.progress import Silent
from specdl.training.run_folder import MetricsFile
from tests.unit.data.pictures import digit_folder
from tests.unit.training.test_loop import StopAt, rows, weights

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard", "ignore::DeprecationWarning:torch")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specdl.training.loop.draw_curves", lambda *_, **__: None)
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)


SPEC = """
specdl: 1
name: photos
inputs: {image: [1, 8, 8]}
layers:
  - flatten
  - linear: 16
  - batch_norm1d
  - relu
  - dropout: 0.2
  - logits = linear: 10
data:
  source: {image_folder: PHOTOS}
  fields: {image: [1, H, W]}
  batch_size: 16
  split: {validation: 0.2}
  workers: 0
  in_memory: false
  sampler: {weighted: label}
  transforms:
    - image = random_resized_crop(image): {size: 8, scale: [0.7, 1.0]}
    - image = random_horizontal_flip(image)
    - image = random_rotation(image): 10
    - image = color_jitter(image): {brightness: 0.3}
    - image = normalize(image): {mean: 0.3, std: 0.4}
  batch_transforms:
    - image, label = mixup(image, label): {alpha: 0.4, num_classes: 10}
loss: cross_entropy
metrics: [accuracy]
optimizer: {adamw: {lr: 3e-3}}
train: {epochs: 3}
"""

COUNT = 120


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digit_folder(tmp_path_factory.mktemp("photos"), COUNT, varied=True)


def spec(photos: Path, **changed: str) -> str:
    text = SPEC.replace("PHOTOS", str(photos))
    for before, after in {"workers": "workers: 0", "in_memory": "in_memory: false", "epochs": "epochs: 3"}.items():
        if before in changed:
            text = text.replace(after, changed[before])
    return text


def compiled(text: str) -> Model:
    return compile_source(parse_text(text, "photos.yaml"))


def run(text: str, folder: Path, **options: Any) -> Any:
    return train(compiled(text), folder=folder, progress=options.pop("progress", Silent()), **options)


def test_it_learns_from_files(photos: Path, tmp_path: Path) -> None:
    found = run(spec(photos, epochs="epochs: 15", in_memory="in_memory: auto"), tmp_path / "run")
    # 96 digits, mixed and turned: a third of the rest and more are recognised; chance is a tenth.
    assert found.metrics["validation/accuracy"] > 0.3
    measured = evaluate(compiled(spec(photos)), tmp_path / "run")
    assert measured["accuracy"] == found.metrics["validation/accuracy"]


def test_the_number_of_workers_changes_nothing(photos: Path, tmp_path: Path) -> None:
    for name, workers in (("none", "workers: 0"), ("two", "workers: 2"), ("again", "workers: 2")):
        run(spec(photos, workers=workers), tmp_path / name)
    assert weights(tmp_path / "none") == weights(tmp_path / "two") == weights(tmp_path / "again")
    assert rows(tmp_path / "none") == rows(tmp_path / "two")


def test_keeping_decoded_images_changes_nothing(photos: Path, tmp_path: Path) -> None:
    for name, kept in (("decoded", "in_memory: false"), ("kept", "in_memory: auto")):
        run(spec(photos, in_memory=kept, workers="workers: 2"), tmp_path / name)
    assert weights(tmp_path / "decoded") == weights(tmp_path / "kept")


@pytest.mark.parametrize(
    ("at", "first", "second"), [(1, 0, 2), (1, 2, 2), (6, 0, 0), (6, 2, 2), (7, 2, 0), (15, 0, 0), (15, 2, 2)]
)
def test_a_resumed_run_is_bit_equal(photos: Path, tmp_path: Path, at: int, first: int, second: int) -> None:
    """Six batches an epoch: stopped at the first update, at the end of an epoch, behind it, and in the last one."""
    run(spec(photos), tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(spec(photos, workers=f"workers: {first}"), tmp_path / "cut", progress=StopAt(at))
    torch.manual_seed(99)
    train(compiled(spec(photos, workers=f"workers: {second}")), resume=tmp_path / "cut", progress=Silent())
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert weights(tmp_path / "cut", "best") == weights(tmp_path / "whole", "best")
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")


THREADS = torch.get_num_threads()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums depend on the number of threads, so two processes must have the same."""
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(THREADS)


@pytest.mark.usefixtures("one_thread")
def test_a_killed_run_is_taken_up_bit_equal(photos: Path, tmp_path: Path) -> None:
    """`kill -9` between two checkpoints: what was done since the last one is done again, the same."""
    text = spec(photos, workers="workers: 2", epochs="epochs: 3, checkpoint: {every: 4, unit: step}")
    (tmp_path / "photos.yaml").write_text(text)
    run(text, tmp_path / "whole")
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from specdl.api import load\n"
        "from specdl.training.loop import train\n"
        "from specdl.training.progress import Silent\n"
        "class Kill(Silent):\n"
        "    interval = 0.0\n"
        "    def moment(self, moment):\n"
        "        if moment.step == 10: os.kill(os.getpid(), signal.SIGKILL)\n"
        "train(load(sys.argv[1]), folder=Path(sys.argv[2]), progress=Kill())\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", code, str(tmp_path / "photos.yaml"), str(tmp_path / "cut")]
    done = subprocess.run(arguments, capture_output=True, env=environment, check=False)
    assert done.returncode == -9, done.stderr.decode()
    train(compiled(text.replace("workers: 2", "workers: 0")), resume=tmp_path / "cut", progress=Silent())
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert [row["step"] for row in MetricsFile(tmp_path / "cut").rows()] == [6, 12, 18]


def damage(folder: Path, count: int) -> list[Path]:
    """Cuts off some files in the middle of their pixels, so that only decoding finds it."""
    files = sorted(folder.glob("*/*.png"))[:: COUNT // count][:count]
    for file in files:
        content = bytearray(file.read_bytes())
        at = content.index(b"IDAT") + 8
        content[at] ^= 0xFF
        file.write_bytes(bytes(content))
    return files


@pytest.mark.parametrize("in_memory", ["in_memory: false", "in_memory: auto", "in_memory: true"])
def test_every_bad_file_is_listed(tmp_path: Path, in_memory: str) -> None:
    photos = digit_folder(tmp_path / "photos", COUNT)
    bad = damage(photos, 3)
    text = spec(photos, in_memory=in_memory)
    if in_memory == "in_memory: true":
        text = text.replace(
            "- image = random_resized_crop(image): {size: 8, scale: [0.7, 1.0]}\n", "- image = resize(image): [8, 8]\n"
        )
    before = {file: file.read_bytes() for file in bad}
    with pytest.raises(SpecError, match=r"E0532.*3 of 120 examples can't be read") as caught:
        run(text, tmp_path / "run")
    (item,) = caught.value.diagnostics
    assert [note.message.split("`")[1] for note in item.notes] == [str(file) for file in bad]
    assert all("damaged" in note.message for note in item.notes)
    assert item.span is not None
    assert {file: file.read_bytes() for file in bad} == before


def test_bad_files_are_skipped_up_to_a_share(tmp_path: Path) -> None:
    photos = digit_folder(tmp_path / "photos", COUNT)
    bad = damage(photos, 3)
    text = spec(photos).replace("in_memory: false", "in_memory: false\n  on_bad: {skip: 0.03}")
    for name, workers in (("none", "workers: 0"), ("two", "workers: 2")):
        run(text.replace("workers: 0", workers), tmp_path / name)
    told = (tmp_path / "two" / "skipped.txt").read_text().splitlines()
    assert [line.split(": it ")[0] for line in told] == [str(file) for file in bad]
    assert weights(tmp_path / "none") == weights(tmp_path / "two")
    with pytest.raises(SpecError, match=r"more than the 2\.0% that may be skipped"):
        run(text.replace("0.03", "0.02"), tmp_path / "less")


def test_too_few_scores_for_the_classes_found_is_told_before_training(photos: Path, tmp_path: Path) -> None:
    text = spec(photos).replace("linear: 10", "linear: 7").replace("num_classes: 10", "num_classes: 7")
    model = compiled(text)  # `check` doesn't look into the folder
    with pytest.raises(SpecError, match=r"E0511.*scores 7 classes, but `label` of `image_folder` has 10"):
        train(model, folder=tmp_path / "run", progress=Silent())
    assert not (tmp_path / "run").exists()


def test_images_of_several_sizes_are_no_batch(photos: Path, tmp_path: Path) -> None:
    text = (
        spec(photos)
        .replace("image: [1, 8, 8]", "image: [1, H, W]")
        .replace("- flatten", "- adaptive_avg_pool2d: 1\n  - flatten")
    )
    text = text.replace("    - image = random_resized_crop(image): {size: 8, scale: [0.7, 1.0]}\n", "")
    with pytest.raises(SpecError, match=r"E0535.*in one example and"):
        run(text, tmp_path / "run")


def test_a_network_for_one_size_is_told_to_resize(photos: Path) -> None:
    text = spec(photos).replace("    - image = random_resized_crop(image): {size: 8, scale: [0.7, 1.0]}\n", "")
    with pytest.raises(SpecError, match="E0204") as caught:
        compiled(text)
    assert "image = resize(image): [8, 8]" in str(caught.value.diagnostics[0].help)


def test_given_parts_are_kept(tmp_path: Path) -> None:
    for part, count in (("train", 60), ("val", 40)):
        digit_folder(tmp_path / "photos" / part, count)
    text = spec(tmp_path / "photos").replace("  split: {validation: 0.2}\n", "")
    run(text, tmp_path / "run")
    with pytest.raises(SpecError, match="no part `test`"):
        evaluate(compiled(text), tmp_path / "run", "test")
    with pytest.raises(SpecError, match=r"E0534.*a part `validation` of its own"):
        run(text.replace("  workers", "  split: {validation: 0.1}\n  workers"), tmp_path / "other")


def test_a_weighted_sampler_evens_the_classes_out(tmp_path: Path) -> None:
    from specdl.training.examples import open_data, require_data

    photos = digit_folder(tmp_path / "photos", COUNT)
    for file in sorted(photos.glob("[1-4]/*.png")):
        if int(file.stem) > 70:
            file.unlink()
    recipe, data = require_data(compiled(spec(photos)).recipe)
    examples = open_data(recipe, data, torch.device("cpu")).examples
    counts = torch.zeros(10)
    for epoch in range(30):
        for batch in examples.training(epoch, range(-(-examples.count("train") // 16)), 16):
            counts += (batch["label"] > 0.5).sum(0)
    shares = counts / counts.sum()
    # Each class is drawn as often; mixup then keeps the larger share, which is even too.
    assert float(shares.min()) > 0.07
    assert float(shares.max()) < 0.13


def test_a_run_needs_its_data_no_more_to_predict(tmp_path: Path) -> None:
    from specdl.training.predict import of_onnx, of_run

    photos = digit_folder(tmp_path / "photos", COUNT)
    for digit in range(10):
        (photos / str(digit)).rename(photos / f"digit-{digit}")
    text = spec(photos, epochs="epochs: 1")
    run(text, tmp_path / "run")
    model = compiled(text)
    files = []
    for number, mode in enumerate(("L", "RGB", "RGBA", "P", "CMYK")):
        source = Image.open(sorted(photos.glob("digit-3/*.png"))[number])
        files.append(tmp_path / f"{number}{'.jpg' if mode == 'CMYK' else '.png'}")
        source.resize((40 + 11 * number, 64)).convert(mode).save(files[-1])
    import shutil

    shutil.rmtree(photos)
    predictor = of_run(model, tmp_path / "run")
    found = predictor(files, top=10)
    assert {guess.label for guess in found[0].top} == {f"digit-{digit}" for digit in range(10)}
    from specdl.training.evaluate import load_network

    network = load_network(model, tmp_path / "run")
    model.export_onnx(tmp_path / "model.onnx", network, inference=predictor.inference)
    exported = of_onnx(tmp_path / "model.onnx")
    for one, other in zip(found, exported(files, top=10), strict=True):
        # ONNX Runtime adds in another order; float32 has seven digits.
        torch.testing.assert_close(one.output, other.output, rtol=1e-4, atol=1e-5)
        assert [guess.label for guess in one.top] == [guess.label for guess in other.top]
    assert exported.inference == predictor.inference
    assert (tmp_path / "model.onnx.json").read_text() == (tmp_path / "run" / "inference.json").read_text()


def test_the_spec_of_a_run_finds_its_data_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from specdl.api import load

    digit_folder(tmp_path / "project" / "photos", 60)
    (tmp_path / "project" / "photos.yaml").write_text(spec(Path("photos"), epochs="epochs: 1"))
    monkeypatch.chdir(tmp_path)
    train(load("project/photos.yaml"), folder=tmp_path / "runs" / "one", progress=Silent())
    monkeypatch.chdir("/")
    assert evaluate(load(tmp_path / "runs" / "one" / "spec.yaml"), tmp_path / "runs" / "one")["loss"] > 0
