"""Objectives of language models, and what brings text into the shape that they are trained on: blocks of one length.

An entry that cuts a corpus makes other examples of those that there are; what stands above it is done once, before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from specdl.data.transforms.base import Transform
from specdl.data.transforms.text import IGNORED, OfTokens, require_tokens
from specdl.ir.types import TensorType
from specdl.ops.base import TypeRuleError

if TYPE_CHECKING:
    import torch

    from specdl.data.columns import Column, Ragged, Windows

Role = Literal["pad", "unk", "bos", "eos", "cls", "sep", "mask"]


class _Cut(OfTokens):
    """Base of those that lay the texts of a part end to end and cut that into stretches of one length."""

    arranged: ClassVar[int] = 1
    objective: ClassVar[bool] = True
    extra: ClassVar[int] = 0
    """Tokens of a stretch beyond `length`."""

    length: int | None = None
    stride: int | None = Field(
        default=None, ge=1, description="Tokens from one block's start to the next one's; `length` unless given."
    )
    offsets: Literal["random", "fixed"] = Field(
        default="random",
        description="Whether a block begins anywhere in training, or where `stride` says, as in evaluation.",
    )
    separator: Role | None = Field(
        default=None, description="The token between texts; none unless given (`tokenize` puts `eos` behind each)."
    )

    def needs(self) -> tuple[tuple[str, ...], ...]:
        return () if self.separator is None else ((self.separator,),)

    def varies(self) -> bool:
        return self.offsets == "random"

    def evaluation(self) -> tuple[Transform, ...]:
        return (self.model_copy(update={"offsets": "fixed"}),)

    def arrange(self, fields: Sequence[Column]) -> tuple[Column, ...]:
        assert self.length is not None
        windows = self._windows(fields, self.length + self.extra, self.stride or self.length)
        return (windows,)

    def _windows(self, fields: Sequence[Column], width: int, stride: int) -> Windows:
        import torch

        from specdl.data.columns import Windows, as_ragged

        texts = as_ragged(fields[0])
        if self.separator is not None:
            texts = texts.surrounded(None, self.vocabulary.roles[self.separator])
        total = len(texts.values)
        if total < width:
            raise ValueError(f"has {total:,} tokens, fewer than the {width:,} that a block takes")
        starts = torch.arange(0, total - width + 1, stride, device=texts.values.device)
        return Windows(
            texts.values, starts, torch.zeros_like(starts), torch.full_like(starts, total - width), texts.owners()
        )

    def places(self, windows: Windows, width: int, generator: torch.Generator) -> torch.Tensor:
        """Where the tokens of each block are in the whole text, `[blocks, width]`."""
        import torch

        starts = windows.starts
        if self.varies():
            drawn = torch.rand(len(starts), generator=generator, dtype=torch.float64).to(starts.device)
            span = windows.last - windows.first + 1
            # A number just below 1 may be rounded up by the product.
            starts = torch.minimum(windows.first + (drawn * span).long(), windows.last)
        return starts[:, None] + torch.arange(width, device=starts.device)


class Blocks(_Cut):
    """Lays the texts of a part end to end and cuts that into blocks of one length: no token is padding.

    `tokens, segments, positions = blocks(tokens): 128` also numbers the texts within each block and the places in each
    text, for a network that shouldn't look from one text into another.
    """

    name: ClassVar[str] = "blocks"
    main: ClassVar[str | None] = "length"
    fewer: ClassVar[bool] = True

    length: int = Field(ge=1, description="Tokens in a block.")

    def holds_tokens(self) -> tuple[bool, ...]:
        return True, False, False

    def infer_fields(self, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
        block = one_field(types, self.name).with_shape(types[0].shape[0], self.length)
        return block, block, block

    def apply(self, fields: Sequence[Any], generator: torch.Generator) -> tuple[Any, ...]:
        import torch

        windows: Windows = fields[0]
        places = self.places(windows, self.length, generator)
        assert windows.documents is not None
        documents = windows.documents[places]
        segments = documents - documents[:, :1]
        starts = torch.cat([segments.new_ones(len(segments), 1), segments.diff(dim=1)], dim=1) != 0
        counts = torch.arange(self.length, device=places.device).expand_as(places)
        begins = torch.where(starts, counts, 0).cummax(dim=1).values
        return windows.stream[places], segments, counts - begins


class NextToken(_Cut):
    """Tokens, and for each the one that follows it: `tokens, label = next_token(tokens): 64`.

    With `length`, the texts of a part are laid end to end and cut into blocks. Without, each example stays by itself
    and gives one token less than it has.
    """

    name: ClassVar[str] = "next_token"
    main: ClassVar[str | None] = "length"
    extra: ClassVar[int] = 1

    length: int | None = Field(
        default=None, ge=1, description="Tokens in a block; each example by itself unless given."
    )

    def arranges(self) -> bool:
        return self.length is not None

    def varies(self) -> bool:
        return self.length is not None and super().varies()

    def evaluation(self) -> tuple[Transform, ...]:
        return (self,) if self.length is None else super().evaluation()

    def holds_tokens(self) -> tuple[bool, ...]:
        return True, True

    def infer_fields(self, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
        tokens = one_field(types, self.name)
        if self.length is None:
            for name in ("stride", "separator"):
                if getattr(self, name) is not None:
                    raise TypeRuleError(f"needs `length` where there is `{name}`", argument=name)
        found = tokens.with_shape(tokens.shape[0], tokens.shape[1] - 1 if self.length is None else self.length)
        return found, found

    def apply(self, fields: Sequence[Any], generator: torch.Generator) -> tuple[Any, ...]:
        if self.length is not None:
            windows: Windows = fields[0]
            rows = windows.stream[self.places(windows, self.length + 1, generator)]
            return rows[:, :-1], rows[:, 1:]
        return shifted(fields[0])


def shifted(column: Any) -> tuple[Any, Any]:
    """The tokens of each example but the last one, and those but the first."""
    from specdl.data.columns import Ragged

    if not isinstance(column, Ragged):
        return column[:, :-1], column[:, 1:]
    places = column.places()
    ends = column.lengths.repeat_interleave(column.lengths, output_size=len(places)) - 1
    return column.keep(places < ends), replace(column.keep(places > 0), padding=IGNORED)


class Pack(OfTokens):
    """Puts several texts into each row of up to `length` tokens, none of them cut: less padding for short texts.

    `tokens, segments, positions = pack(tokens): 512` numbers the texts within a row and the places in each text, so
    that a network can keep them apart. A text longer than a row loses its end. Which texts share a row is decided once.
    """

    name: ClassVar[str] = "pack"
    main: ClassVar[str | None] = "length"
    fewer: ClassVar[bool] = True
    arranged: ClassVar[int] = 2
    objective: ClassVar[bool] = True

    length: int = Field(ge=1, le=2**20, description="Tokens that a row may have.")

    def holds_tokens(self) -> tuple[bool, ...]:
        return True, False, False

    def infer_fields(self, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
        from specdl.data.transforms.base import fresh

        tokens = one_field(types, self.name)
        row = tokens.with_shape(tokens.shape[0], fresh(most=self.length))
        return row, row, row

    def arrange(self, fields: Sequence[Column]) -> tuple[Column, ...]:
        import torch

        from specdl.data.columns import as_ragged, of_lengths

        texts = as_ragged(fields[0]).limited(self.length)
        rows = packed(texts.lengths.tolist(), self.length)
        chosen = texts.index_select(0, torch.tensor([text for row in rows for text in row], dtype=torch.int64))
        within = torch.tensor([number for row in rows for number in range(len(row))], dtype=torch.int64)
        counts = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        ends = chosen.offsets[1:][counts.cumsum(0) - 1]
        lengths = torch.cat([ends[:1], ends.diff()])
        tokens = of_lengths(chosen.values, lengths, texts.padding)
        return tokens, of_lengths(within.repeat_interleave(chosen.lengths), lengths)

    def apply(self, fields: Sequence[Any], generator: torch.Generator) -> tuple[Any, ...]:
        import torch

        tokens, segments = fields
        places, numbers = segments.places(), segments.values
        starts = (places == 0) | (numbers != torch.cat([numbers[:1], numbers[:-1]]))
        begins = torch.where(starts, torch.arange(len(places)), 0).cummax(0).values if len(places) else places
        return tokens, segments, segments.with_values(torch.arange(len(places)) - begins)


def packed(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Which texts share a row: the longest first, each into the row that it fills best. None is longer than a row."""
    rows: list[list[int]] = []
    # The rows by what is left in them; the bits of a number say for which amounts there are some.
    by_rest: dict[int, list[int]] = {}
    rests = 0
    for text in sorted(range(len(lengths)), key=lambda at: (-lengths[at], at)):
        length = lengths[text]
        fitting = rests >> length
        if fitting:
            rest = length + (fitting & -fitting).bit_length() - 1
            row = by_rest[rest].pop()
            if not by_rest[rest]:
                rests &= ~(1 << rest)
        else:
            rest, row = room, len(rows)
            rows.append([])
        rows[row].append(text)
        if rest > length:
            by_rest.setdefault(rest - length, []).append(row)
            rests |= 1 << (rest - length)
    return rows


