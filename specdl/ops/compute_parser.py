"""Reads the text of a `compute`: Python's expression grammar, cut down to a whitelist, becomes a tree.

Only names, numbers, operators, indexing and calls of stateless operators pass; there are no attributes and
no other calls, and length and depth are bounded.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from specdl.diagnostics import did_you_mean
from specdl.ir.dims import SymDim
from specdl.ir.types import DTYPES, TensorType
from specdl.ops import OPERATORS, comparison, elementwise, merge, reduction
from specdl.ops.base import Op
from specdl.ops.compute import Apply, Compute, ComputeError, ComputeTree, Constant, Ref
from specdl.ops.index import Index, Item, Slice
from specdl.ops.text import infix, literal, prefix

_PYTORCH = {"cat": "concat", "view": "reshape", "mm": "matmul", "bmm": "matmul"}
"""PyTorch's words that are others here."""

MAX_LENGTH = 2_000
MAX_DEPTH = 32
MAX_BITS = 256

_BINARY: dict[type[ast.operator], tuple[str, type[Op], Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", merge.Add, operator.add),
    ast.Sub: ("-", merge.Sub, operator.sub),
    ast.Mult: ("*", merge.Mul, operator.mul),
    ast.Div: ("/", merge.Div, operator.truediv),
    ast.FloorDiv: ("//", comparison.FloorDivide, operator.floordiv),
    ast.Mod: ("%", comparison.Remainder, operator.mod),
    ast.Pow: ("**", comparison.Pow, operator.pow),
    ast.MatMult: ("@", merge.Matmul, operator.matmul),
    ast.BitAnd: ("&", comparison.BitwiseAnd, operator.and_),
    ast.BitOr: ("|", comparison.BitwiseOr, operator.or_),
    ast.BitXor: ("^", comparison.BitwiseXor, operator.xor),
}
_COMPARE: dict[type[ast.cmpop], tuple[str, type[Op], Callable[[Any, Any], Any]]] = {
    ast.Eq: ("==", comparison.Eq, operator.eq),
    ast.NotEq: ("!=", comparison.Ne, operator.ne),
    ast.Lt: ("<", comparison.Lt, operator.lt),
    ast.LtE: ("<=", comparison.Le, operator.le),
    ast.Gt: (">", comparison.Gt, operator.gt),
    ast.GtE: (">=", comparison.Ge, operator.ge),
}
_EXTREMES: dict[str, tuple[type[Op], type[Op]]] = {
    "max": (reduction.Amax, comparison.Maximum),
    "min": (reduction.Amin, comparison.Minimum),
}
"""Python's `max` and `min`: over the elements of one value, or between two."""


def parse(text: str, constants: Mapping[str, Any]) -> Compute:
    """The operator of a `compute` entry. Raises `ComputeError`."""
    if len(text) > MAX_LENGTH:
        raise ComputeError(f"an expression may have {MAX_LENGTH:,} characters", 0, len(text))
    lead = len(text) - len(text.lstrip())
    source = re.sub(r"\s", " ", text[lead:]).rstrip()
    if not source:
        raise ComputeError("`compute` needs an expression", 0, max(len(text), 1), help="e.g. `compute: mu + noise`")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's advice on style isn't about a spec
            body = ast.parse(source, mode="eval").body
    except SyntaxError as error:
        offset = lead + max((error.offset or 1) - 1, 0)
        raise ComputeError(f"this isn't an expression: {error.msg}", min(offset, len(text) - 1)) from None
    except (ValueError, RecursionError, MemoryError):
        raise ComputeError("this isn't an expression", 0, len(text)) from None
    reader = _Reader(source, lead, constants)
    return Compute(text=reader.readable(source), tree=reader.tree(body, 0))


class _Reader:
    """Turns Python's syntax tree into ours. Offsets in errors are within the text of the entry."""

    def __init__(self, source: str, lead: int, constants: Mapping[str, Any]) -> None:
        self.source, self.lead, self.constants = source, lead, constants
        self.bytes = source.encode()

    def fail(self, node: ast.AST, message: str, help: str | None = None) -> ComputeError:
        """The error at a node, to be raised."""
        start, end = self.extent(node)
        return ComputeError(message, self.lead + start, max(end - start, 1), help)

    def extent(self, node: ast.AST) -> tuple[int, int]:
        """First and last character of a node; Python counts in bytes."""
        start, end = getattr(node, "col_offset", 0), getattr(node, "end_col_offset", 1)
        return len(self.bytes[:start].decode()), len(self.bytes[:end].decode())

    def segment(self, node: ast.AST) -> str:
        """The text of a node."""
        start, end = self.extent(node)
        return self.readable(self.source[start:end])

    def readable(self, text: str) -> str:
        """Text with the constants' values for their names."""

        def value(match: re.Match[str]) -> str:
            name = match.group()
            return literal(self.constants[name]) if name in self.constants else name

        return re.sub(r"[A-Za-z_]\w*", value, text)

    # ---- trees ---------------------------------------------------------------------------------------

    def tree(self, node: ast.expr, depth: int) -> ComputeTree:
        """The tree of a node. Raises `ComputeError`."""
        if depth > MAX_DEPTH:
            raise self.fail(
                node, f"this is nested deeper than {MAX_DEPTH} levels", "give a part of it a name of its own"
            )
        match node:
            case ast.Name(id=name):
                return self.number(self.constants[name], node) if name in self.constants else Ref(name)
            case ast.Constant(value=value):
                return self.number(value, node)
            case ast.BinOp(left=left, op=sign, right=right):
                # A long sum is deep only to the left, which costs nothing.
                return self.binary(node, _BINARY.get(type(sign)), self.tree(left, depth), self.tree(right, depth + 1))
            case ast.UnaryOp():
                return self.unary(node, self.tree(node.operand, depth + 1))
            case ast.Compare(left=left, ops=[sign], comparators=[right]):
                return self.binary(
                    node, _COMPARE.get(type(sign)), self.tree(left, depth + 1), self.tree(right, depth + 1)
                )
            case ast.Compare():
                raise self.fail(node, "comparisons can't be chained", "write `(low < x) & (x < high)`")
            case ast.BoolOp(op=word):
                return self.boolean(node, "&" if isinstance(word, ast.And) else "|")
            case ast.IfExp(test=test, body=body, orelse=other):
                return self.tree(body if self.condition(test) else other, depth + 1)
            case ast.Subscript(value=value, slice=index):
                return self.index(node, self.tree(value, depth + 1), index, depth)
            case ast.Call(func=ast.Name(id=name)):
                return self.call(node, name, depth)
            case ast.List() | ast.Tuple():
                raise self.fail(node, "a list can only stand as an argument", "join values with `concat` or `stack`")
            case ast.Call(func=ast.Attribute(attr=name)):
                help = f"call it as a function: `{_PYTORCH.get(name, name)}(x, …)`"
                raise self.fail(node, "values have no methods, and modules no functions here", help)
            case ast.Attribute():
                return Ref(self.path(node))
            case _:
                raise self.fail(node, f"`compute` doesn't know {type(node).__name__.lower()} expressions")

    def path(self, node: ast.expr) -> str:
        """The path of a value in a group or of a block's output: `encoder.norm`. Raises `ComputeError`."""
        match node:
            case ast.Name(id=name) if name not in self.constants:
                return name
            case ast.Attribute(value=value, attr=name):
                return f"{self.path(value)}.{name}"
        raise self.fail(node, "only named values have parts", "write functions around values: `sum(x, dim=1)`")

    def number(self, value: Any, node: ast.AST) -> Constant:
        """A number as a leaf."""
        if not isinstance(value, (bool, int, float, SymDim)):
            help = "a value is named without `$`" if isinstance(value, TensorType) else None
            raise self.fail(node, f"expected a value or a number, got {_shown(value)}", help)
        return Constant(value, literal(value))

    def apply(self, node: ast.AST, op: Op, *arguments: ComputeTree) -> Apply:
        """An operator over trees."""
        return Apply(op, arguments, self.segment(node))

    def binary(
        self,
        node: ast.expr,
        known: tuple[str, type[Op], Callable[[Any, Any], Any]] | None,
        left: ComputeTree,
        right: ComputeTree,
    ) -> ComputeTree:
        """An infix operator; between two numbers it is worked out."""
        if known is None:
            raise self.fail(node, "`compute` doesn't know this operator")
        symbol, cls, function = known
        if isinstance(left, Constant) and isinstance(right, Constant):
            value = self.folded(node, function, left.value, right.value)
            return Constant(value, infix(symbol, left.text, right.text))
        return self.apply(node, cls(), left, right)

    def unary(self, node: ast.UnaryOp, operand: ComputeTree) -> ComputeTree:
        """`-x`, `~x`, `not x`."""
        if isinstance(node.op, ast.Not):
            if isinstance(operand, Constant) and not isinstance(operand.value, SymDim):
                return Constant(not operand.value, literal(not operand.value))
            raise self.fail(node, "`not` needs a constant", "write `~x` for each element of a value")
        if isinstance(node.op, ast.UAdd):
            return operand
        minus = isinstance(node.op, ast.USub)
        if isinstance(operand, Constant):
            value = self.folded(node, lambda zero, x: zero - x if minus else ~x, 0, operand.value)
            return Constant(value, prefix("-" if minus else "~", operand.text))
        return self.apply(node, elementwise.Neg() if minus else elementwise.BitwiseNot(), operand)

    def folded(self, node: ast.expr, function: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
        """The result of arithmetic on two numbers, bounded."""
        whole = isinstance(left, int) and isinstance(right, int)
        if function is operator.pow and whole and abs(right) * max(left.bit_length(), 1) > MAX_BITS:
            raise self.fail(node, "this number is too large")
        try:
            value = function(left, right)
        except (ArithmeticError, TypeError, ValueError) as error:
            raise self.fail(node, f"this can't be worked out: {error}") from None
        if isinstance(value, complex) or (isinstance(value, int) and value.bit_length() > MAX_BITS):
            raise self.fail(node, "this number is too large" if isinstance(value, int) else "this isn't a real number")
        return value

    def boolean(self, node: ast.BoolOp, sign: str) -> ComputeTree:
        """`and`, `or` between constants; of values they are written `&` and `|`."""
        if not all(self.constant_like(item) for item in node.values):
            word = "and" if sign == "&" else "or"
            raise self.fail(node, f"`{word}` needs constants", f"write `{sign}` for each element of values")
        value = self.condition(node)
        return Constant(value, literal(value))

    # ---- constants -----------------------------------------------------------------------------------

    def constant_like(self, node: ast.AST) -> bool:
        """Whether a node names no value and calls nothing."""
        return not any(
            isinstance(item, ast.Call) or (isinstance(item, ast.Name) and item.id not in self.constants)
            for item in ast.walk(node)
        )

    def condition(self, node: ast.expr) -> bool:
        """The truth of a constant condition. Raises `ComputeError` where it depends on values."""
        if not self.constant_like(node):
            raise self.fail(
                node, "this condition isn't a constant", "choose element by element with `where(condition, a, b)`"
            )
        if isinstance(node, ast.BoolOp):
            results = (self.condition(item) for item in node.values)
            return all(results) if isinstance(node.op, ast.And) else any(results)
        value = self.constant(node)
        if isinstance(value, SymDim):
            raise self.fail(node, f"`{value}` is known only when the model runs")
        return bool(value)

    def constant(self, node: ast.expr) -> Any:
        """The value of a constant node: a number, a word, null, or a list. Raises `ComputeError`."""
        match node:
            case ast.Constant(value=value) if value is not Ellipsis and not isinstance(value, (bytes, complex)):
                return value
            case ast.Name(id=name) if name in self.constants:
                return self.constants[name]
            case ast.Name(id=name) if name in DTYPES:
                return name
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self.constant(item) for item in items]
            case ast.IfExp(test=test, body=body, orelse=other):
                return self.constant(body if self.condition(test) else other)
            case ast.Compare(left=left, ops=[sign], comparators=[right]) if type(sign) in _COMPARE:
                pair = (self.constant(left), self.constant(right))
                return self.folded(node, _COMPARE[type(sign)][2], *pair)
        if not self.constant_like(node):
            raise self.fail(node, "expected a constant here", "parameters are written `$name`")
        tree = self.tree(node, 0)
        if not isinstance(tree, Constant):
            raise self.fail(node, "expected a constant here")
        return tree.value

    # ---- indexing ------------------------------------------------------------------------------------

    def index(self, node: ast.Subscript, value: ComputeTree, index: ast.expr, depth: int) -> ComputeTree:
        """`x[:, 0]`, `x[:, None]`, `table[t]`."""
        items: list[Item] = []
        arguments: list[ComputeTree] = [value]
        for part in index.elts if isinstance(index, ast.Tuple) else [index]:
            if isinstance(part, ast.Slice):
                items.append(self.slice(part, arguments))
            elif isinstance(part, ast.Constant) and part.value is Ellipsis:
                if "..." in items:
                    raise self.fail(part, "`...` can stand once in an index")
                items.append("...")
            elif self.constant_like(part):
                place = self.constant(part)
                if place is not None and (isinstance(place, bool) or not isinstance(place, int)):
                    raise self.fail(part, f"a place is an integer, got {_shown(place)}")
                items.append(place)
            else:
                items.append("tensor")
                arguments.append(self.tree(part, depth + 1))
        return self.apply(node, Index(items=tuple(items)), *arguments)

    def slice(self, part: ast.Slice, arguments: list[ComputeTree]) -> Slice:
        """`start:stop:step`; bounds that are sizes known at run time become arguments."""
        bounds: list[Any] = []
        for bound in (part.lower, part.upper):
            value = None if bound is None else self.constant(bound)
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, SymDim))):
                raise self.fail(bound or part, f"the bounds of a slice are integers, got {_shown(value)}")
            if isinstance(value, SymDim):
                arguments.append(Constant(value, str(value)))
            bounds.append(value)
        step = 1 if part.step is None else self.constant(part.step)
        if isinstance(step, bool) or not isinstance(step, int) or step < 1:
            raise self.fail(part.step or part, f"the step of a slice is an integer of at least 1, got {_shown(step)}")
        return Slice(bounds[0], bounds[1], step)

    # ---- calls ---------------------------------------------------------------------------------------

    def call(self, node: ast.Call, name: str, depth: int) -> ComputeTree:
        """An operator called as a function, with PyTorch's arguments."""
        if any(isinstance(argument, ast.Starred) for argument in node.args) or any(
            keyword.arg is None for keyword in node.keywords
        ):
            raise self.fail(node, "arguments can't be unpacked here")
        cls = self.function(node, name)
        ports = [port.rstrip("?") for port in cls.inputs if port != "like?"]
        inputs: dict[str, list[ast.expr]] = {}
        fields: dict[str, ast.expr] = {}
        positional = list(node.args)
        if ports and ports[0].startswith("*"):
            if positional and isinstance(positional[0], (ast.List, ast.Tuple)):
                inputs[ports[0]] = positional[0].elts
                positional = positional[1:]
            else:
                inputs[ports[0]], positional = positional, []
        else:
            inputs.update((port, [argument]) for port, argument in zip(ports, positional, strict=False))
            positional = positional[len(ports) :]
        names = cls.positional(len(positional))
        if len(positional) > len(names):
            raise self.fail(positional[len(names)], f"`{name}` takes no more arguments")
        fields.update(zip(names, positional, strict=True))
        for keyword in node.keywords:
            assert keyword.arg is not None
            if keyword.arg in fields or keyword.arg in inputs:
                raise self.fail(keyword, f"`{name}` gets `{keyword.arg}` twice")
            if keyword.arg in ports:
                inputs[keyword.arg] = [keyword.value]
            else:
                fields[keyword.arg] = keyword.value
        for port in cls.inputs:
            if not port.endswith("?") and not inputs.get(port):
                raise self.fail(node, f"`{name}` needs its input `{port.lstrip('*')}`")
        op = self.operator(node, cls, fields)
        chosen = [item for port in ports for item in inputs.get(port, [])]
        return self.apply(node, op, *(self.tree(item, depth + 1) for item in chosen))

    def function(self, node: ast.Call, name: str) -> type[Op]:
        """The operator class behind a function's name."""
        if name in _EXTREMES:
            return _EXTREMES[name][len(node.args) == 2]
        cls = OPERATORS.get(name)
        if cls is None:
            known = [*_EXTREMES, *(key for key, item in OPERATORS.items() if _is_function(item))]
            raise self.fail(node.func, f"there is no function `{name}`", did_you_mean(name, known))
        if not _is_function(cls):
            raise self.fail(node.func, f"`{name}` can't be part of an expression", "make it a layer of its own")
        return cls

    def operator(self, node: ast.Call, cls: type[Op], fields: Mapping[str, ast.expr]) -> Op:
        """The operator with its arguments, checked by pydantic."""
        values = {key: self.constant(item) for key, item in fields.items()}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise self.refused(node, cls, fields, error) from None

    def refused(
        self, node: ast.Call, cls: type[Op], fields: Mapping[str, ast.expr], error: ValidationError
    ) -> ComputeError:
        """What pydantic says against a call's arguments, at the argument."""
        first = error.errors(include_url=False)[0]
        argument = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            keyword = next(keyword for keyword in node.keywords if keyword.arg == argument)
            return self.fail(keyword, f"`{cls.operator}` has no argument `{argument}`", _choice(argument, cls))
        if first["type"] == "missing":
            return self.fail(node, f"`{cls.operator}` needs `{argument}`", cls.model_fields[argument].description)
        about = f"`{argument}` of `{cls.operator}`" if argument else f"`{cls.operator}`"
        message = first["msg"].removeprefix("Value error, ")
        return self.fail(fields.get(argument, node), f"{about}: {message}")


def _is_function(cls: type[Op]) -> bool:
    """Whether an operator is a function of its inputs alone, with one result."""
    stateless = cls.weights is Op.weights and cls.torch_function is not Op.torch_function
    return stateless and len(cls.outputs) == 1 and not cls.outputs[0].startswith("*")


def _choice(argument: str, cls: type[Op]) -> str:
    names = list(cls.model_fields)
    known = f"it takes {', '.join(f'`{name}`' for name in names)}" if names else "it takes none"
    return did_you_mean(argument, names) or known


def _shown(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return "null" if value is None else f"`{value}`"
