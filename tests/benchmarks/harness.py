"""Runs the sides of a comparison in processes of their own, in turns, and compares them round by round.

Two sides in one process distort each other (threads, caches, allocators), and a machine changes its pace within
minutes. So each measurement is one fresh process, sides take turns (A B A B), and what is quoted is the median
of the ratios within a round, with their quartiles.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent

Numbers = dict[str, float]
"""What one process measured, by name: seconds mostly."""


class BenchmarkFailed(Exception):
    """A side ended without numbers; the message has the end of what it wrote to stderr."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a function of a module of this package, called in a fresh process."""

    name: str
    function: Callable[..., Numbers]
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several numbers with their quartiles."""

    median: float
    low: float
    high: float


def measure(side: Side) -> Numbers:
    """Calls a side's function in a fresh process. Raises `BenchmarkFailed`."""
    target = f"{side.function.__module__}:{side.function.__name__}"
    command = [sys.executable, "-m", "tests.benchmarks.child", target, json.dumps(dict(side.arguments))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchmarkFailed(f"`{side.name}` failed:\n{done.stderr[-2000:]}")
    numbers: Numbers = json.loads(done.stdout)
    return numbers


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the sides measured, round by round: `rounds[i][side][number]`."""

    rounds: Sequence[Mapping[str, Numbers]]

    def spread(self, side: str, number: str = "seconds") -> Spread:
        """One side's number over all rounds."""
        return spread([measured[side][number] for measured in self.rounds])

    def ratio(self, ours: str, theirs: str, number: str = "seconds") -> Spread:
        """`ours / theirs`, divided within each round."""
        return spread([measured[ours][number] / measured[theirs][number] for measured in self.rounds])


def compare(sides: Sequence[Side], rounds: int, *, title: str = "") -> Comparison:
    """Measures all sides once a round, in turns."""
    found: list[dict[str, Numbers]] = []
    for number in range(rounds):
        say(f"{title}: round {number + 1} of {rounds}")
        found.append({side.name: measure(side) for side in sides})
    return Comparison(found)


def spread(numbers: Sequence[float]) -> Spread:
    """Median and quartiles; a single number is all three."""
    if len(numbers) == 1:
        return Spread(numbers[0], numbers[0], numbers[0])
    low, median, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return Spread(median, low, high)


def say(text: str) -> None:
    """Tells on stderr where the run is."""
    print(text, file=sys.stderr, flush=True)
