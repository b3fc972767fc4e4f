"""`imports` and `extends` on disk: paths, links, limits, and what a run keeps of them. The language itself is in
tests/cases/imports.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from specdl.api import Library, Model, check, compile_source, load
from specdl.diagnostics import SpecError
from specdl.ir.printer import print_program
from specdl.source import MAX_NODES, load_source, parse_text
from specdl.spec import imports
from tests.conftest import CASES

SPEC = "specdl: 1\nname: main\nimports: [{}]\ninputs: {{x: [4]}}\nlayers: [{}]\n"
LIBRARY = "specdl: 1\nblocks:\n  act: {layers: [relu]}\n"
BASE = """\
specdl: 1
name: base
params: {hidden: 8, classes: 2, widths: [1, 2]}
variants:
  wide: {hidden: 32}
inputs: {x: [4]}
layers:
  - linear: $hidden
  - linear: $classes
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    """Writes files; the path of `spec.yaml` among them."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "spec.yaml"


def codes(path: Path, **options: Any) -> list[str]:
    """The codes of the errors in a spec."""
    with pytest.raises(SpecError) as error:
        load(path, **options)
    return [item.code for item in error.value.diagnostics if item.severity == "error"]


class TestPaths:
    def test_a_text_without_a_file_names_no_others(self) -> None:
        for text in (SPEC.format("a.yaml", "relu"), "extends: a.yaml\n"):
            with pytest.raises(SpecError, match="a spec that is no file") as error:
                compile_source(parse_text(text))
            assert [item.code for item in error.value.diagnostics] == ["E0121"]

    def test_paths_begin_at_the_file_that_names_them(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        files = {"spec.yaml": SPEC.format("deep/a.yaml", "a"), "deep/b.yaml": LIBRARY}
        files["deep/a.yaml"] = "specdl: 1\nimports: [b.yaml]\nblocks:\n  a: {layers: [act]}\n"
        spec = write(tmp_path, files)
        monkeypatch.chdir(tmp_path / "deep")
        assert load(spec).program
        assert load("../spec.yaml").program

    def test_a_file_outside_of_the_folder_needs_leave(self, tmp_path: Path) -> None:
        spec = write(tmp_path / "mine", {"spec.yaml": SPEC.format("../shared/act.yaml", "act")})
        write(tmp_path / "shared", {"act.yaml": LIBRARY})
        assert codes(spec) == ["E0123"]
        assert load(spec, import_root=tmp_path).program

    def test_a_link_out_of_the_folder_needs_leave(self, tmp_path: Path) -> None:
        spec = write(tmp_path / "mine", {"spec.yaml": SPEC.format("act.yaml", "act")})
        write(tmp_path / "shared", {"act.yaml": LIBRARY})
        (tmp_path / "mine" / "act.yaml").symlink_to("../shared/act.yaml")
        assert codes(spec) == ["E0123"]
        assert load(spec, import_root=tmp_path).program

    def test_a_link_to_itself_is_told(self, tmp_path: Path) -> None:
        spec = write(tmp_path, {"spec.yaml": SPEC.format("act.yaml", "act")})
        (tmp_path / "act.yaml").symlink_to("act.yaml")
        assert codes(spec) == ["E0122"]

    def test_a_folder_linked_into_itself_hides_no_cycle(self, tmp_path: Path) -> None:
        spec = write(tmp_path, {"spec.yaml": "extends: again/again/spec.yaml\n"})
        (tmp_path / "again").symlink_to(".")
        assert codes(spec) == ["E0124"]

    def test_two_links_to_one_library_are_one_library(self, tmp_path: Path) -> None:
        spec = write(tmp_path, {"spec.yaml": SPEC.format("a.yaml, b.yaml", "act"), "a.yaml": LIBRARY})
        (tmp_path / "b.yaml").symlink_to("a.yaml")
        assert codes(spec) == ["E0126"]

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        spec = write(tmp_path, {"spec.yaml": SPEC.format("pipe.yaml", "act")})
        os.mkfifo(tmp_path / "pipe.yaml")
        assert codes(spec) == ["E0122"]

    @pytest.mark.parametrize("path", ["'a\\0b.yaml'", '"a\\0b.yaml"', "x" * 5000, "'.'", "'..'", "'a/'", "'\ud7ff'"])
    def test_odd_paths_are_told(self, tmp_path: Path, path: str) -> None:
        assert codes(write(tmp_path, {"spec.yaml": SPEC.format(path, "relu")}))[0] in {"E0120", "E0122", "E0123"}


class TestLimits:
    def test_number_of_files(self, tmp_path: Path) -> None:
        count = imports.MAX_FILES
        libraries = {f"l{index}.yaml": LIBRARY.replace("act", f"act{index}") for index in range(count)}
        spec = write(tmp_path, {"spec.yaml": SPEC.format(", ".join(libraries), "act0"), **libraries})
        assert codes(spec) == ["E0002"]
        spec.write_text(SPEC.format(", ".join(list(libraries)[1:]), "act1"))
        assert load(spec).program

    def test_values_of_all_files_together(self, tmp_path: Path) -> None:
        text = "specdl: 1\nparams:\n  a: &a [" + "0, " * 900 + "0]\n  b: [" + "*a, " * 99 + "*a]\nblocks:\n"
        libraries = {f"l{index}.yaml": f"{text}  act{index}: {{layers: [relu]}}\n" for index in range(3)}
        spec = write(tmp_path, {"spec.yaml": SPEC.format(", ".join(libraries), "act0"), **libraries})
        assert load_source(tmp_path / "l0.yaml").nodes > MAX_NODES * 0.9  # near what one file may have
        assert codes(spec) == ["E0002"]
        spec.write_text(SPEC.format("l0.yaml, l1.yaml", "act0"))
        assert load(spec).program

    def test_one_file(self, tmp_path: Path) -> None:
        spec = write(tmp_path, {"spec.yaml": SPEC.format("a.yaml", "relu"), "a.yaml": "#" * (1 << 20) + "\n#"})
        assert codes(spec) == ["E0002"]


def test_a_file_is_read_and_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = "specdl: 1\nimports: [shared.yaml]\nblocks:\n  {0}: {{layers: [act]}}\n"
    files = {name: library.format(name[0]) for name in ("a.yaml", "b.yaml", "c.yaml")}
    spec = write(tmp_path, {"spec.yaml": SPEC.format(", ".join(files), "a, b, c"), "shared.yaml": LIBRARY, **files})
    read: list[str] = []

    def counting(path: Any) -> Any:
        read.append(Path(path).name)
        return load_source(path)

    monkeypatch.setattr(imports, "load_source", counting)
    model = load(spec)
    assert sorted(read) == ["a.yaml", "b.yaml", "c.yaml", "shared.yaml"]
    (shared,) = {id(other.imports[0]) for other in model.spec.imports}
    assert shared


def test_an_import_that_nothing_uses_is_a_warning(tmp_path: Path) -> None:
    spec = write(tmp_path, {"spec.yaml": SPEC.format("act.yaml", "relu"), "act.yaml": LIBRARY})
    assert [item.code for item in load(spec).warnings] == ["W0002"]


class TestExtends:
    def test_variants_and_overrides_come_behind_it(self, tmp_path: Path) -> None:
        spec = write(tmp_path, {"spec.yaml": "extends: base.yaml\nparams: {classes: 3}\n", "base.yaml": BASE})
        assert load(spec).params == {"hidden": 8, "classes": 3, "widths": (1, 2)}
        model = load(spec, "wide", {"params.classes": 5, "params.widths.1": 7})
        assert model.params == {"hidden": 32, "classes": 5, "widths": (1, 7)}

    @pytest.mark.parametrize("key", ["extends", "imports", "imports.0"])
    def test_the_files_of_a_spec_are_no_override(self, tmp_path: Path, key: str) -> None:
        files = {"spec.yaml": "extends: base.yaml\nimports: [act.yaml]\n", "base.yaml": BASE, "act.yaml": LIBRARY}
        assert codes(write(tmp_path, files), overrides={key: "other.yaml"}) == ["E0303"]

    def test_null_is_a_value_among_parameters(self, tmp_path: Path) -> None:
        base = BASE + "blocks:\n  b:\n    params: {a: 1}\n    layers: [linear: $(3 if a == null else 4)]\n"
        spec = write(tmp_path, {"base.yaml": base, "spec.yaml": ""})
        spec.write_text("extends: base.yaml\nparams: {widths: null}\nblocks: {b: {params: {a: null}}}\nlayers: [b]\n")
        model = load(spec)
        assert model.params["widths"] is None
        assert [str(type) for type in model.program.main.output_types()] == ["[N, 3]"]

    def test_optimizers_of_several_networks_stand_beside_each_other(self) -> None:
        from specdl.spec.extends import _choices, _merge

        base = {"models": {"g": {}, "d": {}}, "optimizer": {"g": {"adam": {"lr": 1}}, "d": {"adam": {}}}}
        over = {"optimizer": {"g": {"sgd": {}}, "e": {"adam": {}}}, "models": {"e": {}}}
        tree = parse_text("{}").spans
        merged, _ = _merge(base, tree, over, tree, (), _choices(base, over))
        assert merged["optimizer"] == {"g": {"sgd": {}}, "d": {"adam": {}}, "e": {"adam": {}}}


def test_a_network_that_gives_a_part_has_no_other_weights() -> None:
    model = load(CASES / "imports" / "network" / "spec.yaml")
    keys = set(model.module().state_dict())
    assert {key.split(".")[1] for key in keys if key.startswith("backbone.")} == {"stage1", "stage2"}
    assert not any("side" in key or "logits" in key for key in keys)


def test_a_library_is_checked_but_not_compiled() -> None:
    path = CASES / "imports" / "library" / "blocks" / "conv.yaml"
    assert isinstance(check(path), Library)
    assert codes(path) == ["E0127"]


@pytest.mark.parametrize(
    "name", sorted(path.parent.name for path in (CASES / "imports").glob("*/spec.yaml")), ids=lambda name: name
)
def test_what_a_run_keeps_needs_nothing_else(name: str, tmp_path: Path) -> None:
    model = load(CASES / "imports" / name / "spec.yaml")
    files = model.resolved_files()
    assert list(files)[-1] == "spec.yaml"
    again = check(write(tmp_path, files))
    assert isinstance(again, Model)
    assert _without_places(print_program(again.program)) == _without_places(print_program(model.program))
    assert again.resolved_files() == files


def _without_places(text: str) -> str:
    return "\n".join(line.split("  #")[0] for line in text.splitlines())


def test_files_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    other = LIBRARY.replace("act", "other").replace("relu", "tanh")
    files = {"spec.yaml": SPEC.format("a/blocks.yaml, b/blocks.yaml", "act, other"), "a/blocks.yaml": LIBRARY}
    model = load(write(tmp_path, {**files, "b/blocks.yaml": other}))
    assert list(model.resolved_files()) == ["imports/blocks.yaml", "imports/blocks_2.yaml", "spec.yaml"]
