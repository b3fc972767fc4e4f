"""The commands on specs of text: check without data or torch, train, eval, data, predict, export."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tokenizers

from tests.conftest import SPECS
from tests.unit.cli.conftest import Command, environment, one_error, process

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard", "ignore::DeprecationWarning:torch")

SPEC = """
specdl: 1
name: pets
inputs: {tokens: {shape: [T], dtype: int64}, tokens_length: {shape: [], dtype: int64}}
outputs: [logits]
layers:
  - embedding(tokens): {num_embeddings: 30, embedding_dim: 8, padding_idx: 0}
  - output, h = gru(_, lengths=tokens_length): 16
  - rearrange(h): 1 n h -> n h
  - logits = linear: 2
data:
  source: {csv: {file: pets.tsv, header: false}}
  fields:
    text: {shape: [], dtype: string, column: "1"}
    label: {shape: [], dtype: int64, column: "0"}
  split: {validation: 0.25, stratify: label}
  transforms:
    - tokens = tokenize(text): {words: {vocabulary: 30, lowercase: true}}
  batch_size: 8
loss: cross_entropy
metrics: [accuracy]
optimizer: {adamw: {lr: 1e-2}}
train: {epochs: 8}
"""


@pytest.fixture
def pets(folder: Path) -> Path:
    rows = [
        f"{'cat' if at % 2 else 'dog'}\tThe {'cat says meow' if at % 2 else 'dog barks'} {at % 5} times"
        for at in range(40)
    ]
    (folder / "pets.tsv").write_text("\n".join(rows) + "\n")
    (folder / "pets.yaml").write_text(SPEC)
    return folder


def test_a_run_of_text_from_check_to_export(specdl: Command, pets: Path) -> None:
    assert specdl("check", "pets.yaml").code == 0
    assert specdl("train", "pets.yaml", "--folder", "run").code == 0
    measured = specdl("eval", "run", "--json")
    assert json.loads(measured.out)["metrics"]["accuracy"] == 1.0
    said = specdl(
        "predict", "run", "--text", "the cat says MEOW 9 times", "--text", "The dog barks 3 times", "--top", 1
    )
    assert said.code == 0
    assert [line.split()[-2] for line in said.lines()] == ["cat", "dog"]
    (pets / "lines.txt").write_text("the dog barks 8 times\n\nTHE CAT SAYS MEOW\n")
    found = json.loads(specdl("predict", "run", "lines.txt", "--json").out)
    assert [row["text"] for row in found["predictions"]] == ["the dog barks 8 times", "THE CAT SAYS MEOW"]
    assert [row["top"][0]["label"] for row in found["predictions"]] == ["dog", "cat"]
    (pets / "out").mkdir()
    assert specdl("export", "run", "-o", "out/pets.onnx").code == 0
    again = json.loads(specdl("predict", "out/pets.onnx", "lines.txt", "--json").out)
    for one, other in zip(again["predictions"], found["predictions"], strict=True):
        assert one["top"][0]["probability"] == pytest.approx(other["top"][0]["probability"], abs=1e-5)
    theirs = tokenizers.Tokenizer.from_file("out/tokenizer.json")
    assert theirs.encode("The CAT").tokens == ["the", "cat"]


COLOURS = """
specdl: 1
name: colours
inputs: {tokens: {shape: [T], dtype: int64}}
layers:
  - embedding(tokens): {num_embeddings: 16, embedding_dim: 8}
  - vector = mean: 1
data:
  source: {pairs: colours.tsv}
  transforms:
    - tokens = tokenize(source): {words: {vocabulary: 16, train_on: [source, target]}}
    - partner = tokenize(target): {same_as: tokens}
  batch_size: 4
steps:
  - name: pairs
    update: model
    layers:
      - one = model(tokens)
      - other = model(partner)
    losses:
      - multiple_negatives_ranking(one, other)
