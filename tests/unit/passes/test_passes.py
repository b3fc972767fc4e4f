"""What the passes change, and that a model computes the same before and after them."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from hypothesis import given, settings

from specdl.api import Model
from specdl.backends.torch_load import load_module
from specdl.ir.program import Program, walk
from specdl.ir.verify import verify
from specdl.passes import PASSES, run_passes
from specdl.passes.liveness import mark_liveness
from specdl.passes.sharing import share_functions
from tests.conftest import compiled
from tests.unit.small_specs import FEATURES, small_specs


def before_passes(text: str) -> Program:
    with mock.patch("specdl.passes.PASSES", ()):
        return compiled(text).program


def kinds(program: Program, kind: str) -> list[str]:
    return [key for key, function in program.functions.items() if function.kind == kind]


def marks(model: Model) -> dict[str, str]:
    """The layers that don't always run, by path."""
    nodes = {layer.path: layer.node for layer in walk(model.program, model.program.main)}
    return {
        path: "skip" if node.skip else "training" for path, node in nodes.items() if node.skip or node.training_only
    }


@settings(max_examples=40)
@given(small_specs())
def test_a_model_computes_the_same_before_and_after(text: str) -> None:
    plain = before_passes(text)
    program = run_passes(plain)
    before, after = load_module(plain).eval(), load_module(program).eval()
    assert list(before.state_dict()) == list(after.state_dict())
    after.load_state_dict(before.state_dict())
    x = torch.randn(3, FEATURES, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(before(x), after(x))


@settings(max_examples=40)
@given(small_specs())
def test_passes_done_twice_change_nothing_more(text: str) -> None:
    program = compiled(text).program
    assert run_passes(program) == program


@pytest.mark.parametrize("transform", PASSES, ids=lambda transform: transform.__name__)
def test_a_pass_alone_leaves_a_whole_program(transform: object) -> None:
    plain = before_passes("inputs: {x: [4]}\nlayers:\n  - a = repeat: 3\n    body:\n      - linear: 4\n      - relu\n")
    assert callable(transform)
    verify(transform(plain))


# ---- sharing -----------------------------------------------------------------------------------------


def shared(layers: str, kind: str = "group") -> int:
    """How many functions of a kind are left."""
    return len(kinds(share_functions(before_passes(f"inputs: {{x: [4]}}\n{layers}")), kind))


def groups(first: str, second: str) -> str:
    return f"layers:\n  - a = sequence(x):\n{first}  - b = sequence(x):\n{second}  - add(a, b)\n"


def test_iterations_become_one() -> None:
    loop = "layers:\n  - body = repeat: 5\n    body:\n      - linear: 4\n      - relu\n"
    assert shared(loop, "iteration") == 1


def test_only_the_first_iteration_differs() -> None:
    loop = "layers:\n  - body = repeat: 5\n    body:\n      - linear: 6\n      - relu\n"
    assert shared(loop, "iteration") == 2


LINEAR = "      - linear: 4\n      - relu\n"


@pytest.mark.parametrize(
    ("second", "count"),
    [
        (LINEAR, 1),
        ("      - linear: {out_features: 4, bias: true}\n      - relu\n", 1),
        ("      - linear: {out_features: 4, bias: false}\n      - relu\n", 2),
        ("      - fc = linear: 4\n      - relu\n", 2),
        ("      - linear: 4\n      - tanh\n", 2),
        ("      - linear: 4\n", 2),
    ],
    ids=["equal", "a default that is written", "an argument", "a name", "an operator", "a layer fewer"],
)
def test_groups_are_equal_when_they_do_the_same_under_the_same_names(second: str, count: int) -> None:
    assert shared(groups(LINEAR, second)) == count


@pytest.mark.parametrize(("left", "right"), [("_ * 2", "_ * 2.0"), ("1 / _ * 0.0", "1 / _ * -0.0"), ("_ - x", "x - _")])
def test_expressions_that_differ_in_more_than_their_look_stay_apart(left: str, right: str) -> None:
    # Python says 2 == 2.0 and 0.0 == -0.0; PyTorch gives other dtypes and signs.
    assert shared(groups(f"      - compute: {left}\n", f"      - compute: {right}\n")) == 2


def test_dtypes_of_constants_stay_apart() -> None:
    layers = (
        "layers:\n  - a = sequence(t): [compute: _ * 2]\n  - b = sequence(t): [compute: _ * 2.0]\noutputs: [a, b]\n"
    )
    module = compiled("inputs: {t: {shape: [4], dtype: int64}}\n" + layers).module()
    assert [value.dtype for value in module(torch.ones(1, 4, dtype=torch.int64))] == [torch.int64, torch.float32]


def test_blocks_keep_their_names() -> None:
    blocks = "blocks:\n  one: {layers: [linear: 4]}\n  two: {layers: [linear: 4]}\nlayers:\n  - one\n  - two\n  - one\n"
    program = share_functions(before_passes("inputs: {x: [4]}\n" + blocks))
    assert kinds(program, "block") == ["one", "two"]


def test_equal_groups_of_different_blocks_become_one() -> None:
    body = "{layers: [inner = sequence: [linear: 4, relu]]}"
    blocks = f"blocks:\n  one: {body}\n  two: {body}\nlayers:\n  - one\n  - two\n"
    assert shared(blocks) == 1


def test_callers_of_equal_functions_become_equal() -> None:
    layers = "layers:\n  - outer = repeat: 3\n    body:\n      - inner = sequence: [linear: 4, relu]\n      - tanh\n"
    assert (shared(layers, "iteration"), shared(layers)) == (1, 2)  # `outer` itself, and one `inner`


def test_what_is_called_again_stays_apart_from_fresh_weights() -> None:
    again = groups("      - l = linear: 4\n      - call: l\n", "      - l = linear: 4\n      - m = linear: 4\n")
    assert shared(again) == 2


# ---- liveness ----------------------------------------------------------------------------------------


def test_what_nothing_reads_is_not_run_but_keeps_its_keys() -> None:
    model = compiled("inputs: {x: [4]}\nlayers:\n  - dead = linear: 3\n  - deader = relu\n  - linear(x): 2\n")
    assert marks(model) == {"dead": "skip", "deader": "skip"}
    assert "dead.weight" in model.module().state_dict()
    assert "self.dead(" not in model.source()


def test_what_a_dead_layer_reads_is_dead_unless_another_reads_it() -> None:
    text = "inputs: {x: [4]}\nlayers:\n  - a = linear: 4\n  - b = linear: 3\n  - c = linear(a): 2\n"
    assert marks(compiled(text)) == {"b": "skip"}


def test_what_only_a_loss_reads_runs_in_training() -> None:
    model = compiled(
        "inputs: {image: [1, 8, 8]}\noutputs: [logits]\nlayers:\n  - features = flatten\n  - before = linear: 10\n"
        "  - auxiliary = relu\n  - logits = linear(features): 10\n  - dead = linear: 3\ndata: {source: digits}\n"
        "losses:\n  - cross_entropy(logits, label)\n  - cross_entropy(auxiliary, label)\noptimizer: {sgd: {lr: 0.1}}\n"
    )
    assert marks(model) == {"before": "training", "auxiliary": "training", "dead": "skip"}
    module = model.module()
    ran: list[str] = []
    for name, part in module.named_children():
        part.register_forward_hook(lambda *_, name=name: ran.append(name))
    module.eval()(torch.zeros(1, 1, 8, 8))
    assert ran == ["logits"]
    ran.clear()
    module.train()(torch.zeros(1, 1, 8, 8))
    assert sorted(ran) == ["before", "logits"]


def test_one_live_value_of_several_keeps_a_layer() -> None:
    model = compiled("inputs: {x: [5, 4]}\nlayers:\n  - output, h, c = lstm: 3\n  - linear(c): 2\n")
    assert marks(model) == {}


def test_marks_of_an_earlier_run_are_forgotten() -> None:
    program = compiled("inputs: {x: [4]}\nlayers:\n  - dead = linear: 3\n  - linear(x): 2\n").program
    assert mark_liveness(mark_liveness(program)) == program
