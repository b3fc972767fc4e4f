"""Which field of the data an output is compared with where nothing names one."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from specdl.data.fields import companions
from specdl.ir.types import TensorType


def label_field(inputs: Collection[str], fields: Mapping[str, TensorType] | None) -> str | None:
    """`label`, or the only field that is no input of the network; None where neither exists.

    `fields` are those of a batch; None (no data section) means that `label` will be there. Masks and lengths that
    padding brought are no labels.
    """
    if fields is None or "label" in fields:
        return "label"
    own = {name: type for name, type in fields.items() if not name.endswith(("_mask", "_length"))}
    brought = companions(own)
    others = [name for name, type in fields.items() if name not in inputs and brought.get(name) != type]
    return others[0] if len(others) == 1 else None
