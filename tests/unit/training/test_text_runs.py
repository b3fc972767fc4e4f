"""Training on text: measures against a loop written by hand, runs taken up anywhere, tokenizers that go along."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from specdl.api import Model, compile_source, load
from specdl.data.examples import Budget, Examples
from specdl.data.text_inference import TextInference
from specdl.diagnostics import SpecError
from specdl.source import parse_text
from specdl.training.errors import Interrupted
from specdl.training.evaluate import evaluate, load_network
from specdl.training.examples import open_data, require_data
from specdl.training.inference import inference_of_run
from specdl.training.loop import train
from specdl.training.predict import of_onnx, of_run
from specdl.training.predict_text import TextPredictor
from specdl.training.progress import Silent
from tests.conftest import SPECS
from tests.unit.training.test_loop import StopAt, rows, weights

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard", "ignore::DeprecationWarning:torch")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("specdl.training.loop.draw_curves", lambda *_, **__: None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "while",
    "one",
    "dog",
    "ran",
    "over",
    "two",
    "hills",
    "and",
    "saw",
    "three",
    "birds",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up sentences: as a corpus, with labels, and with a translation."""
    path = tmp_path_factory.mktemp("text")
    random = torch.Generator().manual_seed(0)
    sentences = []
    for _ in range(400):
        length = int(torch.randint(3, 12, (), generator=random))
        sentences.append(" ".join(WORDS[at] for at in torch.randint(len(WORDS), (length,), generator=random).tolist()))
    (path / "corpus.txt").write_text(".\n".join(sentences))
    labelled = [f"{'pet' if 'cat' in text or 'dog' in text else 'none'}\t{text}" for text in sentences]
    (path / "pets.tsv").write_text("\n".join(labelled) + "\n")
    pairs = [f"{text}\t{' '.join(reversed(text.split()))}" for text in sentences]
    (path / "pairs.tsv").write_text("\n".join(pairs) + "\n")
    tagged = [
        json.dumps({"words": text.split(), "tags": [int(word in ("cat", "dog")) for word in text.split()]})
        for text in sentences
    ]
    (path / "tags.jsonl").write_text("\n".join(tagged))
    return path


HEAD = "specdl: 1\nname: text\n"

LANGUAGE = """
inputs: {tokens: {shape: [T], dtype: int64}}
outputs: [logits]
layers:
  - embedding: {num_embeddings: 32, embedding_dim: 24}
  - output = gru: 48
  - dropout: 0.1
  - logits = linear: 32
data:
  source: {text: FOLDER/corpus.txt}
  transforms:
    - tokens = tokenize(text): characters
    - tokens, label = next_token(tokens): 16
  batch_size: 16
loss: cross_entropy
metrics: [perplexity, accuracy]
optimizer: {adamw: {lr: 1e-2}}
train: {max_steps: 60, validate: {every: 20, unit: step}}
"""

CLASSES = """
inputs: {tokens: {shape: [T], dtype: int64}, tokens_mask: {shape: [T], dtype: bool}}
outputs: [logits]
layers:
  - x = embedding(tokens): {num_embeddings: 30, embedding_dim: 16}
  - real = cast(tokens_mask): float32
  - compute: sum(x * real[:, :, None], dim=1)
  - logits = linear: 2
data:
  source: {csv: {file: FOLDER/pets.tsv, header: false}}
  fields: {text: {shape: [], dtype: string, column: "1"}, label: {shape: [], dtype: int64, column: "0"}}
  split: {validation: 0.2}
  transforms:
    - tokens = tokenize(text): {words: {vocabulary: 30}}
  sampler: {bucket: tokens}
  batch_size: 16
loss: cross_entropy
metrics: [accuracy]
optimizer: {adamw: {lr: 2e-2}}
train: {epochs: 6}
"""

TRANSLATION = """
inputs:
  source: {shape: [S], dtype: int64}
  source_mask: {shape: [S], dtype: bool}
  target: {shape: [T], dtype: int64}
outputs: [logits]
layers:
  - x = embedding(source): {num_embeddings: 300, embedding_dim: 16}
  - y = embedding(target): {num_embeddings: 300, embedding_dim: 16}
  - seen = multi_head_attention(y, x, mask=source_mask): 2
  - both = concat(y, seen): {dim: -1}
  - h = gru: 32
  - logits = linear: 300
data:
  source: {pairs: FOLDER/pairs.tsv}
  transforms:
    - source = tokenize(source): {bpe: {vocabulary: 300, train_on: [source, target]}}
    - target = tokenize(target): {same_as: source}
    - target, label = shift_right(target)
  sampler: {bucket: source}
  batch_size: 16
loss: {cross_entropy: {label_smoothing: 0.1}}
metrics: [accuracy, bleu, perplexity]
optimizer: {adamw: {lr: 1e-2}}
train: {max_steps: 30}
"""

