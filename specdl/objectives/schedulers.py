"""Learning-rate schedules, as pure functions of the step.

`factor(step, total_steps, steps_per_epoch)` is what the optimizer's learning rate is multiplied by at update
`step` (counted from 0). A pure function has no state: a resumed run, a plot and a test just ask for the step.
Warm-up rises linearly over `warmup_steps` updates. What decays towards the end of training (cosine, linear)
begins behind the warm-up; what happens at fixed times (step, multi_step, exponential) counts from the start.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from specdl.objectives.base import Declared, Fraction, Listed

_PAGE = "https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.{}.html"

Unit = Literal["step", "epoch"]


class Scheduler(Declared):
    """Base of the schedules."""

    warmup_steps: int = Field(default=0, ge=0, description="Updates over which the learning rate rises linearly.")

    def factor(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """The factor of the learning rate at update `step`."""
        if step < self.warmup_steps:
            start = self.decay(0, total_steps, steps_per_epoch)
            return start * (step + 1) / self.warmup_steps
        return self.decay(step, total_steps, steps_per_epoch)

    def decay(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """The factor without warm-up."""
        raise NotImplementedError

    def momentum(self, step: int, total_steps: int, steps_per_epoch: int) -> float | None:
        """The momentum at update `step`, for a schedule that moves it too."""
        return None


class Constant(Scheduler):
    """The same learning rate throughout, behind an optional warm-up."""

    name: ClassVar[str] = "constant"

    def decay(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        return 1.0


class _Timed(Scheduler):
    """Changes at fixed times, counted in epochs or updates from the start of training."""

    unit: Unit = Field(default="epoch", description="Whether times are counted in epochs or in updates.")

    def _time(self, step: int, steps_per_epoch: int) -> int:
        return step // steps_per_epoch if self.unit == "epoch" else step


class StepDecay(_Timed):
    """Multiplies by `gamma` every `step_size` epochs."""

    name: ClassVar[str] = "step"
    main: ClassVar[str | None] = "step_size"
    reference: ClassVar[str] = _PAGE.format("StepLR")

    step_size: int = Field(ge=1, description="Epochs between two changes.")
    gamma: float = Field(default=0.1, gt=0, description="The factor of each change.")

    def decay(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        return self.gamma ** (self._time(step, steps_per_epoch) // self.step_size)


class MultiStep(_Timed):
    """Multiplies by `gamma` at each milestone."""

    name: ClassVar[str] = "multi_step"
    main: ClassVar[str | None] = "milestones"
    reference: ClassVar[str] = _PAGE.format("MultiStepLR")

    milestones: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Listed] = Field(
        min_length=1, description="Epochs at which the learning rate changes, in rising order."
    )
    gamma: float = Field(default=0.1, gt=0, description="The factor of each change.")

    @model_validator(mode="after")
    def _rising(self) -> MultiStep:
        if any(later <= earlier for earlier, later in zip(self.milestones, self.milestones[1:], strict=False)):
            raise PydanticCustomError("milestones", "`milestones` must rise")
        return self

    def decay(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        time = self._time(step, steps_per_epoch)
        return self.gamma ** sum(milestone <= time for milestone in self.milestones)


class Exponential(_Timed):
    """Multiplies by `gamma` every epoch."""

    name: ClassVar[str] = "exponential"
    main: ClassVar[str | None] = "gamma"
    reference: ClassVar[str] = _PAGE.format("ExponentialLR")

    gamma: float = Field(gt=0, le=1, description="The factor of each change.")

    def decay(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        return self.gamma ** self._time(step, steps_per_epoch)


class _ToTheEnd(Scheduler):
    """Decays over what remains of training behind the warm-up, or over `steps` updates of it."""

    unit: Unit = Field(default="step", description="Whether the learning rate changes every update or every epoch.")
    steps: int | None = Field(default=None, ge=1, description="Updates that the decay takes; all that remain if unset.")

    def decay(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        if self.unit == "epoch":
            step -= step % steps_per_epoch
        length = self.steps if self.steps is not None else max(total_steps - self.warmup_steps, 1)
        return self.curve(min(max(step - self.warmup_steps, 0) / length, 1.0))

    def curve(self, progress: float) -> float:
        """The factor at a time between 0 and 1."""
        raise NotImplementedError


class Cosine(_ToTheEnd):
    """Half a cosine from 1 to `min_factor` (SGDR without restarts; Loshchilov and Hutter, 2017)."""

    name: ClassVar[str] = "cosine"
    reference: ClassVar[str] = _PAGE.format("CosineAnnealingLR")

    min_factor: float = Field(default=0.0, ge=0, le=1, description="The factor at the end.")

    def curve(self, progress: float) -> float:
        return self.min_factor + (1 - self.min_factor) * (1 + math.cos(math.pi * progress)) / 2


class Linear(_ToTheEnd):
    """A straight line from `start` to `end`."""

    name: ClassVar[str] = "linear"
    reference: ClassVar[str] = _PAGE.format("LinearLR")

    start: float = Field(default=1.0, ge=0, description="The factor at the beginning.")
    end: float = Field(default=0.0, ge=0, description="The factor at the end.")

    def curve(self, progress: float) -> float:
        return self.start + (self.end - self.start) * progress


class OneCycle(Scheduler):
    """Up from `1 / div_factor` to 1 and down to almost nothing, while momentum goes the other way (Smith, 2018).

    The optimizer's `lr` is PyTorch's `max_lr`. As in PyTorch, momentum (Adam's first beta) falls from
    `max_momentum` to `base_momentum` and rises again; an optimizer without momentum keeps none.
    The rise is the warm-up, so `warmup_steps` must stay 0.
    """

    name: ClassVar[str] = "one_cycle"
    reference: ClassVar[str] = _PAGE.format("OneCycleLR")

    warmup_steps: int = Field(default=0, ge=0, le=0, description="Always 0: `pct_start` sets the rise.")
    pct_start: float = Field(default=0.3, gt=0, lt=1, description="The share of training that the rise takes.")
    anneal_strategy: Literal["cos", "linear"] = Field(default="cos", description="The shape of rise and fall.")
    cycle_momentum: bool = Field(default=True, description="Whether momentum moves too.")
    base_momentum: Fraction = Field(default=0.85, description="Momentum at the highest learning rate.")
    max_momentum: Fraction = Field(default=0.95, description="Momentum at the lowest learning rate.")
    div_factor: float = Field(default=25.0, gt=0, description="The first learning rate is `lr` divided by this.")
    final_div_factor: float = Field(default=1e4, gt=0, description="The last is the first divided by this.")

    def decay(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        first = 1 / self.div_factor
        return self._cycle(step, total_steps, first, 1.0, first / self.final_div_factor)

    def momentum(self, step: int, total_steps: int, steps_per_epoch: int) -> float | None:
        if not self.cycle_momentum:
            return None
        return self._cycle(step, total_steps, self.max_momentum, self.base_momentum, self.max_momentum)

    def _cycle(self, step: int, total_steps: int, first: float, middle: float, last: float) -> float:
        peak, end = self.pct_start * total_steps - 1, float(total_steps - 1)
        if step <= peak:
            return self._anneal(first, middle, step / peak if peak > 0 else 1.0)
        return self._anneal(middle, last, min((step - peak) / (end - peak), 1.0) if end > peak else 1.0)

    def _anneal(self, start: float, end: float, progress: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (end - start) * progress
        return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


class InverseSqrt(Scheduler):
    """min(step^-½, step · warmup^-1.5), steps counted from 1 ("Attention is all you need", section 5.3).

    With the paper's `lr: $(width ** -0.5)` this is the paper's learning rate; the highest factor, at the end of
    the warm-up, is 1/√warmup_steps.
    """

    name: ClassVar[str] = "inverse_sqrt"
    main: ClassVar[str | None] = "warmup_steps"
    reference: ClassVar[str] = "https://arxiv.org/abs/1706.03762"

    warmup_steps: int = Field(ge=1, description="Updates over which the learning rate rises linearly.")

    def factor(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        count = step + 1
        return float(min(count**-0.5, count * self.warmup_steps**-1.5))


SCHEDULERS: dict[str, type[Scheduler]] = {
    scheduler.name: scheduler
    for scheduler in (Constant, StepDecay, MultiStep, Exponential, Cosine, Linear, OneCycle, InverseSqrt)
}
"""Schedules by their name in a spec."""
