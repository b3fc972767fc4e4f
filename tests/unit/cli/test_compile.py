"""`specdl summary`, `eject` and `diagram`: what is made of a spec without training it."""

from __future__ import annotations

import ast
import errno
import json
import os
import re
import runpy
import stat
import struct
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import torch

import specdl as package
from tests.conftest import SPECS
from tests.unit.cli.conftest import Command, Done, one_error

ZOO = sorted(str(path.relative_to(SPECS)) for path in SPECS.rglob("*.yaml") if "blocks" not in path.parts)


def failed(done: Done, *words: str) -> None:
    """Asserts that a command ended in one line about the environment, exit code 4."""
    assert (done.code, done.out) == (4, ""), done
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    for word in words:
        assert word in done.err


class TestSummary:
    def test_the_tree(self, specdl: Command) -> None:
        assert specdl("summary", "tiny.yaml").out == (
            "tiny: image [N, 1, 8, 8]\n"
            "layer       operator   output   parameters  FLOPs\n"
            "─────────────────────────────────────────────────\n"
            "├─ flatten  Flatten    [N, 64]\n"
            "├─ hidden   Linear 16  [N, 16]       1,040  2,048\n"
            "├─ relu     ReLU       [N, 16]\n"
            "└─ logits   Linear 10  [N, 10]         170    320\n"
            "─────────────────────────────────────────────────\n"
            "1,210 parameters · 2,368 FLOPs an example · 4,840 B of weights\n"
        )

    def test_depth_closes_blocks(self, specdl: Command) -> None:
        whole = specdl("summary", SPECS / "resnet.yaml").lines()
        outer = specdl("summary", SPECS / "resnet.yaml", "--depth", "1").lines()
        assert len(outer) < len(whole) / 3
        assert whole[-1] == outer[-1]
        assert not any(line.startswith("│") for line in outer)

    def test_json_has_exactly_these_keys(self, specdl: Command) -> None:
        found = json.loads(specdl("summary", "tiny.yaml", "--json").out)
        assert set(found) == {
            "name", "variant", "parameters", "trainable_parameters", "flops", "inputs", "outputs", "layers",
        }  # fmt: skip
        assert found["layers"][1] == {
            "path": "hidden",
            "operator": "linear",
            "output_shape": ["N", 16],
            "parameters": 1040,
            "trainable_parameters": 1040,
            "flops": 2048,
            "line": 11,
        }
        assert found["inputs"] == [{"name": "image", "shape": ["N", 1, 8, 8], "dtype": "float32"}]
        assert found["outputs"] == [{"name": "logits", "shape": ["N", 10], "dtype": "float32"}]

    @pytest.mark.parametrize("name", ZOO)
    def test_parameters_equal_pytorchs(self, specdl: Command, name: str) -> None:
        found = json.loads(specdl("summary", SPECS / name, "--json").out)
        with torch.device("meta"):  # LLaMA has 7 billion
            module = package.load(SPECS / name).module()
        counts = [parameter.numel() for parameter in module.parameters()]
        assert found["parameters"] == found["trainable_parameters"] == sum(counts)
        above = {row["path"].rpartition(".")[0] for row in found["layers"]}
        leaves = [row for row in found["layers"] if row["path"] not in above]
        assert {row["path"] for row in leaves if row["parameters"]} <= {path for path, _ in module.named_modules()}
        assert sum(row["parameters"] for row in leaves) == sum(counts)


class TestEject:
    def test_stdout_and_a_file_hold_the_same(self, specdl: Command) -> None:
        printed = specdl("eject", "tiny.yaml")
        written = specdl("eject", "tiny.yaml", "-o", "out.py")
        assert (written.code, written.out) == (0, "wrote out.py\n")
        assert Path("out.py").read_text() == printed.out
        assert printed.err == written.err == ""

    @pytest.mark.parametrize("name", ZOO)
    def test_it_imports_only_torch_and_the_standard_library(self, specdl: Command, name: str) -> None:
        text = specdl("eject", SPECS / name).out
        roots = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                roots.add(str(node.module).split(".")[0])
        assert "torch" in roots
        assert roots - {"torch"} <= sys.stdlib_module_names

    @pytest.mark.parametrize("name", ZOO)
    def test_the_first_public_name_is_the_model(self, specdl: Command, name: str) -> None:
        specdl("eject", SPECS / name, "-o", "out.py")
        module = runpy.run_path("out.py")
        with torch.device("meta"):
            made = module[module["__all__"][0]]()
            assert list(made.state_dict()) == list(package.load(SPECS / name).module().state_dict())

    def test_keys_equal_the_trained_models(self, specdl: Command, trained: Path) -> None:
        from safetensors.torch import load_file

        specdl("eject", "tiny.yaml", "-o", "out.py")
        module = runpy.run_path("out.py")
        made = module[module["__all__"][0]]()
        made.load_state_dict(load_file(trained / "checkpoints" / "best" / "model.safetensors"), strict=True)

    def test_an_existing_file_is_replaced_whole(self, specdl: Command) -> None:
        Path("out.py").write_text("old\n" * 1000)
        assert specdl("eject", "tiny.yaml", "-o", "out.py").code == 0
        assert "old" not in Path("out.py").read_text()
        assert sorted(path.name for path in Path().iterdir()) == ["bare.yaml", "out.py", "tiny.yaml"]


