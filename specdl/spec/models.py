"""The top-level keys `models`, `steps` and `sample`: several networks, and training steps as graphs.

Only the structure is checked here: keys are known and entries parsed. What may hold an expression (`every`,
`update`, `decay`) stays as it was written, and is checked when the spec is elaborated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from specdl.diagnostics import Diagnostics, Span
from specdl.source import SpanTree
from specdl.spec.entries import BESIDE, STRUCTURAL, Entry, parse_entries
from specdl.spec.habits import file_hint
from specdl.spec.validate import show, validate

NETWORK = "model"
"""The name of a spec's only network."""


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


class NetworkFile(_Keys):
    """The keys of a network under `models`."""

    description: str | None = Field(default=None, description="One sentence for people.")
    inputs: dict[str, Any] = Field(description="Its inputs: shapes without the batch, or {shape, dtype}.")
    outputs: Any = Field(default=None, description="What it gives: names of values; the last value unless given.")
    layers: list[Any] = Field(description="Its layers.")


class TrainedFile(_Keys):
    """The keys of a network that an earlier run trained."""

    description: str | None = Field(default=None, description="One sentence for people.")
    from_: Any = Field(alias="from", description="The folder of the run, from the spec's own folder.")
    network: Any = Field(default=None, description="Which of the run's networks; the first unless given.")
    outputs: Any = Field(default=None, description="What it gives here: names of its values; its own outputs if unset.")
    freeze: Any = Field(default=False, description="Whether its weights stay as they are.")


class AverageFile(_Keys):
    """The keys of a network that is the moving average of another."""

    description: str | None = Field(default=None, description="One sentence for people.")
    ema: Any = Field(description="The network whose weights are averaged.")
    decay: Any = Field(description="The share of the average that stays at each update, such as 0.996.")


class StepFile(_Keys):
    """The keys of a training step."""

    name: str = Field(description="Name of the step, in reports.")
    description: str | None = Field(default=None, description="One sentence for people.")
    update: Any = Field(description="The network, or the list of networks, whose weights it changes.")
    every: Any = Field(default=1, description="It runs at every so many updates.")
    mode: Any = Field(default=None, description="Networks that are in another mode: {teacher: train}.")
    layers: list[Any] = Field(description="What it computes of the batch's fields and the networks.")
    losses: list[Any] = Field(description="Terms of its loss.")


class SampleFile(_Keys):
    """The keys of `sample`."""

    description: str | None = Field(default=None, description="One sentence for people.")
    inputs: dict[str, Any] = Field(default_factory=dict, description="What is given to it, such as a label.")
    params: dict[str, Any] = Field(default_factory=dict, description="Parameters with their default values.")
    outputs: Any = Field(default=None, description="What it gives: names of values; the last value unless given.")
    layers: list[Any] = Field(description="How samples are made; a `for` here is a run-time loop.")


@dataclass(frozen=True, slots=True)
class Trained:
    """A network of an earlier run, as written."""

    folder: Any
    network: Any
    freeze: Any


