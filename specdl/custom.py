"""Layers of the user's own, in Python files beside a spec: only with the user's explicit permission.

A spec can't grant it. `allowing` is entered by `--allow-python` and by `load(..., allow_python=True)`; outside of it no
file is read. What a layer makes of its inputs is found by running it on PyTorch's meta device, which computes nothing.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from specdl.ir.dims import Dim, evaluate, symbol, symbols_of
from specdl.ir.types import DTYPES, TensorType

if TYPE_CHECKING:
    from specdl.ops.base import Weight

_ALLOWED: ContextVar[bool] = ContextVar("specdl_allow_python", default=False)

_PROBE, _STEP = 6, 7
"""A size that stands for a symbol while a layer is run, and by how much it is larger in the next run."""


class CustomError(Exception):
    """A custom layer can't be used: `code` says why."""

    def __init__(self, code: str, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.help = code, message, help


@contextmanager
def allowing(allowed: bool = True) -> Iterator[None]:
    """Within it, specs may use Python files that lie beside them."""
    token = _ALLOWED.set(allowed or _ALLOWED.get())
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def allowed() -> bool:
    """Whether the user has allowed it."""
    return _ALLOWED.get()


@dataclass(frozen=True, slots=True)
class Facts:
    """What a layer makes of some inputs, and the tensors that it owns."""

    outputs: tuple[TensorType, ...]
    weights: tuple[Weight, ...]


def split(layer: str) -> tuple[str, str]:
    """The module and the class of `my_layers.Swish2`."""
    module, _, name = layer.rpartition(".")
    return module, name


def python_file(folder: Path, module: str) -> Path:
    """The file of a module beside a spec. Raises `CustomError` where there is none, or where it lies elsewhere."""
    path = folder.joinpath(*module.split(".")).with_suffix(".py")
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(os.path.realpath(folder)):
        raise CustomError("E0903", f"`{module}` leads out of the spec's folder")
    if not real.is_file():
        raise CustomError("E0903", f"there is no file `{path.name}` beside the spec", f"put the class into `{path}`")
    return real


@lru_cache(maxsize=64)
def _module(path: Path, name: str, changed: int) -> ModuleType:
    """A module from its file; `changed` tells versions of the file apart."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise CustomError("E0904", f"`{path.name}` can't be imported: {_reason(error)}") from error
    return module


def load_module(folder: Path, name: str) -> ModuleType:
    """A module beside a spec, executed. Raises `CustomError`."""
    path = python_file(folder, name)
    return _module(path, name, path.stat().st_mtime_ns)


def load_class(folder: Path, layer: str) -> type:
    """The class of a layer. Raises `CustomError` where it is no `nn.Module`."""
    from torch import nn

    module, name = split(layer)
    found = getattr(load_module(folder, module), name, None)
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        what = "is no `nn.Module`" if found is not None else f"isn't in `{module.replace('.', '/')}.py`"
        raise CustomError("E0903", f"`{name}` {what}")
    return found


@contextmanager
def importable(folder: Path | None, layers: Sequence[str]) -> Iterator[None]:
    """Within it, the source that `eject` writes can import the modules of these layers by their names.

    Raises `CustomError` without the user's permission (no `folder`).
    """
    names = {split(layer)[0] for layer in layers}
    if names and folder is None:
        raise CustomError("E0901", f"this spec runs Python of its own: {', '.join(f'`{name}.py`' for name in names)}")
    before = {name: sys.modules.get(name) for name in names}
    try:
        for name in names:
            assert folder is not None
            sys.modules[name] = load_module(folder, name)
        yield
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def facts(folder: Path, layer: str, arguments: Mapping[str, Any], types: tuple[TensorType, ...]) -> Facts:
    """What a layer makes of inputs of these types, found on the meta device. Raises `CustomError`."""
    import torch

    from specdl.ops.base import Weight

    cls = load_class(folder, layer)
    name = split(layer)[1]
    with torch.device("meta"):
        try:
            module = cls(**arguments).eval()
        except Exception as error:
            raise CustomError("E0905", f"`{name}` can't be made: {_reason(error)}") from error
    buffers = {key for key, _ in module.named_buffers()}
    weights = tuple(
        Weight(key, tuple(value.shape), _dtype(value), key in buffers) for key, value in module.state_dict().items()
    )
    symbols = sorted(symbols_of(dim for type in types for dim in type.shape))
    probes = [dict.fromkeys(symbols, _PROBE)]
    probes += [{**probes[0], chosen: _PROBE + _STEP} for chosen in symbols]
    probes.append(dict.fromkeys(symbols, _PROBE + 2 * _STEP))  # shows what isn't linear, and products of sizes
    *runs, last = [_run(module, name, types, sizes) for sizes in probes]
    outputs = tuple(_type(name, symbols, [run[index] for run in runs]) for index in range(len(runs[0])))
    for output, run in zip(outputs, last, strict=True):
        found = tuple(int(str(evaluate(dim, probes[-1]))) for dim in output.shape)
        if found != tuple(run.shape):
            axis = next(index for index, pair in enumerate(zip(found, run.shape, strict=True)) if pair[0] != pair[1])
            raise _untold(name, axis)
    return Facts(outputs, weights)


def _run(module: Any, name: str, types: Sequence[TensorType], sizes: Mapping[str, Dim]) -> list[Any]:
    import torch

    inputs = [
        torch.empty(
            [int(str(evaluate(dim, sizes))) for dim in type.shape], dtype=getattr(torch, type.dtype), device="meta"
        )
        for type in types
    ]
    try:
        with torch.no_grad(), torch.device("meta"):
            found = module(*inputs)
    except Exception as error:
        taken = ", ".join(map(str, types))
        raise CustomError("E0905", f"`{name}` can't take {taken}: {_reason(error)}") from error
    outputs = list(found) if isinstance(found, (tuple, list)) else [found]
    if not outputs or not all(isinstance(item, torch.Tensor) for item in outputs):
        raise CustomError("E0905", f"`{name}` gives something else than tensors")
    return outputs


def _type(name: str, symbols: Sequence[str], runs: Sequence[Any]) -> TensorType:
    """The type of an output, each size as a sum of multiples of the symbols."""
    base = runs[0]
    shape: list[Dim] = []
    for axis, size in enumerate(base.shape):
        grown = [run.shape[axis] - size if run.dim() == base.dim() else None for run in runs[1:]]
        if any(item is None or item % _STEP for item in grown):
            raise _untold(name, axis)
        factors = [int(item or 0) // _STEP for item in grown]
        made: Dim = int(size) - sum(factor * _PROBE for factor in factors)
        for factor, atom in zip(factors, symbols, strict=True):
            made = made + factor * symbol(atom)
        shape.append(made)
    return TensorType(tuple(shape), _dtype(base))


def _untold(name: str, axis: int) -> CustomError:
    help = "declare it: `output: [64, 8, 8]`, without the batch"
    return CustomError("E0905", f"the size of axis {axis} of what `{name}` gives can't be told", help)


def _dtype(tensor: Any) -> Any:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise CustomError("E0905", f"tensors of {dtype} are not part of the language")
    return dtype


def _reason(error: BaseException) -> str:
    """What went wrong, and in which line of the user's file."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
    traceback, place = error.__traceback__, ""
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if file.endswith(".py") and "site-packages" not in file and "specdl" not in Path(file).parts[-2:]:
            place = f" ({Path(file).name}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    return text + place


__all__ = ["CustomError", "Facts", "allowed", "allowing", "facts", "importable", "load_class", "python_file", "split"]
