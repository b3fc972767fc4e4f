"""`$(training)` in the `when` of a transform."""

from __future__ import annotations

import pytest

from specdl.api import compile_source
from specdl.diagnostics import SpecError
from specdl.source import parse_text
from specdl.spec.data import When

SPEC = """
specdl: 1
inputs: {image: [1, 8, 8]}
params: {flips: true}
layers: [flatten, linear: 10]
loss: cross_entropy
data:
  source: digits
  batch_size: $(64)
  transforms:
    - image = random_horizontal_flip(image)
    - image = random_affine(image): {degrees: $(2 * 5)}
      when: %s
"""


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("$(training)", When(True, False)),
        ("$(not training)", When(False, True)),
        ("$(flips)", When(True, True)),
        ("$(training and flips)", When(True, False)),
        ("true", When(True, True)),
    ],
)
def test_when(when: str, expected: When) -> None:
    model = compile_source(parse_text(SPEC % when))
    assert model.recipe.data is not None
    assert model.recipe.data.transforms[1].when == expected


def test_never() -> None:
    model = compile_source(parse_text(SPEC % "$(training and not flips)"))
    assert model.recipe.data is not None
    assert len(model.recipe.data.transforms) == 1


def test_training_is_unknown_elsewhere() -> None:
    with pytest.raises(SpecError, match="training"):
        compile_source(parse_text((SPEC % "true").replace("$(64)", "$(64 if training else 1)")))
