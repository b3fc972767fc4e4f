"""Arrays in a file of NumPy's."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field

from specdl.data.examples import Records, Stacked
from specdl.data.fields import Fields, FieldSpec, known_names
from specdl.data.paths import FilePath
from specdl.data.sources.base import Source
from specdl.data.sources.parts import positions
from specdl.data.sources.problems import missing, unusable
from specdl.data.sources.values import class_indices
from specdl.diagnostics import did_you_mean
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError


class Npz(Source):
    """Arrays with the examples on their first axis; `fields` says which array (`column`) makes what.

    Bytes become brightness in [0, 1] where the field is a floating-point image `[C, H, W]`, and images that end in
    their channels are turned. An int64 `[]` may be an array of words: the names of classes. Arrays of Python
    objects are refused, since reading them would run what the file says.
    """

    name: ClassVar[str] = "npz"
    main: ClassVar[str | None] = "file"
    reference: ClassVar[str] = "https://numpy.org/doc/stable/reference/generated/numpy.savez.html"

    file: FilePath = Field(description="The file, as `numpy.savez` writes it.")

    def with_fields(self, wanted: Fields) -> Self:
        if not wanted:
            help = "e.g. `fields: {image: [1, 28, 28], label: {shape: [], dtype: int64, column: y}}`"
            raise TypeRuleError(f"`{self.name}` needs `fields`: what its arrays are", help=help)
        for name, field in wanted.items():
            if any(isinstance(size, str) for size in field.shape):
                help = "an array has examples of one size: write it as numbers"
                raise TypeRuleError(f"`{name}` is {field.type}, of any size", argument=name, help=help)
            if isinstance(field.column, tuple):
                raise TypeRuleError(f"`{name}` comes from one array, not from several", argument=name)
        return self._with(wanted)

    def with_parts(self, column: str) -> Self:
        copy = self.model_copy()
        copy._part_column = column
        return copy

    def fields(self) -> Mapping[str, TensorType]:
        return {name: field.type for name, field in self._wanted.items()}

    def classes(self, field: str) -> tuple[str, ...] | None:
        return known_names(self._wanted.get(field))

    def load(self) -> Stacked | Records:
        import numpy as np

        try:
            with np.load(self.file, allow_pickle=False) as arrays:
                if not isinstance(arrays, np.lib.npyio.NpzFile):
                    raise unusable(f"`{self.file}` is one array; `numpy.savez` names several")
                return self._stack(arrays)
        except FileNotFoundError as error:
            raise missing(self.file, "file") from error
        except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise unusable(f"`{self.file}` can't be read as `numpy.savez` writes it: {error}") from error

    def _stack(self, arrays: Any) -> Stacked:
        tensors: dict[str, Any] = {}
        classes: dict[str, tuple[str, ...]] = {}
        for name, field in self._wanted.items():
            array = self._array(arrays, str(field.column or name))
            where = f"the array `{field.column or name}` of `{self.file}`"
            if field.is_class and array.ndim == 1 and array.dtype.kind in "US":
                words = [item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in array]
                tensors[name], names = class_indices(words, field, where, "entry")
                if names is not None:
                    classes[name] = names
            else:
                tensors[name] = _tensor(array, field, where)
        counts = {name: len(tensor) for name, tensor in tensors.items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{count} of `{name}`" for name, count in counts.items())
            raise unusable(f"`{self.file}` has not as many examples in each array: {told}")
        if not all(counts.values()):
            raise unusable(f"`{self.file}` has no examples")
        parts = None
        if self._part_column is not None:
            parts = positions([str(word) for word in self._array(arrays, self._part_column)], self._part_column)
        return Stacked(tensors, parts, classes)

    def _array(self, arrays: Any, name: str) -> Any:
        if name not in arrays.files:
            known = ", ".join(f"`{item}`" for item in arrays.files[:12])
            help = did_you_mean(name, arrays.files) or f"it has {known}"
            raise unusable(f"`{self.file}` has no array `{name}`", help)
        return arrays[name]


def _tensor(array: Any, field: FieldSpec, where: str) -> Any:
    """An array as a field. Raises `SpecError` where that would have to be guessed."""
    import numpy as np
    import torch

    shape = field.shape
    if array.dtype.kind not in "biuf":
        raise unusable(f"{where} holds {array.dtype}, which are no numbers")
    if tuple(array.shape[1:]) != shape and len(shape) == 3:
        if tuple(array.shape[1:]) == (*shape[1:], shape[0]):
            array = np.moveaxis(array, -1, 1)
        elif shape[0] == 1 and tuple(array.shape[1:]) == shape[1:]:
            array = array[:, None]
    if tuple(array.shape[1:]) != shape:
        raise unusable(f"{where} has examples of {list(array.shape[1:])}, the field is {list(shape)}")
    if array.dtype.kind == "f" and not field.type.floating:
        raise unusable(f"{where} holds {array.dtype}, the field is {field.dtype}")
    scale = 1.0
    if field.type.floating and len(shape) == 3 and array.dtype.kind == "u":
        scale = float(np.iinfo(array.dtype).max)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise unusable(f"{where} has numbers that are NaN or infinite")
    limits = None if field.type.floating or field.dtype == "bool" else torch.iinfo(getattr(torch, field.dtype))
    if limits is not None and array.size and (int(array.min()) < limits.min or int(array.max()) > limits.max):
        raise unusable(f"{where} has numbers that {field.dtype} can't hold")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
    tensor = torch.from_numpy(native.copy()).to(getattr(torch, field.dtype))
    return tensor if scale == 1.0 else tensor / scale


__all__ = ["Npz"]
