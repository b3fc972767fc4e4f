"""Reads files of weights: safetensors (only the header, for a plan) and PyTorch's, without running anything in them.

`load: FILE` may also name an index of shards as Hugging Face writes it, a list of shards, or the folder of a run.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from specdl.diagnostics import Diagnostic, SpecError
from specdl.weights.rules import TensorInfo

if TYPE_CHECKING:
    import torch

MAX_HEADER = 100 * 1024 * 1024
"""What safetensors itself allows."""

_SAFETENSORS = ".safetensors"
_TORCH = (".pt", ".pth", ".bin", ".ckpt")
_INDEX = ".index.json"
_DTYPES = {
    "F64": ("float64", 8), "F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2),
    "I64": ("int64", 8), "I32": ("int32", 4), "I16": ("int16", 2), "I8": ("int8", 1), "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}  # fmt: skip
_NESTED = ("state_dict", "model_state_dict", "model")
"""Where training programs keep the `state_dict` in what they save."""


def find_files(path: Path) -> tuple[Path, ...]:
    """The files that a path stands for: itself, the shards of an index, or the best weights of a run's folder.

    Raises `SpecError` where there are none.
    """
    if path.is_dir():
        for name in ("best", "last"):
            found = path / "checkpoints" / name / "model.safetensors"
            if found.is_file():
                return (found,)
        for name in ("model.safetensors", f"model.safetensors{_INDEX}", "pytorch_model.bin"):
            if (path / name).is_file():
                return find_files(path / name)
        raise _wrong("E0920", f"`{path}` holds no weights", "name a file, or the folder of a run")
    if not path.exists():
        raise _wrong("E0920", f"there is no file `{path}`", _similar(path))
    if path.name.endswith(_INDEX):
        try:
            shards = json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()
            return tuple(path.parent / Path(name).name for name in dict.fromkeys(shards))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _wrong("E0921", f"`{path}` is no index of shards: {_reason(error)}") from error
    return (path,)


def _similar(path: Path) -> str | None:
    from specdl.diagnostics import did_you_mean

    try:
        return did_you_mean(path.name, [item.name for item in path.parent.iterdir()])
    except OSError:
        return None


def read_infos(files: Sequence[Path]) -> dict[str, TensorInfo]:
    """Names, shapes and dtypes of the tensors in some files. Raises `SpecError` for a damaged file."""
    found: dict[str, TensorInfo] = {}
    for path in files:
        if path.suffix == _SAFETENSORS:
            found |= _header(path)
        else:
            found |= {
                name: TensorInfo(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
                for name, tensor in _read_torch(path).items()
            }
    return found


def read_tensors(files: Sequence[Path]) -> dict[str, torch.Tensor]:
    """All tensors of some files, on the CPU. Raises `SpecError` for a damaged file."""
    found: dict[str, torch.Tensor] = {}
    for path in files:
        found |= _read_safetensors(path) if path.suffix == _SAFETENSORS else _read_torch(path)
    return found


def _header(path: Path) -> dict[str, TensorInfo]:
    """The header of a safetensors file, checked against the file's size."""
    with _explained(path):
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            if len(start) < 8:
                raise ValueError("it is cut off")
            (length,) = struct.unpack("<Q", start)
            if length > min(MAX_HEADER, size - 8):
                raise ValueError("it is cut off, or no safetensors file")
            header = json.loads(file.read(length))
        if not isinstance(header, dict):
            raise ValueError("its header is no mapping")
        notes = header.pop("__metadata__", None)
        found: dict[str, TensorInfo] = {}
        for name, item in header.items():
            dtype, width = _DTYPES[item["dtype"]]
            shape, (begin, end) = tuple(item["shape"]), item["data_offsets"]
            whole = all(isinstance(number, int) and number >= 0 for number in (*shape, begin, end))
            if not whole or end - begin != math.prod(shape) * width or 8 + length + end > size:
                raise ValueError(f"`{name}` is cut off")
            found[name] = TensorInfo(shape, dtype)
        aliases = json.loads(notes.get("aliases", "{}")) if isinstance(notes, dict) else {}
        return {**found, **{alias: found[name] for alias, name in aliases.items() if name in found}}


def _aliases(path: Path) -> dict[str, str]:
    """The names in a run's file under which another tensor is stored again."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        found: dict[str, str] = json.loads(json.loads(file.read(length))["__metadata__"]["aliases"])
    return found


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    names = _header(path)
    with _explained(path):
        tensors = load_file(path)
        for alias in names.keys() - tensors.keys():  # a run stores a tied tensor once
            tensors[alias] = tensors[_aliases(path)[alias]]
        return tensors


def _read_torch(path: Path) -> dict[str, torch.Tensor]:
    """A file that `torch.save` wrote, read with `weights_only`: nothing in it can run."""
    import torch

    if path.suffix not in _TORCH:
        raise _wrong("E0922", f"`{path.name}` is no file of weights", "name a .safetensors, .pt, .pth or .bin file")
    with _explained(path):
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        nested = next((loaded[key] for key in _NESTED if isinstance(loaded, Mapping) and key in loaded), None)
        tensors = nested if isinstance(nested, Mapping) else loaded
        if not isinstance(tensors, Mapping):
            raise ValueError("it holds no `state_dict`")
        others = [str(name) for name, value in tensors.items() if not isinstance(value, torch.Tensor)]
        if others:
            raise ValueError(f"`{others[0]}` in it is no tensor")
        return {str(name): value for name, value in tensors.items()}


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What goes wrong while a file is read, as one error."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except SpecError as error:
        if error.diagnostics[0].code.startswith("E092"):
            raise
        raise _wrong("E0921", f"`{path}` is damaged, or no file of weights") from error
    except Exception as error:  # an unpickler fails in as many ways as bytes can be wrong
        help = "download it again, or export it as safetensors where it was made"
        raise _wrong("E0921", f"`{path}` is damaged, or no file of weights: {_reason(error)}", help) from error


def _reason(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:160] if text else type(error).__name__


def _wrong(code: str, message: str, help: str | None = None) -> SpecError:
    return SpecError([Diagnostic(code, message, help=help)])
