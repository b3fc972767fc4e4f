"""Parameters and FLOPs that specdl tells, beside what PyTorch itself counts in the module."""

from __future__ import annotations

from tests.benchmarks.harness import Numbers, Side, measure, say
from tests.benchmarks.report import Promise, Topic
from tests.benchmarks.zoo import MODELS


def run(quick: bool) -> Topic:
    """No times: the numbers are equal or not."""
    names = ["digits_cnn", "resnet18"] if quick else list(MODELS)
    say("counts")
    found = measure(Side("counts", counting, {"names": names}))
    rows, equal = [], 0
    for name in names:
        ours, theirs = ({what: int(found[f"{name} {side} {what}"]) for what in WHAT} for side in ("specdl", "torch"))
        equal += ours == theirs
        difference = "equal" if ours == theirs else f"PyTorch counts {theirs['parameters']:,} and {theirs['flops']:,}"
        rows.append([name, f"{ours['parameters']:,}", f"{ours['flops']:,}", difference])
    promise = Promise(
        "parameters and FLOPs, against PyTorch's own count",
        "equal",
        f"equal for {equal} of {len(names)} models",
        equal == len(names),
    )
    return Topic(
        "Parameters and FLOPs",
        "specdl counts in its IR, for one example, without torch; PyTorch's count is `torch.utils.flop_counter` over a "
        "forward pass in evaluation, and the parameters of the module. For torchvision's models the module is "
        "torchvision's own, else it is the ejected one.",
        [promise],
        ["model", "parameters", "FLOPs", "against PyTorch"],
        rows,
    )


WHAT = ("parameters", "flops")


def counting(names: list[str]) -> Numbers:
    """`<name> <side> <what>` for both sides."""
    import torch
    import torchvision
    from torch.utils.flop_counter import FlopCounterMode

    import specdl

    found: Numbers = {}
    for name in names:
        path, variant = MODELS[name]
        model = specdl.load(path, variant)
        with torch.device("meta"):
            options = {"init_weights": False} if name == "googlenet" else {}
            known = getattr(torchvision.models, name, None)
            module = (model.module() if known is None else known(weights=None, **options)).eval()
            (value,) = model.program.main.inputs
            counter = FlopCounterMode(display=False)
            with counter:
                shape = [int(str(size)) for size in value.type.shape[1:]]
                module(torch.empty(1, *shape))
        assert isinstance(model.cost.flops, int)
        found[f"{name} specdl parameters"] = model.parameters
        found[f"{name} specdl flops"] = model.cost.flops
        found[f"{name} torch parameters"] = sum(parameter.numel() for parameter in module.parameters())
        found[f"{name} torch flops"] = counter.get_total_flops()
    return found
