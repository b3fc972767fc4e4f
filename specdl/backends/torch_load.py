"""The ejected source, executed: what trains is exactly what `eject` writes.

The text is registered with `linecache`, so a traceback into the model shows its lines, and an error raised
there gets a note that names the line of the spec.
"""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import CodeType
from typing import Any

from torch import Tensor, nn

from specdl.backends.torch_source import LAYERS, StepSource, TorchSource, emit_sample, emit_step, emit_torch
from specdl.custom import CustomError, importable
from specdl.diagnostics import Diagnostic, EnvironmentFailure, Span, SpecError
from specdl.ir.program import Program

StepFunction = Callable[[Mapping[str, nn.Module], Mapping[str, Tensor]], tuple[dict[str, Tensor], dict[str, Tensor]]]
"""A training step: of the networks and a batch, the loss terms and the networks' outputs, by name."""

SampleFunction = Callable[[Mapping[str, nn.Module], Mapping[str, Tensor]], dict[str, Tensor]]
"""How samples are made: of the networks and the inputs (`batch`, a tensor `[N]`, where none has the batch)."""

_numbers = itertools.count(1)


def load_torch(source: TorchSource) -> nn.Module:
    """The module of a source, freshly initialised from torch's current seed.

    Raises `EnvironmentFailure` where memory doesn't suffice for its weights.
    """
    filename = f"<specdl {source.model} {next(_numbers)}>"
    with allowed_layers(source):
        namespace = _run(source.text, filename)
    try:
        module = namespace[source.model]()
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        raise EnvironmentFailure(f"there is not enough memory for the weights of `{source.model}`: {error}") from error
    assert isinstance(module, nn.Module)
    _explain_errors(module, filename, source.places)
    return module


@contextmanager
def allowed_layers(source: TorchSource) -> Iterator[None]:
    """Within it, the source can import the user's own layers. Raises `SpecError` without the user's permission."""
    if not source.custom:
        yield
        return
    try:
        with importable(source.folder, source.custom):
            yield
    except CustomError as error:
        help = error.help or "give `--allow-python`, or `specdl.load(..., allow_python=True)`"
        raise SpecError([Diagnostic(error.code, error.message, help=help)]) from error


def load_networks(program: Program) -> dict[str, nn.Module]:
    """The modules of all networks, by name. An average of another begins as its copy."""
    source = emit_torch(program)
    return {name: load_torch(replace(source, model=model)) for name, model in source.models.items()}


def load_module(program: Program, network: str | None = None) -> nn.Module:
    """The module of a program's network."""
    return load_torch(emit_torch(program, network))


def load_steps(program: Program) -> dict[str, StepFunction]:
    """The training steps of a program, by name; in evaluation mode they leave out what only training has."""
    found: dict[str, StepFunction] = {}
    for step in program.steps:
        training: StepFunction = _function(emit_step(program, step, step.function), training=True)
        evaluation: StepFunction = _function(emit_step(program, step, step.evaluation), training=False)
        found[step.name] = _by_mode(training, evaluation, step.update[0])
    return found


def _by_mode(training: StepFunction, evaluation: StepFunction, network: str) -> StepFunction:
    def run(
        models: Mapping[str, nn.Module], batch: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return (training if models[network].training else evaluation)(models, batch)

    return run


def load_sample(program: Program) -> SampleFunction:
    """What makes samples. Raises `KeyError` for a program without `sample`."""
    function: SampleFunction = _function(emit_sample(program), training=False)
    return function


def _function(source: StepSource, training: bool) -> Any:
    """The function that a source defines, its own layers (such as dropout) in train or eval mode."""
    namespace = _run(source.text, f"<specdl {source.entry} {next(_numbers)}>")
    for layer in namespace.get(LAYERS, ()):
        layer.train(training)
    return namespace[source.entry]


def _run(text: str, filename: str) -> dict[str, Any]:
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    code: CodeType = compile(text, filename, "exec", dont_inherit=True)
    # The module's name is what pickle and repr show; it needs no entry in sys.modules.
    namespace: dict[str, Any] = {"__name__": "specdl.ejected"}
    exec(code, namespace)  # noqa: S102 - our own emitter wrote this text from the checked IR
    return namespace


def _explain_errors(module: nn.Module, filename: str, places: Mapping[int, Span]) -> None:
    """Adds to an error that passes through `forward` a note with the line of the spec."""
    call = type(module).__call__

    class Explained(type(module)):  # type: ignore[misc]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return call(self, *args, **kwargs)
            except Exception as error:
                place = place_of(error, filename, places)
                if place is not None:
                    error.add_note(f"in the spec: {place}")
                raise

    Explained.__name__ = type(module).__name__
    Explained.__qualname__ = type(module).__qualname__
    Explained.__module__ = type(module).__module__
    module.__class__ = Explained


def place_of(error: BaseException, filename: str, places: Mapping[int, Span]) -> Span | None:
    """The line of the spec that the innermost line of the source in a traceback came from."""
    found: Span | None = None
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == filename:
            found = places.get(traceback.tb_lineno, found)
        traceback = traceback.tb_next
    return found


__all__ = ["SampleFunction", "StepFunction", "load_module", "load_networks", "load_sample", "load_steps", "load_torch"]
