"""The tokenizers of a spec's data: made from its training text, kept in a run's folder, and found there again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch

from specdl.data.examples import Records, Stacked
from specdl.data.tokenizers import FromFile
from specdl.data.tokenizers.base import Tokenizer
from specdl.data.transforms.text import Tokenize
from specdl.diagnostics import Diagnostic, SpecError
from specdl.spec.data import Data
from specdl.training.run_folder import write_atomically

Tokenizers = Mapping[int, Tokenizer]
"""Tokenizers by the position of the entry that names them."""

FILE = "tokenizer.json"
"""The file of a run's only tokenizer; of several, `<field>.tokenizer.json`."""


def makers(data: Data) -> dict[int, Tokenize]:
    """The entries that have a tokenizer of their own, by their positions."""
    return {
        at: entry.transform
        for at, entry in enumerate(data.transforms)
        if isinstance(entry.transform, Tokenize) and entry.tokenizer == at
    }


def tokenizer_files(data: Data) -> dict[int, str]:
    """The name of each tokenizer's file."""
    found = list(makers(data))
    if len(found) == 1:
        return {found[0]: FILE}
    names = {at: re.sub(r"\W", "_", data.transforms[at].outputs[0]) for at in found}
    return {at: f"{name}.{FILE}" for at, name in names.items()}


def make_tokenizers(data: Data, loaded: Stacked | Records, parts: Mapping[str, torch.Tensor]) -> dict[int, Tokenizer]:
    """The tokenizers of the transforms, their vocabularies made from the training part. Raises `SpecError`."""
    found: dict[int, Tokenizer] = {}
    for at, transform in makers(data).items():
        kind, span = transform.tokenizer, data.transforms[at].span
        texts: list[str] = []
        for field in () if isinstance(kind, FromFile) else kind.fields() or data.transforms[at].inputs:
            texts += _texts(loaded, field, None if kind.everything else parts["train"])
        try:
            found[at] = kind.make(texts)
        except SpecError as error:
            raise SpecError(
                [Diagnostic(item.code, item.message, span, help=item.help) for item in error.diagnostics]
            ) from error
    return found


def _texts(loaded: Stacked | Records, field: str, positions: torch.Tensor | None) -> list[str]:
    """The texts of a field, of some examples or of all."""
    if isinstance(loaded, Stacked) and positions is not None and field in loaded.fields:
        from specdl.data.columns import Strings

        column = loaded.fields[field].index_select(0, positions)
        return list(column.values) if isinstance(column, Strings) else []
    texts = loaded.texts(field)
    if texts is None:
        return []
    return list(texts) if positions is None else [texts[at] for at in positions.tolist()]


def tokenizers_in_files(data: Data) -> dict[int, Tokenizer]:
    """Those that a spec has in files of their own. Raises `SpecError` where one is missing or damaged."""
    kinds = {at: transform.tokenizer for at, transform in makers(data).items()}
    return {at: kind.make(()) for at, kind in kinds.items() if isinstance(kind, FromFile)}


def keep_tokenizers(folder: Path, data: Data, tokenizers: Tokenizers) -> None:
    """Writes them into the folder of a run."""
    for at, name in tokenizer_files(data).items():
        write_atomically(folder / name, tokenizers[at].text())


def kept_tokenizers(data: Data, folder: Path | None) -> dict[int, Tokenizer]:
    """Those that a run kept; none where it has no folder yet. Raises `SpecError` where one is missing or damaged."""
    if folder is None:
        return {}
    found: dict[int, Tokenizer] = {}
    for at, name in tokenizer_files(data).items():
        found[at] = FromFile(path=str(folder / name)).make(())
    return found


__all__ = [
    "FILE",
    "Tokenizers",
    "keep_tokenizers",
    "kept_tokenizers",
    "make_tokenizers",
    "makers",
    "tokenizer_files",
    "tokenizers_in_files",
]
