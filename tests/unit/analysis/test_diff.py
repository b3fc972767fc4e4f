"""What a comparison of two architectures tells, and what it doesn't."""

from __future__ import annotations

from specdl.analysis.diff import Difference, compare
from specdl.api import load
from tests.conftest import CASES, SPECS, compiled

BASE = "inputs: {x: [3, 16, 16]}\nlayers:\n"


def changes(before: str, after: str) -> list[tuple[str, str | None, str | None, int]]:
    found = compare(compiled(BASE + before).program, compiled(BASE + after).program)
    return [brief(item) for item in found]


def brief(item: Difference) -> tuple[str, str | None, str | None, int]:
    before, after = (None if side is None else side.path for side in (item.before, item.after))
    return item.kind, before, after, item.times


def test_equal_specs_have_no_differences() -> None:
    for path in sorted(SPECS.rglob("*.yaml")):
        assert compare(load(path).program, load(path).program) == ()


def test_one_argument() -> None:
    one = "  - conv2d: {out_channels: 8, kernel_size: 3, padding: 1}\n  - relu\n"
    found = compare(compiled(BASE + one).program, compiled(BASE + one.replace("size: 3", "size: 5")).program)
    assert [(item.kind, item.details) for item in found] == [
        ("changed", (("kernel_size", "3", "5"),)),
        ("reshaped", ()),
    ]
    assert [item.before.parameters for item in found if item.before] == [3 * 8 * 9 + 8, 0]
    assert [item.after.parameters for item in found if item.after] == [3 * 8 * 25 + 8, 0]


def test_an_inserted_layer_is_one_addition_though_it_renumbers_others() -> None:
    group = "  - f = sequence:\n      - conv2d: {out_channels: 8, kernel_size: 1}\n      - relu\n      - dropout: 0.5\n"
    more = group.replace("      - relu\n", "      - batch_norm2d\n      - relu\n")
    assert changes(group, more) == [("added", None, "f.1", 1)]
    assert changes(more, group) == [("removed", "f.1", None, 1)]


def test_another_name_is_a_renaming() -> None:
    one = "  - stem = conv2d: {out_channels: 8, kernel_size: 1}\n  - relu\n"
    assert changes(one, one.replace("stem", "root")) == [("renamed", "stem", "root", 1)]


def test_another_operator_under_one_name_is_a_change() -> None:
    assert changes("  - act = relu\n", "  - act = tanh\n") == [("changed", "act", "act", 1)]


def test_a_change_in_a_repeated_block_is_told_once() -> None:
    path = CASES / "imports" / "transformer_base" / "spec.yaml"
    found = compare(load(path).program, load(path, overrides={"params.heads": 4}).program)
    assert [brief(item) for item in found] == [
        ("changed", name, name, 6)
        for name in (
            "encoder.*.self_attention.attention",
            "decoder.*.self_attention.attention",
            "decoder.*.cross_attention.attention",
        )
    ]


def test_a_deeper_network_has_more_blocks_and_nothing_else() -> None:
    found = compare(load(SPECS / "resnet.yaml", "resnet18").program, load(SPECS / "resnet.yaml", "resnet34").program)
    assert {item.kind for item in found} == {"added"}
    assert len(found) == (3 + 4 + 6 + 3) - (2 + 2 + 2 + 2)
    sizes = [load(SPECS / "resnet.yaml", name).parameters for name in ("resnet18", "resnet34")]
    assert sum(item.after.parameters for item in found if item.after) == sizes[1] - sizes[0]


def test_inputs_are_compared() -> None:
    one = compiled("inputs: {x: [4]}\nlayers: [relu]\n").program
    other = compiled("inputs: {x: [5]}\nlayers: [relu]\n").program
    assert [(item.kind, item.before and item.before.operator) for item in compare(one, other)] == [
        ("changed", "input"),
        ("reshaped", "relu"),
    ]
