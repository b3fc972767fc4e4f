"""`specdl show`, `specdl diff` and `specdl fmt`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SPECS
from tests.unit.cli.conftest import BARE, TINY, Command, environment, one_error

RESNET = SPECS / "resnet.yaml"


class TestShow:
    def test_what_it_prints_is_a_spec(self, specdl: Command) -> None:
        done = specdl("show", RESNET, "--variant", "resnet34", "params.classes=7")
        assert (done.code, done.err) == (0, "")
        Path("shown.yaml").write_text(done.out, encoding="utf-8")
        assert "fc = linear: 7" in done.out
        assert specdl("check", "shown.yaml").code == 0

    def test_the_ir_has_lines(self, specdl: Command) -> None:
        done = specdl("show", "tiny.yaml", "--ir")
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith("program tiny: ")
        assert "# flatten, line " in done.out

    def test_a_mistake(self, specdl: Command) -> None:
        one_error(specdl("show", "tiny.yaml", "params.none=1"), "E0303")


class TestDiff:
    def test_equal_specs(self, specdl: Command) -> None:
        done = specdl("diff", "tiny.yaml", "tiny.yaml")
        assert (done.code, done.out, done.err) == (0, "tiny and tiny have the same layers\n", "")

    def test_two_variants_of_one_spec(self, specdl: Command) -> None:
        done = specdl("diff", RESNET, "--variant", "resnet18", "--variant", "resnet34")
        assert done.code == 1
        assert done.lines()[0] == "resnet18 → resnet34"
        assert "  + layer1.2  basic, [N, 64, 56, 56], 73,984 parameters" in done.lines()
        assert done.lines()[-1] == "8 added"

    def test_overrides_hold_for_the_spec_before_them(self, specdl: Command) -> None:
        one = specdl("diff", RESNET, RESNET, "params.classes=10")
        assert one.out == specdl("diff", RESNET, "params.classes=10").out
        assert "out_features 1000 → 10" in one.out
        other = specdl("diff", RESNET, "params.classes=10", RESNET)
        assert "out_features 10 → 1000" in other.out

    def test_json(self, specdl: Command) -> None:
        done = specdl("diff", RESNET, "params.classes=10", "--json")
        found = json.loads(done.out)
        assert (done.code, found["equal"]) == (1, False)
        assert found["after"]["parameters"] - found["before"]["parameters"] == -990 * 513
        (change,) = found["differences"]
        assert change["details"] == [{"what": "out_features", "before": "1000", "after": "10"}]
        assert (change["before"]["path"], change["before"]["parameters"], change["times"]) == ("fc", 513_000, 1)
        assert json.loads(specdl("diff", "tiny.yaml", "tiny.yaml", "--json").out)["differences"] == []

    @pytest.mark.parametrize(
        ("words", "hint"),
        [
            (["tiny.yaml"], "name a second spec"),
            (["tiny.yaml", "tiny.yaml", "bare.yaml"], "'bare.yaml' is a third spec"),
            ([RESNET, *["--variant", "resnet18"] * 3], "once for each"),
            ([RESNET, "--variant", "resnet18"], "name a second spec"),
        ],
    )
    def test_usage(self, specdl: Command, words: list[object], hint: str) -> None:
        done = specdl("diff", *words)
        assert (done.code, done.out) == (2, "")
        assert hint in done.err


UNTIDY = "specdl:   1\nname:  'x'   # why\ninputs: {x: [4]}\nlayers:\n- linear:\n    out_features: 4\n"
TIDY = "specdl: 1\nname: 'x'    # why\ninputs: {x: [4]}\nlayers:\n  - linear: {out_features: 4}\n"


class TestFmt:
    def test_a_file_is_formatted_in_place(self, specdl: Command) -> None:
        Path("x.yaml").write_text(UNTIDY, encoding="utf-8")
        assert specdl("fmt", "x.yaml").out == "formatted x.yaml\n"
        assert Path("x.yaml").read_text(encoding="utf-8") == TIDY
        again = specdl("fmt", "x.yaml")
        assert (again.code, again.out) == (0, "")

    def test_check_writes_nothing(self, specdl: Command) -> None:
        Path("x.yaml").write_text(UNTIDY, encoding="utf-8")
        Path("y.yaml").write_text(TIDY, encoding="utf-8")
        done = specdl("fmt", "--check", "x.yaml", "y.yaml")
        assert (done.code, done.out) == (1, "would change x.yaml\n")
        assert specdl("fmt", "--check", "y.yaml").code == 0
        assert Path("x.yaml").read_text(encoding="utf-8") == UNTIDY

    def test_diff_shows_what_would_change(self, specdl: Command) -> None:
        Path("x.yaml").write_text(UNTIDY, encoding="utf-8")
        done = specdl("fmt", "--diff", "x.yaml")
        assert done.code == 1
        assert "+  - linear: {out_features: 4}" in done.lines()
        assert Path("x.yaml").read_text(encoding="utf-8") == UNTIDY

    def test_a_folder_means_its_specs(self, specdl: Command) -> None:
        Path("specs/blocks").mkdir(parents=True)
        for name in ("specs/a.yaml", "specs/blocks/b.yml"):
            Path(name).write_text(UNTIDY, encoding="utf-8")
        assert specdl("fmt", "specs").lines() == ["formatted specs/a.yaml", "formatted specs/blocks/b.yml"]

    def test_a_broken_file_stays_and_the_others_are_formatted(self, specdl: Command) -> None:
        Path("broken.yaml").write_text("a: [1\n", encoding="utf-8")
        Path("x.yaml").write_text(UNTIDY, encoding="utf-8")
        done = specdl("fmt", "broken.yaml", "x.yaml")
        assert (done.code, done.out) == (1, "formatted x.yaml\n")
        assert "error[E0152]" in done.err
        assert Path("broken.yaml").read_text(encoding="utf-8") == "a: [1\n"

    def test_stdin_to_stdout(self, folder: Path) -> None:
        command = [sys.executable, "-m", "specdl", "fmt", "-"]
        done = subprocess.run(command, input=UNTIDY, capture_output=True, text=True, env=environment(), check=False)
        assert (done.returncode, done.stdout) == (0, TIDY)

    def test_the_tests_own_specs_keep_their_meaning(self, specdl: Command) -> None:
        for name, text in {"tiny.yaml": TINY, "bare.yaml": BARE}.items():
            Path(name).write_text(text, encoding="utf-8")
            before = specdl("show", name, "--ir").out
            specdl("fmt", name)
            assert specdl("summary", name).code == 0
            assert [line.split("  # ")[0] for line in specdl("show", name, "--ir").lines()] == [
                line.split("  # ")[0] for line in before.splitlines()
            ]