class MaskTokens(OfTokens):
    """Hides some tokens, which are then the label; that of all others is -100, which losses leave out.

    Of the hidden ones, `mask` are replaced by the mask token, `random` by any token, the rest stays (BERT: 80, 10 and
    10 %). Each text has its share hidden, at least one token. Evaluation hides the same ones every time.
    """

    name: ClassVar[str] = "mask_tokens"
    main: ClassVar[str | None] = "probability"
    reference: ClassVar[str] = "https://arxiv.org/abs/1810.04805"
    random: ClassVar[bool] = True
    objective: ClassVar[bool] = True
    informed: ClassVar[bool] = True

    probability: float = Field(default=0.15, gt=0, lt=1, description="The share of the tokens that are hidden.")
    mask: float = Field(default=0.8, ge=0, le=1, description="The share of those that the mask token replaces.")
    random_share: float = Field(
        default=0.1, ge=0, le=1, alias="random", description="The share of those that any token replaces."
    )
    ignore: int = Field(default=IGNORED, description="The label of tokens that are not hidden, which losses leave out.")

    def needs(self) -> tuple[tuple[str, ...], ...]:
        return (("mask",),) if self.mask else ()

    def evaluation(self) -> tuple[Transform, ...]:
        return (self,)

    def holds_tokens(self) -> tuple[bool, ...]:
        return True, True

    def infer_fields(self, types: Sequence[TensorType]) -> tuple[TensorType, ...]:
        if self.mask + self.random_share > 1:
            raise TypeRuleError(
                "`mask` and `random` are shares of the hidden tokens, at most 1 together", argument="random"
            )
        tokens = one_field(types, self.name)
        return tokens, tokens

    def apply(self, fields: Sequence[Any], generator: torch.Generator) -> tuple[Any, ...]:
        import torch

        from specdl.data.columns import Ragged, as_ragged

        column = as_ragged(fields[0])
        tokens = column.values
        hidden = self._hidden(column, generator)
        label = torch.where(hidden, tokens, self.ignore)
        how = torch.rand(len(tokens), generator=generator).to(tokens.device)
        ordinary = _ordinary(self.vocabulary.size, self.vocabulary.special).to(tokens.device)
        drawn = torch.randint(max(len(ordinary), 1), (len(tokens),), generator=generator).to(tokens.device)
        changed = torch.where(hidden & (how < self.mask + self.random_share), ordinary[drawn], tokens)
        changed = torch.where(hidden & (how < self.mask), self.vocabulary.roles.get("mask", 0), changed)
        if isinstance(fields[0], Ragged):
            return column.with_values(changed), column.with_values(label, padding=self.ignore)
        return changed.view(fields[0].shape), label.view(fields[0].shape)

    def _hidden(self, column: Ragged, generator: torch.Generator) -> torch.Tensor:
        """Which tokens are hidden: of each text its share of the ordinary ones, rounded, at least one."""
        import torch

        tokens, owners = column.values, column.owners()
        special = torch.zeros(max(self.vocabulary.size, 1), dtype=torch.bool, device=tokens.device)
        special[list(self.vocabulary.special)] = True
        ordinary = ~special[tokens]
        counts = torch.zeros(len(column), dtype=torch.int64, device=tokens.device).index_add_(
            0, owners, ordinary.long()
        )
        wanted = (counts * self.probability).round().long().clamp(min=1).minimum(counts)
        # The order of the tokens of each text by random numbers; special ones come last.
        keys = torch.rand(len(tokens), generator=generator, dtype=torch.float64).to(tokens.device)
        order = torch.argsort(owners * 4.0 + torch.where(ordinary, keys, 2.0), stable=True)
        ranks = torch.empty_like(order)
        ranks[order] = column.places()
        return ordinary & (ranks < wanted[owners])


def _ordinary(size: int, special: frozenset[int]) -> torch.Tensor:
    """The tokens that stand for text."""
    import torch

    kept = torch.ones(max(size, 1), dtype=torch.bool)
    kept[list(special)] = False
    return kept.nonzero().flatten()


def one_field(types: Sequence[TensorType], name: str) -> TensorType:
    """Guards that there is one field of tokens."""
    if len(types) != 1:
        raise TypeRuleError(f"takes one field, got {len(types)}", help=f"write `tokens = {name}(tokens)`")
    return require_tokens(types[0])


__all__ = ["Blocks", "MaskTokens", "NextToken", "Pack", "Role", "one_field", "packed", "shifted"]
