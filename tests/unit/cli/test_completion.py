"""What a shell is proposed: by click's protocol, and in bash, zsh and fish themselves."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from specdl.cli import COMMANDS, group
from specdl.cli.completion import SCRIPTS
from tests.unit.cli.conftest import Command, environment

pytestmark = pytest.mark.usefixtures("folder")

GAN = """\
specdl: 1
models:
  generator: {inputs: {z: [8]}, layers: [{linear: 64}, {reshape: [1, 8, 8]}]}
  critic: {inputs: {image: [1, 8, 8]}, layers: [flatten, {linear: 1}]}
steps:
  - {name: judge, update: critic, layers: [score = critic(image)], losses: [mean(score)]}
sample: {layers: [{randn: [8]}, generator]}
data: {source: digits, split: {validation: 0.1}}
"""


def proposed(line: str) -> list[str]:
    """The proposals for a command line that ends at the cursor."""
    words = line.split(" ")[1:]
    completion = BashComplete(group, {}, "specdl", "_SPECDL_COMPLETE")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMP_WORDS", line)
        return [item.value for item in completion.get_completions(words[:-1], words[-1])]


def test_commands_are_proposed_without_being_imported() -> None:
    assert proposed("specdl ") == list(COMMANDS)
    assert proposed("specdl ex") == ["explain", "export"]
    code = "import os, specdl.cli, sys; specdl.cli._run([]) if 0 else None\n"
    code += "from click.shell_completion import BashComplete\n"
    code += "BashComplete(specdl.cli.group, {}, 'specdl', 'X').get_completions([], '')\n"
    code += "print([name for name in sys.modules if name.startswith('specdl.cli.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.strip() == "[]"


def test_options_and_their_choices() -> None:
    assert proposed("specdl diagram tiny.yaml --th") == ["--theme"]
    assert proposed("specdl diagram tiny.yaml --theme ") == ["light", "dark"]
    assert proposed("specdl check --format g") == ["github"]
    assert "resnet" in proposed("specdl init mine --template r")


def test_specs_are_yaml_files_and_those_of_the_zoo(folder: Path) -> None:
    (folder / "notes.txt").write_text("no spec")
    (folder / "more").mkdir()
    (folder / "more" / "deep.yml").write_text("")
    assert proposed("specdl check ") == ["zoo:", "bare.yaml", "more/", "tiny.yaml"]
    assert proposed("specdl summary mo") == ["more/"]
    assert proposed("specdl summary more/") == ["more/deep.yml"]
    assert "zoo:resnet" in proposed("specdl train zoo:res")
    assert proposed("specdl zoo show mobile") == ["mobilenet_v2"]
    assert proposed("specdl check nowhere/") == []


def test_variants_networks_and_steps_are_those_of_the_spec(folder: Path) -> None:
    (folder / "gan.yaml").write_text(GAN)
    assert proposed("specdl train tiny.yaml --variant ") == ["small", "large"]
    assert proposed("specdl train tiny.yaml params.classes=3 --variant sm") == ["small"]
    assert proposed("specdl summary zoo:resnet --variant resnet5") == ["resnet50"]
    assert proposed("specdl diagram gan.yaml --network ") == ["generator", "critic"]
    assert proposed("specdl diagram gan.yaml --step ") == ["judge", "sample"]
    assert proposed("specdl diagram tiny.yaml --network ") == []


def test_overrides_are_completed_level_by_level() -> None:
    assert proposed("specdl train tiny.yaml ") == [
        "params.", "data.", "optimizer.", "scheduler.", "train.", "loss.", "weights.", "name="
    ]  # fmt: skip
    assert proposed("specdl train tiny.yaml params.") == ["params.classes=", "params.hidden="]
    assert proposed("specdl train tiny.yaml train.e") == ["train.epochs=", "train.ema=", "train.early_stopping."]
    assert proposed("specdl train tiny.yaml train.clip.") == ["train.clip.norm=", "train.clip.value="]
    assert proposed("specdl train tiny.yaml optimizer.") == ["optimizer.adamw."]
    assert "optimizer.adamw.lr=" in proposed("specdl train tiny.yaml optimizer.adamw.")
    assert proposed("specdl train tiny.yaml data.split.v") == ["data.split.validation="]
    assert proposed("specdl train tiny.yaml loss.cross_entropy.lab") == ["loss.cross_entropy.label_smoothing="]
    assert proposed("specdl check tiny.yaml train.see") == ["train.seed="]


def test_values_are_proposed_where_they_can_be_listed() -> None:
    assert proposed("specdl train tiny.yaml train.precision=") == [
        f"train.precision={word}" for word in ("fp32", "bf16", "fp16")
    ]
    assert proposed("specdl train tiny.yaml optimizer.adamw.amsgrad=t") == ["optimizer.adamw.amsgrad=true"]
    assert proposed("specdl train tiny.yaml params.hidden=") == ["params.hidden=16"]
    assert proposed("specdl train tiny.yaml nothing.here=") == []


def test_what_is_completed_is_what_the_command_takes(specdl: Command) -> None:
    """Every key that is proposed for a number is one that `check` knows."""
    keys = [item for level in ("params.", "train.", "data.") for item in proposed(f"specdl train tiny.yaml {level}")]
    for key in keys:
        if key.endswith("="):
            done = specdl("check", "tiny.yaml", f"{key}1")
            assert "E0303" not in done.err, done.err
            assert "has no argument" not in done.err, done.err


def test_codes_and_words_are_explained() -> None:
    assert proposed("specdl explain E020") == [f"E020{digit}" for digit in range(1, 7)]
    assert proposed("specdl explain conv2") == ["conv2d"]
    assert {"linear", "residual", "cross_entropy", "adamw", "train"} <= set(proposed("specdl explain "))


def test_runs_are_folders(folder: Path, trained: Path) -> None:
    shutil.copytree(trained, folder / "runs" / "tiny" / "first")
    assert proposed("specdl eval ru") == ["runs/"]
    assert proposed("specdl eval runs/tiny/") == ["runs/tiny/first"]
    assert "runs/" in proposed("specdl export ")
    assert "params." in proposed("specdl export tiny.yaml ")


@pytest.mark.parametrize("text", ["", "specdl: [1", "specdl: 1\nvariants: 3\nparams: [1]\ntrain: 3\n", "\x00"])
def test_a_spec_that_is_half_written_proposes_less_and_says_nothing(folder: Path, text: str) -> None:
    (folder / "half.yaml").write_text(text)
    for words in ("--variant ", "", "train.", "params.", "optimizer.x.", "--network ", "a.b=", "train.epochs.x."):
        proposed(f"specdl diagram half.yaml {words}")
    assert proposed("specdl train nowhere.yaml --variant ") == []


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_protocol_of_each_shell(shell: str, specdl: Command) -> None:
    words = {"fish": "specdl explain conv2", "bash": "specdl explain conv2", "zsh": "specdl explain conv2"}[shell]
    number = "conv2" if shell == "fish" else "2"
    settings = environment(COMP_WORDS=words, COMP_CWORD=number, _SPECDL_COMPLETE=f"{shell}_complete")
    done = subprocess.run([sys.executable, "-m", "specdl"], capture_output=True, text=True, env=settings, check=True)
    assert done.stderr == ""
    first = re.split(r"[,\n\t]", done.stdout)
    assert first[:2] == ["plain", "conv2d"]
    assert specdl("completion", shell).out == SCRIPTS[shell]
    assert f"{shell}_complete" in SCRIPTS[shell]


# ---- in the shells themselves ------------------------------------------------------------------------

START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], ["bind 'set enable-bracketed-paste off'"]),
    "zsh": (["zsh", "-f", "-i"], ["autoload -Uz compinit; compinit -u"]),
    "fish": (["fish", "--no-config", "-i"], []),
}
LOAD = {
    "bash": 'eval "$(specdl completion bash)"',
    "zsh": 'eval "$(specdl completion zsh)"',
    "fish": "specdl completion fish | source",
}


class Terminal:
    """A shell in a pseudo-terminal."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.shown = ""

    def wait_for(self, text: str, seconds: float = 30.0) -> None:
        """Reads until a text is shown; fails when it never is."""
        end = time.monotonic() + seconds
        while text not in self.shown:
            if time.monotonic() > end:
                pytest.fail(f"{text!r} never came, but {self.shown[-500:]!r}")
            ready, _, _ = select.select([self.descriptor], [], [], 0.1)
            if ready:
                self.shown += os.read(self.descriptor, 65536).decode(errors="replace")
                self.shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>()][0-9A-B]?|\x1b\][^\x07]*\x07", "", self.shown)

    def write(self, text: str) -> None:
        """Types something; what was shown before counts no longer."""
        self.shown = ""
        os.write(self.descriptor, text.encode())


