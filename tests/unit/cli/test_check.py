"""`specdl check`: what it says of right specs, of wrong ones, and of wrong command lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import SPECS
from tests.unit.cli.conftest import Command, one_error


def test_right_specs_exit_0(specdl: Command) -> None:
    done = specdl("check", "tiny.yaml", SPECS / "resnet.yaml")
    assert done.code == 0
    assert done.lines() == ["tiny.yaml: ok, 1,210 parameters", f"{SPECS / 'resnet.yaml'}: ok, 11.69 M parameters"]
    assert done.err == ""


def test_one_wrong_spec_among_several_exits_1(specdl: Command) -> None:
    Path("wrong.yaml").write_text("specdl: 1\ninputs: {x: [4]}\nlayers: [lnear: 2]\n")
    done = specdl("check", "tiny.yaml", "wrong.yaml", "nowhere.yaml", "bare.yaml")
    assert done.code == 1
    assert done.lines() == ["tiny.yaml: ok, 1,210 parameters", "bare.yaml: ok, 650 parameters"]
    assert "did you mean `linear`?" in done.err
    assert "there is no file `nowhere.yaml`" in done.err


def test_a_variant_and_an_override_count(specdl: Command) -> None:
    assert specdl("check", "tiny.yaml", "--variant", "small").lines() == ["tiny.yaml: ok, 310 parameters"]
    done = specdl("check", "tiny.yaml", "--variant", "small", "params.classes=12")
    assert done.lines() == ["tiny.yaml: ok, 320 parameters"]


def test_json_of_a_right_spec(specdl: Command) -> None:
    done = specdl("check", "tiny.yaml", "--format", "json")
    assert (done.code, json.loads(done.out)) == (0, {"ok": True, "diagnostics": []})


def test_json_of_wrong_specs_has_every_mistake_with_its_place(specdl: Command) -> None:
    Path("wrong.yaml").write_text("specdl: 1\ninputs: {x: [4]}\nlayers:\n  - lnear: 2\n  - linear: two\n")
    done = specdl("check", "wrong.yaml", "nowhere.yaml", "--format", "json")
    assert (done.code, done.err) == (1, "")
    found = json.loads(done.out)
    assert found["ok"] is False
    places = [(item["file"], item["line"], item["column"]) for item in found["diagnostics"]]
    assert places == [("wrong.yaml", 4, 5), ("wrong.yaml", 5, 13), (None, None, None)]
    assert found["diagnostics"][0]["help"] == "did you mean `linear`?"
    assert set(found["diagnostics"][0]) == {
        "code", "severity", "message", "label", "file", "line", "column", "end_line", "end_column", "notes", "help",
    }  # fmt: skip


BAD_FILES: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "E0100", "`bad.yaml` is empty"),
    "only a comment": (b"# nothing\n", "E0100", "`bad.yaml` is empty"),
    "a list": (b"- 1\n", "E0100", "`bad.yaml` is not a mapping"),
    "not UTF-8": (b"specdl: 1\nname: \xff\xfe\n", "E0003", "isn't UTF-8 text"),
    "not YAML": (b"specdl: [1\nname: x\n", "E0152", "never closes"),
    "a control character": (b"specdl: 1\nname: \x01\n", "E0004", "not YAML"),
    "a tag": (b"specdl: 1\nname: !!python/object/apply:os.system [ls]\n", "E0007", "a spec holds plain data"),
    "two documents": (b"specdl: 1\n---\nspecdl: 1\n", "E0005", "one YAML document"),
    "too deep": (b"x: " + b"[" * 5000, "E0002", "deeper than"),
    "too large": (b"#" * (1 << 20) + b"\n#", "E0002", "bytes"),
    "an unknown operator": (b"specdl: 1\ninputs: {x: [4]}\nlayers: [lnear: 2]\n", "E0205", "did you mean `linear`?"),
    "a wrong type": (b"specdl: 1\ninputs: {x: [4]}\nlayers: [linear: two]\n", "E0203", "expected an integer"),
    "a shape": (b"specdl: 1\ninputs: {x: [4]}\nlayers: [max_pool2d: 2]\n", "E0204", "[N, 4]"),
    "a cycle": (
        b"specdl: 1\ninputs: {x: [4]}\nblocks:\n  a: {layers: [b]}\n  b: {layers: [a]}\nlayers: [a]\n",
        "E0309",
        "the block `a` calls itself: a → b → a",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "code", "words"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_is_one_error(specdl: Command, content: bytes, code: str, words: str) -> None:
    Path("bad.yaml").write_bytes(content)
    one_error(specdl("check", "bad.yaml"), code, words)


def test_a_missing_file_gets_the_nearest_name(specdl: Command) -> None:
    one_error(specdl("check", "tiny.yml"), "E0001", "there is no file `tiny.yml`", "did you mean `tiny.yaml`?")


def test_a_folder_is_no_spec(specdl: Command) -> None:
    Path("models").mkdir()
    one_error(specdl("check", "models"), "E0001", "`models` is a folder")


def test_an_unknown_variant_gets_the_nearest_name(specdl: Command) -> None:
    one_error(specdl("check", "tiny.yaml", "--variant", "smal"), "E0302", "`smal`", "did you mean `small`?")
    one_error(specdl("check", "bare.yaml", "--variant", "small"), "E0302", "it has no variants")


def test_a_network_with_fewer_scores_than_classes(specdl: Command) -> None:
    one_error(specdl("check", "tiny.yaml", "params.classes=9"), "E0511", "9 classes", "`label` of `digits` has 10")


def test_the_first_word_is_a_file_whatever_its_name(specdl: Command) -> None:
    Path("lr=3.yaml").write_text(Path("bare.yaml").read_text())
    assert specdl("check", "lr=3.yaml", "name=other").lines() == ["lr=3.yaml: ok, 650 parameters"]
    assert specdl("summary", "lr=3.yaml", "name=other").out.startswith("other: ")


def test_a_library_is_checked_by_itself(specdl: Command) -> None:
    Path("blocks.yaml").write_text("specdl: 1\nblocks:\n  a: {layers: [relu]}\n  b: {layers: [a]}\n")
    assert specdl("check", "blocks.yaml").lines() == ["blocks.yaml: ok, 2 blocks"]
    assert json.loads(specdl("check", "blocks.yaml", "--format", "json").out) == {"ok": True, "diagnostics": []}
    one_error(specdl("summary", "blocks.yaml"), "E0127", "has blocks only")


def test_imports_from_elsewhere_are_allowed_on_the_command_line(specdl: Command, folder: Path) -> None:
    Path("mine").mkdir()
    Path("mine/spec.yaml").write_text("extends: ../tiny.yaml\n")
    one_error(specdl("check", "mine/spec.yaml"), "E0123", "--import-root")
    for command in ("check", "summary", "eject"):
        assert specdl(command, "mine/spec.yaml", "--import-root", folder).code == 0
    assert specdl("check", "mine/spec.yaml", "--import-root", "nowhere").code == 2


def test_json_says_which_file(specdl: Command) -> None:
    Path("spec.yaml").write_text("extends: tiny.yaml\nparams: {hidden: many}\n")
    done = specdl("check", "spec.yaml", "--format", "json")
    assert [(item["file"], item["line"]) for item in json.loads(done.out)["diagnostics"]] == [("tiny.yaml", 11)]
