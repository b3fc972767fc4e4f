"""Writes what a run measures: `metrics.jsonl`, TensorBoard events, and once the spec and the environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from specdl.spec.recipe import Train
from specdl.training.run_folder import MetricsFile, Row, environment, full_disk_explained, write_atomically


class Reports:
    """The files of one run; silent in all processes but the first (`write`)."""

    def __init__(self, folder: Path, *, write: bool) -> None:
        self.folder, self._write = folder, write
        self.file = MetricsFile(folder)
        self._events: Any = None

    def describe(self, spec: Mapping[str, str], settings: Train, device: str) -> None:
        """Notes what is run (`spec.yaml`, and copies of what it imports, by relative path), and where."""
        if not self._write:
            return
        with full_disk_explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        facts = environment(seed=settings.seed, device=device, precision=settings.precision)
        for name, text in spec.items():
            path = self.folder / name
            with full_disk_explained(path):
                path.parent.mkdir(exist_ok=True)
            write_atomically(path, text)
        write_atomically(self.folder / "environment.json", json.dumps(facts, indent=2) + "\n")

    def open(self, step: int) -> None:
        """Begins to write behind `step`; what an earlier process wrote beyond it is dropped."""
        if not self._write:
            return
        self.file.keep_until(step)
        from torch.utils.tensorboard import SummaryWriter

        with full_disk_explained(self.folder):
            self._events = SummaryWriter(str(self.folder), purge_step=step + 1 if step else None)

    def add(self, row: Row) -> None:
        """Writes a row of measures everywhere."""
        if not self._write:
            return
        self.file.append(row)
        with full_disk_explained(self.folder):
            for name, value in row.items():
                if name not in {"step", "epoch", "seconds"}:
                    self._events.add_scalar(name, value, row["step"])

    def close(self) -> None:
        """Flushes the events."""
        if self._events is not None:
            with full_disk_explained(self.folder):
                self._events.close()
            self._events = None
