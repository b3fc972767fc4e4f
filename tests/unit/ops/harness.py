"""Holds an operator's class against PyTorch itself.

The operator's PyTorch call is built (or its function text executed) and run; output types, the `state_dict`
and FLOPs must be what the class says, and each of the two must refuse exactly what the other refuses. Nothing
here knows any operator.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from specdl.ir.dims import Dim, evaluate
from specdl.ir.types import TensorType
from specdl.ops.base import Call, Op, TypeRuleError

REFUSALS = (
    RuntimeError,  # NotImplementedError is one: "not implemented for 'Int'"
    ValueError,
    TypeError,
    IndexError,
    AssertionError,
    ArithmeticError,
)
"""What PyTorch raises when it can't do something."""

Run = Callable[[Sequence[TensorType], str], list[torch.Tensor]]
"""From input types and a device to output tensors."""


def tensor(*shape: Dim, dtype: Any = "float32") -> TensorType:
    """A type, written shortly."""
    return TensorType(tuple(shape), dtype)


def make(op: type[Op], arguments: Mapping[str, Any]) -> Op:
    """The operator as the elaborator makes it. Raises `TypeRuleError` for arguments that pydantic refuses."""
    try:
        return op.model_validate(dict(arguments))
    except ValidationError as error:
        raise TypeRuleError("; ".join(item["msg"] for item in error.errors())) from None


def check(op: Op, *types: TensorType, device: str = "cpu") -> None:
    """Types, weights and FLOPs of a valid operator are PyTorch's.

    `device="meta"` skips the numbers: for large shapes, and where the random inputs would matter.
    """
    inferred = op.infer(*types)
    assert len(inferred) == len(op.output_names(len(inferred)))
    runs = list(_runs(op, types))
    assert runs, f"{op.operator} has neither a module nor a function"
    for run in runs:
        outputs = run(types, device)
        assert tuple(_type_of(output) for output in outputs) == inferred, f"{op!r} on {_listing(types)}"
    assert op.flops(types, inferred) == _flops(runs[-1], types), f"FLOPs of {op!r} on {_listing(types)}"
    check_weights(op, *types)


def check_weights(op: Op, *types: TensorType) -> None:
    """Names, shapes, dtypes, order and kind of the weights are those of the module's `state_dict`."""
    call = op.torch_module(*types)
    said = [(weight.name, weight.shape, weight.dtype, weight.buffer) for weight in op.weights(*types)]
    if call is None:
        assert said == [], f"{op.operator} has weights but no module"
        return
    module = _quietly(build, op, call, "meta")
    parameters = dict(module.named_parameters())
    found = [
        (name, tuple(value.shape), _dtype(value), name not in parameters) for name, value in module.state_dict().items()
    ]
    assert found == said, f"{op!r} on {_listing(types)}"


def check_arguments(op: type[Op], arguments: Mapping[str, Any], *types: TensorType, device: str = "cpu") -> bool:
    """PyTorch and the class agree: both give the same, or both refuse. Gives whether they accept.

    `arguments` may be wrong: PyTorch is then asked with an instance that skipped validation.
    """
    refusal = refusal_of(op, arguments, *types)
    torch_refusal = _torch_refusal(op, arguments, types, device)
    asked = f"{op.operator} {dict(arguments)} on {_listing(types)}"
    assert refusal is None or refusal.message
    assert refusal is None or refusal.argument in (None, *op.model_fields), f"{asked}: blames {refusal.argument}"
    assert refusal is None or torch_refusal is not None, f"{asked}: PyTorch accepts, we say: {refusal}"
    assert refusal is not None or torch_refusal is None, f"{asked}: we accept, PyTorch says: {torch_refusal}"
    if refusal is None:
        check(make(op, arguments), *types, device=device)
    return refusal is None


def refusal_of(op: type[Op], arguments: Mapping[str, Any], *types: TensorType) -> TypeRuleError | None:
    """What the class says against these arguments and inputs, or None."""
    try:
        make(op, arguments).infer(*types)
    except TypeRuleError as error:
        return error
    return None


def check_symbolic(op: Op, *types: TensorType, sizes: Mapping[str, int]) -> None:
    """Types and FLOPs inferred from symbolic sizes, then evaluated, are those inferred from the numbers."""
    concrete = tuple(evaluate_type(type, sizes) for type in types)
    outputs, expected = op.infer(*types), op.infer(*concrete)
    assert tuple(evaluate_type(output, sizes) for output in outputs) == expected, f"{op!r} on {_listing(types)}"
    assert evaluate(op.flops(types, outputs), sizes) == op.flops(concrete, expected)
    assert op.weights(*types) == op.weights(*concrete)


