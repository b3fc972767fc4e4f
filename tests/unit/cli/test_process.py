"""What only a whole process shows: imports, streams that close, signals, encodings, terminals."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

from specdl.cli import COMMANDS
from tests.conftest import ROOT, SPECS
from tests.unit.cli.conftest import Command, environment, process

pytestmark = pytest.mark.usefixtures("folder")

CYCLE = "specdl: 1\ninputs: {x: [4]}\nblocks:\n  a: {layers: [b]}\n  b: {layers: [a]}\nlayers: [a]\n"


class TestHelp:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_each_command_has_one_example_that_is_a_command_line(self, specdl: Command, name: str) -> None:
        done = specdl(name, "--help")
        assert done.code == 0
        assert specdl(name, "-h").out == done.out
        text = " ".join(done.out.split())
        (example,) = re.findall(r"Example: specdl (.*?)(?= Options:)", text)
        command, *words = example.split()
        assert command == name
        for word in words:
            assert not word.endswith(".yaml") or (ROOT / word).exists(), word

    @pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
    def test_all_commands_are_listed(self, specdl: Command, words: tuple[str, ...]) -> None:
        done = specdl(*words)
        assert done.code == 0
        assert [line.split()[0] for line in done.out.split("Commands:\n")[1].splitlines()] == list(COMMANDS)

    def test_version(self, specdl: Command) -> None:
        import specdl as package

        assert specdl("--version").out == f"specdl, version {package.__version__}\n"

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("chek", "tiny.yaml"), "did you mean `check`?"),
            (("check",), "Missing argument"),
            (("check", "--form", "json", "tiny.yaml"), "--format"),
            (("summary", "tiny.yaml", "--depth", "0"), "--depth"),
            (("eval", "tiny.yaml", "--checkpoint", "first"), "--checkpoint"),
            (("export", "tiny.yaml", "-o", "out.onnx", "--opset", "99"), "--opset"),
            (("predict", "run"), "name a FILE"),
        ],
    )
    def test_usage_exits_2(self, specdl: Command, words: tuple[str, ...], told: str) -> None:
        done = specdl(*words)
        assert (done.code, done.out) == (2, "")
        assert told in done.err


class TestImports:
    @pytest.mark.parametrize("words", [("check", "tiny.yaml"), ("check", "wrong.yaml"), ("summary", "tiny.yaml")])
    def test_torch_is_left_out(self, words: tuple[str, ...]) -> None:
        Path("wrong.yaml").write_text(CYCLE)
        code = "import sys; sys.modules['torch'] = None; from specdl.cli import main; main(sys.argv[1:])"
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, env=environment(), check=False)
        assert done.returncode == (1 if "wrong.yaml" in words else 0), done.stderr
        assert b"Traceback" not in done.stderr

    def test_python_m_specdl(self) -> None:
        done = process("check", "tiny.yaml")
        assert (done.returncode, done.stdout, done.stderr) == (0, b"tiny.yaml: ok, 1,210 parameters\n", b"")


class TestStreams:
    def run(self, *words: object, stdout: int, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "specdl", *map(str, words)]
        return subprocess.run(command, stdout=stdout, stderr=stderr, env=environment(), check=False)

    @pytest.mark.parametrize("words", [("summary", SPECS / "resnet.yaml"), ("check", "tiny.yaml", "--format", "json")])
    def test_a_reader_that_left(self, words: tuple[object, ...]) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        done = self.run(*words, stdout=writer)
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, b"")

    @pytest.mark.parametrize("unbuffered", ["", "1"])
    @pytest.mark.parametrize("words", [("summary", "tiny.yaml"), ("eject", "tiny.yaml"), ("--help",)])
    def test_a_full_disk_behind_stdout(
        self, words: tuple[str, ...], unbuffered: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
        with Path("/dev/full").open("wb") as full:
            done = self.run(*words, stdout=full.fileno())
        assert done.returncode == 4
        assert b"No space left on device" in done.stderr
        assert b"Traceback" not in done.stderr
        assert done.stderr.count(b"\n") == 1

    def test_a_full_disk_behind_stderr(self) -> None:
        with Path("/dev/full").open("wb") as full:
            done = self.run("check", "nowhere.yaml", stdout=subprocess.PIPE, stderr=full.fileno())
        assert (done.returncode, done.stdout) == (4, b"")

    def test_closed_streams(self) -> None:
        command = f"'{sys.executable}' -m specdl summary tiny.yaml"
        done = subprocess.run(["sh", "-c", f"{command} >&-"], capture_output=True, env=environment(), check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        done = subprocess.run(["sh", "-c", f"{command}x 2>&-"], capture_output=True, env=environment(), check=False)
        assert (done.returncode, done.stdout) == (1, b"")


class TestEncodings:
    @pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp437", "ascii", "utf-8"])
    def test_a_tree_on_a_terminal_of_that_encoding(self, encoding: str) -> None:
        done = process("summary", "tiny.yaml", PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stderr) == (0, b"")
        # click itself writes UTF-8 where Python was told ASCII.
        text = done.stdout.decode("utf-8" if encoding == "ascii" else encoding)
        branch = {"latin-1": "`- logits", "cp1252": "`- logits"}.get(encoding, "└─ logits")
        assert any(line.startswith(branch) for line in text.splitlines())
        assert "1,210 parameters" in text

    def test_a_message_with_an_arrow(self) -> None:
        Path("cycle.yaml").write_text(CYCLE)
        done = process("check", "cycle.yaml", PYTHONIOENCODING="latin-1")
        assert done.returncode == 1
        assert b"calls itself: a -> b -> a" in done.stderr

    def test_a_file_whose_name_is_no_unicode(self) -> None:
        name = os.fsdecode(b"\xff.yaml")
        done = process("check", name)
        assert done.returncode == 1
        assert b"there is no file `?.yaml`" in done.stderr
        Path(name).write_text("specdl: 1\n")
        done = process("check", name, "--format", "json")
        assert done.returncode == 1
        assert {item["line"] for item in json.loads(done.stdout)["diagnostics"]} == {1}

    def test_json_is_ascii(self) -> None:
        done = process("summary", "tiny.yaml", "name=größer", "--json", PYTHONIOENCODING="latin-1")
        assert done.stdout.isascii()
        assert json.loads(done.stdout)["name"] == "größer"


def on_terminal(
    *words: object, columns: int = 100, interrupt_at: bytes = b"", **changed: str | None
) -> tuple[int, str]:
    """Runs a command on a pseudo-terminal; sends Ctrl-C when some text was seen. Gives the exit code and the output."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ.clear()
        os.environ.update(environment(COLUMNS=str(columns), LINES="30", **changed))
        os.execv(sys.executable, [sys.executable, "-m", "specdl", *map(str, words)])
    seen = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:  # Linux says so when the other side is closed
            break
        if not piece:
            break
        seen += piece
        if interrupt_at and interrupt_at in seen:
            interrupt_at = b""
            os.write(terminal, b"\x03")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), seen.decode().replace("\r\n", "\n")


