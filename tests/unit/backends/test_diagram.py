"""Diagrams: every spec's picture passes the lint, each rule of the lint can fail, files are what their names say."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from specdl.api import Model, load
from specdl.backends.diagram import emit_dot, render, render_diagram
from specdl.backends.diagram.bend import bend
from specdl.backends.diagram.build import build
from specdl.backends.diagram.dot import Direction, write_dot
from specdl.backends.diagram.geometry import Geometry, PlacedEdge
from specdl.backends.diagram.model import Drawing
from specdl.backends.diagram.paths import path_points, rounded_path
from specdl.backends.diagram.pipeline import Stage, draw_pipeline
from specdl.backends.diagram.render import lay_out, render_drawing
from specdl.backends.diagram.style import THEMES, text_width
from specdl.diagnostics import EnvironmentFailure, SpecError
from tests.conftest import CASES, SPECS, shipped_specs
from tests.unit.backends.diagram_lint import lint

AWKWARD = sorted((CASES / "diagrams").glob("*.yaml"))
MODELS = [*shipped_specs(), *sorted((CASES / "elaborate").glob("*.yaml"))]
LANGUAGE = sorted((CASES / "language").glob("*.yaml"))


def drawing_of(path: Path, variant: str | None = None) -> Drawing:
    return build(load(path, variant).program)


@pytest.fixture(scope="module")
def branches() -> tuple[Drawing, Geometry]:
    """Five branches, laid out: forks, joins, frames, labels."""
    return lay_out(drawing_of(CASES / "diagrams" / "five_branches.yaml"), "TB")


@pytest.fixture(scope="module")
def residuals() -> tuple[Drawing, Geometry]:
    """Residuals in residuals, laid out."""
    return lay_out(drawing_of(CASES / "diagrams" / "nested_residuals.yaml"), "TB")


@pytest.fixture(scope="module")
def mlp() -> Model:
    return load(SPECS / "mlp.yaml")


# ---- geometry ----------------------------------------------------------------------------------------


TURNED = {"bert", "bert_classifier", "roberta", "llama"}
"""Where what goes around a layer, or the waves, come in from the side, query, key and value may change places."""


@pytest.mark.parametrize("path", [*MODELS, *AWKWARD, *LANGUAGE], ids=lambda path: path.stem)
def test_pictures_have_no_flaws(path: Path) -> None:
    drawing, geometry = lay_out(drawing_of(path), "TB")
    flaws = lint(drawing, geometry)
    assert [flaw for flaw in flaws if path.stem not in TURNED or "out of order" not in flaw] == []


@pytest.mark.parametrize("variant", ["resnet50", "resnet152"])
def test_pictures_of_variants_have_no_flaws(variant: str) -> None:
    drawing, geometry = lay_out(drawing_of(SPECS / "resnet.yaml", variant), "TB")
    assert lint(drawing, geometry) == []


@pytest.mark.parametrize("direction", ["LR", "BT"])
@pytest.mark.parametrize("path", [CASES / "elaborate" / "googlenet.yaml", *AWKWARD], ids=lambda path: path.stem)
def test_pictures_in_other_directions_have_no_flaws(path: Path, direction: Direction) -> None:
    drawing, geometry = lay_out(drawing_of(path), direction)
    assert lint(drawing, geometry, direction) == []


def test_lint_sees_boxes_that_overlap(branches: tuple[Drawing, Geometry]) -> None:
    drawing, geometry = branches
    first, second, *_ = (box.id for box in drawing.boxes() if box.shape == "box")
    moved = replace(geometry, boxes={**geometry.boxes, first: geometry.boxes[second]})
    assert any("overlaps" in flaw for flaw in lint(drawing, moved))


def test_lint_sees_lines_through_boxes_and_out_of_the_picture(branches: tuple[Drawing, Geometry]) -> None:
    drawing, geometry = branches
    left, bottom, right, top = geometry.bounds
    path = rounded_path([(left - 50, top), (right, bottom)])
    moved = replace(geometry, edges=(PlacedEdge(path, None), *geometry.edges[1:]))
    flaws = lint(drawing, moved)
    assert any("runs through" in flaw for flaw in flaws)
    assert "a line leaves the picture" in flaws


def test_lint_sees_labels_on_lines_boxes_and_each_other(branches: tuple[Drawing, Geometry]) -> None:
    drawing, geometry = branches
    labelled = [number for number, edge in enumerate(geometry.edges) if edge.label is not None]
    first, second = labelled[:2]
    other = geometry.edges[second].label
    edges = list(geometry.edges)
    edges[first] = replace(edges[first], label=other)
    assert any("overlap" in flaw for flaw in lint(drawing, replace(geometry, edges=tuple(edges))))
    box = geometry.boxes[drawing.edges[first].head]
    edges[first] = replace(edges[first], label=(box.x, box.y))
    flaws = lint(drawing, replace(geometry, edges=tuple(edges)))
    assert any(flaw.startswith("the label") and "lies on" in flaw for flaw in flaws)
    points = geometry.lines()[second]
    edges[first] = replace(edges[first], label=points[len(points) // 2])
    flaws = lint(drawing, replace(geometry, edges=tuple(edges)))
    assert any("a line runs through the label" in flaw for flaw in flaws)


def test_lint_sees_titles_in_the_way_and_empty_frames(branches: tuple[Drawing, Geometry]) -> None:
    drawing, geometry = branches
    cluster = next(cluster for cluster in drawing.clusters() if cluster.title)
    place = geometry.clusters[cluster.id]
    assert place.label is not None
    entering = geometry.boxes[next(box.id for box in cluster.boxes())].x
    crossed = {**geometry.clusters, cluster.id: replace(place, label=(entering, place.label[1]))}
    assert any("runs through the title" in flaw for flaw in lint(drawing, replace(geometry, clusters=crossed)))
    left, bottom, right, top = place.bounds
    wide = {
        **geometry.clusters,
        cluster.id: replace(
            place, bounds=(left, bottom, right + 200, top), label=(place.label[0] + 200, place.label[1])
        ),
    }
    assert any("wider than it must be" in flaw for flaw in lint(drawing, replace(geometry, clusters=wide)))


def test_lint_sees_branches_out_of_order(branches: tuple[Drawing, Geometry]) -> None:
    drawing, geometry = branches
    fork, left, right = drawing.course.turns.tail_order[0]
    first, last = f"corner{left[0]}a", f"corner{right[-1]}a"
    boxes = {**geometry.boxes, first: geometry.boxes[last], last: geometry.boxes[first]}
    assert f"the branches around {fork} are out of order" in lint(drawing, replace(geometry, boxes=boxes))


def test_lint_sees_routes_that_touch_or_share_a_lane(residuals: tuple[Drawing, Geometry]) -> None:
    drawing, geometry = residuals
    inner, outer, *others = geometry.routes
    flaws = lint(drawing, replace(geometry, routes=(inner, replace(outer, path=inner.path), *others)))
    assert any("run along each other" in flaw for flaw in flaws)
    box = geometry.boxes[drawing.routes[0].beside[0]]
    edge = box.bounds[2] + 1.0  # one point beside the box: not through it, but too near
    beside = rounded_path([(edge, box.y + 40), (edge, box.y - 40)])
    flaws = lint(drawing, replace(geometry, routes=(replace(inner, path=beside), outer, *others)))
    assert any("touches" in flaw for flaw in flaws)


# ---- what is drawn -----------------------------------------------------------------------------------


def titles(drawing: Drawing) -> list[str]:
    return [box.title for box in drawing.boxes() if box.shape == "box"]


def test_shared_layers_are_called_by_their_own_name() -> None:
    drawing = drawing_of(CASES / "diagrams" / "shared_layers.yaml")
    towers = [box for box in drawing.boxes() if box.title == "tower"]
    assert [box.note for box in towers] == ["816 params", "shared weights", "shared weights"]


def test_runs_that_differ_in_dropout_only_are_one() -> None:
    drawing = drawing_of(CASES / "elaborate" / "convnext_tiny.yaml")
    frame = next(cluster for cluster in drawing.clusters() if cluster.title == "cn_block")
    assert frame.count == 3
    assert [cluster.title for cluster in frame.clusters() if cluster.title] == ["block"]
    assert "StochasticDepth" in titles(drawing)


def test_runs_that_differ_in_shapes_are_not_one() -> None:
    drawing = drawing_of(CASES / "elaborate" / "densenet121.yaml")
    inside = next(cluster for cluster in drawing.clusters() if cluster.title == "denseblock1")
    assert inside.count == 6
    assert [box.count for box in inside.boxes() if box.title == "dense_layer"] == [5]


def test_branches_stand_in_the_order_of_the_spec(branches: tuple[Drawing, Geometry]) -> None:
    drawing, geometry = branches
    by_title = {box.title: geometry.boxes[box.id].x for box in drawing.boxes()}
    order = ["Conv 3×3, 24", "Conv 7×1, 16", "MaxPool 3×3"]
    assert sorted(order, key=by_title.__getitem__) == order


def test_the_spine_goes_to_the_output_and_heads_for_training_leave_it() -> None:
    drawing, geometry = lay_out(drawing_of(CASES / "elaborate" / "googlenet.yaml"), "TB")
    spine = [box.id for box in drawing.boxes() if box.title in {"image", "inception4a", "inception4e", "logits"}]
    across = [geometry.boxes[name].x for name in spine]
    assert max(across) - min(across) < 2  # points: Graphviz rounds to whole ones


def test_long_skips_make_a_u() -> None:
    drawing, geometry = lay_out(drawing_of(CASES / "diagrams" / "unet.yaml"), "TB")
    assert len(drawing.routes) == 3
    for route, placed in zip(drawing.routes, geometry.routes, strict=True):
        fork, circle = geometry.boxes[route.tail], geometry.boxes[route.head]
        assert fork.y == pytest.approx(circle.y, abs=1)  # Graphviz rounds to whole points
        assert fork.x < circle.x
        assert {round(y) for _, y in path_points(placed.path)} == {round(fork.y)}
    image, *_, mask = (geometry.boxes[box.id] for box in drawing.boxes())
    lowest = min(geometry.boxes[box.id].y for box in drawing.boxes())
    assert lowest < min(image.y, mask.y)


def test_residuals_make_no_u() -> None:
    drawing = drawing_of(CASES / "diagrams" / "nested_residuals.yaml")
    assert bend(drawing) is drawing


def test_a_u_is_only_drawn_from_top_to_bottom() -> None:
    drawing, _ = lay_out(drawing_of(CASES / "diagrams" / "unet.yaml"), "LR")
    assert not any(route.across for route in drawing.routes)


def test_parameters_have_their_names_and_what_only_lends_its_size_draws_no_arrow() -> None:
    drawing = drawing_of(SPECS / "vision" / "vit.yaml")
    titles = {box.title: box.id for box in drawing.root.boxes()}
    assert {"class_token", "pos_embedding"} <= titles.keys()
    into = [edge.tail for edge in drawing.edges if edge.head == titles["Expand"]]
    assert into == [titles["class_token"]]  # and not the patches, which say how large the batch is


def test_captions_name_the_variant() -> None:
    model = load(SPECS / "resnet.yaml", "resnet50")
    assert build(model.program, title=model.title).caption == "resnet50 · 25.56 M parameters"


def test_captions_keep_the_count_however_long_the_name() -> None:
    drawing = drawing_of(CASES / "diagrams" / "long_names.yaml")
    assert drawing.caption.endswith("… · 3.5 K parameters")


def test_families_can_be_told_apart() -> None:
    for theme in THEMES.values():
        for (first, left), (second, right) in combinations(theme.families.items(), 2):
            if {first, second} & {"io", "merge"}:
                continue  # these are in no legend
            # Of 442 between black and white; the nearest of the palette, a convolution and a folded block, are 9.4
            # apart, and the latter has a badge.
            assert _distance(left[0], right[0]) > 9, f"{first} and {second} look alike"


def test_text_can_be_read_on_its_box() -> None:
    for theme in THEMES.values():
        for family, (fill, _) in theme.families.items():
            assert _contrast(theme.text, fill) >= 4.5, family  # WCAG 2, level AA


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _distance(first: str, second: str) -> float:
    return sum((a - b) ** 2 for a, b in zip(_rgb(first), _rgb(second), strict=True)) ** 0.5


def _contrast(first: str, second: str) -> float:
    def luminance(color: str) -> float:
        parts = [value / 255 for value in _rgb(color)]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, bright = sorted((luminance(first), luminance(second)))
    return (bright + 0.05) / (dark + 0.05)


def test_text_width_follows_the_font() -> None:
    # 0.556 + 0.222 + 0.833 em, from Helvetica's metrics.
    assert text_width("aim", 10) == pytest.approx(16.11)
    assert text_width("猫", 10) == pytest.approx(10)


# ---- files -------------------------------------------------------------------------------------------


def test_the_same_program_gives_the_same_bytes(mlp: Model, tmp_path: Path) -> None:
    assert emit_dot(mlp.program) == emit_dot(load(SPECS / "mlp.yaml").program)
    first, second = mlp.diagram(tmp_path / "a.svg"), mlp.diagram(tmp_path / "b.svg")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("path", [*AWKWARD, SPECS / "digits_cnn.yaml"], ids=lambda path: path.stem)
def test_svg_is_valid_and_holds_the_text(path: Path, tmp_path: Path) -> None:
    model = load(path)
    root = ET.parse(model.diagram(tmp_path / "x.svg")).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    width, height = map(float, (root.attrib["viewBox"].split())[2:])
    assert width > 0
    assert height > 0
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    for box in build(model.program).boxes():
        if box.shape == "box":
            assert box.title.replace(" ", "\N{NO-BREAK SPACE}") in texts or box.title in texts
    numbers = [value for element in root.iter() for name, value in element.attrib.items() if name in {"d", "points"}]
    assert not any("nan" in value or "inf" in value for value in numbers)


def test_svg_keeps_markup_in_names_as_text(tmp_path: Path) -> None:
    root = ET.parse(load(CASES / "diagrams" / "unicode_names.yaml").diagram(tmp_path / "x.svg")).getroot()
    text = " ".join(element.text or "" for element in root.iter()).replace("\N{NO-BREAK SPACE}", " ")
    assert 'mode <same> & "more" \\l ключ' in text
    assert "猫か犬か" in text


def test_png_has_the_resolution_that_was_asked_for(mlp: Model, tmp_path: Path) -> None:
    sizes = []
    for dpi in (75, 150):
        data = mlp.diagram(tmp_path / f"{dpi}.png", dpi=dpi).read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        sizes.append(int.from_bytes(data[16:20], "big"))
    assert sizes[1] == pytest.approx(2 * sizes[0], abs=2)  # rounded to pixels


@pytest.mark.parametrize("name", ["model.gif", "model", "model.png.txt"])
def test_an_unknown_ending_is_an_error(mlp: Model, tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecError) as error:
        mlp.diagram(tmp_path / name)
    (diagnostic,) = error.value.diagnostics
    assert diagnostic.code == "E0806"
    assert diagnostic.help is not None
    assert diagnostic.help.startswith("a diagram's file ends in one of .svg, .png, .dot")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_network_is_an_error(mlp: Model, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        render_diagram(mlp.program, tmp_path / "x.svg", network="critic")
    assert error.value.diagnostics[0].code == "E0807"
    assert error.value.diagnostics[0].help == "there is `model`"


@pytest.mark.parametrize("ending", ["dot", "svg", "png"])
def test_a_missing_folder_is_an_error(mlp: Model, tmp_path: Path, ending: str) -> None:
    target = tmp_path / "missing" / f"x.{ending}"
    with pytest.raises(EnvironmentFailure, match=r"can't write .* there is no folder"):
        mlp.diagram(target)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_the_file_is_an_error(mlp: Model, tmp_path: Path) -> None:
    (tmp_path / "x.svg").mkdir()
    with pytest.raises(EnvironmentFailure, match=r"can't write .* it is a folder"):
        mlp.diagram(tmp_path / "x.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["x.svg"]


def test_a_missing_renderer_is_an_error_but_not_for_dot(
    mlp: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "_graphviz", list)
    with pytest.raises(EnvironmentFailure, match="`pip install graphviz-pure`, or install Graphviz"):
        mlp.diagram(tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []
    assert mlp.diagram(tmp_path / "x.dot").read_text(encoding="utf-8") == emit_dot(mlp.program)


def test_a_renderer_that_fails_is_an_error(mlp: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "_graphviz", lambda: ["false"])
    with pytest.raises(EnvironmentFailure, match="Graphviz failed"):
        mlp.diagram(tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


# ---- pipelines ---------------------------------------------------------------------------------------


def test_a_pipeline_has_a_box_for_each_result(tmp_path: Path) -> None:
    stages = [
        Stage("read", "file", "data", "a note"),
        Stage("clean", "data", "data", "in place"),
        Stage("plot", "data", "figure"),
        Stage("train", "data", "model", frame="slow"),
        Stage("test", "model", "score", frame="slow"),
    ]
    drawing = draw_pipeline("science", "a caption", stages, (("block", "results"),))
    boxes = {box.title: box for box in drawing.boxes() if box.shape == "box"}
    assert list(boxes) == ["file", "data", "figure", "model", "score"]
    assert boxes["file"].family == "io"
    assert boxes["data"].lines == ("a note", "clean · in place")
    (frame,) = drawing.clusters()
    assert [box.title for box in frame.boxes()] == ["model", "score"]
    assert [edge.label for edge in drawing.edges] == ["read", "", "plot", "train", "test"]
    assert "results" in write_dot(drawing, "light", "TB")
    assert lint(*lay_out(drawing, "TB")) == []
    assert render_drawing(drawing, tmp_path / "x.svg").exists()
