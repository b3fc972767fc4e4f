"""From a program to a file: DOT text, or a picture drawn by Graphviz in two passes.

The system's `dot` is used where there is one, else the self-contained `graphviz-pure` that is installed with
the package.
"""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from specdl.backends.diagram.bend import bend
from specdl.backends.diagram.build import build
from specdl.backends.diagram.dot import Direction, write_dot, write_layout_dot, write_placed_dot
from specdl.backends.diagram.geometry import Geometry, blocked, read_layout, title_rooms, trimmed
from specdl.backends.diagram.model import Drawing
from specdl.backends.diagram.style import ThemeName
from specdl.diagnostics import Diagnostic, EnvironmentFailure, SpecError, did_you_mean
from specdl.files import replacing, write_text
from specdl.ir.program import Program

_PATIENCE = 300
"""Seconds that Graphviz may take for one pass."""


def emit_dot(
    program: Program,
    *,
    network: str | None = None,
    step: str | None = None,
    theme: ThemeName = "light",
    depth: int | None = None,
    shapes: bool = True,
    title: str | None = None,
    direction: Direction = "TB",
) -> str:
    """The diagram of a network as DOT text; the same program gives the same bytes.

    `network` names one of several (else the first is drawn), `step` a training step, or `sample`; `depth` is how
    many levels of blocks to open (unless given, the first block of each structure is opened while the picture stays
    readable); `shapes` writes tensor shapes beside the arrows; `title` stands in the caption instead of the
    program's name.
    Raises `SpecError` for an unknown network or step.
    """
    key = _key(program, network, step)
    drawing = build(program, key=key, depth=depth, shapes=shapes, title=_title(program, title, network, step))
    return write_dot(_shaped(drawing, direction), theme, direction)


def render_diagram(
    program: Program,
    path: str | Path,
    *,
    network: str | None = None,
    step: str | None = None,
    theme: ThemeName = "light",
    depth: int | None = None,
    shapes: bool = True,
    title: str | None = None,
    direction: Direction = "TB",
    dpi: int = 150,
) -> Path:
    """Draws a network, or a step, to a file that ends in .svg, .png or .dot (.pdf too where the system has Graphviz).

    Raises `SpecError` for another ending, an unknown network or step, `EnvironmentFailure` where Graphviz fails.
    """
    _check_format(Path(path))
    key = _key(program, network, step)
    drawing = build(program, key=key, depth=depth, shapes=shapes, title=_title(program, title, network, step))
    return render_drawing(drawing, path, theme=theme, direction=direction, dpi=dpi)


def render_drawing(
    drawing: Drawing, path: str | Path, *, theme: ThemeName = "light", direction: Direction = "TB", dpi: int = 150
) -> Path:
    """Writes a drawing to a file. Raises as `render_diagram` does."""
    target = Path(path)
    format = _check_format(target)
    if format == "dot":
        write_text(target, write_dot(_shaped(drawing, direction), theme, direction))
        return target
    command = _graphviz()
    drawing, geometry = lay_out(drawing, direction)
    placed = write_placed_dot(drawing, theme, direction, geometry)
    resolution = [f"-Gdpi={dpi}"] if format == "png" else []
    with replacing(target) as temporary:
        run_graphviz([*command, "-Kneato", "-n2", f"-T{format}", *resolution, "-o", str(temporary)], placed)
    return target


def lay_out(drawing: Drawing, direction: Direction) -> tuple[Drawing, Geometry]:
    """Where Graphviz and `read_layout` put everything; and the drawing, bent, with edges for what found no lane.

    A second layout follows where the first has shown what is missing. Raises `EnvironmentFailure`.
    """
    drawing = _shaped(drawing, direction)
    geometry = _placed(drawing, direction, {})
    lost = blocked(drawing, geometry)
    if lost:
        drawing = drawing.without(lost)
        geometry = _placed(drawing, direction, {})
    rooms = title_rooms(drawing, geometry) if direction != "LR" else {}
    if rooms:
        geometry = trimmed(drawing, _placed(drawing, direction, rooms), rooms)
    return drawing, geometry


def _shaped(drawing: Drawing, direction: Direction) -> Drawing:
    """From top to bottom, what can be a U is one; in other directions the skips stay beside their layers."""
    return bend(drawing) if direction == "TB" else drawing


def _placed(drawing: Drawing, direction: Direction, rooms: Mapping[str, float]) -> Geometry:
    text = write_layout_dot(drawing, direction, rooms)
    return read_layout(drawing, run_graphviz([*_graphviz(), "-Kdot", "-Tjson0"], text), direction)


def _key(program: Program, network: str | None, step: str | None) -> str:
    """The function of a network, or of a step. Raises `SpecError` for an unknown one."""
    if step is None:
        return program.network(network).key
    steps = {"sample": program.sample} if program.sample is not None else {}
    steps |= {item.name: item.function for item in program.steps}
    if step not in steps:
        known = ", ".join(f"`{item}`" for item in steps)
        help = (
            did_you_mean(step, steps) or f"there {'is' if len(steps) == 1 else 'are'} {known}"
            if steps
            else "the spec has no `steps`"
        )
        raise SpecError([Diagnostic("E0809", f"there is no step `{step}`", help=help)])
    return steps[step]


def _title(program: Program, title: str | None, network: str | None, step: str | None) -> str:
    """The caption: where a program has several pictures it says of what this is one."""
    part = step or (network or next(iter(program.networks)) if len(program.networks) > 1 else None)
    return " ".join(filter(None, (title or program.name, part)))


def _check_format(path: Path) -> str:
    """The format that a file's name asks for."""
    format = path.suffix.removeprefix(".").lower()
    formats = ["svg", "png", "dot", *(["pdf"] if _is_system(_graphviz()) else [])]
    if format in formats:
        return format
    endings = ", ".join(f".{item}" for item in formats)
    help = f"a diagram's file ends in one of {endings}"
    if format == "pdf":
        help += "; for .pdf, install Graphviz (its `dot` must be on the PATH)"
    raise SpecError([Diagnostic("E0806", f"can't draw to `{path.name}`", help=help)])


def _graphviz() -> list[str]:
    """The command that understands Graphviz's options."""
    own = shutil.which("graphviz-pure", path=sysconfig.get_path("scripts")) or shutil.which("graphviz-pure")
    found = shutil.which("dot") or own
    return [found] if found is not None else []


def _is_system(command: Sequence[str]) -> bool:
    return bool(command) and Path(command[0]).stem == "dot"


def run_graphviz(command: Sequence[str], text: str) -> str:
    """What Graphviz answers to DOT text. Raises `EnvironmentFailure`."""
    if not command or command[0].startswith("-"):
        raise EnvironmentFailure("no Graphviz was found: `pip install graphviz-pure`, or install Graphviz")
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, encoding="utf-8", timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailure(f"Graphviz gave up after {_PATIENCE} s; a smaller `--depth` draws less") from error
    except OSError as error:
        raise EnvironmentFailure(f"can't run {command[0]}: {error.strerror}") from error
    if done.returncode:
        raise EnvironmentFailure(f"Graphviz failed: {done.stderr.strip()[:500]}")
    return done.stdout
