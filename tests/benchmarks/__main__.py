"""`python -m tests.benchmarks [TOPIC...] [--quick]`: all topics into docs/benchmarks.md, or some to the terminal."""

from __future__ import annotations

import argparse
import importlib
import sys
import time

from tests.benchmarks.harness import ROOT, BenchmarkFailed, say
from tests.benchmarks.report import Topic, page

TOPICS = ("startup", "scale", "build", "zoo_build", "step", "language", "export", "latency", "counts")


def main() -> int:
    """Runs topics; 1 if one of them failed (a promise that isn't kept is a result, not a failure)."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"some of {', '.join(TOPICS)}; all unless given")
    parser.add_argument("--quick", action="store_true", help="one short round, to see whether everything runs")
    options = parser.parse_args()
    for name in options.topics:
        if name not in TOPICS:
            parser.error(f"no topic `{name}`: there are {', '.join(TOPICS)}")
    topics: list[Topic] = []
    failures: list[str] = []
    for name in options.topics or TOPICS:
        begin = time.perf_counter()
        try:
            topics.append(importlib.import_module(f"tests.benchmarks.{name}").run(options.quick))
        except BenchmarkFailed as error:
            failures.append(f"{name}: {error}")
        say(f"{name} took {time.perf_counter() - begin:.0f} s")
    text = page(topics, failures)
    if options.topics or options.quick:
        print(text)
        if options.quick:
            print("A single short round was run: these numbers show that everything runs, and mean nothing else.")
    else:
        (ROOT / "docs" / "benchmarks.md").write_text(text, encoding="utf-8")
        say("wrote docs/benchmarks.md")
    for failure in failures:
        say(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
