"""Operators that exist in training steps alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from specdl.ir.types import TensorType
from specdl.ops.base import Family, Op, TypeRuleError, require_floating
from specdl.ops.text import postfix


class Gradient(Op):
    """The gradient of the sum of y with respect to x, itself differentiable: a gradient penalty is made of it.

    Shapes: y of any shape, x of any shape; the result has the shape of x. In the rows of a batch that don't mix, it
    is each example's own gradient.
    """

    operator: ClassVar[str] = "gradient"
    family: ClassVar[Family] = "reduction"
    inputs: ClassVar[tuple[str, ...]] = ("y", "x")
    reference: ClassVar[str] = "https://docs.pytorch.org/docs/stable/generated/torch.autograd.grad.html"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        for position, type in enumerate(types):
            if not type.floating:
                raise TypeRuleError(f"expects floating-point numbers, got {type}", input=position)
        return (types[1],)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        y, x = arguments
        total = y if not types[0].rank else f"{postfix(y)}.sum()"
        return f"torch.autograd.grad({total}, {x}, create_graph=True)[0]"


class Differentiable(Op):
    """x as a value that a `gradient` can be taken with respect to. The compiler puts it where that is needed."""

    operator: ClassVar[str] = "differentiable"
    family: ClassVar[Family] = "elementwise"

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        require_floating(types[0])
        return (types[0],)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        # A view, so that a batch's own field isn't changed for the steps behind this one.
        return f"{postfix(arguments[0])}.view_as({arguments[0]}).requires_grad_()"


STEP_OPS: dict[str, type[Op]] = {Gradient.operator: Gradient}
"""Operators of steps by their name in a spec."""
