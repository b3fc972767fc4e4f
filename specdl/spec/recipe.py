"""The sections about data and training become a `Recipe`: what the training loop needs, checked and typed.

Only values arrive here (expressions are evaluated before), with the tree of their positions; every mistake is
recorded at its place. Nothing of this imports torch: a recipe describes, the loop acts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from specdl.diagnostics import Diagnostics, Span, did_you_mean
from specdl.objectives.metrics import METRICS, Metric
from specdl.objectives.optimizers import OPTIMIZERS, AdamW, Group, Optimizer
from specdl.objectives.schedulers import SCHEDULERS, Constant, Scheduler
from specdl.source import SpanTree
from specdl.spec.data import Data, parse_data
from specdl.spec.declared import Section, instance, is_mapping, listing, named
from specdl.spec.entries import parse_entry
from specdl.spec.validate import show, validate

Unit = Literal["step", "epoch"]


class Clip(Section):
    """Limits on the gradient."""

    norm: float | None = Field(default=None, gt=0, description="Largest norm of all gradients together.")
    value: float | None = Field(default=None, gt=0, description="Largest size of a single element.")

    @model_validator(mode="after")
    def _one(self) -> Clip:
        if (self.norm is None) == (self.value is None):
            raise PydanticCustomError("clip", "`clip` takes either `norm` or `value`")
        return self


class EarlyStopping(Section):
    """Ends training when a measure no longer improves."""

    monitor: str = Field(
        default="validation/loss", description="The measure: `validation/loss`, `validation/accuracy`."
    )
    mode: Literal["min", "max"] | None = Field(default=None, description="Which way is better; known for metrics.")
    patience: int = Field(default=5, ge=1, description="Validations without improvement before it ends.")
    min_delta: float = Field(default=0.0, ge=0, description="What counts as an improvement.")


class Every(Section):
    """How often something is done."""

    every: int = Field(default=1, ge=1, description="After so many of them.")
    unit: Unit = Field(default="epoch", description="Epochs or updates.")


class CheckpointSection(Every):
    """How often the state is saved."""

    keep: int = Field(default=1, ge=1, description="How many of the latest states are kept.")


class Train(Section):
    """The section `train`."""

    epochs: int | None = Field(default=None, ge=1, description="Passes over the training data; 10 unless given.")
    max_steps: int | None = Field(default=None, ge=1, description="Updates of the weights, instead of `epochs`.")
    seed: int = Field(default=0, ge=0, lt=2**63, description="Decides weights, order, dropout and augmentation.")
    precision: Literal["fp32", "bf16", "fp16"] = Field(default="fp32", description="Numbers to compute with.")
    accumulate: int = Field(default=1, ge=1, description="Batches whose gradients make one update.")
    clip: Clip | None = Field(default=None, description="A limit on the gradient: {norm: 1.0}.")
    ema: float | None = Field(
        default=None, gt=0, lt=1, description="Decay of an average of the weights, which is then what is used."
    )
    early_stopping: EarlyStopping | None = Field(default=None, description="When to end before the last epoch.")
    checkpoint: CheckpointSection = Field(default=CheckpointSection(), description="How often the state is saved.")
    validate_: Every = Field(default=Every(), alias="validate", description="How often validation runs.")
    device: str = Field(
        default="auto", pattern=r"^(auto|cpu|mps|(cuda|xpu)(:\d+)?)$", description="auto, cpu, cuda, cuda:1, mps."
    )

    @model_validator(mode="after")
    def _one_length(self) -> Train:
        if self.epochs is not None and self.max_steps is not None:
            raise PydanticCustomError("length", "`epochs` and `max_steps` exclude each other: set one of them to null")
        return self


@dataclass(frozen=True, slots=True)
class OptimizerEntry:
    """The optimizer with its groups; `lr_span` is where the learning rate stands, or should."""

    optimizer: Optimizer
    groups: tuple[Group, ...]
    group_spans: tuple[SpanTree, ...]
    lr_span: Span | None


@dataclass(frozen=True, slots=True)
class MetricEntry:
    """A metric under its name in reports; `inputs` are prediction and target, None for the usual ones."""

    name: str
    metric: Metric
    inputs: tuple[str, str] | None
    span: Span


@dataclass(frozen=True, slots=True)
class Monitor:
    """The measure that decides which checkpoint is the best."""

    name: str
    mode: Literal["min", "max"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How networks are trained. `data` is None in a spec that only describes them.

    `optimizers` are the optimizers by network, where the spec gives each its own; `optimizer` is then the first.
    """

    data: Data | None
    optimizer: OptimizerEntry
    scheduler: Scheduler
    metrics: tuple[MetricEntry, ...]
    train: Train
    monitor: Monitor
    optimizers: Mapping[str, OptimizerEntry] = field(default_factory=dict)

    def optimizer_of(self, network: str) -> OptimizerEntry:
        """The optimizer of a network."""
        return self.optimizers.get(network, self.optimizer)