def evaluate_type(type: TensorType, sizes: Mapping[str, int]) -> TensorType:
    """The type with its symbols replaced."""
    return type.with_shape(*(evaluate(size, sizes) for size in type.shape))


def random_tensor(type: TensorType, device: str = "cpu") -> torch.Tensor:
    """Normal numbers; zeros for integers and booleans, which are always valid indices."""
    dtype = getattr(torch, type.dtype)
    shape = [size for size in type.shape if isinstance(size, int)]
    assert len(shape) == type.rank, f"{type} isn't concrete"
    if not type.floating:
        return torch.zeros(shape, dtype=dtype, device=device)
    return torch.randn(shape, device=device).to(dtype)


def build(op: Op, call: Call, device: str = "cpu") -> nn.Module:
    """The module that the ejected source would construct, in evaluation mode."""
    with torch.device(device):
        module = _construct(call, _namespace(op))
    assert isinstance(module, nn.Module)
    return module.eval()


def run_function(op: Op, tensors: Sequence[torch.Tensor], *types: TensorType) -> Any:
    """What the ejected expression gives."""
    names = [f"x{index}" for index in range(len(tensors))]
    text = op.torch_function(names, *types)
    assert text is not None
    scope = {**_namespace(op), **dict(zip(names, tensors, strict=True))}
    exec(f"result = {text}", scope)
    return scope["result"]


def flatten(value: Any) -> list[torch.Tensor]:
    """The tensors of nested tuples, in order (an LSTM gives `output, (h, c)`)."""
    return [value] if isinstance(value, torch.Tensor) else [item for part in value for item in flatten(part)]


def _runs(op: Op, types: Sequence[TensorType]) -> Iterator[Run]:
    """The ways to run the operator: its module while training and evaluating, and its expression."""
    call = op.torch_module(*types)
    if call is not None:
        # Training comes first: a layer that can't be trained on these inputs is no use.
        for training in (True, False):
            yield partial(_run_module, op, call, training)
    names = [f"x{index}" for index in range(len(types))]
    if op.torch_function(names, *types) is not None:
        yield partial(_run_expression, op)


def _run_module(op: Op, call: Call, training: bool, types: Sequence[TensorType], device: str) -> list[torch.Tensor]:
    module = _quietly(build, op, call, device).train(training)
    return flatten(_quietly(module, *(random_tensor(type, device) for type in types)))


def _run_expression(op: Op, types: Sequence[TensorType], device: str) -> list[torch.Tensor]:
    tensors = [random_tensor(type, device) for type in types]
    return flatten(_quietly(run_function, op, tensors, *types))


def _torch_refusal(
    op: type[Op], arguments: Mapping[str, Any], types: Sequence[TensorType], device: str
) -> Exception | None:
    loose = {name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()}
    missing = [name for name, field in op.model_fields.items() if field.is_required() and name not in loose]
    assert not missing, f"{op.operator} needs {missing}"
    try:
        for run in _runs(op.model_construct(**loose), types):
            run(types, device)
    except REFUSALS as error:
        return error
    return None


def _flops(run: Run, types: Sequence[TensorType]) -> int:
    with FlopCounterMode(display=False) as counter:
        run(types, "meta")
    return int(counter.get_total_flops())


def _quietly(function: Any, *arguments: Any) -> Any:
    """PyTorch's own advice (`non-optimal padding`) isn't ours to fail on."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return function(*arguments)


def _construct(value: Any, namespace: Mapping[str, Any]) -> Any:
    if isinstance(value, Call):
        first, *rest = value.function.split(".")
        function = namespace[first]
        for part in rest:
            function = getattr(function, part)
        arguments = [_construct(item, namespace) for item in value.arguments]
        return function(*arguments, **{name: _construct(item, namespace) for name, item in value.keywords})
    if isinstance(value, (list, tuple)):
        return type(value)(_construct(item, namespace) for item in value)
    return value


def _namespace(op: Op) -> dict[str, Any]:
    """The names that ejected source has: torch, nn, F, and the classes that the operator brings along."""
    namespace: dict[str, Any] = {"torch": torch, "nn": nn, "F": functional}
    for reference in op.support:
        file, name = reference.split(".")
        namespace[name] = getattr(importlib.import_module(f"specdl.nn.{file}"), name)
    return namespace


def _type_of(value: torch.Tensor) -> TensorType:
    return TensorType(tuple(value.shape), _dtype(value))


def _dtype(value: torch.Tensor) -> Any:
    return str(value.dtype).removeprefix("torch.")


def _listing(types: Sequence[TensorType]) -> str:
    return ", ".join(map(str, types))
