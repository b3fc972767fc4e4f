"""YAML becomes data and positions; hostile text is refused quickly."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from specdl.diagnostics import SpecError
from specdl.source import load_source, parse_text, resolve_scalar
from tests.conftest import CASES


def codes(error: pytest.ExceptionInfo[SpecError]) -> list[str]:
    return [item.code for item in error.value.diagnostics]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("1e-3", 1e-3),
        ("1_000", "1_000"),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"),
        ("'1'", "1"),
        ('"true"', "true"),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    found = parse_text(f"x: {text}").data["x"]
    assert found == value
    assert type(found) is type(value)


def test_positions_of_keys_and_values() -> None:
    source = parse_text("a: 1\nlayers:\n  - conv2d: {out_channels: 32, 'kernel_size': 3}\n")
    tree = source.spans
    assert (tree.key("layers").line, tree.key("layers").column) == (2, 1)
    conv = tree.child("layers", 0, "conv2d")
    assert conv.key("kernel_size").column == 32
    assert conv.at("out_channels").column == 28
    assert str(conv.at("kernel_size")) == "<text>:3:47"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: 1\na: 2", "E0008"),
        ("a: !!python/object/apply:os.system [ls]", "E0007"),
        ("a: !x 1", "E0007"),
        ("a: [1, 2", "E0152"),
        ("a: 1\n---\nb: 2", "E0005"),
        ("a: *missing", "E0006"),
        ("{[1, 2]: 3}", "E0009"),
        ("- batch_norm2d\n    eps: 1", "E0150"),
        ("a:\n\t- b", "E0151"),
        ("a: \x00", "E0004"),
    ],
)
def test_mistakes_have_a_code_and_a_place(text: str, code: str) -> None:
    with pytest.raises(SpecError) as error:
        parse_text(text)
    assert codes(error) == [code]
    assert error.value.diagnostics[0].span is not None


MISTAKES = sorted((CASES / "errors").glob("yaml_*.yaml"))


@pytest.mark.parametrize("path", MISTAKES, ids=lambda path: path.stem)
def test_yamls_errors_are_told_alike_by_both_parsers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML's parser in C, and the one in Python where that is missing, word their errors differently."""
    text = path.read_text(encoding="utf-8")
    told = []
    for loader in (yaml.CSafeLoader, yaml.SafeLoader):
        monkeypatch.setattr("specdl.source._Loader", loader)
        try:
            parse_text(text)
        except SpecError as error:
            told.append(error.diagnostics)
        else:
            told.append(())  # YAML is content; the mistake is found in what it says
    assert told[0] == told[1]


ATTACKS = {
    "deep brackets": "[" * 50_000,
    "deep mappings": "{a: " * 50_000,
    "billion laughs": "\n".join(
        ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    ),
    "merge bomb": "\n".join(
        ["x0: &x0 {k: v}"] + [f"x{i}: &x{i} {{<<: [{', '.join([f'*x{i - 1}'] * 9)}]}}" for i in range(1, 12)]
    ),
    "long number": "a: " + "9" * 1_000_000,
    # The rest is refused by YAML itself, and must be explained as quickly.
    "expressions that never close": "a: {b: " + "$(" * 500_000,
    "braces behind dollars": "a: [" + "${" * 500_000,
    "spaces in a head": "- a" + " " * 1_000_000 + "b\n  c: 1",
    "many lines below an open bracket": "a: [\n" + " b,\n" * 40_000 + "c: d",
    "an uneven line below many": "a:\n" + "".join(f"  b{i}:\n" for i in range(8_000)) + " c: d",
    "tight colons": "a:\n  " + "b:c" * 300_000 + "\n  d: e",
    "a quote that never closes": "a: '" + "b'' " * 250_000,
    "tabs": "a:\n" + "\t" * 1_000_000 + "b: c",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_answered_quickly(name: str) -> None:
    start = time.process_time()
    try:
        parse_text(ATTACKS[name])
    except SpecError as error:
        assert error.diagnostics
    # The promise is 50 ms; ten times that leaves room for a busy machine, where an expansion takes minutes.
    assert time.process_time() - start < 0.5


@given(st.text(max_size=200))
def test_any_text_gives_data_or_a_coded_error(text: str) -> None:
    try:
        parse_text(text)
    except SpecError as error:
        assert all(item.code.startswith("E0") for item in error.diagnostics)


# NEL, LS and PS are line breaks to PyYAML (YAML 1.1), which folds them into a space: its own reader loses them too.
# It writes `1e3` without quotes, which is a word in YAML 1.1.
words = st.text(st.characters(exclude_characters="\x85\u2028\u2029", codec="utf-8"), max_size=12).filter(
    lambda word: not isinstance(resolve_scalar(word), float)
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_data_survives_a_round_trip(data: object) -> None:
    # PyYAML quotes what YAML 1.1 would misread, so a YAML 1.2 reader gives the same back.
    assert parse_text(yaml.safe_dump(data, allow_unicode=True)).data == data


def test_unreadable_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text("specdl: 1")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large.yaml").write_bytes(b"#" * (1 << 21))
    expected = {"modle.yaml": "E0001", "binary.yaml": "E0003", "large.yaml": "E0002", ".": "E0001"}
    for name, code in expected.items():
        with pytest.raises(SpecError) as error:
            load_source(tmp_path / name)
        assert codes(error) == [code], name
    with pytest.raises(SpecError, match=r"did you mean `model.yaml`"):
        load_source(tmp_path / "modle.yaml")
