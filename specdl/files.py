"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from specdl.diagnostics import EnvironmentFailure


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A file of `path`'s name in a temporary folder beside it; it moves to `path` when the block ends without an error.

    Other files that the block writes into that folder move along. A link is followed, an existing file's mode is
    kept, and a device or pipe (`/dev/stdout`) is written into. Raises `EnvironmentFailure` when the folder is
    missing or the disk is full; what was there before stays.
    """
    target = Path(path)
    with _explained(target):
        stream = _is_stream(target)
        if not stream:
            target = Path(os.path.realpath(target))
        folder = Path(tempfile.mkdtemp(prefix=".specdl-", dir=None if stream else target.parent))
        try:
            yield folder / target.name
            if stream:
                with (folder / target.name).open("rb") as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out)
            else:
                _move(folder, target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes text, all of it or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFailure(f"can't write `{target}`: {_reason(target, error)}") from error


def _reason(target: Path, error: OSError) -> str:
    if target.is_dir():
        return "it is a folder; name a file in it"
    if not target.parent.is_dir():
        return f"there is no folder `{target.parent}`"
    return error.strerror or str(error)


def _is_stream(target: Path) -> bool:
    """Whether the path is a device or a pipe, which can't be replaced."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def _move(folder: Path, target: Path) -> None:
    """Moves the files of a folder to their places, `target` last."""
    files = sorted(folder.iterdir())
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
        before = target.parent / file.name
        if before.exists():
            file.chmod(stat.S_IMODE(before.stat().st_mode))
    companions = [file for file in files if file.name != target.name]
    if companions:
        # After a crash between the moves there is no file, rather than the old one beside another's weights.
        target.unlink(missing_ok=True)
    for file in companions:
        file.replace(target.parent / file.name)
    (folder / target.name).replace(target)
    with contextlib.suppress(OSError):  # some file systems can't sync a folder
        handle = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
