"""The `$name` and `$( … )` of a spec: a small interpreter over a whitelisted syntax tree.

An expression reads parameters, loop variables and the types of values; it can't call, import or reach
anything else, and its cost is bounded. Mistakes know their offset inside the YAML string.
"""

from __future__ import annotations

import ast
import copy
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from specdl.diagnostics import did_you_mean
from specdl.ir.dims import SymDim, extent, too_complicated
from specdl.ir.types import TensorType

MAX_LENGTH = 2_000
MAX_DEPTH = 40
MAX_STEPS = 200_000
MAX_ITEMS = 100_000
MAX_BITS = 256

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ExpressionError(Exception):
    """A mistake in an expression; `offset` and `length` are within the whole YAML string.

    `unknown` is the name that nothing has, where that is the mistake.
    """

    def __init__(
        self, message: str, offset: int = 0, length: int = 1, help: str | None = None, unknown: str | None = None
    ) -> None:
        super().__init__(message)
        self.message, self.offset, self.length, self.help, self.unknown = message, offset, length, help, unknown


class Scope(Protocol):
    """Where an expression finds its names."""

    def lookup(self, name: str) -> Any:
        """The value of `name`. Raises `KeyError`."""
        ...

    def names(self) -> Iterable[str]:
        """All names, for suggestions."""
        ...

    def given(self, name: str) -> bool:
        """Whether the optional input `name` was given. Raises `KeyError` where there is no such input."""
        ...


@dataclass(frozen=True, slots=True)
class Constants:
    """A scope of plain values."""

    values: Mapping[str, Any]

    def lookup(self, name: str) -> Any:
        return self.values[name]

    def names(self) -> Iterable[str]:
        return self.values

    def given(self, name: str) -> bool:
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a string: literal text, or an expression with its offset in the string."""

    text: str
    expression: bool
    offset: int


@lru_cache(maxsize=8192)
def pieces(text: str) -> tuple[Piece, ...]:
    """Splits a string at its `$name` and `$( … )`. Raises `ExpressionError` for a `$(` that never closes."""
    found: list[Piece] = []
    position = 0
    while True:
        start = text.find("$", position)
        if start < 0 or start + 1 >= len(text):
            break
        following = text[start + 1]
        if following == "(":
            end = closing(text, start + 1)
            if end is None:
                raise ExpressionError(
                    "this `$(` never closes",
                    start,
                    len(text) - start,
                    help="end it with `)`, or quote the whole value if it holds `,`, `[` or `]`",
                )
            piece = Piece(text[start + 2 : end], True, start + 2)
            end += 1
        else:
            match = _NAME.match(text, start + 1)
            if match is None:
                raise ExpressionError(
                    "`$` needs a name or `( … )` behind it", start, 1, _dollar_help(text[start + 1 :])
                )
            piece = Piece(match.group(), True, start + 1)
            end = match.end()
        if start > position:
            found.append(Piece(text[position:start], False, position))
        found.append(piece)
        position = end
    if position < len(text) or not found:
        found.append(Piece(text[position:], False, position))
    return tuple(found)


def _dollar_help(rest: str) -> str | None:
    """What to write instead of `${width}` or `$ width`."""
    meant = re.match(r"\{\s*(\w+)\s*\}|\s+([A-Za-z_]\w*)", rest)
    return None if meant is None else f"a parameter is read by `${meant.group(1) or meant.group(2)}`"


def closing(text: str, start: int) -> int | None:
    """The position of the bracket that closes the one at `start`, or None. Quoted text is passed over."""
    depth = 0
    quote = ""
    for position in range(start, len(text)):
        character = text[position]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0:
                return position
    return None


def never_closes(text: str) -> bool:
    """Whether a `$(` in a YAML string has lost its other end."""
    start = text.rfind("$(")
    return start >= 0 and closing(text, start + 1) is None


def substitute(text: str, scope: Scope) -> Any:
    """The value of a YAML string: an expression's own value, or text with the expressions' values in it."""
    if "$" not in text:
        return text
    parts = pieces(text)
    if len(parts) == 1 and parts[0].expression:
        return evaluate(parts[0].text, scope, parts[0].offset)
    words: list[str] = []
    for part in parts:
        value = evaluate(part.text, scope, part.offset) if part.expression else part.text
        if part.expression and not isinstance(value, (str, int, float, SymDim)):
            raise ExpressionError(
                f"only a number or a word can stand inside text, not {_kind(value)}", part.offset, len(part.text)
            )
        words.append(str(value))
    return "".join(words)


def evaluate(text: str, scope: Scope, offset: int = 0) -> Any:
    """The value of one expression, the text between `$(` and `)`. Raises `ExpressionError`."""
    if text.isidentifier() and text not in _CONSTANTS:
        return _lookup(scope, text, offset)
    tree = _parse(text)
    if isinstance(tree, ExpressionError):
        raise ExpressionError(tree.message, tree.offset + offset, tree.length, tree.help)
    interpreter = _Interpreter(scope, offset)
    return interpreter.value(tree, {}, 0)


def free_names(text: str) -> frozenset[str]:
    """The names that an expression reads from its scope; none for what is no expression."""
    tree = _parse(text)
    if isinstance(tree, ExpressionError):
        return frozenset()
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return frozenset(
        node.id for node in names if node.id not in bound and node.id not in _CONSTANTS and id(node) not in called
    )


def parse_expression(text: str) -> ast.expr | ExpressionError:
    """The syntax tree of an expression, the caller's to change, or what is wrong with it."""
    return copy.deepcopy(_parse(text))


