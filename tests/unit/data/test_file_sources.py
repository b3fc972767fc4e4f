"""Sources of files: what they give is what is there, and what is wrong is said before anything is decoded."""

from __future__ import annotations

import csv
import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from specdl.data.examples import Records, Stacked
from specdl.data.fields import FieldSpec
from specdl.data.images import Unreadable
from specdl.data.records import FileRecords
from specdl.data.sources import SOURCES, Source
from specdl.data.sources.idx import FashionMnist, Mnist
from specdl.diagnostics import SpecError
from specdl.ops.base import TypeRuleError
from tests.unit.data.pictures import digit_folder, noise

LABEL: dict[str, Any] = {"shape": [], "dtype": "int64"}


def source(kind: str, fields: dict[str, Any] | None = None, parts: str | None = None, **arguments: Any) -> Source:
    """A source as a spec would make it."""
    wanted = {
        key: FieldSpec.model_validate({"shape": value} if isinstance(value, list) else value)
        for key, value in (fields or {}).items()
    }
    made = SOURCES[kind].model_validate(
        {key: str(value) if isinstance(value, Path) else value for key, value in arguments.items()}
    )
    made = made.with_fields(wanted)
    return made if parts is None else made.with_parts(parts)


def check_declared(made: Source, loaded: Stacked | Records) -> None:
    """What is loaded has the declared fields."""
    example = {name: t[0] for name, t in loaded.fields.items()} if isinstance(loaded, Stacked) else loaded.get(0)
    assert list(example) == list(made.fields())
    for name, type in made.fields().items():
        assert str(example[name].dtype) == f"torch.{type.dtype}"
        assert example[name].dim() == type.rank - 1
        assert all(a == b for a, b in zip(example[name].shape, type.shape[1:], strict=True) if isinstance(b, int))


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image for each of a thousand classes, none of them square."""
    root = tmp_path_factory.mktemp("imagenet")
    for number in range(1000):
        folder = root / "train" / f"n{number:08}"
        folder.mkdir(parents=True)
        Image.fromarray(noise(12, 30, 3)).save(folder / "a.png")
    held_out = root / "val" / "n00000283"
    held_out.mkdir(parents=True)
    Image.fromarray(noise(300, 400, 3)).save(held_out / "a.png")
    return root


class TestImagenet:
    def test_squares_of_one_size(self, imagenet: Path) -> None:
        made = source("imagenet", root=imagenet)
        loaded = made.load()
        check_declared(made, loaded)
        assert made.fields()["image"].shape[1:] == (3, 224, 224)
        assert loaded.classes["label"][283] == "Persian cat"
        assert len(made.classes("label") or ()) == 1000
        assert loaded.parts is not None
        (at,) = loaded.parts["validation"].tolist()
        assert not isinstance(loaded, Stacked)
        example = loaded.get(at)
        assert int(example["label"]) == 283
        weights = pytest.importorskip("torchvision.models").MobileNet_V2_Weights.IMAGENET1K_V1
        with Image.open(imagenet / "val" / "n00000283" / "a.png") as image:
            reference = weights.transforms(mean=[0.0] * 3, std=[1.0] * 3)(image)
        # Pillow scales bytes, and rounds along each direction: half of 1/255 twice. Here numbers are scaled.
        torch.testing.assert_close(example["image"], reference, rtol=0, atol=1.01 / 255)

    def test_images_as_they_are(self, imagenet: Path) -> None:
        made = source("imagenet", root=imagenet, size=None)
        loaded = made.load()
        check_declared(made, loaded)
        assert not isinstance(loaded, Stacked)
        assert loaded.get(0)["image"].shape == (3, 12, 30)

    def test_another_number_of_classes(self, tmp_path: Path) -> None:
        digit_folder(tmp_path, 20)
        with pytest.raises(SpecError, match="classes, ImageNet 1,000"):
            source("imagenet", root=tmp_path).load()


class TestImageFolder:
    def test_classes_in_order_and_files_of_all_kinds(self, tmp_path: Path) -> None:
        for name in (
            "zebra/1.PNG",
            "ant/a.png",
            "ant/deep/er/b.jpeg",
            "ant/notes.txt",
            "ant/.hidden.png",
            ".git/x.png",
        ):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(4, 6, 3)).save(tmp_path / name, "PNG")
        made = source("image_folder", root=tmp_path)
        loaded = made.load()
        assert isinstance(loaded, FileRecords)
        check_declared(made, loaded)
        assert loaded.classes == {"label": ("ant", "zebra")}
        names = [Path(loaded.name(at)).relative_to(tmp_path).as_posix() for at in range(len(loaded))]
        assert names == ["ant/a.png", "ant/deep/er/b.jpeg", "zebra/1.PNG"]
        assert loaded.column("label").tolist() == [0, 0, 1]  # type: ignore[union-attr]
        assert loaded.parts is None
        assert loaded.get(2)["image"].shape == (3, 4, 6)

    def test_torchvision_finds_the_same(self, tmp_path: Path) -> None:
        from torchvision.datasets import ImageFolder

        digit_folder(tmp_path, 30)
        loaded = source("image_folder", root=tmp_path).load()
        assert isinstance(loaded, FileRecords)
        expected = ImageFolder(str(tmp_path))
        assert [(loaded.name(at), int(loaded.get(at)["label"])) for at in range(30)] == expected.samples
        assert loaded.classes["label"] == tuple(expected.classes)

    def test_parts_in_folders(self, tmp_path: Path) -> None:
        for part, count in (("train", 40), ("val", 30), ("test", 30)):
            digit_folder(tmp_path / part, count)
        loaded = source("image_folder", root=tmp_path).load()
        assert loaded.parts is not None
        assert {part: len(at) for part, at in loaded.parts.items()} == {"test": 30, "train": 40, "validation": 30}
        for part, folder in (("train", "train"), ("validation", "val"), ("test", "test")):
            for at in loaded.parts[part].tolist():
                assert Path(loaded.name(at)).parts[-3] == folder  # type: ignore[union-attr]

    def test_what_is_wrong(self, tmp_path: Path) -> None:
        digit_folder(tmp_path / "photos", 20)
        (tmp_path / "photos" / "x").mkdir()
        (tmp_path / "flat").mkdir()
        for root, words in (("photo", "did you mean"), ("photos", "without an image: `x`"), ("flat", "no folders")):
            with pytest.raises(SpecError, match="E0531") as caught:
                source("image_folder", root=tmp_path / root).load()
            item = caught.value.diagnostics[0]
            assert words in f"{item.message} {item.help}"

    def test_declared_classes(self, tmp_path: Path) -> None:
        digit_folder(tmp_path, 20)
        names = [str(number) for number in reversed(range(10))]
        made = source("image_folder", {"label": {**LABEL, "classes": names}}, root=tmp_path)
        assert made.classes("label") == tuple(names)
        labels = made.load().column("label")
        assert labels is not None
        assert labels.tolist()[0] == 0  # the first class is `9` now
        with pytest.raises(SpecError, match="differ in `9`"):
            source("image_folder", {"label": {**LABEL, "classes": names[1:]}}, root=tmp_path).load()

    def test_fields_that_it_can_not_give(self) -> None:
        for fields in ({"mask": [3, "H", "W"]}, {"label": []}, {"image": [2, "H", "W"]}, {"image": ["H"]}):
            with pytest.raises(TypeRuleError):
                source("image_folder", fields, root="x")


class TestCsv:
    def table(self, folder: Path, rows: list[list[Any]], name: str = "table.csv") -> Path:
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        return folder / name

    def test_paths_names_and_numbers(self, tmp_path: Path) -> None:
        (tmp_path / "images").mkdir()
        for number in range(3):
            Image.fromarray(noise(4, 5 + number, 3, seed=number)).save(tmp_path / "images" / f"{number}.png")
        rows = [
            ["image", "gender", "age", "x", "y"],
            *([f"images/{n}.png", "fmf"[n], 20 + n, n, n / 2] for n in range(3)),
        ]
        fields = {
            "image": [3, "H", "W"],
            "label": {**LABEL, "column": "gender"},
            "age": {"shape": []},
            "point": {"shape": [2], "column": ["y", "x"]},
        }
        made = source("csv", fields, file=self.table(tmp_path, rows))
        loaded = made.load()
        check_declared(made, loaded)
        assert isinstance(loaded, FileRecords)
        assert loaded.classes == {"label": ("f", "m")}
        assert loaded.column("label").tolist() == [0, 1, 0]  # type: ignore[union-attr]
        example = loaded.get(2)
        assert (example["image"].shape, float(example["age"])) == ((3, 4, 7), 22.0)
        assert example["point"].tolist() == [1.0, 2.0]

    def test_pixels_in_columns_of_a_packed_table_without_a_header(self, tmp_path: Path) -> None:
        pixels = noise(5, 12)
        with gzip.open(tmp_path / "mnist.csv.gz", "wt") as file:
            for row, label in zip(pixels, (3, 1, 0, 2, 3), strict=True):
                file.write(",".join(map(str, [*row, label])) + "\n")
        for columns, label in (([str(at) for at in range(12)], "12"), (":-1", "-1"), ("0:12", "12")):
            fields = {"image": {"shape": [1, 3, 4], "column": columns}, "label": {**LABEL, "column": label}}
            loaded = source("csv", fields, file=tmp_path / "mnist.csv.gz", header=False).load()
            assert isinstance(loaded, Stacked)
            assert torch.equal(loaded.fields["image"], torch.from_numpy(pixels).float().view(5, 1, 3, 4))
            assert loaded.fields["label"].tolist() == [3, 1, 0, 2, 3]
            assert loaded.classes == {}

    def test_a_pattern_of_columns_and_parts(self, tmp_path: Path) -> None:
        rows = [["a1", "part", "a2", "b"], [1, "train", 2, 3], [4, "val", 5, 6], [7, "Train", 8, 9], [1, "test", 1, 1]]
        fields = {"x": {"shape": [2], "column": "a*"}, "b": {"shape": [], "dtype": "int32"}}
        loaded = source("csv", fields, "part", file=self.table(tmp_path, rows)).load()
        assert isinstance(loaded, Stacked)
        assert loaded.fields["x"].tolist() == [[1, 2], [4, 5], [7, 8], [1, 1]]
        assert loaded.parts is not None
        assert {part: at.tolist() for part, at in loaded.parts.items()} == {
            "train": [0, 2],
            "validation": [1],
            "test": [3],
        }

    def test_classes_that_the_spec_names(self, tmp_path: Path) -> None:
        file = self.table(tmp_path, [["kind"], ["cat"], ["dog"], ["cat"]])
        fields: dict[str, Any] = {"kind": {**LABEL, "classes": ["dog", "cat"]}}
        loaded = source("csv", fields, file=file).load()
        assert loaded.column("kind").tolist() == [1, 0, 1]  # type: ignore[union-attr]
        assert loaded.classes == {"kind": ("dog", "cat")}
        names = tmp_path / "names.txt"
        names.write_text("dog\ncat\nbird\n")
        assert source("csv", {"kind": {**LABEL, "classes": str(names)}}, file=file).classes("kind") == (
            "dog",
            "cat",
            "bird",
        )
        fields["kind"]["classes"] = ["dog", "cats"]
        with pytest.raises(SpecError, match="`cat`, which the spec's classes lack"):
            source("csv", fields, file=file).load()

    @pytest.mark.parametrize(
        ("rows", "words"),
        [
            ([["image", "label"], ["a.png"], ["b.png", "1", "2"]], "no row of"),
            ([["image", "lable"], ["a.png", "1"]], "did you mean `lable`"),
            ([["image", "label"], ["a.png", ""]], "nothing in row 1"),
            ([["image", "label"], ["", "1"]], "line 2 of"),
            ([["image", "image"], ["a", "b"]], "two columns"),
            ([["image", "label"]], "no rows"),
            ([["image;label"], ["a;1"]], 'delimiter: ";"'),
            ([["image", "label"], ["a.png", "-1"], ["b.png", "0"]], "counts from 0"),
        ],
    )
    def test_what_is_wrong_with_a_table(self, tmp_path: Path, rows: list[list[str]], words: str) -> None:
        made = source("csv", {"image": [3, "H", "W"], "label": LABEL}, file=self.table(tmp_path, rows))
        with pytest.raises(SpecError, match="E0531") as caught:
            made.load()
        item = caught.value.diagnostics[0]
        assert words in f"{item.message} {item.help}"

    def test_cells_that_hold_no_number_are_listed(self, tmp_path: Path) -> None:
        file = self.table(tmp_path, [["x"], ["1"], ["nan"], ["two"], ["4"]])
        with pytest.raises(SpecError, match="line 3 has `nan` in `x`; line 4 has `two` in `x`"):
            source("csv", {"x": []}, file=file).load()

    def test_fields_that_a_table_can_not_hold(self) -> None:
        for fields in ({}, {"x": ["T"]}, {"x": [3]}, {"x": {"shape": [2], "column": ["a"]}}):
            with pytest.raises(TypeRuleError):
                source("csv", fields, file="x.csv")


class TestFiles:
    FIELDS = {
        "image": {"shape": [3, "H", "W"], "files": "*.png"},
        "mask": {"shape": ["H", "W"], "dtype": "int64", "files": "*_inst.png"},
    }

    def pair(self, folder: Path, name: str, size: tuple[int, int] = (4, 5), mask: tuple[int, int] = (4, 5)) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(*size, 3)).save(folder / f"{name}.png")
        Image.fromarray(noise(*mask).astype(np.uint16)).save(folder / f"{name}_inst.png")

    def test_pairs_by_their_names(self, tmp_path: Path) -> None:
        for name in ("b", "a", "c_inst_2"):
            self.pair(tmp_path, name)
        made = source("files", self.FIELDS, root=tmp_path)
        loaded = made.load()
        assert isinstance(loaded, FileRecords)
        check_declared(made, loaded)
        assert [Path(loaded.name(at)).name for at in range(len(loaded))] == ["a.png", "b.png", "c_inst_2.png"]
        assert loaded.get(0)["mask"].max() > 0

    def test_folders_of_their_own_and_parts(self, tmp_path: Path) -> None:
        for part in ("train", "val"):
            for folder in ("images", "masks"):
                (tmp_path / part / folder).mkdir(parents=True)
                Image.fromarray(noise(3, 3)).save(tmp_path / part / folder / f"{part}.png")
        fields = {
            "image": {"shape": [1, "H", "W"], "files": "images/*.png"},
            "mask": {"shape": ["H", "W"], "dtype": "int64", "files": "masks/*.png"},
        }
        loaded = source("files", fields, root=tmp_path).load()
        assert loaded.parts is not None
        assert {part: at.tolist() for part, at in loaded.parts.items()} == {"train": [0], "validation": [1]}

    def test_a_file_without_its_other(self, tmp_path: Path) -> None:
        self.pair(tmp_path, "a")
        self.pair(tmp_path, "b")
        (tmp_path / "b_inst.png").unlink()
        with pytest.raises(SpecError, match=r"lacks `b_inst\.png`"):
            source("files", self.FIELDS, root=tmp_path).load()

    def test_a_mask_of_another_size_is_a_bad_example(self, tmp_path: Path) -> None:
        self.pair(tmp_path, "a", mask=(4, 4))
        loaded = source("files", self.FIELDS, root=tmp_path).load()
        assert isinstance(loaded, FileRecords)
        with pytest.raises(Unreadable, match="`W` is 5 in `image`, 4 in `mask`"):
            loaded.get(0)

    def test_an_example_whose_mask_is_bad_names_it(self, tmp_path: Path) -> None:
        self.pair(tmp_path, "a")
        (tmp_path / "a_inst.png").write_bytes(b"")
        loaded = source("files", self.FIELDS, root=tmp_path).load()
        assert isinstance(loaded, FileRecords)
        for look in (loaded.inspect, loaded.get):
            with pytest.raises(Unreadable, match=r"its mask `.*a_inst\.png` is empty"):
                look(0)


class TestNpz:
    def test_bytes_layouts_words_and_parts(self, tmp_path: Path) -> None:
        images, words = noise(6, 4, 5, 3), np.array(list("abcabc"))
        parts = np.array(["train"] * 4 + ["val"] * 2)
        np.savez(
            tmp_path / "data.npz", x=images, y=words, grey=images[..., 0], part=parts, wide=images.astype(np.uint16)
        )
        fields = {
            "image": {"shape": [3, 4, 5], "column": "x"},
            "label": {**LABEL, "column": "y"},
            "grey": {"shape": [1, 4, 5], "dtype": "uint8"},
            "wide": {"shape": [4, 5, 3], "dtype": "int64"},
        }
        made = source("npz", fields, "part", file=tmp_path / "data.npz")
        loaded = made.load()
        assert isinstance(loaded, Stacked)
        check_declared(made, loaded)
        assert torch.equal(loaded.fields["image"], torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
        assert torch.equal(loaded.fields["grey"][:, 0], torch.from_numpy(images[..., 0]))
        assert torch.equal(loaded.fields["wide"], torch.from_numpy(images).long())
        assert loaded.classes == {"label": ("a", "b", "c")}
        assert loaded.parts is not None
        assert loaded.parts["validation"].tolist() == [4, 5]

    @pytest.mark.parametrize(
        ("field", "words"),
        [
            ({"shape": [4, 4]}, "examples of [4, 5]"),
            ({"shape": [4, 5], "column": "objects"}, "can't be read"),
            ({"shape": [4, 5], "dtype": "int64", "column": "floats"}, "holds float64"),
            ({"shape": [4, 5], "column": "holes"}, "NaN"),
            ({"shape": [4, 5], "dtype": "int8"}, "int8 can't hold"),
            ({"shape": [4, 5], "column": "floatss"}, "did you mean `floats`"),
        ],
    )
    def test_what_would_have_to_be_guessed_is_refused(self, tmp_path: Path, field: dict[str, Any], words: str) -> None:
        floats = noise(3, 4, 5) / 7.0
        arrays = {"x": noise(3, 4, 5), "objects": np.array([{}, 1, "a"], dtype=object), "floats": floats}
        np.savez(tmp_path / "data.npz", allow_pickle=True, **arrays, holes=np.where(floats > 20, np.nan, floats))
        made = source("npz", {"x": field}, file=tmp_path / "data.npz")
        with pytest.raises(SpecError, match="E0531") as caught:
            made.load()
        item = caught.value.diagnostics[0]
        assert words in f"{item.message} {item.help}"


def write_idx(folder: Path, counts: dict[str, int], packed: bool = True) -> dict[str, np.ndarray]:
    """The files of MNIST with random pictures; gives the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for prefix, count in counts.items():
        found[prefix] = noise(count, 28, 28, seed=count)
        for name, array in (
            (f"{prefix}-images-idx3-ubyte", found[prefix]),
            (f"{prefix}-labels-idx1-ubyte", np.arange(count) % 10),
        ):
            head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            content = head + array.astype(np.uint8).tobytes()
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return found


