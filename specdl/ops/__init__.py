"""All operators, in one visible tuple."""

from __future__ import annotations

from specdl.ops import activation, convolution, linear
from specdl.ops.base import Op

ALL_OPS: tuple[type[Op], ...] = (
    *linear.OPS,
    *convolution.OPS,
    *activation.OPS,
)
"""Every operator of the language; a new family is added here."""

OPERATORS: dict[str, type[Op]] = {op.operator: op for op in ALL_OPS}
"""Operators by their name in a spec."""
