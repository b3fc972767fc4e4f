"""`specdl train`: what it prints, what it leaves, and what it refuses."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import signal
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command, one_error


class TestOutput:
    def test_json_is_the_last_line_of_stdout(self, specdl: Command) -> None:
        done = specdl("train", "tiny.yaml", "--json")
        assert done.code == 0
        found = json.loads(done.lines()[-1])
        assert set(found) == {"run", "metrics"}
        assert Path(found["run"], "checkpoints", "best", "model.safetensors").is_file()
        assert set(found["metrics"]) == {"epoch", "step", "train/loss", "validation/loss", "validation/accuracy"}
        assert 0 <= found["metrics"]["validation/accuracy"] <= 1

    def test_progress_goes_to_stderr(self, specdl: Command) -> None:
        done = specdl("train", "tiny.yaml", "--folder", "run")
        assert "training tiny (1,210 parameters) on 1,438 examples, cpu, 1 epoch (3 steps) -> run" in done.err
        assert "epoch 1/1  step 3  train/loss" in done.err
        assert "training" not in done.out
        assert done.lines()[-1] == "run: run"
        assert any(line.startswith("validation/accuracy: 0.") for line in done.lines())

    def test_of_several_processes_the_first_one_tells(self, specdl: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RANK", "1")
        done = specdl("train", "tiny.yaml", "--folder", "run", "--json")
        assert (done.code, done.out) == (0, "")

    def test_a_run_has_its_files(self, trained: Path) -> None:
        names = {path.name for path in trained.iterdir() if "tfevents" not in path.name}
        assert names == {
            "spec.yaml",
            "environment.json",
            "inference.json",
            "metrics.jsonl",
            "curves.png",
            "checkpoints",
        }
        assert (trained / "curves.png").read_bytes().startswith(b"\x89PNG")


class TestFolder:
    def test_runs_lie_under_their_name_and_the_latest_is_linked(self, specdl: Command) -> None:
        runs = [json.loads(specdl("train", "tiny.yaml", "--json").lines()[-1])["run"] for _ in range(2)]
        assert runs[0] != runs[1]
        assert all(Path(run).parent == Path("runs/tiny") for run in runs)
        assert Path("runs/tiny/latest").resolve() == Path(runs[1]).resolve()
        assert specdl("eval", "runs/tiny/latest").code == 0

    @pytest.mark.parametrize("name", ["../../up", "/etc/x", "..", "a/b"])
    def test_no_name_leads_out_of_runs(self, specdl: Command, name: str) -> None:
        one_error(specdl("train", "tiny.yaml", f"name={name}"), "E0106", "not a name for a model")
        assert not Path("runs").exists()

    def test_an_empty_folder_is_taken(self, specdl: Command) -> None:
        Path("run").mkdir()
        assert specdl("train", "tiny.yaml", "--folder", "run").code == 0

    def test_a_run_is_never_written_over(self, specdl: Command, trained: Path) -> None:
        shutil.copytree(trained, "run")
        before = Path("run/metrics.jsonl").stat()
        one_error(specdl("train", "tiny.yaml", "--folder", "run"), "E0609", "`run` is not empty", "--resume run")
        assert Path("run/metrics.jsonl").stat() == before

    def test_nor_is_a_folder_with_the_users_own_files(self, specdl: Command) -> None:
        Path("spec.yaml").write_text("mine")
        one_error(specdl("train", "tiny.yaml", "--folder", "."), "E0609", "name a folder that is new or empty")
        assert Path("spec.yaml").read_text() == "mine"

    @pytest.mark.parametrize("place", ["tiny.yaml", "tiny.yaml/run"])
    def test_a_place_that_can_hold_no_folder(self, specdl: Command, place: str) -> None:
        done = specdl("train", "tiny.yaml", "--folder", place)
        assert (done.code, done.out, done.err) == (4, "", f"error: can't write `{place}`: Not a directory\n")


class TestRefused:
    def test_a_spec_without_data(self, specdl: Command) -> None:
        one_error(
            specdl("train", "bare.yaml"), "E0507", "a spec needs `data`", "`data: {source: digits, batch_size: 64}`"
        )
        assert not Path("runs").exists()

    def test_a_spec_without_a_loss(self, specdl: Command) -> None:
        one_error(specdl("train", "tiny.yaml", "loss=null"), "E0509", "a spec needs a `loss`", "`loss: cross_entropy`")
        assert not Path("runs").exists()

    def test_a_device_that_isnt_there(self, specdl: Command) -> None:
        done = specdl("train", "tiny.yaml", "train.device=xpu")
        assert done.code == 4
        assert done.err == "error: this machine has no device `xpu`; `device: auto` takes what there is\n"

    def test_a_loss_that_is_no_number(self, specdl: Command) -> None:
        done = specdl("train", "tiny.yaml", "optimizer.adamw.lr=1e30", "--folder", "run")
        assert (done.code, done.out) == (3, "")
        assert "error: the loss became NaN at step 2 (epoch 1)\n" in done.err
        assert "first suspect: the learning rate 1e+30 (<optimizer.adamw.lr=1e+30>:1:20)" in done.err

    def test_a_step_that_pytorch_refuses(self, specdl: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise IndexError("Target 9 is out of bounds.")

        monkeypatch.setattr("torch.nn.functional.cross_entropy", refuse)
        done = specdl("train", "tiny.yaml", "--folder", "run")
        assert (done.code, done.out) == (3, "")
        assert done.err.endswith("error: PyTorch can't compute a step: IndexError: Target 9 is out of bounds.\n")

    def test_memory_that_runs_out_on_a_cpu(self, specdl: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
            )

        monkeypatch.setattr("torch.nn.functional.cross_entropy", refuse)
        done = specdl("train", "tiny.yaml", "--folder", "run")
        assert (done.code, done.out) == (4, "")
        assert "error: memory ran out on cpu with `batch_size: 512`\n" in done.err
        assert "`batch_size: 256` with `accumulate: 2`" in done.err

    def test_a_full_disk(self, specdl: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("os.fsync", full)
        done = specdl("train", "tiny.yaml", "--folder", "run")
        assert (done.code, done.out) == (4, "")
        assert done.err.startswith("error: the disk is full: can't write `run/")


class TestResume:
    def test_a_finished_run_says_so_and_tells_its_metrics(self, specdl: Command, trained: Path) -> None:
        shutil.copytree(trained, "run")
        rows = Path("run/metrics.jsonl").read_text()
        done = specdl("train", "tiny.yaml", "--resume", "run", "--json")
        assert "this run is finished: it ended at step 3" in done.err
        assert json.loads(done.lines()[-1])["metrics"]["step"] == 3
        assert Path("run/metrics.jsonl").read_text() == rows

    def test_an_unfinished_run_goes_on(self, specdl: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        from specdl.training.progress import Lines

        def stop(*_: object, **__: object) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        with monkeypatch.context() as patched:
            patched.setattr(Lines, "row", stop)  # the first validation ends in a signal
            done = specdl("train", "tiny.yaml", "train.epochs=2", "name=ein Netz (größer)")
        assert (done.code, done.out) == (143, "")
        *_, told, command = done.err.splitlines()
        assert told == "stopped at step 3; to go on:"
        program, *words = shlex.split(command)
        done = specdl(*words, "--json")
        assert (program, done.code) == ("specdl", 0), done.err
        (rows,) = Path().glob("runs/ein Netz (größer)/2*/metrics.jsonl")
        assert [json.loads(line)["step"] for line in rows.read_text().splitlines()] == [3, 6]

    @pytest.mark.parametrize(
        ("run", "words"), [("nowhere", "doesn't exist"), ("tiny.yaml", "is not the folder of a run")]
    )
    def test_no_run(self, specdl: Command, run: str, words: str) -> None:
        one_error(specdl("train", "tiny.yaml", "--resume", run), "E0605", f"`{run}` {words}")
        assert sorted(path.name for path in Path().iterdir()) == ["bare.yaml", "tiny.yaml"]

    def test_a_run_of_another_network(self, specdl: Command, trained: Path) -> None:
        shutil.copytree(trained, "run")
        done = specdl("train", "tiny.yaml", "--resume", "run", "params.hidden=5")
        one_error(done, "E0602", "`hidden.weight` is [16, 64], the network's is [5, 64]", "the run began with")

    @pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "state.json"])
    @pytest.mark.parametrize("content", ["cut", "empty", "nonsense"])
    def test_a_damaged_checkpoint(self, specdl: Command, trained: Path, name: str, content: str) -> None:
        shutil.copytree(trained, "run")
        path = Path("run/checkpoints/last") / name
        whole = path.read_bytes()
        path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "nonsense": b'{"format": 1}'}[content])
        one_error(specdl("train", "tiny.yaml", "--resume", "run"), "E0601", "damaged", "train again")
