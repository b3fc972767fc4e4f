"""`rearrange` against a reshape, a permute and a reshape, which is what einops' notation means."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, Dim, symbol
from specdl.ops.base import TypeRuleError
from specdl.ops.rearrange import Rearrange
from tests.unit.ops.harness import check, check_symbolic, make, refusal_of, run_function, tensor
from tests.unit.ops.onnx_harness import check_onnx

T, S = symbol("T"), symbol("S")


@dataclass(frozen=True)
class Drawn:
    """A pattern and what it must do: reshape to `split`, permute by `order`, reshape to `result`."""

    pattern: str
    given: dict[str, int]
    shape: tuple[int, ...]
    split: tuple[int, ...]
    order: tuple[int, ...]
    result: tuple[int, ...]


def _partition(draw: st.DrawFn, names: list[str]) -> list[list[str]]:
    """The names in order, in groups of one to three, with axes of 1 (empty groups) between them."""
    groups: list[list[str]] = []
    rest = list(names)
    while rest:
        if draw(st.integers(0, 5)) == 0:
            groups.append([])
        count = draw(st.integers(1, 3))
        groups.append(rest[:count])
        rest = rest[count:]
    return groups


def _written(draw: st.DrawFn, groups: list[list[str]]) -> str:
    words = []
    for group in groups:
        items = list(group)
        if not items:
            one: str = draw(st.sampled_from(["1", "()", "(1)"]))
            words.append(one)
        elif len(items) == 1 and draw(st.booleans()):
            words.append(items[0])
        else:
            if draw(st.integers(0, 4)) == 0:
                items.insert(draw(st.integers(0, len(items))), "1")
            words.append(f"({' '.join(items)})")
    return " ".join(words)


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    names = [f"a{index}" for index in range(draw(st.integers(1, 5)))]
    sizes = {name: draw(st.sampled_from([1, 2, 3])) for name in names}
    moved: list[str] = draw(st.permutations(names))
    left, right = _partition(draw, names), _partition(draw, moved)
    known = {name: sizes[name] for group in left for name in group[1:]}
    told: bool = draw(st.booleans())
    if told:
        known.update({group[0]: sizes[group[0]] for group in left if group and group[0] not in moved[:2]})
    return Drawn(
        f"{_written(draw, left)} -> {_written(draw, right)}",
        known,
        tuple(prod(sizes[name] for name in group) for group in left),
        tuple(sizes[name] for name in names),
        tuple(names.index(name) for name in moved),
        tuple(prod(sizes[name] for name in group) for group in right),
    )


@given(drawn())
def test_any_pattern(case: Drawn) -> None:
    op = make(Rearrange, {"pattern": case.pattern, **case.given})
    check(op, tensor(*case.shape))
    x = torch.arange(prod(case.shape)).reshape(case.shape)
    found = run_function(op, [x], tensor(*case.shape, dtype="int64"))
    expected = x.reshape(case.split).permute(case.order).reshape(case.result)
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("pattern", "sizes", "shape", "text"),
    [
        ("b t (h d) -> b h t d", {"h": 8}, (BATCH, T, 32), "x.unflatten(2, (8, 4)).transpose(1, 2)"),
        ("b h t d -> b t (h d)", {}, (BATCH, 8, T, 4), "x.transpose(1, 2).flatten(2)"),
        ("n c h w -> n (h w) c", {}, (BATCH, 3, 8, 12), "x.flatten(2).transpose(1, 2)"),
        ("b -> b 1 1 1", {}, (BATCH,), "x[:, None, None, None]"),
        ("t s h -> 1 h t s", {}, (T, S, 8), "x.permute(2, 0, 1).unsqueeze(0)"),
        ("b 1 t -> b t", {}, (BATCH, 1, T), "x.squeeze(1)"),
        ("b (t k) c -> b t (k c)", {"k": 2}, (BATCH, 2 * T, 8), "x.unflatten(1, (-1, 2)).flatten(2)"),
        ("... (h d) -> ... h d", {"d": 4}, (BATCH, T, 32), "x.unflatten(2, (8, 4))"),
        ("b ... c -> b c (...)", {}, (BATCH, 5, 7, 3), "x.flatten(1, 2).transpose(1, 2)"),
        ("b c -> b c", {}, (BATCH, T), "x"),
    ],
)
def test_text(pattern: str, sizes: dict[str, Any], shape: tuple[Dim, ...], text: str) -> None:
    """What a person would write: axes that stay together aren't split, and a view is kept where there is one."""
    op = make(Rearrange, {"pattern": pattern, **sizes})
    assert op.torch_function(["x"], tensor(*shape)) == text


