"""`specdl eval`, `predict` and `export`: what is done with a trained run, and what they refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.cli.conftest import Command, Done, one_error

USES_A_RUN = {
    "eval": ("eval", "{run}"),
    "predict": ("predict", "{run}", "one.png"),
    "export": ("export", "{run}", "-o", "out.onnx"),
}


@pytest.fixture
def images(folder: Path) -> None:
    """`one.png`, a digit as the data set has them, and `big.jpg`, the same as 100 × 60 coloured pixels."""
    digit = np.zeros((8, 8), np.uint8)
    digit[1:7, 3:5] = 255
    Image.fromarray(digit).save("one.png")
    Image.fromarray(digit).resize((100, 60)).convert("RGB").save("big.jpg")


@pytest.mark.parametrize("words", USES_A_RUN.values(), ids=USES_A_RUN.keys())
@pytest.mark.usefixtures("images")
class TestWrongRuns:
    def use(self, specdl: Command, words: tuple[str, ...], run: object) -> Done:
        return specdl(*(word.format(run=run) for word in words))

    def test_no_run(self, specdl: Command, words: tuple[str, ...]) -> None:
        Path("empty").mkdir()
        one_error(self.use(specdl, words, "empty"), "E0605", "is not the folder of a run", "`specdl train`")

    def test_a_folder_of_runs(self, specdl: Command, words: tuple[str, ...], trained: Path) -> None:
        Path("runs/tiny").mkdir(parents=True)
        shutil.copytree(trained, "runs/tiny/2030-01-01_00-00-00")
        one_error(
            self.use(specdl, words, "runs/tiny"),
            "E0605",
            "is not the folder of a run",
            "did you mean `runs/tiny/2030-01-01_00-00-00`?",
        )

    def test_a_run_without_checkpoints(self, specdl: Command, words: tuple[str, ...], trained: Path) -> None:
        shutil.copytree(trained, "run")
        shutil.rmtree("run/checkpoints")
        one_error(self.use(specdl, words, "run"), "E0605", "`run` has no checkpoint `best` or `last`")

    def test_a_cut_checkpoint(self, specdl: Command, words: tuple[str, ...], trained: Path) -> None:
        shutil.copytree(trained, "run")
        path = Path("run/checkpoints/best/model.safetensors")
        path.write_bytes(path.read_bytes()[:-1])
        one_error(self.use(specdl, words, "run"), "E0601", f"`{path}` is damaged", "train again")

    def test_a_spec_that_was_changed(self, specdl: Command, words: tuple[str, ...], trained: Path) -> None:
        shutil.copytree(trained, "run")
        spec = Path("run/spec.yaml")
        spec.write_text(spec.read_text().replace("hidden: 16", "hidden: 5"))
        one_error(self.use(specdl, words, "run"), "E0602", "`hidden.weight` is [16, 64], the network's is [5, 64]")

    def test_a_spec_that_is_broken(self, specdl: Command, words: tuple[str, ...], trained: Path) -> None:
        shutil.copytree(trained, "run")
        Path("run/spec.yaml").write_text("specdl: [1\n")
        one_error(self.use(specdl, words, "run"), "E0152", "run/spec.yaml:")


@pytest.mark.parametrize("command", ["eval", "predict"])
def test_a_run_that_doesnt_exist(specdl: Command, command: str) -> None:
    words = ("one.png",) if command == "predict" else ()
    one_error(specdl(command, "nowhere", *words), "E0605", "`nowhere` doesn't exist")
    one_error(specdl(command, "tiny.yaml", *words), "E0605", "`tiny.yaml` is not the folder of a run")


class TestEval:
    def test_it_repeats_what_training_measured(self, specdl: Command, trained: Path) -> None:
        rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
        found = json.loads(specdl("eval", trained, "--json").out)
        assert found == {
            "run": str(trained),
            "split": "validation",
            "metrics": {"loss": rows[-1]["validation/loss"], "accuracy": rows[-1]["validation/accuracy"]},
        }

    def test_text(self, specdl: Command, trained: Path) -> None:
        lines = specdl("eval", trained, "--split", "train", "--checkpoint", "last").lines()
        assert [line.split(":")[0] for line in lines] == ["train/loss", "train/accuracy"]

    def test_a_part_that_the_data_lacks(self, specdl: Command, trained: Path) -> None:
        one_error(specdl("eval", trained, "--split", "test"), "E0606", "no part `test`", "`train`, `validation`")
        one_error(specdl("eval", trained, "--split", "validaton"), "E0606", "did you mean `validation`?")


@pytest.mark.usefixtures("images")
class TestPredict:
    def test_json(self, specdl: Command, trained: Path) -> None:
        found = json.loads(specdl("predict", trained, "one.png", "big.jpg", "--json", "--top", "2").out)
        assert set(found) == {"run", "predictions"}
        assert [item["file"] for item in found["predictions"]] == ["one.png", "big.jpg"]
        for item in found["predictions"]:
            first, second = item["top"]
            assert 1 >= first["probability"] >= second["probability"] >= 0
            assert {first["label"], second["label"]} <= set("0123456789")

    def test_text_has_a_line_a_file(self, specdl: Command, trained: Path) -> None:
        lines = specdl("predict", trained, "one.png", "big.jpg").lines()
        assert [line.split(": ")[0] for line in lines] == ["one.png", "big.jpg"]
        assert all(line.count("%") == 3 for line in lines)

    def test_an_image_of_another_size_is_fitted(self, specdl: Command, trained: Path) -> None:
        one, big = json.loads(specdl("predict", trained, "one.png", "big.jpg", "--json", "--top", "10").out)[
            "predictions"
        ]
        shares = [{guess["label"]: guess["probability"] for guess in item["top"]} for item in (one, big)]
        # The resampled digit is a little blurred: its probabilities move, by far less than the classes differ.
        assert max(abs(shares[0][label] - shares[1][label]) for label in "0123456789") < 0.03

    def test_every_bad_file_is_told(self, specdl: Command, trained: Path) -> None:
        whole = Path("one.png").read_bytes()
        Path("cut.png").write_bytes(whole[:-30])
        Path("text.png").write_text("hello")
        Path("nothing.png").write_bytes(b"")
        Path("folder.png").mkdir()
        names = ["cut.png", "text.png", "nothing.png", "folder.png", "nowhere.png"]
        done = specdl("predict", trained, "one.png", *names, "--json")
        assert (done.code, done.out) == (1, "")
        told = [line for line in done.err.splitlines() if line]
        assert [line.split("`")[1] for line in told[:-1]] == names
        assert all(line.startswith("error[E0608]: can't read the image `") for line in told[:-1])
        assert [line.split(": ", 2)[2] for line in told[1:-1]] == [
            "it is no image of a known format",
            "it is empty",
            "it is a folder",
            "it doesn't exist",
        ]
        assert told[-1] == "5 errors"


class TestExport:
    def test_json_of_a_run(self, specdl: Command, trained: Path) -> None:
        found = json.loads(specdl("export", trained, "-o", "out.onnx", "--json").out)
        assert set(found) == {"path", "opset", "nodes", "max_abs_error", "verified"}
        assert (found["path"], found["opset"], found["nodes"], found["verified"]) == ("out.onnx", 20, 4, True)
        assert 0 <= found["max_abs_error"] < 1e-5

    def test_a_run_exports_its_weights(self, specdl: Command, trained: Path) -> None:
        import onnx
        from safetensors.numpy import load_file

        specdl("export", trained, "-o", "out.onnx")
        stored = [onnx.numpy_helper.to_array(item) for item in onnx.load("out.onnx").graph.initializer]
        weights = load_file(trained / "checkpoints" / "best" / "model.safetensors")["hidden.weight"]
        assert any(np.array_equal(array, weights) or np.array_equal(array, weights.T) for array in stored)

    def test_a_spec_exports_the_weights_of_its_seed(self, specdl: Command) -> None:
        for name in ("one.onnx", "two.onnx"):
            done = specdl("export", "tiny.yaml", "-o", name, "--variant", "small", "params.classes=12")
            assert done.code == 0
            assert done.out.startswith(f"wrote {name}: 4 nodes, opset 20, equal to PyTorch within ")
        assert Path("one.onnx").read_bytes() == Path("two.onnx").read_bytes()

    def test_unverified(self, specdl: Command) -> None:
        found = json.loads(
            specdl("export", "tiny.yaml", "-o", "out.onnx", "--no-verify", "--json", "--opset", "18").out
        )
        assert (found["opset"], found["verified"], found["max_abs_error"]) == (18, False, None)

    def test_a_run_takes_no_overrides(self, specdl: Command, trained: Path) -> None:
        for words in (("params.hidden=3",), ("--variant", "small")):
            done = specdl("export", trained, "-o", "out.onnx", *words)
            assert (done.code, done.out) == (2, "")
            assert "a run has its own parameters" in done.err


def test_a_run_needs_none_of_the_files_that_its_spec_was_made_of(specdl: Command, folder: Path) -> None:
    Path("parts").mkdir()
    Path("tiny.yaml").rename("parts/base.yaml")
    Path("parts/act.yaml").write_text("specdl: 1\nblocks:\n  act: {layers: [relu]}\n")
    layers = "[flatten, act, logits = linear: $classes]"
    Path("spec.yaml").write_text(f"extends: parts/base.yaml\nimports: [parts/act.yaml]\nlayers: {layers}\n")
    assert specdl("train", "spec.yaml", "--folder", "run").code == 0
    before = specdl("eval", "run", "--split", "train")
    assert before.code == 0, before
    shutil.rmtree("parts")
    Path("spec.yaml").unlink()
    Path("run").rename("moved")
    assert specdl("eval", "moved", "--split", "train").out == before.out
    assert specdl("train", "moved/spec.yaml", "--resume", "moved").code == 0
