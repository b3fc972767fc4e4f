"""Files appear whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from specdl.diagnostics import EnvironmentFailure
from specdl.files import _is_stream, replacing, write_text


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_new_file_and_one_that_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    for text in ("first", "zweitens, länger"):
        write_text(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert names(tmp_path) == ["out.txt"]


def test_nothing_is_visible_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out.svg"
    path.write_text("old")
    with replacing(path) as temporary:
        assert temporary.name == "out.svg"  # tools look at the ending
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()], ids=["error", "ctrl-c"])
def test_an_error_in_the_block_keeps_the_old_file(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")

    def interrupted() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        interrupted()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.txt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_while_syncing_or_renaming(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "out.txt"
    path.write_text("old")
    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), full)
    with pytest.raises(EnvironmentFailure, match=r"can't write .*out\.txt`: No space left on device"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.txt"]


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace"])
def test_a_process_killed_between_writing_and_renaming_keeps_the_old_file(call: str, tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    script = (
        "import os, pathlib, signal, sys\nfrom specdl.files import write_text\n"
        f"{call} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_text(sys.argv[1], 'new')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_a_crash_between_two_files_leaves_no_file_with_anothers_companion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.onnx"

    def write(text: str) -> None:
        with replacing(path) as temporary:
            temporary.write_text(f"model {text}")
            temporary.with_name("m.onnx.weights").write_text(f"weights {text}")

    write("one")
    assert names(tmp_path) == ["m.onnx", "m.onnx.weights"]
    rename = Path.replace

    def crash(file: Path, target: Path) -> Path:
        if file.name == "m.onnx":
            raise OSError(errno.EIO, "Input/output error")
        return rename(file, target)

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(EnvironmentFailure):
        write("two")
    assert names(tmp_path) == ["m.onnx.weights"]  # not `model one` beside `weights two`


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailure, match="there is no folder"):
        write_text(tmp_path / "nowhere" / "out.txt", "text")


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out.txt").mkdir()
    with pytest.raises(EnvironmentFailure, match="it is a folder"):
        write_text(tmp_path / "out.txt", "text")
    assert names(tmp_path) == ["out.txt"]


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_text("out.txt", "text")
    assert names(tmp_path) == ["out.txt"]


def test_the_longest_name_that_the_file_system_takes(tmp_path: Path) -> None:
    name = "n" * 251 + ".txt"
    write_text(tmp_path / name, "text")
    assert names(tmp_path) == [name]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "real" / "out.txt")
    for text in ("first", "second"):  # the first time it leads nowhere yet
        write_text(link, text)
        assert link.is_symlink()
        assert (tmp_path / "real" / "out.txt").read_text() == text


def test_modes(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    before = os.umask(0o027)
    try:
        write_text(path, "new")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o600)
        write_text(path, "newer")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "text")
    reader.join(timeout=30)
    assert read == ["text"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_counts_as_a_stream() -> None:
    assert _is_stream(Path("/dev/null"))  # written into: to replace it would harm the machine