optimizer: {adamw: {lr: 0.1}}
train: {epochs: 10}
"""


def test_vectors_of_texts_say_which_are_alike(specdl: Command, folder: Path) -> None:
    pairs = {"red": "rojo", "blue": "azul", "green": "verde", "black": "negro"}
    (folder / "colours.tsv").write_text("".join(f"{one}\t{other}\n" for one, other in pairs.items()) * 10)
    (folder / "colours.yaml").write_text(COLOURS)
    assert specdl("train", "colours.yaml", "--folder", "run").code == 0
    texts = ["red", "blue", "azul", "rojo"]
    options = [word for text in texts for word in ("--text", text)]
    done = specdl("predict", "run", *options, "--top", 1)
    assert done.code == 0
    lines = done.lines()
    assert [line.split(":")[0] for line in lines[::2]] == texts
    assert all(line.endswith(", … (8 numbers)") for line in lines[::2])
    assert [line.split()[1] for line in lines[1::2]] == ["rojo", "azul", "blue", "red"]
    rows = json.loads(specdl("predict", "run", *options, "--json").out)["predictions"]
    assert [len(row["output"]) for row in rows] == [8] * 4
    for row in rows:
        cosines = [item["cosine"] for item in row["similar"]]
        assert len(cosines) == 3
        assert cosines == sorted(cosines, reverse=True)
    red, rojo = rows[0]["output"], rows[3]["output"]
    lengths = (sum(x * x for x in red) * sum(x * x for x in rojo)) ** 0.5
    cosine = sum(a * b for a, b in zip(red, rojo, strict=True)) / lengths
    assert rows[0]["similar"][0] == {"text": "rojo", "cosine": pytest.approx(cosine, abs=1e-5)}
    # One text alone is like no other.
    assert len(specdl("predict", "run", "--text", "red").lines()) == 1


def test_what_predict_can_not_read(specdl: Command, pets: Path) -> None:
    assert specdl("train", "pets.yaml", "--folder", "run", "train.epochs=1").code == 0
    one_error(specdl("predict", "run", "none.txt"), "E0531", "there is no")
    (pets / "bad.txt").write_bytes(b"good\nb\xffd\n")
    one_error(specdl("predict", "run", "bad.txt"), "E0608", "bad.txt:2", "isn't UTF-8")
    assert specdl("predict", "run").code == 2
    assert specdl("train", "tiny.yaml", "--folder", "digits").code == 0
    one_error(specdl("predict", "digits", "--text", "seven"), "E0607", "reads image files")


def test_data_tells_of_text(specdl: Command, pets: Path) -> None:
    with (pets / "pets.tsv").open("a") as file:
        file.write("a row with one cell\n")
    done = specdl("data", "pets.yaml", "data.on_bad=skip")
    assert done.code == 1
    assert "problem: 1 of 41 examples can't be read" in done.out
    assert "  pets.tsv:41: it has 1 cells, the first row 2" in done.lines()
    assert "tokens (of `text`, tokenizer words, " in done.out
    assert "most frequent: " in done.out
    assert '  label: "' in done.out
    report = json.loads(specdl("data", "pets.yaml", "data.on_bad={skip: 0.1}", "--json").out)
    (text,) = report["texts"]
    assert text["field"] == "tokens"
    assert text["tokens"]["longest"] == 6
    assert text["characters"]["total"] == sum(
        len(line.split("\t")[1]) for line in (pets / "pets.tsv").read_text().splitlines() if "\t" in line
    )
    assert text["used"]["train"] == 1.0
    assert len(report["batch"]) == 3
    assert [item["name"].rpartition("/")[2] for item in report["unreadable"]] == ["pets.tsv:41"]
    assert "1 of 41 examples can't be read" not in " ".join(report["problems"])


def test_data_tells_of_blocks(specdl: Command, folder: Path) -> None:
    (folder / "corpus.txt").write_text("to be or not to be, that is the question. " * 40)
    done = specdl("data", str(SPECS / "text" / "char_gpt.yaml"), f"data.source={{text: {folder / 'corpus.txt'}}}")
    assert done.code == 0, done.err
    assert "[N, 64] int64" in done.out
    assert '  tokens: "' in done.out


def test_check_needs_neither_data_nor_torch_nor_tokenizers(folder: Path) -> None:
    code = (
        "import sys\nfrom specdl.cli import _run\n"
        f"for name in ('char_gpt', 'sms_lstm', 'translation'):\n"
        f"    assert _run(['check', r'{SPECS}/text/' + name + '.yaml']) == 0\n"
        "heavy = {'torch', 'numpy', 'tokenizers', 'datasets', 'pyarrow', 'pydoc_data'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr


def test_the_files_of_a_spec_are_relative_to_it(specdl: Command, pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert specdl("train", "pets.yaml", "--folder", "run", "train.epochs=1").code == 0
    (pets / "specs").mkdir()
    text = SPEC.replace("{words: {vocabulary: 30, lowercase: true}}", "{tokenizer: words.json, max_length: 5}")
    (pets / "specs/pets.yaml").write_text(text.replace("file: pets.tsv", "file: ../pets.tsv"))
    (pets / "run/tokenizer.json").rename(pets / "specs/words.json")
    assert specdl("train", "specs/pets.yaml", "--folder", "other", "train.epochs=1").code == 0
    kept = (pets / "other/spec.yaml").read_text()
    assert str(pets / "specs/words.json") in kept
    (pets / "specs/words.json").unlink()
    assert specdl("eval", "other").code == 0  # the run has its own
    one_error(specdl("train", "specs/pets.yaml", "--folder", "third"), "E0561", "specs/words.json", "doesn't exist")


@pytest.mark.slow
def test_a_missing_extra_is_named(pets: Path) -> None:
    text = SPEC.replace("{words: {vocabulary: 30, lowercase: true}}", "{bpe: {vocabulary: 300}}")
    (pets / "bpe.yaml").write_text(text.replace("num_embeddings: 30", "num_embeddings: 300"))
    (pets / "tokenizers").mkdir()
    (pets / "tokenizers/__init__.py").write_text("raise ModuleNotFoundError('no', name='tokenizers')\n")
    path = f"{pets}:{environment()['PYTHONPATH']}"
    done = process("train", "bpe.yaml", PYTHONPATH=path)
    assert done.returncode == 1
    assert b"E0536" in done.stderr
    assert b"specdl[text]" in done.stderr


WRITER = """
specdl: 1
name: writer
inputs: {tokens: {shape: [T], dtype: int64}}
outputs: [logits]
layers:
  - embedding: {num_embeddings: 32, embedding_dim: 16}
  - multi_head_attention: {num_heads: 2, causal: true}
  - logits = linear: 32
