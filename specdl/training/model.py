"""What training asks of a compiled spec; `specdl.api.Model` is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import nn

from specdl.ir.program import Program
from specdl.spec.recipe import Recipe

Tensors = Mapping[str, torch.Tensor]

StepFunction = Callable[[Mapping[str, nn.Module], Tensors], tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]]
"""A training step: networks and a batch give the terms of the loss, and the values that metrics read."""


class Model(Protocol):
    """A compiled spec."""

    @property
    def name(self) -> str: ...
    @property
    def program(self) -> Program: ...
    @property
    def recipe(self) -> Recipe | None: ...
    @property
    def input_names(self) -> tuple[str, ...]: ...
    @property
    def required_inputs(self) -> tuple[str, ...]: ...
    @property
    def output_names(self) -> tuple[str, ...]: ...
    def module(self, network: str | None = None, *, weights: bool = True) -> nn.Module: ...
    def step_functions(self) -> Mapping[str, StepFunction]: ...
    def resolved_files(self) -> Mapping[str, str]: ...
