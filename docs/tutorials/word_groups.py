"""Words of five groups: how many of their neighbours are of the same group, and a map of their vectors.

python word_groups.py runs/word2vec -o map.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import specdl
from specdl.training.word_vectors import WordVectors, word_vectors

GROUPS = {
    "days": "monday tuesday wednesday thursday friday saturday sunday",
    "months": "january february march april june july august september october november december",
    "numbers": "two three four five six seven eight nine ten",
    "colours": "red green blue yellow white black brown pink",
    "family": "mother father son daughter wife husband brother sister",
}
COLOURS = ("#2563eb", "#ea580c", "#059669", "#9333ea", "#dc2626")


def draw(vectors: WordVectors, path: Path) -> None:
    """The words on the plane in which they lie furthest apart (principal components)."""
    words = [word for group in GROUPS.values() for word in group.split()]
    points = torch.nn.functional.normalize(torch.stack([vectors[word] for word in words]), dim=1)
    points = points - points.mean(0)
    flat = (points @ torch.linalg.svd(points, full_matrices=False)[2][:2].T).tolist()
    places = dict(zip(words, flat, strict=True))
    figure = Figure(figsize=(6.4, 4.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    for (name, group), colour in zip(GROUPS.items(), COLOURS, strict=True):
        chosen = [places[word] for word in group.split()]
        panel.scatter([x for x, _ in chosen], [y for _, y in chosen], s=12, color=colour, label=name)
        for word, place in zip(group.split(), chosen, strict=True):
            panel.annotate(word, place, xytext=(3, 3), textcoords="offset points", fontsize=7, color=colour)
    panel.legend(frameon=False, fontsize=8)
    panel.set_axis_off()
    figure.savefig(path)


def main() -> None:
    """Counts, and draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--table", action="append", default=[], help="as in `specdl vectors`")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    vectors = word_vectors(specdl.load(options.run / "spec.yaml"), options.run, options.table)
    for name, group in GROUPS.items():
        words = group.split()
        near = [item.word in words for word in words for item in vectors.neighbours(word, 5)]
        print(f"{name}: {sum(near) / len(near):.0%}")
    if options.output is not None:
        draw(vectors, options.output)


if __name__ == "__main__":
    main()
