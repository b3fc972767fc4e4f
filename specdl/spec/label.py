"""Which field of the data an output is compared with where nothing names one."""

from __future__ import annotations

from collections.abc import Collection


def label_field(inputs: Collection[str], fields: Collection[str] | None) -> str | None:
    """`label`, or the only field that is no input of the network; None where neither exists.

    `fields` are the names of a batch's fields; None (no data section) means that `label` will be there.
    """
    if fields is None or "label" in fields:
        return "label"
    others = [name for name in fields if name not in inputs]
    return others[0] if len(others) == 1 else None
