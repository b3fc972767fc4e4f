"""How checking grows with the number of layers, where they repeat and where no two are alike."""

from __future__ import annotations

import statistics
import time

from tests.benchmarks.harness import Comparison, Numbers, Side, Spread, compare, spread
from tests.benchmarks.report import Promise, Topic, at_most, digits, milliseconds, show

SIZES = (100, 1_000, 10_000)

# Each text makes `2 * pairs` layers.
FORMS = {
    "one body, repeated": "layers:\n  - repeat: {pairs}\n    body: [linear: 16, relu]\n",
    "one block, called again and again": (
        "blocks: {{pair: {{layers: [linear: 16, relu]}}}}\nlayers:\n  - repeat: {pairs}\n    body: [pair]\n"
    ),
    "one block, called with other parameters each time": (
        "blocks: {{pair: {{params: {{width: required}}, layers: [linear: $width, relu]}}}}\n"
        "layers:\n  - repeat: {pairs}\n    body: [pair: $(index + 1)]\n"
    ),
    "all written out, all different": "layers:\n{lines}",
}

REPEATING = tuple(FORMS)[:2]

LINEAR = 12.0
"""Ten times the layers in at most twelve times the time is called linear: memory caches cost something."""


def spec_text(form: str, layers: int) -> str:
    """A spec with so many layers."""
    lines = "".join(f"  - linear: {number + 1}\n  - relu\n" for number in range(layers // 2))
    body = FORMS[form].format(pairs=layers // 2, lines=lines)
    return f"specdl: 1\nname: deep\ninputs: {{x: [16]}}\n{body}"


def run(quick: bool) -> Topic:
    """Compiling generated specs (the work of `specdl check`), without the start of the process."""
    sizes = SIZES[:2] if quick else SIZES
    sides = [Side(form, compiling, {"form": form, "sizes": sizes}) for form in FORMS]
    found = compare(sides, 1 if quick else 3, title="scale")
    last, before = f"{sizes[-1]}", f"{sizes[-2]}"
    growth = {form: _growth(found, form, last, before) for form in FORMS}
    promises: list[Promise] = []
    for form in FORMS:
        if form in REPEATING:
            promises.append(at_most(f"check of {sizes[-1]:,} layers: {form}", 2.0, found.spread(form, last), unit="s"))
        promises.append(at_most(f"ten times the layers: {form}", LINEAR, growth[form]))
    rows = [
        [
            form,
            *(milliseconds(found.spread(form, str(size))) for size in sizes),
            show(growth[form], "×"),
            f"{digits(1e6 * found.spread(form, last).median / sizes[-1])} µs",
        ]
        for form in FORMS
    ]
    header = ["spec", *(f"{size:,} layers" for size in sizes), f"{sizes[-1]:,} against {sizes[-2]:,}", "per layer"]
    how = (
        "From the YAML text to the checked program with its count of parameters, in a process that has compiled a "
        "small spec before (start-up is measured above). Ten times the layers in at most "
        f"{LINEAR:g} times the time counts as linear."
    )
    return Topic("Checking deep specs", how, promises, header, rows)


def _growth(found: Comparison, form: str, last: str, before: str) -> Spread:
    return spread([measured[form][last] / measured[form][before] for measured in found.rounds])


def compiling(form: str, sizes: list[int]) -> Numbers:
    """Seconds for each size: the median of three runs."""
    from specdl.api import compile_source
    from specdl.source import parse_text

    def once(text: str) -> float:
        begin = time.perf_counter()
        model = compile_source(parse_text(text, "deep.yaml"))
        assert model.parameters
        return time.perf_counter() - begin

    once(spec_text(form, 10))
    return {str(size): statistics.median(once(spec_text(form, size)) for _ in range(3)) for size in sizes}