class TestTerminal:
    def test_errors_are_coloured_unless_the_user_says_no(self) -> None:
        coloured = {"TERM": "xterm-256color", "NO_COLOR": None}
        code, text = on_terminal("check", "nowhere.yaml", **coloured)
        assert code == 1
        assert "\x1b[1;31merror[E0001]\x1b[0m" in text
        for changed in ({**coloured, "NO_COLOR": "1"}, {**coloured, "TERM": "dumb"}):
            code, text = on_terminal("check", "nowhere.yaml", **changed)
            assert code == 1
            assert text.startswith("error[E0001]: there is no file")
            assert "\x1b" not in text

    def test_errors_in_a_pipe_are_plain(self) -> None:
        assert b"\x1b" not in process("check", "nowhere.yaml", TERM="xterm-256color", NO_COLOR=None).stderr

    @pytest.mark.parametrize(("columns", "width"), [(80, 80), (60, 72), (200, 87)])
    def test_a_tree_gives_way_to_a_narrow_terminal(self, columns: int, width: int) -> None:
        code, text = on_terminal("summary", SPECS / "resnet.yaml", "--variant", "resnet50", columns=columns)
        assert code == 0
        table = text.splitlines()[1:-1]
        assert max(map(len, table)) == width
        assert ("…" in text) == (columns < 87)

    def test_ctrl_c_saves_says_how_to_go_on_and_exits_130(self) -> None:
        words = ("train", "tiny.yaml", "train.epochs=100000", "--folder", "run")
        code, text = on_terminal(*words, columns=80, interrupt_at=b"best", TERM="xterm-256color", NO_COLOR=None)
        assert code == 130, text
        assert "Traceback" not in text
        assert "stopping: saving the state (once more to leave at once)" in text
        assert text.rstrip().endswith("specdl train run/spec.yaml --resume run")
        facts = json.loads(Path("run/checkpoints/last/state.json").read_text())
        assert f"stopped at step {facts['step']};" in text
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
        rows = [line for line in plain.splitlines() if re.match(r" +\d+ +\d+ ", line)]
        assert rows
        assert all(len(line) <= 80 for line in rows)

    def test_ctrl_c_before_training_begins(self) -> None:
        # The signal comes while torch is being imported, which takes seconds.
        code = (
            "import os, signal, sys, threading; from specdl.cli import main\n"
            "import specdl.api\n"
            "specdl.api.load = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)\n"
            "main(['train', 'tiny.yaml'])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), check=False)
        assert (done.returncode, done.stdout) == (130, b"")
        assert done.stderr.strip() == b"interrupted"
