"""`specdl zoo`, and `zoo:NAME` wherever a file may stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import specdl as package
from specdl.zoo import zoo, zoo_folder
from tests.conftest import ROOT, SPECS, shipped_specs
from tests.unit.cli.conftest import Command, one_error


def test_every_shipped_spec_is_in_the_index() -> None:
    shipped = {path.resolve() for path in shipped_specs()}
    short = {(SPECS / "resnet.yaml").resolve()}  # the zoo's resnet under a short path
    assert {entry.file.resolve() for entry in zoo().values()} == shipped - short


def test_the_counts_are_those_of_the_specs() -> None:
    for name, variant in (("resnet", "resnet50"), ("alexnet", None), ("efficientnet", "efficientnet_b7")):
        model = package.load(f"zoo:{name}", variant)
        assert zoo()[name].counts[variant or ""] == (model.parameters, model.cost.flops)


def test_the_list(specdl: Command) -> None:
    lines = specdl("zoo").lines()
    assert lines[0].split() == ["spec", "variant", "parameters", "FLOPs", "year", "paper"]
    (row,) = [line for line in lines if line.startswith("alexnet")]
    assert row.split()[:5] == ["alexnet", "61.10", "M", "1.43", "G"]
    assert "2012" in row
    found = json.loads(specdl("zoo", "--json").out)["specs"]
    assert [item["name"] for item in found] == list(zoo())
    resnet = next(item for item in found if item["name"] == "resnet")
    assert resnet["variants"]["resnet50"] == {
        "parameters": 25_557_032,
        "flops": package.load("zoo:resnet", "resnet50").cost.flops,
    }


def test_show_prints_the_file(specdl: Command) -> None:
    assert specdl("zoo", "show", "unet").out == (SPECS / "vision" / "unet.yaml").read_text(encoding="utf-8")


def test_copy_takes_what_is_imported_along(specdl: Command) -> None:
    assert specdl("zoo", "copy", "deeplabv3", "mine").lines() == ["wrote mine/deeplabv3.yaml", "wrote mine/resnet.yaml"]
    assert specdl("check", "mine/deeplabv3.yaml").code == 0
    Path("mine/resnet.yaml").write_text("changed", encoding="utf-8")
    one_error(specdl("zoo", "copy", "deeplabv3", "mine"), "E0031", "`mine/resnet.yaml`", "--force")
    assert Path("mine/resnet.yaml").read_text(encoding="utf-8") == "changed"
    assert specdl("zoo", "copy", "deeplabv3", "mine", "--force").code == 0
    assert specdl("check", "mine/deeplabv3.yaml").code == 0


def test_copy_brings_the_library_along(specdl: Command) -> None:
    """Shared blocks lie above a shipped spec, and beside its copy: it needs nothing else."""
    copied = sorted(specdl("zoo", "copy", "gpt2", "mine").lines())
    assert copied == ["wrote mine/blocks/transformer.yaml", "wrote mine/gpt2.yaml"]
    text = Path("mine/gpt2.yaml").read_text(encoding="utf-8")
    assert "imports: [blocks/transformer.yaml]" in text
    assert text.replace("[blocks/", "[../blocks/") == (SPECS / "text" / "gpt2.yaml").read_text(encoding="utf-8")
    assert package.load("mine/gpt2.yaml").parameters == package.load("zoo:gpt2").parameters


def test_a_spec_may_import_a_library(folder: Path, specdl: Command) -> None:
    text = (
        "specdl: 1\nname: mine\nimports: [zoo:blocks/transformer]\ninputs: {x: [T, 8]}\n"
        "layers:\n  - attention_layer: 2\n  - feed_forward\n"
    )
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    assert package.load("mine.yaml").parameters == 4 * (8 * 8 + 8) + 2 * 8 * 32 + 32 + 8
    assert not [name for name in zoo() if name.startswith("blocks")]
    (folder / "mine.yaml").write_text(text.replace("transformer]", "transfomer]"), encoding="utf-8")
    one_error(specdl("check", "mine.yaml"), "E0030", "did you mean `blocks/transformer`?")


@pytest.mark.parametrize("words", [("zoo", "show", "resnt"), ("zoo", "copy", "resnt"), ("summary", "zoo:resnt")])
def test_an_unknown_name(specdl: Command, words: tuple[str, ...]) -> None:
    one_error(specdl(*words), "E0030", "did you mean `resnet`?")


def test_a_name_stands_for_a_file(specdl: Command) -> None:
    done = specdl("summary", "zoo:resnet", "--variant", "resnet50", "--depth", "1")
    assert done.lines()[-1].startswith("25,557,032 parameters")
    one_error(specdl("check", "zoo:resnet", "params.clases=3"), "E0303", "did you mean `classes`?")


EXTENDED = "extends: zoo:mobilenet_v2\nparams: {classes: 3}\n"
IMPORTED = (
    "specdl: 1\nname: mine\nimports: [zoo:deeplabv3]\ninputs: {image: [3, 65, 65]}\n"
    "layers:\n  - deeplabv3(image): {outputs: [out], classes: 3, aux: false}\n"
)


@pytest.mark.parametrize("text", [EXTENDED, IMPORTED], ids=["extends", "imports"])
def test_a_spec_may_name_one(folder: Path, text: str) -> None:
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    model = package.load("mine.yaml")
    kept = folder / "run"
    for name, content in model.resolved_files().items():
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        (kept / name).write_text(content, encoding="utf-8")
    assert "zoo:" not in "".join(model.resolved_files().values())
    assert package.load(kept / "spec.yaml").parameters == model.parameters


def test_a_mistake_in_a_name_is_shown_at_its_place(folder: Path, specdl: Command) -> None:
    (folder / "mine.yaml").write_text(EXTENDED.replace("net_v2", "net_v3"), encoding="utf-8")
    one_error(specdl("check", "mine.yaml"), "E0030", "mine.yaml:1:10", "did you mean `mobilenet_v2`?")


def test_the_zoo_opens_no_way_out_of_it(folder: Path, specdl: Command) -> None:
    """A spec beside the zoo isn't in it, and the zoo's folder can't be named by a path."""
    relative = f"{'../' * 20}{zoo_folder().as_posix().lstrip('/')}/mlp.yaml"
    (folder / "mine.yaml").write_text(f"extends: {relative}\n", encoding="utf-8")
    one_error(specdl("check", "mine.yaml"), "E0123")


def test_the_folder_is_the_checkouts() -> None:
    assert zoo_folder() == ROOT / "specs"
