"""What the training loop asks of data, and what a source gives for it.

A source gives its examples stacked, as columns that fit in memory (`Stacked`), or one by one, decoded when they
are asked for (`Records`). Either becomes `Examples`, which serves batches: `memory.py` slices tensors, `lazy.py`
decodes ahead in the background. Whoever implements `Examples` keeps the promise that a batch depends on the seed,
the epoch and the positions in it alone: never on what was served before, nor on how many workers served it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from specdl.data.columns import Column, Tensors


@dataclass(frozen=True, slots=True)
class Bad:
    """An example that can't be used, and why. One that isn't among the others (a line of a file) has no position."""

    position: int | None
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Budget:
    """Batches of as many examples as fit: the longest `field` among them, times their number, is at most `tokens`."""

    field: str
    tokens: int


BatchSize = int | Budget
"""How many examples a batch has."""


class Examples(Protocol):
    """Examples divided into parts, served in batches with their transforms done."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts: `train`, and what was held out."""
        ...

    def count(self, part: str) -> int:
        """The number of examples of a part (of `train`: in one epoch)."""
        ...

    def batch_count(self, size: BatchSize, processes: int = 1) -> int:
        """The number of batches of an epoch, the same in every one."""
        ...

    def training(
        self, epoch: int, batches: range, size: BatchSize, *, rank: int = 0, processes: int = 1
    ) -> Generator[Tensors, None, None]:
        """Those batches of an epoch, by their numbers, transformed for training.

        Batch `b` holds the positions `b * size` to `(b + 1) * size` of the epoch's order; of several processes
        each gets every `processes`-th of them. Closing the iterator ends what works for it in the background.
        """
        ...

    def batches(self, part: str, size: BatchSize) -> Generator[Tensors, None, None]:
        """All examples of a part in order, transformed as in evaluation."""
        ...


@dataclass(frozen=True, slots=True)
class Stacked:
    """Examples in memory: each field one column, with the examples on axis 0.

    `parts` are the positions of each part, where the source itself says which example belongs where; `divided` says
    that they are all that there are, as the spec's `split` asks. `classes` are the names of the classes that integer
    fields count, as the data has them; `bad` is what could not be read, and is not among the examples.
    """

    fields: Mapping[str, Column]
    parts: Mapping[str, torch.Tensor] | None = None
    classes: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    bad: Sequence[Bad] = ()
    divided: bool = False

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    def column(self, field: str) -> torch.Tensor | None:
        """All values of a field, where it is one tensor."""
        import torch

        found = self.fields.get(field)
        return found if isinstance(found, torch.Tensor) else None

    def texts(self, field: str) -> Sequence[str] | None:
        """All texts of a field of strings."""
        from specdl.data.columns import Strings

        found = self.fields.get(field)
        return found.values if isinstance(found, Strings) else None


class Records(Protocol):
    """Examples that are decoded one by one. `get` is called from several threads at once."""

    @property
    def parts(self) -> Mapping[str, torch.Tensor] | None:
        """The positions of each part, where the source itself says which example belongs where."""
        ...

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the classes that integer fields count, as the data has them."""
        ...

    @property
    def bad(self) -> Sequence[Bad]:
        """What could not be read, and is not among the examples."""
        ...

    def __len__(self) -> int: ...

    def get(self, position: int) -> dict[str, Any]:
        """The fields of one example, without the batch axis.

        A field may be of another size in each example, where its type has a size that is known at run time. Raises
        `Unreadable` (images.py) with the reason for an example that can't be used.
        """
        ...

    def keep(self, room: int) -> None:
        """Keeps what it decodes from now on, as far as that takes no more bytes."""
        ...

    def inspect(self, position: int) -> None:
        """Looks whether an example can be used, as far as that is cheap. Raises `Unreadable`."""
        ...

    def name(self, position: int) -> str:
        """What messages call an example: its file."""
        ...

    def column(self, field: str) -> torch.Tensor | None:
        """All values of a field that has one number an example (labels), without decoding; None where it can't."""
        ...

    def texts(self, field: str) -> Sequence[str] | None:
        """All texts of a field of strings, without decoding; None where it can't."""
        ...
