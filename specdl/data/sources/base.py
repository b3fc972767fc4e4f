"""What a source of examples declares: its fields as types, so a spec is checked before any data is read.

`load` gives the examples stacked, as tensors in memory, or one by one; see examples.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import PrivateAttr

from specdl.data.examples import Records, Stacked
from specdl.data.fields import Fields, known_names, real_names
from specdl.diagnostics import Diagnostic, SpecError
from specdl.ir.types import TensorType
from specdl.objectives.base import Declared
from specdl.ops.base import TypeRuleError


@dataclass(frozen=True, slots=True)
class DefaultSplit:
    """The shares that are held out where the spec says nothing."""

    validation: float
    test: float = 0.0
    stratify: str | None = None
    seed: int = 0


class Source(Declared):
    """Base of the sources of examples."""

    default_split: ClassVar[DefaultSplit] = DefaultSplit(validation=0.1)

    _wanted: Fields = PrivateAttr(default_factory=dict)
    _part_column: str | None = PrivateAttr(default=None)

    def with_fields(self, wanted: Fields) -> Self:
        """The source with the fields that the spec declares.

        Raises `TypeRuleError` (its `argument` is the field) for what the source can't give.
        """
        for name in wanted:
            raise TypeRuleError(f"`{self.name}` knows its fields by itself", argument=name, help="leave `fields` out")
        return self._with(wanted)

    @property
    def wanted(self) -> Fields:
        """The fields that the spec declares."""
        return self._wanted

    def _with(self, wanted: Fields) -> Self:
        copy = self.model_copy()
        copy._wanted = wanted
        return copy

    def with_parts(self, column: str) -> Self:
        """The source with the column that says which part an example belongs to. Raises `TypeRuleError`."""
        raise TypeRuleError(f"`{self.name}` has no columns", help="`validation` and `test` hold out shares")

    def with_shares(self, shares: Mapping[str, float]) -> Self:
        """The source with the shares that are to be held out, for one that divides its examples itself."""
        return self

    def fields(self) -> Mapping[str, TensorType]:
        """The fields of a batch, before transforms."""
        raise NotImplementedError

    def classes(self, field: str) -> tuple[str, ...] | None:
        """The names of the classes that an integer field counts, as far as they are known without the data.

        None for a field that is no class, and where only the data tells; see `Stacked.classes`.
        """
        return None

    def real_classes(self, field: str) -> tuple[str, ...] | None:
        """The same with their real names, which for a named list (ImageNet's) takes another package."""
        return real_names(self._wanted[field]) if field in self._wanted else self.classes(field)

    def load(self) -> Stacked | Records:
        """The examples: in memory, or to be decoded one by one."""
        raise NotImplementedError


class Described(Source):
    """No source: `fields` only says what an example is, for a network that is used and not trained."""

    name: ClassVar[str] = "described"

    def with_fields(self, wanted: Fields) -> Self:
        return self._with(wanted)

    def fields(self) -> Mapping[str, TensorType]:
        return {name: field.type for name, field in self._wanted.items()}

    def classes(self, field: str) -> tuple[str, ...] | None:
        return known_names(self._wanted.get(field))

    def load(self) -> Stacked | Records:
        help = "e.g. `data: {source: {image_folder: photos}}`"
        raise SpecError([Diagnostic("E0507", "`data` has no `source` to take examples from", help=help)])
