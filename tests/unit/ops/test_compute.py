"""`compute`: results against Python's own evaluation of the same expression, messages, bounds, ONNX."""

from __future__ import annotations

import ast
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from specdl.ir.dims import BATCH, SymDim, symbol
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError
from specdl.ops.compute import Compute, ComputeError, parse_compute
from specdl.ops.compute_parser import MAX_LENGTH
from tests.unit.ops.harness import check_symbolic, evaluate_type, run_function, tensor
from tests.unit.ops.onnx_harness import check_onnx

T = symbol("T")
TYPES = {
    "x": tensor(BATCH, T, 8),
    "y": tensor(BATCH, T, 8),
    "v": tensor(BATCH),
    "mask": tensor(BATCH, T, dtype="bool"),
    "tokens": tensor(BATCH, T, dtype="int64"),
    "t": tensor(BATCH, dtype="int64"),
    "places": tensor(T, dtype="int64"),
    "table": tensor(5, 8),
}
SIZES = {"N": 4, "T": 3}

FUNCTIONS: dict[str, Any] = {
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "sin": torch.sin,
    "cos": torch.cos,
    "abs": torch.abs,
    "silu": torch.nn.functional.silu,
    "softmax": torch.softmax,
    "clamp": torch.clamp,
    "where": torch.where,
    "sum": torch.sum,
    "mean": torch.mean,
    "amax": torch.amax,
    "cumsum": torch.cumsum,
    "transpose": torch.transpose,
    "flatten": torch.flatten,
    "unsqueeze": torch.unsqueeze,
    "stack": torch.stack,
    "concat": torch.cat,
    "arange": torch.arange,
    "zeros_like": torch.zeros_like,
    "minimum": torch.minimum,
    "maximum": torch.maximum,
    "max": lambda a, b: torch.clamp(a, min=b) if not isinstance(b, torch.Tensor) else torch.maximum(a, b),
    "min": lambda a, b: torch.clamp(a, max=b) if not isinstance(b, torch.Tensor) else torch.minimum(a, b),
}
"""PyTorch's own functions under the names of the language."""


def _types(op: Compute) -> list[TensorType]:
    types = [TYPES[name] for name in op.names]
    return [*types, TYPES["x"]] if op.needs_like else types


def _values(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    values: dict[str, torch.Tensor] = {}
    for name, type in TYPES.items():
        shape = [int(str(size)) for size in evaluate_type(type, SIZES).shape]
        if type.floating:
            values[name] = torch.randn(shape)
        else:
            values[name] = torch.randint(0, 2 if type.dtype == "bool" else 5, shape).to(getattr(torch, type.dtype))
    return values


def _python(text: str, values: dict[str, Any]) -> Any:
    scope: dict[str, Any] = {**FUNCTIONS, **values}
    exec(f"result = ({text})", scope)
    return scope["result"]


EXPRESSIONS = [
    "x * 2 + y",
    "x - (y - x) - 1",
    "(x - y) ** 2 / (1 + abs(x))",
    "-x ** 2",
    "(-x) ** 2",
    "2 ** -x",
    "x + exp(0.5 * y) * 0.1",
    "1 / 3 * x",
    "1 - v",
    "v[:, None] * x[:, 0]",
    "v[:, None, None] * x",
    "x[:, 0]",
    "x[:, -1, 2]",
    "x[..., ::2] + x[..., 1::2]",
    "x[:, :, 2:-1]",
    "x[:, 1:] - x[:, :-1]",
    "x[-1]",
    "table[t]",
    "table[tokens] * x",
    "x[:, :, t]",
    "places[:, None] - places[None, :]",
    "places[None, :] * 0.5",
    "concat([-x[..., 4:], x[..., :4]], dim=-1) * 2",
    "stack([sin(x), cos(x)], dim=-1)",
    "flatten(stack([sin(x), cos(x)], dim=-1), -2)",
    "x @ transpose(y, 1, 2)",
    "x @ transpose(y, 1, 2) @ x",
    "x * (y @ transpose(x, -1, -2) @ y)",
    "where(mask, 1, 0)",
    "where(mask, 1.0, tokens)",
    "where(tokens < 2, tokens, 7)",
    "where(x > 0, x, exp(x) - 1)",
    "~mask & mask",
    "mask | (tokens != 3)",
    "(x > 0) & (x < 1)",
    "(tokens & 1) == 0",
    "tokens + mask",
    "tokens * 0.5",
    "tokens / 2",
    "tokens // 2 + tokens % 2",
    "tokens + 1",
    "mask + 1",
    "sum(x, dim=1)",
    "sum(x ** 2, dim=[1, 2])",
    "(sqrt(sum(x ** 2, dim=[1, 2])) - 1) ** 2",
    "mean(x, 1, keepdim=True)",
    "mean(x * x)",
    "amax(x, dim=-1, keepdim=True) - x",
    "cumsum(x, dim=1)",
    "softmax(x @ transpose(y, 1, 2), dim=-1)",
    "max(x, 0)",
    "min(x, 0.5)",
    "max(x, y)",
    "max(-places, 0)",
    "max(places, 1.5)",
    "minimum(x, y) + maximum(x, y)",
    "clamp(x, -1, 1)",
    "clamp(x, max=0.3)",
    "silu(x) * y",
    "unsqueeze(v, 1) + x[:, 0]",
    "zeros_like(tokens) + places",
    "100.0 ** (arange(0, 8, 2) / -8)",
    "x * arange(8)",
    "abs(places) if True else max(-places, 0)",
    "x if 1 > 2 or not True else y * 2",
    "+x",
    "(x)[:, 0]",
    "x == y",
    "x != x + 0",
    "(x < y) == (y > x)",
]


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_results_are_pythons(text: str) -> None:
    op = parse_compute(text, {})
    values, types = _values(), _types(op)
    expected = _python(text, values)
    found = run_function(op, [values.get(name, values["x"]) for name in [*op.names, "x"][: len(types)]], *types)
    renamed = op.torch_function([f"x{index}" for index in range(len(types))], *types)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)  # the same operations in the same order
    (inferred,) = op.infer(*types)
    concrete = evaluate_type(inferred, SIZES)
    assert (concrete.shape, f"torch.{concrete.dtype}") == (tuple(expected.shape), str(expected.dtype)), renamed
    check_symbolic(op, *types, sizes=SIZES)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_onnx(text: str) -> None:
    op = parse_compute(text, {})
    # Powers of normal numbers, and squares of sums over 24 of them, lose a digit more than one layer does.
    check_onnx(op, *_types(op), tolerance=1e-4)