MASKED = LANGUAGE.replace("characters", "{words: {vocabulary: 32, special: [pad, unk, mask]}}").replace(
    "- tokens, label = next_token(tokens): 16",
    "- tokens = blocks(tokens): 16\n    - tokens, label = mask_tokens(tokens)",
)

SPANS = TRANSLATION.replace("{pairs: FOLDER/pairs.tsv}", "{text: {files: FOLDER/corpus.txt, unit: line}}").replace(
    "- target = tokenize(target): {same_as: source}\n    - target, label = shift_right(target)",
    "- source, label = span_corruption(source)\n    - target, label = shift_right(label)",
)
SPANS = SPANS.replace(
    "source = tokenize(source): {bpe: {vocabulary: 300, train_on: [source, target]}}",
    "source = tokenize(text): {bytes: {special: [pad, bos, eos], sentinels: 8}}",
).replace("  sampler: {bucket: source}\n", "")

WORD_VECTORS = """
inputs: {word: {shape: [], dtype: int64}, context: {shape: [6], dtype: int64}}
outputs: [score]
layers:
  - w = embedding(word): {num_embeddings: 32, embedding_dim: 8}
  - c = embedding(context): {num_embeddings: 32, embedding_dim: 8}
  - score = compute: sum(w[:, None] * c, dim=-1)
data:
  source: {text: {files: FOLDER/corpus.txt, unit: line}}
  transforms:
    - tokens = tokenize(text): {words: {vocabulary: 32}}
    - word, context, label = skip_gram(tokens): {window: 3}
  batch_size: 64
loss: bce_with_logits
optimizer: {adamw: {lr: 1e-2}}
train: {max_steps: 30}
"""

CONTRASTIVE = """
inputs: {source: {shape: [S], dtype: int64}, target: {shape: [T], dtype: int64}}
outputs: [a, b]
layers:
  - embed = embedding(source): {num_embeddings: 40, embedding_dim: 16}
  - a = mean(embed): {dim: 1}
  - other = call(target): embed
  - b = mean(other): {dim: 1}
data:
  source: {pairs: FOLDER/pairs.tsv}
  transforms:
    - source = tokenize(source): {words: {train_on: [source, target], vocabulary: 40}}
    - target = tokenize(target): {same_as: source}
  batch_size: 32
losses: ["multiple_negatives_ranking(a, b)"]
optimizer: {adamw: {lr: 1e-2}}
train: {max_steps: 20}
"""

TAGS = """
inputs: {tokens: {shape: [T], dtype: int64}}
outputs: [logits]
layers:
  - embedding: {num_embeddings: 300, embedding_dim: 16}
  - logits = linear: 2
data:
  source: {jsonl: FOLDER/tags.jsonl}
  fields: {words: {shape: [W], dtype: string}, tags: {shape: [W], dtype: int64}}
  transforms:
    - tokens, label = tokenize(words, tags): {wordpiece: {vocabulary: 120}}
  batch_size: 16
loss: cross_entropy
metrics: [accuracy, f1]
optimizer: {adamw: {lr: 3e-2}}
train: {max_steps: 60}
"""

TOKENS = TRANSLATION.replace("  sampler: {bucket: source}\n  batch_size: 16\n", "  batch_size: {source: 200}\n")

SENTENCES = """
inputs: {tokens: {shape: [T], dtype: int64}, segments: {shape: [T], dtype: int64}, seen: {shape: [T], dtype: bool}}
outputs: [logits, follows]
layers:
  - x = embedding(tokens): {num_embeddings: 64, embedding_dim: 16}
  - y = embedding(segments): {num_embeddings: 2, embedding_dim: 16}
  - add(x, y)
  - h = multi_head_attention(_, mask=seen): 2
  - logits = linear: 64
  - follows = compute: h[:, 0]
  - follows = linear(follows): 2
data:
  source: {text_pairs: FOLDER/corpus.txt}
  transforms:
    - tokens, segments, is_next = sentence_pair(text): {tokenizer: {wordpiece: {vocabulary: 64}}, max_length: 32}
    - tokens, label = mask_tokens(tokens): {ignore: -7}
    - seen = padding_mask(tokens)
  batch_size: 16
losses:
  - cross_entropy(logits, label): {ignore_index: -7}
  - cross_entropy(follows, is_next)
optimizer: {adafactor: {lr: 1e-2}}
train: {max_steps: 20}
"""