class TestDiagram:
    def test_svg(self, specdl: Command) -> None:
        assert specdl("diagram", "tiny.yaml", "-o", "out.svg").out == "wrote out.svg\n"
        text = "".join(ElementTree.parse("out.svg").getroot().itertext())
        assert "Linear" in text

    def test_png_has_the_size_that_its_resolution_gives(self, specdl: Command) -> None:
        sizes = []
        for dpi in ("100", "200"):
            assert specdl("diagram", "tiny.yaml", "-o", "out.png", "--dpi", dpi).code == 0
            content = Path("out.png").read_bytes()
            assert content.startswith(b"\x89PNG\r\n\x1a\n")
            sizes.append(struct.unpack(">II", content[16:24]))
        for small, large in zip(*sizes, strict=True):
            assert large == pytest.approx(2 * small, abs=2)  # each side is rounded to whole pixels

    def test_dot_is_the_same_each_time(self, specdl: Command) -> None:
        for name in ("one.dot", "two.DOT"):
            assert specdl("diagram", "tiny.yaml", "-o", name).code == 0
        assert Path("one.dot").read_text() == Path("two.DOT").read_text()
        assert re.match(r"(strict )?digraph", Path("one.dot").read_text())

    @pytest.mark.parametrize("name", ["out.gif", "out", "out.", ".svg"])
    def test_another_ending(self, specdl: Command, name: str) -> None:
        one_error(specdl("diagram", "tiny.yaml", "-o", name), "E0806", f"`{name.rstrip('.')}", ".svg, .png, .dot")

    def test_a_file_must_be_named(self, specdl: Command) -> None:
        done = specdl("diagram", "tiny.yaml")
        assert done.code == 2
        assert "--output" in done.err


WRITERS = {
    "eject": ("eject", "tiny.yaml", "-o"),
    "diagram": ("diagram", "tiny.yaml", "-o"),
    "export": ("export", "tiny.yaml", "-o"),
}


@pytest.mark.parametrize("words", WRITERS.values(), ids=WRITERS.keys())
class TestWhereToWrite:
    def test_a_folder_that_is_missing(self, specdl: Command, words: tuple[str, ...]) -> None:
        failed(specdl(*words, "nowhere/out.svg"), "there is no folder `nowhere`")
        assert not Path("nowhere").exists()

    def test_a_folder_in_place_of_a_file(self, specdl: Command, words: tuple[str, ...]) -> None:
        Path("out.svg").mkdir()
        failed(specdl(*words, "out.svg"), "out.svg", "it is a folder")
        assert list(Path("out.svg").iterdir()) == []

    def test_a_file_in_place_of_the_folder(self, specdl: Command, words: tuple[str, ...]) -> None:
        failed(specdl(*words, "tiny.yaml/out.svg"), "there is no folder")

    def test_a_folder_that_may_not_be_written(
        self, specdl: Command, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> str:  # the tests may run as root, whom no mode stops
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr("tempfile.mkdtemp", refuse)
        failed(specdl(*words, "out.svg"), "out.svg", "Permission denied")

    def test_a_full_disk_keeps_the_old_file(
        self, specdl: Command, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        Path("out.svg").write_text("old")
        before = sorted(Path().iterdir())
        monkeypatch.setattr("os.fsync", full)
        failed(specdl(*words, "out.svg"), "out.svg", "No space left on device")
        assert Path("out.svg").read_text() == "old"
        assert sorted(Path().iterdir()) == before

    def test_a_pipe_is_written_into_and_stays(self, specdl: Command, words: tuple[str, ...]) -> None:
        os.mkfifo("pipe.svg")
        reader = os.open("pipe.svg", os.O_RDONLY | os.O_NONBLOCK)
        try:
            assert specdl(*words, "pipe.svg").code == 0
            assert len(os.read(reader, 1 << 16)) > 500
        finally:
            os.close(reader)
        assert stat.S_ISFIFO(Path("pipe.svg").stat().st_mode)
