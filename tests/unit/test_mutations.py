"""Damaged specs: whatever a file says, `load` compiles it or tells each mistake with a code and a place.

Every shipped spec and every golden case is damaged at random, in its data and in its text, and loaded. Nothing
but `SpecError` may come out, and only after a bounded number of Python calls.
"""

from __future__ import annotations

import ast
import copy
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import specdl
from specdl.diagnostics import Diagnostic, Note, Span, SpecError, render
from specdl.source import parse_text
from tests.conftest import CASES, SPECS

MAX_CALLS = 10_000_000
"""Python calls within which a small spec compiles or fails; the largest shipped one takes half a million."""

ODD_SCALARS = [
    "1e400", "-1e400", "-0", "-0.0", ".nan", ".inf", "-.inf", "-1", "0", "1", "2", "3.5", "1e9", "1e-400",
    "99999999999999999999", "9" * 400, "9" * 5000, "0x" + "f" * 5000, "0o" + "7" * 6000, "''", '""', "~", "null",
    "true", "yes", "{}", "[]", "[[]]", "[null]", "{a: b}", "[1, 2, 3]", "[-1, -1]", "_", "'_'", "$", "'$'", "$x",
    "$()", "$(", "'$('", "'$((((((1'", "$(9**9**9)", "$(2**-9**9)", "'$([0]*10**9)'", "'$(\"x\"*10**9)'",
    "$(10**9)", "$(-1)", "$(1/0)", "$(0.0/0)", "$(1e308*10)", "$(1 == 1)", "$(None)", "'$([])'", "'$({})'",
    "'$({1: 2})'", "'$([[1, 2], [3]])'", "'$(range(10**9))'", "'$(range(10, 0, 0))'", "$(input)", "$(input.shape)",
    "$(input.channels)", "$(index)", "$(len)", "$(len(len))", "$(x.y.z)", "'$(max())'", "'$(max([]))'",
    "'$(sum([[1], [2]]))'", "'$(round(1.5, 10**9))'", "'$(round(nan))'", "$(int('9' * 999))", "$(str(2**200))",
    "'$([i for i in range(1000) for j in range(1000) for k in range(1000)])'", "'$(zip([1], 2))'", "'$(f\"{1}\")'",
    "$(lambda: 1)", "$(().__class__)", "$(__import__('os'))", "'$(\"%s\" % 1)'", "'$(\"\\d\")'", "$(1 if)", "$(+)",
    "$(((((((((((((((((((((((((((((((((1)))))))))))))))))))))))))))))))))", "$(1" + "+1" * 900 + ")",
    "$(" + "-" * 1500 + "1)", "$(" + "not " * 400 + "1)", "x" * 20_000, "é", "日本", "𝔸", "²", "'a b'", "a.b", "a.*",
    ".", "..", "a=b", "'='", "'x = '", "'= relu'", "relu", "relu()", "relu(x)", "'relu(x, y)'", "relu(",
    "'relu(_, _)'", "relu(relu)", "lstm", "x = relu", "'a, b = relu'", "'a, b, c = lstm: 3'", "add", "'add(_, 1)'",
    "concat(_)", "'concat(_, _)'", "call", "use", "when", "sequence", "repeat", "for", "residual", "branches",
    "compute", "compute: _", "{compute: '_[0]'}", "{compute: '_[:, 10**9]'}", "{compute: '1/0'}",
    "{compute: '_ @ _'}", "{compute: 'sum(_, dim=9)'}", "{compute: '_.shape'}", "{compute: '_ ** _ ** _'}",
    "{compute: 5}", "{compute: 'relu(_, _)'}", "{compute: 'linear(_, 3)'}", "{compute: 9**9**9}",
    "{compute: '_[None, None]'}", "{repeat: 1000000000, body: [relu]}",
    "{repeat: 9999, body: [{repeat: 9999, body: []}]}",
    "{repeat: 9999, body: [{repeat: 9999, body: [{relu: ~, when: false}]}]}", "{repeat: 0, body: [relu]}",
    "{repeat: -1, body: [relu]}", "{repeat: 2, body: [{linear: 4}]}", "{for: {}, body: []}",
    "{for: {i: [1], j: [1, 2]}}", "{for: {i: '$(range(100000))'}, body: []}", "{residual: []}", "{residual: ~}",
    "{residual: {}}", "{branches: []}", "{branches: [[]]}", "{branches: [[], []]}",
    "{branches: [[], []], merge: concat}", "{branches: [[], []], merge: lstm}", "{sequence: []}", "{sequence: ~}",
    "{use: relu}", "{use: linear, with: {out_features: 3}}", "{use: ~}", "{use: [1]}", "{call: relu}", "{call: ~}",
    "{call: [1]}", "{call: conv1}", "{linear: 10}", "{linear: -1}", "{linear: 0}", "{linear: 100000000000}",
    "{linear: 1e30}", "{conv2d: {out_channels: 4, kernel_size: 99999}}",
    "{conv2d: {out_channels: 4, kernel_size: 3, stride: 0}}",
    "{conv2d: {out_channels: 4, kernel_size: 3, groups: 0}}",
    "{conv2d: {out_channels: 4, kernel_size: 3, padding: -1}}", "{dropout: 2}", "{dropout: .nan}",
    "{reshape: [-1, -1]}", "{reshape: []}", "{flatten: {start_dim: 5}}", "{permute: [0, 0]}", "{max_pool2d: 0}",
    "{embedding: 5}", "{lstm: 0}", "{adaptive_avg_pool2d: 0}", "{adaptive_avg_pool2d: 1000000}", "{upsample: 0}",
    "{split: 0}", "{split: 1}",
]  # fmt: skip