@dataclass(frozen=True, slots=True)
class Average:
    """The moving average of another network, as written."""

    of: Any
    decay: Any


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A network. `spans` has `inputs`, `outputs`, `layers` and the other keys; `span` is where it is named.

    Where `origin` is given the layers are another's: of a run, or of the network that is averaged.
    """

    name: str
    inputs: Mapping[str, Any]
    outputs: Any
    layers: tuple[Entry, ...]
    spans: SpanTree
    span: Span
    origin: Trained | Average | None = None


@dataclass(frozen=True, slots=True)
class StepSpec:
    """A training step, its entries parsed; `update`, `every` and `mode` as written."""

    name: str
    update: Any
    every: Any
    mode: Any
    layers: tuple[Entry, ...]
    losses: tuple[Entry, ...]
    spans: SpanTree
    span: Span


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """How samples are made, the entries parsed."""

    inputs: Mapping[str, Any]
    params: Mapping[str, Any]
    outputs: Any
    layers: tuple[Entry, ...]
    spans: SpanTree
    span: Span


def parse_models(models: Any, spans: SpanTree, diagnostics: Diagnostics) -> tuple[NetworkSpec, ...]:
    """The networks under `models`. Mistakes are recorded."""
    if not models:
        help = "`models: {name: {inputs: …, layers: …}}`"
        diagnostics.add("E0113", "`models` needs a network", spans.span, help=help)
    found = (_network(name, item, spans.child(name), spans.key(name), diagnostics) for name, item in models.items())
    return tuple(network for network in found if network is not None)


def _network(name: str, item: Any, spans: SpanTree, span: Span, diagnostics: Diagnostics) -> NetworkSpec | None:
    if not _is_name(name, "network", span, diagnostics):
        return None
    what = f"the network `{name}`"
    if not isinstance(item, Mapping):
        diagnostics.add("E0113", f"{what} needs `inputs` and `layers`", span)
        return None
    if "ema" in item:
        average = validate(AverageFile, item, spans, diagnostics, what=what, code="E0112", noun="key")
        origin: Trained | Average | None = None if average is None else Average(average.ema, average.decay)
        return None if origin is None else NetworkSpec(name, {}, None, (), spans, span, origin)
    if "from" in item:
        trained = validate(TrainedFile, item, spans, diagnostics, what=what, code="E0112", noun="key")
        if trained is None:
            return None
        origin = Trained(trained.from_, trained.network, trained.freeze)
        return NetworkSpec(name, {}, trained.outputs, (), spans, span, origin)
    own = validate(NetworkFile, item, spans, diagnostics, what=what, code="E0112", noun="key", hint=file_hint)
    if own is None:
        return None
    for key in ("inputs", "layers"):
        if not item[key]:
            diagnostics.add("E0113", f"{what} needs `{key}`", spans.key(key))
    layers = parse_entries(own.layers, spans.child("layers"), diagnostics, where="layers")
    return NetworkSpec(name, own.inputs, own.outputs, layers, spans, span)


def parse_steps(steps: list[Any], spans: SpanTree, diagnostics: Diagnostics) -> tuple[StepSpec, ...]:
    """The training steps, in order. Mistakes are recorded."""
    found: dict[str, StepSpec] = {}
    if not steps:
        diagnostics.add("E0113", "`steps` needs a step", spans.span, help="leave it out to only describe networks")
    for position, item in enumerate(steps):
        step = _step(item, spans.child(position), diagnostics)
        if step is None:
            continue
        if step.name in found:
            place = spans.child(position).at("name")
            diagnostics.add("E0706", f"two steps are called `{step.name}`", place, help="give this one another name")
            continue
        found[step.name] = step
    return tuple(found.values())


def _step(item: Any, spans: SpanTree, diagnostics: Diagnostics) -> StepSpec | None:
    if not isinstance(item, Mapping):
        help = "write `- name: …`, with `update`, `layers` and `losses` beneath"
        diagnostics.add("E0113", f"a step is a mapping of keys, got {show(item)}", spans.span, help=help)
        return None
    parsed = validate(StepFile, item, spans, diagnostics, what="a step", code="E0112", noun="key", hint=file_hint)
    if parsed is None or not _is_name(parsed.name, "step", spans.at("name"), diagnostics):
        return None
    if not parsed.losses:
        message = f"the step `{parsed.name}` needs a loss"
        diagnostics.add("E0113", message, spans.key("losses"), help="e.g. `losses: [mse(predicted, noise)]`")
    return StepSpec(
        name=parsed.name,
        update=parsed.update,
        every=parsed.every,
        mode=parsed.mode,
        layers=parse_entries(parsed.layers, spans.child("layers"), diagnostics, where="layers"),
        losses=parse_entries(parsed.losses, spans.child("losses"), diagnostics, where="losses"),
        spans=spans,
        span=spans.at("name"),
    )


def parse_sample(item: Any, spans: SpanTree, span: Span, diagnostics: Diagnostics) -> SampleSpec | None:
    """How samples are made, or None after a mistake was recorded."""
    if not isinstance(item, Mapping):
        diagnostics.add("E0113", "`sample` needs `layers`", span, help="`sample: {layers: [z = randn: [64], …]}`")
        return None
    parsed = validate(SampleFile, item, spans, diagnostics, what="sample", code="E0112", noun="key", hint=file_hint)
    if parsed is None:
        return None
    if not parsed.layers:
        diagnostics.add("E0113", "`sample` needs `layers`", spans.key("layers"))
        return None
    layers = parse_entries(parsed.layers, spans.child("layers"), diagnostics, where="layers")
    return SampleSpec(parsed.inputs, parsed.params, parsed.outputs, layers, spans, span)


def _is_name(name: str, what: str, span: Span, diagnostics: Diagnostics) -> bool:
    if not isinstance(name, str) or not name.isidentifier() or name in {"_", "input"}:
        help = "names have letters, digits and `_`"
        diagnostics.add("E0106", f"`{name}` is not a name for a {what}", span, help=help)
        return False
    if (name in STRUCTURAL or name in BESIDE) and what == "network":
        diagnostics.add("E0115", f"`{name}` is a word of the language, not a name for a network", span)
        return False
    return True