@contextmanager
def terminal(shell: str, folder: Path) -> Iterator[Terminal]:
    """The shell with its completion loaded, in a folder where `specdl` is on the path."""
    binary = folder / "bin" / "specdl"
    binary.parent.mkdir()
    binary.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m specdl "$@"\n')
    binary.chmod(0o755)
    command, setup = START[shell]
    child, descriptor = pty.fork()
    if child == 0:
        place = f"{binary.parent}{os.pathsep}{os.environ['PATH']}"
        os.execvpe(command[0], command, environment(PATH=place, TERM="dumb", HOME=str(folder), PS1="> "))
    found = Terminal(descriptor)
    try:
        for line in (*setup, LOAD[shell]):
            found.write(f"{line}; echo lo''aded\r")
            found.wait_for("loaded")
        yield found
    finally:
        os.close(descriptor)
        os.kill(child, 9)
        os.waitpid(child, 0)


LINES = [
    ("specdl sch", "specdl schema "),
    ("specdl explain conv_transpose1", "specdl explain conv_transpose1d "),
    ("specdl train tiny.yaml train.epo", "specdl train tiny.yaml train.epochs="),
    ("specdl train tiny.yaml train.precision=b", "specdl train tiny.yaml train.precision=bf16 "),
    ("specdl train tiny.yaml trai", "specdl train tiny.yaml train."),
    ("specdl train tiny.yaml --variant sm", "specdl train tiny.yaml --variant small "),
    ("specdl summary zoo:mobi", "specdl summary zoo:mobilenet_v2 "),
    ("specdl summary tin", "specdl summary tiny.yaml "),
    ("specdl check mo", "specdl check more/"),
]
"""What is typed before TAB, and what stands there behind it: no space where more is to be typed."""


@pytest.mark.slow
@pytest.mark.parametrize("shell", START)
def test_in_a_real_shell(shell: str, folder: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} isn't installed")
    (folder / "more").mkdir()
    with terminal(shell, folder) as found:
        for typed, expected in LINES:
            found.write(f"{typed}\t")
            found.wait_for(expected)
            # A letter behind it shows whether a space was put there; nothing of it is run.
            shown = found.shown
            found.write("Z")
            found.wait_for("Z")
            line = re.sub(r"[\r\n].*", "", (shown + found.shown).split("specdl")[-1])
            while "\b" in line:  # the cursor went back
                line = re.sub(r".?\x08", "", line, count=1)
            assert line == f"{expected.removeprefix('specdl')}Z"
            found.write("\x15")
