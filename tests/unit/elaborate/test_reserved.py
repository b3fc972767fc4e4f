"""The names that PyTorch's modules keep for themselves."""

from __future__ import annotations

import keyword
from pathlib import Path

import pytest
import torch
from torch import nn

from specdl.diagnostics import SpecError
from specdl.elaborate.reserved import CONTAINER_ATTRIBUTES, MODULE_ATTRIBUTES, why_reserved
from specdl.ops import OPERATORS
from tests.conftest import compiled


def own(module: nn.Module) -> set[str]:
    return {name for name in dir(module) if not name.startswith("__")}


def test_the_list_has_all_attributes_of_a_module() -> None:
    # A newer PyTorch may have more: add them to the list. One that an older PyTorch lacks may stay.
    assert own(nn.Module()) <= MODULE_ATTRIBUTES
    containers = own(nn.Sequential()) | own(nn.ModuleDict())
    assert containers - own(nn.Module()) == CONTAINER_ATTRIBUTES
    assert all(name.isidentifier() for name in MODULE_ATTRIBUTES | CONTAINER_ATTRIBUTES)


def test_no_operators_own_name_is_reserved() -> None:
    assert not [name for name in OPERATORS if why_reserved(name, counted=True)]


@pytest.mark.parametrize(
    "name",
    sorted(name for name in MODULE_ATTRIBUTES - {"training"} if not name.startswith("_") and hasattr(nn.Module, name)),
)
def test_pytorch_gives_the_attribute_instead_of_the_layer(name: str) -> None:
    network, layer = nn.Module(), nn.Linear(2, 2)
    setattr(network, name, layer)  # it takes the name without a word
    assert getattr(network, name) is not layer


@pytest.mark.parametrize(
    "layer",
    ["half = compute: 2 * x", "type = add(x, x)", "float = cast: float64", "to = compute: x[:, 0]"],
)
def test_a_value_that_is_no_module_may_have_such_a_name(layer: str) -> None:
    compiled(f"inputs: {{x: [4]}}\nlayers:\n  - linear: 4\n  - {layer}\n").module()(torch.zeros(2, 4))


@pytest.mark.parametrize("name", ["append", "pop", "keys", "values", "items", "update"])
def test_names_of_containers_are_free_outside_them(name: str) -> None:
    module = compiled(f"inputs: {{x: [4]}}\nlayers:\n  - {name} = linear: 4\n").module()
    assert set(module.state_dict()) == {f"{name}.weight", f"{name}.bias"}
    module(torch.zeros(2, 4))


@pytest.mark.parametrize("name", sorted({*keyword.kwlist, *keyword.softkwlist} - {"_"}))
def test_keywords_of_python_are_names_like_others(name: str, tmp_path: Path) -> None:
    model = compiled(
        f"inputs: {{{name}: [4]}}\noutputs: {{{name}: last}}\n"
        f"layers:\n  - {name} = linear: 4\n  - body = sequence:\n      - {name} = linear: 4\n      - relu\n"
        "  - last = linear: 2\n"
    )
    assert f"{name}.weight" in model.module().state_dict()
    assert f"body.{name}.weight" in model.module().state_dict()
    assert model.export_onnx(tmp_path / "m.onnx").verified


def test_a_layer_named_by_an_expression_is_checked_too() -> None:
    with pytest.raises(SpecError, match="`train` is an attribute of every PyTorch module"):
        compiled("params: {end: ain}\ninputs: {x: [4]}\nlayers:\n  - tr$end = linear: 4\n")
