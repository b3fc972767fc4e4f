"""A training step in specdl's trainer, in a loop written by hand, in Lightning's Trainer and in Keras' `fit`.

All sides train the same network on the same tensors with the same batches, loss and optimizer; a clock is read
where each step begins its forward pass, so that all that a trainer does between two steps counts, and what it
does around an epoch (validation, checkpoints) doesn't.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tests.benchmarks.harness import Comparison, Numbers, Side, compare
from tests.benchmarks.report import Promise, Topic, at_most, milliseconds, show
from tests.benchmarks.zoo import MODELS

if TYPE_CHECKING:
    import torch
    from torch import nn

    from specdl.api import Model

RATE = 1e-3


@dataclass(frozen=True, slots=True)
class Job:
    """What is trained: inputs of `shape` (without the batch) in `classes` classes."""

    model: str
    shape: tuple[int, ...]
    classes: int
    batch: int
    steps: int
    epochs: int
    rounds: int

    @property
    def examples(self) -> int:
        """The number of examples in an epoch."""
        return self.batch * self.steps


JOBS = {
    "digits_cnn": Job("digits_cnn", (1, 8, 8), classes=10, batch=64, steps=60, epochs=5, rounds=9),
    "resnet18": Job("resnet18", (3, 32, 32), classes=10, batch=16, steps=12, epochs=4, rounds=5),
}

OTHERS = {"Lightning": "lightning", "Keras": "keras"}


def run(quick: bool) -> Topic:
    """specdl against the loop by hand in many rounds, against the other trainers in fewer."""
    promises: list[Promise] = []
    rows: list[list[str]] = []
    remarks: list[str] = []
    for name, job in list(JOBS.items())[: 1 if quick else None]:
        arguments = {"name": name, "epochs": 2 if quick else job.epochs}
        ours = Side("specdl", specdl_trainer, arguments)
        close = compare([ours, Side("by hand", by_hand, arguments)], 1 if quick else job.rounds, title=f"step {name}")
        promises.append(
            at_most(f"training step, {name}, against the loop by hand", 1.02, close.ratio("specdl", "by hand"))
        )
        others = list(_others(name, arguments, remarks))
        far = compare([ours, *others], 1 if quick else 3, title=f"step {name}, other trainers")
        promises += [_ahead(name, side.name, far) for side in others]
        rows.append([name, "specdl", milliseconds(close.spread("specdl")), ""])
        rows += [_row(name, "by hand", close), *(_row(name, side.name, far) for side in others)]
    sizes = "; ".join(
        f"{name}: batches of {job.batch} inputs of {' × '.join(map(str, job.shape))}, "
        f"{job.epochs} epochs of {job.steps} steps"
        for name, job in JOBS.items()
    )
    how = (
        "The time from one step's forward pass to the next one's, on average over an epoch, of the median epoch (the "
        "first left out). All sides run the same network (by hand: written by hand, or torchvision's), cross-entropy "
        "and fused AdamW (Keras: its own AdamW) on the same shuffled batches in float32, and add up the loss. "
        f"{sizes}. The loop by hand and Lightning are fed by slices of tensors in memory, as specdl feeds itself; "
        "Keras makes a data loader of the tensors that `fit` is given. Lightning runs without its progress bar, "
        "logger, checkpoints; Keras trains the PyTorch network in its `TorchModuleWrapper`, unless the line says "
        "otherwise. Within the steps specdl also writes its reports and watches for NaN."
    )
    return Topic("Training", how, promises, ["model", "trainer", "a step", "specdl against it"], rows, remarks)


def _others(name: str, arguments: Mapping[str, Any], remarks: list[str]) -> Iterator[Side]:
    """The other trainers that are installed; a remark for each that isn't."""
    if importlib.util.find_spec("lightning"):
        yield Side("Lightning", lightning_trainer, arguments)
    if importlib.util.find_spec("keras"):
        yield Side("Keras", keras_fit, arguments)
        if name == "digits_cnn":
            yield Side("Keras, with its own layers", keras_fit, {**arguments, "layers": True})
    for title, package in OTHERS.items():
        line = f"{title} isn't installed here, and was left out."
        if not importlib.util.find_spec(package) and line not in remarks:
            remarks.append(line)


def _ahead(name: str, other: str, found: Comparison) -> Promise:
    return at_most(f"training step, {name}, against {other}", 1.0, found.ratio("specdl", other))


def _row(name: str, side: str, found: Comparison) -> list[str]:
    return [name, side, milliseconds(found.spread(side)), show(found.ratio("specdl", side), "×")]


class Clock:
    """Notes when each step begins."""

    def __init__(self, job: Job, epochs: int) -> None:
        self._steps, self._epochs = job.steps, epochs
        self.times: list[float] = []

    def tick(self) -> None:
        """To be called once a step, before its forward pass."""
        self.times.append(time.perf_counter())

    def seconds(self) -> Numbers:
        """A step's mean time within an epoch, of the median epoch behind the first."""
        steps, epochs = self._steps, self._epochs
        assert len(self.times) == steps * epochs, f"{len(self.times)} steps instead of {steps * epochs}"
        begins = range(steps, steps * epochs, steps)
        return {
            "seconds": statistics.median((self.times[at + steps - 1] - self.times[at]) / (steps - 1) for at in begins)
        }


