"""Amounts and limits of a budget."""

from __future__ import annotations

import pytest

from specdl.diagnostics import SpecError
from specdl.spec.budget import parse_amount
from tests.conftest import compiled

SPEC = "inputs: {x: [8]}\nlayers: [linear: 10]\nbudget: "
PARAMETERS, FLOPS, MEMORY = 90, 160, 4 * (90 + 10)


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        (12, 12), (1.5e6, 1_500_000), ("12M", 12_000_000), ("12m", 12_000_000), ("1.5 G", 1_500_000_000),
        ("500MB", 500_000_000), ("2GiB", 2**31), ("1KiB", 1024), ("3T", 3 * 10**12), ("0.5K", 500),
        ("twelve", None), ("12X", None), ("-3M", None), (0, None), (True, None), ("", None), ([1], None), ("0", None),
    ],
)  # fmt: skip
def test_amounts(written: object, amount: int | None) -> None:
    assert parse_amount(written) == amount


@pytest.mark.parametrize(
    ("kind", "spent"), [("parameters", PARAMETERS), ("flops", FLOPS), ("memory", MEMORY)], ids=lambda value: str(value)
)
def test_a_limit_is_what_may_just_be_spent(kind: str, spent: int) -> None:
    assert compiled(f"{SPEC}{{{kind}: {spent}}}\n").parameters == PARAMETERS
    with pytest.raises(SpecError, match="E0190"):
        compiled(f"{SPEC}{{{kind}: {spent - 1}}}\n")


SEQUENCE = "inputs: {t: {shape: [T], dtype: int64}}\nlayers: [{embedding: {num_embeddings: 4, embedding_dim: 2}}, {linear: 3}]\n"


def test_sizes_of_the_run_count_at_their_largest() -> None:
    with pytest.raises(SpecError, match="E0192"):
        compiled(f"{SEQUENCE}budget: {{flops: 1K}}\n")
    assert compiled(f"{SEQUENCE}budget: {{flops: 1200, sizes: {{T: 100}}}}\n")  # 2 · 100 · 2 · 3
    assert compiled(f"{SEQUENCE}sizes: {{T: {{max: 100}}}}\nbudget: {{flops: 1200}}\n")
    with pytest.raises(SpecError, match="E0190"):
        compiled(f"{SEQUENCE}sizes: {{T: {{max: 101}}}}\nbudget: {{flops: 1200}}\n")


def test_expressions_and_overrides() -> None:
    assert compiled(f"params: {{limit: 90}}\n{SPEC}{{parameters: $limit}}\n")
