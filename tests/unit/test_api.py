"""The Python interface: `specdl.load`, what a model gives, and `specdl.train`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import specdl
from tests.conftest import SPECS
from tests.unit.cli.conftest import environment

TINY = """\
specdl: 1
name: tiny
params: {classes: 10, hidden: 16}
variants:
  small: {hidden: 4}
inputs:
  image: [1, 8, 8]
layers:
  - flatten
  - hidden = linear: $hidden
  - relu
  - logits = linear: $classes
data: {source: digits, batch_size: 512}
loss: cross_entropy
metrics: [accuracy]
train: {epochs: 1, seed: 0}
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path


class TestLoad:
    def test_a_path_may_be_text_or_a_path(self, tiny: Path) -> None:
        assert specdl.load(str(tiny)).parameters == specdl.load(tiny).parameters == 1210

    def test_variant_and_overrides(self, tiny: Path) -> None:
        assert specdl.load(tiny, variant="small").parameters == 310
        assert specdl.load(tiny, overrides={"params.hidden": 8}).parameters == 610
        assert specdl.load(tiny, variant="small", overrides={"params.hidden": 8, "name": "other"}).name == "other"
        assert specdl.load(tiny, variant=None, overrides={}).parameters == 1210

    def test_values_of_overrides_are_python_values(self, tiny: Path) -> None:
        model = specdl.load(tiny, overrides={"optimizer": {"sgd": {"lr": 0.5}}, "train.epochs": None})
        assert model.recipe is not None
        assert model.recipe.optimizer.optimizer.lr == 0.5
        assert model.recipe.train.epochs is None

    def test_every_mistake_is_in_the_error(self, tiny: Path) -> None:
        with pytest.raises(specdl.SpecError) as error:
            specdl.load(tiny, overrides={"params.hiden": 8, "train.epoch": 3})
        assert [(item.code, item.help) for item in error.value.diagnostics] == [
            ("E0303", "did you mean `hidden`?"),
            ("E0201", "did you mean `epochs`?"),
        ]
        assert "did you mean `hidden`?" in str(error.value)

    def test_what_is_no_override(self, tiny: Path) -> None:
        with pytest.raises(specdl.SpecError, match="E0303"):
            specdl.load(tiny, overrides={"": 3})

    def test_torch_is_not_needed(self, tiny: Path) -> None:
        code = (
            "import sys; sys.modules['torch'] = None\n"
            "import specdl\n"
            f"model = specdl.load({str(tiny)!r})\n"
            "model.diagram('m.svg')\n"
            "print(model.parameters, len(model.source()) > 300, model.name, model.input_names, model.output_names)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True
        )
        assert done.stdout == "1210 True tiny ('image',) ('logits',)\n"


class TestModel:
    def test_module(self, tiny: Path) -> None:
        import torch

        model = specdl.load(tiny)
        torch.manual_seed(3)
        first = model.module()
        torch.manual_seed(3)
        again = model.module()
        assert sum(parameter.numel() for parameter in first.parameters()) == model.parameters
        assert all(torch.equal(one, two) for one, two in zip(first.parameters(), again.parameters(), strict=True))
        assert first(torch.zeros(2, 1, 8, 8)).shape == (2, 10)

    def test_an_error_in_forward_names_the_line(self, tiny: Path) -> None:
        import torch

        with pytest.raises(RuntimeError) as error:
            specdl.load(tiny).module()(torch.zeros(2, 1, 9, 9))
        assert error.value.__notes__ == [f"in the spec: {tiny}:10:5"]

    def test_export_takes_the_weights_of_the_module(self, tiny: Path) -> None:
        import onnxruntime
        import torch

        model = specdl.load(tiny)
        module = model.module().eval()
        result = model.export_onnx("m.onnx", module=module, verify=True)
        assert (result.verified, result.opset, Path(result.path)) == (True, 20, Path("m.onnx"))
        image = torch.rand(5, 1, 8, 8)
        session = onnxruntime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
        (logits,) = session.run(None, {"image": image.numpy()})
        with torch.inference_mode():
            # One matrix product of 64 terms a layer: the order of the sums is all that differs.
            torch.testing.assert_close(torch.from_numpy(logits), module(image), rtol=1e-5, atol=1e-6)

    def test_export_with_fresh_weights(self, tiny: Path) -> None:
        assert specdl.load(tiny).export_onnx(tiny.with_name("m.onnx"), verify=False).max_abs_error is None

    def test_diagram(self, tiny: Path) -> None:
        assert specdl.load(tiny).diagram("m.dot", depth=0, direction="LR") == Path("m.dot")
        with pytest.raises(specdl.SpecError, match="E0806"):
            specdl.load(tiny).diagram("m.gif")

    def test_source_is_what_the_module_runs(self, tiny: Path) -> None:
        import inspect

        model = specdl.load(tiny)
        assert inspect.getsource(type(model.module()).forward) in model.source()

    def test_the_resolved_spec_is_the_same_model(self, tiny: Path) -> None:
        model = specdl.load(tiny, "small", {"params.classes": 12})
        tiny.with_name("resolved.yaml").write_text(model.resolved_text(), encoding="utf-8")
        again = specdl.load("resolved.yaml")
        assert again.parameters == model.parameters == 320
        assert again.source().partition("\n")[2] == model.source().partition("\n")[2]

    def test_public_specs_load(self) -> None:
        assert specdl.load(SPECS / "resnet.yaml", variant="resnet18").parameters == 11689512


class TestTrain:
    def test_a_run_has_a_folder_and_metrics(self, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run = specdl.train(tiny, overrides={"train.epochs": 2, "params.hidden": 8})
        assert isinstance(run.folder, Path)
        assert run.folder.parent == Path("runs/tiny")
        rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
        best = max(rows, key=lambda row: row["validation/accuracy"])
        assert run.metrics == {name: value for name, value in best.items() if name not in {"lr", "seconds"}}
        assert capsys.readouterr().out == ""

    def test_options(self, tiny: Path, tmp_path: Path) -> None:
        from specdl.training.progress import Silent

        run = specdl.train(tiny, "small", folder=tmp_path / "here", progress=Silent())
        assert run.folder == tmp_path / "here"
        with pytest.raises(specdl.SpecError, match="E0609"):
            specdl.train(tiny, folder=tmp_path / "here", progress=Silent())

    def test_nothing_to_train(self, tiny: Path) -> None:
        with pytest.raises(specdl.SpecError, match="needs a `loss`"):
            specdl.train(tiny, overrides={"loss": None})
