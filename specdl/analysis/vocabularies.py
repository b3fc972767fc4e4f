"""Finds an embedding with fewer rows, or a loss with fewer scores, than the tokenizer has tokens.

The types can't show it: a token is an int64 however many there are. What a tokenizer's arguments or its file tell is
compared when a spec is checked, the rest when its text has been read, before training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from specdl.diagnostics import Diagnostics, Note
from specdl.ir.program import Function, Node, Program

if TYPE_CHECKING:
    from specdl.spec.chain import TransformEntry
    from specdl.spec.data import Data


def known_sizes(data: Data) -> dict[int, int]:
    """How many tokens each tokenizer may have, by the position of its entry, as far as that is known before data."""
    from specdl.data.transforms.text import Tokenize

    found: dict[int, int] = {}
    for at, entry in enumerate(data.transforms):
        if isinstance(entry.transform, Tokenize) and entry.tokenizer == at:
            most = entry.transform.tokenizer.most()
            if most is not None:
                found[at] = most
    return found


def check_vocabularies(
    program: Program, data: Data, sizes: Mapping[int, int], diagnostics: Diagnostics, *, at_most: bool = False
) -> None:
    """Records a mistake for each layer or loss that knows fewer tokens than the tokenizer of a field has.

    `sizes` are those of the vocabularies, by the position of the entry that names the tokenizer; `at_most` says that
    text which wasn't read yet decides whether they become so large.
    """
    from specdl.objectives.losses import Loss  # here, since a spec without data needs none

    for step in program.steps if sizes else ():
        function = program.functions[step.function]
        wanted = {
            value.name: data.vocabularies[value.name]
            for value in function.inputs
            if data.vocabularies.get(value.name) in sizes
        }
        told: set[tuple[object, int]] = set()
        for node, fields in _readers(program, function, {name: name for name in wanted}):
            field = fields[0]
            size = sizes[wanted[field]]
            known: int | None = None
            if isinstance(node.callee, Loss):
                known, what = _scored(node, function, fields, field), "scores"
            else:
                known, what = getattr(node.callee, "num_embeddings", None), "has rows for"
            if known is not None and known < size and (node.span, wanted[field]) not in told:
                told.add((node.span, wanted[field]))
                entry = data.transforms[wanted[field]]
                has = "may have up to" if at_most and not _is_known(entry) else "has"
                attribute = "num_embeddings" if hasattr(node.callee, "num_embeddings") else "out_features"
                diagnostics.add(
                    "E0570",
                    f"`{node.name}` {what} {known:,} tokens, but the tokenizer of `{field}` {has} {size:,}",
                    node.span,
                    notes=[Note("the tokenizer is here", entry.span)],
                    help=f"make it {size:,} or more (`{attribute}`), or the vocabulary smaller",
                )


def _is_known(entry: TransformEntry) -> bool:
    """Whether the vocabulary of an entry is known to its last token."""
    from specdl.data.transforms.text import Tokenize

    return isinstance(entry.transform, Tokenize) and entry.transform.tokenizer.known() is not None


def _scored(node: Node, function: Function, fields: list[str], field: str) -> int | None:
    """How many tokens a loss scores, where its target is such a field."""
    types = function.types()
    if len(node.inputs) < 2 or node.inputs[0] is None or node.inputs[1] is None or node.inputs[1] != fields[1]:
        return None
    found: int | None = node.callee.classes(types[node.inputs[0]], types[node.inputs[1]])  # type: ignore[union-attr]
    return found


def _readers(program: Program, function: Function, names: Mapping[str, str]) -> Iterator[tuple[Node, list[str]]]:
    """The embeddings and losses that read a field itself, each with the field and what it is called there.

    `names` are the fields by what they are called in the function; a network or block has its own names for them.
    """
    from specdl.objectives.losses import Loss

    known = dict(names)
    for node in function.nodes:
        read = [(known[name], name) for name in node.inputs if name in known]
        if not read:
            continue
        if isinstance(node.callee, str):
            callee = program.functions[node.callee]
            inner = {
                value.name: known[name]
                for value, name in zip(callee.inputs, node.inputs, strict=False)
                if name is not None and name in known
            }
            yield from _readers(program, callee, inner)
        elif node.callee.operator == "identity":
            known[node.outputs[0]] = read[0][0]
        elif node.callee.operator == "embedding" or isinstance(node.callee, Loss):
            yield from ((node, list(pair)) for pair in read)


__all__ = ["check_vocabularies", "known_sizes"]