def parse_recipe(
    sections: Mapping[str, Any], spans: SpanTree, diagnostics: Diagnostics, networks: Collection[str] = ()
) -> Recipe | None:
    """The recipe, or None after its mistakes were recorded.

    `sections` are the top-level keys `data`, `optimizer`, `scheduler`, `metrics` and `train`, each may be absent;
    `spans` is the tree of the whole spec; `networks` are the names that `optimizer` may have one for each of.
    """
    before = len(diagnostics.items)
    data = parse_data(sections["data"], spans.child("data"), diagnostics) if sections.get("data") is not None else None
    optimizers = _optimizers(sections.get("optimizer"), spans.child("optimizer"), diagnostics, networks)
    optimizer = next(iter(optimizers.values()), None)
    scheduler: Scheduler | None = Constant()
    if sections.get("scheduler") is not None:
        scheduler = named(sections["scheduler"], spans.child("scheduler"), SCHEDULERS, "scheduler", diagnostics)
    metrics = _metrics(sections.get("metrics"), spans.child("metrics"), diagnostics)
    section = sections.get("train")
    train: Train | None = Train()
    if section is not None:
        tree = spans.child("train")
        train = (
            validate(Train, section, tree, diagnostics, what="train", code="E0501")
            if is_mapping(section, tree, "train", diagnostics)
            else None
        )
    if any(item.severity == "error" for item in diagnostics.items[before:]):
        return None
    assert optimizer is not None
    assert scheduler is not None
    assert train is not None
    monitor = _monitor(data, metrics, train, spans.child("train", "early_stopping"), diagnostics)
    if monitor is None:
        return None
    return Recipe(data, optimizer, scheduler, metrics, train, monitor, {} if "" in optimizers else optimizers)


def measured_values(recipe: Recipe) -> tuple[str, ...]:
    """The names of the values (or fields) that metrics read, as far as they are named."""
    return tuple(dict.fromkeys(name for metric in recipe.metrics for name in metric.inputs or ()))


def parse_schedule(value: Any, spans: SpanTree, diagnostics: Diagnostics) -> Scheduler | None:
    """A number that changes, in the scheduler's words (`{linear: {start: 0, end: 1}}`). None after a mistake."""
    return named(value, spans, SCHEDULERS, "schedule", diagnostics)


def _optimizers(
    value: Any, spans: SpanTree, diagnostics: Diagnostics, networks: Collection[str]
) -> dict[str, OptimizerEntry]:
    """The optimizers by network, or the only one under no name. Empty after a mistake."""
    names = [name for name in value if name in networks] if isinstance(value, Mapping) else []
    if not names:
        only = _optimizer(value, spans, diagnostics)
        return {} if only is None else {"": only}
    found: dict[str, OptimizerEntry] = {}
    for name, item in value.items():
        if name not in networks:
            message = f"`optimizer` is by network here, and there is no network `{name}`"
            help = did_you_mean(str(name), networks) or listing("networks", list(networks))
            diagnostics.add("E0514", message, spans.key(name), help=help)
            continue
        entry = _optimizer(item, spans.child(name), diagnostics)
        if entry is not None:
            found[name] = entry
    return found


