"""Draws the course of a run: loss, metrics and learning rate over updates, as one picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from specdl.training.run_folder import full_disk_explained

_INK, _FAINT = "#30343b", "#d9dce1"
_COLOURS = ("#2563eb", "#ea580c", "#059669", "#9333ea", "#dc2626", "#0891b2")


def draw_curves(rows: Iterable[Mapping[str, Any]], path: Path, *, title: str) -> None:
    """Writes the picture; nothing where there is nothing to draw yet."""
    rows = list(rows)
    names = {name for row in rows for name in row} - {"step", "epoch", "seconds"}
    if not names:
        return
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    losses: list[str] = [name for name in ("train/loss", "validation/loss") if name in names]
    metrics = sorted(name for name in names - {"train/loss", "train/step_loss", "validation/loss", "lr"})
    panels: list[tuple[str, list[str]]] = [("loss", losses or ["train/step_loss"])]
    if metrics:
        panels.append(("metrics", metrics))
    panels.append(("learning rate", ["lr"]))
    style: Any = {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _FAINT,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": _FAINT,
        "grid.linewidth": 0.6,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(4.2 * len(panels), 3.2), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, fontsize=11, fontweight="bold")
        for panel, (heading, series) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            panel.set_title(heading, loc="left", fontsize=9, color=_INK)
            panel.set_xlabel("step")
            steps, values = _series(rows, "train/step_loss")
            if heading == "loss" and losses and len(steps) >= 20:
                panel.plot(steps, values, color=_COLOURS[0], alpha=0.25, linewidth=1)
            for colour, name in zip(_COLOURS * len(series), series, strict=False):
                steps, values = _series(rows, name)
                marker = {"marker": "o", "markersize": 2.5} if len(steps) <= 40 and name != "lr" else {}
                panel.plot(steps, values, color=colour, linewidth=1.6, label=_label(name, heading), **marker)
            if heading == "loss" and _spread(rows, series) > 30:
                panel.set_yscale("log")
            if heading != "learning rate":
                panel.legend(frameon=False, loc="best")
        with full_disk_explained(path):
            figure.savefig(path, facecolor="white")


def _series(rows: list[Mapping[str, Any]], name: str) -> tuple[list[int], list[float]]:
    found = sorted({row["step"]: row[name] for row in rows if name in row}.items())
    return [step for step, _ in found], [value for _, value in found]


def _spread(rows: list[Mapping[str, Any]], names: Iterable[str]) -> float:
    values = [value for name in names for value in _series(rows, name)[1] if value > 0]
    return max(values) / min(values) if values else 1.0


def _label(name: str, heading: str) -> str:
    part, _, measure = name.partition("/")
    return part if heading == "loss" else measure.replace("_", " ") or part
