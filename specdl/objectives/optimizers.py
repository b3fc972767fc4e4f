"""Optimizers, with PyTorch's arguments and defaults.

`make` builds the `torch.optim` object over named parameters; groups give the parameters that match a
pattern another learning rate or weight decay. PyTorch's fused implementation is used wherever it exists for
the parameters' device and dtype: on CPU it makes a whole training step of a small network 1.2 to 1.6 times
faster.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from specdl.objectives.base import Declared, Fraction, Listed, Pair

if TYPE_CHECKING:
    import torch

_PAGE = "https://docs.pytorch.org/docs/stable/generated/torch.optim.{}.html"

_FUSED_DEVICES = {"cpu", "cuda", "xpu", "mps"}

NonNegative = Annotated[float, Field(ge=0)]
FirstMayBeNone = Annotated[tuple[NonNegative | None, NonNegative], Listed]


def _one_or_several(value: Any) -> Any:
    """A single pattern as a list of one."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class Group(BaseModel):
    """Other settings for the parameters whose names match; the first matching group wins."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True, allow_inf_nan=False)

    match: Annotated[
        tuple[str, ...],
        BeforeValidator(_one_or_several, json_schema_input_type=str | list[str]),
    ] = Field(min_length=1, description="A pattern of parameter names or several: `*.bias`, `features.*`.")
    lr: NonNegative | None = Field(default=None, description="Learning rate of these parameters.")
    weight_decay: NonNegative | None = Field(default=None, description="Weight decay of these parameters.")

    def settings(self) -> dict[str, float]:
        """What the group changes."""
        return {name: value for name in ("lr", "weight_decay") if (value := getattr(self, name)) is not None}


class Optimizer(Declared):
    """Base of the optimizers."""

    main: ClassVar[str | None] = "lr"
    torch_name: ClassVar[str]
    """The class in `torch.optim`."""
    can_fuse: ClassVar[bool] = True

    lr: NonNegative = Field(default=1e-3, description="Learning rate.")
    weight_decay: NonNegative = Field(default=0.0, description="Weight decay.")

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of the `torch.optim` class."""
        return {name: getattr(self, name) for name in type(self).model_fields}

    def make(
        self, named_parameters: Iterable[tuple[str, torch.nn.Parameter]], groups: Sequence[Group] = ()
    ) -> torch.optim.Optimizer:
        """The `torch.optim` object over the parameters that need gradients. Raises `ValueError` without any."""
        import torch

        parameters = {name: parameter for name, parameter in named_parameters if parameter.requires_grad}
        if not parameters:
            raise ValueError("no parameter needs gradients")
        assigned = assign(parameters, groups)
        members: dict[int | None, list[torch.nn.Parameter]] = {}
        for name, parameter in parameters.items():
            members.setdefault(assigned[name], []).append(parameter)
        torch_groups = [
            {"params": found, **({} if group is None else groups[group].settings())} for group, found in members.items()
        ]
        fused = self.can_fuse and all(
            parameter.device.type in _FUSED_DEVICES and torch.is_floating_point(parameter)
            for parameter in parameters.values()
        )
        arguments = {**self.arguments(), **({"fused": True} if fused else {})}
        made: torch.optim.Optimizer = getattr(torch.optim, self.torch_name)(torch_groups, **arguments)
        return made


def assign(names: Iterable[str], groups: Sequence[Group]) -> dict[str, int | None]:
    """The position of the group that each parameter belongs to; None for those that no pattern matches."""
    return {
        name: next(
            (
                position
                for position, group in enumerate(groups)
                if any(fnmatch.fnmatchcase(name, pattern) for pattern in group.match)
            ),
            None,
        )
        for name in names
    }


def unmatched(names: Sequence[str], groups: Sequence[Group]) -> list[tuple[int, str]]:
    """The patterns that no parameter's name matches, each with its group's position: most likely a typing mistake."""
    return [
        (position, pattern)
        for position, group in enumerate(groups)
        for pattern in group.match
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names)
    ]


class Sgd(Optimizer):
    """Stochastic gradient descent, with momentum and Nesterov's variant of it."""

    name: ClassVar[str] = "sgd"
    torch_name: ClassVar[str] = "SGD"
    reference: ClassVar[str] = _PAGE.format("SGD")

    momentum: NonNegative = Field(default=0.0, description="The share of the last step that is kept.")
    dampening: float = Field(default=0.0, description="Dampening of the gradient that enters the momentum.")
    nesterov: bool = Field(default=False, description="Whether to look one step ahead (needs momentum).")
    maximize: bool = Field(default=False, description="Whether to go up instead of down.")

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Sgd:
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise PydanticCustomError("nesterov", "`nesterov` needs a `momentum` above 0 and no `dampening`")
        return self


