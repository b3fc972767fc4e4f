"""Start-up: whole processes of the command line, beside an interpreter that does nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from tests.benchmarks.harness import ROOT, Numbers, Side, compare
from tests.benchmarks.report import Topic, at_most, milliseconds, show

CHECK = ["check", "specs/resnet.yaml", "--variant", "resnet152"]

# `python -m specdl` is what the console script does.
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "specdl --help": ["-m", "specdl", "--help"],
    "specdl check, ResNet-152": ["-m", "specdl", *CHECK],
    "python -c 'import torch'": ["-c", "import torch"],
}

IMPORTS = """
import sys
from specdl.cli import _run
status = _run(sys.argv[1:])
print("torch" in sys.modules, file=sys.stderr)
sys.exit(status)
"""


def run(quick: bool) -> Topic:
    """The times of whole processes with compiled bytecode at hand, as in any installed package."""
    with tempfile.TemporaryDirectory() as bytecode:
        sides = [Side(name, process, {"command": command, "bytecode": bytecode}) for name, command in COMMANDS.items()]
        if not quick:
            compare(sides, 1, title="start-up, unmeasured")  # compiles the bytecode, fills the disk's cache
        found = compare(sides[:3] if quick else sides, 1 if quick else 11, title="start-up")
    nothing, help_, check = list(COMMANDS)[:3]
    rows = [
        [f"`{name}`", milliseconds(found.spread(name)), show(found.ratio(name, nothing), "×"), torch_imported(name)]
        for name in found.rounds[0]
    ]
    return Topic(
        "Start-up",
        "Whole processes, from starting Python to its end, with bytecode compiled before.",
        [
            at_most("`specdl --help`, whole process", 0.25, found.spread(help_), unit="s"),
            at_most("`specdl check` of ResNet-152, whole process", 0.5, found.spread(check), unit="s"),
        ],
        ["process", "time", "against an empty Python", "imports torch"],
        rows,
    )


def process(command: list[str], bytecode: str) -> Numbers:
    """Seconds of a whole Python process."""
    # Bytecode is kept apart from other users' and always written, whatever this environment says.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = bytecode
    begin = time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    return {"seconds": time.perf_counter() - begin}


def torch_imported(name: str) -> str:
    """Whether a command of specdl imports torch."""
    command = COMMANDS[name]
    if command[0] != "-m":
        return "yes" if "torch" in command[1] else "no"
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *command[2:]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {"True": "yes", "False": "no"}[done.stderr.split()[-1]]
