"""Brings two values together, of which only the run tells which one exists: `mask` was given, or it wasn't.

No spec calls it: the elaborator adds it behind entries whose `when` asks for an optional input of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from specdl.ir.types import TensorType
from specdl.ops.base import Family, Op


class Choose(Op):
    """One value where an optional input is given, another where it isn't; both have the same type."""

    operator: ClassVar[str] = "choose"
    family: ClassVar[Family] = "merge"
    inputs: ClassVar[tuple[str, ...]] = ("condition", "value", "otherwise")
    may_be_absent: ClassVar[tuple[str, ...]] = ("condition", "value", "otherwise")
    counted: ClassVar[bool] = False

    present: bool = Field(default=True, description="Whether `value` is for the input that is given, or for none.")

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        return (types[1],)

    def torch_function(self, arguments: Sequence[str], *types: TensorType) -> str | None:
        condition, value, otherwise = arguments
        return f"{value} if {condition} is {'not ' if self.present else ''}None else {otherwise}"


OPS: tuple[type[Op], ...] = (Choose,)