@lru_cache(maxsize=8192)
def _parse(text: str) -> ast.expr | ExpressionError:
    if len(text) > MAX_LENGTH:
        return ExpressionError(f"an expression may have {MAX_LENGTH:,} characters", 0, 1)
    # Parentheses let an expression break over lines, and shift every column by one.
    try:
        return ast.parse(f"({text})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        offset = max((getattr(error, "offset", None) or 2) - 2, 0)
        message = getattr(error, "msg", None) or "not an expression"
        return ExpressionError(
            f"not an expression: {message}", min(offset, max(len(text) - 1, 0)), 1, _syntax_help(text)
        )


def _syntax_help(text: str) -> str | None:
    if "&&" in text or "||" in text:
        return "write `and`, `or`, `not`"
    if "?" in text:
        return "write `a if condition else b`"
    return "`$` is not written inside `$( … )`" if "$" in text else None


_CONSTANTS: dict[str, Any] = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}


def _lookup(scope: Scope, name: str, offset: int) -> Any:
    try:
        return scope.lookup(name)
    except KeyError:
        if name in _FUNCTIONS:
            raise ExpressionError(f"`{name}` is a function; call it: `{name}(…)`", offset, len(name)) from None
        raise ExpressionError(
            f"there is no parameter or loop variable `{name}` here",
            offset,
            len(name),
            did_you_mean(name, scope.names()),
            unknown=name,
        ) from None


def _round_to(value: float, multiple: int) -> int:
    """Rounds to a multiple, never below 90 % of the value: torchvision's `_make_divisible`."""
    if multiple < 1:
        raise ValueError("the multiple must be at least 1")
    rounded = max(multiple, int(value + multiple / 2) // multiple * multiple)
    return rounded + multiple if rounded < 0.9 * value else rounded


def _range(*bounds: int) -> list[int]:
    if any(isinstance(bound, bool) or not isinstance(bound, int) for bound in bounds):
        raise TypeError("`range` takes integers")
    values = range(*bounds)
    if len(values) > MAX_ITEMS:
        raise ValueError(f"a list may have {MAX_ITEMS:,} items")
    return list(values)


def _floor(value: float) -> int:
    return math.floor(value)


def _ceil(value: float) -> int:
    return math.ceil(value)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "all": all,
    "any": any,
    "bool": bool,
    "ceil": _ceil,
    "cos": math.cos,
    "enumerate": lambda items: [list(pair) for pair in enumerate(items)],
    "exp": math.exp,
    "float": float,
    "floor": _floor,
    "int": int,
    "len": len,
    "log": math.log,
    "log2": math.log2,
    "max": max,
    "min": min,
    "range": _range,
    "reversed": lambda items: list(reversed(items)),
    "round": round,
    "round_to": _round_to,
    "sin": math.sin,
    "sorted": sorted,
    "sqrt": math.sqrt,
    "str": str,
    "sum": sum,
    "zip": lambda *items: [list(row) for row in zip(*items, strict=True)],
}

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
    ast.Is: lambda left, right: left is right,
    ast.IsNot: lambda left, right: left is not right,
}

_SIGNS: dict[type[ast.cmpop], set[int]] = {
    ast.Eq: {0},
    ast.NotEq: {-1, 1},
    ast.Lt: {-1},
    ast.LtE: {-1, 0},
    ast.Gt: {1},
    ast.GtE: {0, 1},
}
"""The signs of a difference for which a comparison holds."""

ATTRIBUTES: dict[str, str] = {
    "shape": "the sizes, batch first",
    "channels": "the size of axis 1",
    "features": "the size of the last axis",
    "rank": "the number of axes",
    "dtype": "the dtype's name",
}
"""What an expression may ask of a value's type."""


