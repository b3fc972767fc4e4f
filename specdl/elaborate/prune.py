"""Takes away what a function's outputs don't need, in the named groups too: those layers don't exist at all.

Liveness (a pass) only marks such layers, since in a network they are keys of its `state_dict`; in an imported
network that gives a part of its values they would be weights that nobody asked for.
"""

from __future__ import annotations

from specdl.elaborate.drafts import FunctionDraft, NodeDraft


def prune(draft: FunctionDraft) -> None:
    """Removes the nodes that no output depends on. A layer that is called again stays whole."""
    wanted = set(draft.outputs)
    whole: set[str] = set()
    kept: list[int] = []
    for position in range(len(draft.nodes) - 1, -1, -1):
        node = draft.nodes[position]
        shared = node.name in whole
        if not shared and not wanted.intersection(node.outputs):
            continue
        if not shared and isinstance(node.callee, FunctionDraft):
            _narrow(node, node.callee, wanted)
        if node.shares:
            whole.add(node.shares[0].name)
        inputs = node.callee.arguments if isinstance(node.callee, FunctionDraft) else node.inputs
        wanted.update(ref.name for ref in inputs if ref is not None)
        kept.append(position)
    places = {old: new for new, old in enumerate(reversed(kept))}
    draft.nodes = [draft.nodes[position] for position in reversed(kept)]
    values = {value.name for value in draft.inputs}.union(*(node.outputs for node in draft.nodes))
    draft.residuals = [
        residual.moved(places) for residual in draft.residuals if residual.add in places and residual.source in values
    ]


def _narrow(node: NodeDraft, group: FunctionDraft, wanted: set[str]) -> None:
    """Takes from a group the outputs that nobody wants, what they alone needed, and the inputs that this frees."""
    rows = list(zip(group.outputs, group.output_names, node.outputs, node.types, strict=True))
    rows = [row for row in rows if row[2] in wanted]
    group.outputs, group.output_names, node.outputs, node.types = (
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
        [row[3] for row in rows],
    )
    prune(group)
    read = {*group.outputs}
    for inner in group.nodes:
        inputs = inner.callee.arguments if isinstance(inner.callee, FunctionDraft) else inner.inputs
        read.update(ref.name for ref in inputs if ref is not None)
    kept = [index for index, value in enumerate(group.inputs) if value.name in read]
    group.inputs = [group.inputs[index] for index in kept]
    group.arguments = [group.arguments[index] for index in kept]
    group.residuals = [item for item in group.residuals if item.source in read or _made(group, item.source)]
    node.has_weights = group.has_weights()


def _made(group: FunctionDraft, name: str) -> bool:
    return any(name in node.outputs for node in group.nodes)
