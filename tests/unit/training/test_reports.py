"""What a run shows and draws."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from specdl.training.curves import draw_curves
from specdl.training.progress import Lines, Live, Moment, Plan, number
from specdl.training.run_folder import MetricsFile, new_run_folder, write_atomically

PLAN = Plan("digits", "runs/digits/1", "cpu", 1234, 1438, epochs=2, total_steps=46, first_step=0)
ROW = {"epoch": 1, "step": 23, "train/loss": 0.5, "validation/loss": 0.25, "validation/accuracy": 0.975, "lr": 1e-5}


def test_lines() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.begin(PLAN)
    lines.moment(Moment(10, 0, 0.7, 1e-3, 1000.0))
    lines.row(ROW, best=True)
    lines.end()
    assert stream.getvalue().splitlines() == [
        "training digits (1,234 parameters) on 1,438 examples, cpu, 2 epochs (46 steps) -> runs/digits/1",
        "step 10/46  loss 0.7000  lr 1.00e-03  1,000 examples/s",
        "epoch 1/2  step 23  train/loss 0.5000  validation/loss 0.2500  validation/accuracy 0.9750  lr 1.00e-05  best",
    ]


def test_the_live_display_shows_where_the_run_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    live = Live(Console(file=stream, force_terminal=True, width=110, color_system=None))
    live.begin(PLAN)
    live.moment(Moment(10, 0, 0.7, 1e-3, 1000.0))
    live.row(ROW, best=True)
    live.end()
    shown = stream.getvalue()
    for words in ("epoch 1/2", "loss 0.7000", "1,000 examples/s", "left", "val accuracy", "0.9750", "best"):
        assert words in shown


@pytest.mark.parametrize(
    ("value", "text"), [(0.98612, "0.9861"), (12.345, "12.3"), (1e-5, "1.00e-05"), (0, "0.0000"), (float("nan"), "nan")]
)
def test_numbers_have_few_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_curves_are_drawn(tmp_path: Path) -> None:
    rows = [
        {**ROW, "step": step, "train/loss": 1 / step, "validation/loss": 2 / step, "lr": 1 / step}
        for step in range(1, 40)
    ]
    draw_curves(rows, tmp_path / "curves.png", title="digits")
    image = np.asarray(Image.open(tmp_path / "curves.png").convert("RGB"))
    assert image.shape[1] > 2 * image.shape[0]
    for colour in ((37, 99, 235), (234, 88, 12)):  # the lines of training and validation
        assert (np.abs(image.astype(int) - colour).sum(axis=2) < 10).sum() > 100


def test_nothing_is_drawn_before_anything_was_measured(tmp_path: Path) -> None:
    draw_curves([], tmp_path / "curves.png", title="digits")
    assert not (tmp_path / "curves.png").exists()


def test_run_folders_never_collide(tmp_path: Path) -> None:
    folders = {new_run_folder("digits", tmp_path) for _ in range(5)}
    assert len(folders) == 5
    assert all(folder.is_dir() and folder.parent == tmp_path / "digits" for folder in folders)


def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path)
    file.append({"step": 1, "lr": 0.1})
    file.append({"step": 2, "lr": 0.2})
    with file.path.open("a") as stream:
        stream.write('{"step": 3, "l')
    assert [row["step"] for row in file.rows()] == [1, 2]
    file.keep_until(1)
    assert file.path.read_text() == '{"step": 1, "lr": 0.1}\n'


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "spec.yaml"
    for text in ("old", "new"):
        write_atomically(target, text)
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]
