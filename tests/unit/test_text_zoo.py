"""The recurrent, convolutional and word-vector specs of the zoo, against the same written by hand in PyTorch."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from specdl.api import Model, load
from specdl.training.scoring import total_loss
from tests.conftest import ROOT, SPECS

TEXT = SPECS / "text"

TOLERANCE = 1e-5
"""The same float32 sums, in another order."""


def spec(name: str, variant: str | None = None, **params: Any) -> Model:
    return load(TEXT / f"{name}.yaml", variant, {f"params.{key}": value for key, value in params.items()})


def tokens(*shape: int, vocabulary: int) -> torch.Tensor:
    return torch.randint(1, vocabulary, shape, generator=torch.Generator().manual_seed(0))


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=TOLERANCE, rtol=TOLERANCE)


def loss_of(model: Model, module: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """What training minimises on a batch: the terms with their weights."""
    (step,) = model.program.steps
    terms, _ = model.step_functions()[step.name]({"model": module}, batch)
    loss = total_loss(step)(terms)
    assert loss is not None
    return loss


class RNNModel(nn.Module):
    """The model of PyTorch's example `word_language_model`, batch first."""

    def __init__(self, cell: Any, vocabulary: int, width: int, layers: int) -> None:
        super().__init__()
        self.encoder = nn.Embedding(vocabulary, width)
        self.rnn = cell(width, width, layers, batch_first=True)
        self.decoder = nn.Linear(width, vocabulary)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.decoder(self.rnn(self.encoder(tokens))[0])
        return logits


@pytest.mark.parametrize(("variant", "cell"), [("lstm", nn.LSTM), ("gru", nn.GRU)])
def test_lstm_lm_is_pytorchs_word_language_model(variant: str, cell: Any) -> None:
    model = spec("lstm_lm", variant, vocabulary=40, width=12)
    module, reference = model.module().eval(), RNNModel(cell, 40, 12, 2)
    reference.load_state_dict(module.state_dict())
    x = tokens(3, 7, vocabulary=40)
    close(module(x), reference(x))


@pytest.mark.parametrize(("variant", "width"), [("lstm", 200), ("medium", 650), ("large", 1500)])
def test_lstm_lm_counts(variant: str, width: int) -> None:
    cell = 4 * (width * width + width * width + 2 * width)
    assert spec("lstm_lm", variant).parameters == 2 * 10000 * width + 10000 + 2 * cell
    assert spec("lstm_lm", variant, tied=True).parameters == 10000 * width + 10000 + 2 * cell


@pytest.mark.parametrize(("variant", "cell"), [("lstm", nn.LSTM), ("gru", nn.GRU)])
def test_sms_lstm_stops_at_each_texts_end(variant: str, cell: Any) -> None:
    module = spec("sms_lstm", variant, vocabulary=30, width=8, hidden=6).module().eval()
    embedding, rnn, head = nn.Embedding(30, 8), cell(8, 6, batch_first=True, bidirectional=True), nn.Linear(12, 2)
    keys = {"embedding": embedding, variant: rnn, "logits": head}
    nn.ModuleDict(keys).load_state_dict(module.state_dict())
    x, lengths = tokens(3, 7, vocabulary=30), torch.tensor([7, 2, 5])
    packed = pack_padded_sequence(embedding(x), lengths, batch_first=True, enforce_sorted=False)
    states = rnn(packed)[1]
    last = states[0] if variant == "lstm" else states
    close(module(x, lengths), head(torch.cat([last[0], last[1]], dim=1)))


def test_text_cnn_takes_the_largest_of_each_window() -> None:
    model = spec("text_cnn", vocabulary=30, width=8, channels=5)
    module = model.module().eval()
    weights = module.state_dict()
    x = tokens(3, 7, vocabulary=30)
    words = functional.embedding(x, weights["embedding.weight"]).transpose(1, 2)
    found = []
    for at, window in enumerate((3, 4, 5)):
        weight, bias = weights[f"convs.{at}.conv1d.weight"], weights[f"convs.{at}.conv1d.bias"]
        assert weight.shape == (5, 8, window)
        padded = functional.pad(words, (window, window))
        scores = [
            functional.relu((padded[:, None, :, place : place + window] * weight).sum((2, 3)) + bias)
            for place in range(padded.shape[2] - window + 1)
        ]
        found.append(torch.stack(scores).amax(0))
    close(module(x), torch.cat(found, dim=1) @ weights["logits.weight"].T + weights["logits.bias"])


def test_text_cnn_doesnt_see_how_far_a_batch_is_padded() -> None:
    module = spec("text_cnn", vocabulary=30, width=8, channels=5).module().eval()
    for length in (1, 2, 6):
        x = tokens(4, length, vocabulary=30)
        for more in (1, 9):
            close(module(functional.pad(x, (0, more))), module(x))


def test_text_cnn_counts() -> None:
    words, windows = 6000 * 300, (3 + 4 + 5) * 300 * 100 + 3 * 100
    assert spec("text_cnn").parameters == words + windows + 300 * 2 + 2