def _optimizer(value: Any, spans: SpanTree, diagnostics: Diagnostics) -> OptimizerEntry | None:
    if value is None:
        return OptimizerEntry(AdamW(), (), (), None)
    groups: list[Group] = []
    group_spans: list[SpanTree] = []
    value, listed, place = _taken_groups(value, spans)
    if listed is not None:
        if not isinstance(listed, list):
            diagnostics.add("E0501", f"`groups` is a list, got {show(listed)}", place.span)
            return None
        for position, item in enumerate(listed):
            tree = place.child(position)
            if is_mapping(item, tree, "group", diagnostics):
                group = validate(Group, item, tree, diagnostics, what="group", code="E0501")
                if group is not None:
                    groups.append(group)
                    group_spans.append(tree)
    optimizer = named(value, spans, OPTIMIZERS, "optimizer", diagnostics)
    if optimizer is None:
        return None
    arguments = spans.child(optimizer.name)
    lr_span = arguments.at("lr") if isinstance(value, Mapping) else spans.span
    return OptimizerEntry(optimizer, tuple(groups), tuple(group_spans), lr_span)


def _taken_groups(value: Any, spans: SpanTree) -> tuple[Any, Any, SpanTree]:
    """An optimizer without its `groups`, and these: they stand beside its name or among its arguments."""
    if not isinstance(value, Mapping):
        return value, None, spans
    if "groups" in value:
        return {name: item for name, item in value.items() if name != "groups"}, value["groups"], spans.child("groups")
    for name, arguments in value.items():
        if isinstance(arguments, Mapping) and "groups" in arguments:
            rest = {key: item for key, item in arguments.items() if key != "groups"}
            return {**value, name: rest}, arguments["groups"], spans.child(name, "groups")
    return value, None, spans


def _metrics(value: Any, spans: SpanTree, diagnostics: Diagnostics) -> tuple[MetricEntry, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        diagnostics.add("E0501", f"`metrics` is a list, got {show(value)}", spans.span, help="write `[accuracy]`")
        return ()
    found: dict[str, MetricEntry] = {}
    for position, item in enumerate(value):
        entry = parse_entry(item, spans.child(position), diagnostics)
        if entry is None:
            continue
        metric = instance(
            entry.operator.value, entry.arguments, entry.operator.span, entry.spans, METRICS, "metric", diagnostics
        )
        if metric is None:
            continue
        if len(entry.targets) > 1 or (entry.inputs is not None and len(entry.inputs) != 2):
            diagnostics.add(
                "E0505",
                f"`{metric.name}` compares a prediction with a target and gives one number",
                entry.span,
                help=f"write `{metric.name}` or `{metric.name}(prediction, target)`",
            )
            continue
        name = entry.targets[0].value if entry.targets else metric.name
        if name in found or name == "loss":
            diagnostics.add(
                "E0505",
                f"two measures would be called `{name}`",
                entry.span,
                help=f"give this one a name of its own: `other = {metric.name}`",
            )
            continue
        inputs = None if entry.inputs is None else (str(entry.inputs[0].value), str(entry.inputs[1].value))
        found[name] = MetricEntry(name, metric, inputs, entry.span)
    return tuple(found.values())


def _monitor(
    data: Data | None, metrics: tuple[MetricEntry, ...], train: Train, spans: SpanTree, diagnostics: Diagnostics
) -> Monitor | None:
    """What decides about the best checkpoint: what early stopping names, else the first metric, else the loss."""
    validated = data is None or data.split.validation > 0
    modes: dict[str, Literal["min", "max"]] = {}
    if validated:
        modes |= {f"validation/{entry.name}": entry.metric.better for entry in metrics}
        modes["validation/loss"] = "min"
    modes["train/loss"] = "min"
    stopping = train.early_stopping
    if stopping is None:
        name = next(iter(modes))
        return Monitor(name, modes[name])
    if stopping.monitor not in modes:
        diagnostics.add(
            "E0506",
            f"there is no measure `{stopping.monitor}`",
            spans.at("monitor"),
            help=did_you_mean(stopping.monitor, modes) or listing("measures", list(modes)),
        )
        return None
    return Monitor(stopping.monitor, stopping.mode or modes[stopping.monitor])
