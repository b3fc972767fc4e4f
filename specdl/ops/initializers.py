"""How a parameter begins, in the words of `torch.nn.init`: `zeros`, `0.02`, `{normal: {std: 0.02}}`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from specdl.diagnostics import did_you_mean
from specdl.ops.base import Call

_ARGUMENTS: dict[str, dict[str, float | str | None]] = {
    "zeros": {},
    "ones": {},
    "eye": {},
    "dirac": {"groups": 1},
    "constant": {"val": 0.0},
    "normal": {"mean": 0.0, "std": 1.0},
    "trunc_normal": {"mean": 0.0, "std": 1.0, "a": -2.0, "b": 2.0},
    "uniform": {"a": 0.0, "b": 1.0},
    "xavier_uniform": {"gain": 1.0},
    "xavier_normal": {"gain": 1.0},
    "kaiming_uniform": {"a": 0.0, "mode": "fan_in", "nonlinearity": "leaky_relu"},
    "kaiming_normal": {"a": 0.0, "mode": "fan_in", "nonlinearity": "leaky_relu"},
    "orthogonal": {"gain": 1.0},
    "sparse": {"sparsity": None, "std": 0.01},
}
"""The initializers with their arguments and PyTorch's defaults; None for one that must be given."""

_WORDS: dict[str, tuple[str, ...]] = {
    "mode": ("fan_in", "fan_out"),
    "nonlinearity": ("linear", "conv1d", "conv2d", "conv3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"),
}
"""What the arguments that are words may be."""

_LEAST: dict[str, float] = {"std": 0.0, "sparsity": 0.0, "groups": 1}
"""The smallest number that some arguments may be."""

_AXES: dict[str, tuple[int, int, str]] = {
    "eye": (2, 2, "two axes"),
    "sparse": (2, 2, "two axes"),
    "dirac": (3, 5, "three to five axes, as a convolution's weight has"),
    **dict.fromkeys(
        ("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal"),
        (2, 99, "two axes or more"),
    ),
}
"""How many axes some of them need."""

_ELSEWHERE = {
    "glorot_uniform": "xavier_uniform",
    "glorot_normal": "xavier_normal",
    "xavier": "xavier_uniform",
    "he_uniform": "kaiming_uniform",
    "he_normal": "kaiming_normal",
    "kaiming": "kaiming_uniform",
    "truncated_normal": "trunc_normal",
    "random_normal": "normal",
    "random_uniform": "uniform",
    "gaussian": "normal",
    "identity": "eye",
}
"""What other libraries call them."""


@dataclass(frozen=True, slots=True)
class Initializer:
    """An initializer by its name in `torch.nn.init` (without the underscore) and the arguments that are given."""

    name: str
    arguments: tuple[tuple[str, float | str], ...] = ()

    def __str__(self) -> str:
        inner = ", ".join(f"{key}: {value}" for key, value in self.arguments)
        return f"{self.name} {{{inner}}}" if inner else self.name

    def fill(self, tensor: Any) -> Call:
        """The call that fills a tensor in place, and returns it: `nn.init.normal_(weight, std=0.02)`."""
        return Call(f"nn.init.{self.name}_", (tensor,), self.arguments)

    def tensor(self, shape: tuple[int, ...]) -> Call:
        """The call that makes a tensor with these numbers: `torch.zeros(1, 1, 768)`."""
        sizes = shape or ((),)
        if self.name in ("zeros", "ones"):
            return Call(f"torch.{self.name}", sizes)
        if self.name == "constant":
            return Call("torch.full", (shape, dict(self.arguments).get("val", 0.0)))
        return self.fill(Call("torch.empty", sizes))

    def needs(self, shape: tuple[int, ...]) -> str | None:
        """What a tensor must have for this to fill it, where one of that shape hasn't; None where it fits."""
        low, high, words = _AXES.get(self.name, (0, 99, ""))
        if not low <= len(shape) <= high:
            return words
        groups = dict(self.arguments).get("groups", 1)
        if self.name == "dirac" and isinstance(groups, int) and shape[0] % groups:
            return f"an axis 0 that {groups} divides"
        return None


def parse_initializer(value: Any) -> Initializer:
    """Reads an initializer as a spec writes it. Raises a pydantic error that says what was expected."""
    if isinstance(value, Initializer):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Initializer("constant", (("val", float(value)),))
    name: Any
    arguments: Any
    if isinstance(value, str):
        name, arguments = value, {}
    elif isinstance(value, Mapping) and len(value) == 1:
        ((name, arguments),) = value.items()
    else:
        raise PydanticCustomError(
            "initializer", "expected a number, a name such as zeros, or {{normal: {{std: 0.02}}}}"
        )
    if name not in _ARGUMENTS:
        raise _wrong(f"there is no initializer `{name}`; {_nearest(str(name))}")
    known = _ARGUMENTS[name]
    if isinstance(arguments, (int, float)) and not isinstance(arguments, bool) and name == "constant":
        arguments = {"val": float(arguments)}
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, Mapping):
        raise _wrong(f"the arguments of `{name}` are a mapping")
    for argument, given in arguments.items():
        _check_argument(name, str(argument), given)
    for argument, default in known.items():
        if default is None and argument not in arguments:
            raise _wrong(f"`{name}` needs `{argument}`")
    kept = {argument: arguments[argument] for argument in known if argument in arguments}
    return Initializer(name, tuple((key, item) for key, item in kept.items() if item != known[key] or key == "val"))


def _nearest(name: str) -> str:
    plain = name.rstrip("_").lower()
    known = plain if plain in _ARGUMENTS else _ELSEWHERE.get(plain)
    if known is not None:
        return f"write `{known}`"
    return did_you_mean(name, _ARGUMENTS) or f"known are {', '.join(_ARGUMENTS)}"


def _check_argument(name: str, argument: str, given: Any) -> None:
    """Raises a pydantic error for an argument that the initializer doesn't have, or of the wrong kind."""
    known = _ARGUMENTS[name]
    if argument not in known:
        raise _wrong(f"`{name}` has no argument `{argument}`; it takes {', '.join(known) or 'none'}")
    words = _WORDS.get(argument)
    if words is not None and given not in words:
        raise _wrong(f"`{argument}` of `{name}` must be one of {', '.join(words)}")
    if words is not None:
        return
    number = isinstance(given, int if argument == "groups" else (int, float)) and not isinstance(given, bool)
    if not number:
        raise _wrong(f"`{argument}` of `{name}` must be {'an integer' if argument == 'groups' else 'a number'}")
    if given < _LEAST.get(argument, given) or not math.isfinite(given) or (argument == "sparsity" and given > 1):
        raise _wrong(f"`{argument}` of `{name}` can't be {given}")


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("initializer", "{message}", {"message": message})


Init = Annotated[
    Initializer,
    PlainValidator(parse_initializer),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number"},
                {"enum": list(_ARGUMENTS)},
                {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": False,
                    "properties": {
                        name: {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {
                                key: {"enum": list(_WORDS[key])} if key in _WORDS else {"type": "number"}
                                for key in arguments
                            },
                        }
                        for name, arguments in _ARGUMENTS.items()
                    },
                },
            ]
        }
    ),
]
"""The type of an `init` argument."""

__all__ = ["Init", "Initializer", "parse_initializer"]