ODD_LINES = [
    "\t- relu", "  - relu", "    - relu", "- relu", "-relu", "- ", "-", "? a", "? [a]", ": b", "a: &a [*a]", "&a",
    "*a", "a: &x {b: 1}", "<<: *x", "<<: {a: 1}", "!!python/name:os.system", "!t x", "%YAML 1.1", "---", "...",
    "- - - -", "a: |", "a: >", "# x", "'", '"', "[", "]", "{", "}", "{" * 70, "[" * 70, "- " * 70 + "x", "@", "`",
    "a: b: c", "\x00", "\ufeff", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\ufffe", "\x07", "\xa0", "🙂: 🙂", "é: 1",
    "1: 2", "null: 1", "true: 1", "'': 1", "~: ~", "1.5: 1", "when: true", "when: $x", "body: []", "merge: add",
    "with: {}", "layers: []", "inputs: {}", "inputs: {x: []}", "inputs: {x: [T]}", "inputs: {x: [0]}",
    "inputs: {x: [N]}", "inputs: {x: [-1]}", "inputs: {x: [99999999999999999999]}", "inputs: {_: [1]}",
    "inputs: {class: [3]}", "params: {class: 3}", "params: {x: $x}", "params: {x: $y, y: $x}", "name: class",
    "name: ''", "name: 'a/b'", "blocks: {relu: {layers: [relu]}}", "blocks: {b: {layers: [b]}}", "blocks: {b: }",
    "outputs: []", "outputs: [x, x]", "loss: mse", "loss: ~", "losses: []", "train: {epochs: -1}",
    "optimizer: {adam: {lr: .nan}}", "data: {source: x}",
]  # fmt: skip

KEYS = [
    "", "_", "x", "relu", "class", "linear", "kernel_size", "out_channels", "a b", "a.b", "$x", "$(1)", "x = relu",
    "1", "when", "body", "merge", "with", "layers", "params", "inputs", "outputs", "repeat", "for", "compute", "call",
    "use", "sequence", "residual", "branches", "é", "²", "x" * 5000, "a\nb", "None", "self", "torch", "nn", "forward",
    "weight",
]  # fmt: skip


@cache
def texts() -> tuple[str, ...]:
    """The shipped specs and the golden cases."""
    paths = [*sorted(SPECS.rglob("*.yaml")), *sorted(CASES.glob("**/*.yaml"))]
    return tuple(path.read_text(encoding="utf-8") for path in paths)


