"""Checks blocks by themselves: each is elaborated with inputs and required parameters that are unknown.

What follows from an unknown value is unknown and says nothing, so what is told is wrong for every caller: names,
operators, arguments, expressions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from specdl.diagnostics import Diagnostics, Span
from specdl.elaborate.drafts import FunctionDraft, NodeDraft, Ref
from specdl.elaborate.elaborator import Elaborator
from specdl.elaborate.scopes import UNKNOWN, Abandoned, Bound, Frame, Home, Poisoned, Site
from specdl.source import SpanTree
from specdl.spec.entries import Entry
from specdl.spec.file import Block, Spec
from specdl.spec.overrides import REQUIRED


def check_library(spec: Spec, diagnostics: Diagnostics) -> None:
    """Records the mistakes in the blocks of a library."""
    check_blocks(spec, spec.blocks, diagnostics)


def check_blocks(spec: Spec, names: Iterable[str], diagnostics: Diagnostics) -> None:
    """Records the mistakes in some blocks of a file that hold for every caller."""
    checker = _Checker(spec, diagnostics)
    checker.bind_file_params(checker.home)
    blocks = [spec.blocks[name] for name in names]
    for block in blocks:
        checker.check(block)
    for block in blocks:
        checker.find_cycles((block,))


class _Checker(Elaborator):
    """Elaborates what it can, and goes on behind what it can't."""

    def __init__(self, spec: Spec, diagnostics: Diagnostics) -> None:
        super().__init__(spec, diagnostics)
        self.calls: dict[str, list[tuple[Block, Entry]]] = {}

    def check(self, block: Block) -> None:
        """One block, for unknown inputs."""
        draft = FunctionDraft(block.name, block.name, "block", block.span)
        params: dict[str, Any] = {}
        frame = Frame(draft, params, self.home, stack=(block,))
        flow = Ref(draft, "", None, block.span)
        frame.values.update({item.name: flow for item in block.inputs or ()})
        site = Site(frame, draft, flow=flow)
        for name, default in block.params.items():
            try:
                unknown = default == REQUIRED
                params[name] = UNKNOWN if unknown else self.resolve(default, block.params_spans.child(name), site.scope)
            except Poisoned:
                params[name] = UNKNOWN
        try:
            last = self.entries(block.layers, site)
            self.outputs(draft, frame, last, block.outputs, block.outputs_spans, block.span)
        except (Poisoned, Abandoned):
            return

    def find_cycles(self, stack: tuple[Block, ...]) -> None:
        """Records a block that calls itself through others; each cycle where its first block's round closes."""
        for callee, entry in self.calls.pop(stack[-1].name, ()):
            if any(callee is block for block in stack):
                names = [block.name for block in stack]
                chain = " → ".join([*names[names.index(callee.name) :], callee.name])
                self.diagnostics.add("E0309", f"the block `{callee.name}` calls itself: {chain}", entry.operator.span)
            else:
                self.find_cycles((*stack, callee))

    def block(
        self,
        entry: Entry,
        block: Block,
        home: Home,
        arguments: Any,
        spans: SpanTree,
        own_name: str | None,
        site: Site,
    ) -> Bound:
        """A call, noted: the block itself is checked once, not for each call."""
        if home is self.home and block is not site.frame.stack[-1]:
            self.calls.setdefault(site.frame.stack[-1].name, []).append((block, entry))
        return super().block(entry, block, home, arguments, spans, own_name, site)

    def active(self, entry: Entry, site: Site) -> bool:
        """A condition that can't be decided may hold."""
        return super().active(entry, site) is not False

    def rows(self, entry: Entry, site: Site) -> Iterator[dict[str, Any]]:
        """A loop of unknown length runs once."""
        try:
            yield from super().rows(entry, site)
        except Poisoned:
            columns = entry.arguments if isinstance(entry.arguments, Mapping) else ()
            yield {**site.loop, **dict.fromkeys([*columns, "index", "first", "last"], UNKNOWN)}

    def value(self, name: str, span: Span, frame: Frame) -> Bound:
        """A path into a group whose layers are unknown says nothing."""
        if name not in frame.values and "." in name:
            raise Poisoned
        return super().value(name, span, frame)

    def layer_to_call(self, wanted: Any, entry: Entry, site: Site) -> tuple[NodeDraft, ...]:
        """Layers over unknown values were not made."""
        raise Poisoned
