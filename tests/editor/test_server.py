"""The schema in yaml-language-server, as VS Code, Neovim and others run it: proposals, explanations, mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from specdl.spec.schema import schema_text
from specdl.templates import project_files, template_names
from tests.conftest import CASES, SPECS
from tests.editor.server import Server, find_server, running

COMMAND = find_server()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COMMAND is None, reason="needs Node.js and yaml-language-server: npm install, see the Makefile"),
]

MODELINE = "# yaml-language-server: $schema=./specdl.schema.json\n"
HEADER = MODELINE + "specdl: 1\nname: test\ninputs: {image: [1, 8, 8]}\nlayers:\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("editor")
    (folder / "specdl.schema.json").write_text(schema_text(), encoding="utf-8")
    assert COMMAND is not None
    with running(COMMAND, folder) as found:
        yield found


def place(server: Server, text: str) -> tuple[Path, int, int]:
    """Opens a spec with these lines after `layers:`; gives the file and the place of `|` in it."""
    whole = HEADER + text
    before, _, after = whole.partition("|")
    path = server.folder / f"{server.number}.yaml"
    server.open(path, before + after)
    return path, before.count("\n"), len(before.rsplit("\n", 1)[-1])


def proposed(server: Server, text: str) -> list[str]:
    """The labels that are proposed at `|`."""
    return [item["label"] for item in server.complete(*place(server, text))]


RIGHT = [*sorted(SPECS.rglob("*.yaml")), *sorted((CASES / "models").glob("*.yaml"))]


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_specs_have_no_mistakes(path: Path, server: Server) -> None:
    assert server.open(server.folder / path.name, MODELINE + path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", template_names())
def test_a_project_is_checked_by_its_modeline_alone(name: str, server: Server) -> None:
    """What `specdl init` writes needs no setting in the editor: the schema lies beside the spec."""
    folder = server.folder / f"project_{name}"
    folder.mkdir()
    for file, text in project_files(name, "mine").items():
        (folder / file).write_text(text, encoding="utf-8")
    spec = (folder / "spec.yaml").read_text(encoding="utf-8")
    assert server.open(folder / "spec.yaml", spec) == []
    (told,) = server.open(folder / "wrong.yaml", spec + "los: mse\n")
    assert told["message"] == "Property los is not allowed."


def test_operators_are_proposed_once_each(server: Server) -> None:
    labels = proposed(server, "  - con|\n")
    assert labels.count("conv2d") == 1
    assert proposed(server, "  - rel|\n").count("relu") == 1


@pytest.mark.parametrize(
    "text",
    [
        "  - |\n",
        "  - relu\nlosses:\n  - |\n",
        "  - relu\nmetrics:\n  - |\n",
        "  - relu\ndata:\n  source: digits\n  transforms:\n    - |\n",
    ],
)
def test_nothing_is_proposed_twice(text: str, server: Server) -> None:
    labels = proposed(server, text)
    assert len(labels) > 5
    assert sorted(set(labels)) == sorted(labels)


def test_an_operator_is_inserted_with_what_it_needs(server: Server) -> None:
    items = server.complete(*place(server, "  - con|\n"))
    (found,) = [item for item in items if item["label"] == "conv2d"]
    assert found["insertText"].split() == ["conv2d:", "out_channels:", "$1", "kernel_size:", "$2"]
    assert "torch.nn.Conv2d.html" in found["documentation"]["value"]


def test_arguments_of_an_operator_that_needs_none_are_proposed(server: Server) -> None:
    assert {"eps", "momentum"} <= set(proposed(server, "  - batch_norm2d: {e|}\n"))
    assert "average" in proposed(server, "  - relu\nmetrics:\n  - f1:\n      |\n")


@pytest.mark.parametrize(
    "text", ["  - conv2d: {out_channels: 3, k|}\n", "  - x = conv2d(image):\n      out_channels: 3\n      |\n"]
)
def test_arguments_are_proposed(text: str, server: Server) -> None:
    labels = proposed(server, text)
    assert {"kernel_size", "stride", "padding", "bias"} <= set(labels)
    assert "out_channels" not in labels


def test_choices_are_proposed(server: Server) -> None:
    assert proposed(server, "  - conv2d:\n      padding: |\n") == ["same", "valid"]
    assert "cross_entropy" in proposed(server, "  - relu\nloss: |\n")
    assert {"sgd", "adamw"} <= set(proposed(server, "  - relu\noptimizer:\n  |\n"))
    assert {"epochs", "seed"} <= set(proposed(server, "  - relu\ntrain:\n  |\n"))
    assert {"blocks", "optimizer"} <= set(proposed(server, "  - relu\n|\n"))


def test_keys_of_networks_and_steps_are_proposed(server: Server) -> None:
    assert {"models", "steps", "sample", "tie", "init"} <= set(proposed(server, "  - relu\n|\n"))
    steps = "  - relu\nsteps:\n  - name: first\n    "
    assert {"update", "layers", "losses", "every", "mode"} <= set(proposed(server, f"{steps}|\n"))
    assert proposed(server, f"{steps}losses:\n      - cross|\n").count("cross_entropy") == 1
    assert {"inputs", "layers", "outputs"} <= set(proposed(server, "  - relu\nmodels:\n  generator:\n    |\n"))
    assert {"source", "batch_size"} <= set(proposed(server, "  - relu\ndata:\n  |\n"))
    assert "digits" in proposed(server, "  - relu\ndata:\n  source: |\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  - con|v2d: {out_channels: 3, kernel_size: 3}\n", "torch.nn.Conv2d.html"),
        ("  - x = con|v2d(image): {out_channels: 3, kernel_size: 3}\n", "torch.nn.Conv2d.html"),
        ("  - conv2d: {out_ch|annels: 3, kernel_size: 3}\n", "Channels of the output."),
        ("  - re|lu\n", "max(0, x)"),
        ("  - x = re|lu(image)\n", "max(0, x)"),
        ("  - repe|at: 3\n    body: [relu]\n", "fresh weights"),
        ("  - relu\ntrain: {epo|chs: 3}\n", "Passes over the training data"),
        ("  - relu\nste|ps: []\n", "Training steps"),
        ("  - relu\ndata: {bat|ch_size: 8}\n", "Examples in a batch"),
        ("  - relu\nlosses: ['cross_en|tropy(x, label)']\n", "log softmax"),
        ("  - relu\nloss: {cross_en|tropy: {label_smoothing: 0.1}}\n", "log softmax"),
        ("  - relu\noptimizer: {ada|mw: {lr: 0.1}}\n", "AdamW"),
    ],
)
def test_explanations(text: str, words: str, server: Server) -> None:
    assert words in server.hover(*place(server, text))


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ("  - conv2d: {out_channels: 3, kernel_size: 3, strides: 2}\n", 46, "Property strides is not allowed."),
        ("  - linear: {out_features: many}\n", 27, "Expected an integer or an expression with `$`"),
        ("  - conv2d: {out_channels: 3}\n", 4, 'Missing property "kernel_size".'),
        ("  - dropout: 2\n", 13, "Value is above the maximum of 1."),
        ("  - linear\n", 4, "A layer is written `name = operator(inputs): arguments`; some operators need arguments"),
        ("  - conv1 linear: 3\n", 4, "A layer is written `name = operator(inputs): arguments`"),
    ],
)
def test_mistakes_are_told_once_at_their_place(line: str, column: int, message: str, server: Server) -> None:
    found = server.open(server.folder / f"wrong{column}{len(line)}.yaml", HEADER + line)
    told = [(item["range"]["start"]["line"], item["range"]["start"]["character"], item["message"]) for item in found]
    assert told == [(HEADER.count("\n"), column, message)]
