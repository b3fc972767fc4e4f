"""Weights of other programs: rules, strictness, files, and what is damaged."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file

import specdl
from specdl.diagnostics import SpecError
from specdl.ir.state import aliases
from specdl.weights.files import find_files, read_infos, read_tensors
from specdl.weights.load import network_tensors
from specdl.weights.rules import Plan, Rules, TensorInfo, make_plan, proposed_rename, renamed

SPEC = """specdl: 1
name: tiny
inputs: {x: [4]}
layers:
  - body = sequence:
      - linear: 8
      - relu
  - head = linear: 3
"""


def write(folder: Path, text: str = "", spec: str = SPEC) -> Path:
    path = folder / "spec.yaml"
    path.write_text(spec + text, encoding="utf-8")
    return path


def infos(**shapes: tuple[int, ...]) -> dict[str, TensorInfo]:
    return {name.replace("__", "."): TensorInfo(shape, "float32") for name, shape in shapes.items()}


def plan(ours: dict[str, TensorInfo], theirs: dict[str, TensorInfo], **rules: Any) -> Plan:
    return make_plan(ours, theirs, Rules(**{"rename": {}, **rules}))


@pytest.mark.parametrize(
    ("name", "rules", "expected"),
    [
        ("a.b", {"*": "x.*"}, "x.a.b"),
        ("module.a.b", {"module.*": "*"}, "a.b"),
        ("h.3.attn.w", {"h.*.attn.*": "layers.*.attention.*"}, "layers.3.attention.w"),
        ("a", {"b": "c", "a": "d", "*": "e.*"}, "d"),
        ("a.b", {"a.c": "x"}, "a.b"),
        ("a.b", {"a.*": "whole"}, "whole"),
        ("axb", {"a.b": "x"}, "axb"),
    ],
)
def test_renaming(name: str, rules: dict[str, str], expected: str) -> None:
    assert renamed(name, rules) == expected


def test_strict_unless_told_otherwise() -> None:
    ours, theirs = infos(a=(2,), b=(3,)), infos(a=(2,), c=(4,))
    found = plan(ours, theirs)
    assert (found.missing, found.unexpected, found.fits) == (("b",), ("c",), False)
    assert plan(ours, theirs, skip=("b",), ignore=("c",)).fits
    assert plan(ours, theirs, skip=("b",), ignore=("c", "d")).unused == (("ignore", "d"),)
    assert not plan(ours, theirs, skip=("b",)).fits
    assert not plan(ours, theirs, ignore=("c",)).fits


def test_what_is_skipped_may_be_in_the_file_with_another_shape() -> None:
    found = plan(infos(a=(2,), fc=(3,)), infos(a=(2,), fc=(9,)), skip=("fc",))
    assert found.fits
    assert (found.skipped, [match.ours for match in found.matches]) == (("fc",), ["a"])


def test_transposing() -> None:
    found = plan(infos(w=(2, 5), b=(2,)), infos(w=(5, 2), b=(2,)), transpose=("*",))
    assert found.fits
    assert [(match.ours, match.transposed) for match in found.matches] == [("w", True), ("b", False)]
    (misfit,) = plan(infos(w=(2, 5)), infos(w=(5, 2))).misfits
    assert (misfit.wanted.shape, misfit.found.shape) == ((2, 5), (5, 2))


def test_a_tied_weight_may_have_either_key_or_both() -> None:
    ours, tied = infos(embed=(9, 2)), {"head": "embed"}
    for theirs in (infos(embed=(9, 2)), infos(head=(9, 2)), infos(head=(9, 2), embed=(9, 2))):
        found = make_plan(ours, theirs, Rules({}), tied)
        assert found.fits
        assert [match.theirs for match in found.matches] == ["embed" if "embed" in theirs else "head"]


def test_near_names_and_a_prefix_are_proposed() -> None:
    found = plan(infos(encoder__weight=(2,)), infos(model__encoder__weight=(2,)))
    assert found.near == {"encoder.weight": "model.encoder.weight"}
    assert proposed_rename(["a.w", "a.b"], ["module.a.w", "module.a.b"]) == {"module.*": "*"}
    assert proposed_rename(["net.a.w", "net.a.b"], ["a.w", "a.b"]) == {"*": "net.*"}
    assert proposed_rename(["a.w"], ["a.w"]) is None
    assert proposed_rename(["a.w", "c"], ["module.a.w", "module.d"]) is None


def state() -> dict[str, torch.Tensor]:
    return {
        "body.0.weight": torch.randn(8, 4),
        "body.0.bias": torch.randn(8),
        "head.weight": torch.randn(3, 8),
        "head.bias": torch.randn(3),
    }


def test_files_of_every_kind_load_the_same(tmp_path: Path) -> None:
    tensors = state()
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save(tensors, tmp_path / "a.pt")
    torch.save({"epoch": 3, "state_dict": tensors}, tmp_path / "a.ckpt")
    names = list(tensors)
    save_file({name: tensors[name] for name in names[:2]}, tmp_path / "1.safetensors")
    save_file({name: tensors[name] for name in names[2:]}, tmp_path / "2.safetensors")
    shards = {name: "1.safetensors" if name in names[:2] else "2.safetensors" for name in names}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}), encoding="utf-8")
    for load in (
        "a.safetensors",
        "a.pt",
        "a.ckpt",
        "[1.safetensors, 2.safetensors]",
        "model.safetensors.index.json",
        str(tmp_path / "a.pt"),
    ):
        module = specdl.load(write(tmp_path, f"weights: {{load: {load}}}\n")).module()
        assert all(torch.equal(value, tensors[name]) for name, value in module.state_dict().items()), load


def test_every_rule_in_a_spec(tmp_path: Path) -> None:
    tensors = state()
    file = {f"net.{name}": value.t().contiguous() if value.dim() == 2 else value for name, value in tensors.items()}
    file["net.head.weight"] = torch.randn(99, 8)
    file["extra.mask"] = torch.ones(2)
    save_file(file, tmp_path / "a.safetensors")
    text = (
        'weights:\n  load: a.safetensors\n  rename: {"net.*": "*"}\n  transpose: ["body.*"]\n'
        '  skip: ["head.*"]\n  ignore: ["extra.*"]\n'
    )
    model = specdl.load(write(tmp_path, text))
    torch.manual_seed(0)
    fresh = model.module(weights=False).state_dict()
    torch.manual_seed(0)
    found = model.module().state_dict()
    for name in tensors:
        assert torch.equal(found[name], tensors[name] if name.startswith("body") else fresh[name]), name


def test_other_dtypes_become_the_networks(tmp_path: Path) -> None:
    tensors = {name: value.to(torch.bfloat16) for name, value in state().items()}
    save_file(tensors, tmp_path / "a.safetensors")
    module = specdl.load(write(tmp_path, "weights: {load: a.safetensors}\n")).module()
    assert all(
        value.dtype == torch.float32 and torch.equal(value, tensors[name].float())
        for name, value in module.state_dict().items()
    )


def test_everything_that_doesnt_fit_is_one_error(tmp_path: Path) -> None:
    tensors = state()
    tensors["head.weight"] = torch.randn(5, 8)
    tensors["body.0.biass"] = tensors.pop("body.0.bias")
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(SpecError) as caught:
        specdl.load(write(tmp_path, "weights: {load: a.safetensors}\n")).module()
    (item,) = caught.value.diagnostics
    assert item.code == "E0926"
    assert item.span is not None
    assert item.span.line == 9
    assert [note.message for note in item.notes] == [
        "missing: `body.0.bias` (the file has `body.0.biass`)",
        "unexpected: `body.0.biass`",
        "`head.weight` is float32[3, 8], the file's `head.weight` is float32[5, 8]",
    ]


def test_a_run_can_be_loaded(tmp_path: Path) -> None:
    text = (
        SPEC.replace("x: [4]", "image: [1, 8, 8]")
        .replace("- body", "- flatten\n  - body")
        .replace("linear: 3", "linear: 10")
    )
    path = write(tmp_path, "data: {source: digits}\nloss: cross_entropy\n", text)
    run = specdl.train(path, overrides={"train.max_steps": 2}, folder=tmp_path / "run")
    second = write(tmp_path, "weights: {load: run}\n", text)
    found = specdl.load(second).module().state_dict()
    kept = read_tensors(find_files(run.folder))
    assert found.keys() == kept.keys()
    assert all(torch.equal(found[name], kept[name]) for name in found)


def test_torchvisions_checkpoint_needs_no_rules(tmp_path: Path) -> None:
    theirs = torchvision.models.resnet18(weights=None)
    torch.save(theirs.state_dict(), tmp_path / "r.pth")
    path = tmp_path / "spec.yaml"
    path.write_text("extends: zoo:resnet\nweights: {load: r.pth}\n", encoding="utf-8")
    ours = specdl.load(path, "resnet18").module()
    assert all(torch.equal(value, ours.state_dict()[name]) for name, value in theirs.state_dict().items())


OFFERED = 'weights: {rename: {"module.*": "*"}, ignore: ["clock"]}\n'


def test_rules_without_a_file_are_for_who_names_one(tmp_path: Path) -> None:
    """They need not fit, unless the file is named beside them: a checkpoint may have one form or another."""
    base = specdl.load(write(tmp_path, OFFERED))
    base.module()  # nothing is loaded
    state = base.module().state_dict()
    save_file(state, tmp_path / "plain.safetensors")
    save_file({f"module.{key}": value for key, value in state.items()}, tmp_path / "module.safetensors")
    for name in ("plain", "module"):
        mine = tmp_path / "mine.yaml"
        mine.write_text(f"extends: spec.yaml\nweights: {{load: {name}.safetensors}}\n", encoding="utf-8")
        found = specdl.load(mine).module().state_dict()
        assert all(torch.equal(value, found[key]) for key, value in state.items())
        file = str(tmp_path / f"{name}.safetensors")
        found = specdl.load(tmp_path / "spec.yaml", overrides={"weights.load": file}).module().state_dict()
        assert all(torch.equal(value, found[key]) for key, value in state.items())
    beside = write(tmp_path, OFFERED.replace("{rename", "{load: module.safetensors, rename"))
    with pytest.raises(SpecError, match="`ignore` of `clock` fits nothing"):
        specdl.load(beside).module()


def test_gpt2s_turned_matrices_load_by_the_specs_rules(tmp_path: Path) -> None:
    """A linear layer that the other program stores turned, and a tied head without a key of its own."""
    spec = (
        "specdl: 1\ninputs: {tokens: {shape: [T], dtype: int64}}\nlayers:\n  - t = sequence:\n"
        "      - wte = embedding: {num_embeddings: 9, embedding_dim: 6}\n      - c_fc = linear: 12\n"
        "      - c_proj = linear: 6\n"
        "  - head = linear: {out_features: 9, bias: false}\ntie:\n  - head.weight: t.wte.weight\n"
        'weights:\n  load: g.safetensors\n  rename: {"*": "t.*"}\n  transpose: ["*.c_*.weight"]\n'
    )
    tensors = {
        "wte.weight": torch.randn(9, 6), "c_fc.weight": torch.randn(6, 12), "c_fc.bias": torch.randn(12),
        "c_proj.weight": torch.randn(12, 6), "c_proj.bias": torch.randn(6),
    }  # fmt: skip
    save_file(tensors, tmp_path / "g.safetensors")
    model = specdl.load(write(tmp_path, "", spec))
    module = model.module()
    found = module.state_dict()
    assert torch.equal(found["head.weight"], tensors["wte.weight"])
    assert torch.equal(found["t.c_fc.weight"], tensors["c_fc.weight"].t())
    assert aliases(model.program.functions, model.program.main)
    assert "head.weight" not in network_tensors(model.program)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("damage")
    torch.manual_seed(0)
    save_file(state(), folder / "a.safetensors")
    torch.save(state(), folder / "a.pt")
    return folder / "a.safetensors", folder / "a.pt"


class TestDamage:
    @pytest.mark.parametrize("count", [150, pytest.param(3000, marks=pytest.mark.slow)], ids=["some", "thousands"])
    @pytest.mark.parametrize("kind", [0, 1], ids=["safetensors", "pt"])
    def test_a_mutated_file_is_one_error_or_loads(
        self, files: tuple[Path, Path], tmp_path: Path, kind: int, count: int
    ) -> None:
        whole = files[kind].read_bytes()
        draw = random.Random(0)
        path = tmp_path / files[kind].name
        refused = 0
        for _ in range(count):
            data = bytearray(whole)
            if draw.random() < 0.4:
                del data[draw.randrange(len(data)) :]
            for _ in range(draw.randrange(1, 4)):
                if data:
                    data[draw.randrange(min(len(data), 2000))] = draw.randrange(256)
            path.write_bytes(bytes(data))
            try:
                found = read_tensors([path])
                assert read_infos([path]).keys() == found.keys()
            except SpecError as error:
                assert [item.code for item in error.diagnostics] == ["E0921"]
                refused += 1
        assert refused > count // 3

    def test_a_pickle_that_would_run_something_is_refused(self, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self) -> Any:
                return Path.touch, (tmp_path / "ran",)

        torch.save({"weight": Trap()}, tmp_path / "trap.pt")
        with pytest.raises(SpecError, match="E0921"):
            read_tensors([tmp_path / "trap.pt"])
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize(
        ("name", "code"),
        [("none.safetensors", "E0920"), ("empty", "E0920"), ("a.npz", "E0922"), ("x.index.json", "E0921")],
    )
    def test_what_is_no_file_of_weights(self, tmp_path: Path, name: str, code: str) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "a.npz").write_bytes(b"PK")
        (tmp_path / "x.index.json").write_text("{}", encoding="utf-8")
        with pytest.raises(SpecError, match=code):
            read_tensors(find_files(tmp_path / name))


class TestPublished:
    def test_torchvisions_name_leads_to_its_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        theirs = torchvision.models.resnet18(weights=None)
        name = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[1]
        (tmp_path / "checkpoints").mkdir()
        torch.save(theirs.state_dict(), tmp_path / "checkpoints" / name)
        path = tmp_path / "spec.yaml"
        path.write_text("extends: zoo:resnet\nweights: {load: torchvision:resnet18/IMAGENET1K_V1}\n", encoding="utf-8")
        ours = specdl.load(path, "resnet18").module().state_dict()
        assert torch.equal(ours["conv1.weight"], theirs.state_dict()["conv1.weight"])

    def test_offline_is_one_clear_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise OSError("no route to host")

        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
        with pytest.raises(SpecError, match=r"E0925.*no route to host"):
            specdl.load(
                write(tmp_path, "weights: {load: torchvision:resnet18/IMAGENET1K_V1}\n"),
            ).module()

    @pytest.mark.parametrize("name", ["torchvision:resnet18/NONE", "torchvision:resnat18", "timm:none", "hf:alone"])
    def test_unknown_names(self, tmp_path: Path, name: str) -> None:
        pytest.importorskip("timm", reason="timm isn't installed")
        with pytest.raises(SpecError, match="E0923"):
            specdl.load(write(tmp_path, f"weights: {{load: '{name}'}}\n")).module()

    def test_a_library_that_isnt_installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import importlib

        def missing(name: str) -> None:
            raise ImportError(name)

        monkeypatch.setattr(importlib, "import_module", missing)
        from specdl.weights.published import fetch

        with pytest.raises(SpecError, match=r"E0924.*needs timm"):
            fetch("timm:resnet50.a1_in1k")
