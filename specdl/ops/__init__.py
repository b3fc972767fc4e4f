"""All operators, in one visible tuple."""

from __future__ import annotations

from specdl.ops import (
    activation,
    comparison,
    convolution,
    dropout,
    elementwise,
    embedding,
    linear,
    merge,
    normalization,
    parameter,
    pooling,
    random_ops,
    recurrent,
    reduction,
    shape,
    upsampling,
)
from specdl.ops.base import Op

ALL_OPS: tuple[type[Op], ...] = (
    *linear.OPS,
    *convolution.OPS,
    *pooling.OPS,
    *normalization.OPS,
    *activation.OPS,
    *dropout.OPS,
    *embedding.OPS,
    *recurrent.OPS,
    *shape.OPS,
    *upsampling.OPS,
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
