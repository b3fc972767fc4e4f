"""Divides the examples into those for training, validation and test.

The division depends on the labels, the shares and the seed alone, so a resumed run, an evaluation and another
machine see the same examples on the same side.
"""

from __future__ import annotations

import torch


def split_indices(
    count: int, shares: dict[str, float], *, labels: torch.Tensor | None = None, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Positions of the examples of each part, in rising order: `train` has what the named shares leave.

    With `labels` every class is divided by the same shares (up to rounding). Raises `ValueError` when a part that
    should have examples would have none.
    """
    generator = torch.Generator().manual_seed(seed)
    pools = [torch.arange(count)] if labels is None else [torch.where(labels == k)[0] for k in torch.unique(labels)]
    pools = [pool[torch.randperm(len(pool), generator=generator)] for pool in pools]
    parts: dict[str, torch.Tensor] = {}
    starts = [0] * len(pools)
    for name, share in shares.items():
        sizes = _apportion([len(pool) * share for pool in pools], round(count * share))
        taken = [pool[start : start + size] for pool, start, size in zip(pools, starts, sizes, strict=True)]
        starts = [start + size for start, size in zip(starts, sizes, strict=True)]
        parts[name] = torch.cat(taken).sort().values
    rest = torch.cat([pool[start:] for pool, start in zip(pools, starts, strict=True)]).sort().values
    parts = {"train": rest, **parts}
    for name, indices in parts.items():
        if len(indices) == 0:
            raise ValueError(f"the split leaves no example of {count} for `{name}`")
    return parts


def _apportion(wanted: list[float], total: int) -> list[int]:
    """Whole numbers near the wanted ones that add up to `total` (largest remainders get the rest)."""
    sizes = [int(size) for size in wanted]
    order = sorted(range(len(wanted)), key=lambda position: sizes[position] - wanted[position])
    for position in order[: max(total - sum(sizes), 0)]:
        sizes[position] += 1
    return sizes