def _attribute(value: TensorType, name: str) -> Any:
    if name == "shape":
        return list(value.shape)
    if name == "rank":
        return value.rank
    if name == "dtype":
        return value.dtype
    if value.rank < 2:
        raise TypeError(f"{value} has no {name}: it has fewer than two axes")
    return value.shape[1] if name == "channels" else value.shape[-1]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, SymDim)) and not isinstance(value, bool)


def _lists(value: Any) -> Any:
    """A value with lists for the tuples as which parameters are kept: `[1] + widths`, `widths == [1, 2]`."""
    if isinstance(value, (list, tuple)):
        return [_lists(item) for item in value]
    return {key: _lists(item) for key, item in value.items()} if isinstance(value, dict) else value


class _Interpreter:
    def __init__(self, scope: Scope, offset: int) -> None:
        self.scope, self.offset = scope, offset
        self.steps = 0
        self.known: dict[str, Any] = {}

    def fail(self, node: ast.AST, message: str, help: str | None = None) -> ExpressionError:
        start = getattr(node, "col_offset", 1) - 1
        end = getattr(node, "end_col_offset", start + 2) - 1
        one_line = getattr(node, "lineno", 1) == getattr(node, "end_lineno", 1) == 1
        # col_offset counts UTF-8 bytes; a spec's expressions are ASCII but for text in quotes.
        return ExpressionError(message, self.offset + max(start, 0), max(end - start, 1) if one_line else 1, help)

    def value(self, node: ast.expr, local: Mapping[str, Any], depth: int) -> Any:
        self.steps += 1
        if self.steps > MAX_STEPS or depth > MAX_DEPTH:
            raise self.fail(node, "this expression takes too long to evaluate")
        method = _METHODS.get(type(node))
        if method is None:
            raise self.fail(node, f"{_syntax_name(node)} is not part of the expression language")
        try:
            result = method(self, node, local, depth + 1)
        except ExpressionError:
            raise
        except ZeroDivisionError:
            raise self.fail(node, "division by zero") from None
        except (TypeError, ValueError, IndexError, KeyError, OverflowError, ArithmeticError) as error:
            raise self.fail(node, _reason(error)) from None
        self.bound(node, result)
        return result

    def charge(self, node: ast.expr, *values: Any) -> None:
        """Counts the items of lists (nested ones too) that are made, compared or given to a function as steps."""
        for value in values:
            if isinstance(value, (list, tuple, dict)):
                self.steps += leaves(value, MAX_STEPS)
            if self.steps > MAX_STEPS:
                raise self.fail(node, "this expression takes too long to evaluate")

    def bound(self, node: ast.expr, result: Any) -> None:
        if isinstance(result, int) and result.bit_length() > MAX_BITS:
            raise self.fail(node, "this number is too large")
        if isinstance(result, SymDim) and too_complicated(result):
            raise self.fail(node, "this size is too complicated")
        if isinstance(result, (str, list, tuple)) and len(result) > MAX_ITEMS:
            raise self.fail(node, f"this result has more than {MAX_ITEMS:,} items")

    def constant(self, node: ast.Constant, local: Mapping[str, Any], depth: int) -> Any:
        if isinstance(node.value, (bool, int, float, str, type(None))):
            return node.value
        raise self.fail(node, f"{node.value!r} is not part of the expression language")

    def name(self, node: ast.Name, local: Mapping[str, Any], depth: int) -> Any:
        if node.id in local:
            return local[node.id]
        if node.id in _CONSTANTS:
            return _CONSTANTS[node.id]
        if node.id not in self.known:
            value = _lookup(self.scope, node.id, self.fail(node, "").offset)
            self.charge(node, value)
            self.known[node.id] = _lists(value)
        return self.known[node.id]

    def unary(self, node: ast.UnaryOp, local: Mapping[str, Any], depth: int) -> Any:
        value = self.value(node.operand, local, depth)
        if isinstance(node.op, ast.Not):
            return not value
        if isinstance(node.op, ast.USub):
            return -value
        if isinstance(node.op, ast.UAdd):
            return +value
        raise self.fail(node, "`~` is not part of the expression language", help="write `not`")

    def binary(self, node: ast.BinOp, local: Mapping[str, Any], depth: int) -> Any:
        function = _BINARY.get(type(node.op))
        if function is None:
            raise self.fail(node, "this operator is not part of the expression language")
        left, right = self.value(node.left, local, depth), self.value(node.right, local, depth)
        if isinstance(node.op, ast.Pow):
            self.bound_power(node, left, right)
        elif isinstance(node.op, ast.Mult):
            self.bound_repeat(node, left, right)
        if isinstance(left, str) != isinstance(right, str) or (isinstance(left, SymDim) and isinstance(right, float)):
            raise TypeError(f"can't compute with {_kind(left)} and {_kind(right)}")
        result = function(left, right)
        self.charge(node, result)
        return result

    def bound_power(self, node: ast.expr, base: Any, exponent: Any) -> None:
        if isinstance(base, int) and isinstance(exponent, int) and abs(exponent) * max(base.bit_length(), 1) > MAX_BITS:
            raise self.fail(node, "this number is too large")

    def bound_repeat(self, node: ast.expr, left: Any, right: Any) -> None:
        for items, count in ((left, right), (right, left)):
            if isinstance(items, (str, list, tuple)) and isinstance(count, int) and len(items) * count > MAX_ITEMS:
                raise self.fail(node, f"this result has more than {MAX_ITEMS:,} items")

    def boolean(self, node: ast.BoolOp, local: Mapping[str, Any], depth: int) -> Any:
        stop = isinstance(node.op, ast.Or)
        result: Any = None
        for item in node.values:
            result = self.value(item, local, depth)
            if bool(result) is stop:
                return result
        return result

    def compare(self, node: ast.Compare, local: Mapping[str, Any], depth: int) -> bool:
        left = self.value(node.left, local, depth)
        for kind, item in zip(node.ops, node.comparators, strict=True):
            right = self.value(item, local, depth)
            self.charge(node, left, right)
            if not self.compared(node, kind, left, right):
                return False
            left = right
        return True

    def compared(self, node: ast.Compare, kind: ast.cmpop, left: Any, right: Any) -> bool:
        """One comparison. A size that is known at run time takes part as far as its bounds tell."""
        sizes = [value for value in (left, right) if isinstance(value, SymDim)]
        wanted = _SIGNS.get(type(kind))
        if not sizes or wanted is None or not (_is_number(left) and _is_number(right)):
            return _COMPARE[type(kind)](left, right)
        whole = not isinstance(left, float) and not isinstance(right, float)
        low, high = extent(left - right) if whole else (-math.inf, math.inf)
        found = {sign for sign, possible in ((-1, low < 0), (0, low <= 0 <= high), (1, high > 0)) if possible}
        if found <= wanted or not found & wanted:
            return found <= wanted
        names = sorted(sizes[0].symbols())
        help = f"bounds may decide it: `sizes: {{{names[0]}: {{min: 1, max: 512}}}}`"
        raise self.fail(node, f"`{sizes[0]}` is only known at run time, so it can't decide anything here", help)

    def conditional(self, node: ast.IfExp, local: Mapping[str, Any], depth: int) -> Any:
        return self.value(node.body if self.value(node.test, local, depth) else node.orelse, local, depth)

    def listing(self, node: ast.List | ast.Tuple, local: Mapping[str, Any], depth: int) -> list[Any]:
        found = [self.value(item, local, depth) for item in node.elts]
        self.charge(node, found)
        return found

    def mapping(self, node: ast.Dict, local: Mapping[str, Any], depth: int) -> dict[Any, Any]:
        if any(key is None for key in node.keys):
            raise self.fail(node, "`**` is not part of the expression language")
        found: dict[str, Any] = {}
        for key, item in zip(node.keys, node.values, strict=True):
            assert key is not None
            name = self.value(key, local, depth)
            if not isinstance(name, str):
                raise self.fail(key, f"the keys of a mapping are words, not {_kind(name)}")
            found[name] = self.value(item, local, depth)
        self.charge(node, found)
        return found

    def subscript(self, node: ast.Subscript, local: Mapping[str, Any], depth: int) -> Any:
        value = self.value(node.value, local, depth)
        if isinstance(node.slice, ast.Slice):
            bounds = [
                None if part is None else self.value(part, local, depth)
                for part in (node.slice.lower, node.slice.upper, node.slice.step)
            ]
            return value[slice(*bounds)]
        return value[self.value(node.slice, local, depth)]

    def attribute(self, node: ast.Attribute, local: Mapping[str, Any], depth: int) -> Any:
        value = self.value(node.value, local, depth)
        if isinstance(value, Mapping):
            if node.attr not in value:
                help = did_you_mean(node.attr, value) or f"it has {', '.join(map(str, value)) or 'no keys'}"
                raise self.fail(node, f"the mapping has no key `{node.attr}`", help)
            return value[node.attr]
        if not isinstance(value, TensorType):
            raise self.fail(node, f"{_kind(value)} has no attribute `{node.attr}`")
        if node.attr not in ATTRIBUTES:
            raise self.fail(
                node,
                f"a value has no `{node.attr}`",
                did_you_mean(node.attr, ATTRIBUTES) or f"it has {', '.join(ATTRIBUTES)}",
            )
        return _attribute(value, node.attr)

    def call(self, node: ast.Call, local: Mapping[str, Any], depth: int) -> Any:
        if not isinstance(node.func, ast.Name):
            raise self.fail(node, "only the documented functions can be called")
        name = node.func.id
        if name == "given":
            return self.given(node)
        function = _FUNCTIONS.get(name)
        if function is None:
            raise self.fail(node.func, f"there is no function `{name}`", did_you_mean(name, [*_FUNCTIONS, "given"]))
        arguments = [self.value(item, local, depth) for item in node.args]
        if any(keyword.arg not in {"reverse", "start"} for keyword in node.keywords):
            raise self.fail(node, f"`{name}` takes no argument by name")
        keywords = {str(keyword.arg): self.value(keyword.value, local, depth) for keyword in node.keywords}
        self.charge(node, *arguments)
        return function(*arguments, **keywords)

    def given(self, node: ast.Call) -> bool:
        if len(node.args) != 1 or node.keywords or not isinstance(node.args[0], ast.Name):
            raise self.fail(node, "`given` takes the name of one optional input")
        try:
            return self.scope.given(node.args[0].id)
        except KeyError:
            raise self.fail(node.args[0], f"there is no input `{node.args[0].id}` here") from None

    def comprehension(self, node: ast.ListComp | ast.GeneratorExp, local: Mapping[str, Any], depth: int) -> list[Any]:
        found: list[Any] = []
        self.generate(node, node.generators, dict(local), depth, found)
        self.charge(node, found)
        return found

    def generate(
        self,
        node: ast.ListComp | ast.GeneratorExp,
        left: list[ast.comprehension],
        local: dict[str, Any],
        depth: int,
        found: list[Any],
    ) -> None:
        if not left:
            found.append(self.value(node.elt, local, depth))
            self.bound(node, found)
            return
        first, *rest = left
        for item in self.value(first.iter, local, depth):
            self.bind(first.target, item, local)
            if all(self.value(test, local, depth) for test in first.ifs):
                self.generate(node, rest, local, depth + 1, found)

    def bind(self, target: ast.expr, item: Any, local: dict[str, Any]) -> None:
        if isinstance(target, ast.Name):
            local[target.id] = item
        elif isinstance(target, ast.Tuple) and isinstance(item, (list, tuple)) and len(item) == len(target.elts):
            for part, value in zip(target.elts, item, strict=True):
                self.bind(part, value, local)
        else:
            raise self.fail(target, "can't take these values apart")


