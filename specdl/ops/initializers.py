"""How a parameter begins, in the words of `torch.nn.init`: `zeros`, `0.02`, `{normal: {std: 0.02}}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from specdl.diagnostics import did_you_mean
from specdl.ops.base import Call

_ARGUMENTS: dict[str, dict[str, float | str]] = {
    "zeros": {},
    "ones": {},
    "eye": {},
    "constant": {"val": 0.0},
    "normal": {"mean": 0.0, "std": 1.0},
    "trunc_normal": {"mean": 0.0, "std": 1.0, "a": -2.0, "b": 2.0},
    "uniform": {"a": 0.0, "b": 1.0},
    "xavier_uniform": {"gain": 1.0},
    "xavier_normal": {"gain": 1.0},
    "kaiming_uniform": {"a": 0.0, "mode": "fan_in", "nonlinearity": "leaky_relu"},
    "kaiming_normal": {"a": 0.0, "mode": "fan_in", "nonlinearity": "leaky_relu"},
    "orthogonal": {"gain": 1.0},
}
"""The initializers with their arguments and PyTorch's defaults."""

_MATRICES = ("eye", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal")
"""Those that need two axes or more (`eye` exactly two)."""


@dataclass(frozen=True, slots=True)
class Initializer:
    """An initializer by its name in `torch.nn.init` (without the underscore) and the arguments that are given."""

    name: str
    arguments: tuple[tuple[str, float | str], ...] = ()

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

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether it can fill a tensor of that shape."""
        if self.name == "eye":
            return len(shape) == 2
        return self.name not in _MATRICES or len(shape) > 1


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
        close = did_you_mean(str(name), _ARGUMENTS) or f"known are {', '.join(_ARGUMENTS)}"
        raise PydanticCustomError(
            "initializer", "there is no initializer `{name}`; {close}", {"name": str(name), "close": close}
        )
    known = _ARGUMENTS[name]
    if isinstance(arguments, (int, float)) and not isinstance(arguments, bool) and name == "constant":
        arguments = {"val": float(arguments)}
    if not isinstance(arguments, Mapping):
        raise PydanticCustomError("initializer", "the arguments of `{name}` are a mapping", {"name": name})
    for argument, given in arguments.items():
        if argument not in known:
            raise PydanticCustomError(
                "initializer",
                "`{name}` has no argument `{argument}`; it takes {known}",
                {"name": name, "argument": str(argument), "known": ", ".join(known) or "none"},
            )
        word = isinstance(known[argument], str)
        if isinstance(given, bool) or not isinstance(given, str if word else (int, float)):
            raise PydanticCustomError(
                "initializer",
                "`{argument}` of `{name}` must be a {kind}",
                {"name": name, "argument": argument, "kind": "word" if word else "number"},
            )
    kept = {argument: arguments[argument] for argument in known if argument in arguments}
    return Initializer(name, tuple((key, item) for key, item in kept.items() if item != known[key] or key == "val"))


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
                                key: {"type": "string" if isinstance(default, str) else "number"}
                                for key, default in arguments.items()
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
