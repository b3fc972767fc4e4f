"""Every network of the zoo that torchvision has: the time to check its spec, and to a module beside torchvision's."""

from __future__ import annotations

from tests.benchmarks.build import NAMES, PAIR, ours, theirs
from tests.benchmarks.harness import Side, compare
from tests.benchmarks.report import Topic, at_most, milliseconds, show

FAMILIES = (
    "alexnet", "vgg16", "googlenet", "resnet18", "resnet50", "resnet152", "resnext50_32x4d", "wide_resnet50_2",
    "densenet121", "densenet201", "mobilenet_v2", "efficientnet_b0", "efficientnet_b7",
)  # fmt: skip

ROUNDS = 3


def run(quick: bool) -> Topic:
    """Compile times, and modules with and without numbers, in processes of their own."""
    rows: list[list[str]] = []
    promises = []
    for name in FAMILIES[:1] if quick else FAMILIES:
        sides = [
            Side("specdl", ours, {"name": name}),
            Side("torchvision", theirs, {"name": name}),
        ]
        found = compare(sides, 1 if quick else ROUNDS, title=f"zoo {name}")
        rows.append(
            [
                name,
                milliseconds(found.spread("specdl", "compile")),
                *(milliseconds(found.spread(side, "again")) for side in PAIR),
                show(found.ratio(*PAIR, "again"), "×"),
                show(found.ratio(*PAIR, "meta"), "×"),
            ]
        )
        if name not in NAMES:  # those are judged by the topic before
            promises.append(
                at_most(f"spec → `nn.Module`, {name}, against torchvision", 1.1, found.ratio(*PAIR, "again"))
            )
        if name == "resnet152":
            promises.append(
                at_most("check of ResNet-152, in a process", 0.5, found.spread("specdl", "compile"), unit="s")
            )
    return Topic(
        "The zoo",
        "*Check* is reading and compiling the spec in a process that has done so before; *module* is everything from "
        "the file to the module with its initial weights, beside torchvision's constructor; *without numbers* is the "
        "same on the meta device, where no weights are drawn.",
        promises,
        ["model", "check", "module, specdl", "module, torchvision", "against torchvision", "without numbers"],
        rows,
    )
