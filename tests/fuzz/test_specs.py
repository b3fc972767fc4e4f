"""A minute of the fuzzer that coverage guides."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.unit.cli.conftest import environment

SECONDS = 60


@pytest.mark.slow
def test_the_fuzzer_finds_nothing(tmp_path: Path) -> None:
    """An input takes milliseconds; one that takes twenty seconds counts as found, and so does a gigabyte."""
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris isn't installed: pip install -e '.[fuzz]'")
    corpus = tmp_path / "corpus"
    limits = [
        f"-max_total_time={SECONDS}",
        "-timeout=20",
        "-rss_limit_mb=1024",
        "-max_len=4096",
        "-print_final_stats=1",
    ]
    command = [sys.executable, "-m", "tests.fuzz.specs", str(corpus), *limits, f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment(), check=False)
    found = [path for path in tmp_path.iterdir() if path.name.startswith(("crash-", "timeout-", "oom-"))]
    shown = "\n".join(path.read_bytes().decode("utf-8", "replace") for path in found)
    assert done.returncode == 0, f"{done.stderr[-4000:]}\nthe input:\n{shown}"
    assert "number_of_executed_units" in done.stderr
