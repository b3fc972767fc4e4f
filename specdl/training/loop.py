"""The training loop: a compiled spec and its recipe become a trained network in a run folder.

The hot path is what one would write by hand; what a run adds (rates, sums, signals, reports) is plain Python on
numbers that are at hand, a few microseconds a step. On a CPU the loss is looked at in every step, before its
gradients touch the weights; on other devices, where looking means waiting, every `LOOK_EVERY` steps and before
anything is saved.
"""

from __future__ import annotations

import math
import shlex
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from specdl.analysis.metrics import usual_inputs
from specdl.analysis.soft_labels import soft_labels
from specdl.diagnostics import Diagnostic, Diagnostics, EnvironmentFailure, SpecError
from specdl.objectives.optimizers import momentum_of, set_momentum, unmatched
from specdl.spec.recipe import Every, Recipe
from specdl.training.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from specdl.training.curves import draw_curves
from specdl.training.engine import Engine, bare, make_engine
from specdl.training.errors import Interrupted, TrainingFailed
from specdl.training.examples import check_opened, open_data, require_data
from specdl.training.failures import Trouble, describe_failure, explained, is_out_of_memory, out_of_memory
from specdl.training.freezing import freeze, rest_frozen_norms
from specdl.training.inference import inference_of, keep_inference
from specdl.training.model import Model
from specdl.training.progress import Moment, Plan, Progress, pick_progress
from specdl.training.reports import Reports
from specdl.training.run_folder import new_run_folder, require_unused, write_atomically
from specdl.training.scoring import Scorer, total_loss
from specdl.training.signals import StopSignals
from specdl.training.state import Position, Run, pack, unpack
from specdl.training.tokenizers import keep_tokenizers

LOOK_EVERY = 50
"""Updates between two reports of the loss, and between two looks at it where a look makes the device wait."""

DEFAULT_EPOCHS = 10


def train(
    model: Model, *, folder: Path | None = None, progress: Progress | None = None, resume: Path | None = None
) -> Run:
    """Trains a compiled spec.

    `folder` is the run's folder (a new one under `runs/` unless given); `resume` is the folder of a run to go on
    with, which then ends bit-equal to one that was never stopped (on a CPU).

    Raises `SpecError`, `TrainingFailed` (NaN or infinite loss), `Interrupted` (a signal; the state is saved) and
    `EnvironmentFailure` (disk, memory, device).
    """
    recipe, _ = require_data(model.recipe)
    engine = make_engine(recipe.train)
    try:
        return _Loop(model, recipe, engine, progress or pick_progress(), folder, resume).run()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise EnvironmentFailure(out_of_memory(recipe, engine.device)) from error
    finally:
        engine.close()


