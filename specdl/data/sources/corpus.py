"""Text without more to it: files as documents, or their lines or paragraphs as examples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr

from specdl.data.examples import Bad, Stacked
from specdl.data.paths import FilePaths
from specdl.data.sources.base import Source
from specdl.data.sources.problems import unusable
from specdl.data.sources.reading import find_files, read_text
from specdl.ir.dims import BATCH
from specdl.ir.types import STRING, TensorType

if TYPE_CHECKING:
    from specdl.data.columns import Column

ENDINGS = (".txt", ".text", ".md", ".rst")
"""What files of text in a folder are called."""


class Text(Source):
    """Files of text, one document each; the prose of Python's own documentation unless `files` are given.

    Of documents, `split` holds out the end of the whole corpus: its last tenth as text, not files. With `unit: line`
    or `paragraph` each is an example, which `split` holds out as of other sources; `document` is then the number of
    the document (of the file, or of lines between blank lines).
    """

    name: ClassVar[str] = "text"
    main: ClassVar[str | None] = "files"

    files: FilePaths | None = Field(default=None, description="A file, a folder, a pattern (`books/*.txt`), or a list.")
    validation: FilePaths | None = Field(default=None, description="Files for validation, instead of a share.")
    test: FilePaths | None = Field(default=None, description="Files for the test, instead of a share.")
    unit: Literal["document", "paragraph", "line"] = Field(default="document", description="What an example is.")

    _shares: Mapping[str, float] = PrivateAttr(default_factory=dict)

    def fields(self) -> Mapping[str, TensorType]:
        text = TensorType((BATCH,), STRING)
        return {"text": text} if self.unit == "document" else {"text": text, "document": TensorType((BATCH,), "int64")}

    def with_shares(self, shares: Mapping[str, float]) -> Self:
        copy = self.model_copy()
        copy._shares = shares
        return copy

    def load(self) -> Stacked:
        import torch

        from specdl.data.columns import Strings

        bad: list[Bad] = []
        given: dict[str, list[str]] = {}
        for part, files in (("train", self.files), ("validation", self.validation), ("test", self.test)):
            if files is not None:
                given[part] = list(_read(find_files(files, ENDINGS, "file of text"), bad))
            elif part == "train":
                given[part] = python_topics()
        if not any(text.strip() for text in given["train"]):
            raise unusable("there is no text to train on")
        if self.unit == "document":
            given = _divided(given, {name: share for name, share in self._shares.items() if name not in given})
        texts: list[str] = []
        documents: list[int] = []
        parts: dict[str, torch.Tensor] = {}
        for part, listed in given.items():
            start = len(texts)
            for text, document in _units(listed, self.unit, documents[-1] + 1 if documents else 0):
                texts.append(text)
                documents.append(document)
            parts[part] = torch.arange(start, len(texts))
        fields: dict[str, Column] = {"text": Strings(texts)}
        if self.unit != "document":
            fields["document"] = torch.tensor(documents)
        divided = self.unit == "document"
        return Stacked(fields, parts if divided or len(parts) > 1 else None, bad=bad, divided=divided)


def _read(files: Sequence[str], bad: list[Bad]) -> Iterator[str]:
    for file in files:
        text, wrong = read_text(file)
        bad += wrong
        yield text


def _divided(given: Mapping[str, list[str]], shares: Mapping[str, float]) -> dict[str, list[str]]:
    """The corpus with the end of its text held out, in the order of the shares; a document may be cut."""
    total = sum(map(len, given["train"]))
    rest = list(shares.values())
    bounds = [0, *(int(total * (1 - sum(rest[at:]))) for at in range(len(rest))), total]
    pieces = zip(("train", *shares), bounds, bounds[1:], strict=False)
    return {**given, **{name: _stretch(given["train"], start, end) for name, start, end in pieces}}


def _stretch(texts: Sequence[str], start: int, end: int) -> list[str]:
    """Characters of several texts, counted through all of them, as texts again."""
    found: list[str] = []
    at = 0
    for text in texts:
        piece = text[max(start - at, 0) : max(end - at, 0)]
        at += len(text)
        if piece:
            found.append(piece)
    return found


def _units(texts: Sequence[str], unit: str, first: int) -> Iterator[tuple[str, int]]:
    """The examples of some documents, each with the number of its document."""
    document = first
    for text in texts:
        if unit == "document":
            yield text, document
        elif unit == "paragraph":
            yield from ((piece.strip("\n"), document) for piece in _PARAGRAPH.split(text) if piece.strip())
        else:
            begun = gap = False
            for line in text.split("\n"):
                if not line.strip():
                    gap = begun
                    continue
                document += gap
                begun, gap = True, False
                yield line, document
        document += 1


class TextPairs(Text):
    """Files of sentences, one a line, with an empty line between documents: what `sentence_pair` makes pairs of.

    The same as `{text: {unit: line}}`: the fields `text` and `document`.
    """

    name: ClassVar[str] = "text_pairs"

    unit: Literal["document", "paragraph", "line"] = Field(default="line", description="What an example is.")


_PARAGRAPH = re.compile(r"\n[ \t]*\n")


def python_topics() -> list[str]:
    """The texts of Python's own documentation that `help("topics")` shows, in order of their names."""
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics)]


__all__ = ["Text", "TextPairs", "python_topics"]