LEAVES = st.sampled_from(["a", "b", "c", "i", "m", "2", "0.5", "1"])
TYPES_OF_LEAVES = {
    "a": tensor(2, 3),
    "b": tensor(3),
    "c": tensor(),
    "i": tensor(2, 3, dtype="int64"),
    "m": tensor(2, 1, dtype="bool"),
}


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(["+", "-", "*", "/", "**", "<", ">=", "==", "&", "|", "@", "//", "%"])
    binary = st.builds(lambda left, sign, right: f"({left} {sign} {right})", inner, signs, inner)
    bare = st.builds(lambda left, sign, right: f"{left} {sign} {right}", inner, st.sampled_from("+-*"), inner)
    unary = st.builds(lambda sign, item: f"{sign}({item})", st.sampled_from(["-", "exp", "abs", "sin", "~"]), inner)
    index = st.builds(lambda item, at: f"({item})[{at}]", inner, st.sampled_from(["0", ":, None", "..., 1", "1:"]))
    reduce = st.builds(lambda item: f"sum({item}, dim=-1)", inner)
    return binary | bare | unary | index | reduce


@settings(max_examples=400)
@given(text=st.recursive(LEAVES, _grow, max_leaves=8))
def test_any_expression(text: str) -> None:
    """What PyTorch accepts gives its type and numbers; what it refuses is refused."""
    torch.manual_seed(0)
    values = {
        name: torch.randn(type.shape) if type.floating else torch.ones(type.shape, dtype=getattr(torch, type.dtype))
        for name, type in TYPES_OF_LEAVES.items()
    }
    # Numbers among themselves are Python's: what comes out of them, and what is refused, isn't PyTorch's to say.
    if not any(name in text for name in "abcim") or _only_numbers_somewhere(text):
        return
    try:
        expected = _python(text, values)
    except (RuntimeError, TypeError, IndexError, ArithmeticError, ValueError) as error:
        if "ZeroDivision" in str(error):
            return  # a matter of the numbers, not of types
        expected = None
    try:
        op = parse_compute(text, {})
        types = [TYPES_OF_LEAVES[name] for name in op.names]
        (inferred,) = op.infer(*types)
    except (ComputeError, TypeRuleError) as error:
        assert expected is None, f"{text}: PyTorch gives {expected}, we say {error}"
        return
    assert expected is not None, f"{text}: PyTorch refuses, we infer {inferred}"
    found = run_function(op, [values[name] for name in op.names], *types)
    assert (tuple(expected.shape), str(expected.dtype)) == (inferred.shape, f"torch.{inferred.dtype}"), text
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def _only_numbers_somewhere(text: str) -> bool:
    """Whether a function, index or operator works on numbers alone."""
    return any(
        not any(isinstance(item, ast.Name) and item.id in TYPES_OF_LEAVES for item in ast.walk(node))
        for node in ast.walk(ast.parse(text, mode="eval"))
        if isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Compare, ast.Subscript, ast.Call))
    )


