"""Optimizers: the same steps as `torch.optim`'s own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from specdl.objectives.optimizers import OPTIMIZERS, Group, assign, unmatched

CASES = [
    ("sgd", {"lr": 0.1}, torch.optim.SGD, {"lr": 0.1}),
    (
        "sgd",
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4},
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4},
    ),
    (
        "sgd",
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.1},
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.1},
    ),
    ("adam", {}, torch.optim.Adam, {}),
    ("adam", {"betas": [0.5, 0.9], "amsgrad": True}, torch.optim.Adam, {"betas": (0.5, 0.9), "amsgrad": True}),
    ("adamw", {}, torch.optim.AdamW, {}),
    ("adamw", {"lr": 3e-3, "eps": 1e-6}, torch.optim.AdamW, {"lr": 3e-3, "eps": 1e-6}),
    ("rmsprop", {}, torch.optim.RMSprop, {}),
    ("adagrad", {}, torch.optim.Adagrad, {}),
    (
        "adagrad",
        {"lr_decay": 0.1, "initial_accumulator_value": 0.1},
        torch.optim.Adagrad,
        {"lr_decay": 0.1, "initial_accumulator_value": 0.1},
    ),
    ("adafactor", {}, torch.optim.Adafactor, {}),
    (
        "adafactor",
        {"lr": 0.1, "beta2_decay": -0.5, "eps": [1e-10, 1e-2], "d": 2.0, "weight_decay": 0.01},
        torch.optim.Adafactor,
        {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-10, 1e-2), "d": 2.0, "weight_decay": 0.01},
    ),
    (
        "rmsprop",
        {"alpha": 0.9, "centered": True, "momentum": 0.5},
        torch.optim.RMSprop,
        {"alpha": 0.9, "centered": True, "momentum": 0.5},
    ),
]


def steps(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    x = torch.randn((16, 5), generator=torch.Generator().manual_seed(1))
    for _ in range(5):
        optimizer.zero_grad()
        network(x).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize(("name", "arguments", "reference", "keywords"), CASES)
def test_same_weights_as_torch(name: str, arguments: dict[str, Any], reference: Any, keywords: dict[str, Any]) -> None:
    networks = []
    for make in (
        lambda network: OPTIMIZERS[name].model_validate(arguments).make(network.named_parameters()),
        lambda network: reference(network.parameters(), **keywords),
    ):
        torch.manual_seed(0)
        network = nn.Linear(5, 3)
        steps(network, make(network))
        networks.append(network)
    # Fused and plain implementations round differently: a few units in the last place of float32.
    torch.testing.assert_close(networks[0].weight, networks[1].weight, rtol=1e-5, atol=1e-6)


def test_defaults_are_pytorchs() -> None:
    parameters = [nn.Parameter(torch.zeros(1))]
    for optimizer, reference in zip(
        OPTIMIZERS.values(),
        (
            torch.optim.SGD,
            torch.optim.Adam,
            torch.optim.AdamW,
            torch.optim.RMSprop,
            torch.optim.Adagrad,
            torch.optim.Adafactor,
        ),
        strict=True,
    ):
        expected = reference(parameters).defaults
        arguments = optimizer().arguments()
        assert {name: expected[name] for name in arguments} == arguments


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adagrad"])
def test_fused_on_the_cpu(name: str) -> None:
    optimizer = OPTIMIZERS[name].model_validate({}).make(nn.Linear(2, 2).named_parameters())
    assert optimizer.param_groups[0]["fused"] is True


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("sgd", {"nesterov": True}),
        ("sgd", {"lr": -1}),
        ("sgd", {"lr": float("inf")}),
        ("sgd", {"lr": True}),
        ("adam", {"betas": [0.9, 1.0]}),
        ("adam", {"betas": [0.9]}),
        ("adamw", {"momentum": 0.9}),
        ("rmsprop", {"alpha": 1.5}),
    ],
)
def test_arguments_out_of_range_are_refused(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OPTIMIZERS[name].model_validate(arguments)


def test_the_first_matching_group_wins() -> None:
    groups = [Group(match=("*.bias",), weight_decay=0.0), Group(match=("0.*",), lr=0.5)]
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    assert assign(dict(network.named_parameters()), groups) == {
        "0.weight": 1,
        "0.bias": 0,
        "1.weight": None,
        "1.bias": 0,
    }
    optimizer = OPTIMIZERS["adamw"].model_validate({"lr": 0.1}).make(network.named_parameters(), groups)
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert found[id(network[0].weight)] == (0.5, 0.01)
    assert found[id(network[0].bias)] == found[id(network[1].bias)] == (0.1, 0.0)
    assert found[id(network[1].weight)] == (0.1, 0.01)


def test_a_pattern_that_fits_nothing_is_found() -> None:
    groups = [Group(match=("*.bias", "*.wieght"), lr=0.0)]
    assert unmatched(["0.weight", "0.bias"], groups) == [(0, "*.wieght")]


def test_frozen_parameters_are_left_out() -> None:
    network = nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    optimizer = OPTIMIZERS["sgd"]().make(network.named_parameters())
    assert [parameter is network.weight for parameter in optimizer.param_groups[0]["params"]] == [True]
