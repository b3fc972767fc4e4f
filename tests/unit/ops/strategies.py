"""What the tests of several families draw: one number for all axes or one each, and small inputs."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from specdl.ir.types import TensorType
from tests.unit.ops.harness import tensor

CHANNELS = (1, 2, 3, 4, 6)


def per_axis(axes: int, low: int, high: int) -> st.SearchStrategy[Any]:
    """One number for all axes, or one each."""
    number = st.integers(low, high)
    return number if axes == 1 else number | st.lists(number, min_size=axes, max_size=axes)


@st.composite
def images(
    draw: st.DrawFn, axes: int, *, largest: int = 7, channels: tuple[int, ...] = CHANNELS, wrong: bool = True
) -> TensorType:
    """`[N, C, ...]` with so many spatial axes; where `wrong`, now and then with two more."""
    extra = draw(st.sampled_from([0] * 8 + [2])) if wrong else 0
    sizes = draw(st.lists(st.integers(1, largest), min_size=axes + extra, max_size=axes + extra))
    return tensor(draw(st.integers(1, 2)), draw(st.sampled_from(channels)), *sizes)