class TestIdx:
    @pytest.mark.parametrize("packed", [True, False])
    def test_both_parts(self, tmp_path: Path, packed: bool) -> None:
        written = write_idx(tmp_path, {"train": 20, "t10k": 10}, packed)
        made = Mnist(root=str(tmp_path))
        loaded = made.load()
        assert isinstance(loaded, Stacked)
        check_declared(made, loaded)
        np.testing.assert_array_equal(loaded.fields["image"][20:, 0].numpy() * 255, written["t10k"])
        assert loaded.parts is not None
        assert loaded.parts["test"].tolist() == list(range(20, 30))
        assert loaded.fields["label"].tolist() == [*range(10), *range(10), *range(10)]

    def test_torchvision_reads_the_same(self, tmp_path: Path) -> None:
        write_idx(tmp_path / "MNIST" / "raw", {"train": 20, "t10k": 10}, packed=False)
        ours = Mnist(root=str(tmp_path / "MNIST" / "raw")).load()
        made = source("torchvision", name="MNIST", root=tmp_path, download=False)
        theirs = made.load()
        check_declared(made, theirs)
        assert isinstance(ours, Stacked)
        assert not isinstance(theirs, Stacked)
        assert torch.equal(theirs.get(25)["image"], ours.fields["image"][25])
        assert torch.equal(theirs.column("label"), ours.fields["label"])  # type: ignore[arg-type]
        assert theirs.parts is not None
        assert {part: len(at) for part, at in theirs.parts.items()} == {"train": 20, "test": 10}
        assert theirs.classes["label"][3] == "3 - three"

    @pytest.mark.parametrize("damage", ["cut", "missing", "label"])
    def test_what_is_wrong(self, tmp_path: Path, damage: str) -> None:
        write_idx(tmp_path, {"train": 20, "t10k": 10}, packed=False)
        file = tmp_path / "t10k-labels-idx1-ubyte"
        content = file.read_bytes()
        if damage == "missing":
            file.unlink()
        else:
            file.write_bytes(content[:-1] if damage == "cut" else content[:-1] + b"\x0b")
        words = {"cut": "cut off", "missing": "has no `t10k-labels", "label": "the label 11"}
        with pytest.raises(SpecError, match=words[damage]):
            FashionMnist(root=str(tmp_path)).load()


def test_torchvision_without_its_data_says_so(tmp_path: Path) -> None:
    made = source("torchvision", name="CIFAR10", root=tmp_path, download=False)
    with pytest.raises(SpecError, match=r"E0537.*can't get `CIFAR10`"):
        made.load()


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name=name.partition(".")[0])

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(SpecError, match=r"E0536.*needs the package `torchvision`") as caught:
        source("torchvision", name="MNIST", root=tmp_path).load()
    assert "pip install 'specdl[vision]'" in str(caught.value.diagnostics[0].help)


def test_decoded_images_are_kept_as_far_as_there_is_room(tmp_path: Path) -> None:
    digit_folder(tmp_path, 20)
    loaded = source("image_folder", {"image": [1, "H", "W"]}, root=tmp_path).load()
    assert isinstance(loaded, FileRecords)
    loaded.keep(10 * 64)
    first = [loaded.get(at)["image"] for at in range(20)]
    for file in tmp_path.glob("*/*.png"):
        file.unlink()
    for at in range(10):
        assert torch.equal(loaded.get(at)["image"], first[at])
    with pytest.raises(Unreadable):
        loaded.get(10)
