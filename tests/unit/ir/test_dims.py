"""Symbolic sizes behave as the integers that they stand for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import Dim, SymDim, evaluate, symbol

S, T = symbol("S"), symbol("T")


@st.composite
def programs(draw: st.DrawFn) -> list[tuple[str, int]]:
    """Sequences of operations on a size, each with a small number."""
    step = st.tuples(st.sampled_from(["+", "-", "*", "//", "%", "+S", "*S"]), st.integers(1, 7))
    return draw(st.lists(step, max_size=8))


def run(start: Dim, other: Dim, steps: list[tuple[str, int]]) -> Dim:
    value = start
    for name, number in steps:
        if name == "+":
            value = value + number
        elif name == "-":
            value = value - number
        elif name == "*":
            value = value * number
        elif name == "//":
            value = value // number
        elif name == "%":
            value = value % number
        elif name == "+S":
            value = value + other
        else:
            value = value * other
    return value


@given(programs(), st.integers(0, 50), st.integers(0, 50))
def test_symbolic_arithmetic_equals_arithmetic_on_numbers(steps: list[tuple[str, int]], t: int, s: int) -> None:
    symbolic = run(T, S, steps)
    assert evaluate(symbolic, {"T": t, "S": s}) == run(t, s, steps)


def test_equal_sizes_are_equal_objects() -> None:
    assert (T + S) - S == T
    assert 2 * T + T == 3 * T
    assert (2 * T + 4) // 2 == T + 2
    assert hash(T + S) == hash(S + T)
    assert T // 2 // 3 == T // 6
    assert T - T == 0
    assert T != S


def test_sizes_print_as_formulas() -> None:
    assert str(2 * T + 1) == "2*T+1"
    assert str((T + 1) // 2) == "(T+1)//2"
    assert str(3 * (T // 2) - S) == "-S+3*(T//2)"
    assert str(S * T) == "S*T"


@given(st.integers(1, 400), st.integers(2, 5), st.integers(2, 5), st.integers(-3, 9))
def test_a_division_of_a_division_is_one_division(size: int, first: int, second: int, offset: int) -> None:
    nested = (symbol("T") // first + offset) // second
    assert evaluate(nested, {"T": size}) == (size // first + offset) // second
    assert not isinstance(nested, SymDim) or nested.depth == 1
