"""All operators, in one visible tuple."""

from __future__ import annotations

from specdl.ops import (
    activation,
    comparison,
    convolution,
    elementwise,
    embedding,
    linear,
    merge,
    parameter,
    random_ops,
    recurrent,
    reduction,
    shape,
)
from specdl.ops.base import Op

ALL_OPS: tuple[type[Op], ...] = (
    *linear.OPS,
    *convolution.OPS,
    *activation.OPS,
    *embedding.OPS,
    *recurrent.OPS,
    *shape.OPS,
    *merge.OPS,
    *elementwise.OPS,
    *comparison.OPS,
    *reduction.OPS,
    *random_ops.OPS,
    *parameter.OPS,
)
"""Every operator of the language; a new family is added here."""

OPERATORS: dict[str, type[Op]] = {op.operator: op for op in ALL_OPS}
"""Operators by their name in a spec."""
