"""What a comparison of two architectures tells, and what it doesn't."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from specdl.analysis.diff import Difference, compare
from specdl.api import load
from specdl.diagnostics import SpecError
from specdl.ir.program import same_layers
from tests.conftest import CASES, SPECS, compiled, shipped_specs

BASE = "inputs: {x: [3, 16, 16]}\nlayers:\n"


def changes(before: str, after: str) -> list[tuple[str, str | None, str | None, int]]:
    found = compare(compiled(BASE + before).program, compiled(BASE + after).program)
    return [brief(item) for item in found]


def brief(item: Difference) -> tuple[str, str | None, str | None, int]:
    before, after = (None if side is None else side.path for side in (item.before, item.after))
    return item.kind, before, after, item.times


def test_equal_specs_have_no_differences() -> None:
    for path in shipped_specs():
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


WIRED = "  - a = linear: 3\n  - b = linear(x): 3\n  - c = add(a, b)\n"


def detail(before: str, after: str) -> list[tuple[str | None, tuple[tuple[str, str, str], ...]]]:
    base = "inputs: {x: [3], y: [3]}\nlayers:\n"
    found = compare(compiled(base + before).program, compiled(base + after).program)
    return [(item.after and item.after.path, item.details) for item in found if item.kind != "reshaped"]


def test_another_input_is_a_change() -> None:
    assert detail(WIRED, WIRED.replace("linear(x)", "linear(y)")) == [("b", (("inputs", "x", "y"),))]
    assert detail(WIRED, WIRED.replace("add(a, b)", "add(a, a)")) == [("c", (("inputs", "a, b", "a, a"),))]


def test_another_output_is_a_change() -> None:
    one = WIRED + "outputs: [c]\n"
    assert detail(one, one.replace("[c]", "{c: a}")) == [("c", (("from", "c", "a"),))]
    assert [path for path, _ in detail(one, one.replace("[c]", "[c, a]"))] == ["a"]


def test_what_is_read_through_an_inserted_layer_is_no_change() -> None:
    assert changes(
        "  - conv2d: {out_channels: 8, kernel_size: 1}\n  - relu\n  - flatten\n",
        "  - conv2d: {out_channels: 8, kernel_size: 1}\n  - batch_norm2d\n  - relu\n  - relu\n  - flatten\n",
    ) == [("added", None, "batch_norm2d", 1), ("added", None, "relu", 1)]


def test_numbers_that_nobody_wrote_are_no_names() -> None:
    one = "".join(f"  - linear: {width}\n  - relu\n" for width in (8, 9, 10))
    other = one.replace("  - linear: 9\n", "  - linear: 7\n  - relu\n  - linear: 9\n")
    base = "inputs: {x: [4]}\nlayers:\n"
    found = compare(compiled(base + one).program, compiled(base + other).program)
    kinds = [(item.kind, item.after.path if item.after else None) for item in found]
    assert ("added", "linear_2") in kinds
    assert not [item for item in found if item.kind == "removed"]


def test_ties_beginnings_and_frozen_weights_count() -> None:
    base = (
        "inputs: {t: {shape: [T], dtype: int64}}\nlayers:\n  - e = embedding: {num_embeddings: 5, embedding_dim: 4}\n"
    )
    base += "  - h = linear: {out_features: 5, bias: false}\n"
    plain = compiled(base).program
    for text, what in (
        ("tie: [{h.weight: e.weight}]\n", "tie"),
        ('init: {"*.weight": zeros}\n', "init"),
        ("freeze: [e.weight]\n", "freeze"),
    ):
        assert what in {name for item in compare(plain, compiled(base + text).program) for name, _, _ in item.details}
        assert compare(compiled(base + text).program, compiled(base + text).program) == ()


PIECES = ["relu", "linear: 4", "linear: 5", "a = linear: 4", "b = tanh", "add(_, x)", "dropout: 0.5", "c = identity"]


@given(st.lists(st.sampled_from(PIECES), max_size=6), st.lists(st.sampled_from(PIECES), max_size=6))
def test_equal_is_what_compiles_to_the_same(one: list[str], other: list[str]) -> None:
    programs = []
    for pieces in (one, other):
        text = "inputs: {x: [4]}\nlayers:\n" + "".join(f"  - {piece}\n" for piece in ["identity", *pieces])
        try:
            programs.append(compiled(text).program)
        except SpecError:
            return
    found = compare(*programs)
    assert (found == ()) == same_layers(*programs)
    assert compare(programs[0], programs[0]) == ()