class _Loop:
    """One run: its networks, its optimizer, and its position."""

    def __init__(
        self,
        model: Model,
        recipe: Recipe,
        engine: Engine,
        progress: Progress,
        folder: Path | None,
        resume: Path | None,
    ) -> None:
        _, data = require_data(recipe)
        _check_trainable(model)
        self.model, self.recipe, self.engine, self.progress = model, recipe, engine, progress
        self.settings = recipe.train
        (step,) = model.program.steps
        self.function, self.add_up = explained(model.step_functions()[step.name]), total_loss(step)

        torch.manual_seed(self.settings.seed)
        network = model.module(weights=resume is None)
        _check_groups(recipe, [name for name, _ in network.named_parameters()])
        freeze(network, model.program.frozen.get(next(iter(model.program.networks)), frozenset()))
        self.network, self.optimizer = engine.prepare(
            network, lambda moved: recipe.optimizer.optimizer.make(moved.named_parameters(), recipe.optimizer.groups)
        )
        torch.manual_seed(self.settings.seed + engine.rank)
        self.base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self.average: AveragedModel | None = None
        if self.settings.ema is not None:
            average = get_ema_multi_avg_fn(self.settings.ema)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(bare(self.network), multi_avg_fn=average)
        self.used = bare(self.network) if self.average is None else self.average.module
        self.network_name = next(iter(model.program.networks))
        self.networks = {self.network_name: self.network}

        self.opened = open_data(recipe, data, engine.device, resume)
        self.examples = self.opened.examples
        diagnostics = Diagnostics()
        check_opened(model, data, self.opened.classes, self.opened.tokenizers, diagnostics)
        diagnostics.raise_if_failed()
        self.batch_size = data.batch_size
        self.scorer = Scorer(
            [(step, self.function)],
            recipe.metrics,
            usual_inputs(model.input_names, model.output_names, data.fields),
            soft_labels(model.program),
        )
        self.batches = self.examples.batch_count(self.batch_size, engine.processes)
        self.steps_per_epoch = math.ceil(self.batches / self.settings.accumulate)
        self.total_steps = self.settings.max_steps or (self.settings.epochs or DEFAULT_EPOCHS) * self.steps_per_epoch
        self.epochs = math.ceil(self.total_steps / self.steps_per_epoch)

        self.position = Position()
        self.pending: torch.Tensor | None = None
        self.recent_losses: deque[float] = deque(maxlen=5)
        self.clipped_norm: torch.Tensor | None = None
        self.validated_step = -1
        self.resumed = resume is not None
        self.folder = resume or engine.agree(_new_folder(model.name, folder, engine.rank))
        self.reports = Reports(self.folder, write=engine.rank == 0)
        self.started = time.perf_counter()

    def run(self) -> Run:
        """Trains to the end, or to a signal."""
        if self.resumed:
            self._restore()
            if self.position.finished:
                self._note(f"this run is finished: it ended at step {self.position.step}")
        else:
            self.reports.describe(self.model.resolved_files(), self.settings, str(self.engine.device))
            if self.engine.rank == 0:
                keep_tokenizers(self.folder, require_data(self.recipe)[1], self.opened.tokenizers)
                keep_inference(self.folder, inference_of(self.model, self.opened.classes, self.opened.tokenizers))
                self._tell_skipped()
        self.reports.open(self.position.step)
        self._say_plan()
        try:
            with StopSignals(lambda _: self._shout("stopping: saving the state (once more to leave at once)")) as stop:
                if not self.position.finished:
                    self._train(stop)
        except (Interrupted, TrainingFailed):
            self._draw()
            raise
        finally:
            self.reports.close()
            if self.engine.rank == 0:
                self.progress.end()
        self._draw()
        return Run(self.folder, self.position.best_row)

    def _train(self, stop: StopSignals) -> None:
        position, settings = self.position, self.settings
        self.network.train()
        rest_frozen_norms(bare(self.network))
        while True:
            rest = range(position.batch, self.batches)
            rank, processes = self.engine.rank, self.engine.processes
            served = self.examples.training(position.epoch, rest, self.batch_size, rank=rank, processes=processes)
            with closing(served) as batches:
                self._epoch(batches, stop)
            if position.batch >= self.batches:
                position.epoch += 1
                position.batch = 0
            last = position.step >= self.total_steps
            if last or (position.batch == 0 and _due(settings.validate_, "epoch", position.epoch)):
                self._validate()
            patience = None if settings.early_stopping is None else settings.early_stopping.patience
            if patience is not None and position.stale >= patience and not last:
                self._note(f"`{self.recipe.monitor.name}` is no better than {patience} validations ago: ending early")
                last = True
            position.finished = last
            if last or _due(settings.checkpoint, "epoch", position.epoch):
                self._save("last", keep=settings.checkpoint.keep)
            if last:
                return
            self._stop_if_asked(stop)

    def _epoch(self, batches: Iterator[dict[str, torch.Tensor]], stop: StopSignals) -> None:
        """The updates of the rest of an epoch."""
        position, settings, engine, optimizer = self.position, self.settings, self.engine, self.optimizer
        function, add_up, networks = self.function, self.add_up, self.networks
        accumulate = settings.accumulate
        looks, autocast = engine.device.type == "cpu", engine.autocast
        plain = type(engine) is Engine
        validate_every = settings.validate_.every if settings.validate_.unit == "step" else 0
        save_every = settings.checkpoint.every if settings.checkpoint.unit == "step" else 0
        interval = self.progress.interval
        shown, shown_at = 0, time.perf_counter()
        while position.batch < self.batches and position.step < self.total_steps:
            lr = self._set_rates()
            parts = min(accumulate, self.batches - position.batch)
            for part in range(parts):
                batch = next(batches)
                if plain:
                    terms, _ = function(networks, batch)
                else:
                    with autocast():
                        terms, _ = function(networks, batch)
                loss = add_up(terms)
                assert loss is not None
                count = len(next(iter(batch.values())))
                if looks:
                    value = loss.item()
                    if not math.isfinite(value):
                        self._fail(value)
                    self.recent_losses.append(value)
                    position.loss_sum += value * count
                    position.recent_sum += value * count
                else:
                    weighted = loss.detach() * count
                    self.pending = weighted if self.pending is None else self.pending + weighted
                position.loss_count += count
                position.recent_count += count
                shown += count
                # The gradients before stay until here: should the loss be NaN, they tell where it came from.
                if part == 0:
                    optimizer.zero_grad()
                if parts == 1:
                    engine.backward(loss)
                elif part + 1 < parts:
                    with engine.accumulating(self.network):
                        engine.backward(loss / parts)
                else:
                    engine.backward(loss / parts)
            if settings.clip is not None:
                self.clipped_norm = engine.clip(self.parameters, settings.clip)
            optimizer.step()
            if self.average is not None:
                self.average.update_parameters(bare(self.network))
            position.step += 1
            position.batch += parts

            if position.step % LOOK_EVERY == 0:
                self._look()
                self._report_step(lr)
            now = time.perf_counter()
            if now - shown_at >= interval and engine.rank == 0:
                self._look()
                recent = position.recent_sum / position.recent_count if position.recent_count else None
                self.progress.moment(Moment(position.step, position.epoch, recent, lr, shown / (now - shown_at)))
                shown, shown_at = 0, now
            if validate_every and position.step % validate_every == 0:
                self._validate()
            if save_every and position.step % save_every == 0:
                self._save("last", keep=settings.checkpoint.keep)
            if stop.received is not None:
                self._stop_if_asked(stop)

    def _set_rates(self) -> float:
        """Sets the learning rate (and momentum) of the next update; gives the first group's."""
        at = (self.position.step, self.total_steps, self.steps_per_epoch)
        factor, momentum = self.recipe.scheduler.factor(*at), self.recipe.scheduler.momentum(*at)
        groups = self.optimizer.param_groups
        for group, base in zip(groups, self.base_rates, strict=True):
            group["lr"] = base * factor
            if momentum is not None and momentum_of(group) is not None:
                set_momentum(group, momentum)
        return float(groups[0]["lr"])

    def _last_rate(self) -> float:
        """The first group's learning rate in the update before (an optimizer just resumed doesn't know it)."""
        step = max(self.position.step - 1, 0)
        return float(self.base_rates[0] * self.recipe.scheduler.factor(step, self.total_steps, self.steps_per_epoch))

    def _look(self) -> None:
        """Fetches the sum of the losses from a device where that means waiting."""
        if self.pending is not None:
            value, self.pending = self.pending.item(), None
            if not math.isfinite(value):
                self._fail(value)
            self.position.loss_sum += value
            self.position.recent_sum += value

    def _report_step(self, lr: float) -> None:
        position = self.position
        loss = position.recent_sum / position.recent_count
        self.reports.add({"step": position.step, "epoch": position.epoch, "train/step_loss": loss, "lr": lr})
        position.recent_sum, position.recent_count = 0.0, 0

    def _validate(self) -> None:
        """Measures, reports, and keeps the best weights."""
        position = self.position
        if position.step == self.validated_step:
            return
        self.validated_step = position.step
        self._look()
        measures: dict[str, float] = {}
        if position.loss_count:
            measures["train/loss"] = position.loss_sum / position.loss_count
        if "validation" in self.examples.parts:
            batches = self.examples.batches("validation", self.batch_size)
            with self.engine.autocast():
                scores = self.scorer.score({self.network_name: self.used}, batches)
            measures.update({f"validation/{name}": value for name, value in scores.items()})
        measures = self.engine.agree(measures)
        position.loss_sum, position.loss_count = 0.0, 0
        best = self._improved(measures.get(self.recipe.monitor.name, math.nan))
        row = {"epoch": position.epoch, "step": position.step, **measures, "lr": self._last_rate()}
        if best:
            position.best_row = {"epoch": position.epoch, "step": position.step, **measures}
        self.reports.add({**row, "seconds": round(time.perf_counter() - self.started, 3)})
        if self.engine.rank == 0:
            self.progress.row(row, best=best)
        if best:
            self._save("best")

    def _improved(self, value: float) -> bool:
        position, stopping = self.position, self.settings.early_stopping
        sign = 1 if self.recipe.monitor.mode == "max" else -1
        margin = 0.0 if stopping is None else stopping.min_delta
        better = not math.isnan(value) and (position.best is None or sign * (value - position.best) > margin)
        position.best = value if better else position.best
        position.stale = 0 if better else position.stale + 1
        return better

    def _save(self, name: str, *, keep: int = 1) -> None:
        self._look()
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.parameters):
            self._fail(math.nan)
        if self.engine.rank == 0:
            checkpoint = pack(self.used, self.network, self.optimizer, self.average, self.position, self.engine)
            save_checkpoint(self.folder / "checkpoints", name, checkpoint, keep=keep)

    def _restore(self) -> None:
        path = find_checkpoint(self.folder / "checkpoints", "last")
        if path is None:
            message = f"`{self.folder}` has no checkpoint to go on from"
            help = "name a folder that `specdl train` made, or train without `--resume`"
            raise SpecError([Diagnostic("E0605", message, help=help)])
        self.position = unpack(load_checkpoint(path), self.network, self.optimizer, self.average, self.engine)

    def _stop_if_asked(self, stop: StopSignals) -> None:
        if stop.received is None:
            return
        self._save("last", keep=self.settings.checkpoint.keep)
        command = shlex.join(["specdl", "train", str(self.folder / "spec.yaml"), "--resume", str(self.folder)])
        raise Interrupted(f"stopped at step {self.position.step}; to go on:\n  {command}", stop.received)

    def _fail(self, value: float) -> None:
        trouble = Trouble(
            loss=value,
            step=self.position.step + (1 if self.engine.device.type == "cpu" else 0),
            epoch=self.position.epoch,
            losses=tuple(self.recent_losses),
            clipped_norm=None if self.clipped_norm is None else float(self.clipped_norm),
            named_parameters=tuple(bare(self.network).named_parameters()),
            lr=float(self.optimizer.param_groups[0]["lr"]),
            kept=tuple(
                path for name in ("last", "best") if (path := find_checkpoint(self.folder / "checkpoints", name))
            ),
        )
        raise TrainingFailed(describe_failure(trouble, self.recipe))

    def _say_plan(self) -> None:
        if self.engine.rank == 0:
            self.progress.begin(
                Plan(
                    name=self.model.name,
                    folder=str(self.folder),
                    device=str(self.engine.device),
                    parameters=sum(parameter.numel() for parameter in self.network.parameters()),
                    examples=self.examples.count("train"),
                    epochs=self.epochs,
                    total_steps=self.total_steps,
                    first_step=self.position.step,
                )
            )

    def _tell_skipped(self) -> None:
        skipped = self.opened.skipped
        if skipped:
            lines = "".join(f"{item.name}: it {item.reason}\n" for item in skipped)
            write_atomically(self.folder / "skipped.txt", lines)
            self._note(f"{len(skipped):,} examples can't be read and are left out: `{self.folder / 'skipped.txt'}`")

    def _note(self, text: str) -> None:
        if self.engine.rank == 0:
            self.progress.note(text)

    def _shout(self, text: str) -> None:
        if self.engine.rank == 0:
            self.progress.shout(text)

    def _draw(self) -> None:
        if self.engine.rank == 0:
            draw_curves(self.reports.file.rows(), self.folder / "curves.png", title=self.model.name)


