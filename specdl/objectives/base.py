"""What the declared parts of a training recipe share.

An optimizer, a scheduler or a metric is a pydantic class like an operator: its fields are its arguments in
a spec, so the schema, the reference and the error messages come from one place. None of them imports torch
until it is put to work.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Declared(BaseModel):
    """Base of everything that a spec names and gives arguments: `adamw: {lr: 1e-3}`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True, allow_inf_nan=False)

    name: ClassVar[str]
    """The name in a spec."""
    main: ClassVar[str | None] = None
    """The argument that a scalar sets: `sgd: 0.1`."""
    reference: ClassVar[str] = ""
    """The PyTorch page or the paper that it follows."""

    def given(self) -> dict[str, Any]:
        """The arguments that differ from their defaults."""
        fields = type(self).model_fields
        return {name: getattr(self, name) for name in fields if getattr(self, name) != fields[name].default}


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Listed = BeforeValidator(_as_tuple)
"""Lets a YAML list stand for a tuple, although the classes validate strictly."""

Fraction = Annotated[float, Field(ge=0, lt=1)]
"""A number in [0, 1)."""
Pair = Annotated[tuple[Fraction, Fraction], Listed]
"""Two numbers in [0, 1), such as Adam's betas."""
