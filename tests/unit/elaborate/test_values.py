"""Values are like Python's locals although groups and iterations become functions (rule 8), against an interpreter.

Random specs of arithmetic in nested groups, loops, residuals and branches are run twice: as the model that the
compiler makes, and by the few lines below, which walk the entries with one dictionary of values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import compiled

NAMES = ("a", "b", "c", "d")
LIMIT = 50  # clamped to it, all numbers are exact in float32


@dataclass(frozen=True)
class Step:
    """An entry: `kind` with a name (or None), two values to combine, a count, and entries inside."""

    kind: str
    name: str | None
    left: str
    right: str
    count: int
    inside: tuple[tuple[Step, ...], ...]


def steps(depth: int) -> st.SearchStrategy[tuple[Step, ...]]:
    """One to four entries; structures only while there is depth left."""
    values = st.sampled_from(("_", *NAMES))
    kinds = ["compute"] * 3 + (["sequence", "repeat", "residual", "branches"] if depth else [])
    inside = st.lists(st.deferred(lambda: steps(depth - 1)), min_size=2, max_size=2) if depth else st.just([])
    entry = st.builds(
        Step,
        st.sampled_from(kinds),
        st.none() | st.sampled_from(NAMES),
        values,
        values,
        st.integers(1, 3),
        inside.map(tuple),
    )
    return st.lists(entry, min_size=1, max_size=4).map(tuple)


def written(entries: tuple[Step, ...], indent: int) -> str:
    """The entries as YAML."""
    pad = " " * indent
    lines = []
    for step in entries:
        head = f"{pad}- {step.name} = " if step.name else f"{pad}- "
        if step.kind == "compute":
            lines.append(f"{head}compute: clamp({step.left} - 2 * {step.right} + 1, -{LIMIT}, {LIMIT})\n")
        elif step.kind == "repeat":
            lines.append(f"{head}repeat: {step.count}\n{pad}  body:\n{written(step.inside[0], indent + 4)}")
        elif step.kind == "branches":
            # A path that is only a loop would be one path a row: the line at its end makes it one.
            end = f"{pad}      - compute: _ + 0\n"
            paths = "".join(f"{pad}    -\n{written(path, indent + 6)}{end}" for path in step.inside)
            lines.append(f"{head}branches:\n{paths}{pad}  merge: sub\n")
        else:
            lines.append(f"{head}{step.kind}:\n{written(step.inside[0], indent + 4)}")
    return "".join(lines)


def interpreted(entries: tuple[Step, ...], flow: float, values: dict[str, float]) -> float:
    """What flows out of the entries; `values` is changed as Python's locals are."""
    for step in entries:
        if step.kind == "compute":
            known = {**values, "_": flow}
            made = max(-LIMIT, min(LIMIT, known[step.left] - 2 * known[step.right] + 1))
        elif step.kind == "repeat":
            made = flow
            for _ in range(step.count):
                made = interpreted(step.inside[0], made, values)
        elif step.kind == "residual":
            made = interpreted(step.inside[0], flow, values) + flow
        elif step.kind == "branches":
            first, second = (interpreted(path, flow, values) for path in step.inside)
            made = first - second
        else:
            made = interpreted(step.inside[0], flow, values)
        flow = made
        if step.name:
            values[step.name] = made
    return flow


def check(entries: tuple[Step, ...], numbers: tuple[int, ...], *, export: bool) -> None:
    inputs = ", ".join(f"{name}: [1]" for name in NAMES)
    text = f"inputs: {{{inputs}}}\nlayers:\n{written(entries, 2)}  - last = compute: _ + 0\n"
    text += "".join(f"  - final_{name} = compute: {name} + 0\n" for name in NAMES)
    outputs = ("last", *(f"final_{name}" for name in NAMES))
    model = compiled(f"{text}outputs: [{', '.join(outputs)}]\n")
    values = dict(zip(NAMES, map(float, numbers), strict=True))
    expected = [interpreted(entries, values["a"], values), *values.values()]
    made = model.module()(*(torch.full((1, 1), float(number)) for number in numbers))
    assert [value.item() for value in made] == expected
    if export:
        with TemporaryDirectory() as folder:
            assert model.export_onnx(Path(folder) / "m.onnx").verified


@settings(max_examples=30)
@given(steps(2), st.tuples(*[st.integers(-9, 9)] * 4))
def test_values_are_like_locals(entries: tuple[Step, ...], numbers: tuple[int, ...]) -> None:
    check(entries, numbers, export=False)


@settings(max_examples=8)
@given(steps(2), st.tuples(*[st.integers(-9, 9)] * 4))
def test_onnx_agrees(entries: tuple[Step, ...], numbers: tuple[int, ...]) -> None:
    check(entries, numbers, export=True)
