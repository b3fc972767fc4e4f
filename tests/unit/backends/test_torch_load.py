"""What is loaded is exactly the ejected text, and an error in it leads back to the spec."""

from __future__ import annotations

import copy
import gc
import inspect
import linecache
import subprocess
import sys
import traceback
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn

from specdl.api import Model
from specdl.backends.torch_load import load_module, load_steps, load_torch, place_of
from specdl.backends.torch_source import TorchSource, emit_torch
from specdl.diagnostics import EnvironmentFailure
from tests.conftest import compiled

BLOCKS = """inputs: {x: [4]}
blocks:
  gated:
    params: {width: 4}
    layers:
      - residual:
          - up = linear: $width
          - stochastic_depth: 0.1
layers:
  - first = gated
  - second = gated
  - head = sequence:
      - relu
      - linear: 2
"""


def file_of(module: nn.Module) -> str:
    return inspect.unwrap(type(module).forward).__code__.co_filename


def line_of(text: str) -> int:
    """The line of `BLOCKS`, two lines below the header."""
    return 3 + next(number for number, line in enumerate(BLOCKS.splitlines()) if text in line)


# ---- the text ----------------------------------------------------------------------------------------


def test_the_lines_that_run_are_those_that_are_ejected() -> None:
    model = compiled(BLOCKS)
    module = model.module()
    assert "".join(linecache.getlines(file_of(module))) == model.source()
    linecache.checkcache()  # what a traceback does before it is printed
    assert "".join(linecache.getlines(file_of(module))) == model.source()
    assert inspect.getsource(type(module).forward) in model.source()


