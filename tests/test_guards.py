"""What must stay true of the whole: no torch where it isn't needed, and the public face."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import specdl
from specdl.ops import FAMILIES, OPERATORS, all_ops
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
        "from specdl.cli import _run; _run(['explain', 'E0204'])",
        f"from specdl.cli import _run; _run(['show', {str(SPECS / 'resnet.yaml')!r}])",
        f"from specdl.cli import _run; _run(['diff', {str(SPECS / 'resnet.yaml')!r}, 'params.classes=3'])",
        f"from specdl.cli import _run; _run(['fmt', '--check', {str(SPECS / 'resnet.yaml')!r}])",
        f"from specdl.cli import _run; _run(['summary', {str(SPECS / 'resnet.yaml')!r}])",
        f"from specdl.cli import _run; _run(['diagram', {str(SPECS / 'digits_cnn.yaml')!r}, '-o', OUT])",
    ],
    ids=["import", "import cli", "load", "source", "check", "explain", "show", "diff", "fmt", "summary", "diagram"],
)
def test_nothing_heavy_is_imported_left_of_load_torch(code: str, tmp_path: Path) -> None:
    out = tmp_path / "model.dot"
    assert not modules_after(f"OUT = {str(out)!r}\n{code}") & set(HEAVY)
    assert out.exists() == ("OUT" in code)


def test_the_table_of_operators_is_true() -> None:
    """The table names exactly what each module declares, and each operator by its own name."""
    for module, names in FAMILIES.items():
        declared = [op.operator for op in importlib.import_module(f"specdl.ops.{module}").OPS]
        assert declared == names.split(), module
    assert [op.operator for op in all_ops()] == list(OPERATORS)


def test_check_imports_only_the_families_that_it_uses() -> None:
    code = f"import specdl; specdl.load({str(SPECS / 'mlp.yaml')!r})\nimport sys"
    script = f"{code}; print('specdl.ops.recurrent' in sys.modules, 'specdl.ops.linear' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_the_recipe_is_imported_only_for_specs_with_data() -> None:
    found: list[str] = []
    for name in ("resnet", "digits_cnn"):
        code = f"import sys, specdl; specdl.load({str(SPECS / f'{name}.yaml')!r})"
        script = f"{code}; print('specdl.spec.recipe' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
        found += done.stdout.split()
    assert found == ["False", "True"]


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
