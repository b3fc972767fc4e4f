"""`$name` and `$( … )` with the values of a file's parameters put in: what is left depends on a block or a loop."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from typing import Any

from specdl.spec.expressions import (
    Constants,
    ExpressionError,
    evaluate,
    free_names,
    parse_expression,
    pieces,
)

MAX_LITERAL = 64
"""A longer list stays the expression that makes it."""


class Unbindable(Exception):
    """A parameter has a value that can't stand where it is read."""


def bind_text(text: str, values: Mapping[str, Any], hidden: Collection[str] = (), *, arithmetic: bool = False) -> Any:
    """A YAML string with the parameters among `values` put in, as far as nothing in `hidden` has their name.

    Gives the value itself where the whole string is an expression that then depends on nothing else. In `arithmetic`
    (a `compute`) a negative number gets parentheses. Raises `Unbindable`.
    """
    if "$" not in text:
        return text
    try:
        parts = pieces(text)
    except ExpressionError:
        return text
    found: list[str] = []
    for part in parts:
        if not part.expression:
            found.append(part.text)
            continue
        value, rest = _expression(part.text, values, hidden)
        if rest is None and len(parts) == 1:
            return value
        if rest is not None:
            found.append(f"${rest}" if rest.isidentifier() else f"$({rest})")
        elif isinstance(value, (int, float, str)):
            negative = arithmetic and not isinstance(value, str) and value < 0
            found.append(f"({value})" if negative else str(value))
        else:
            raise Unbindable(f"`{part.text}` is {value}, which can't stand inside of text")
    return "".join(found)


def _expression(text: str, values: Mapping[str, Any], hidden: Collection[str]) -> tuple[Any, str | None]:
    """The value of an expression, or None and the text of what is left of it."""
    known = {name: value for name, value in values.items() if name not in hidden}
    names = free_names(text)
    if not names & known.keys():
        return None, text
    if names <= known.keys():
        try:
            value = evaluate(text, Constants(known))
        except ExpressionError as error:
            raise Unbindable(error.message) from error
        if not isinstance(value, list) or len(value) <= MAX_LITERAL:
            return value, None
    tree = parse_expression(text)
    if isinstance(tree, ExpressionError):
        return None, text
    return None, ast.unparse(_Put(known).visit(tree))


class _Put(ast.NodeTransformer):
    """Replaces names by the literals of their values."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.values or not isinstance(node.ctx, ast.Load):
            return node
        return ast.parse(_literal(self.values[node.id]), mode="eval").body

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if not isinstance(node, (ast.ListComp, ast.GeneratorExp)):
            return super().generic_visit(node)
        bound = {name.id for part in node.generators for name in ast.walk(part.target) if isinstance(name, ast.Name)}
        inner = _Put({name: value for name, value in self.values.items() if name not in bound})
        return ast.NodeTransformer.generic_visit(inner, node)


def _literal(value: Any) -> str:
    """A value in the expression language."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_literal, value))}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, (int, float, str)):
        return repr(value)
    raise Unbindable("a mapping can't stand inside of an expression")
