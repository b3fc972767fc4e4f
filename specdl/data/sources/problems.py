"""What goes wrong where data is looked for, in one form."""

from __future__ import annotations

import os

from specdl.diagnostics import Diagnostic, SpecError, nearest


def missing(path: str, what: str, help: str | None = None) -> SpecError:
    """There is no such file or folder; says which similar one there is."""
    folder, name = os.path.split(path)
    if help is None:
        try:
            found = nearest(name, os.listdir(folder or "."))
        except OSError:
            found = None
        help = f"did you mean `{os.path.join(folder, found)}`?" if found else "paths are relative to the spec's file"
    return unusable(f"there is no {what} `{path}`", help)


def unusable(message: str, help: str | None = None) -> SpecError:
    """The data is there but can't be used as it is."""
    return SpecError([Diagnostic("E0531", message, help=help)])
