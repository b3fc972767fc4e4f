"""Word vectors: words of one kind end up near each other, and `specdl vectors` finds them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from specdl.api import Model, load
from specdl.cli import group
from specdl.diagnostics import SpecError
from specdl.training.loop import train
from specdl.training.progress import Silent
from specdl.training.word_vectors import WordVectors, word_vectors
from tests.conftest import SPECS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard", "ignore::DeprecationWarning:torch")

ANIMALS = ["cat", "dog", "horse", "cow", "sheep"]
CITIES = ["Paris", "Rome", "Oslo", "Lima", "Cairo"]
TEMPLATES = {
    "animal": ["the X sleeps in the barn", "we feed the old X some hay", "the tail of a X is long"],
    "city": ["the train to X leaves at noon", "streets and squares of X by night", "she moved to X last year"],
}

LEARNED = {
    "word2vec": {"optimizer": {"adam": {"lr": 1e-2}}, "train.epochs": 4},
    "word2vec_cbow": {"optimizer": {"adam": {"lr": 1e-2}}, "train.epochs": 4},
    "glove": {"optimizer": {"adagrad": {"lr": 0.3}}, "train.epochs": 60},
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = random.Random(0)
    kinds = {"animal": ANIMALS, "city": CITIES}
    lines = []
    for _ in range(1500):
        kind = draw.choice(list(kinds))
        lines.append(draw.choice(TEMPLATES[kind]).replace("X", draw.choice(kinds[kind])))
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def trained(name: str, corpus: Path, folder: Path, **overrides: Any) -> Model:
    params = {"vocabulary": 60, "width": 12, "min_count": 1, "window": 3, **overrides}
    if name != "glove":
        params["subsample"] = None
    settings = {f"params.{key}": value for key, value in params.items()}
    settings |= {"data.source": {"text": {"files": str(corpus), "unit": "line"}}, "data.batch_size": 128}
    torch.manual_seed(0)
    model = load(SPECS / "text" / f"{name}.yaml", None, {**settings, **LEARNED[name]})
    train(model, folder=folder, progress=Silent())
    return model


@pytest.mark.parametrize("name", LEARNED)
def test_words_of_a_kind_are_near_each_other(name: str, corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    vectors = word_vectors(trained(name, corpus, run), run)
    kinds = [ANIMALS, [city.lower() for city in CITIES]]
    known = {word for kind in kinds for word in kind}
    for kind in kinds:
        for word in kind:
            others = [item.word for item in vectors.neighbours(word, 100) if item.word in known]
            assert set(others[:4]) == set(kind) - {word}


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("word2vec") / "run"
    trained("word2vec", corpus, folder)
    return folder


@pytest.fixture
def vectors(run: Path) -> WordVectors:
    return word_vectors(load(run / "spec.yaml"), str(run))


def test_neighbours_are_those_of_the_largest_cosine(vectors: WordVectors) -> None:
    found = vectors.neighbours("cat", 100)
    tokens = vectors.tokenizer.vocabulary.tokens
    # All words but itself, and but padding and unknown.
    assert sorted(item.word for item in found) == sorted(set(tokens[2:]) - {"cat"})
    cosines = torch.cosine_similarity(vectors["cat"], vectors.vectors, dim=1)
    for item in found:
        # Two ways of one float32 sum of twelve products.
        assert item.cosine == pytest.approx(cosines[tokens.index(item.word)].item(), abs=1e-5)
    assert [item.cosine for item in found] == sorted((item.cosine for item in found), reverse=True)


def test_a_word_is_read_as_the_tokenizer_reads_text(vectors: WordVectors) -> None:
    assert torch.equal(vectors["Paris"], vectors["paris"])


@pytest.mark.parametrize(
    ("word", "message", "help"),
    [
        ("horce", "the vocabulary has no `horce`", "did you mean `horse`?"),
        ("cat dog", "`cat dog` is 2 tokens", "a vector belongs to a token: name one of `cat`, `dog`"),
        ("<pad>", "the vocabulary has no `<pad>`", None),
        ("", "the vocabulary has no ``", None),
    ],
)
def test_what_is_no_word_of_the_vocabulary(vectors: WordVectors, word: str, message: str, help: str | None) -> None:
    with pytest.raises(SpecError) as error:
        vectors.neighbours(word)
    (item,) = error.value.diagnostics
    assert item.message == message
    if help is not None:
        assert item.help == help


def test_tables_are_chosen_and_added(run: Path, vectors: WordVectors) -> None:
    model = load(run / "spec.yaml")
    first, second = (word_vectors(model, run, [name]).vectors for name in ("vector", "output"))
    assert torch.equal(first, vectors.vectors)
    assert torch.equal(word_vectors(model, run, ["vector", "output"]).vectors, first + second)
    assert len(first) == vectors.tokenizer.vocabulary.size < 60
    with pytest.raises(SpecError, match="no table of vectors is called `vektor`"):
        word_vectors(model, run, ["vektor"])


def test_a_file_holds_every_word(vectors: WordVectors, tmp_path: Path) -> None:
    vectors.save(str(tmp_path / "vectors.txt"))
    first, *lines = (tmp_path / "vectors.txt").read_text().splitlines()
    tokens = vectors.tokenizer.vocabulary.tokens
    assert first == f"{len(tokens) - 2} 12"
    read = {word: [float(number) for number in numbers] for word, *numbers in map(str.split, lines)}
    assert list(read) == list(tokens[2:])
    # Six digits are written.
    torch.testing.assert_close(torch.tensor(read["cat"]), vectors["cat"], rtol=1e-5, atol=1e-6)


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "vectors.txt"
    group.main(["vectors", str(run), "cat", "Rome", "--top", "2", "-o", str(file)], standalone_mode=False)
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith("cat: ")
    assert second.startswith("Rome: ")
    assert len(first.removeprefix("cat: ").split(", ")) == 2
    assert third == str(file)
    assert file.exists()
    group.main(["vectors", str(run), "cow", "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)["neighbours"]["cow"]
    wanted = word_vectors(load(run / "spec.yaml"), run).neighbours("cow", 8)
    assert found == [{"word": item.word, "cosine": item.cosine} for item in wanted]


def test_a_run_without_text_has_no_vectors(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="its network reads no text"):
        word_vectors(load(SPECS / "mlp.yaml"), tmp_path)
