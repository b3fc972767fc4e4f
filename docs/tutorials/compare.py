"""Draws a measure of runs over the time that they took: `python compare.py runs/head runs/emoji -o picture.png`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, FAINT = "#30343b", "#d9dce1"
COLOURS = ("#2563eb", "#059669", "#ea580c", "#9333ea")


def points(run: Path, measure: str) -> tuple[list[float], list[float]]:
    """Seconds since the run began, and the measure, at each validation."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    found = [(row["seconds"], row[measure]) for row in rows if measure in row]
    return [seconds for seconds, _ in found], [value for _, value in found]


def main() -> None:
    """Draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("-m", "--measure", default="validation/accuracy")
    parser.add_argument("-n", "--names", nargs="*", default=[], help="what the runs are called in the picture")
    parser.add_argument("-o", "--output", required=True, type=Path)
    parser.add_argument("--digits", type=int, default=0, help="digits behind the point, of a share in per cent")
    parser.add_argument("--least", type=float, default=0.0, help="where the axis of a share begins")
    options = parser.parse_args()
    is_loss = options.measure.endswith("loss")
    figure = Figure(figsize=(6.4, 3.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    names = [*options.names, *(run.name for run in options.runs[len(options.names) :])]
    for run, name, colour in zip(options.runs, names, COLOURS * len(names), strict=False):
        seconds, values = points(run, options.measure)
        label = f"{name}: {values[-1]:.3f}" if is_loss else f"{name}: {values[-1]:.{options.digits}%}"
        panel.plot(seconds, values, color=colour, linewidth=1.8, marker="o", markersize=3.5, label=label)
    panel.legend(loc="upper right" if is_loss else "lower right", frameon=False, labelcolor=INK)
    panel.set_xlabel("seconds", color=INK)
    panel.set_ylabel(options.measure, color=INK)
    panel.set_xlim(left=0)
    if not is_loss:
        panel.set_ylim(options.least, 1)
    panel.grid(color=FAINT, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(colors=INK)
    figure.savefig(options.output)


if __name__ == "__main__":
    main()