# ---- damage to the data ------------------------------------------------------------------------------


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values."""
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def at(data: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        data = data[step]
    return data


def odd_value(draw: st.DrawFn) -> Any:
    if draw(st.integers(0, 9)) == 0:
        deep: Any = 1
        for _ in range(draw(st.sampled_from([3, 30, 70]))):
            deep = [deep] if draw(st.booleans()) else {"sequence": [deep]}
        return deep
    try:
        return parse_text(f"x: {draw(st.sampled_from(ODD_SCALARS))}").data["x"]
    except SpecError:
        return draw(st.sampled_from(ODD_SCALARS))


def damage_data(draw: st.DrawFn, data: Any) -> Any:
    """The data with one value dropped, doubled, renamed, moved or replaced."""
    path = draw(st.sampled_from(list(places(data))[1:] or [()]))
    if not path:
        return odd_value(draw)
    holder, key = at(data, path[:-1]), path[-1]
    kind = draw(st.sampled_from(["drop", "double", "rename", "replace", "replace", "wrap", "move", "swap"]))
    if kind == "drop":
        del holder[key]
    elif kind == "double" and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif kind == "rename" and isinstance(holder, dict):
        name = str(key)
        new = draw(st.sampled_from([*KEYS, name[:-1], name + "s", name.upper(), name[::-1]]))
        items = [(new if old == key else old, value) for old, value in holder.items()]
        holder.clear()
        holder.update(items)
    elif kind == "wrap":
        holder[key] = [holder[key]] if draw(st.booleans()) else {draw(st.sampled_from(KEYS)): holder[key]}
    elif kind == "move":
        holder[key] = copy.deepcopy(at(data, draw(st.sampled_from(list(places(data))))))
    elif kind == "swap" and isinstance(holder, list):
        other = draw(st.integers(0, len(holder) - 1))
        holder[key], holder[other] = holder[other], holder[key]
    else:
        holder[key] = odd_value(draw)
    return data


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


# ---- damage to the text ------------------------------------------------------------------------------


def damage_text(draw: st.DrawFn, text: str) -> str:
    """The text with a line or some characters changed."""
    lines = text.split("\n")
    index = draw(st.integers(0, len(lines) - 1))
    line = lines[index]
    kind = draw(st.sampled_from(["drop", "double", "indent", "cut", "line", "scalar", "characters", "whole", "swap"]))
    if kind == "drop":
        del lines[index]
    elif kind == "double":
        lines.insert(index, line)
    elif kind == "indent":
        bare = line.lstrip(" ")
        lines[index] = draw(st.sampled_from(["", " ", "  ", "   ", "\t", "        "])) + bare
    elif kind == "cut":
        return text[: draw(st.integers(0, len(text)))]
    elif kind == "line":
        lines.insert(index, draw(st.sampled_from([line[: len(line) - len(line.lstrip())], ""])) + draw(odd_lines))
    elif kind == "scalar":
        words = list(re.finditer(r"[^\s\[\]{},:]+", line))
        if words:
            word = draw(st.sampled_from(words))
            lines[index] = line[: word.start()] + draw(st.sampled_from(ODD_SCALARS)) + line[word.end() :]
    elif kind == "characters":
        start = draw(st.integers(0, len(line)))
        lines[index] = line[:start] + draw(junk) + line[start + draw(st.integers(0, 3)) :]
    elif kind == "swap":
        other = draw(st.integers(0, len(lines) - 1))
        lines[index], lines[other] = lines[other], lines[index]
    else:
        return draw(st.sampled_from(WHOLE))(text)
    return "\n".join(lines)


odd_lines = st.sampled_from(ODD_LINES)
junk = st.sampled_from([*"[]{}():,=$_'\"*&!|>%@`-#? \t.1\\\r\x00\x85\u2028é", "$(", ": ", " #", "- ", "\\\n"])
WHOLE: list[Callable[[str], str]] = [
    lambda text: text.replace("\n", "\r\n"),
    lambda text: text.replace("\n", "\r"),
    lambda text: "\ufeff" + text,
    lambda text: "\ufeff\ufeff" + text,
    lambda text: text.replace("  ", "\t"),
    lambda text: text + text,
    lambda text: text.replace("\n", ""),
    lambda text: text.replace(": ", ":"),
    lambda text: text.replace("- ", ""),
    lambda text: text.replace("$", ""),
    lambda text: text.upper(),
    lambda text: "- " + text.replace("\n", "\n  "),
    lambda text: text.replace("\n", "\u2028"),
]


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A shipped spec, damaged in one to four places."""
    text = draw(st.sampled_from(texts()))
    if draw(st.booleans()):
        try:
            data = parse_text(text).data
        except SpecError:
            data = None
        if isinstance(data, dict):
            for _ in range(draw(st.integers(1, 3))):
                if isinstance(data, (dict, list)):
                    data = damage_data(draw, data)
            return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)
    for _ in range(draw(st.integers(1, 4))):
        text = damage_text(draw, text)
    return text


# ---- what must hold ----------------------------------------------------------------------------------


class TooMuchWork(Exception):
    """More Python calls than a small spec needs."""


@contextmanager
def bounded_work(limit: int = MAX_CALLS) -> Iterator[None]:
    """Raises `TooMuchWork` in a body that makes more than `limit` Python calls."""
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"
        if calls > limit:
            sys.setprofile(None)
            raise TooMuchWork(f"more than {limit:,} calls")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(before)


def check_span(span: Span | None, lines: list[str], what: str) -> None:
    assert span is not None, what
    assert 1 <= span.line <= len(lines) + 1, f"{what} at {span}, of {len(lines)} lines"
    text = lines[span.line - 1] if span.line <= len(lines) else ""
    assert 1 <= span.column <= len(text) + 2, f"{what} at {span}, of {len(text)} columns"
    assert (span.end_line, span.end_column) > (span.line, span.column) or span.end_line == span.line, what


