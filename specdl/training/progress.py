"""How a run shows itself on stderr: a live display on a terminal, plain lines elsewhere.

Both tell the same: where the run is, and one line with all measures for each validation.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console

LIVE_INTERVAL = 0.4
"""Seconds between two refreshes of the live display: a refresh takes milliseconds, steps may take less."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run sets out to do."""

    name: str
    folder: str
    device: str
    parameters: int
    examples: int
    epochs: int
    total_steps: int
    first_step: int


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a run is. `step` counts updates; `speed` is in training examples a second."""

    step: int
    epoch: int
    loss: float | None
    lr: float
    speed: float


class Progress(Protocol):
    """What the training loop tells about itself. `interval` is how often (in seconds) it wants a `moment`."""

    interval: float

    def begin(self, plan: Plan) -> None: ...
    def moment(self, moment: Moment) -> None: ...
    def row(self, row: Mapping[str, float | int], *, best: bool) -> None: ...
    def note(self, text: str) -> None: ...
    def shout(self, text: str) -> None: ...
    def end(self) -> None: ...


class Silent:
    """Shows nothing."""

    interval = float("inf")

    def begin(self, plan: Plan) -> None:
        """Ignored, as all that follows."""

    def moment(self, moment: Moment) -> None: ...

    def row(self, row: Mapping[str, float | int], *, best: bool) -> None: ...

    def note(self, text: str) -> None: ...

    def shout(self, text: str) -> None: ...

    def end(self) -> None: ...


class Lines:
    """One line for each validation, for logs and pipes."""

    interval = 10.0

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._plan: Plan | None = None

    def begin(self, plan: Plan) -> None:
        """Says what is trained, and where the results will be."""
        self._plan = plan
        self.note(introduction(plan))

    def moment(self, moment: Moment) -> None:
        """One line."""
        total = self._plan.total_steps if self._plan else 0
        loss = "" if moment.loss is None else f"  loss {number(moment.loss)}"
        self.note(f"step {moment.step}/{total}{loss}  lr {moment.lr:.2e}  {moment.speed:,.0f} examples/s")

    def row(self, row: Mapping[str, float | int], *, best: bool) -> None:
        """One line with all measures."""
        measures = "  ".join(f"{name} {number(value)}" for name, value in shown(row).items())
        epochs = f"/{self._plan.epochs}" if self._plan else ""
        self.note(f"epoch {row['epoch']}{epochs}  step {row['step']}  {measures}{'  best' if best else ''}")

    def note(self, text: str) -> None:
        """A line of its own."""
        print(text, file=self._stream, flush=True)

    def shout(self, text: str) -> None:
        """A line at once, from within a signal handler."""
        write_unbuffered(self._stream, text)

    def end(self) -> None:
        """Nothing to tidy."""


class Live:
    """A table that grows by one row for each validation, above a bar that shows where the run is."""

    interval = LIVE_INTERVAL

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console as RichConsole

        self._console = console or RichConsole(stderr=True)
        self._live: Any = None
        self._plan: Plan | None = None
        self._moment: Moment | None = None
        self._columns: dict[str, int] = {}
        self._started = time.perf_counter()

    def begin(self, plan: Plan) -> None:
        """Says what is trained, and opens the display."""
        from rich.live import Live as RichLive

        self._plan, self._started = plan, time.perf_counter()
        self._console.print(introduction(plan), highlight=False)
        self._live = RichLive(console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def moment(self, moment: Moment) -> None:
        """Redraws the bar."""
        self._moment = moment
        if self._live is not None:
            self._live.update(self._bar(moment), refresh=True)

    def row(self, row: Mapping[str, float | int], *, best: bool) -> None:
        """Adds a line to the table."""
        from rich.text import Text

        measures = shown(row)
        if not self._columns:
            headings = fit_columns(list(measures), self._console.width - len(f"{'epoch':>7}{'step':>8}{_BEST}"))
            self._columns = {name: max(len(heading), _CELL) for name, heading in headings.items()}
            heads = "".join(f"{headings[name]:>{width + 2}}" for name, width in self._columns.items())
            self._console.print(Text(f"{'epoch':>7}{'step':>8}{heads}", style="bold"))
        cells = "".join(
            f"{number(measures[name]) if name in measures else '':>{width + 2}}"
            for name, width in self._columns.items()
        )
        line = Text(f"{row['epoch']:>7}{row['step']:>8}{cells}")
        if best:
            line.append(_BEST, style="green")
        self._console.print(line)

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def shout(self, text: str) -> None:
        """A line at once, from within a signal handler; the bar is drawn anew below it."""
        write_unbuffered(self._console.file, f"\n{text}")

    def end(self) -> None:
        """Closes the display; the table stays."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _bar(self, moment: Moment) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        assert self._plan is not None
        done = moment.step - self._plan.first_step
        elapsed = time.perf_counter() - self._started
        left = elapsed / done * (self._plan.total_steps - moment.step) if done else None
        epoch = f"epoch {min(moment.epoch + 1, self._plan.epochs):,}/{self._plan.epochs:,}"
        facts = [
            "" if moment.loss is None else f"loss {number(moment.loss)}",
            _clock(left),
            f"lr {moment.lr:.2e}",
            f"{moment.speed:,.0f} examples/s",
        ]
        room = self._console.width - len(epoch) - 4  # two blanks on either side of the bar
        while len(facts) > 1 and room - len("  ".join(filter(None, facts))) < _SHORTEST_BAR:
            facts.pop()
        told = "  ".join(filter(None, facts))
        grid = Table.grid(padding=(0, 2))
        width = max(min(room - len(told), _LONGEST_BAR), 1)
        grid.add_row(epoch, ProgressBar(total=self._plan.total_steps, completed=moment.step, width=width), told)
        return grid


