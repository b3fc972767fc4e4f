"""The training loop: it learns, it is repeatable, it can be taken up anywhere, and it fails with reasons."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from specdl.diagnostics import EnvironmentFailure, SpecError
from specdl.training.errors import Interrupted, TrainingFailed
from specdl.training.evaluate import evaluate
from specdl.training.loop import train
from specdl.training.progress import Moment, Plan, Silent
from specdl.training.run_folder import MetricsFile
from tests.unit.training.fake import SPEC, FakeModel

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard", "ignore::DeprecationWarning:torch")


@pytest.fixture(autouse=True)
def _no_picture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than these trainings; two tests look at the picture."""
    if request.node.name not in DRAWING:
        monkeypatch.setattr("specdl.training.loop.draw_curves", lambda *_, **__: None)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def weights(folder: Path, name: str = "last") -> bytes:
    return (folder / "checkpoints" / name / "model.safetensors").read_bytes()


def rows(folder: Path) -> list[dict[str, Any]]:
    """What was measured, without the clock."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in MetricsFile(folder).rows()]


class StopAt(Silent):
    """Sends this process a signal at a certain update."""

    interval = 0.0

    def __init__(self, step: int, number: int = signal.SIGINT) -> None:
        self.step, self.number, self.plan, self.notes = step, number, None, []

    def begin(self, plan: Plan) -> None:
        self.plan = plan

    def moment(self, moment: Moment) -> None:
        if moment.step == self.step:
            os.kill(os.getpid(), self.number)

    def note(self, text: str) -> None:
        self.notes.append(text)


DRAWING = {"test_it_learns_and_leaves_a_run_folder", "test_nan_stops_within_the_step_and_keeps_what_was_good"}

LONG = SPEC.replace("epochs: 2", "epochs: 12")


def test_it_learns_and_leaves_a_run_folder(tmp_path: Path) -> None:
    run = train(FakeModel(LONG), folder=tmp_path / "run", progress=Silent())
    # Two small layers reach 96 % here; a loop that forgot the optimizer, the order or the labels stays under 30 %.
    assert run.metrics["validation/accuracy"] > 0.93
    for name in ("spec.yaml", "metrics.jsonl", "environment.json", "curves.png"):
        assert (run.folder / name).stat().st_size > 0
    assert list(run.folder.glob("events.out.tfevents.*"))
    assert sorted(path.name for path in (run.folder / "checkpoints").iterdir()) == ["best", "last"]
    facts = json.loads((run.folder / "environment.json").read_text())
    assert (facts["seed"], facts["device"], facts["versions"]["torch"]) == (0, "cpu", torch.__version__.split("+")[0])
    found = [row for row in rows(run.folder) if "validation/accuracy" in row]
    assert [row["epoch"] for row in found] == list(range(1, 13))
    assert max(row["validation/accuracy"] for row in found) == run.metrics["validation/accuracy"]
    measured = evaluate(FakeModel(LONG), run.folder)
    assert measured["accuracy"] == run.metrics["validation/accuracy"]


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, text in (("a", SPEC), ("b", SPEC), ("c", SPEC.replace("epochs: 2", "epochs: 2, seed: 1"))):
        train(FakeModel(text), folder=tmp_path / name, progress=Silent())
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert rows(tmp_path / "a") == rows(tmp_path / "b")
    assert weights(tmp_path / "a") != weights(tmp_path / "c")


VARIANTS = {
    "plain": SPEC,
    "ema": SPEC.replace("epochs: 2", "epochs: 2, ema: 0.9"),
    "accumulate": SPEC.replace("epochs: 2", "epochs: 2, accumulate: 3, clip: {norm: 1.0}"),
    "steps": SPEC.replace("epochs: 2", "max_steps: 37, validate: {every: 10, unit: step}").replace(
        "{adamw: {lr: 3e-3}}", "{sgd: {lr: 0.1, momentum: 0.9}}"
    ),
    "one_cycle": SPEC.replace("{cosine: {warmup_steps: 5}}", "one_cycle"),
}


@pytest.mark.parametrize(
    ("variant", "at"), [("plain", 1), ("plain", 23), ("plain", 24), *((variant, 13) for variant in VARIANTS)]
)
def test_a_resumed_run_is_bit_equal(tmp_path: Path, variant: str, at: int) -> None:
    text = VARIANTS[variant]
    if variant == "accumulate":
        at = -(-at // 3)
    whole = train(FakeModel(text), folder=tmp_path / "whole", progress=Silent())
    with pytest.raises(Interrupted) as caught:
        train(FakeModel(text), folder=tmp_path / "cut", progress=StopAt(at))
    assert caught.value.exit_code == 130
    assert f"--resume {tmp_path / 'cut'}" in str(caught.value)
    facts = json.loads((tmp_path / "cut" / "checkpoints" / "last" / "state.json").read_text())
    assert facts["step"] == at
    torch.manual_seed(99)  # whatever happened before must not matter
    resumed = train(FakeModel(text), resume=tmp_path / "cut", progress=Silent())
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert weights(tmp_path / "cut", "best") == weights(tmp_path / "whole", "best")
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    assert resumed.metrics == whole.metrics


def test_resuming_from_an_earlier_checkpoint_measures_again(tmp_path: Path) -> None:
    text = SPEC.replace("epochs: 2", "epochs: 3, checkpoint: {every: 1, keep: 5}")
    train(FakeModel(text), folder=tmp_path, progress=Silent())
    after, measured = weights(tmp_path), rows(tmp_path)
    kept = sorted((tmp_path / "checkpoints").glob("last-*"))
    assert [path.name for path in kept] == ["last-00000023", "last-00000046"]
    import shutil

    shutil.rmtree(tmp_path / "checkpoints" / "last")  # as a crash between two renames leaves it
    train(FakeModel(text), resume=tmp_path, progress=Silent())
    assert weights(tmp_path) == after
    assert rows(tmp_path) == measured


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = train(FakeModel(), folder=tmp_path, progress=Silent())
    before = weights(tmp_path)
    again = train(FakeModel(), resume=tmp_path, progress=Silent())
    assert again.metrics == first.metrics
    assert weights(tmp_path) == before


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no checkpoint"):
        train(FakeModel(), resume=tmp_path, progress=Silent())


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    train(FakeModel(), folder=tmp_path, progress=Silent())
    with pytest.raises(SpecError, match="doesn't fit"):
        train(FakeModel(width=8), resume=tmp_path, progress=Silent())


class Exploding(FakeModel):
    """Its loss is NaN at a certain step."""

    def __init__(self, text: str, at: int) -> None:
        super().__init__(text)
        self._left = at

    def step(
        self, models: Mapping[str, nn.Module], batch: Mapping[str, torch.Tensor]
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        terms, values = super().step(models, batch)
        if models["model"].training:
            self._left -= 1
            if self._left == 0:
                return {name: term * float("nan") for name, term in terms.items()}, values
        return terms, values


def test_nan_stops_within_the_step_and_keeps_what_was_good(tmp_path: Path) -> None:
    train(FakeModel(SPEC.replace("epochs: 2", "epochs: 1")), folder=tmp_path / "good", progress=Silent())
    with pytest.raises(TrainingFailed) as caught:
        train(Exploding(SPEC.replace("epochs: 2", "epochs: 4"), at=30), folder=tmp_path / "bad", progress=Silent())
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert "NaN at step 30 (epoch 2)" in message
    assert "gradient norm before it" in message
    assert "learning rate 0.003 (fake.yaml:8:25)" in message
    assert str(tmp_path / "bad" / "checkpoints" / "last") in message
    facts = json.loads((tmp_path / "bad" / "checkpoints" / "last" / "state.json").read_text())
    assert facts["step"] == 23
    assert (tmp_path / "bad" / "curves.png").exists()


def test_a_far_too_high_learning_rate_is_the_first_suspect(tmp_path: Path) -> None:
    text = SPEC.replace("{adamw: {lr: 3e-3}}", "{sgd: {lr: 1e30}}")
    with pytest.raises(TrainingFailed, match=r"learning rate 1e\+30 \(fake.yaml:8:23\)"):
        train(FakeModel(text), folder=tmp_path, progress=Silent())


def test_early_stopping(tmp_path: Path) -> None:
    text = SPEC.replace("epochs: 2", "epochs: 50, early_stopping: {monitor: validation/loss, patience: 2}").replace(
        "lr: 3e-3", "lr: 0.0"
    )
    train(FakeModel(text), folder=tmp_path, progress=Silent())
    assert rows(tmp_path)[-1]["epoch"] <= 10


def test_the_average_of_the_weights_is_what_is_kept(tmp_path: Path) -> None:
    for name in ("plain", "ema"):
        train(FakeModel(VARIANTS[name]), folder=tmp_path / name, progress=Silent())
    assert weights(tmp_path / "plain") != weights(tmp_path / "ema")
    measured = evaluate(FakeModel(VARIANTS["ema"]), tmp_path / "ema", checkpoint="last")
    assert measured["loss"] == rows(tmp_path / "ema")[-1]["validation/loss"]


def test_accumulated_batches_make_the_update_of_one_large_batch(tmp_path: Path) -> None:
    """Without batch normalisation and dropout, 2 × 32 examples and 64 are the same update."""

    class Plain(FakeModel):
        def module(self, network: str | None = None, *, weights: bool = True) -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    base = "data: {source: digits, batch_size: %d}\noptimizer: {sgd: {lr: 0.1}}\ntrain: {max_steps: 5, accumulate: %d}"
    for name, size, accumulate in (("one", 64, 1), ("two", 32, 2)):
        train(Plain(base % (size, accumulate)), folder=tmp_path / name, progress=Silent())
    from specdl.training.checkpoint import load_tensors

    one, two = (load_tensors(tmp_path / name / "checkpoints/last/model.safetensors") for name in ("one", "two"))
    # The same sum in another order: float32 rounding only.
    torch.testing.assert_close(one["1.weight"], two["1.weight"], rtol=1e-4, atol=1e-6)


def test_a_group_that_fits_nothing_is_an_error(tmp_path: Path) -> None:
    text = SPEC.replace("{adamw: {lr: 3e-3}}", "{adamw: {lr: 3e-3}, groups: [{match: ['*.wieght'], lr: 1}]}")
    with pytest.raises(SpecError, match="no parameter is called") as caught:
        train(FakeModel(text), folder=tmp_path, progress=Silent())
    assert caught.value.diagnostics[0].span is not None


def test_a_spec_without_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="needs `data`"):
        train(FakeModel("optimizer: adamw"), folder=tmp_path, progress=Silent())


def test_an_absent_device_is_told(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has that device")
    with pytest.raises(EnvironmentFailure, match="no device `cuda`"):
        train(FakeModel(SPEC.replace("epochs: 2", "device: cuda")), folder=tmp_path, progress=Silent())


def test_out_of_memory_says_what_would_fit(tmp_path: Path) -> None:
    class Hungry(FakeModel):
        def step(self, models: Any, batch: Any) -> Any:
            raise torch.OutOfMemoryError("no more")

    with pytest.raises(EnvironmentFailure, match=r"`batch_size: 32` with `accumulate: 2`"):
        train(Hungry(), folder=tmp_path, progress=Silent())


def test_bf16_goes_through_accelerate(tmp_path: Path) -> None:
    run = train(FakeModel(LONG.replace("epochs: 12", "epochs: 6, precision: bf16")), folder=tmp_path, progress=Silent())
    assert run.metrics["validation/accuracy"] > 0.8


CHILD = """
import sys
from pathlib import Path
from specdl.training.errors import Interrupted
from specdl.training.loop import train
from specdl.training.progress import Lines
from tests.unit.training.fake import LONG_CHILD, FakeModel

class Told(Lines):
    interval = 0.0
    def moment(self, moment):
        if moment.step == 30:
            print("ready", flush=True)

try:
    train(FakeModel(LONG_CHILD), folder=Path(sys.argv[1]), progress=Told())
except Interrupted as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path: Path, number: int, code: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "stopping: saving the state" in errors
    assert f"specdl train {tmp_path / 'spec.yaml'} --resume {tmp_path}" in errors
    assert json.loads((tmp_path / "checkpoints" / "last" / "state.json").read_text())["step"] >= 30