def test_the_ejected_file_runs_alone_and_computes_the_same(tmp_path: Path) -> None:
    model = compiled(BLOCKS)
    torch.manual_seed(3)
    expected = model.module().eval()(torch.ones(2, 4)).tolist()
    (tmp_path / "ejected.py").write_text(model.source())
    script = (
        "import sys; sys.modules['specdl'] = None\nimport torch, ejected\ntorch.manual_seed(3)\n"
        "print(getattr(ejected, ejected.__all__[0])().eval()(torch.ones(2, 4)).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.strip() == str(expected)


def test_modules_that_pytorch_lacks_are_copied_in() -> None:
    model = compiled(BLOCKS)
    depth = model.module().get_submodule("first.stochastic_depth")
    assert type(depth).__module__ == "specdl.ejected"
    assert model.source().count("class StochasticDepth(nn.Module):") == 1
    assert "specdl" not in model.source()


def test_the_seed_decides_the_weights() -> None:
    model = compiled(BLOCKS)
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(model.module().state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["head.1.weight"], states[2]["head.1.weight"])


# ---- two models at once ------------------------------------------------------------------------------


def test_models_of_one_name_do_not_clash() -> None:
    small, large = compiled(BLOCKS), compiled(BLOCKS.replace("linear: 2", "linear: 3"))
    first, second, again = small.module(), large.module(), small.module()
    assert len({file_of(module) for module in (first, second, again)}) == 3
    for model, module in ((small, first), (large, second), (small, again)):
        assert "".join(linecache.getlines(file_of(module))) == model.source()
    assert [module(torch.zeros(1, 4)).shape[1] for module in (first, second, again)] == [2, 3, 2]
    assert type(first.get_submodule("first")) is not type(again.get_submodule("first"))
    assert not any(name.startswith("specdl.ejected") for name in sys.modules)


def test_a_copy_is_independent() -> None:
    module = compiled(BLOCKS).module().eval()
    twin = copy.deepcopy(module)
    x = torch.ones(1, 4)
    before = module(x)
    assert torch.equal(twin(x), before)
    torch.nn.init.zeros_(twin.get_parameter("head.1.weight"))
    assert torch.equal(module(x), before)
    with pytest.raises(RuntimeError) as error:
        twin(torch.zeros(1, 5))
    assert error.value.__notes__ == [f"in the spec: test.yaml:{line_of('up =')}:13"]


def test_a_module_is_freed() -> None:
    gone = weakref.ref(compiled(BLOCKS).module())
    gc.collect()
    assert gone() is None


# ---- errors ------------------------------------------------------------------------------------------


def test_an_error_in_forward_shows_the_source_and_names_the_spec() -> None:
    model = compiled(BLOCKS)
    module = model.module()
    with pytest.raises(RuntimeError) as error:
        module(torch.zeros(2, 5))
    text = "".join(traceback.format_exception(error.value))
    assert "y = self.up(x)" in text
    assert "x = self.first(x)" in text
    # The innermost line decides: the one in the block, not its call.
    assert text.rstrip().endswith(f"in the spec: test.yaml:{line_of('up =')}:13")


def test_the_note_stands_once() -> None:
    module = compiled(BLOCKS).module()
    outer = nn.Sequential(module)
    with pytest.raises(RuntimeError) as error:
        outer(torch.zeros(2, 5))
    assert len(error.value.__notes__) == 1


def test_an_error_of_the_caller_has_no_note() -> None:
    module = compiled(BLOCKS).module()
    with pytest.raises(TypeError) as error:
        module()
    assert not hasattr(error.value, "__notes__")


def test_an_error_in_a_loop_names_the_layer() -> None:
    text = "inputs: {x: [4]}\nlayers:\n  - repeat: 3\n    body:\n      - linear: $(4 if last else 8)\n"
    module = compiled(text).module()
    with pytest.raises(RuntimeError) as error:
        module(torch.zeros(2, 5))
    assert error.value.__notes__ == ["in the spec: test.yaml:7:9"]


def test_every_line_of_forward_knows_its_place() -> None:
    source = emit_torch(compiled(BLOCKS).program)
    lines = source.text.splitlines()
    for number, line in enumerate(lines, 1):
        if ("self." in line and "=" in line) or line.strip().startswith(("x =", "y =", "return x", "return self.")):
            in_support = number < next(at for at, text in enumerate(lines, 1) if text.startswith("class Gated"))
            assert in_support or number in source.places, line


def test_place_of_another_files_error() -> None:
    try:
        raise ValueError("elsewhere")
    except ValueError as error:
        assert place_of(error, "<specdl Model 1>", {}) is None


def test_the_class_keeps_its_name() -> None:
    module = compiled(BLOCKS).module()
    assert type(module).__name__ == type(module).__qualname__ == "Test"
    assert type(module).__module__ == "specdl.ejected"
    assert repr(module).startswith("Test(\n  (first): Gated(")


def test_a_text_that_is_no_python_is_told_by_its_line() -> None:
    with pytest.raises(SyntaxError) as error:
        load_torch(TorchSource("class Model(:\n", "Model", {}))
    assert "class Model(:" in "".join(traceback.format_exception(error.value))


@pytest.mark.parametrize("error", ["MemoryError()", 'RuntimeError("DefaultCPUAllocator: can\'t allocate memory")'])
def test_weights_that_memory_can_not_hold(error: str) -> None:
    text = f"class Model:\n    def __init__(self):\n        raise {error}\n"
    with pytest.raises(EnvironmentFailure, match="not enough memory for the weights of `Model`"):
        load_torch(TorchSource(text, "Model", {}))


def test_another_error_of_a_constructor_stays_what_it_is() -> None:
    text = "class Model:\n    def __init__(self):\n        raise RuntimeError('broken')\n"
    with pytest.raises(RuntimeError, match="broken"):
        load_torch(TorchSource(text, "Model", {}))


# ---- what PyTorch does with modules ------------------------------------------------------------------


def test_the_module_can_be_traced_exported_and_compiled() -> None:
    module = compiled(BLOCKS).module().eval()
    x = torch.randn(3, 4)
    with torch.no_grad():
        expected = module(x)
        assert torch.equal(torch.fx.symbolic_trace(module)(x), expected)
        assert torch.equal(torch.export.export(module, (x,)).module()(x), expected)
        torch._dynamo.reset()
        assert torch.equal(torch.compile(module, backend="eager", fullgraph=True)(x), expected)


def test_hooks_run() -> None:
    module = compiled(BLOCKS).module()
    seen: list[tuple[int, ...]] = []
    module.register_forward_hook(lambda _, inputs, output: seen.append(tuple(output.shape)))
    module(torch.zeros(3, 4))
    assert seen == [(3, 2)]


# ---- steps -------------------------------------------------------------------------------------------

STEP = """inputs: {image: [1, 8, 8]}
outputs: [logits]
layers:
  - features = flatten
  - auxiliary = linear: 10
  - logits = linear(features): 10
data: {source: digits}
losses:
  - cross_entropy(logits, label)
  - extra = cross_entropy(auxiliary, label): {weight: 0.5}
optimizer: {sgd: {lr: 0.1}}
"""


def digits() -> tuple[Model, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    batch = {"image": torch.rand(5, 1, 8, 8, generator=generator), "label": torch.arange(5)}
    return compiled(STEP), batch


def test_a_step_has_the_terms_of_its_mode() -> None:
    model, batch = digits()
    module = load_module(model.program)
    (step,) = load_steps(model.program).values()
    terms, outputs = step({"model": module.train()}, batch)
    assert (list(terms), list(outputs)) == (["cross_entropy", "extra"], ["logits", "auxiliary"])
    terms, outputs = step({"model": module.eval()}, batch)
    assert (list(terms), list(outputs)) == (["cross_entropy"], ["logits"])
    expected = torch.nn.functional.cross_entropy(module(batch["image"]), batch["label"])
    assert torch.equal(terms["cross_entropy"], expected)


def test_the_lines_of_a_step_are_known_to_tracebacks() -> None:
    model, batch = digits()
    (step,) = load_steps(model.program).values()
    with pytest.raises((ValueError, RuntimeError, IndexError)) as error:
        step({"model": load_module(model.program)}, {**batch, "label": torch.arange(4)})
    assert "F.cross_entropy(" in "".join(traceback.format_exception(error.value))