def tensors(job: Job) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels; noise is as much work as images are."""
    import torch

    generator = torch.Generator().manual_seed(0)
    images = torch.rand(job.examples, *job.shape, generator=generator)
    return images, torch.randint(0, job.classes, (job.examples,), generator=generator)


def specdl_trainer(name: str, epochs: int) -> Numbers:
    """`specdl.train`, with all that a run writes."""
    from specdl.training.loop import train
    from specdl.training.progress import Lines

    job = JOBS[name]
    clock = Clock(job, epochs)
    with tempfile.TemporaryDirectory() as folder:
        train(Clocked(load(job, epochs), clock), folder=Path(folder), progress=Lines())
    return clock.seconds()


class Clocked:
    """A compiled spec whose training step reads the clock."""

    def __init__(self, model: Model, clock: Clock) -> None:
        self._model, self._clock = model, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def step_functions(self) -> dict[str, Callable[..., Any]]:
        """The model's, each preceded by a tick while the networks train."""
        tick = self._clock.tick

        def clocked(function: Callable[..., Any]) -> Callable[..., Any]:
            def run(models: Mapping[str, nn.Module], batch: Mapping[str, torch.Tensor]) -> Any:
                if models["model"].training:
                    tick()
                return function(models, batch)

            return run

        return {name: clocked(function) for name, function in self._model.step_functions().items()}


def load(job: Job, epochs: int) -> Model:
    """The spec with `job`'s data and training instead of its own."""
    import specdl
    from specdl.data.examples import Stacked
    from specdl.data.sources import SOURCES, DefaultSplit, Source
    from specdl.ir.dims import BATCH
    from specdl.ir.types import TensorType

    class Noise(Source):
        """The tensors of a job, as a source of examples."""

        name: ClassVar[str] = "noise"
        default_split: ClassVar[DefaultSplit] = DefaultSplit(validation=0.0)

        def fields(self) -> Mapping[str, TensorType]:
            return {"image": TensorType((BATCH, *job.shape)), "label": TensorType((BATCH,), "int64")}

        def load(self) -> Stacked:
            return Stacked(dict(zip(("image", "label"), tensors(job), strict=True)))

    SOURCES["noise"] = Noise
    path, variant = MODELS[job.model]
    overrides: dict[str, Any] = {
        "inputs.image": list(job.shape),
        "data": {"source": "noise", "batch_size": job.batch},
        "loss": "cross_entropy",
        "metrics": [],
        "optimizer": {"adamw": {"lr": RATE}},
        "scheduler": "constant",
        "train": {"epochs": epochs, "validate": {"every": epochs}, "checkpoint": {"every": epochs}},
    }
    if job.model == "resnet18":
        overrides["params.classes"] = job.classes
    return specdl.load(path, variant, overrides)


def network(name: str) -> nn.Module:
    """The network as one writes it in PyTorch, or takes it from torchvision."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    if name == "resnet18":
        import torchvision

        known: nn.Module = torchvision.models.resnet18(weights=None, num_classes=JOBS[name].classes)
        return known
    return nn.Sequential(
        nn.Conv2d(1, 32, kernel_size=3, padding="same"),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=3, padding="same"),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.4),
        nn.Linear(1024, 10),
    )


class Slices:
    """Shuffled batches, sliced from tensors in memory: what one writes where a data loader costs too much."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._images, self._labels = tensors(job)

    def __len__(self) -> int:
        return self._job.steps

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        import torch

        for indices in torch.randperm(self._job.examples).split(self._job.batch):
            yield self._images[indices], self._labels[indices]


def by_hand(name: str, epochs: int) -> Numbers:
    """The loop that every tutorial shows, with the fused optimizer."""
    import torch
    from torch.nn import functional

    job = JOBS[name]
    clock = Clock(job, epochs)
    model = network(name)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    batches = Slices(job)
    model.train()
    for _ in range(epochs):
        total = 0.0
        for images, labels in batches:
            clock.tick()
            loss = functional.cross_entropy(model(images), labels)
            total += loss.item() * len(images)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"loss {total / job.examples:.4f}")
    return clock.seconds()


def lightning_trainer(name: str, epochs: int) -> Numbers:
    """Lightning's Trainer without its extras: no progress bar, logger, checkpoints or summary."""
    import lightning
    import torch
    from torch.nn import functional

    job = JOBS[name]
    clock = Clock(job, epochs)

    class Network(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network(name)
            self.total = 0.0

        def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
            clock.tick()
            images, labels = batch
            loss = functional.cross_entropy(self.network(images), labels)
            self.total += loss.item() * len(images)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=RATE, fused=True)

    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Network(), Slices(job))
    return clock.seconds()


def keras_fit(name: str, epochs: int, layers: bool = False) -> Numbers:
    """Keras' `fit` on the torch back end: of the same module, or of its own layers."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    import torch

    job = JOBS[name]
    clock = Clock(job, epochs)

    class Ticks(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            clock.tick()

    if layers:
        keras.config.set_image_data_format("channels_first")
        parts = keras_layers(keras)
    else:
        parts = [keras.layers.TorchModuleWrapper(network(name))]
    model = keras.Sequential([keras.Input(job.shape), *parts])
    model.compile(
        optimizer=keras.optimizers.AdamW(RATE), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    assert next(iter(model.parameters())).device == torch.device("cpu")
    images, labels = tensors(job)
    model.fit(images, labels, batch_size=job.batch, epochs=epochs, verbose=0, callbacks=[Ticks()])
    return clock.seconds()


def keras_layers(keras: Any) -> list[Any]:
    """digits_cnn in Keras' own layers."""
    return [
        keras.layers.Conv2D(32, 3, padding="same"),
        keras.layers.BatchNormalization(axis=1, momentum=0.9, epsilon=1e-5),
        keras.layers.ReLU(),
        keras.layers.Conv2D(64, 3, padding="same"),
        keras.layers.BatchNormalization(axis=1, momentum=0.9, epsilon=1e-5),
        keras.layers.ReLU(),
        keras.layers.MaxPooling2D(2),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.4),
        keras.layers.Dense(10),
    ]
