"""What a topic found, and how it is written down: the promises with a verdict, and the tables behind them."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.harness import Spread

PACKAGES = ("torch", "torchvision", "onnx", "onnxruntime", "onnxscript", "keras", "lightning", "pydantic", "numpy")


@dataclass(frozen=True, slots=True)
class Promise:
    """A line of the first table. `kept` is None where the measurement doesn't decide."""

    what: str
    promise: str
    measured: str
    kept: bool | None


@dataclass(frozen=True, slots=True)
class Topic:
    """What was measured: promises, how it was measured, the rows behind them, and remarks that the numbers need."""

    title: str
    how: str
    promises: Sequence[Promise]
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    remarks: Sequence[str] = ()


def at_most(what: str, limit: float, found: Spread, *, unit: str = "×") -> Promise:
    """A promise that a number (a ratio, or seconds with `unit="s"`) is at most `limit`.

    Kept when the median is; broken when all but the lowest quarter is above; between these the noise decides.
    """
    kept = True if found.median <= limit else False if found.low > limit else None
    return Promise(what, f"at most {limit:g}{_unit(unit)}", show(found, unit), kept)


def at_least(what: str, limit: float, found: Spread) -> Promise:
    """A promise that a ratio is at least `limit`, judged as in `at_most`."""
    kept = True if found.median >= limit else False if found.high < limit else None
    return Promise(what, f"at least {limit:g}×", show(found, "×"), kept)


def show(found: Spread, unit: str) -> str:
    """A median with its quartiles: `1.01× (0.99 to 1.02)`."""
    return f"{digits(found.median)}{_unit(unit)} ({digits(found.low)} to {digits(found.high)})"


def milliseconds(found: Spread) -> str:
    """A time in milliseconds with its quartiles."""
    low, median, high = (digits(1000 * value) for value in (found.low, found.median, found.high))
    return f"{median} ms ({low} to {high})"


def digits(value: float) -> str:
    """Three figures, and never fewer than two decimals below ten: ratios near 1 differ there."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _unit(unit: str) -> str:
    return unit if unit == "×" else f" {unit}"


def page(topics: Sequence[Topic], failures: Sequence[str]) -> str:
    """The whole page, in Markdown."""
    lines = [
        "<!-- Written by `make bench`; don't edit. -->",
        "# Benchmarks",
        "",
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with {machine()}; {versions()}.",
        "",
        "Each side of a comparison runs in a process of its own; sides take turns, and a ratio is the median of the "
        "ratios within the rounds, with the quartiles in parentheses. Below 1 means that specdl is faster, unless "
        "the line says otherwise. `make bench` measures everything again and writes this page; "
        "`python -m tests.benchmarks step export` prints single topics, and `--quick` only tries whether they run.",
        "",
        "| what | promise | measured | kept? |",
        "| --- | --- | --- | --- |",
    ]
    promises = [promise for topic in topics for promise in topic.promises]
    lines += [_row((item.what, item.promise, item.measured, verdict(item.kept))) for item in promises]
    lines += [f"\n**This part of the run failed:** {failure}" for failure in failures]
    lines += ["", *summary(promises)]
    for topic in topics:
        lines += ["", *section(topic)]
    return "\n".join(lines) + "\n"


def summary(promises: Iterable[Promise]) -> list[str]:
    """Says plainly what wasn't kept."""
    found = list(promises)
    broken = [item.what for item in found if item.kept is False]
    open_ones = [item.what for item in found if item.kept is None]
    lines = []
    if broken:
        lines.append(f"Not kept in this run: {'; '.join(broken)}.")
    if open_ones:
        lines.append(f"Undecided, since the promise lies within the spread: {'; '.join(open_ones)}.")
    return lines or ["Every promise was kept in this run."]


def section(topic: Topic) -> list[str]:
    """One topic: how it was measured, and its table."""
    return [
        f"## {topic.title}",
        topic.how,
        "",
        _row(topic.header),
        _row(["---"] * len(topic.header)),
        *map(_row, topic.rows),
        *(line for remark in topic.remarks for line in ("", remark)),
    ]


def verdict(kept: bool | None) -> str:
    """One word for the table."""
    return {True: "yes", False: "**no**", None: "undecided"}[kept]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def machine() -> str:
    """The processor and its cores."""
    cpu = platform.processor() or platform.machine()
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        names = [line.partition(":")[2].strip() for line in facts.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores of {cpu}, {platform.system()}"


def versions() -> str:
    """Python and the packages that are compared."""
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)
