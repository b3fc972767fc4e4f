"""`verify` finds each way in which a program can be broken: every test breaks one thing of a program that is whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from specdl.ir.dims import BATCH
from specdl.ir.program import Function, Program, Residual, Value
from specdl.ir.types import TensorType
from specdl.ir.verify import InvalidProgram, verify
from specdl.ops import OPERATORS
from specdl.passes import PASSES, run_passes
from tests.conftest import compiled, shipped_specs

TEXT = """inputs: {image: [1, 8, 8]}
outputs: [logits]
blocks:
  block:
    layers:
      - residual:
          - inner = linear: 64
layers:
  - features = flatten
  - block
  - hidden = linear: 64
  - again = call: hidden
  - auxiliary = linear: 10
  - unused = linear(hidden): 3
  - logits = linear(again): 10
data: {source: digits}
losses:
  - cross_entropy(logits, label)
  - extra = cross_entropy(auxiliary, label)
optimizer: {sgd: {lr: 0.1}}
"""
OTHER = TensorType((BATCH, 7))


def program() -> Program:
    return compiled(TEXT).program


def with_function(program: Program, change: Callable[[Function], Function], key: str = "test") -> Program:
    return replace(program, functions={**program.functions, key: change(program.functions[key])})


def with_node(layer: str, key: str = "test", /, **fields: Any) -> Callable[[Program], Program]:
    """Changes one node; a value that is callable makes the field from the node."""

    def change(function: Function) -> Function:
        nodes = tuple(
            replace(node, **{field: value(node) if callable(value) else value for field, value in fields.items()})
            if node.name == layer
            else node
            for node in function.nodes
        )
        assert nodes != function.nodes
        return replace(function, nodes=nodes)

    return lambda program: with_function(program, change, key)


def with_fields(key: str = "test", **fields: Any) -> Callable[[Program], Program]:
    return lambda program: with_function(program, lambda function: replace(function, **fields), key)


def with_step(**fields: Any) -> Callable[[Program], Program]:
    return lambda program: replace(program, steps=(replace(program.steps[0], **fields),))


def reordered(program: Program) -> Program:
    """Callers before callees."""
    return replace(program, functions=dict(reversed(program.functions.items())))


BROKEN: dict[str, tuple[Callable[[Program], Program], str]] = {
    "key": (lambda p: replace(p, functions={**p.functions, "other": p.main}), "is filed under `other`"),
    "network": (lambda p: replace(p, networks={"model": "nothing"}), "there is no function `nothing`"),
    "step": (with_step(function="nothing"), "there is no function `nothing`"),
    "evaluation of a step": (with_step(evaluation="nothing"), "there is no function `nothing`"),
    "network of a step": (with_step(update=("critic",)), "updates `critic`, which is no network"),
    "terms of a step": (lambda p: with_step(terms=p.steps[0].terms[::-1])(p), "its terms are not"),
    "order of functions": (reordered, "which does not come before it"),
    "callee": (with_node("block", callee="nothing"), "calls `nothing`, which does not come before it"),
    "recursion": (with_node("block", callee="test"), "calls `test`, which does not come before it"),
    "inputs of one name": (
        with_fields(inputs=(Value("image", OTHER), Value("image", OTHER))),
        "has two inputs of one name",
    ),
    "layers of one name": (with_node("hidden", name="block"), "node `block` stands twice"),
    "unknown value": (with_node("hidden", inputs=("nothing",)), "reads `nothing` before it is made"),
    "later value": (with_node("hidden", inputs=("logits",)), "reads `logits` before it is made"),
    "its own value": (with_node("hidden", inputs=("hidden",)), "reads `hidden` before it is made"),
    "number of outputs": (with_node("hidden", outputs=("hidden", "more")), "has as many types as outputs"),
    "value made twice": (with_node("hidden", outputs=("features",)), "makes `features` a second time"),
    "value called like an input": (with_node("unused", outputs=("image",)), "makes `image` a second time"),
    "type of an operator": (with_node("unused", types=(OTHER,)), "has other types than its operator"),
    "operator that refuses": (
        with_node("unused", callee=OPERATORS["conv2d"](out_channels=4, kernel_size=3)),
        "has other types than its operator",
    ),
    "too few inputs": (with_node("unused", inputs=()), "has other types than its operator"),
    "inputs of a block": (with_node("block", inputs=("image",)), "gives other input types"),
    "type of a block": (with_node("block", types=(OTHER,)), "has other output types"),
    "shared layer": (with_node("hidden_again", shares="nothing"), "shares `nothing`, which does not come before it"),
    "path to a shared layer": (with_node("hidden_again", shares="block.deep.er"), "which does not come before it"),
    "layer that shares itself": (with_node("hidden_again", shares="hidden_again"), "which does not come before it"),
    "another layer's weights": (with_node("hidden_again", shares="auxiliary"), "which does not come before it"),
    "other weights": (with_node("hidden_again", shares="block.inner", callee=OPERATORS["relu"]()), "is another layer"),
    "skipped in training": (with_node("auxiliary", skip=True), "is skipped, and runs in training"),
    "output": (with_fields(outputs=("nothing", "auxiliary")), "returns `nothing`, which nothing makes"),
    "names of outputs": (with_fields(output_names=("logits",)), "has as many names as outputs"),
    "outputs of one name": (with_fields(output_names=("logits", "logits")), "has two outputs of one name"),
    "outputs in training": (with_fields(training_outputs=3), "has 3 outputs in training"),
    "negative outputs": (with_fields(training_outputs=-1), "has -1 outputs in training"),
    "a block's outputs in training": (with_fields(key="block", training_outputs=1), "has 1 outputs in training"),
    "residual": (with_fields(key="block", residuals=(Residual("x", (0,), (), 9),)), "has a residual between nodes"),
    "value of a residual": (with_fields(key="block", residuals=(Residual("y", (0,), (), 1),)), "has a residual"),
}


def test_the_program_is_whole() -> None:
    assert verify(program()) == program()


@pytest.mark.parametrize(("change", "told"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_found(change: Callable[[Program], Program], told: str) -> None:
    with pytest.raises(InvalidProgram, match=told):
        verify(change(program()))


def test_a_pass_that_breaks_the_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def drop_outputs(program: Program) -> Program:
        return with_fields(outputs=("nothing", "auxiliary"))(program)

    monkeypatch.setattr("specdl.passes.PASSES", (*PASSES, drop_outputs))
    with pytest.raises(InvalidProgram, match="after `drop_outputs`: function `test`: returns `nothing`"):
        run_passes(program())


def test_the_shipped_specs_are_whole() -> None:
    import specdl

    for path in shipped_specs():
        verify(specdl.load(path, "resnet18" if path.stem == "resnet" else None).program)