_SHORTEST_BAR, _LONGEST_BAR = 8, 28


def write_unbuffered(stream: IO[str], text: str) -> None:
    """Writes a line past the stream's buffer, which a signal may have interrupted in the middle of a write."""
    with contextlib.suppress(OSError):
        os.write(stream.fileno(), f"{text}\n".encode())


def pick_progress() -> Progress:
    """The live display where stderr is a terminal that can draw one, lines elsewhere."""
    return Live() if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else Lines()


def introduction(plan: Plan) -> str:
    """What a run says first."""
    return (
        f"training {plan.name} ({_count(plan.parameters, 'parameter')}) on {_count(plan.examples, 'example')}, "
        f"{plan.device}, {_count(plan.epochs, 'epoch')} ({_count(plan.total_steps, 'step')}) -> {plan.folder}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def shown(row: Mapping[str, float | int]) -> dict[str, float]:
    """The measures of a row, in the order in which they are shown."""
    return {name: value for name, value in row.items() if name not in {"epoch", "step", "seconds"}}


def number(value: float) -> str:
    """A number in few digits: `0.9861`, `12.3`, `1.00e-05`."""
    size = abs(value)
    if size and (size < 1e-3 or size >= 1e5):
        return f"{value:.2e}"
    return f"{value:.4f}" if size < 10 else f"{value:.1f}"


_BEST = "  ● best"
_CELL = 8
"""Characters that `number` may need."""


def fit_columns(names: Sequence[str], width: int) -> dict[str, str]:
    """Headings of the measures that fit beside each other; `metrics.jsonl` has what finds no room.

    Metrics lose the word `val` first, then the learning rate goes, then measures from the end.
    """
    long = {name: name.replace("validation/", "val ").replace("train/", "train ") for name in names}
    short = {name: heading if name.endswith("loss") else heading.split(" ")[-1] for name, heading in long.items()}
    headings = long if _width(long) <= width else short
    while _width(headings) > width and len(headings) > 1:
        headings.pop("lr" if "lr" in headings else next(reversed(headings)))
    return headings


def _width(headings: Mapping[str, str]) -> int:
    return sum(max(len(heading), _CELL) + 2 for heading in headings.values())


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} left" if hours else f"{minutes}:{rest:02d} left"