_METHODS: dict[type[ast.expr], Callable[..., Any]] = {
    ast.Constant: _Interpreter.constant,
    ast.Name: _Interpreter.name,
    ast.UnaryOp: _Interpreter.unary,
    ast.BinOp: _Interpreter.binary,
    ast.BoolOp: _Interpreter.boolean,
    ast.Compare: _Interpreter.compare,
    ast.IfExp: _Interpreter.conditional,
    ast.List: _Interpreter.listing,
    ast.Tuple: _Interpreter.listing,
    ast.Dict: _Interpreter.mapping,
    ast.Subscript: _Interpreter.subscript,
    ast.Attribute: _Interpreter.attribute,
    ast.Call: _Interpreter.call,
    ast.ListComp: _Interpreter.comprehension,
    ast.GeneratorExp: _Interpreter.comprehension,
}


def leaves(value: Any, limit: int) -> int:
    """The number of items in nested lists and mappings; counting stops soon past `limit`."""
    if not isinstance(value, (list, tuple, dict)):
        return 1
    count = 1
    for item in value.values() if isinstance(value, dict) else value:
        count += leaves(item, limit - count)
        if count > limit:
            break
    return count


def _syntax_name(node: ast.AST) -> str:
    return {
        "Lambda": "a lambda",
        "Await": "await",
        "JoinedStr": "an f-string",
        "NamedExpr": "`:=`",
        "Starred": "`*`",
    }.get(type(node).__name__, f"`{type(node).__name__}`")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return f"the word `{value}`" if len(value) < 40 else "a word"
    if isinstance(value, (int, float, SymDim)):
        return f"the number {value}"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, TensorType):
        return f"a value of shape {value}"
    return "nothing" if value is None else type(value).__name__


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"there is no entry {error.args[0]!r}"
    if isinstance(error, IndexError):
        return "this list has no such position"
    text = str(error)
    return text[:1].lower() + text[1:] if text else "can't be evaluated"