class _AdamFamily(Optimizer):
    """Adam's arguments."""

    betas: Pair = Field(default=(0.9, 0.999), description="Decay of the means of the gradient and of its square.")
    eps: NonNegative = Field(default=1e-8, description="Added to the denominator.")
    amsgrad: bool = Field(default=False, description="Whether to keep the largest mean square (AMSGrad).")
    maximize: bool = Field(default=False, description="Whether to go up instead of down.")


class Adam(_AdamFamily):
    """Adam (Kingma and Ba, 2015); its weight decay is added to the gradient."""

    name: ClassVar[str] = "adam"
    torch_name: ClassVar[str] = "Adam"
    reference: ClassVar[str] = _PAGE.format("Adam")


class AdamW(_AdamFamily):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter, 2019)."""

    name: ClassVar[str] = "adamw"
    torch_name: ClassVar[str] = "AdamW"
    reference: ClassVar[str] = _PAGE.format("AdamW")

    weight_decay: NonNegative = Field(default=1e-2, description="Weight decay.")


class RmsProp(Optimizer):
    """RMSprop: the gradient divided by a running mean of its size. PyTorch has no fused version of it."""

    name: ClassVar[str] = "rmsprop"
    torch_name: ClassVar[str] = "RMSprop"
    can_fuse: ClassVar[bool] = False
    reference: ClassVar[str] = _PAGE.format("RMSprop")

    lr: NonNegative = Field(default=1e-2, description="Learning rate.")
    alpha: Fraction = Field(default=0.99, description="Decay of the mean square.")
    eps: NonNegative = Field(default=1e-8, description="Added to the denominator.")
    momentum: NonNegative = Field(default=0.0, description="The share of the last step that is kept.")
    centered: bool = Field(default=False, description="Whether to divide by the standard deviation instead.")
    maximize: bool = Field(default=False, description="Whether to go up instead of down.")


class Adagrad(Optimizer):
    """Adagrad (Duchi and others, 2011): the gradient divided by the root of the sum of all its squares so far.

    What seldom gets a gradient, as a rare word's vector does, takes larger steps. GloVe's optimizer.
    """

    name: ClassVar[str] = "adagrad"
    torch_name: ClassVar[str] = "Adagrad"
    reference: ClassVar[str] = _PAGE.format("Adagrad")

    lr: NonNegative = Field(default=1e-2, description="Learning rate.")
    lr_decay: NonNegative = Field(default=0.0, description="How the learning rate falls: lr / (1 + steps · lr_decay).")
    initial_accumulator_value: NonNegative = Field(default=0.0, description="What the sum of the squares begins with.")
    eps: NonNegative = Field(default=1e-10, description="Added to the denominator.")
    maximize: bool = Field(default=False, description="Whether to go up instead of down.")


class Adafactor(Optimizer):
    """Adafactor (Shazeer and Stern, 2018): of a matrix it keeps mean squares by row and by column alone.

    T5's optimizer. PyTorch has no fused version of it.
    """

    name: ClassVar[str] = "adafactor"
    torch_name: ClassVar[str] = "Adafactor"
    can_fuse: ClassVar[bool] = False
    reference: ClassVar[str] = _PAGE.format("Adafactor")

    lr: NonNegative = Field(default=1e-2, description="Learning rate, the most that a step is relative to a weight.")
    beta2_decay: float = Field(default=-0.8, le=0, description="How the decay of the mean squares grows with steps.")
    eps: FirstMayBeNone = Field(
        default=(None, 1e-3),
        description="Added to the squares (none: the type's smallest step), and the least size of a weight.",
    )
    d: float = Field(default=1.0, ge=1, description="The root mean square that an update is cut to.")
    maximize: bool = Field(default=False, description="Whether to go up instead of down.")


OPTIMIZERS: dict[str, type[Optimizer]] = {
    optimizer.name: optimizer for optimizer in (Sgd, Adam, AdamW, RmsProp, Adagrad, Adafactor)
}
"""Optimizers by their name in a spec."""


def momentum_of(group: Mapping[str, Any]) -> float | None:
    """The momentum of a `torch.optim` parameter group: SGD's and RMSprop's `momentum`, Adam's first beta."""
    if "betas" in group:
        return float(group["betas"][0])
    momentum = group.get("momentum", 0)
    return float(momentum) if momentum else None


def set_momentum(group: dict[str, Any], value: float) -> None:
    """Sets what `momentum_of` reads."""
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value
