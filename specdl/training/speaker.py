"""A network of a spec as one that says what follows: it keeps what it worked out for the tokens before, where the
compiler can tell what that is (`passes/piecewise.py`), and works all of it out again where it can't.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from specdl.backends.torch_load import load_torch
from specdl.backends.torch_source import emit_torch
from specdl.ir.program import Program
from specdl.passes.piecewise import NotPiecewise, Obstacle, Piecewise, piecewise


@dataclass(frozen=True, slots=True)
class GrowingInputs:
    """The inputs of a network that grow with a text: its tokens, masks that are true at each of them, its length."""

    sequence: str
    masks: tuple[str, ...] = ()
    length: str | None = None

    def names(self) -> set[str]:
        """All of them."""
        return {self.sequence, *self.masks, *([] if self.length is None else [self.length])}


class _Base:
    """What both kinds share. `limit` is how many tokens the network takes."""

    def __init__(self, network: nn.Module, grows: GrowingInputs, limit: int | None) -> None:
        self.network, self.grows, self.limit = network, grows, limit
        self.fixed: dict[str, Tensor] = {}

    def begin(self, fixed: Mapping[str, Tensor]) -> None:
        """Begins a text; `fixed` are the inputs `[1, ...]` that stay the same."""
        self.fixed = dict(fixed)

    def last(self, tokens: Tensor) -> Tensor:
        """The logits `[N, V]` behind the last of some tokens `[N, T]`."""
        rows = len(tokens)
        given = {name: value.expand(rows, *value.shape[1:]) for name, value in self.fixed.items()}
        given[self.grows.sequence] = tokens
        given |= {name: torch.ones_like(tokens, dtype=torch.bool) for name in self.grows.masks}
        if self.grows.length is not None:
            given[self.grows.length] = torch.full((rows,), tokens.shape[1])
        with torch.inference_mode():
            output = self.network(**given)
        found: Tensor = output[-1] if isinstance(output, (tuple, list)) else output
        return found[:, -1]

    def window(self, tokens: Tensor) -> Tensor:
        """The last tokens, as many as the network takes."""
        return tokens if self.limit is None else tokens[:, -self.limit :]


class Whole(_Base):
    """Works out the whole text again for each token."""

    def scores(self, tokens: Tensor) -> Tensor:
        """See `decoding.Speaker`."""
        return self.last(self.window(tokens))

    def reorder(self, rows: Tensor) -> None:
        """Nothing is kept."""


class Pieces(_Base):
    """Works out the new tokens alone. Of a text longer than the network takes, the last part is worked out anew."""

    def __init__(self, network: nn.Module, grows: GrowingInputs, limit: int | None, once: Iterable[str]) -> None:
        super().__init__(network, grows, limit)
        self.keeping: list[Any] = [module for module in network.modules() if _keeps(module)]
        self.remembered = [found for path in once if (found := _remember(network, path)) is not None]
        self.seen = 0

    def begin(self, fixed: Mapping[str, Tensor]) -> None:
        super().begin(fixed)
        self.forget()
        for found in self.remembered:
            found.clear()

    def scores(self, tokens: Tensor) -> Tensor:
        """See `decoding.Speaker`."""
        if self.limit is not None and tokens.shape[1] > self.limit:
            self.forget()
            found = self.last(self.window(tokens))
            self.forget()
            return found
        piece = tokens[:, self.seen :]
        self.seen = tokens.shape[1]
        return self.last(piece)

    def forget(self) -> None:
        """Drops what was kept of the text so far."""
        self.seen = 0
        for module in self.keeping:
            module.forget()

    def reorder(self, rows: Tensor) -> None:
        """See `decoding.Speaker`."""
        for module in self.keeping:
            if module.past:
                module.reorder(rows)


def _keeps(module: Any) -> bool:
    """Whether a layer keeps a past: the source has classes of its own, with the text of `specdl/nn/continued.py`."""
    return isinstance(getattr(module, "past", None), list) and hasattr(module, "forget")


def _remember(network: nn.Module, path: str) -> list[Any] | None:
    """Lets a layer tell again what it told first; None for a path that is no layer's but a function's, which is cheap.

    What it told is in the list.
    """
    try:
        module = network.get_submodule(path)
    except AttributeError:
        return None
    forward = module.forward
    found: list[Any] = []

    def remembered(*arguments: Any, **keywords: Any) -> Any:
        if not found:
            found.append(forward(*arguments, **keywords))
        return found[0]

    module.forward = remembered
    return found


def cut(program: Program, grows: GrowingInputs, fixed: Collection[str]) -> Piecewise | Obstacle:
    """The program for pieces of the inputs that grow; what stands in the way, where it can't be."""
    given = {*grows.names(), *fixed}
    absent = [value.name for value in program.main.inputs if value.optional and value.name not in given]
    if grows.length is not None:
        return Obstacle(f"the network reads `{grows.length}`, which each further token changes", program.main.span)
    try:
        return piecewise(program, grows.sequence, absent)
    except NotPiecewise as error:
        return error.obstacle


def in_pieces(made: Piecewise, network: nn.Module) -> nn.Module:
    """The module for pieces, with the weights of the whole one (the same tensors)."""
    with torch.random.fork_rng():
        module = load_torch(emit_torch(made.program)).eval()
    module.load_state_dict(network.state_dict(), assign=True)
    return module


__all__ = ["GrowingInputs", "Pieces", "Whole", "cut", "in_pieces"]
