"""Trained networks that write: what they read, where they stop, and the same text with a cache and without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from specdl.data.tokenizers.base import Limits
from specdl.data.tokenizers.kinds import Bytes, Characters
from specdl.diagnostics import SpecError
from specdl.training.evaluate import load_network
from specdl.training.generate import Generator, Options, _Reader, of_run
from specdl.training.inference import inference_of_run
from specdl.training.predict import of_run as predictor_of_run
from tests.unit.training.test_text_runs import (
    CLASSES,
    LANGUAGE,
    SPANS,
    TRANSLATION,
    compiled,
    folder,
    run,
)

__all__ = ["folder"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard", "ignore::DeprecationWarning:torch")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("specdl.training.loop.draw_curves", lambda *_, **__: None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


BOUNDED = LANGUAGE.replace("outputs: [logits]", "outputs: [logits]\nsizes: {T: {max: 24}}").replace(
    "  - output = gru: 48\n", "  - multi_head_attention: {num_heads: 2, causal: true}\n"
)
CAUSAL = TRANSLATION.replace("outputs: [logits]", "outputs: [logits]\nsizes: {T: {max: 20}}").replace(
    "{same_as: source}", "{tokenizer: {same_as: source}, max_length: 20}"
)
TEXTS = {"language": LANGUAGE, "bounded": BOUNDED, "translation": CAUSAL, "spans": SPANS, "classes": CLASSES}


@pytest.fixture(scope="module")
def runs(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    into = tmp_path_factory.mktemp("runs")
    for name, text in TEXTS.items():
        shorter = text.split("train:")[0] + "train: {max_steps: 12}\n"
        run(shorter, folder, into / name)
    return {name: into / name for name in TEXTS}


def generator(name: str, folder: Path, runs: dict[str, Path], *, cache: bool = True) -> Generator:
    return of_run(compiled(TEXTS[name], folder), runs[name], cache=cache)


PROMPT = "the cat sat on a mat while one dog ran"


@pytest.mark.parametrize("name", ["language", "bounded", "translation", "spans"])
@pytest.mark.parametrize("options", [Options(40, seed=3), Options(40, 0.0), Options(40, beam=3)], ids=str)
def test_a_cache_changes_nothing(name: str, options: Options, folder: Path, runs: dict[str, Path]) -> None:
    one, other = (generator(name, folder, runs, cache=cache) for cache in (True, False))
    assert (one.cached, other.cached) == (True, False)
    assert one.obstacle is None
    for prompt in (PROMPT, "and two birds"):
        made, again, whole = one(prompt, options), one(prompt, options), other(prompt, options)
        assert made.tokens == again.tokens == whole.tokens
        assert made.text == whole.text
        drawn = options.seed is not None and not one.answers  # an answer is the likeliest
        assert made.seed == (options.seed if drawn else None)


def test_a_text_longer_than_the_network_takes_goes_on_from_its_last_part(folder: Path, runs: dict[str, Path]) -> None:
    """As nanoGPT has it: each token is chosen from the last 24."""
    made = generator("bounded", folder, runs)(PROMPT, Options(30, 0.0))
    model = compiled(BOUNDED, folder)
    network = load_network(model, runs["bounded"])
    tokenizer = next(iter(inference_of_run(model, runs["bounded"]).tokenizers.values()))  # type: ignore[union-attr]
    tokens = [tokenizer.vocabulary.tokens.index(letter) for letter in PROMPT]
    with torch.inference_mode():
        for _ in range(30):
            scores = network(torch.tensor([tokens[-24:]]))[0, -1, : tokenizer.vocabulary.size]
            tokens.append(int(scores.argmax()))
    assert made.tokens == tokens[len(PROMPT) :]
    assert made.ended == "length"
    assert len(PROMPT + made.text) == len(tokens)


def test_an_answer_is_no_longer_than_the_decoder_takes(folder: Path, runs: dict[str, Path]) -> None:
    made = generator("translation", folder, runs)("the cat", Options(500, 1.0, seed=1))
    assert made.ended == "end" or len(made.tokens) == 20


def test_an_answer_begins_as_the_decoder_learned_it(folder: Path, runs: dict[str, Path]) -> None:
    model = compiled(CAUSAL, folder)
    network = load_network(model, runs["translation"])
    writer = generator("translation", folder, runs)
    vocabulary = writer.tokenizer.vocabulary
    inference = inference_of_run(model, runs["translation"])
    columns = inference.columns([["one dog ran", ""]])  # type: ignore[union-attr,arg-type]
    source = columns["source"].row(0)[None]
    # The encoder reads a text as it did in training, with the token that ends it; only the answer is open.
    assert source.tolist() == [writer.tokenizer.encode(["one dog ran"], Limits()).tokens.row(0).tolist()]
    assert source[0, -1] == vocabulary.roles["eos"]
    begin = torch.tensor([[vocabulary.roles["bos"]]])
    with torch.inference_mode():
        scores = network(source=source, source_mask=torch.ones_like(source, dtype=torch.bool), target=begin)[0, -1]
    assert writer("one dog ran", Options(1)).tokens == [int(scores[: vocabulary.size].argmax())]


def test_spans_are_written_by_the_decoder_alone(folder: Path, runs: dict[str, Path]) -> None:
    """What the decoder reads comes from the objective, so no text tells it, and `predict` has nothing to read."""
    recorded = json.loads((runs["spans"] / "inference.json").read_text())
    assert recorded["inputs"] == ["source", "source_mask"]
    assert recorded["continues"]["input"] == "target"
    assert generator("spans", folder, runs)("the cat", Options(5)).tokens
    with pytest.raises(SpecError, match=r"(?s)E0607.*specdl generate"):
        predictor_of_run(compiled(SPANS, folder), runs["spans"])


def test_what_does_not_write_is_refused(folder: Path, runs: dict[str, Path]) -> None:
    with pytest.raises(SpecError, match=r"E0610.*doesn't say what follows"):
        generator("classes", folder, runs)


def test_a_prompt_without_tokens_begins_with_a_new_line_or_is_refused(folder: Path, runs: dict[str, Path]) -> None:
    writer = generator("language", folder, runs)
    assert writer("", Options(5, 0.0)).tokens == writer("\n", Options(5, 0.0)).tokens
    writer = generator("bounded", folder, runs)
    with pytest.raises(SpecError, match="E0564"):
        writer("Ω", Options(5))


def test_what_can_not_be_cut_is_told_and_written_all_the_same(folder: Path, tmp_path: Path) -> None:
    text = LANGUAGE.replace("  - output = gru: 48\n", "  - output = gru: {hidden_size: 24, bidirectional: true}\n")
    text = text.replace("max_steps: 60, validate: {every: 20, unit: step}", "max_steps: 3")
    run(text, folder, tmp_path / "run")
    made = of_run(compiled(text, folder), tmp_path / "run")
    assert not made.cached
    assert made.obstacle is not None
    assert made.obstacle.message == "`gru` reads the sequence from its end too"
    assert made.obstacle.span.line == 8
    assert len(made("the", Options(6)).tokens) == 6


# ---- text as it comes ------------------------------------------------------------------------------------


def parts(reader: _Reader, numbers: list[int]) -> list[str]:
    found = []
    for number in numbers:
        found.append(reader.add(number))
        if reader.stopped:
            return found
    return [*found, reader.rest()]


def test_a_letter_of_several_bytes_waits_for_its_last() -> None:
    tokenizer = Bytes().make(["é"])
    numbers = [tokenizer.vocabulary.size - 256 + byte for byte in "aé€".encode()]
    assert parts(_Reader(tokenizer, ()), numbers) == ["a", "", "é", "", "", "€", ""]
    assert "".join(parts(_Reader(tokenizer, ()), numbers[:-1])) == "aé\ufffd"


def test_a_text_to_stop_at_is_not_written_nor_its_beginning() -> None:
    tokenizer = Characters().make(["abc.\n"])
    numbers = [tokenizer.vocabulary.tokens.index(letter) for letter in "ab.\nc.\n\nabc"]
    assert parts(_Reader(tokenizer, ("\n\n",)), numbers) == ["a", "b", ".", "", "\nc", ".", "", ""]
    assert parts(_Reader(tokenizer, ("c", "x")), numbers) == ["a", "b", ".", "\n", ""]
    assert "".join(parts(_Reader(tokenizer, ("zz",)), numbers)) == "ab.\nc.\n\nabc"
