"""Tokenizers: the same numbers as Hugging Face's `tokenizers` reads out of what is written."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from hypothesis import given
from hypothesis import strategies as st

from specdl.data.columns import strings
from specdl.data.tokenizers import TOKENIZERS
from specdl.data.tokenizers.base import Limits, Tokenizer
from specdl.data.tokenizers.files import read_tokenizer
from specdl.data.tokenizers.kinds import TokenizerKind
from specdl.data.tokenizers.vocabulary import read_vocabulary, vocabulary_of
from specdl.diagnostics import SpecError

TEXT = [
    "The quick brown fox jumps over the lazy dog.",
    "He said: “No, the dog isn't lazy!” — and left.",
    "naïve café, 12,5 % of 日本 \t and\n\nmore lines\n",
    "",
    " ",
    "a",
    "A very much longer text, so that whatever limits there are have something to cut off at its end or its start.",
    "the dog, the fox, the dog, the fox and the dog and the fox",
]
ALL = ["pad", "unk", "bos", "eos", "mask"]
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("characters", {}),
    ("characters", {"special": ALL, "lowercase": True}),
    ("bytes", {}),
    ("bytes", {"special": ["pad", "cls", "sep"], "sentinels": 3}),
    ("words", {}),
    ("words", {"special": ALL, "vocabulary": 20, "lowercase": True}),
    ("bpe", {"vocabulary": 300}),
    ("wordpiece", {"vocabulary": 90}),
    ("unigram", {"vocabulary": 70, "sentinels": 4}),
]


def kind(name: str, arguments: dict[str, Any]) -> TokenizerKind:
    return TOKENIZERS[name].model_validate(arguments)


@pytest.fixture(scope="module", params=KINDS, ids=[f"{name}-{len(arguments)}" for name, arguments in KINDS])
def made(request: pytest.FixtureRequest) -> Tokenizer:
    name, arguments = request.param
    return kind(name, arguments).make(TEXT)


LIMITS = [
    Limits(),
    Limits(special=False),
    Limits(length=9),
    Limits(length=9, keep="end"),
    Limits(length=3, special=False),
]


def reference(made: Tokenizer, limits: Limits) -> Any:
    found = tokenizers.Tokenizer.from_str(made.text())
    if limits.length is not None:
        found.enable_truncation(limits.length, direction="right" if limits.keep == "start" else "left")
    return found


@pytest.mark.parametrize("limits", LIMITS)
class TestAgainstTokenizers:
    def test_texts(self, made: Tokenizer, limits: Limits) -> None:
        wanted = reference(made, limits).encode_batch(TEXT, add_special_tokens=limits.special)
        found = made.encode(TEXT, limits).tokens
        assert [row.tolist() for row in found.rows()] == [item.ids for item in wanted]
        assert found.padding == made.vocabulary.roles.get("pad", 0)

    def test_pairs(self, made: Tokenizer, limits: Limits) -> None:
        others = TEXT[3:] + TEXT[:3]
        wanted = reference(made, limits).encode_batch(
            list(zip(TEXT, others, strict=True)), add_special_tokens=limits.special
        )
        found = made.encode_pairs(TEXT, others, limits)
        assert found.segments is not None
        assert [row.tolist() for row in found.tokens.rows()] == [item.ids for item in wanted]
        assert [row.tolist() for row in found.segments.rows()] == [item.type_ids for item in wanted]

    def test_words(self, made: Tokenizer, limits: Limits) -> None:
        words = strings([text.split() for text in TEXT if text.split()])
        rows = [words.row(at) for at in range(len(words))]
        wanted = reference(made, limits).encode_batch(rows, add_special_tokens=limits.special, is_pretokenized=True)
        found = made.encode_words(words, limits)
        assert found.words is not None
        assert [row.tolist() for row in found.tokens.rows()] == [item.ids for item in wanted]
        owners = [[-1 if word is None else word for word in item.word_ids] for item in wanted]
        assert [row.tolist() for row in found.words.rows()] == owners


def test_a_file_gives_the_same_tokenizer(made: Tokenizer) -> None:
    again = read_tokenizer(made.text(), "it")
    assert type(again) is type(made)
    assert again.text() == made.text()
    assert again.vocabulary == made.vocabulary == read_vocabulary(made.text())
    for text, row in zip(TEXT, again.encode(TEXT, Limits()).tokens.rows(), strict=True):
        assert made.decode(row.tolist()) == again.decode(row.tolist())
        if made.kind in ("bytes", "bpe"):
            assert again.decode(row.tolist()) == text


@given(st.lists(st.text(max_size=12), max_size=4))
def test_bytes_know_every_text(texts: list[str]) -> None:
    made = kind("bytes", {"special": ["bos", "eos"]}).make(())
    found = made.encode([text.encode("utf-8", "replace").decode() for text in texts], Limits())
    for text, row in zip(texts, found.tokens.rows(), strict=True):
        assert made.decode(row.tolist()) == text.encode("utf-8", "replace").decode()
        assert row[0] == made.vocabulary.roles["bos"]


def test_characters_are_in_order_and_unknown_ones_are_told() -> None:
    made = kind("characters", {}).make(["cab"])
    assert made.vocabulary.tokens == ("a", "b", "c")
    assert made.encode(["abc", ""], Limits()).tokens.values.tolist() == [0, 1, 2]
    with pytest.raises(SpecError, match="E0564") as caught:
        made.encode(["ab", "bxé"], Limits())
    assert "has no `x`, `é`, which is in `bxé`" in str(caught.value)
    with_unknown = kind("characters", {"special": ["unk"]}).make(["cab"])
    assert with_unknown.encode(["axb"], Limits()).tokens.values.tolist() == [1, 0, 2]


def test_words_by_frequency_then_by_the_alphabet() -> None:
    made = kind("words", {"vocabulary": 5}).make(["b a, b c a b"])
    assert made.vocabulary.tokens == ("<pad>", "<unk>", "b", "a", ",")
    assert made.encode(["a c"], Limits()).tokens.values.tolist() == [3, 1]
    assert kind("words", {"min_count": 2}).make(["b a, b c a b"]).vocabulary.size == 4


def test_what_is_known_before_text_is_read() -> None:
    assert kind("bytes", {"special": ["pad"]}).most() == 257
    assert kind("words", {"vocabulary": 50}).most() == 50
    assert kind("characters", {}).most() is None
    assert kind("unigram", {}).roles() == {"pad", "eos", "unk"}
    assert kind("unigram", {"sentinels": 2}).roles() == {"pad", "eos", "unk", "sentinels"}


def test_a_file_is_read_for_its_vocabulary_without_the_package(tmp_path: Path) -> None:
    for name, arguments in KINDS:
        made = kind(name, arguments).make(TEXT)
        path = tmp_path / "tokenizer.json"
        path.write_text(made.text(), encoding="utf-8")
        from_file = kind("file", {"path": str(path)})
        assert from_file.known() == made.vocabulary
        assert from_file.most() == made.vocabulary.size
    assert kind("file", {"path": str(tmp_path / "none.json")}).known() is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "no JSON"), ("{}", "can't be used"), ('{"model": {"type": "Nope"}}', "can't be used"), ("[]", "can't be")],
)
def test_a_file_that_is_none(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(text)
    with pytest.raises(SpecError, match="E0561") as caught:
        kind("file", {"path": str(path)}).make(())
    assert reason in str(caught.value)


def test_tokens_of_others_are_known_by_their_names() -> None:
    data = json.loads(kind("bpe", {"vocabulary": 300, "special": []}).make(TEXT).text())
    names = ["<s>", "</s>", "<unk>", "<pad>", "<mask>", "<extra_id_0>", "<extra_id_1>"]
    first = len(data["model"]["vocab"])
    made = tokenizers.Tokenizer.from_str(json.dumps(data))
    made.add_special_tokens(names)
    found = read_tokenizer(made.to_str(), "it").vocabulary
    assert found.roles == {"bos": first, "eos": first + 1, "unk": first + 2, "pad": first + 3, "mask": first + 4}
    assert found.sentinels == (first + 5, first + 6)
    assert (found.begin, found.end, found.padding) == (first, first + 1, first + 3)


CHILD = """
import hashlib
from specdl.data.tokenizers import TOKENIZERS
from tests.unit.data.test_tokenizers import TEXT
texts = [text * 3 for text in TEXT]
for name in ("bpe", "wordpiece", "unigram"):
    made = TOKENIZERS[name].model_validate({"vocabulary": 280}).make(texts)
    print(hashlib.sha256(made.text().encode()).hexdigest())
