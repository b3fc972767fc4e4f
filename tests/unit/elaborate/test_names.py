"""Names of layers are attributes of PyTorch modules."""

from __future__ import annotations

from torch import nn

from specdl.elaborate.calls import MODULE_ATTRIBUTES
from specdl.ops import OPERATORS


def test_the_attributes_of_a_module_are_known() -> None:
    assert {name for name in dir(nn.Module()) if not name.startswith("__")} <= MODULE_ATTRIBUTES


def test_no_operator_is_called_like_one() -> None:
    assert not MODULE_ATTRIBUTES.intersection(OPERATORS)
