"""Where a run computes: device, precision and processes.

One process in float32 on the CPU runs plain PyTorch, since Accelerate's prepared objects cost about 0.2 ms a
step there, more than a small network's whole step may add. Everything else (GPUs, bf16 and fp16, several
processes) is Accelerate's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import nn

from specdl.diagnostics import EnvironmentFailure
from specdl.spec.recipe import Clip, Train

Agreed = TypeVar("Agreed")


class Engine:
    """Plain PyTorch in one process."""

    rank, processes = 0, 1

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def prepare(self, network: nn.Module, make_optimizer: Callable[[nn.Module], torch.optim.Optimizer]) -> Any:
        """The network on its device, and its optimizer."""
        network = network.to(self.device)
        return network, make_optimizer(network)

    def autocast(self) -> AbstractContextManager[Any]:
        """Computes in the run's precision."""
        return nullcontext()

    def accumulating(self, network: nn.Module) -> AbstractContextManager[Any]:
        """Around a batch whose gradients are only added up."""
        return nullcontext()

    def backward(self, loss: torch.Tensor) -> None:
        """Adds the gradients of a loss."""
        loss.backward()  # type: ignore[no-untyped-call]

    def clip(self, parameters: Iterable[nn.Parameter], clip: Clip) -> torch.Tensor | None:
        """Limits the gradients; gives their norm from before where it was computed."""
        if clip.norm is not None:
            return nn.utils.clip_grad_norm_(parameters, clip.norm)
        assert clip.value is not None
        nn.utils.clip_grad_value_(parameters, clip.value)
        return None

    def agree(self, value: Agreed) -> Agreed:
        """The first process's value (measures, a folder), so that all processes decide alike."""
        return value

    def facts(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {}

    def restore(self, facts: dict[str, Any]) -> None:
        """Takes back what `facts` gave."""

    def close(self) -> None:
        """Leaves the other processes in order."""


class AcceleratedEngine(Engine):
    """Accelerate's devices, precisions and processes."""

    def __init__(self, train: Train) -> None:
        from accelerate import Accelerator

        precision = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}[train.precision]
        try:
            self._accelerator = Accelerator(mixed_precision=precision, cpu=train.device == "cpu")
        except ValueError as error:
            raise EnvironmentFailure(f"this machine can't train in {train.precision}: {error}") from error
        super().__init__(self._accelerator.device)
        self.rank, self.processes = self._accelerator.process_index, self._accelerator.num_processes

    def prepare(self, network: nn.Module, make_optimizer: Callable[[nn.Module], torch.optim.Optimizer]) -> Any:
        network = network.to(self.device)
        # Steps are counted here, so Accelerate's wrapper of the scheduler and of the data are not needed.
        return self._accelerator.prepare(network, make_optimizer(network))

    def autocast(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = self._accelerator.autocast()
        return context

    def accumulating(self, network: nn.Module) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = self._accelerator.no_sync(network)
        return context

    def backward(self, loss: torch.Tensor) -> None:
        self._accelerator.backward(loss)

    def clip(self, parameters: Iterable[nn.Parameter], clip: Clip) -> torch.Tensor | None:
        if clip.norm is not None:
            norm: torch.Tensor | None = self._accelerator.clip_grad_norm_(parameters, clip.norm)
            return norm
        self._accelerator.clip_grad_value_(parameters, clip.value)
        return None

    def agree(self, value: Agreed) -> Agreed:
        if self.processes == 1:
            return value
        from accelerate.utils import broadcast_object_list

        agreed: list[Agreed] = broadcast_object_list([value])
        return agreed[0]

    def facts(self) -> dict[str, Any]:
        scaler = self._accelerator.scaler
        return {} if scaler is None else {"scaler": scaler.state_dict()}

    def restore(self, facts: dict[str, Any]) -> None:
        if self._accelerator.scaler is not None and "scaler" in facts:
            self._accelerator.scaler.load_state_dict(facts["scaler"])

    def close(self) -> None:
        if self.processes > 1:
            self._accelerator.wait_for_everyone()
        self._accelerator.end_training()


def make_engine(train: Train) -> Engine:
    """The engine that a recipe's section `train` asks for. Raises `EnvironmentFailure` where the machine lacks it."""
    device = pick_device(train.device)
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if alone and train.precision == "fp32" and device.type == "cpu":
        return Engine(device)
    if device.type == "cpu" and train.precision == "fp16":
        raise EnvironmentFailure("fp16 needs a GPU; on a CPU `precision: bf16` does the same")
    return AcceleratedEngine(train)


def pick_device(name: str) -> torch.device:
    """The device of that name; `auto` takes a GPU where there is one."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind = name.partition(":")[0]
    found = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "xpu": torch.xpu.is_available(),
    }
    if not found[kind]:
        raise EnvironmentFailure(f"this machine has no device `{name}`; `device: auto` takes what there is")
    return torch.device(name)


def bare(network: nn.Module) -> nn.Module:
    """The network inside of what Accelerate wrapped around it."""
    inner = getattr(network, "module", network)
    return inner if isinstance(inner, nn.Module) else network