ALL = {
    "tokens": TOKENS,
    "sentences": SENTENCES,
    "language": LANGUAGE,
    "classes": CLASSES,
    "translation": TRANSLATION,
    "masked": MASKED,
    "spans": SPANS,
    "word_vectors": WORD_VECTORS,
    "contrastive": CONTRASTIVE,
    "tags": TAGS,
}


def compiled(text: str, folder: Path) -> Model:
    return compile_source(parse_text(HEAD + text.replace("FOLDER", str(folder)), "text.yaml"))


def run(text: str, folder: Path, into: Path, **options: Any) -> Any:
    return train(compiled(text, folder), folder=into, progress=options.pop("progress", Silent()), **options)


def opened(text: str, folder: Path) -> Examples:
    recipe, data = require_data(compiled(text, folder).recipe)
    return open_data(recipe, data, torch.device("cpu")).examples


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ALL)
def test_batches_depend_on_their_place_alone(name: str, folder: Path) -> None:
    whole = list(opened(ALL[name], folder).training(1, range(6), 16))
    rest = list(opened(ALL[name], folder).training(1, range(3, 6), 16))
    assert all(equal(one, other) for one, other in zip(whole[3:], rest, strict=True))
    other = next(opened(ALL[name], folder).training(2, range(1), 16))
    assert not equal(whole[0], other)
    first, again = (list(opened(ALL[name], folder).batches("validation", 16)) for _ in range(2))
    assert all(equal(one, two) for one, two in zip(first, again, strict=True))