@pytest.mark.parametrize(
    ("text", "constants", "expected"),
    [
        ("x * __0___", {"__0___": 2}, "x * 2"),
        ("x * __0___", {"__0___": 1e-6}, "x * 1e-6"),
        ("x ** __0___", {"__0___": -2}, "x ** -2"),
        ("__0___ ** x", {"__0___": -2.0}, "(-2.0) ** x"),
        ("sum(x, dim=__0__)", {"__0__": [1, 2]}, "x.sum(dim=(1, 2))"),
        ("x / __0__", {"__0__": T}, "x / x.shape[1]"),
        ("table[:__0__] + y", {"__0__": T}, "table[:y.shape[1]] + y"),
        ("x * (__0__ - 1)", {"__0__": T}, "x * (x.shape[1] - 1)"),
        ("x if __0__ else y", {"__0__": False}, "y"),
        ("x[:, __0__]", {"__0__": -1}, "x[:, -1]"),
        ("x[:, __0__]", {"__0__": None}, "x[:, None]"),
        ("where(x < 0.1, __0__, tokens[:, :, None])", {"__0__": 10}, "torch.where(x < 0.1, 10, tokens[:, :, None])"),
        ("(a + b) * c - (d - e)", {}, "(a + b) * c - (d - e)"),
        ("x   +y", {}, "x + y"),
        ("x +\n  y", {}, "x + y"),
        ("  x", {}, "x"),
        ("2 * 3 * x", {}, "2 * 3 * x"),
        ("silu(a + b)", {}, "F.silu(a + b)"),
        ("(a + b)[:, 0]", {}, "(a + b)[:, 0]"),
        ("sum(a + b, dim=1)", {}, "(a + b).sum(dim=1)"),
        ("-(a + b)", {}, "-(a + b)"),
        ("log(max(a, 1) / 16) / 3.2", {}, "torch.log(torch.clamp(a, min=1) / 16) / 3.2"),
        ("randn_like(a) * b", {}, "torch.randn_like(a) * b"),
        ("10000.0 ** (arange(0, 8, 2) / -8) * a", {}, "10000.0 ** (torch.arange(0, 8, 2, device=a.device) / -8) * a"),
    ],
)
def test_text(text: str, constants: dict[str, Any], expected: str) -> None:
    op = parse_compute(text, constants)
    types = [TYPES.get(name, tensor(BATCH, 8)) for name in op.names]
    if "arange(0, 8" in text:
        types = [tensor(BATCH, 4)]
    op.infer(*types)
    assert op.torch_function(op.names, *types) == expected


def test_names_in_order() -> None:
    op = parse_compute("b * a + b - exp(c)", {})
    assert op.names == ("b", "a", "c")
    assert not op.needs_like
    assert parse_compute("arange(4) * 2", {}).needs_like
    assert parse_compute("encoder.norm * x[:, 0] + encoder.norm", {}).names == ("encoder.norm", "x")


def test_flops_are_those_of_the_products() -> None:
    op = parse_compute("x @ transpose(y, 1, 2) * 2", {})
    types = _types(op)
    assert str(op.flops(types, op.infer(*types))) == "16*N*T*T"


def test_random_numbers_make_it_random() -> None:
    assert parse_compute("x + randn_like(x)", {}).random
    assert not parse_compute("x + 1", {}).random