@pytest.mark.parametrize(
    ("pattern", "sizes", "shape"),
    [
        ("b t (h d) -> b h t d", {"h": 8}, (BATCH, T, 32)),
        ("b h t d -> b t (h d)", {}, (BATCH, 8, T, 4)),
        ("b t s c -> b c (t s)", {}, (BATCH, T, S, 4)),
        ("b (t k) c -> b t (k c)", {"k": 2}, (BATCH, 2 * T, 8)),
        ("t s h -> 1 h t s", {}, (T, S, 8)),
        ("b (h p) (w q) c -> b (h w) (p q c)", {"p": 2, "q": 2}, (BATCH, 4, 6, 3)),
        ("b 1 c -> c b 1 1", {}, (BATCH, 1, 8)),
        ("b c -> b c", {}, (BATCH, T)),
    ],
)
def test_onnx_and_symbolic_sizes(pattern: str, sizes: dict[str, int], shape: tuple[Dim, ...]) -> None:
    op = make(Rearrange, {"pattern": pattern, **sizes})
    check_symbolic(op, tensor(*shape), sizes={"N": 2, "T": 3, "S": 5})
    check_onnx(op, tensor(*shape), tolerance=0)


@pytest.mark.parametrize(
    ("pattern", "sizes", "message", "marked"),
    [
        ("b t (h d) -> b h t d", {}, "sizes of `h` and `d`", "(h d)"),
        ("b t (h d) -> b h t d", {"h": 5}, "size 32, into 5·d", "(h d)"),
        ("b t (h d) -> b h t d", {"h": 5, "d": 5}, "into 5·5", "(h d)"),
        ("b t c -> b t", {}, "`c` on the left only", "c"),
        ("b t c -> b t c kk", {}, "`kk` on the right only", "kk"),
        ("b t b -> b t", {}, "`b` twice", "b"),
        ("b t c -> b (t t) c", {}, "`t` twice", "t"),
        ("b t -> t b", {}, "names 2 axes, but [2, 3, 32] has 3", "b t"),
        ("b 1 c -> b c", {}, "size 1, but axis 1 of [2, 3, 32] has 3", "1"),
        ("b () c -> b c", {}, "size 1, but axis 1 of [2, 3, 32] has 3", "()"),
        ("b t c -> b 16 t c", {}, "a number, 16", "16"),
        ("b t c => b c t", {}, "can't read `=`", "="),
        ("b t c -> b -> c t", {}, "second `->`", "->"),
        ("b t c", {}, "has no `->`", "b t c"),
        ("b t (c -> b t c", {}, "never closes", "("),
        ("b t c) -> b t c", {}, "isn't open", ")"),
        ("b t ((c)) -> b t c", {}, "within a bracket", "("),
        ("b (...) -> b ...", {}, "can't split `...`", "..."),
        ("b t c -> b c t", {"c": 4}, "the size 4, but axis 2", "c"),
        ("b t u v ... -> ...", {}, "left only", "b"),
        ("b t u v ... -> ... b t u v", {}, "names 4 axes", "b t u v ..."),
        ("-> b", {}, "`b` on the right only", "b"),
        ("", {}, "has no `->`", ""),
    ],
)
def test_mistakes_have_a_place(pattern: str, sizes: dict[str, int], message: str, marked: str) -> None:
    refusal = refusal_of(Rearrange, {"pattern": pattern, **sizes}, tensor(2, 3, 32))
    assert refusal is not None
    assert message in refusal.message
    assert refusal.argument == "pattern"
    assert refusal.part is not None
    offset, length = refusal.part
    assert pattern[offset : offset + length] == marked


def test_a_size_that_nothing_knows() -> None:
    """The first of two symbolic sizes follows from the other, which an axis of the input must have."""
    pattern: dict[str, Any] = {"pattern": "b (t s) c -> b t s c", "t": "T"}
    assert refusal_of(Rearrange, pattern, tensor(BATCH, T * S, 8)) is not None
    assert refusal_of(Rearrange, pattern, tensor(BATCH, T * S, S)) is None


def test_sizes_of_no_axis() -> None:
    refusal = refusal_of(Rearrange, {"pattern": "b t c -> b c t", "d": 4}, tensor(2, 3, 32))
    assert refusal is not None
    assert refusal.argument == "d"
    for size in (0, -1, 1.5, True, "no size"):
        with pytest.raises(TypeRuleError, match="at least 1"):
            make(Rearrange, {"pattern": "b t c -> b c t", "c": size})


def test_equal_patterns_of_other_sizes_differ() -> None:
    """A function of the program is shared by equal operators alone."""
    patterns = [{"pattern": "b (h d) -> b h d", "h": size} for size in (2, 4, 2)]
    first, second, third = (make(Rearrange, pattern) for pattern in patterns)
    assert first == third != second
    assert first.given() == patterns[0]
    assert (first.title(), first.details()) == ("Rearrange", "b (h d) -> b h d")
