"""What must stay true of the whole: no torch where it isn't needed, and the public face."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import specdl
from tests.conftest import ROOT, SPECS

HEAVY = ("torch", "onnx", "onnxruntime", "numpy", "matplotlib", "graphviz", "torchmetrics", "accelerate")


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after some code."""
    script = f"{code}\nimport sys; print('loaded', *sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "code",
    [
        "import specdl",
        "import specdl.cli",
        f"import specdl; specdl.load({str(SPECS / 'resnet.yaml')!r}, 'resnet50').parameters",
        f"import specdl; specdl.load({str(SPECS / 'digits_cnn.yaml')!r}).source()",
        f"from specdl.cli import _run; _run(['check', {str(SPECS / 'digits_cnn.yaml')!r}])",
        f"from specdl.cli import _run; _run(['summary', {str(SPECS / 'resnet.yaml')!r}])",
        f"from specdl.cli import _run; _run(['diagram', {str(SPECS / 'digits_cnn.yaml')!r}, '-o', '/dev/null'])",
    ],
    ids=["import", "import cli", "load", "source", "check", "summary", "diagram"],
)
def test_nothing_heavy_is_imported_left_of_load_torch(code: str) -> None:
    if "diagram" in code:
        code = code.replace("'/dev/null'", "'/tmp/specdl-guard.dot'")
    assert not modules_after(code) & set(HEAVY)


def test_public_names_exist() -> None:
    for name in specdl.__all__:
        assert getattr(specdl, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = specdl.nothing


def test_version_is_one_place() -> None:
    text = (Path(specdl.__file__).parent / "__init__.py").read_text()
    assert f'__version__ = "{specdl.__version__}"' in text


def test_package_is_typed() -> None:
    assert (Path(specdl.__file__).parent / "py.typed").exists()
