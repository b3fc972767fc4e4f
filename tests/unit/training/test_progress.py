"""How a run shows itself: columns that fit the terminal, numbers that fit their column."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from specdl.training.progress import Lines, Live, Moment, Plan, fit_columns, introduction, number, pick_progress

NAMES = ["train/loss", "validation/loss", "validation/accuracy", "validation/f1", "lr"]


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (100, ["train loss", "val loss", "val accuracy", "val f1", "lr"]),
        (56, ["train loss", "val loss", "val accuracy", "val f1", "lr"]),
        (55, ["train loss", "val loss", "accuracy", "f1", "lr"]),
        (51, ["train loss", "val loss", "accuracy", "f1"]),
        (41, ["train loss", "val loss", "accuracy"]),
        (5, ["train loss"]),
    ],
)
def test_columns_that_fit(width: int, headings: list[str]) -> None:
    assert list(fit_columns(NAMES, width).values()) == headings


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_row_is_broken(width: int) -> None:
    written = io.StringIO()
    live = Live(Console(file=written, width=width))
    for epoch in (1, 2):
        live.row({"epoch": epoch, "step": 10, **dict.fromkeys(NAMES, 1e-9), "seconds": 1.0}, best=True)
    lines = written.getvalue().splitlines()
    assert len(lines) == 3
    assert all(line.endswith("● best") and len(line) <= width for line in lines[1:])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.0000"), (0.98611, "0.9861"), (12.345, "12.3"), (1e-5, "1.00e-05"), (123456.0, "1.23e+05")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def plan(**changed: int) -> Plan:
    numbers = {"parameters": 1, "examples": 1, "epochs": 1, "total_steps": 1, "first_step": 0, **changed}
    return Plan(name="tiny", folder="runs/tiny", device="cpu", **numbers)


def test_one_is_singular() -> None:
    assert introduction(plan()) == "training tiny (1 parameter) on 1 example, cpu, 1 epoch (1 step) -> runs/tiny"
    assert "(1,210 parameters) on 0 examples" in introduction(plan(parameters=1210, examples=0))


@pytest.mark.parametrize(
    ("width", "told"),
    [
        (100, "loss 0.2500  0:00 left  lr 1.00e-03  1,234 examples/s"),
        (60, "loss 0.2500  0:00 left  lr 1.00e-03"),
        (45, "loss 0.2500  0:00 left"),
        (30, "loss 0.2500"),
    ],
)
def test_the_bar_takes_one_line(monkeypatch: pytest.MonkeyPatch, width: int, told: str) -> None:
    monkeypatch.setattr("time.perf_counter", lambda: 7.0)
    written = io.StringIO()
    console = Console(file=written, width=width)
    live = Live(console)
    live.begin(plan(epochs=4, total_steps=40))
    live.end()
    written.truncate(written.seek(0))
    console.print(live._bar(Moment(step=15, epoch=1, loss=0.25, lr=1e-3, speed=1234.5)))
    (line,) = written.getvalue().splitlines()
    assert line.startswith("epoch 2/4  ━")
    assert line.rstrip().endswith(f"  {told}")


@pytest.mark.parametrize(
    ("terminal", "term", "kind"), [(True, "xterm", Live), (True, "dumb", Lines), (False, "xterm", Lines)]
)
def test_only_a_terminal_that_can_draw_gets_the_live_display(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, term: str, kind: type
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert type(pick_progress()) is kind


def test_a_signal_handler_may_shout_in_the_middle_of_a_write(tmp_path: Path) -> None:
    class Slow(io.RawIOBase):
        """A raw stream that is interrupted whenever it is written to."""

        def __init__(self, file: io.FileIO) -> None:
            self.file = file

        def writable(self) -> bool:
            return True

        def fileno(self) -> int:
            return self.file.fileno()

        def write(self, data: object) -> int:
            lines.shout("stopping")
            return self.file.write(bytes(data))  # type: ignore[call-overload]

    with (tmp_path / "err").open("wb", buffering=0) as file:
        lines = Lines(io.TextIOWrapper(io.BufferedWriter(Slow(file))))
        lines.note("step 1")
    assert (tmp_path / "err").read_text() == "stopping\nstep 1\n"
