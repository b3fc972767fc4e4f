"""Some examples as training sees them, in one picture: how they lie in their files, and what the transforms make of
them.

Each row is an example: as the source gives it, as evaluation has it, and as training draws it several times. The
last row is a batch behind the batch transforms, where there are any. A mask is laid over its image in colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from specdl.data.examples import Records, Stacked
from specdl.data.images import is_image
from specdl.data.pipeline import Step, epoch_order, seed_of
from specdl.data.transforms.base import is_mask
from specdl.data.transforms.geometry import scaled
from specdl.data.transforms.numbers import Normalize
from specdl.files import replacing
from specdl.ir.types import TensorType
from specdl.spec.data import Data
from specdl.training.data_report import example, name_of
from specdl.training.examples import open_pipeline

ROWS, DRAWS = 8, 4
"""Examples that are shown, and how often training draws each."""

CELL, GAP, HEAD = 128, 8, 20
"""Pixels of a picture, between pictures, and of a line of words."""

_INK, _PAPER, _FAINT = (48, 52, 59), (255, 255, 255), (130, 136, 145)
_COLOURS = ((37, 99, 235), (234, 88, 12), (5, 150, 105), (147, 51, 234), (220, 38, 38), (8, 145, 178))


def draw_sheet(
    data: Data, loaded: Stacked | Records, positions: Sequence[int], seed: int, path: Path, names: Mapping[str, Any]
) -> bool:
    """Writes the picture of some examples; False (and no picture) where no field is an image.

    `names` are the classes by field. Raises `EnvironmentFailure` where the file can't be written.
    """
    pipeline = open_pipeline(data)
    shown = _shown(data.raw)
    if shown is None:
        return False
    rows: list[list[_Cell]] = []
    batch: list[dict[str, Any]] = []
    for position in positions[:ROWS]:
        raw = example(loaded, position)
        label, evaluation = _caption(raw, data.raw, names), _run(raw, pipeline.evaluation, 0)
        caption = label or Path(name_of(loaded, position)).name
        cells = [
            _cell(raw, shown, (), caption, sized=bool(label)),
            _cell(evaluation, shown, pipeline.evaluation, "evaluation", sized=True),
        ]
        for draw in range(DRAWS):
            fields = _run(raw, pipeline.training, seed_of(seed, draw, position))
            cells.append(_cell(fields, shown, pipeline.training, f"training {draw + 1}"))
            batch += [fields] if draw == 0 else []
        rows.append(cells)
    if pipeline.batch and batch:
        rows.append(_batch_row(batch, shown, pipeline.training, pipeline.batch, seed, names))
    _paint(rows, path)
    return True


def choose(loaded: Stacked | Records, parts: torch.Tensor, label: str | None, seed: int) -> list[int]:
    """Positions of examples to show: of as many classes as there are rows, else drawn."""
    order = epoch_order(parts, seed, 0)
    values = None if label is None else loaded.column(label)
    if values is None:
        return [int(at) for at in order[:ROWS]]
    seen: dict[int, int] = {}
    for at in order.tolist():
        seen.setdefault(int(values[at]), at)
    first = [seen[value] for value in sorted(seen)][:ROWS]
    return (first + [at for at in order.tolist() if at not in first])[:ROWS]


class _Cell:
    """A picture `[3, H, W]` in [0, 1] with a line of words."""

    def __init__(self, picture: torch.Tensor, caption: str) -> None:
        self.picture, self.caption = picture, caption


def _shown(types: Mapping[str, TensorType]) -> tuple[str, str | None] | None:
    """The field that is a picture, and the one that is its mask."""
    pictures = [name for name, type in types.items() if is_image(type) and not is_mask(type)]
    masks = [name for name, type in types.items() if is_image(type) and is_mask(type)]
    if not pictures:
        return None
    return pictures[0], masks[0] if masks else None


def _run(raw: Mapping[str, Any], steps: Sequence[Step], seed: int) -> dict[str, Any]:
    fields = dict(raw)
    generator = torch.Generator().manual_seed(seed)
    for step in steps:
        step.run(fields, generator)
    return fields


def _cell(
    fields: Mapping[str, Any],
    shown: tuple[str, str | None],
    steps: Sequence[Step],
    caption: str,
    *,
    sized: bool = False,
) -> _Cell:
    name, mask = shown
    picture = _picture(fields[name][0], name, steps)
    if mask is not None and mask in fields:
        picture = _overlay(picture, fields[mask][0])
    height, width = fields[name].shape[2:]
    return _Cell(picture, f"{caption} · {height}×{width}" if sized else caption)


def _picture(image: torch.Tensor, name: str, steps: Sequence[Step]) -> torch.Tensor:
    """An image as three channels in [0, 1]: what `normalize` did is undone, any other range is stretched."""
    if image.dtype == torch.uint8:
        image = image.float() / 255
    image = image.float()
    for step in reversed(steps):
        if isinstance(step.transform, Normalize) and name in step.outputs:
            mean, std = (torch.tensor(numbers).view(-1, 1, 1) for numbers in step.transform.numbers())
            image = image * std + mean
    if image.min() < -0.01 or image.max() > 1.01:
        image = (image - image.min()) / (image.max() - image.min()).clamp(min=1e-6)
    image = image.clamp(0, 1)
    return image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)


def _overlay(picture: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    numbers = mask.reshape(mask.shape[-2:]).round().long()
    if numbers.shape != picture.shape[1:]:
        return picture
    colours = torch.tensor(_COLOURS).float() / 255
    paint = colours[(numbers - 1).clamp(min=0) % len(colours)].permute(2, 0, 1)
    return torch.where(numbers > 0, 0.5 * picture + 0.5 * paint, picture)


def _caption(fields: Mapping[str, Any], types: Mapping[str, TensorType], names: Mapping[str, Any]) -> str:
    words: list[str] = []
    for name, type in types.items():
        if type.rank == 1 and isinstance(fields[name], torch.Tensor):
            value = fields[name][0].item()
            known = names.get(name)
            words.append(str(known[value]) if known and not type.floating and value < len(known) else f"{value:.4g}")
    return ", ".join(words)


def _batch_row(
    rows: Sequence[Mapping[str, Any]],
    shown: tuple[str, str | None],
    steps: Sequence[Step],
    batch_steps: Sequence[Step],
    seed: int,
    names: Mapping[str, Any],
) -> list[_Cell]:
    """The examples as one batch behind the batch transforms."""
    fields = {
        name: torch.cat([row[name] for row in rows]) for name in rows[0] if isinstance(rows[0][name], torch.Tensor)
    }
    generator = torch.Generator().manual_seed(seed_of(seed, 0, 0))
    for step in batch_steps:
        step.run(fields, generator)
    cells: list[_Cell] = []
    for at in range(min(len(rows), DRAWS + 2)):
        one = {name: value[at : at + 1] for name, value in fields.items()}
        words = next((_soft(one[name][0], names.get(name)) for name in one if one[name].dim() == 2), "a batch")
        cells.append(_cell(one, shown, steps, words))
    return cells


def _soft(shares: torch.Tensor, names: Sequence[str] | None) -> str:
    """A soft label in words: its classes with their shares."""
    best = shares.topk(min(2, len(shares)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return ", ".join(
        f"{names[at] if names and at < len(names) else at} {share:.0%}" for at, share in pairs if share > 0.005
    )


def _paint(rows: Sequence[Sequence[_Cell]], path: Path) -> None:
    import matplotlib as mpl
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size=11)
    columns = max(map(len, rows))
    size = (GAP + columns * (CELL + GAP), GAP + len(rows) * (CELL + HEAD + GAP))
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    for down, row in enumerate(rows):
        for across, cell in enumerate(row):
            left, top = GAP + across * (CELL + GAP), GAP + down * (CELL + HEAD + GAP)
            picture = _fit(cell.picture)
            pixels = (picture * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
            image = Image.fromarray(pixels)
            sheet.paste(image, (left + (CELL - image.width) // 2, top + (CELL - image.height) // 2))
            ink = _INK if across == 0 or down == len(rows) - 1 else _FAINT
            pen.text((left, top + CELL + 3), _cut(cell.caption, font), fill=ink, font=font)
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")


def _fit(picture: torch.Tensor) -> torch.Tensor:
    """The picture as large as a cell allows; small ones with their pixels as squares."""
    height, width = picture.shape[1:]
    scale = CELL / max(height, width)
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    return scaled(picture[None], size, "nearest" if scale > 2 else "bilinear")[0].clamp(0, 1)


def _cut(words: str, font: Any) -> str:
    while words and font.getlength(words) > CELL:
        words = words[:-2].rstrip("… ") + "…"
    return words