def _new_folder(name: str, wanted: Path | None, rank: int) -> Path:
    """The folder of a run that begins, made by the first process. Raises `SpecError` where it is in use.

    All processes look at the one that is wanted, so that all of them end there.
    """
    if wanted is not None:
        require_unused(wanted)
        return wanted
    return new_run_folder(name) if rank == 0 else Path()


def _due(every: Every, unit: str, count: int) -> bool:
    return every.unit == unit and count % every.every == 0


def _check_trainable(model: Model) -> None:
    """Raises `SpecError` for a spec without a loss, and for steps that this loop can't run."""
    program = model.program
    if not program.steps:
        raise SpecError([Diagnostic("E0509", "a spec needs a `loss` to be trained", help="`loss: cross_entropy`")])
    first = program.steps[0]
    beyond = {
        "several networks": len(program.networks) > 1,
        "several steps": len(program.steps) > 1,
        "a step with `every`": first.every > 1,
        "a network that is updated in eval mode": "eval" in first.modes.values(),
        "a weight that changes": not all(isinstance(term.weight, float) for term in first.terms),
    }
    for what, found in beyond.items():
        if found:
            message = f"this version of specdl can't train {what}"
            help = "`check`, `summary`, `diagram`, `eject` and `export` work"
            raise SpecError([Diagnostic("E0512", message, first.terms[0].span, help=help)])


def _check_groups(recipe: Recipe, names: list[str]) -> None:
    """Refuses a pattern of an optimizer's group that fits no parameter. Raises `SpecError`."""
    wrong = [
        Diagnostic(
            "E0510",
            f"no parameter is called `{pattern}`",
            recipe.optimizer.group_spans[position].at("match"),
            help=f"parameters are called {', '.join(f'`{name}`' for name in names[:3])}, …",
        )
        for position, pattern in unmatched(names, recipe.optimizer.groups)
    ]
    if wrong:
        raise SpecError(wrong)


__all__ = ["LOOK_EVERY", "Run", "train"]
