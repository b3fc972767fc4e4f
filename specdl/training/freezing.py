"""Parameters that training leaves as they are, and the batch norms among them."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn

from specdl.diagnostics import Diagnostic, SpecError


def freeze(network: nn.Module, names: Collection[str]) -> None:
    """Takes the gradients of these parameters away. Raises `SpecError` where nothing is left to train."""
    for name, parameter in network.named_parameters():
        if name in names:
            parameter.requires_grad_(False)
    if names and not any(parameter.requires_grad for parameter in network.parameters()):
        help = 'free what should learn: `freeze: ["*", "!fc.*"]`'
        raise SpecError([Diagnostic("E0930", "`freeze` leaves nothing to train", help=help)])


def rest_frozen_norms(network: nn.Module) -> None:
    """Puts norms whose parameters are all frozen into eval mode: their running statistics stay as they were loaded."""
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if own and getattr(module, "running_mean", None) is not None and not any(item.requires_grad for item in own):
            module.eval()
