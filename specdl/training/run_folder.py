"""The folder of a run: `spec.yaml`, `environment.json`, `metrics.jsonl`, `events.*`, `checkpoints/`, `curves.png`.

Measures are appended a line at a time, so a run that dies leaves all that it measured; a run that is taken up
again first drops the lines behind its checkpoint.
"""

from __future__ import annotations

import datetime
import errno
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from specdl.diagnostics import Diagnostic, EnvironmentFailure, SpecError

Row = Mapping[str, float | int]

_PACKAGES = ("specdl", "torch", "accelerate", "numpy", "safetensors", "torchmetrics", "pydantic")
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def full_disk_explained(path: Path) -> Iterator[None]:
    """Turns the operating system's complaint about writing into an `EnvironmentFailure` that names the place."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise EnvironmentFailure(
                f"the disk is full: can't write `{path}`; what was saved before is whole"
            ) from error
        raise EnvironmentFailure(f"can't write `{path}`: {error.strerror or error}") from error


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file so that a crash leaves either the old or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with full_disk_explained(path):
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def new_run_folder(name: str, parent: Path = Path("runs")) -> Path:
    """Creates `runs/<name>/<time>/`, and points the link `runs/<name>/latest` at it.

    A number follows where two runs begin in the same second.
    """
    stamp = datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d_%H-%M-%S")
    number = 1
    while True:
        folder = parent / name / (stamp if number == 1 else f"{stamp}-{number}")
        with full_disk_explained(folder):
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                number += 1
            else:
                _point(parent / name / "latest", folder.name)
                return folder


def _point(link: Path, target: str) -> None:
    """Makes a link, in the place of the one before. Where links aren't allowed, there is none."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    with suppress(OSError):
        temporary.symlink_to(target, target_is_directory=True)
        temporary.replace(link)
    with suppress(OSError):
        temporary.unlink(missing_ok=True)


def require_unused(folder: Path) -> None:
    """Refuses a folder that holds something: a run never overwrites files. Raises `SpecError`."""
    with full_disk_explained(folder):
        used = folder.exists() and any(folder.iterdir())
    if used:
        help = f"name another, remove it, or go on with its run: `--resume {folder}`"
        if not (folder / "checkpoints").is_dir():
            help = "name a folder that is new or empty"
        raise SpecError([Diagnostic("E0609", f"the folder `{folder}` is not empty", help=help)])


class MetricsFile:
    """`metrics.jsonl`: one line of measures for each report, in the order of steps."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "metrics.jsonl"

    def append(self, row: Row) -> None:
        """Adds a line."""
        with full_disk_explained(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """All lines so far; a last line that was cut off by a crash is left out."""
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return found

    def keep_until(self, step: int) -> None:
        """Drops the lines of steps that a resumed run will do again."""
        kept = [row for row in self.rows() if row["step"] <= step]
        write_atomically(self.path, "".join(json.dumps(row) + "\n" for row in kept))


def environment(*, seed: int, device: str, precision: str) -> dict[str, Any]:
    """What the run depends on besides its spec: versions, the commit, the command, the machine."""
    import torch

    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "started": datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "versions": versions,
        "git": _git(),
        "platform": platform.platform(),
        "device": device,
        "threads": torch.get_num_threads(),
        "precision": precision,
        "seed": seed,
    }


def _git() -> dict[str, Any] | None:
    """The commit of the working folder, and whether files were changed since; None outside of a repository."""
    try:
        commit = _output("git", "rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_output("git", "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