"""


@pytest.mark.slow
def test_the_same_text_gives_the_same_tokenizer_in_every_process() -> None:
    environment = dict(os.environ)
    root = str(Path(__file__).parents[3])
    runs = {
        subprocess.run(
            [sys.executable, "-c", CHILD], capture_output=True, text=True, check=True, cwd=root, env=environment
        ).stdout
        for _ in range(3)
    }
    assert len(runs) == 1


def test_training_is_repeatable() -> None:
    for name in ("bpe", "wordpiece", "unigram"):
        digests = {
            hashlib.sha256(kind(name, {"vocabulary": 280}).make(TEXT * 3).text().encode()).hexdigest() for _ in range(3)
        }
        assert len(digests) == 1


def test_a_megabyte_of_characters_takes_no_time() -> None:
    text = "".join(chr(97 + at % 26) for at in range(2**20))
    made = kind("characters", {}).make([text])
    found = made.encode([text], Limits()).tokens.values
    assert len(found) == 2**20
    assert torch.equal(found[:26], torch.arange(26))


def test_all_tokens_that_end_texts_are_known() -> None:
    vocabulary = vocabulary_of(["a", "<|endoftext|>", "<|im_end|>", "[SEP]"])
    assert vocabulary.end == 3
    assert vocabulary.ends == {1, 2, 3}
    assert vocabulary_of(["a", "b"]).ends == frozenset()