@pytest.mark.parametrize("name", ALL)
def test_a_resumed_run_is_bit_equal(name: str, folder: Path, tmp_path: Path) -> None:
    text = ALL[name].split("train:")[0] + "train: {max_steps: 12, validate: {every: 6, unit: step}}\n"
    run(text, folder, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(text, folder, tmp_path / "cut", progress=StopAt(7))
    torch.manual_seed(99)
    train(compiled(text, folder), resume=tmp_path / "cut", progress=Silent())
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")


def test_perplexity_is_that_of_a_loop_written_by_hand(folder: Path, tmp_path: Path) -> None:
    found = run(LANGUAGE, folder, tmp_path / "run")
    losses = [row["train/step_loss"] for row in rows(tmp_path / "run") if "train/step_loss" in row]
    assert losses[-1] < math.log(20)  # there are twenty-odd characters
    model = compiled(LANGUAGE, folder)
    network = load_network(model, tmp_path / "run")
    text = (folder / "corpus.txt").read_text()
    letters = sorted(set(text))
    held_out = torch.tensor([letters.index(letter) for letter in text[int(0.9 * len(text)) :]])
    total, hits, count = 0.0, 0, 0
    with torch.no_grad():
        for start in range(0, len(held_out) - 16, 16):
            logits = network(held_out[None, start : start + 16])[0]
            wanted = held_out[start + 1 : start + 17]
            total += float(F.cross_entropy(logits, wanted, reduction="sum"))
            hits += int((logits.argmax(-1) == wanted).sum())
            count += 16
    measured = evaluate(model, tmp_path / "run")
    # Batches of sixteen blocks against one block at a time, in float32.
    assert measured["loss"] == pytest.approx(total / count, abs=1e-5)
    assert measured["perplexity"] == pytest.approx(math.exp(total / count), rel=1e-5)
    assert measured["accuracy"] == pytest.approx(hits / count)
    assert found.metrics["validation/perplexity"] == pytest.approx(measured["perplexity"])


def test_padding_counts_in_no_measure(folder: Path, tmp_path: Path) -> None:
    run(TRANSLATION, folder, tmp_path / "run")
    model = compiled(TRANSLATION, folder)
    network = load_network(model, tmp_path / "run")
    total, hits, count = 0.0, 0, 0
    recipe, data = require_data(model.recipe)
    examples = open_data(recipe, data, torch.device("cpu"), tmp_path / "run").examples
    for batch in examples.batches("validation", 1):
        assert bool(batch["source_mask"].all())
        with torch.no_grad():
            logits = network(batch["source"], batch["source_mask"], batch["target"])[0]
        wanted = batch["label"][0]
        total += float(F.cross_entropy(logits, wanted, reduction="sum"))
        hits += int((logits.argmax(-1) == wanted).sum())
        count += len(wanted)
    measured = evaluate(model, tmp_path / "run")
    assert measured["perplexity"] == pytest.approx(math.exp(total / count), rel=1e-4)
    assert measured["accuracy"] == pytest.approx(hits / count)
    assert 0 <= measured["bleu"] <= 1


def test_batches_of_at_most_so_many_tokens(folder: Path) -> None:
    examples, size = opened(TOKENS, folder), Budget("source", 200)
    for processes in (1, 3):
        count = examples.batch_count(size, processes)
        epochs = []
        for epoch in range(2):
            served = [
                list(examples.training(epoch, range(count), size, rank=rank, processes=processes))
                for rank in range(processes)
            ]
            for shares in zip(*served, strict=True):
                longest = max(batch["source"].shape[1] for batch in shares)
                assert longest * sum(len(batch["source"]) for batch in shares) <= 200
            rows = [tuple(row.tolist()) for batches in served for batch in batches for row in batch["label"]]
            assert len(rows) == examples.count("train")
            epochs.append([batch["source"].tolist() for batch in served[0]])
        assert epochs[0] != epochs[1]
    # Few tokens are padding, and few places are free: a batch by number has as much of neither.
    batches = list(examples.training(0, range(count := examples.batch_count(size)), size))
    used = sum(int(batch["source_mask"].sum()) for batch in batches)
    assert used > 0.8 * 200 * count
    held_out = list(examples.batches("validation", size))
    assert sum(len(batch["source"]) for batch in held_out) == examples.count("validation")
    assert all(batch["source"].numel() <= 200 for batch in held_out)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("{source: 200}", "{target_words: 200}", "needs a field that differs in length, got `target_words`"),
        ("{source: 200}", "{source: 200}\n  sampler: {bucket: source}", "so there is no `sampler`"),
        ("{source: 200}", "{source: 0}", "at most so many tokens of a field, got {source: 0}"),
        ("{source: 200}", "0", "must be at least 1, got 0"),
    ],
)
def test_a_batch_size_that_can_not_be(folder: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(SpecError) as error:
        compiled(TOKENS.replace(old, new), folder)
    assert words in "\n".join(item.message for item in error.value.diagnostics)


def test_a_pair_of_sentences_is_tokens_and_the_next_sentence(folder: Path) -> None:
    plain = SENTENCES.replace("text_pairs: FOLDER/corpus.txt", "text: {files: FOLDER/corpus.txt, unit: line}").replace(
        "tokens, segments, is_next = sentence_pair(text): {tokenizer: {wordpiece: {vocabulary: 64}}, max_length: 32}",
        "tokens = tokenize(text): {wordpiece: {vocabulary: 64}}\n"
        "    - tokens, segments, is_next = next_sentence(tokens, document): 32",
    )
    found, wanted = (list(opened(text, folder).training(0, range(4), 16)) for text in (SENTENCES, plain))
    assert all(equal(one, other) for one, other in zip(found, wanted, strict=True))
    for batch in found:
        assert torch.equal(batch["seen"], batch["tokens_mask"])
        assert set(batch["label"][~batch["seen"]].tolist()) <= {-7}
        assert {0, 1} == set(batch["is_next"].tolist())


def test_texts_of_about_one_length_share_a_batch(folder: Path) -> None:
    examples = opened(CLASSES.replace("batch_size: 16", "batch_size: 8"), folder)
    plain = opened(
        CLASSES.replace("batch_size: 16", "batch_size: 8").replace("  sampler: {bucket: tokens}\n", ""), folder
    )
    count = examples.count("train") // 8
    real, padded, seen = 0, 0, []
    for batch in examples.training(0, range(count), 8):
        real, padded = real + int(batch["tokens_mask"].sum()), padded + batch["tokens"].numel()
        seen += [tuple(row[mask].tolist()) for row, mask in zip(batch["tokens"], batch["tokens_mask"], strict=True)]
    loose = sum(batch["tokens"].numel() for batch in plain.training(0, range(count), 8))
    assert real / padded > 0.97 > real / loose
    usual = [
        tuple(row[mask].tolist())
        for batch in plain.training(0, range(count), 8)
        for row, mask in zip(batch["tokens"], batch["tokens_mask"], strict=True)
    ]
    assert sorted(seen) == sorted(usual)
    lengths = [int(batch["tokens_length"].max()) for batch in examples.training(0, range(count), 8)]
    assert lengths != sorted(lengths)


def test_a_classifier_learns_predicts_and_is_exported(folder: Path, tmp_path: Path) -> None:
    found = run(CLASSES, folder, tmp_path / "run")
    assert found.metrics["validation/accuracy"] > 0.9
    model = compiled(CLASSES, folder)
    predictor = of_run(model, tmp_path / "run")
    assert isinstance(predictor, TextPredictor)
    texts = ["the cat sat on a mat", "one two three", "an unknown word, and the dog"]
    said = predictor(texts)
    assert [item.top[0].label for item in said] == ["pet", "none", "pet"]
    assert [predictor([text])[0].top[0].probability for text in texts] == pytest.approx(
        [item.top[0].probability for item in said], abs=1e-6
    )
    module = load_network(model, tmp_path / "run")
    model.export_onnx(tmp_path / "x.onnx", module, inference=inference_of_run(model, tmp_path / "run"))
    assert (tmp_path / "tokenizer.json").read_bytes() == (tmp_path / "run/tokenizer.json").read_bytes()
    exported = of_onnx(tmp_path / "x.onnx")
    assert isinstance(exported, TextPredictor)
    for one, other in zip(exported(texts), said, strict=True):
        assert one.top[0].label == other.top[0].label
        assert one.top[0].probability == pytest.approx(other.top[0].probability, abs=1e-5)


def test_another_tokenizer_beside_an_export(folder: Path, tmp_path: Path) -> None:
    text = CLASSES.replace("epochs: 6", "max_steps: 2")
    run(text, folder, tmp_path / "run")
    model = compiled(text, folder)
    inference = inference_of_run(model, tmp_path / "run")
    path = tmp_path / "out/x.onnx"
    path.parent.mkdir()
    model.export_onnx(path, inference=inference, verify=False)
    model.export_onnx(path, inference=inference, verify=False)  # its own file is replaced
    other = path.with_name("tokenizer.json")
    good = other.read_text()
    other.write_text("{}")
    with pytest.raises(SpecError, match=r"E0621.*another tokenizer than the one"):
        of_onnx(path)
    with pytest.raises(SpecError, match="E0568"):
        model.export_onnx(path, inference=inference, verify=False)
    assert other.read_text() == "{}"
    other.unlink()
    with pytest.raises(SpecError, match=r"E0621.*can't be read"):
        of_onnx(path)
    other.write_text(good)
    assert isinstance(of_onnx(path), TextPredictor)


def test_a_language_model_names_what_may_follow(folder: Path, tmp_path: Path) -> None:
    run(LANGUAGE.replace("max_steps: 60", "max_steps: 150"), folder, tmp_path / "run")
    model = compiled(LANGUAGE, folder)
    predictor = of_run(model, tmp_path / "run")
    assert isinstance(predictor, TextPredictor)
    (said,) = predictor(["the cat sat on a ma"], top=2)
    assert said.top[0].label in "tnw "
    assert said.output.shape == (19, 32)
    with pytest.raises(SpecError, match="E0564"):
        predictor(["Ω"])


def test_texts_longer_than_the_network_takes(folder: Path, tmp_path: Path) -> None:
    bounded = LANGUAGE.replace("outputs: [logits]", "sizes: {T: {max: 16}}\noutputs: [logits]")
    run(bounded.replace("max_steps: 60", "max_steps: 2"), folder, tmp_path / "run")
    predictor = of_run(compiled(bounded, folder), tmp_path / "run")
    assert isinstance(predictor, TextPredictor)
    one, other = predictor(["the cat sat on a mat", "cat sat on a mat"])
    assert one.output.shape == (16, 32)  # of a language model the end counts
    assert one.top[0].probability == pytest.approx(other.top[0].probability, abs=1e-6)
    text = CLASSES.replace("outputs: [logits]", "sizes: {T: {max: 4}}\noutputs: [logits]")
    with pytest.raises(SpecError, match="takes at most 4"):
        compiled(text, folder)
    text = text.replace("{words: {vocabulary: 30}}", "{tokenizer: {words: {vocabulary: 30}}, max_length: 4}")
    run(text.replace("epochs: 6", "max_steps: 2"), folder, tmp_path / "classes")
    predictor = of_run(compiled(text, folder), tmp_path / "classes")
    assert isinstance(predictor, TextPredictor)
    assert predictor(["the cat sat on a mat"])[0].top


def test_the_tags_of_words_are_named(folder: Path, tmp_path: Path) -> None:
    found = run(TAGS, folder, tmp_path / "run")
    assert found.metrics["validation/accuracy"] > 0.9
    predictor = of_run(compiled(TAGS, folder), tmp_path / "run")
    assert isinstance(predictor, TextPredictor)
    assert predictor.inference.kind == "token_classes"
    (said,) = predictor(["one cat and  the dog ran"])
    assert [(word, top[0].label) for word, top in said.tokens] == [
        ("one", "0"),
        ("cat", "1"),
        ("and", "0"),
        ("the", "0"),
        ("dog", "1"),
        ("ran", "0"),
    ]


def test_masks_are_filled_in(folder: Path, tmp_path: Path) -> None:
    run(MASKED, folder, tmp_path / "run")
    for predictor in (of_run(compiled(MASKED, folder), tmp_path / "run"), exported(MASKED, folder, tmp_path)):
        assert isinstance(predictor, TextPredictor)
        assert predictor.inference.kind == "masked_token"
        (said,) = predictor(["the <mask> sat on a<mask>"], top=2)
        assert [word for word, _ in said.tokens] == ["1", "5"]
        assert all(len(guesses) == 2 for _, guesses in said.tokens)
        with pytest.raises(SpecError, match="has no `<mask>`"):
            predictor(["the cat"])


def test_bert_fills_masks_in_though_it_learned_two_tasks(folder: Path, tmp_path: Path) -> None:
    """Its first output is compared with hidden tokens; no text tells which of two sentences a token is of."""
    small = {"vocabulary": 100, "width": 32, "layers": 1, "heads": 2, "hidden": 32, "length": 32}
    settings: dict[str, Any] = {f"params.{key}": value for key, value in small.items()}
    settings |= {"params.files": str(folder / "corpus.txt"), "data.batch_size": 8, "train": {"max_steps": 3}}
    model = load(SPECS / "text" / "bert.yaml", None, settings)
    train(model, folder=tmp_path / "run", progress=Silent())
    inference = inference_of_run(model, tmp_path / "run")
    assert isinstance(inference, TextInference)
    assert (inference.kind, inference.inputs) == ("masked_token", ("input_ids", "attention_mask"))
    assert inference.said == "prediction_logits"
    module = load_network(model, tmp_path / "run")
    model.export_onnx(tmp_path / "x.onnx", module, inference=inference, without=["token_type_ids"])
    text = "the [MASK] sat on a mat"
    one, other = (predictor([text])[0] for predictor in (of_run(model, tmp_path / "run"), of_onnx(tmp_path / "x.onnx")))
    assert len(one.output) == len(other.output)
    assert one.output.shape[1] == 100
    assert [place for place, _ in one.tokens] == ["2"]  # behind [CLS] and `the`
    torch.testing.assert_close(one.output, other.output, rtol=1e-4, atol=1e-4)  # ONNX Runtime adds in another order
    model.export_onnx(tmp_path / "all.onnx", module, inference=inference)
    with pytest.raises(SpecError, match=r"(?s)E0621.*--without token_type_ids"):
        of_onnx(tmp_path / "all.onnx")


def exported(text: str, folder: Path, path: Path) -> Any:
    """What was trained in `run` below a folder, exported into it."""
    model = compiled(text, folder)
    module, inference = load_network(model, path / "run"), inference_of_run(model, path / "run")
    model.export_onnx(path / "x.onnx", module, inference=inference)
    return of_onnx(path / "x.onnx")


def test_a_run_keeps_its_tokenizer_whatever_becomes_of_the_data(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text((folder / "corpus.txt").read_text())
    text = LANGUAGE.replace("FOLDER/corpus.txt", str(path)).replace("max_steps: 60", "max_steps: 3")
    run(text, folder, tmp_path / "run")
    kept = (tmp_path / "run/tokenizer.json").read_text()
    path.write_text("!" + path.read_text())
    # With a vocabulary of its own the corpus would give other numbers; with the run's, the mark is unknown.
    with pytest.raises(SpecError, match="E0564"):
        evaluate(compiled(text, folder), tmp_path / "run")
    assert (tmp_path / "run/tokenizer.json").read_text() == kept


def test_two_tokenizers_have_two_files(folder: Path, tmp_path: Path) -> None:
    text = TRANSLATION.replace("{bpe: {vocabulary: 300, train_on: [source, target]}}", "{words: {vocabulary: 40}}")
    text = text.replace("{same_as: source}", "{words: {vocabulary: 40, special: [pad, unk, bos, eos]}}")
    run(text.replace("max_steps: 30", "max_steps: 2"), folder, tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").glob("*tokenizer.json")) == [
        "source.tokenizer.json",
        "target.tokenizer.json",
    ]
    assert math.isfinite(evaluate(compiled(text, folder), tmp_path / "run")["loss"])


def test_a_vocabulary_that_is_too_large_is_told_before_training(folder: Path, tmp_path: Path) -> None:
    text = LANGUAGE.replace("num_embeddings: 32", "num_embeddings: 12")
    with pytest.raises(SpecError, match="E0570") as caught:
        run(text, folder, tmp_path / "run")
    (item,) = caught.value.diagnostics
    assert "has rows for 12 tokens" in item.message
    assert item.span is not None
    assert item.span.line == 7
    assert [note.span.line for note in item.notes if note.span] == [14]
    assert not (tmp_path / "run").exists()


def test_bad_lines_are_listed_or_skipped(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "tags.jsonl").read_text().splitlines()
    lines[3], lines[7] = "{", '{"words": ["a"], "tags": "b"}'
    path = tmp_path / "tags.jsonl"
    path.write_text("\n".join(lines))
    text = TAGS.replace("FOLDER/tags.jsonl", str(path)).replace("max_steps: 60", "max_steps: 2")
    with pytest.raises(SpecError, match=r"E0532.*2 of 400 examples can't be read") as caught:
        run(text, folder, tmp_path / "run")
    notes = [note.message for note in caught.value.diagnostics[0].notes]
    assert notes[0].startswith(f"`{path}:4` is no JSON")
    assert notes[1].startswith(f"`{path}:8` has text (b) instead of a list in `tags`")
    with pytest.raises(SpecError, match=r"more than the 0\.4% that may be skipped"):
        run(text.replace("data:", "data:\n  on_bad: {skip: 0.004}"), folder, tmp_path / "run")
    run(text.replace("data:", "data:\n  on_bad: {skip: 0.01}"), folder, tmp_path / "run")
    assert (tmp_path / "run/skipped.txt").read_text().count("\n") == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_captions_are_read_with_their_images(folder: Path, tmp_path: Path, workers: int) -> None:
    from PIL import Image

    sentences = (folder / "pets.tsv").read_text().splitlines()[:24]
    table = ["image,caption"]
    for at, line in enumerate(sentences):
        Image.new("L", (6 + at % 3, 6), at * 10).save(tmp_path / f"{at}.png")
        table.append(f"{at}.png,{line.split(chr(9))[1]}")
    (tmp_path / "captions.csv").write_text("\n".join(table))
    text = f"""
inputs: {{image: [1, 6, 6], caption: {{shape: [T], dtype: int64}}}}
outputs: [a, b]
layers:
  - flat = flatten(image)
  - a = linear: 8
  - words = embedding(caption): {{num_embeddings: 40, embedding_dim: 8}}
  - b = mean(words): {{dim: 1}}
data:
  source: {{csv: {tmp_path / "captions.csv"}}}
  fields: {{image: [1, H, W], caption: string}}
  workers: {workers}
  transforms:
    - image = resize(image): [6, 6]
    - caption = tokenize(caption): {{words: {{vocabulary: 30}}}}
  batch_size: 6
losses: ["info_nce(a, b)"]
"""
    examples = opened(text, folder)
    batches = list(examples.training(0, range(2), 6))
    plain = list(opened(text.replace(f"workers: {workers}", "workers: 0"), folder).training(0, range(2), 6))
    assert all(equal(one, other) for one, other in zip(batches, plain, strict=True))
    assert batches[0]["image"].shape == (6, 1, 6, 6)
    assert batches[0]["caption"].dim() == 2
    assert torch.equal(batches[0]["caption_length"], batches[0]["caption_mask"].sum(1))
