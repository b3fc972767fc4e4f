"""Runs one function of a benchmark and prints its numbers as JSON: `python -m tests.benchmarks.child module:name '{}'`.

What the function or a library prints goes to stderr, so that stdout holds the numbers alone.
"""

from __future__ import annotations

import importlib
import json
import os
import sys


def main() -> None:
    """Reads the command line, calls the function, prints what it gives."""
    module, _, name = sys.argv[1].partition(":")
    answer = os.dup(1)
    os.dup2(2, 1)
    numbers = getattr(importlib.import_module(module), name)(**json.loads(sys.argv[2]))
    os.write(answer, json.dumps(numbers).encode())


if __name__ == "__main__":
    main()