data:
  source: {text: {files: corpus.txt}}
  transforms:
    - tokens = tokenize(text): characters
    - tokens, label = next_token(tokens): 16
  batch_size: 16
loss: cross_entropy
optimizer: {adamw: {lr: 1e-2}}
train: {max_steps: 20}
"""


def test_a_run_writes(specdl: Command, folder: Path) -> None:
    (folder / "corpus.txt").write_text("to be or not to be, that is the question.\n" * 40)
    (folder / "writer.yaml").write_text(WRITER)
    assert specdl("train", "writer.yaml", "--folder", "run").code == 0
    done = specdl("generate", "run", "--prompt", "to be", "--max-tokens", 30, "--seed", 7)
    assert done.code == 0
    assert done.out.startswith("to be")
    assert len(done.out) == len("to be") + 30 + 1
    assert done.err.startswith("[30 tokens, ")
    assert done.err.endswith(" a second, seed 7]\n")
    again = specdl("generate", "run", "--prompt", "to be", "--max-tokens", 30, "--seed", 7, "--json", "--no-cache")
    (row,) = json.loads(again.out)["texts"]
    assert again.err == ""
    assert "to be" + row["text"] + "\n" == done.out
    assert (row["ended"], row["seed"], len(row["tokens"])) == ("length", 7, 30)
    several = specdl("generate", "run", "--prompt", "to", "--prompt", "be", "--max-tokens", 3, "--temperature", 0)
    assert [len(line) for line in several.lines()] == [5, 0, 5]
    stopped = specdl("generate", "run", "--prompt", "to", "--temperature", 0, "--stop", " ", "--stop", r"\n", "--json")
    (row,) = json.loads(stopped.out)["texts"]
    assert row["ended"] == "stop"
    assert " " not in row["text"]
    assert "score -" in specdl("generate", "run", "--prompt", "to", "--beam", 2, "--max-tokens", 5).err
    for wrong in (
        ["--beam", 2, "--seed", 1],
        ["--temperature", 0, "--top-k", 3],
        ["--temperature", -1],
        ["--top-p", 0],
    ):
        assert specdl("generate", "run", "--prompt", "to", *wrong).code == 2
    one_error(specdl("generate", "nowhere"), "E0605", "`nowhere` doesn't exist")
    one_error(specdl("generate", "model.onnx"), "E0605", "is an ONNX file")
    one_error(specdl("generate", "writer.yaml"), "E0605", "no `weights`")
    one_error(specdl("generate", "run", "--prompt", "Zoë"), "E0564", "`Z`")


def test_what_works_without_a_cache_says_why(specdl: Command, folder: Path) -> None:
    (folder / "corpus.txt").write_text("to be or not to be, that is the question.\n" * 40)
    (folder / "writer.yaml").write_text(WRITER.replace("causal: true", "causal: false").replace("20}", "1}"))
    assert specdl("train", "writer.yaml", "--folder", "run").code == 0
    done = specdl("generate", "run", "--prompt", "to", "--max-tokens", 2)
    assert done.code == 0
    assert done.err.startswith("warning[W0030]: each token is worked out from the beginning")
    assert "^ `multi_head_attention` reads what comes later in the sequence\n" in done.err
    assert "--> run/spec.yaml:14:3" in done.err
