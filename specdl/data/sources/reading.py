"""Files of text, found and read line by line: what can't be read is told with its file and line."""

from __future__ import annotations

import glob
import gzip
import os
from collections.abc import Sequence

from specdl.data.examples import Bad
from specdl.data.sources.problems import missing, unusable


def find_files(paths: str | Sequence[str], endings: Sequence[str], what: str) -> list[str]:
    """The files that are meant by files, folders and patterns, each once, in order of their names.

    Of a folder these are the files below it with one of the endings (`.gz` behind it or not). Raises `SpecError`.
    """
    found: dict[str, None] = {}
    for path in [paths] if isinstance(paths, str) else paths:
        if os.path.isdir(path):
            inside = sorted(_below(path, endings))
            if not inside:
                raise unusable(f"the folder `{path}` has no file that ends in {' or '.join(f'`{e}`' for e in endings)}")
            found.update(dict.fromkeys(inside))
        elif os.path.exists(path):
            found[path] = None
        else:
            fitting = sorted(item for item in glob.glob(path, recursive=True) if os.path.isfile(item))
            if not fitting and glob.has_magic(path):
                raise unusable(f"no file fits `{path}`")
            if not fitting:
                raise missing(path, what)
            found.update(dict.fromkeys(fitting))
    return list(found)


def _below(folder: str, endings: Sequence[str]) -> list[str]:
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith(".") and name.lower().removesuffix(".gz").endswith(tuple(endings)):
                found.append(os.path.join(parent, name))
    return found


def read_bytes(path: str) -> bytes:
    """The content of a file, unpacked where it ends in `.gz`. Raises `SpecError`."""
    try:
        if path.endswith(".gz"):
            with gzip.open(path, "rb") as packed:
                return packed.read()
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise missing(path, "file") from error
    except (OSError, EOFError) as error:
        raise unusable(f"`{path}` can't be read: {getattr(error, 'strerror', None) or error}") from error


def read_text(path: str) -> tuple[str, list[Bad]]:
    """The text of a file, and the lines that are no UTF-8, which are left out of it. Line ends become `\\n`."""
    raw = read_bytes(path).removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    try:
        return raw.decode("utf-8"), []
    except UnicodeDecodeError:
        pass
    kept: list[str] = []
    bad: list[Bad] = []
    for number, line in enumerate(raw.split(b"\n"), 1):
        try:
            kept.append(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            bad.append(Bad(None, f"{path}:{number}", not_utf8(error)))
    return "\n".join(kept), bad


def read_lines(path: str) -> tuple[list[tuple[int, str]], list[Bad]]:
    """The lines of a file with their numbers, blank ones left out; and those that are no UTF-8."""
    raw = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    found: list[tuple[int, str]] = []
    bad: list[Bad] = []
    for number, line in enumerate(raw.split(b"\n"), 1):
        try:
            text = line.decode("utf-8").rstrip("\r")
        except UnicodeDecodeError as error:
            bad.append(Bad(None, f"{path}:{number}", not_utf8(error)))
            continue
        if text.strip():
            found.append((number, text))
    return found, bad


def not_utf8(error: UnicodeDecodeError) -> str:
    """Why some bytes are no text."""
    return f"isn't UTF-8: byte {error.object[error.start]:#04x} at position {error.start + 1}"


__all__ = ["find_files", "not_utf8", "read_bytes", "read_lines", "read_text"]