@pytest.mark.parametrize(
    ("text", "message", "part"),
    [
        ("exp(x).shape", "only named values have parts", "exp(x)"),
        ("y + foo(x)", "no function `foo`", "foo"),
        ("linear(x)", "can't be part of an expression", "linear"),
        ("chunk(x, 2)", "can't be part of an expression", "chunk"),
        ("x + sum(y, dmi=1)", "no argument `dmi`", "dmi=1"),
        ("softmax(x, dim='a')", "`dim` of `softmax`: expected an integer", "'a'"),
        ("cumsum(x)", "`cumsum` needs `dim`", "cumsum(x)"),
        ("where(mask, x)", "needs its input `b`", "where(mask, x)"),
        ("exp(x, 2)", "no more arguments", "2"),
        ("sum(x, 1, dim=1)", "gets `dim` twice", "dim=1"),
        ("sum(x, dim=y)", "expected a constant", "y"),
        ("x and y", "`and` needs constants", "x and y"),
        ("not x", "`not` needs a constant", "not x"),
        ("0 < x < 1", "can't be chained", "0 < x < 1"),
        ("x if v else y", "isn't a constant", "v"),
        ("[x, y]", "a list can only stand", "[x, y]"),
        ("x + lambda: 1", "isn't an expression", None),
        ("(lambda: x)", "doesn't know lambda", "lambda: x"),
        ("x; y", "isn't an expression", ";"),
        ("x +", "isn't an expression", None),
        ("", "needs an expression", None),
        ("é + (-x).q", "only named values have parts", "-x"),
        ("x[1.5]", "a place is an integer", "1.5"),
        ("x[::-1]", "the step of a slice", "-1"),
        ("x[1.0:]", "the bounds of a slice", "1.0"),
        ("x[..., ...]", "can stand once", None),
        ("x * 9 ** 9 ** 9", "too large", "9 ** 9 ** 9"),
        ("x * (1 / 0)", "can't be worked out", "1 / 0"),
        ("x * (-1) ** 0.5", "isn't a real number", "(-1) ** 0.5"),
        ("x * 'a'", "expected a value or a number", "'a'"),
        ("x in y", "doesn't know this operator", "x in y"),
        ("f'{x}'", "doesn't know joinedstr", None),
        ("sum(*x)", "can't be unpacked", "sum(*x)"),
        ("(y := x)", "doesn't know namedexpr", "y := x"),
        ("x() + 1", "no function `x`", "x"),
        ("exp(x)(y)", "doesn't know call", "exp(x)(y)"),
        ("__import__('os').system('ls')", "values have no methods", None),
    ],
)
def test_mistakes_say_where(text: str, message: str, part: str | None) -> None:
    with pytest.raises(ComputeError, match=message) as error:
        parse_compute(text, {})
    found = error.value
    assert found.message
    assert 0 <= found.offset <= max(len(text), 1)
    if part is not None:
        assert text[found.offset : found.offset + found.length] == part


@pytest.mark.parametrize(
    ("text", "message", "input"),
    [
        ("x + v", "in `x . v`: the batch axis of .N. would meet axis 2", 1),
        ("2 * (x + table)", "in `x . table`: shapes don't match", 1),
        ("x[:, 0, 0, 0]", "too many", 0),
        ("x[:, :, 8]", "no place 8", 0),
        ("x[:, :5]", "may be shorter than 5", 0),
        ("x[mask]", "made of integers", None),
        ("x[t, 0]", "one tensor", None),
        ("exp(2) * x", "`exp` expects a tensor, got 2", None),
        ("concat([x, 1])", "`concat` expects a tensor, got 1", None),
        ("1 - mask", "isn't defined for bool", 0),
        ("x @ y", "must equal", 1),
        ("sum(x, dim=3)", "no axis 3", None),
        ("rand([2]) + table", "needs a value of the batch", None),
        ("places * __n__", "isn't an axis of its inputs", None),
    ],
)
def test_wrong_types_say_in_which_part(text: str, message: str, input: int | None) -> None:
    op = parse_compute(text, {"__n__": symbol("S")})
    with pytest.raises(TypeRuleError, match=message) as error:
        op.infer(*_types(op))
    assert error.value.input == input


def test_only_a_number_is_no_computation() -> None:
    with pytest.raises(TypeRuleError, match="only a number"):
        parse_compute("2 * 3", {}).infer()


@pytest.mark.parametrize(
    "text",
    [
        "x" + " + x" * MAX_LENGTH,
        "(" * 900 + "x" + ")" * 900,
        "-" * 1900 + "x",
        "exp(" * 300 + "x" + ")" * 300,
        "x[" * 300 + "0" + "]" * 300,
        "[" * 1900,
        "x if " * 300,
        "2 ** " * 300 + "x",
        "\x00x",
        "x" * MAX_LENGTH + "y",
    ],
    ids=lambda text: text[:8],
)
def test_bounds(text: str) -> None:
    with pytest.raises(ComputeError):
        parse_compute(text, {}).infer(tensor(2))


def test_a_long_sum_is_fine() -> None:
    op = parse_compute(" + ".join(["x"] * 200), {})
    assert op.infer(TYPES["x"]) == (TYPES["x"],)


@settings(max_examples=300)
@given(text=st.text(alphabet="xy0123456789.+-*/()[]:,~&|<>=@% \n'\"#\\{}é", max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        op = parse_compute(text, {})
        op.infer(*(tensor(2, 3) for _ in op.names))
    except ComputeError as error:
        assert 0 <= error.offset <= max(len(text), 1)
    except TypeRuleError:
        pass


def test_symbolic_numbers() -> None:
    size: SymDim = T
    op = parse_compute("sum(x, dim=1) / __t__", {"__t__": size})
    check_onnx(op, TYPES["x"])
    with pytest.raises(ComputeError, match="known only when the model runs"):
        parse_compute("x if __t__ else y", {"__t__": size})


def test_a_title_has_few_digits() -> None:
    assert parse_compute("x * 22.627416997969522 + 0.5", {}).title() == "x * 22.63 + 0.5"