def check_diagnostics(found: tuple[Diagnostic, ...], text: str, file: str) -> None:
    """Each has a code, says something, points into the file, and renders with its own line."""
    # What YAML counts as a line break.
    lines = re.split("\r\n|[\n\r\x85\u2028\u2029]", text)
    for item in found:
        assert re.fullmatch(r"[EW]\d{4}", item.code)
        assert item.message.strip()
        check_span(item.span, lines, f"{item.code} {item.message}")
        for note in item.notes:
            assert isinstance(note, Note)
            if note.span is not None:
                check_span(note.span, lines, f"note of {item.code}")
        assert "Traceback" not in item.message
        assert not re.search(r"<class|object at 0x|specdl\.", item.message), item.message
        assert len(item.message) < 1_000, f"{item.code} says {len(item.message)} characters"
        assert item.as_json()["code"] == item.code
    assert not found or found[0].code in render(found, {file: text}, color=True)


def load(text: str, folder: Path, variant: str | None = None, overrides: Mapping[str, Any] | None = None) -> bool:
    """Loads the text as a file and checks what comes out. Gives whether it compiled."""
    path = folder / "spec.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        with bounded_work():
            model = specdl.load(path, variant, overrides)
            source = model.source()
            assert model.parameters >= 0
            assert {item.severity for item in model.warnings} <= {"warning"}
            check_diagnostics(model.warnings, text.removeprefix("\ufeff"), str(path))
    except SpecError as error:
        assert any(item.severity == "error" for item in error.diagnostics)
        check_diagnostics(error.diagnostics, text.removeprefix("\ufeff"), str(path))
        return False
    ast.parse(source)
    return True


HEAD = "specdl: 1\ninputs: {x: [8, 8, 8]}\n"

HEAVY = {
    "empty loops": "layers: [relu, {repeat: 9999, body: [{repeat: 9999, body: []}]}]",
    "absent entries": "layers: [relu, {repeat: 9999, body: [{repeat: 9999, body: [{relu: , when: false}]}]}]",
    "a mistake in a loop": "layers: [{repeat: 100000, body: [rleu]}]",
    "a wrong argument in a loop": "layers: [{repeat: 100000, body: [linear: {features: 4}]}]",
    "blocks that double": "blocks:\n"
    + "".join(f"  b{i}: {{layers: [b{i + 1}, b{i + 1}]}}\n" for i in range(40))
    + "  b40: {layers: [relu]}\nlayers: [b0]",
    "different blocks that double": "blocks:\n"
    + "".join(
        f"  b{i}: {{params: {{a: 0}}, layers: [{{b{i + 1}: $(2*a)}}, {{b{i + 1}: $(2*a+1)}}]}}\n" for i in range(40)
    )
    + "  b40: {params: {a: 0}, layers: [relu]}\nlayers: [b0]",
    "deep blocks": "blocks:\n"
    + "".join(f"  b{i}: {{layers: [{{s = sequence: [{{residual: [b{i + 1}]}}]}}]}}\n" for i in range(90))
    + "  b90: {layers: [relu]}\nlayers: [b0]",
    "long blocks": "blocks:\n  b: {layers: [{repeat: 50000, body: [relu]}]}\n"
    + "  c: {layers: [{repeat: 50000, body: [b]}]}\nlayers: [{repeat: 40000, body: [c]}]",
    "lists of lists": "params: {a: $([0] * 100000), b: $([a] * 100), c: $([b] * 1000)}\nlayers: [relu]",
    "lists as text": "params: {a: $([1] * 1000), b: $([a] * 1000), c: $([b] * 1000), d: $(str(c))}\nlayers: [relu]",
    "powers": "layers: [{linear: $(9**9**9)}, {compute: _ * 9**9**9}]",
    "pieces": "layers: [{linear: 1000000000}, {split: {split_size_or_sections: 1, dim: 3}}]",
    "recurrent layers": "layers: [{flatten: 2}, {lstm: {hidden_size: 4, num_layers: 1000000000}}]",
    "doubling sizes": "layers: [{repeat: 5000, body: ['concat(_, _)']}]",
}


@pytest.mark.parametrize("name", HEAVY)
def test_what_would_take_for_ever_is_refused(name: str, tmp_path: Path) -> None:
    assert not load(HEAD + HEAVY[name], tmp_path)


def test_sizes_stay_small_through_many_strides(tmp_path: Path) -> None:
    """A division of a division is one division, so five hundred strides are as quick as five."""
    body = "[{conv2d: {out_channels: 8, kernel_size: 3, stride: 2, padding: 1}}]"
    text = f"specdl: 1\ninputs: {{x: [8, H, W]}}\nlayers: [{{repeat: 60, body: {body}}}]"
    assert load(text, tmp_path)


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(damaged())
def test_a_damaged_spec_compiles_or_is_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        load(text, Path(folder))


@pytest.mark.slow
@settings(max_examples=3_000, suppress_health_check=list(HealthCheck))
@given(damaged())
def test_many_damaged_specs(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        load(text, Path(folder))
