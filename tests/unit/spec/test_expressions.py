"""Expressions compute what Python computes, and can do nothing else."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, symbol
from specdl.ir.types import TensorType
from specdl.spec.expressions import Constants, ExpressionError, substitute

SCOPE = Constants(
    {
        "width": 64,
        "depths": [3, 4, 6, 3],
        "name": "relu",
        "scale": 1.5,
        "widths": (8, 16, 32),
        "pairs": ((1, 2), (3, 4)),
        "x": TensorType((BATCH, 64, 56, 28)),
        "t": TensorType((BATCH, symbol("T"), 8)),
        "norm": {"eps": 1e-5},
    }
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("$width", 64),
        ("layer$(width // 32)", "layer2"),
        ("skip_$width", "skip_64"),
        ("$(4 * width)", 256),
        ("$(depths[:2] + [9])", [3, 4, 9]),
        ("$(depths[::-1])", [3, 6, 4, 3]),
        ("$(sum(depths) - 1)", 15),
        ("$([d * 2 for d in depths if d > 3])", [8, 12]),
        ("$([a + b for a, b in zip([1, 2], [3, 4])])", [4, 6]),
        ("$(width if width > 100 and not false else null)", None),
        ("$(x.channels * 2)", 128),
        ("$(x.shape[2:])", [56, 28]),
        ("$(x.features)", 28),
        ("$(x.rank == 4)", True),
        ("$(x.dtype)", "float32"),
        ("$(t.shape[1] // 2 + 1)", symbol("T") // 2 + 1),
        ("$(norm['eps'])", 1e-5),
        ("$(norm.eps)", 1e-5),
        ("$('eps' in norm and 'momentum' not in norm)", True),
        ("$(round_to(61, 8))", 64),
        ("$(round_to(10.4, 8))", 16),
        ("$(ceil(2.1) + floor(2.9) + round(2.5))", 7),
        ("$('a' + 'b')", "ab"),
        ("$(name == 'relu')", True),
        ("$(1 < 2 < 3)", True),
        # Parameters are kept as tuples; an expression sees lists.
        ("$([1] + widths[:2])", [1, 8, 16]),
        ("$(widths == [8, 16, 32])", True),
        ("$([a + b for a, b in zip(widths, pairs[0] + [1])])", [9, 18, 33]),
    ],
)
def test_values(text: str, value: object) -> None:
    assert substitute(text, SCOPE) == value


@given(st.floats(1, 4000), st.sampled_from([4, 8, 16]))
def test_round_to_is_torchvisions_rounding(value: float, divisor: int) -> None:
    models = pytest.importorskip("torchvision.models._utils")
    assert substitute(f"$(round_to({value!r}, {divisor}))", SCOPE) == models._make_divisible(value, divisor)


ESCAPES = [
    "$(().__class__.__bases__[0].__subclasses__())",
    "$(width.__class__)",
    "$(x.__init__)",
    "$(__import__('os').system('ls'))",
    "$(open('/etc/passwd'))",
    "$(eval('1'))",
    "$((lambda: 1)())",
    "$([].append(1))",
    "$('{0.__class__}'.format(1))",
    "$(f'{width}')",
    "$(getattr(x, 'shape'))",
    "$(x.shape.__len__())",
    "$((y := 3))",
    "$(*depths)",
    "$({**norm})",
    "$(b'bytes')",
    "$(...)",
    "$(1j)",
    "$(print(1))",
    "$(globals())",
    "$(width; 1)",
    "$(import os)",
    "$(yield 1)",
    "$(await x)",
]


@pytest.mark.parametrize("text", ESCAPES)
def test_nothing_else_can_be_reached(text: str) -> None:
    with pytest.raises(ExpressionError):
        substitute(text, SCOPE)


@pytest.mark.parametrize(
    "text",
    [
        "$(9 ** 9 ** 9)",
        "$(2 ** 10000)",
        "$('a' * 10 ** 8)",
        "$([0] * 10 ** 8)",
        "$(range(10 ** 9))",
        "$(sum([1 for a in range(1000) for b in range(1000)]))",
        "$(" + "(" * 500 + "1" + ")" * 500 + ")",
        "$(" + "1+" * 1500 + "1)",
        "$(" + "not " * 300 + "true)",
    ],
)
def test_cost_is_bounded(text: str) -> None:
    with pytest.raises(ExpressionError):
        substitute(text, SCOPE)


@pytest.mark.parametrize(
    ("text", "message", "offset", "length"),
    [
        ("$(widht)", "no parameter or loop variable `widht`", 2, 5),
        ("a$widht", "no parameter or loop variable `widht`", 2, 5),
        ("$(x.chanels)", "no `chanels`", 2, 9),
        ("$(1 / 0)", "division by zero", 2, 5),
        ("$(width + 'a')", "can't compute", 2, 11),
        ("$(width +)", "not an expression", 8, 1),
        ("$(min(1", "never closes", 0, 7),
        ("$(depths[9])", "no such position", 2, 9),
        ("$(t.shape[1] > 3)", "only known at run time", 2, 14),
        ("price $", "", 0, 0),
    ],
)
def test_mistakes_know_their_column(text: str, message: str, offset: int, length: int) -> None:
    if not message:
        assert substitute(text, SCOPE) == text
        return
    with pytest.raises(ExpressionError, match=message) as error:
        substitute(text, SCOPE)
    assert (error.value.offset, error.value.length) == (offset, length)


expressions = st.recursive(
    st.integers(0, 50).map(str) | st.sampled_from(["width", "scale"]),
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "/", "%", "<", "==", "and", "or"]), inner).map(
        lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
    ),
    max_leaves=8,
)


@given(expressions)
def test_arithmetic_equals_pythons(text: str) -> None:
    try:
        expected = eval(text, {}, {"width": 64, "scale": 1.5})  # the reference, on text made right here
    except ZeroDivisionError:
        expected = None
    try:
        found = substitute(f"$({text})", SCOPE)
    except ExpressionError:
        found = None
    assert found == expected or (isinstance(found, float) and math.isnan(found))


@given(st.text(alphabet="$()[]{}'\"abx.+-*/ 019,:=", max_size=40))
def test_any_text_gives_a_value_or_a_mistake(text: str) -> None:
    try:
        substitute(text, SCOPE)
    except ExpressionError as error:
        assert error.message
