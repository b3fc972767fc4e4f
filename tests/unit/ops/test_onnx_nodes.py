"""The ONNX nodes of activations, shapes, arithmetic, reductions and recurrence, run in ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from specdl.backends.onnx import emit_onnx
from specdl.ir.dims import BATCH, symbol
from specdl.ir.types import TensorType
from specdl.ops import activation, comparison, elementwise, reduction
from specdl.ops.base import Op
from specdl.ops.embedding import Embedding
from specdl.ops.merge import Add, Concat, Div, Matmul, Mul, Stack, Sub
from specdl.ops.parameter import Buffer, Parameter
from specdl.ops.random_ops import Rand, Randint, RandLike, Randn, RandnLike
from specdl.ops.recurrent import Gru, Lstm, Rnn
from specdl.ops.shape import (
    Cast,
    Chunk,
    Expand,
    Flatten,
    Identity,
    Permute,
    Positions,
    Reshape,
    Split,
    Squeeze,
    Transpose,
    Unflatten,
    Unsqueeze,
)
from tests.unit.ops.harness import make, tensor
from tests.unit.ops.onnx_harness import check_onnx, program_of

T = symbol("T")
X = tensor(BATCH, T, 8)
INDICES = tensor(BATCH, T, dtype="int64")
MASK = tensor(BATCH, T, dtype="bool")


@pytest.mark.parametrize("op", activation.OPS, ids=lambda op: op.operator)
def test_activations(op: type[Op]) -> None:
    check_onnx(op(), X)


@pytest.mark.parametrize(
    "op",
    [
        activation.LeakyRelu(negative_slope=0.3),
        activation.Elu(alpha=0.5),
        activation.Celu(alpha=0.5),
        activation.Celu(alpha=-0.5),
        activation.Gelu(approximate="tanh"),
        activation.Softplus(beta=2.0, threshold=1.0),
        activation.Softplus(beta=-2.0),
        activation.Hardtanh(min_val=-0.2, max_val=0.5),
        activation.Softmax(dim=1),
        activation.LogSoftmax(dim=0),
    ],
    ids=repr,
)
def test_activations_with_arguments(op: Op) -> None:
    check_onnx(op, X)


def test_a_slope_for_each_channel() -> None:
    check_onnx(activation.Prelu(num_parameters=3), tensor(BATCH, 3, T, 2))
    check_onnx(activation.Prelu(num_parameters=3), tensor(BATCH, 3))


@pytest.mark.parametrize("type", [INDICES, tensor(BATCH, 3, dtype="int32"), tensor(BATCH, dtype="int64")], ids=str)
def test_embedding(type: TensorType) -> None:
    check_onnx(Embedding(num_embeddings=5, embedding_dim=4, padding_idx=0), type)


@pytest.mark.parametrize("op", [Lstm, Gru, Rnn], ids=lambda op: op.operator)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_recurrent(op: Any, num_layers: int, bidirectional: bool, bias: bool) -> None:
    check_onnx(op(hidden_size=6, num_layers=num_layers, bidirectional=bidirectional, bias=bias), X)


def test_recurrent_relu() -> None:
    check_onnx(Rnn(hidden_size=6, nonlinearity="relu", bidirectional=True), X)


@pytest.mark.parametrize(
    ("op", "type"),
    [
        (Flatten(), X),
        (Flatten(start_dim=0, end_dim=1), X),
        (Flatten(start_dim=0), tensor()),
        (Unflatten(dim=-1, unflattened_size=(2, 4)), X),
        (Unflatten(dim=1, unflattened_size=(-1, 2)), tensor(BATCH, 2 * T, 8)),
        (Reshape(shape=(-1, 4)), X),
        (Reshape(shape=(2, T, 4)), X),
        (Reshape(shape=(2, 4)), tensor(BATCH, 8)),
        (Permute(dims=(0, 2, 1)), X),
        (Transpose(dim0=0, dim1=-1), X),
        (Squeeze(dim=(1, 2)), tensor(BATCH, 1, 3)),
        (Unsqueeze(dim=1), X),
        (Unsqueeze(dim=-1), tensor()),
        (Chunk(chunks=3, dim=-1), X),
        (Chunk(chunks=2, dim=1), tensor(BATCH, 2 * T, 3)),
        (Split(split_size_or_sections=3, dim=2), X),
        (Split(split_size_or_sections=(1, 5, 2), dim=2), X),
        (Expand(sizes=(-1, 3, T)), tensor(BATCH, 1, T)),
        (Identity(), X),
        (Positions(), X),
        (Positions(), INDICES),
    ],
    ids=str,
)
def test_shapes(op: Op, type: TensorType) -> None:
    check_onnx(op, type)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32", "float64"])
def test_cast(dtype: Any) -> None:
    check_onnx(Cast(dtype=dtype), X, positive=dtype == "uint8")
    check_onnx(Cast(dtype=dtype), INDICES)


def test_expand_to_another_value() -> None:
    check_onnx(make(Expand, {"sizes": ["N", -1, -1]}), tensor(1, 1, 8), X)


@pytest.mark.parametrize("op", [Add, Mul, Sub, Div], ids=lambda op: op.operator)
@pytest.mark.parametrize("other", [X, tensor(T, 8), tensor(1, 1, 8), tensor(), tensor(BATCH, T, 1)], ids=str)
def test_arithmetic(op: type[Op], other: TensorType) -> None:
    check_onnx(op(), X, other)
    check_onnx(op(), X, tensor(T, 1, dtype="int64"), positive=True) if op is not Div else None


def test_arithmetic_of_integers_and_bools() -> None:
    check_onnx(Add(), INDICES, tensor(T, dtype="int32"), MASK)
    check_onnx(Add(), MASK, MASK)
    check_onnx(Mul(), MASK, MASK, MASK)
    check_onnx(Mul(), MASK, X.with_shape(BATCH, T))
    check_onnx(Sub(), INDICES, tensor(BATCH, 1, dtype="int32"))


def test_joining() -> None:
    check_onnx(Concat(), X, tensor(BATCH, 3, 8), tensor(1, 2, 8))
    check_onnx(Concat(dim=-1), X, tensor(BATCH, T, 3, dtype="int64"))
    check_onnx(Concat(dim=0), X, X)
    check_onnx(Stack(), X, X)
    check_onnx(Stack(dim=-1), X, X.with_dtype("int64"))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (X, tensor(8, 3)),
        (X, tensor(BATCH, 8, T)),
        (X, tensor(8)),
        (tensor(T), X),
        (tensor(BATCH, 2, T, 8), tensor(8, T)),
    ],
    ids=str,
)
def test_matmul(left: TensorType, right: TensorType) -> None:
    check_onnx(Matmul(), left, right)


@pytest.mark.parametrize("op", [op for op in elementwise.OPS if not op.model_fields], ids=lambda op: op.operator)
def test_elementwise(op: type[Op]) -> None:
    positive = op.operator in {"log", "sqrt", "rsqrt", "reciprocal"}
    if op is not elementwise.BitwiseNot:
        check_onnx(op(), X, positive=positive)
    if not positive:
        check_onnx(op(), INDICES)
    if getattr(op, "takes_bool", False) and not positive:
        check_onnx(op(), MASK)


@pytest.mark.parametrize(
    "op",
    [
        elementwise.Clamp(min=-0.5),
        elementwise.Clamp(max=1),
        elementwise.Clamp(min=-1, max=0.5),
        elementwise.Clamp(min=1, max=-1),
    ],
    ids=repr,
)
def test_clamp(op: Op) -> None:
    check_onnx(op, X)
    check_onnx(op, INDICES)


ORDER = [comparison.Lt, comparison.Le, comparison.Gt, comparison.Ge]
EQUAL = [comparison.Eq, comparison.Ne]
LOGICAL = [comparison.LogicalAnd, comparison.LogicalOr, comparison.LogicalXor]
BITWISE = [comparison.BitwiseAnd, comparison.BitwiseOr, comparison.BitwiseXor]
EXTREME = [comparison.Maximum, comparison.Minimum]


@pytest.mark.parametrize("op", [*ORDER, *EQUAL, *LOGICAL, *BITWISE, *EXTREME], ids=lambda op: op.operator)
def test_comparison_and_logic(op: type[Op]) -> None:
    check_onnx(op(), INDICES, tensor(T, dtype="int32"))
    check_onnx(op(), MASK, MASK)
    if op not in BITWISE:
        check_onnx(op(), INDICES, tensor(BATCH, T))
        check_onnx(op(), X, tensor(T, 8))


def test_powers_and_division() -> None:
    check_onnx(comparison.Pow(), X, tensor(T, 8), positive=True)
    check_onnx(comparison.Pow(), X, tensor(dtype="int64"), positive=True)
    check_onnx(comparison.Pow(), INDICES, tensor(dtype="int64"))
    # A quotient next to a whole number may be rounded down in one and not in the other; none is, with this seed.
    check_onnx(comparison.FloorDivide(), X, tensor(8))
    check_onnx(comparison.Remainder(), X, tensor(8))


def test_integer_division_rounds_down() -> None:
    from specdl.ops.compute import parse_compute

    for text in ("(x - 2) // 3", "(x - 2) % 3", "(x - 2) // -3", "(x - 2) % -3", "(x - 2) // 1.5"):
        check_onnx(parse_compute(text, {}), INDICES)


def test_where() -> None:
    check_onnx(comparison.Where(), MASK, tensor(BATCH, T), tensor(T))
    check_onnx(comparison.Where(), MASK, INDICES, tensor())


FLOATS_ONLY = {"mean", "var", "std", "norm"}


@pytest.mark.parametrize("keepdim", [True, False])
@pytest.mark.parametrize("dim", [None, 1, -1, 0])
@pytest.mark.parametrize("op", [op for op in reduction.OPS if "keepdim" in op.model_fields], ids=lambda op: op.operator)
def test_reductions(op: type[Op], dim: int | None, keepdim: bool) -> None:
    if op.operator == "prod" and dim is None and keepdim:
        return  # PyTorch refuses it
    made = make(op, {"dim": dim, "keepdim": keepdim})
    check_onnx(made, X)
    if op.operator not in FLOATS_ONLY:
        check_onnx(made, INDICES)
        if op.operator not in {"argmax", "argmin"}:
            check_onnx(made, MASK)


@pytest.mark.parametrize("op", [reduction.Mean, reduction.Sum, reduction.Amax, reduction.Var, reduction.Norm])
def test_reductions_over_several_axes(op: type[Op]) -> None:
    check_onnx(make(op, {"dim": [1, -1]}), X)
    check_onnx(make(op, {"dim": [0, 2], "keepdim": True}), X)


@pytest.mark.parametrize("p", [0, 1, 3, 0.5, -1, float("inf"), float("-inf")])
def test_norms(p: float) -> None:
    # Fractional powers: the sums are up to 100, in float32.
    check_onnx(make(reduction.Norm, {"p": p, "dim": -1}), X, tolerance=1e-4)


def test_deviation_without_correction() -> None:
    check_onnx(make(reduction.Std, {"dim": 1, "correction": 0}), X)
    check_onnx(make(reduction.Var, {"dim": 2, "correction": 2}), X)


@pytest.mark.parametrize("op", [reduction.Cumsum, reduction.Cumprod], ids=lambda op: op.operator)
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_running(op: type[Op], dim: int) -> None:
    check_onnx(make(op, {"dim": dim}), X)
    check_onnx(make(op, {"dim": dim}), INDICES)
    check_onnx(make(op, {"dim": dim}), MASK)


def test_stored_values() -> None:
    check_onnx(make(Parameter, {"shape": [3, 4], "init": "normal"}))
    check_onnx(make(Buffer, {"shape": [3], "init": 0.5}))


@pytest.mark.parametrize(
    "op", [Randn(shape=(300,)), Rand(shape=(300,)), Randint(high=4, low=1, shape=(300,))], ids=repr
)
def test_random(op: Op) -> None:
    """Other numbers than PyTorch's, but from the same distribution."""
    _check_random(op, X, (2, 300))


@pytest.mark.parametrize("op", [RandnLike(), RandLike()], ids=repr)
def test_random_like(op: Op) -> None:
    _check_random(op, tensor(BATCH, 300), (2, 300))


def _check_random(op: Op, type: TensorType, shape: tuple[int, ...]) -> None:
    model = emit_onnx(program_of(op, type), {})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = np.zeros([2 if size == BATCH else 5 if size == T else size for size in type.shape], np.float32)
    (numbers,) = session.run(None, {"input0": given})
    assert numbers.shape == shape
    means, deviations = {"randn": 0.0, "rand": 0.5, "randint": 2.0}, {"randn": 1.0, "rand": 0.29, "randint": 0.82}
    name = op.operator.removesuffix("_like")
    # 600 numbers: the mean lies within 0.2 of the true one by five of its standard deviations (0.04).
    assert abs(numbers.mean() - means[name]) < 0.2
    assert abs(numbers.std() - deviations[name]) < 0.15
    if name == "randint":
        assert set(numbers.ravel().tolist()) == {1, 2, 3}
