"""How many texts of the validation part a run answers exactly: `python exact_match.py runs/dates`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import specdl
from specdl.training.examples import open_examples, require_data
from specdl.training.generate import of_run
from specdl.training.tokenizers import kept_tokenizers


def main() -> None:
    """Asks for each, and counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--wrong", type=int, default=3, help="how many wrong answers to show")
    options = parser.parse_args()
    model = specdl.load(options.run / "spec.yaml")
    recipe, data = require_data(model.recipe)
    tokenizer = next(iter(kept_tokenizers(data, options.run).values()))
    generator = of_run(model, options.run)
    right, total = 0, 0
    for batch in open_examples(recipe, data, torch.device("cpu"), options.run).batches("validation", data.batch_size):
        for source, target in zip(batch["source"].tolist(), batch["target"].tolist(), strict=True):
            text, wanted = tokenizer.decode(source), tokenizer.decode(target)
            found = generator(text).text
            right += found == wanted
            total += 1
            if found != wanted and total - right <= options.wrong:
                print(f"{text} -> {found}, not {wanted}")
    print(f"{right:,} of {total:,} are right: {right / total:.2%}")


if __name__ == "__main__":
    main()