def with_random_tables(model: Model) -> nn.Module:
    """Tables that aren't zero, as one of word2vec's is to begin with."""
    module, generator = model.module(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


def negative_sampling(inner: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """-log σ(u·v) of what is meant (the first), - Σ log σ(-u·v) of what was drawn; formula 4 of Mikolov and others."""
    losses = []
    for vector, others in zip(inner, outputs, strict=True):
        scores = others @ vector
        losses.append(-torch.log(torch.sigmoid(scores[0])) - torch.log(torch.sigmoid(-scores[1:])).sum())
    return torch.stack(losses).mean()


LABEL = torch.tensor([[1.0, 0, 0, 0]]).expand(5, -1)


def test_word2vec_loss_is_the_papers() -> None:
    model = spec("word2vec", vocabulary=30, width=6, negatives=3)
    module = with_random_tables(model)
    assert model.parameters == 2 * 30 * 6
    word, context = tokens(5, vocabulary=30), tokens(5, 4, vocabulary=30)
    vectors, outputs = module.state_dict()["vector.weight"], module.state_dict()["output.weight"]
    found = loss_of(model, module, {"word": word, "context": context, "label": LABEL})
    close(found, negative_sampling(vectors[word], outputs[context]))


def test_cbow_loss_is_that_of_the_mean_of_the_neighbours() -> None:
    model = spec("word2vec_cbow", vocabulary=30, width=6, negatives=3)
    module = with_random_tables(model)
    word, context = tokens(5, 4, vocabulary=30), tokens(5, 8, vocabulary=30)
    context[0, 3:] = 0  # padding
    vectors, outputs = module.state_dict()["vector.weight"], module.state_dict()["output.weight"]
    means = torch.stack([vectors[row[row != 0]].mean(0) for row in context])
    real = {"context_mask": context != 0, "context_length": (context != 0).sum(1)}
    batch = {"word": word, "context": context, "label": LABEL, **real}
    close(loss_of(model, module, batch), negative_sampling(means, outputs[word]))


def test_glove_loss_is_the_papers() -> None:
    model = spec("glove", vocabulary=30, width=6)
    module = with_random_tables(model)
    assert model.parameters == 2 * 30 * (6 + 1)
    word, context = tokens(5, vocabulary=30), tokens(5, vocabulary=30).flip(0)
    count = torch.tensor([0.5, 3, 99, 100, 1000])
    weights = {name: value.double() for name, value in module.state_dict().items()}
    wanted = 0.0
    for i, j, x in zip(word.tolist(), context.tolist(), count.tolist(), strict=True):
        share = (x / 100) ** 0.75 if x < 100 else 1.0
        product = weights["vector.weight"][i] @ weights["output.weight"][j]
        biases = weights["vector_bias.weight"][i] + weights["output_bias.weight"][j]
        wanted += share * float(product + biases - torch.tensor(x, dtype=torch.float64).log()) ** 2
    found = loss_of(model, module, {"word": word, "context": context, "count": count})
    close(found.detach(), torch.tensor(wanted / 5))


def nanogpt() -> ModuleType:
    description = importlib.util.spec_from_file_location("nanogpt", ROOT / "docs" / "tutorials" / "nanogpt.py")
    assert description is not None
    assert description.loader is not None
    module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    return module


NAMES = {"wte.": "tok.", "wpe.": "pos.", "lm_head.": "logits."}


def as_ours(name: str) -> str:
    """A key of nanoGPT's model as the spec has it, where the two layers of a feed-forward are a block."""
    if name.startswith("h.") and ".attn." not in name:
        name = name.replace(".c_", ".mlp.c_")
    for theirs, ours in NAMES.items():
        name = name.replace(theirs, ours)
    return name


def test_char_gpt_is_nanogpts_model() -> None:
    reference = nanogpt().GPT(65)
    model = spec("char_gpt", vocabulary=65)
    module = model.module()
    assert model.parameters == sum(parameter.numel() for parameter in reference.parameters()) == 804_096
    module.load_state_dict({as_ours(name): value for name, value in reference.state_dict().items()})
    x = tokens(3, 64, vocabulary=65)
    close(module(x), reference(x))
    close(module(x[:, :9]), reference(x)[:, :9])  # nothing of what follows is seen
    label = tokens(3, 64, vocabulary=65).roll(1, dims=1)
    loss_of(model, module, {"tokens": x, "label": label}).backward()  # type: ignore[no-untyped-call]
    functional.cross_entropy(reference(x).flatten(0, 1), label.flatten()).backward()  # type: ignore[no-untyped-call]
    ours = dict(module.named_parameters())
    for name, parameter in reference.named_parameters():
        found, wanted = ours[as_ours(name)].grad, parameter.grad
        assert found is not None
        assert wanted is not None
        close(found, wanted)


def test_char_gpt_begins_as_nanogpt_does() -> None:
    torch.manual_seed(0)
    deviations = {name: value.std().item() for name, value in spec("char_gpt").module().state_dict().items()}
    # 0.02, and 0.02 / √8 where a layer ends in a sum; a deviation of 16,384 numbers is within 2 %.
    for name, wanted in (
        ("tok", 0.02),
        ("h.0.attn.c_attn", 0.02),
        ("h.3.attn.c_proj", 0.00707),
        ("h.3.mlp.c_proj", 0.00707),
    ):
        assert deviations[f"{name}.weight"] == pytest.approx(wanted, rel=0.03)


@pytest.mark.parametrize("name", ["lstm_lm", "sms_lstm", "text_cnn", "word2vec", "word2vec_cbow", "glove"])
def test_onnx_is_equal(name: str, tmp_path: Path) -> None:
    assert spec(name, vocabulary=50).export_onnx(tmp_path / "model.onnx").verified
