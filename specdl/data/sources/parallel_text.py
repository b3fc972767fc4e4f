"""Texts in several languages, a file for each, whose lines belong together: how translations are passed on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from specdl.data.examples import Bad, Stacked
from specdl.data.paths import FilePaths
from specdl.data.sources.base import DefaultSplit, Source
from specdl.data.sources.parts import PARTS
from specdl.data.sources.problems import unusable
from specdl.data.sources.reading import find_files, not_utf8, read_bytes
from specdl.ir.dims import BATCH
from specdl.ir.types import STRING, TensorType
from specdl.objectives.base import Listed

if TYPE_CHECKING:
    import torch

CODES = {
    "arabic": "ar",
    "chinese": "zh",
    "czech": "cs",
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "estonian": "et",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "gujarati": "gu",
    "hindi": "hi",
    "hungarian": "hu",
    "icelandic": "is",
    "italian": "it",
    "japanese": "ja",
    "kazakh": "kk",
    "korean": "ko",
    "latvian": "lv",
    "lithuanian": "lt",
    "norwegian": "no",
    "polish": "pl",
    "portuguese": "pt",
    "romanian": "ro",
    "russian": "ru",
    "spanish": "es",
    "swedish": "sv",
    "turkish": "tr",
    "ukrainian": "uk",
    "vietnamese": "vi",
}
"""What files of a language end in: its code in ISO 639-1."""


def _names(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise PydanticCustomError("language", "`{name}` is not a name: letters, digits and `_`", {"name": name})
    if len(set(value)) < len(value):
        raise PydanticCustomError("language", "two of the languages are one")
    return value


class ParallelText(Source):
    """A file for each language, whose lines belong together: `train.en` and `train.de`.

    Each language is a field; its files end in its name or its code. Files whose names begin with `valid`, `dev` or
    `test` are those parts, `train` and all others are for training. Lines that are empty in a language are left out.
    """

    name: ClassVar[str] = "parallel_text"
    main: ClassVar[str | None] = "files"
    default_split: ClassVar[DefaultSplit] = DefaultSplit(validation=0.01)

    files: FilePaths = Field(description="The folder with the files, a pattern (`europarl/*`), or a list.")
    languages: Annotated[tuple[str, ...], Listed, AfterValidator(_names)] = Field(
        default=("english", "german"),
        min_length=2,
        description="The languages by name or by code, which the fields are called too.",
    )

    def fields(self) -> Mapping[str, TensorType]:
        return {language: TensorType((BATCH,), STRING) for language in self.languages}

    def load(self) -> Stacked:
        import torch

        from specdl.data.columns import Strings

        texts: dict[str, list[str]] = {language: [] for language in self.languages}
        places: dict[str, list[int]] = {}
        bad: list[Bad] = []
        count = 0
        for part, files in self._groups():
            for row in _rows(files, bad):
                for language, text in zip(self.languages, row, strict=True):
                    texts[language].append(text)
                places.setdefault(part, []).append(count)
                count += 1
        if "train" not in places:
            raise unusable("there are no lines to train on", "files for training begin with `train`")
        parts: dict[str, torch.Tensor] = {part: torch.tensor(listed) for part, listed in places.items()}
        fields = {language: Strings(found) for language, found in texts.items()}
        return Stacked(fields, parts if len(parts) > 1 else None, bad=bad)

    def _groups(self) -> Iterator[tuple[str, list[str]]]:
        """The files that belong together, one a language, with their part. Raises `SpecError` where one lacks."""
        endings = {language: (f".{language.lower()}", *_code(language)) for language in self.languages}
        every = tuple(ending for listed in endings.values() for ending in listed)
        found: dict[str, dict[str, str]] = {}
        for path in find_files(self.files, every, "file of text"):
            plain = path.removesuffix(".gz")
            for language, listed in endings.items():
                if plain.lower().endswith(listed):
                    found.setdefault(os.path.splitext(plain)[0], {})[language] = path
        for stem, files in found.items():
            for language in self.languages:
                if language not in files:
                    other = next(iter(files.values()))
                    expected = " or ".join(f"`{stem}{ending}`" for ending in endings[language])
                    raise unusable(f"`{other}` has no file in {language} beside it", f"that would be {expected}")
            word = re.split(r"[^a-z]", os.path.basename(stem).lower())[0]
            yield PARTS.get(word, "train"), [files[language] for language in self.languages]


def _code(language: str) -> tuple[str, ...]:
    code = CODES.get(language.lower())
    return () if code is None else (f".{code}",)


def _rows(files: Sequence[str], bad: list[Bad]) -> Iterator[tuple[str, ...]]:
    """The lines of several files that belong together, but for those that are empty or no UTF-8 in one of them."""
    contents = [read_bytes(path).removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n") for path in files]
    counts = {path: len(lines) for path, lines in zip(files, contents, strict=True)}
    if len(set(counts.values())) > 1:
        listed = " and ".join(f"`{path}` {count:,}" for path, count in counts.items())
        raise unusable(f"files whose lines belong together differ in number: {listed}")
    for number, row in enumerate(zip(*contents, strict=True), 1):
        try:
            texts = [line.decode("utf-8").strip() for line in row]
        except UnicodeDecodeError as error:
            path = files[next(at for at, line in enumerate(row) if line == error.object)]
            bad.append(Bad(None, f"{path}:{number}", not_utf8(error)))
            continue
        if all(texts):
            yield tuple(texts)


__all__ = ["ParallelText"]
