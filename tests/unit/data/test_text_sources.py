"""Sources of text: what they give is what the files hold, and every line that is wrong is told."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
import torch

from specdl.data.columns import Ragged, Strings
from specdl.data.examples import Stacked
from specdl.data.fields import FieldSpec
from specdl.data.sources import SOURCES, Source
from specdl.data.sources.corpus import python_topics
from specdl.diagnostics import SpecError
from specdl.ops.base import TypeRuleError

STRING: dict[str, Any] = {"shape": [], "dtype": "string"}
LABEL: dict[str, Any] = {"shape": [], "dtype": "int64"}


def source(kind: str, fields: dict[str, Any] | None = None, **arguments: Any) -> Source:
    wanted = {name: FieldSpec.model_validate(value) for name, value in (fields or {}).items()}
    given = {key: str(value) if isinstance(value, Path) else value for key, value in arguments.items()}
    return SOURCES[kind].model_validate(given).with_fields(wanted)


def load(made: Source) -> Stacked:
    found = made.load()
    assert isinstance(found, Stacked)
    assert list(found.fields) == list(made.fields())
    return found


def texts(found: Stacked, field: str = "text") -> list[str]:
    column = found.fields[field]
    assert isinstance(column, Strings)
    return list(column.values)


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestText:
    def test_the_end_of_one_file_is_held_out(self, tmp_path: Path) -> None:
        text = "".join(chr(97 + at % 26) for at in range(101))
        made = source("text", files=write(tmp_path / "a.txt", text)).with_shares({"validation": 0.1, "test": 0.2})
        found = load(made)
        assert texts(found) == [text[:70], text[70:80], text[80:]]
        assert found.parts is not None
        assert {name: at.tolist() for name, at in found.parts.items()} == {"train": [0], "validation": [1], "test": [2]}
        assert found.divided

    def test_the_end_of_several_files(self, tmp_path: Path) -> None:
        write(tmp_path / "corpus/b.txt", "b" * 10)
        write(tmp_path / "corpus/a.txt", "a" * 10)
        write(tmp_path / "corpus/deep/c.txt.gz", gzip.compress(b"c" * 20))
        write(tmp_path / "corpus/.hidden.txt", "x")
        write(tmp_path / "corpus/picture.png", "x")
        found = load(source("text", files=tmp_path / "corpus").with_shares({"validation": 0.3}))
        assert texts(found) == ["a" * 10, "b" * 10, "c" * 8, "c" * 12]
        assert found.parts is not None
        assert found.parts["validation"].tolist() == [3]

    def test_files_for_validation(self, tmp_path: Path) -> None:
        train, other = write(tmp_path / "a.txt", "aaaa"), write(tmp_path / "b.txt", "b")
        found = load(source("text", files=train, validation=str(other)).with_shares({"validation": 0.5}))
        assert texts(found) == ["aaaa", "b"]

    def test_lines_with_their_documents(self, tmp_path: Path) -> None:
        write(tmp_path / "a.txt", "\n\none\ntwo\r\n\n\n \nthree\n\n")
        write(tmp_path / "b.txt", "four\n\nfive")
        found = load(source("text", files=str(tmp_path / "*.txt"), unit="line"))
        assert texts(found) == ["one", "two", "three", "four", "five"]
        documents = found.fields["document"]
        assert isinstance(documents, torch.Tensor)
        assert documents.tolist() == [0, 0, 1, 2, 3]
        assert found.parts is None

    def test_paragraphs(self, tmp_path: Path) -> None:
        files = [
            str(write(tmp_path / "b.txt", "one\ntwo\n\n\nthree")),
            str(write(tmp_path / "a.txt", "four\n \nfive\n")),
        ]
        found = load(source("text", files=files, unit="paragraph"))
        assert texts(found) == ["one\ntwo", "three", "four", "five"]
        assert found.fields["document"].tolist() == [0, 0, 1, 1]  # type: ignore[union-attr]

    def test_a_default_that_needs_no_file(self) -> None:
        found = load(source("text").with_shares({"validation": 0.1}))
        assert "".join(texts(found)) == "".join(python_topics())
        assert sum(map(len, texts(found))) > 100_000

    def test_what_is_no_text_is_told_by_line(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.txt", b"\xef\xbb\xbfgood\nb\xffd\nfine\n\xfe\n")
        found = load(source("text", files=path))
        assert texts(found) == ["good\nfine\n"]
        assert [(item.name, item.reason) for item in found.bad] == [
            (f"{path}:2", "isn't UTF-8: byte 0xff at position 2"),
            (f"{path}:4", "isn't UTF-8: byte 0xfe at position 1"),
        ]

    @pytest.mark.parametrize(
        ("files", "words"),
        [
            ("none.txt", "there is no file of text"),
            ("*.md", "no file fits"),
            ("empty", "no file that ends"),
            ("a.txt", "no text"),
        ],
    )
    def test_files_that_are_not_there(self, tmp_path: Path, files: str, words: str) -> None:
        (tmp_path / "empty").mkdir()
        write(tmp_path / "a.txt", "\n")
        with pytest.raises(SpecError, match="E0531") as caught:
            source("text", files=str(tmp_path / files)).load()
        assert words in str(caught.value)


class TestJsonl:
    FIELDS = {
        "text": STRING,
        "label": {**LABEL, "column": "meta.kind"},
        "words": {"shape": ["W"], "dtype": "string"},
        "ids": {"shape": ["T"], "dtype": "int64", "padding": -1},
        "score": {"shape": []},
        "box": {"shape": [2], "dtype": "int64"},
    }
    ROW = {"text": "a", "meta": {"kind": "x"}, "words": ["p", "q"], "ids": [1, 2, 3], "score": 0.5, "box": [1, 2]}

    def lines(self, *rows: Any) -> str:
        return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)

    def test_fields_of_all_kinds(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "a.jsonl", self.lines(self.ROW, "", {**self.ROW, "ids": [], "meta": {"kind": "b"}}) + "\n"
        )
        found = load(source("jsonl", self.FIELDS, files=path))
        assert not found.bad
        assert found.classes == {"label": ("b", "x")}
        assert found.fields["label"].tolist() == [1, 0]  # type: ignore[union-attr]
        assert found.fields["words"] == Strings(["p", "q", "p", "q"], (0, 2, 4))
        ids = found.fields["ids"]
        assert isinstance(ids, Ragged)
        assert ids.padded().tolist() == [[1, 2, 3], [-1, -1, -1]]
        assert found.fields["score"].tolist() == [0.5, 0.5]  # type: ignore[union-attr]
        assert found.fields["box"].shape == (2, 2)  # type: ignore[union-attr]

    def test_every_wrong_line_is_told(self, tmp_path: Path) -> None:
        wrong: list[tuple[Any, str]] = [
            ('{"text": "a", ', "is no JSON: expecting property name"),
            ("[1]", "is a list, not an object"),
            ("7", "is a number (7), not an object"),
            ({**self.ROW, "text": 3}, "has a number (3) instead of text in `text`"),
            ({key: value for key, value in self.ROW.items() if key != "text"}, "has nothing instead of text in `text`"),
            ({**self.ROW, "meta": {}}, "has nothing instead of a class in `label`"),
            ({**self.ROW, "meta": {"kind": 1.5}}, "has a number (1.5) instead of a class in `label`"),
            ({**self.ROW, "words": ["a", None]}, "has null among texts in `words`"),
            ({**self.ROW, "ids": [1, 2.5]}, "has a number (2.5) among numbers in `ids`"),
            ({**self.ROW, "ids": 3}, "has a number (3) instead of a list in `ids`"),
            ({**self.ROW, "ids": [1, None]}, "has null among numbers in `ids`"),
            (json.dumps(self.ROW).replace("0.5", "NaN"), "is no JSON: `NaN` is no number of JSON"),
            ({**self.ROW, "score": True}, "has true or false (True) instead of a number in `score`"),
            ({**self.ROW, "box": [1]}, "has 1 numbers instead of 2 in `box`"),
        ]
        path = write(tmp_path / "a.jsonl", self.lines(self.ROW, *(row for row, _ in wrong), self.ROW))
        found = load(source("jsonl", self.FIELDS, files=path))
        assert len(found) == 2
        told = {item.name: item.reason for item in found.bad}
        for number, (_, reason) in enumerate(wrong, 2):
            assert told[f"{path}:{number}"].startswith(reason)
        assert len(told) == len(wrong)

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n')
        found = load(source("jsonl", {"text": STRING}, files=path))
        assert [item.name for item in found.bad] == [f"{path}:2"]

    def test_parts_by_files_and_by_a_column(self, tmp_path: Path) -> None:
        train = write(
            tmp_path / "a.jsonl", self.lines({"text": "a", "part": "dev"}, {"text": 1}, {"text": "b", "part": "train"})
        )
        other = write(tmp_path / "b.jsonl", self.lines({"text": "c", "part": "test"}))
        found = load(source("jsonl", {"text": STRING}, files=train, validation=str(other)))
        assert found.parts is not None
        assert {name: at.tolist() for name, at in found.parts.items()} == {"train": [0, 1], "validation": [2]}
        found = load(source("jsonl", {"text": STRING}, files=train).with_parts("part"))
        assert found.parts is not None
        assert {name: at.tolist() for name, at in found.parts.items()} == {"validation": [0], "train": [1]}

    def test_one_array_and_missing_columns(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.jsonl", '[\n{"text": "a"}\n]')
        with pytest.raises(SpecError, match="is one array"):
            source("jsonl", {"text": STRING}, files=path).load()
        path = write(tmp_path / "b.jsonl", '{"texts": "a"}')
        with pytest.raises(SpecError, match="has no column `text`") as caught:
            source("jsonl", {"text": STRING}, files=path).load()
        assert "did you mean `texts`?" in str(caught.value)

    def test_fields_that_it_can_not_hold(self) -> None:
        for fields in (
            {},
            {"x": {"shape": ["T", "S"], "dtype": "int64"}},
            {"x": {"shape": ["T", 3], "dtype": "string"}},
        ):
            with pytest.raises(TypeRuleError):
                source("jsonl", fields, files="a.jsonl")


class TestTables:
    def test_text_among_numbers(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", 'text,label,x\n"one, two",spam,1.5\n"said ""no""",ham,2\n')
        found = load(source("csv", {"text": STRING, "label": LABEL, "x": {"shape": []}}, file=path))
        assert texts(found) == ["one, two", 'said "no"']
        assert found.fields["label"].tolist() == [1, 0]  # type: ignore[union-attr]

    def test_tabs_need_no_quotes(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tsv", 'ham\t"quoted at its start\nspam\tplain\n')
        fields = {"text": {**STRING, "column": "1"}, "label": {**LABEL, "column": "0"}}
        assert texts(load(source("csv", fields, file=path, header=False))) == ['"quoted at its start', "plain"]
        quoted = write(tmp_path / "b.tsv", 'ham\t"a\tb"\n')
        assert texts(load(source("csv", fields, file=quoted, header=False, quotes=True))) == ["a\tb"]

    def test_every_wrong_row_is_told(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", b"text,label\na,1\nb\nc,2,3\nd\xff,0\ne,0\n")
        found = load(source("csv", {"text": STRING, "label": LABEL}, file=path))
        assert texts(found) == ["a", "e"]
        assert [(item.name, item.reason) for item in found.bad] == [
            (f"{path}:3", "has 1 cells, the first row 2"),
            (f"{path}:4", "has 3 cells, the first row 2"),
            (f"{path}:5", "isn't UTF-8: byte 0xff at position 2"),
        ]

    def test_a_cell_may_be_long(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "text\n" + "x" * 200_000)
        assert len(texts(load(source("csv", {"text": STRING}, file=path)))[0]) == 200_000

    def test_text_is_one_cell(self) -> None:
        for field in ({"shape": ["T"], "dtype": "string"}, {**STRING, "column": ["a", "b"]}):
            with pytest.raises(TypeRuleError, match="text is one cell"):
                source("csv", {"text": field}, file="a.csv")

    def test_pairs(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tsv.gz", gzip.compress(b"hello\thola\nworld\tmundo\n"))
        found = load(source("pairs", file=path))
        assert texts(found, "source") == ["hello", "world"]
        assert texts(found, "target") == ["hola", "mundo"]
        named = {"spanish": {**STRING, "column": "1"}, "english": {**STRING, "column": "0"}}
        assert texts(load(source("pairs", named, file=path)), "spanish") == ["hola", "mundo"]

    def test_a_file_for_each_language(self, tmp_path: Path) -> None:
        write(tmp_path / "train.en", "one\r\n\ntwo\nthree\n")
        write(tmp_path / "train.de", "eins\nnichts\nzwei\ndrei\n")
        write(tmp_path / "more" / "europarl-v7.de.gz", gzip.compress(b"vier\n"))
        write(tmp_path / "more" / "europarl-v7.english", "four")
        write(tmp_path / "valid.en", "five\n")
        write(tmp_path / "valid.de", "fünf\n")
        write(tmp_path / "readme.txt", "no text of a language\n")
        found = load(source("parallel_text", files=tmp_path))
        pairs = sorted(zip(texts(found, "english"), texts(found, "german"), strict=True))
        wanted = [("five", "fünf"), ("four", "vier"), ("one", "eins"), ("three", "drei"), ("two", "zwei")]
        assert pairs == wanted
        assert found.parts is not None
        assert [texts(found, "german")[at] for at in found.parts["validation"].tolist()] == ["fünf"]
        assert len(found.parts["train"]) == 4
        write(tmp_path / "a.fr", "un\n")
        write(tmp_path / "a.en", "one\n")
        files = [str(tmp_path / "a.fr"), str(tmp_path / "a.en")]
        named = load(SOURCES["parallel_text"].model_validate({"files": files, "languages": ["fr", "english"]}))
        assert (texts(named, "fr"), texts(named, "english")) == (["un"], ["one"])

    @pytest.mark.parametrize(
        ("files", "words"),
        [
            ({"train.en": "a\nb\n", "train.de": "a\n"}, "lines belong together differ in number"),
            ({"train.en": "a\n"}, "has no file in german beside it"),
            ({"valid.en": "a\n", "valid.de": "a\n"}, "no lines to train on"),
            ({"train.fr": "a\n"}, "has no file that ends in"),
        ],
    )
    def test_languages_that_do_not_fit(self, tmp_path: Path, files: dict[str, str], words: str) -> None:
        for name, content in files.items():
            write(tmp_path / name, content)
        with pytest.raises(SpecError, match=words):
            source("parallel_text", files=tmp_path).load()

    def test_a_line_that_is_no_text(self, tmp_path: Path) -> None:
        write(tmp_path / "train.en", b"a\nb\xff\nc\n")
        write(tmp_path / "train.de", "x\ny\nz\n")
        found = load(source("parallel_text", files=tmp_path))
        assert texts(found, "german") == ["x", "z"]
        assert [item.name for item in found.bad] == [f"{tmp_path / 'train.en'}:2"]

    def test_text_beside_images_is_read_with_them(self, tmp_path: Path) -> None:
        from PIL import Image

        Image.new("L", (4, 4)).save(tmp_path / "a.png")
        path = write(tmp_path / "a.csv", "image,caption\na.png,a black square\n")
        found = source("csv", {"image": {"shape": [1, 4, 4]}, "caption": STRING}, file=path).load()
        assert not isinstance(found, Stacked)
        assert found.get(0)["caption"] == "a black square"
        assert found.texts("caption") == ["a black square"]
        assert found.column("caption") is None


class TestParquet:
    def test_the_same_as_json(self, tmp_path: Path) -> None:
        rows = [TestJsonl.ROW, {**TestJsonl.ROW, "text": "b", "ids": [4]}]
        columns = {key: [row[key] for row in rows] for key in ("text", "words", "ids", "score", "box")}
        pyarrow.parquet.write_table(pyarrow.table({**columns, "kind": ["x", "y"]}), tmp_path / "a.parquet")
        fields = {**TestJsonl.FIELDS, "label": {**LABEL, "column": "kind"}}
        found = load(source("parquet", fields, files=tmp_path / "a.parquet"))
        assert texts(found) == ["a", "b"]
        ids = found.fields["ids"]
        assert isinstance(ids, Ragged)
        assert [row.tolist() for row in ids.rows()] == [[1, 2, 3], [4]]
        assert found.classes == {"label": ("x", "y")}

    def test_what_is_wrong(self, tmp_path: Path) -> None:
        pyarrow.parquet.write_table(pyarrow.table({"text": ["a", None]}), tmp_path / "a.parquet")
        found = load(source("parquet", {"text": STRING}, files=tmp_path / "a.parquet"))
        assert [item.name for item in found.bad] == [f"{tmp_path / 'a.parquet'}, row 2"]
        with pytest.raises(SpecError, match="has no column `texts`"):
            source("parquet", {"texts": STRING}, files=tmp_path / "a.parquet").load()
        with pytest.raises(SpecError, match="can't be read as a Parquet file"):
            source("parquet", {"text": STRING}, files=write(tmp_path / "b.parquet", "no")).load()


class TestDatasets:
    @pytest.fixture(autouse=True)
    def _quiet(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        datasets.disable_progress_bars()

    def test_splits_and_names_of_labels(self, tmp_path: Path) -> None:
        features = datasets.Features(
            {
                "text": datasets.Value("string"),
                "label": datasets.ClassLabel(names=["neg", "pos"]),
                "other": datasets.Value("int32"),
            }
        )

        def part(*rows: tuple[str, int]) -> Any:
            columns = {"text": [row[0] for row in rows], "label": [row[1] for row in rows], "other": [0] * len(rows)}
            return datasets.Dataset.from_dict(columns, features=features)

        parts = {"train": part(("a", 1), ("b", 0)), "dev": part(("c", 1)), "unsupervised": part(("d", 0))}
        datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "set"))
        found = load(source("datasets", {"text": STRING, "label": LABEL}, path=str(tmp_path / "set")))
        assert texts(found) == ["a", "b", "c"]
        assert found.classes == {"label": ("neg", "pos")}
        assert found.parts is not None
        assert {name: at.tolist() for name, at in found.parts.items()} == {"train": [0, 1], "validation": [2]}
        with pytest.raises(SpecError, match="has no column `texts`"):
            source("datasets", {"texts": STRING}, path=str(tmp_path / "set")).load()

    def test_a_set_that_is_not_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(SpecError, match="E0567"):
            source("datasets", {"text": STRING}, path=str(tmp_path / "none")).load()


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(SpecError, match="E0536") as caught:
        source("parquet", {"text": STRING}, files=tmp_path / "a.parquet").load()
    assert "specdl[data]" in str(caught.value)
